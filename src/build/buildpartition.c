/*-------------------------------------------------------------------------
 *
 * buildpartition.c
 *	  First step of a tree: dividing its rows into partitions, and splitting
 *	  those into cells.
 *
 * A set of as many sketches as AnnoyBuildSizes says is split in memory down to
 * cells (buildcells.c).  So the sample is split first, into so many parts that
 * each stands for about half a set, and all rows are sent through those
 * hyperplanes into partitions.  A partition that is still too large is divided
 * in the same way, by a sample of its own.  Rows of larger norms than M have a
 * partition, and a subtree, of their own (outsized.c).
 *
 * All processes do the same with the sample and send their rows.  Then each
 * splits the partitions whose turn it has, with the rows of all processes.  The
 * leader writes the hyperplanes above the partitions, and puts the directories
 * of all into the order of the partitions.
 *
 * Files of a build with workers:
 *
 *	sketches.N		process N's rows of others' partitions
 *	partitions.N	the partitions that process N has split:
 *					| PartitionResult | AnnoyCellDirectory[...] | ...
 *	cells			the directories of all partitions
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <fcntl.h>

#include "miscadmin.h"
#include "storage/buffile.h"
#include "utils/memutils.h"

#include "build/buildcells.h"
#include "build/buildpages.h"
#include "build/buildpartition.h"
#include "build/buildsample.h"
#include "build/buildsteps.h"

/*
 * Divisions of divisions of one partition: each takes what it finds apart from
 * the copies of one row.
 */
#define MOST_LEVELS 12

/* Sampled items that a partition needs at least. */
#define LEAST_PARTITION_SAMPLE 16

/* Bytes that one flush of a spool should write of each batch at least. */
#define LEAST_EXTENT 8192

#define SKETCH_FILE "sketches"
#define RESULT_FILE "partitions"
#define CELL_FILE "cells"

struct AnnoyPartitions
{
	AnnoyBuild *build;
	MemoryContext context;		/* of all of it */
	CellBuilder builder;
	Subtree		top;			/* hyperplanes above the partitions */
	int			top_count;		/* partitions below these */
	int			count;			/* and that of outsized rows, if there may be
								 * some */
	uint64		path;
	AnnoySpool *kept;			/* rows of this process's own partitions */
	AnnoySpool *sent;			/* and of others'; NULL without workers */
	AnnoySpoolReader *reader;	/* of the rows of all processes */
	CellList   *lists;			/* [count]: the cells of the partitions */
};

/* What has become of a partition; its directories follow. */
typedef struct PartitionResult
{
	int			partition;
	int			directory_count;
	CellList	list;			/* its cells' centroids follow, too */
} PartitionResult;

/* A row's place in a set, to be ordered by TID. */
typedef struct TidOrder
{
	int64		tid;
	int32		place;
} TidOrder;

static void split_partition(CellBuilder *builder, AnnoySpoolReader *reader,
							int partition, uint64 path, int level,
							CellList *list);

static int
compare_tid_order(const void *a, const void *b)
{
	int64		x = ((const TidOrder *) a)->tid;
	int64		y = ((const TidOrder *) b)->tid;

	return x < y ? -1 : x > y ? 1 : 0;
}

/* ---------------------------------------------------------------------
 * Hyperplanes above partitions
 * ---------------------------------------------------------------------
 */

/* Numbers the partitions from left to right. */
static int
number_partitions(Subtree *top, int node, int next)
{
	MemoryNode *n = &top->nodes[node];

	if (n->plane.normal == NULL)
	{
		n->number = next;
		return next + 1;
	}
	next = number_partitions(top, n->child[0], next);
	return number_partitions(top, n->child[1], next);
}

/* Splits a sample of "total" items; returns the number of partitions. */
static int
grow_top(CellBuilder *builder, Subtree *top, const AnnoySketchSet *sample,
		 int sample_count, double total, uint64 path)
{
	int32	   *items = AnnoyListPositions(sample_count);
	int			partition_items;

	if (total <= builder->set_items)
		partition_items = Max(sample_count, 1);
	else
		partition_items = Max(LEAST_PARTITION_SAMPLE, (int)
							  ((double) builder->set_items / 2 * sample_count / total));
	AnnoyGrowSubtree(builder, top, sample, items, sample_count,
					 partition_items, path);
	pfree(items);
	return number_partitions(top, 0, 0);
}

/* The partition on whose side of every hyperplane a sketch lies. */
static int
find_partition(int s, const Subtree *top, const AnnoyItemSketch *item)
{
	float		scale = item->scale;
	float		extra = item->extra;
	AnnoySketchSet one = {s, (int16 *) item->quantised, &scale, &extra};
	const MemoryNode *node = &top->nodes[0];

	while (node->plane.normal != NULL)
		node = &top->nodes[node->child[AnnoyItemMargin(&one, 0, &node->plane) > 0]];
	return node->number;
}

/* ---------------------------------------------------------------------
 * Partitions
 * ---------------------------------------------------------------------
 */

static void
put_record(CellBuilder *builder, AnnoySketchSet *set, int place,
		   const AnnoySketchRecord *record)
{
	AnnoyUnpackSketch(&builder->build->forest->sketcher, record->sketch,
					  set->quantised + (Size) place * set->sketch_dimensions);
	set->scale[place] = record->scale;
	set->extra[place] = record->extra;
}

/* Splits a partition in memory. */
static void
split_set(CellBuilder *builder, AnnoySpoolReader *reader, int partition,
		  int count, uint64 path, CellList *list)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "annoy cell set",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	AnnoySketchSet set;
	TidOrder   *tids = palloc(sizeof(TidOrder) * count);
	int32	   *items = palloc(sizeof(int32) * count);
	int32	   *by_tid = palloc(sizeof(int32) * count);
	Subtree		subtree;
	AnnoySketchRecord *record;
	bool		stays;
	int			n = 0;

	AnnoyAllocateSet(&set, builder->s, count);
	AnnoySeekPartition(reader, partition);
	while ((record = AnnoyNextRecord(reader, &stays)) != NULL && n < count)
	{
		put_record(builder, &set, n, record);
		tids[n].tid = AnnoyPackTid(&record->tid);
		tids[n].place = n;
		n++;
	}
	if (n != count)
		elog(ERROR, "expected %d rows in a partition, found %d", count, n);
	qsort(tids, count, sizeof(TidOrder), compare_tid_order);
	for (int i = 0; i < count; i++)
		items[i] = by_tid[i] = tids[i].place;
	pfree(tids);
	AnnoyGrowSubtree(builder, &subtree, &set, items, count, 0, path);
	AnnoyRefineCells(builder, &subtree, &set, by_tid, count);
	AnnoyListCells(builder, &subtree, list);
	MemoryContextSwitchTo(old);
	AnnoyCopyCells(builder, list);
	MemoryContextDelete(context);
}

/* Whether a row has the same sketch as another one, or "other" is NULL. */
static bool
is_other(const AnnoyBuild *build, const AnnoySketchRecord *record,
		 const AnnoySketchRecord *other)
{
	return other == NULL || record->scale != other->scale ||
		record->extra != other->extra ||
		memcmp(record->sketch, other->sketch,
			   AnnoyPackedSize(&build->forest->sketcher)) != 0;
}

/*
 * A sample of a partition, ordered by TID, in the current memory context: of all
 * rows, or of those whose sketch is not that of "except".
 */
static int
sample_partition(CellBuilder *builder, AnnoySpoolReader *reader, int partition,
				 const AnnoySketchRecord *except, AnnoySketchSet *sample)
{
	AnnoyBuild *build = builder->build;
	int			wanted = (int) Min(build->sizes.sample_rows,
								   AnnoyCountRecords(reader, partition));
	AnnoySampler sampler;
	TidOrder   *tids;
	AnnoySketchRecord *record;
	bool		stays;
	int			n = 0;

	AnnoyBeginSampler(&sampler, wanted, build->seed);
	AnnoySeekPartition(reader, partition);
	while ((record = AnnoyNextRecord(reader, &stays)) != NULL)
	{
		CHECK_FOR_INTERRUPTS();
		if (is_other(build, record, except))
			AnnoySample(&sampler, AnnoyPackTid(&record->tid));
	}
	wanted = sampler.rows.count;
	tids = palloc(sizeof(TidOrder) * Max(wanted, 1));
	for (int i = 0; i < wanted; i++)
		tids[i].tid = sampler.rows.elements[i].tid;
	qsort(tids, wanted, sizeof(TidOrder), compare_tid_order);

	/* the rows themselves, once it is known which */
	AnnoyAllocateSet(sample, builder->s, wanted + 1);
	AnnoySeekPartition(reader, partition);
	while ((record = AnnoyNextRecord(reader, &stays)) != NULL)
	{
		TidOrder	key = {AnnoyPackTid(&record->tid), 0};
		TidOrder   *found = bsearch(&key, tids, wanted, sizeof(TidOrder),
									compare_tid_order);

		CHECK_FOR_INTERRUPTS();
		if (found == NULL)
			continue;
		put_record(builder, sample, found - tids, record);
		n++;
	}
	if (n != wanted)
		elog(ERROR, "expected %d sampled rows in a partition, found %d",
			 wanted, n);
	return wanted;
}

/*
 * Hyperplanes where a sample has none, since nearly all rows are equal: of that
 * row and a sample of the others, which would all be hidden among its copies.
 * Returns the number of partitions, 1 if there are no others.
 */
static int
grow_uneven_top(CellBuilder *builder, Subtree *top, AnnoySpoolReader *reader,
				int partition, uint64 path)
{
	AnnoyBuild *build = builder->build;
	AnnoySketchRecord *common = palloc(build->record_size);
	AnnoySketchRecord *record;
	AnnoySketchSet others;
	int64		votes = 0;
	bool		stays;
	int			count;
	int32	   *items;

	/* what most rows have, if there is such a thing, wins the vote */
	AnnoySeekPartition(reader, partition);
	while ((record = AnnoyNextRecord(reader, &stays)) != NULL)
	{
		CHECK_FOR_INTERRUPTS();
		if (votes == 0)
			memcpy(common, record, build->record_size);
		votes += is_other(build, record, common) ? -1 : 1;
	}
	count = sample_partition(builder, reader, partition, common, &others);
	if (count == 0)
		return 1;

	/* the common row in as many places as there are others */
	count = Min(count, build->sizes.sample_rows - 1);
	items = palloc(sizeof(int32) * 2 * count);
	put_record(builder, &others, count, common);
	for (int i = 0; i < count; i++)
	{
		items[i] = count;
		items[count + i] = i;
	}
	AnnoyGrowSubtree(builder, top, &others, items, 2 * count,
					 Min(count, LEAST_PARTITION_SAMPLE), path);
	return number_partitions(top, 0, 0);
}

/* What joins the cells of the partitions below a top. */
typedef struct TopJoin
{
	CellBuilder *builder;
	const Subtree *top;
	CellList   *lists;			/* [partitions]; or NULL: to be made of */
	AnnoySpoolReader *reader;
	uint64		path;
	int			level;
} TopJoin;

/* Depth first, so that few cells are listed at a time. */
static void
join_cells(const TopJoin *join, int node, CellList *list)
{
	const MemoryNode *n = &join->top->nodes[node];
	CellList	sides[2];

	if (n->plane.normal == NULL)
	{
		if (join->lists)
			*list = join->lists[n->number];
		else
			split_partition(join->builder, join->reader, n->number,
							AnnoyPartitionPath(join->path, n->number),
							join->level, list);
		return;
	}
	for (int side = 0; side < 2; side++)
		join_cells(join, n->child[side], &sides[side]);
	AnnoyJoinCells(join->builder, n, &sides[0], &sides[1], list);
}

/* Divides a partition that is too large by a sample of its own. */
static void
divide_partition(CellBuilder *builder, AnnoySpoolReader *reader, int partition,
				 uint64 path, int level, CellList *list)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "annoy partition",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	AnnoyBuild *build = builder->build;
	Size		memory = AnnoyShareMemory(build, ANNOY_MOVED_SHARE) >> level;
	AnnoySketchSet sample;
	Subtree		top;
	AnnoySketchRecord *record;
	bool		stays;
	int			sample_count = sample_partition(builder, reader, partition,
												NULL, &sample);
	int			count = grow_top(builder, &top, &sample, sample_count,
								 AnnoyCountRecords(reader, partition), path);

	if (count == 1 && level < MOST_LEVELS)
		count = grow_uneven_top(builder, &top, reader, partition, path);
	if (count == 1)
	{
		/* they cannot be told apart: all go to one cell */
		AnnoyGrowSingleCell(builder, &top, &sample, sample_count, path);
		AnnoyListCells(builder, &top, list);
	}
	else
	{
		AnnoySpool *spool = AnnoyBeginSpool(build->record_size, count, memory,
											build->sizes.set_bytes, NULL,
											NULL);
		TopJoin		join = {builder, &top, NULL, NULL, path, level + 1};

		AnnoyFreeSet(&sample);
		AnnoySeekPartition(reader, partition);
		while ((record = AnnoyNextRecord(reader, &stays)) != NULL)
		{
			AnnoyItemSketch item;

			CHECK_FOR_INTERRUPTS();
			AnnoyReadRecord(build, record, &item);
			memcpy(AnnoyPutRecord(spool, find_partition(builder->s, &top, &item)),
				   record, build->record_size);
		}
		AnnoyFinishSpool(spool, NULL);
		join.reader = AnnoyReadSpool(spool);
		join_cells(&join, 0, list);
		AnnoyEndSpoolReader(join.reader);
		AnnoyEndSpool(spool);
	}
	MemoryContextSwitchTo(old);
	AnnoyCopyCells(builder, list);
	MemoryContextDelete(context);
}

/* A partition: in memory, or divided again. */
static void
split_partition(CellBuilder *builder, AnnoySpoolReader *reader, int partition,
				uint64 path, int level, CellList *list)
{
	int64		count = AnnoyCountRecords(reader, partition);

	check_stack_depth();
	memset(list, 0, sizeof(CellList));
	list->link.block = InvalidBlockNumber;
	if (count > builder->set_items)
		divide_partition(builder, reader, partition, path, level, list);
	else if (count > 0)
		split_set(builder, reader, partition, (int) count, path, list);
}

/* ---------------------------------------------------------------------
 * The processes' shares
 * ---------------------------------------------------------------------
 */

AnnoyPartitions *
AnnoyBeginPartitions(AnnoyBuild *build, int tree)
{
	MemoryContext context = AllocSetContextCreate(build->context,
												  "annoy partitions",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	AnnoyPartitions *partitions = palloc0(sizeof(AnnoyPartitions));
	double		share = ANNOY_RECORDS_SHARE;

	partitions->build = build;
	partitions->context = context;
	partitions->path = AnnoyHash(AnnoyHash(build->seed, tree), 0);
	AnnoyInitCellBuilder(&partitions->builder, build, tree);
	partitions->top_count = grow_top(&partitions->builder, &partitions->top,
									 &build->sample_set,
									 build->space->sample_count,
									 build->space->rows, partitions->path);
	partitions->count = partitions->top_count +
		(build->forest->sketcher.outsized_apart ? 1 : 0);
	partitions->lists = palloc(sizeof(CellList) * partitions->count);
	if (build->n_trees > 1)
		share /= 2;				/* the other half are build->records */
	partitions->kept = AnnoyBeginSpool(build->record_size, partitions->count,
									   AnnoyShareMemory(build, share),
									   AnnoyBorrowedMemory(build), NULL, NULL);
	if (build->parallel)
	{
		char		name[ANNOY_SPOOL_NAME];

		AnnoyNameSpool(name, SKETCH_FILE, build->process);
		partitions->sent = AnnoyBeginSpool(build->record_size,
										   partitions->count,
										   AnnoyShareMemory(build, ANNOY_MOVED_SHARE),
										   AnnoyBorrowedMemory(build),
										   build->files, name);
	}
	MemoryContextSwitchTo(old);
	return partitions;
}

void
AnnoySendRecord(AnnoyPartitions *partitions, const AnnoySketchRecord *record)
{
	AnnoyBuild *build = partitions->build;
	AnnoyItemSketch item;
	int			partition = partitions->top_count;

	AnnoyReadRecord(build, record, &item);
	if (item.extra >= 0.0f)
		partition = find_partition(partitions->builder.s, &partitions->top,
								   &item);
	/* who is to come too late is not known yet: it counts as being there */
	memcpy(AnnoyPutRecord(partition % build->shared->process_count ==
						  build->process ?
						  partitions->kept : partitions->sent, partition),
		   record, build->record_size);
}

void
AnnoyFinishSending(AnnoyPartitions *partitions)
{
	AnnoyFinishSpool(partitions->kept, NULL);
	if (partitions->sent)
	{
		AnnoyFinishSpool(partitions->sent, &partitions->build->part->sent);
		AnnoyEndSpool(partitions->sent);
		partitions->sent = NULL;
	}
}

/* All processes have sent their rows. */
static void
open_partitions(AnnoyPartitions *partitions)
{
	AnnoyBuild *build = partitions->build;
	AnnoySpoolSummary *summaries;

	if (!build->parallel)
	{
		partitions->reader = AnnoyReadSpool(partitions->kept);
		return;
	}
	summaries = palloc(sizeof(AnnoySpoolSummary) *
					   build->shared->process_count);
	for (int i = 0; i < build->shared->process_count; i++)
		summaries[i] = build->shared->parts[i].sent;
	partitions->reader = AnnoyReadSharedSpools(build->record_size,
											   partitions->count, build->files,
											   SKETCH_FILE, summaries,
											   build->shared->process_count,
											   partitions->kept);
}

AnnoyBuild *
AnnoyGetPartitionBuild(const AnnoyPartitions *partitions)
{
	return partitions->build;
}

int
AnnoyCountPartitions(const AnnoyPartitions *partitions)
{
	return partitions->count;
}

AnnoySpoolReader *
AnnoyGetPartitionReader(AnnoyPartitions *partitions)
{
	return partitions->reader;
}

bool
AnnoyIsOutsizedPartition(const AnnoyPartitions *partitions, int partition)
{
	return partition == partitions->top_count;
}

void
AnnoyEndPartitions(AnnoyPartitions *partitions)
{
	AnnoyBuild *build = partitions->build;

	if (partitions->reader)
		AnnoyEndSpoolReader(partitions->reader);
	AnnoyEndSpool(partitions->kept);
	if (build->parallel)
	{
		char		name[ANNOY_SPOOL_NAME];

		AnnoyNameSpool(name, SKETCH_FILE, build->process);
		BufFileDeleteFileSet(build->files, name, true);
	}
	MemoryContextDelete(partitions->context);
}

/* The results of one process, in a file or in the leader's memory. */
typedef struct ResultList
{
	PartitionResult *results;	/* [partitions]: as many as there may be */
	int			count;
} ResultList;

/* Splits this process's partitions. */
static void
split_partitions(AnnoyPartitions *partitions, ResultList *list)
{
	CellBuilder *builder = &partitions->builder;

	for (int partition = 0; partition < partitions->count; partition++)
	{
		int			before = builder->cells->directory_count;
		PartitionResult *result = &list->results[list->count];

		if (!AnnoyIsOwnPart(builder->build, partition) ||
			AnnoyCountRecords(partitions->reader, partition) == 0)
			continue;
		AnnoyChooseCellSizes(builder,
							 AnnoyIsOutsizedPartition(partitions, partition));
		memset(result, 0, sizeof(PartitionResult));
		result->partition = partition;
		split_partition(builder, partitions->reader, partition,
						AnnoyPartitionPath(partitions->path, partition), 1,
						&result->list);
		result->list.partition = partition;
		/* only those of a small table do not take much memory */
		if (!builder->build->sizes.small)
			AnnoyWriteCells(builder, &result->list);
		result->directory_count = builder->cells->directory_count - before;
		list->count++;
	}
}

static void
write_results(CellBuilder *builder, const ResultList *list)
{
	AnnoyBuild *build = builder->build;
	AnnoyCellDirectory *next = builder->cells->directories;
	char		name[ANNOY_SPOOL_NAME];
	BufFile    *file;

	build->part->results = list->count;
	if (build->process == 0 || list->count == 0)
		return;
	AnnoyNameSpool(name, RESULT_FILE, build->process);
	file = BufFileCreateFileSet(build->files, name);
	for (int i = 0; i < list->count; i++)
	{
		BufFileWrite(file, &list->results[i], sizeof(PartitionResult));
		BufFileWrite(file, next, sizeof(AnnoyCellDirectory) *
					 list->results[i].directory_count);
		next += list->results[i].directory_count;
		for (int j = 0; j < list->results[i].list.count; j++)
		{
			AnnoyCentroid *cell = &list->results[i].list.cells[j];

			BufFileWrite(file, cell, sizeof(AnnoyCentroid));
			BufFileWrite(file, cell->centroid, builder->s);
		}
	}
	BufFileExportFileSet(file);
	BufFileClose(file);
}

/* ---------------------------------------------------------------------
 * Joining the results
 * ---------------------------------------------------------------------
 */

/* All directories of a partition, wherever they were made. */
typedef struct PartitionCells
{
	AnnoyCellDirectory *directories;
	int			count;
} PartitionCells;

/* A partition has been split: the links to it, and its directories. */
static void
take_result(AnnoyPartitions *partitions, PartitionCells *cells,
			const PartitionResult *result, AnnoyCellDirectory *directories)
{
	partitions->lists[result->partition] = result->list;
	cells[result->partition].directories = directories;
	cells[result->partition].count = result->directory_count;
}

/* Takes over the results of a worker. */
static void
read_results(AnnoyPartitions *partitions, PartitionCells *cells, int process)
{
	AnnoyBuild *build = partitions->build;
	char		name[ANNOY_SPOOL_NAME];
	BufFile    *file;

	if (build->shared->parts[process].results == 0)
		return;
	AnnoyNameSpool(name, RESULT_FILE, process);
	file = BufFileOpenFileSet(build->files, name, O_RDONLY, false);
	for (int i = 0; i < build->shared->parts[process].results; i++)
	{
		PartitionResult result;
		AnnoyCellDirectory *directories;
		Size		size;

		AnnoyReadFile(file, &result, sizeof(PartitionResult));
		size = sizeof(AnnoyCellDirectory) * (Size) result.directory_count;
		directories = palloc_extended(size, MCXT_ALLOC_HUGE);
		AnnoyReadFile(file, directories, size);
		result.list.cells = palloc(sizeof(AnnoyCentroid) *
								   Max(result.list.count, 1));
		for (int j = 0; j < result.list.count; j++)
		{
			AnnoyCentroid *cell = &result.list.cells[j];

			AnnoyReadFile(file, cell, sizeof(AnnoyCentroid));
			cell->centroid = palloc(partitions->builder.s);
			AnnoyReadFile(file, cell->centroid, partitions->builder.s);
		}
		take_result(partitions, cells, &result, directories);
	}
	BufFileClose(file);
	BufFileDeleteFileSet(build->files, name, true);
}

/* Puts all directories into the order of the partitions; numbers cells. */
static void
order_directories(AnnoyCells *cells, const PartitionCells *partitions,
				  int count)
{
	AnnoyCells	all;

	memset(&all, 0, sizeof(AnnoyCells));
	for (int i = 0; i < count; i++)
		all.directories_allocated += partitions[i].count;
	all.directories_allocated = Max(all.directories_allocated, 64);
	all.directories = palloc_extended(sizeof(AnnoyCellDirectory) *
									  (Size) all.directories_allocated,
									  MCXT_ALLOC_HUGE);
	for (int i = 0; i < count; i++)
		for (int j = 0; j < partitions[i].count; j++)
		{
			AnnoyCellDirectory *directory =
				&all.directories[all.directory_count++];

			*directory = partitions[i].directories[j];
			directory->partition = i;
			directory->first_cell = all.cell_count;
			all.cell_count += directory->cell_count;
		}
	pfree(cells->directories);
	*cells = all;
}

/*
 * Divides the directories of each partition into batches, whose rows become
 * leaves together.  The forest does not depend on it.
 */
static void
form_batches(AnnoyBuild *build, AnnoyCells *cells)
{
	double		cell_bytes = (double) build->items / cells->cell_count *
		build->record_size;
	double		moved = Max(AnnoyShareMemory(build, ANNOY_MOVED_SHARE),
							AnnoyBorrowedMemory(build));
	double		most = Max(1.0, moved / LEAST_EXTENT);
	double		wanted = Max(AnnoyBorrowedMemory(build),
							 cell_bytes * cells->cell_count / most);
	double		bytes = 0;

	for (int i = 0; i < cells->directory_count; i++)
	{
		AnnoyCellDirectory *directory = &cells->directories[i];
		double		more = cell_bytes * directory->cell_count;

		if (i > 0 && (bytes + more > wanted ||
					  directory->partition != directory[-1].partition))
		{
			cells->batch_count++;
			bytes = 0;
		}
		directory->batch = cells->batch_count;
		bytes += more;
	}
	cells->batch_count++;
}

/* The leader's part: the tree above the partitions, and a list of all cells. */
static void
join_partitions(AnnoyPartitions *partitions, const ResultList *list)
{
	CellBuilder *builder = &partitions->builder;
	AnnoyBuild *build = partitions->build;
	AnnoyBuildShared *shared = build->shared;
	PartitionCells *cells = palloc0(sizeof(PartitionCells) *
									partitions->count);
	AnnoyCellDirectory *next = builder->cells->directories;
	TopJoin		join = {builder, &partitions->top, partitions->lists};
	CellList	roots[2];

	for (int i = 0; i < partitions->count; i++)
	{
		memset(&partitions->lists[i], 0, sizeof(CellList));
		partitions->lists[i].link.block = InvalidBlockNumber;
	}
	roots[1].count = 0;
	roots[1].link.block = InvalidBlockNumber;
	for (int i = 0; i < list->count; i++)
	{
		take_result(partitions, cells, &list->results[i], next);
		next += list->results[i].directory_count;
	}
	for (int i = 1; i < shared->process_count; i++)
		read_results(partitions, cells, i);
	order_directories(builder->cells, cells, partitions->count);
	AnnoyChooseCellSizes(builder, false);
	join_cells(&join, 0, &roots[0]);
	if (partitions->count > partitions->top_count)
		roots[1] = partitions->lists[partitions->top_count];
	for (int side = 0; side < 2; side++)
	{
		AnnoyWriteCells(builder, &roots[side]);
		AnnoySetRoot(builder, side, &roots[side].link);
	}
	form_batches(build, builder->cells);
	pfree(cells);
}

/* The list of cells, from the leader to the workers. */
static void
write_cell_list(AnnoyBuild *build, const AnnoyCells *cells)
{
	AnnoyBuildShared *shared = build->shared;
	BufFile    *file = BufFileCreateFileSet(build->files, CELL_FILE);

	shared->cell_count = cells->cell_count;
	shared->directory_count = cells->directory_count;
	shared->batch_count = cells->batch_count;
	BufFileWrite(file, cells->directories,
				 sizeof(AnnoyCellDirectory) * cells->directory_count);
	BufFileExportFileSet(file);
	BufFileClose(file);
}

static void
read_cell_list(AnnoyBuild *build, AnnoyCells *cells)
{
	AnnoyBuildShared *shared = build->shared;
	BufFile    *file = BufFileOpenFileSet(build->files, CELL_FILE, O_RDONLY,
										  false);

	cells->cell_count = shared->cell_count;
	cells->directory_count = cells->directories_allocated =
		shared->directory_count;
	cells->batch_count = shared->batch_count;
	pfree(cells->directories);
	cells->directories = palloc_extended(sizeof(AnnoyCellDirectory) *
										 (Size) cells->directory_count,
										 MCXT_ALLOC_HUGE);
	AnnoyReadFile(file, cells->directories,
				  sizeof(AnnoyCellDirectory) * cells->directory_count);
	BufFileClose(file);
}

void
AnnoySplitCells(AnnoyPartitions *partitions, AnnoyCells *cells)
{
	AnnoyBuild *build = partitions->build;
	ResultList	list = {NULL, 0};

	partitions->builder.cells = cells;
	AnnoyInitCells(cells);
	open_partitions(partitions);
	list.results = palloc(sizeof(PartitionResult) * (partitions->count + 1));
	split_partitions(partitions, &list);
	if (build->parallel)
		write_results(&partitions->builder, &list);
	AnnoySynchronise(build);
	if (build->process == 0)
	{
		join_partitions(partitions, &list);
		if (build->parallel)
			write_cell_list(build, cells);
	}
	AnnoySynchronise(build);
	if (build->process > 0)
		read_cell_list(build, cells);
	cells->batch_partitions = palloc(sizeof(int32) * cells->batch_count);
	for (int i = 0; i < cells->directory_count; i++)
		cells->batch_partitions[cells->directories[i].batch] =
			cells->directories[i].partition;
}

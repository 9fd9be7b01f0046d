/*-------------------------------------------------------------------------
 *
 * buildpartition.c
 *	  First step of a tree: dividing its items into partitions, and splitting
 *	  those into cells.
 *
 * A set of at most ANNOY_CELL_SET_BYTES of quantised sketches is split in
 * memory down to cells (buildcells.c).  So the sample is split first, into so
 * many parts that each stands for about half a set, and all items are sent
 * through those hyperplanes into partitions.  A partition that is still too
 * large is divided in the same way, by a sample of its own.
 *
 * All processes do the same with the sample and send their items.  Then each
 * splits the partitions whose turn it has, with the items of all processes.  The
 * leader writes the hyperplanes above the partitions, and puts the directories
 * of all into the order of the partitions.
 *
 * Files of a build with workers:
 *
 *	sketches.N		process N's items of others' partitions
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

#include "build/buildassign.h"
#include "build/buildcells.h"
#include "build/buildpages.h"
#include "build/buildsteps.h"
#include "build/buildstream.h"

/* Sampled items that a partition needs at least. */
#define LEAST_PARTITION_SAMPLE 16

/* Items that become leaves together take so many bytes, more or less. */
#define BATCH_BYTES (ANNOY_CELL_SET_BYTES / 2)

/* Bytes that one flush of a spool should write of each batch at least. */
#define LEAST_EXTENT 8192

#define SKETCH_FILE "sketches"
#define RESULT_FILE "partitions"
#define CELL_FILE "cells"

/* A sketch on its way to its partition. */
typedef struct SketchRecord
{
	int64		tid;
	float		scale;
	float		extra;
	int16		quantised[FLEXIBLE_ARRAY_MEMBER];	/* [s] */
} SketchRecord;

/* What has become of a partition; its directories follow. */
typedef struct PartitionResult
{
	int			partition;
	int			directory_count;
	AnnoyChild	link;
} PartitionResult;

/* A row's place in a set, to be ordered by TID. */
typedef struct TidOrder
{
	int64		tid;
	int32		place;
} TidOrder;

static AnnoyChild split_partition(CellBuilder *builder,
								  AnnoySpoolReader *reader, int partition,
								  uint64 path, int level);

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
		 int sample_count, int64 total, uint64 path)
{
	int32	   *items = AnnoyListPositions(sample_count);
	int			partition_items;

	if (total <= builder->set_items)
		partition_items = sample_count;
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
find_partition(CellBuilder *builder, const Subtree *top,
			   SketchRecord *sketch)
{
	AnnoySketchSet one = {builder->s, sketch->quantised, &sketch->scale,
	&sketch->extra};
	const MemoryNode *node = &top->nodes[0];

	while (node->plane.normal != NULL)
		node = &top->nodes[node->child[AnnoyItemMargin(&one, 0, &node->plane) > 0]];
	return node->number;
}

/* Tells the partitions of a top where they were written. */
static void
set_link(Subtree *top, int partition, const AnnoyChild *link)
{
	for (int i = 0; i < top->count; i++)
		if (top->nodes[i].plane.normal == NULL &&
			top->nodes[i].number == partition)
		{
			top->nodes[i].empty = false;
			top->nodes[i].link = *link;
		}
}

static void
clear_links(Subtree *top)
{
	for (int i = 0; i < top->count; i++)
		top->nodes[i].empty = true;
}

/* ---------------------------------------------------------------------
 * Partitions
 * ---------------------------------------------------------------------
 */

static void
put_record(AnnoySketchSet *set, int place, const SketchRecord *record)
{
	int			s = set->sketch_dimensions;

	memcpy(set->quantised + (Size) place * s, record->quantised,
		   sizeof(int16) * s);
	set->scale[place] = record->scale;
	set->extra[place] = record->extra;
}

/* Splits a partition in memory. */
static AnnoyChild
split_set(CellBuilder *builder, AnnoySpoolReader *reader, int partition,
		  int count, uint64 path)
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
	AnnoyChild	link;
	SketchRecord *record;
	bool		stays;
	int			n = 0;

	AnnoyAllocateSet(&set, builder->s, count);
	AnnoySeekPartition(reader, partition);
	while ((record = AnnoyNextRecord(reader, &stays)) != NULL && n < count)
	{
		put_record(&set, n, record);
		tids[n].tid = record->tid;
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
	MemoryContextSwitchTo(old);
	link = AnnoyWriteCells(builder, &subtree);
	MemoryContextDelete(context);
	return link;
}

/* The sample of a partition, ordered by TID. */
static int
sample_partition(CellBuilder *builder, AnnoySpoolReader *reader, int partition,
				 AnnoySketchSet *sample)
{
	AnnoyBuild *build = builder->build;
	int			wanted = (int) Min(build->sample_count,
								   AnnoyCountRecords(reader, partition));
	AnnoySampler sampler;
	SketchRecord *record;
	bool		stays;

	AnnoyBeginSampler(&sampler, wanted, builder->record_size);
	AnnoySeekPartition(reader, partition);
	while ((record = AnnoyNextRecord(reader, &stays)) != NULL)
	{
		CHECK_FOR_INTERRUPTS();
		AnnoySample(&sampler, AnnoyHash(build->seed, (uint64) record->tid),
					record->tid, record);
	}
	qsort(sampler.rows.elements, wanted, sizeof(AnnoySampleRow),
		  AnnoyCompareSampleTids);
	AnnoyAllocateSet(sample, builder->s, wanted);
	for (int i = 0; i < wanted; i++)
		put_record(sample, i,
				   (SketchRecord *) sampler.rows.elements[i].value);
	return wanted;
}

/* Divides a partition that is too large by a sample of its own. */
static AnnoyChild
divide_partition(CellBuilder *builder, AnnoySpoolReader *reader, int partition,
				 uint64 path, int level)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "annoy partition",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	Size		memory = AnnoyShareMemory(builder->build,
										  ANNOY_SKETCHES_SHARE) >> level;
	AnnoySketchSet sample;
	Subtree		top;
	AnnoySpool *spool;
	AnnoySpoolReader *parts;
	SketchRecord *record;
	AnnoyChild	link;
	bool		stays;
	int			sample_count = sample_partition(builder, reader, partition,
												&sample);
	int			count = grow_top(builder, &top, &sample, sample_count,
								 AnnoyCountRecords(reader, partition), path);

	if (count == 1)
	{
		/* the sample cannot be told apart: all items go to one cell */
		AnnoyGrowSingleCell(builder, &top, &sample, sample_count, path);
		link = AnnoyWriteCells(builder, &top);
	}
	else
	{
		spool = AnnoyBeginSpool(builder->record_size, count, memory, NULL, NULL);
		AnnoySeekPartition(reader, partition);
		while ((record = AnnoyNextRecord(reader, &stays)) != NULL)
		{
			CHECK_FOR_INTERRUPTS();
			memcpy(AnnoyPutRecord(spool, find_partition(builder, &top, record)),
				   record, builder->record_size);
		}
		AnnoyFinishSpool(spool, NULL);
		parts = AnnoyReadSpool(spool);
		clear_links(&top);
		for (int i = 0; i < count; i++)
			if (AnnoyCountRecords(parts, i) > 0)
			{
				link = split_partition(builder, parts, i,
									   AnnoyPartitionPath(path, i), level + 1);
				set_link(&top, i, &link);
			}
		AnnoyEndSpoolReader(parts);
		AnnoyEndSpool(spool);
		if (!AnnoyWriteTop(builder, &top, &link))
			elog(ERROR, "no items in a partition");
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	return link;
}

/* A partition with items: in memory, or divided again. */
static AnnoyChild
split_partition(CellBuilder *builder, AnnoySpoolReader *reader, int partition,
				uint64 path, int level)
{
	int64		count = AnnoyCountRecords(reader, partition);

	check_stack_depth();
	if (count <= builder->set_items)
		return split_set(builder, reader, partition, (int) count, path);
	return divide_partition(builder, reader, partition, path, level);
}

/* ---------------------------------------------------------------------
 * The processes' shares
 * ---------------------------------------------------------------------
 */

/*
 * Sends this process's items to their partitions: those of others through
 * files, its own ones stay in *kept.
 */
static void
send_sketches(CellBuilder *builder, const Subtree *top, int partitions,
			  AnnoySpool **kept)
{
	AnnoyBuild *build = builder->build;
	SketchRecord *sketch = palloc0(builder->record_size);
	AnnoySpool *sent = NULL;
	AnnoyItemStream items;
	AnnoyBuildItem item;
	int64		rows = 0;

	*kept = AnnoyBeginSpool(builder->record_size, partitions,
							AnnoyShareMemory(build, ANNOY_SKETCHES_SHARE),
							NULL, NULL);
	if (build->parallel)
	{
		char		name[ANNOY_SPOOL_NAME];

		AnnoyNameSpool(name, SKETCH_FILE, build->process);
		sent = AnnoyBeginSpool(builder->record_size, partitions,
							   AnnoyShareMemory(build, ANNOY_SENT_SHARE),
							   build->files, name);
	}
	AnnoyBeginStream(&items, build);
	while (AnnoyNextStreamItem(&items, &item))
	{
		bool		unbounded;
		int			partition;

		AnnoySketchValue(build, item.value, &sketch->extra, &unbounded);
		sketch->tid = item.tid;
		sketch->scale = AnnoyQuantiseSketch(builder->s, build->sketch,
											sketch->quantised);
		partition = find_partition(builder, top, sketch);
		memcpy(AnnoyPutRecord(AnnoyIsOwnPart(build, partition) ? *kept : sent,
							  partition),
			   sketch, builder->record_size);
		AnnoyCountRow(build, &rows);
	}
	AnnoyEndStream(&items);
	AnnoyFinishSpool(*kept, NULL);
	if (sent)
	{
		AnnoyFinishSpool(sent, &build->part->spool);
		AnnoyEndSpool(sent);
	}
	pfree(sketch);
}

/* The results of one process, in a file or in the leader's memory. */
typedef struct ResultList
{
	PartitionResult *results;	/* [partitions]: as many as there may be */
	int			count;
} ResultList;

/* Splits this process's partitions. */
static void
split_partitions(CellBuilder *builder, AnnoySpoolReader *reader,
				 int partitions, uint64 path, ResultList *list)
{
	for (int partition = 0; partition < partitions; partition++)
	{
		int			before = builder->cells->directory_count;
		PartitionResult *result = &list->results[list->count];

		if (!AnnoyIsOwnPart(builder->build, partition) ||
			AnnoyCountRecords(reader, partition) == 0)
			continue;
		memset(result, 0, sizeof(PartitionResult));
		result->partition = partition;
		result->link = split_partition(builder, reader, partition,
									   AnnoyPartitionPath(path, partition), 1);
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

/* Takes over the results of a worker. */
static void
read_results(CellBuilder *builder, Subtree *top, PartitionCells *partitions,
			 int process)
{
	AnnoyBuild *build = builder->build;
	char		name[ANNOY_SPOOL_NAME];
	BufFile    *file;

	if (build->shared->parts[process].results == 0)
		return;
	AnnoyNameSpool(name, RESULT_FILE, process);
	file = BufFileOpenFileSet(build->files, name, O_RDONLY, false);
	for (int i = 0; i < build->shared->parts[process].results; i++)
	{
		PartitionResult result;
		PartitionCells *p;

		AnnoyReadFile(file, &result, sizeof(PartitionResult));
		set_link(top, result.partition, &result.link);
		p = &partitions[result.partition];
		p->count = result.directory_count;
		p->directories = palloc_extended(sizeof(AnnoyCellDirectory) *
										 (Size) p->count, MCXT_ALLOC_HUGE);
		AnnoyReadFile(file, p->directories,
					  sizeof(AnnoyCellDirectory) * p->count);
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
		all.directory_count += partitions[i].count;
	all.directories_allocated = Max(all.directory_count, 1);
	all.directories = palloc_extended(sizeof(AnnoyCellDirectory) *
									  (Size) all.directories_allocated,
									  MCXT_ALLOC_HUGE);
	all.directory_count = 0;
	for (int i = 0; i < count; i++)
		for (int j = 0; j < partitions[i].count; j++)
		{
			AnnoyCellDirectory *directory =
				&all.directories[all.directory_count++];

			*directory = partitions[i].directories[j];
			directory->first_cell = all.cell_count;
			all.cell_count += directory->cell_count;
		}
	pfree(cells->directories);
	*cells = all;
}

/*
 * Divides the directories into batches, whose items become leaves together.
 * The forest does not depend on it.
 */
static void
form_batches(AnnoyBuild *build, AnnoyCells *cells)
{
	double		cell_bytes = (double) build->items / cells->cell_count *
		(offsetof(AnnoyItemRecord, value) + build->value_size);
	double		most = Max(1.0, (double) AnnoyShareMemory(build, ANNOY_SENT_SHARE) /
						   LEAST_EXTENT);
	double		wanted = Max(BATCH_BYTES, cell_bytes * cells->cell_count / most);
	double		bytes = 0;

	for (int i = 0; i < cells->directory_count; i++)
	{
		double		more = cell_bytes * cells->directories[i].cell_count;

		if (bytes > 0 && bytes + more > wanted)
		{
			cells->batch_count++;
			bytes = 0;
		}
		cells->directories[i].batch = cells->batch_count;
		bytes += more;
	}
	cells->batch_count++;
}

/* The leader's part: the tree above the partitions, and a list of all cells. */
static void
join_partitions(CellBuilder *builder, Subtree *top, int partition_count,
				const ResultList *list)
{
	AnnoyBuild *build = builder->build;
	AnnoyCells *cells = builder->cells;
	AnnoyParent slot = {InvalidBlockNumber, 0, 0};
	PartitionCells *partitions = palloc0(sizeof(PartitionCells) *
										 partition_count);
	AnnoyCellDirectory *next = cells->directories;
	AnnoyChild	root;

	clear_links(top);
	for (int i = 0; i < list->count; i++)
	{
		PartitionCells *p = &partitions[list->results[i].partition];

		set_link(top, list->results[i].partition, &list->results[i].link);
		p->directories = next;
		p->count = list->results[i].directory_count;
		next += p->count;
	}
	for (int i = 1; i < build->shared->process_count; i++)
		read_results(builder, top, partitions, i);
	order_directories(cells, partitions, partition_count);
	if (!AnnoyWriteTop(builder, top, &root))
		elog(ERROR, "no items in a tree");
	AnnoySetChild(build, slot, &root);
	form_batches(build, cells);
	pfree(partitions);
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

/*
 * Splits all items of a tree into cells; fills "cells" and sets the tree's
 * root.  All processes return with the same.
 */
void
AnnoySplitCells(AnnoyBuild *build, int tree, AnnoyCells *cells)
{
	uint64		path = AnnoyHash(AnnoyHash(build->seed, tree), 0);
	CellBuilder builder;
	Subtree		top;
	AnnoySpool *kept;
	AnnoySpoolReader *reader;
	ResultList	list;
	char		name[ANNOY_SPOOL_NAME];
	int			partitions;

	AnnoyInitCellBuilder(&builder, build, tree, cells);
	builder.record_size = MAXALIGN(offsetof(SketchRecord, quantised) +
								   sizeof(int16) * builder.s);
	partitions = grow_top(&builder, &top, &build->sample_set,
						  build->sample_count, build->items, path);
	send_sketches(&builder, &top, partitions, &kept);
	AnnoySynchronise(build);

	list.count = 0;
	list.results = palloc(sizeof(PartitionResult) * (partitions + 1));
	if (build->parallel)
	{
		AnnoySpoolSummary *summaries =
			palloc(sizeof(AnnoySpoolSummary) * build->shared->process_count);

		for (int i = 0; i < build->shared->process_count; i++)
			summaries[i] = build->shared->parts[i].spool;
		reader = AnnoyReadSharedSpools(builder.record_size, partitions,
									   build->files, SKETCH_FILE, summaries,
									   build->shared->process_count, kept);
	}
	else
		reader = AnnoyReadSpool(kept);
	split_partitions(&builder, reader, partitions, path, &list);
	AnnoyEndSpoolReader(reader);
	AnnoyEndSpool(kept);
	if (build->parallel)
		write_results(&builder, &list);

	AnnoySynchronise(build);
	if (build->parallel)
	{
		AnnoyNameSpool(name, SKETCH_FILE, build->process);
		BufFileDeleteFileSet(build->files, name, true);
	}
	if (build->process == 0)
	{
		join_partitions(&builder, &top, partitions, &list);
		if (build->parallel)
			write_cell_list(build, cells);
	}
	AnnoySynchronise(build);
	if (build->process > 0)
		read_cell_list(build, cells);
	build->forest->roots[tree] = build->shared->root;
}

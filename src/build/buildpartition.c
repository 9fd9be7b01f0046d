/*-------------------------------------------------------------------------
 *
 * buildpartition.c
 *	  First step of a tree: dividing its rows into partitions, and splitting
 *	  those into cells (buildsplit.c).
 *
 * Rows of larger norms than M have a partition, and a subtree, of their own
 * (outsized.c).
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
#include "build/buildsplit.h"
#include "build/buildsteps.h"

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
	AnnoySpool *kept;			/* rows of this process's partitions */
	AnnoySpool *sent;			/* and of others'; NULL without workers */
	AnnoySpoolReader *reader;	/* of the former, once all are there */
	CellList   *lists;			/* [count]: the cells of the partitions */
};

/* What has become of a partition; its directories follow. */
typedef struct PartitionResult
{
	int			partition;
	int			directory_count;
	CellList	list;			/* its cells' centroids follow, too */
} PartitionResult;

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
	partitions->top_count = AnnoyGrowTop(&partitions->builder, &partitions->top,
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
		partition = AnnoyFindPartition(partitions->builder.s, &partitions->top,
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
	if (partitions->sent == NULL)
		return;
	AnnoyFinishSpool(partitions->sent, &partitions->build->part->sent);
	AnnoyEndSpool(partitions->sent);
	partitions->sent = NULL;
}

/* Takes what others have sent to this process's partitions. */
static void
receive_records(AnnoyPartitions *partitions)
{
	AnnoyBuild *build = partitions->build;
	int			processes = build->shared->process_count;
	AnnoySpoolSummary *summaries = palloc(sizeof(AnnoySpoolSummary) * processes);
	AnnoySpoolReader *sent;

	for (int i = 0; i < processes; i++)
		summaries[i] = build->shared->parts[i].sent;
	sent = AnnoyReadSharedSpools(build->record_size, partitions->count,
								 build->files, SKETCH_FILE, summaries,
								 processes);
	for (int i = 0; i < partitions->count; i++)
	{
		AnnoySketchRecord *record;
		bool		stays;

		if (!AnnoyIsOwnPart(build, i))
			continue;
		AnnoySeekPartition(sent, i);
		while ((record = AnnoyNextRecord(sent, &stays)) != NULL)
		{
			CHECK_FOR_INTERRUPTS();
			memcpy(AnnoyPutRecord(partitions->kept, i), record,
				   build->record_size);
		}
	}
	AnnoyEndSpoolReader(sent);
	pfree(summaries);
}

/* All processes have sent their rows. */
static void
open_partitions(AnnoyPartitions *partitions)
{
	if (partitions->build->parallel)
		receive_records(partitions);
	AnnoyFinishSpool(partitions->kept, NULL);
	partitions->reader = AnnoyReadSpool(partitions->kept);
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
		AnnoySplitPartition(builder, partitions->reader, partition,
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
	AnnoyJoinTop(&join, 0, &roots[0]);
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

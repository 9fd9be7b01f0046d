/*-------------------------------------------------------------------------
 *
 * buildforest.c
 *	  Building a forest: the steps of all processes, one after the other.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xloginsert.h"
#include "commands/progress.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "annoy.h"
#include "build/buildassign.h"
#include "build/buildpages.h"
#include "build/buildsteps.h"
#include "definition/options.h"

/* Of Lloyd's algorithm over all cells of a small table; see buildmove.c. */
#define MOVE_STEPS 3

/* Tells steps at annoy.verbosity >= 1. */
static void
report_step(AnnoyBuild *build, const char *what, double count)
{
	if (build->process == 0)
		ereport(annoy_verbosity >= 1 ? INFO : DEBUG1,
				(errmsg_internal("annoy index \"%s\": %s %.0f",
								 RelationGetRelationName(build->index), what,
								 count)));
}

/* Writes the metapage's values; block 0 exists. */
static void
write_meta(Relation index, const AnnoyMetaPageData *meta)
{
	Buffer		buffer = AnnoyReadPage(index, ANNOY_META_BLOCK,
									   ANNOY_PAGE_META, BUFFER_LOCK_EXCLUSIVE);

	AnnoyFillMetaPage(BufferGetPage(buffer), meta);
	MarkBufferDirty(buffer);
	UnlockReleaseBuffer(buffer);
	AnnoyForgetForest(index);
}

/* Sends all rows that wait for it to the partitions of a tree. */
static AnnoyPartitions *
send_records(AnnoyBuild *build, int tree)
{
	AnnoyPartitions *partitions = AnnoyBeginPartitions(build, tree);
	AnnoySpoolReader *reader = AnnoyReadSpool(build->records);
	AnnoySketchRecord *record;
	bool		stays;

	AnnoySeekPartition(reader, 0);
	while ((record = AnnoyNextRecord(reader, &stays)) != NULL)
	{
		CHECK_FOR_INTERRUPTS();
		AnnoySendRecord(partitions, record);
	}
	AnnoyEndSpoolReader(reader);
	AnnoyFinishSending(partitions);
	return partitions;
}

/* A tree of rows that were sent, or wait in build->records. */
static void
build_tree(AnnoyBuild *build, int tree, AnnoyPartitions *partitions)
{
	AnnoyCells	cells;
	AnnoyBatchReader *reader;
	MemoryContext context = AllocSetContextCreate(build->context,
												  "annoy tree",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);

	build->inner_block = InvalidBlockNumber;
	AnnoyNextPhase(build, ANNOY_PHASE_SPLIT);
	if (partitions == NULL)
	{
		partitions = send_records(build, tree);
		AnnoySynchronise(build);
	}
	AnnoySplitCells(partitions, &cells);
	AnnoyNextPhase(build, ANNOY_PHASE_ASSIGN);
	reader = AnnoyBeginBatches(partitions, tree, &cells);
	for (int step = 0; build->sizes.small && step < MOVE_STEPS; step++)
	{
		AnnoySynchronise(build);
		AnnoyMoveCentroids(build, tree, &cells, reader);
		AnnoySynchronise(build);
		AnnoyEndBatches(reader);
		reader = AnnoyBeginBatches(partitions, tree, &cells);
	}
	AnnoyNextPhase(build, ANNOY_PHASE_WRITE);
	AnnoyWriteLeaves(build, tree, &cells, reader);
	AnnoySynchronise(build);

	/* a directory that was split may have become another root */
	build->forest->roots[tree] = build->shared->roots[0];
	build->outsized_roots[tree] = build->shared->roots[1];
	AnnoyEndBatches(reader);
	AnnoyEndPartitions(partitions);
	if (build->process == 0)
		ereport(annoy_verbosity >= 2 ? INFO : DEBUG1,
				(errmsg_internal("annoy index \"%s\": tree %d has %u cells in %d directories",
								 RelationGetRelationName(build->index), tree,
								 cells.cell_count, cells.directory_count)));
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
}

/* The leader's part at the end of the trees: what makes them an index. */
static void
write_description(AnnoyBuild *build)
{
	AnnoyForest *forest = build->forest;

	for (int tree = 0; tree < build->n_trees; tree++)
	{
		/* no rows, or none that is not outsized */
		if (build->items == 0 ||
			!BlockNumberIsValid(forest->roots[tree].block))
			AnnoyWriteEmptyTree(build->index, MAIN_FORKNUM, tree,
								forest->meta.sketch_dimensions,
								&forest->roots[tree]);
		if (build->items > 0 && forest->sketcher.outsized_apart)
		{
			forest->meta.flags |= ANNOY_META_OUTSIZED;
			AnnoyAddOutsizedSubtree(build, tree);
		}
	}
	report_step(build, "trees written:", build->n_trees);
	if (build->items > 0 && forest->sketcher.centre)
		forest->meta.centre = AnnoyWriteCentre(build->index,
											   build->space->centre,
											   build->space->dimensions);
	forest->meta.roots = AnnoyWriteRoots(build->index, MAIN_FORKNUM,
										 forest->roots, build->n_trees);
	write_meta(build->index, &forest->meta);
}

/* Logs what no process has logged yet. */
static void
log_description(AnnoyBuild *build)
{
	AnnoyMetaPageData *meta = &build->forest->meta;

	if (!build->logged)
		return;
	if (build->items == 0)
	{
		log_newpage_range(build->index, MAIN_FORKNUM, 0,
						  RelationGetNumberOfBlocks(build->index), true);
		return;
	}
	AnnoyLogPageList(build, ANNOY_META_BLOCK);
	AnnoyLogPageList(build, meta->tail);
	AnnoyLogPageList(build, meta->centre);
	AnnoyLogPageList(build, meta->roots);
}

/*
 * What is left when all processes have searched for their members: the budget,
 * and the leader's own pages in WAL.
 */
static void
finish_index(AnnoyBuild *build)
{
	if (build->items > 0)
	{
		build->forest->meta.search_k = AnnoyCalibrate(build);
		build->forest->meta.built_blocks =
			RelationGetNumberOfBlocks(build->index);
		write_meta(build->index, &build->forest->meta);
		report_step(build, "search_k for a recall@10 of 0.95:",
					build->forest->meta.search_k);
	}
	log_description(build);
}

void
AnnoyBuildForest(AnnoyBuild *build, struct IndexInfo *index_info,
				 struct TableScanDescData *scan)
{
	AnnoyPartitions *first = NULL;

	AnnoySetProgress(build, PROGRESS_CREATEIDX_SUBPHASE, ANNOY_PHASE_LOAD);
	if (build->n_trees == 1)
		first = AnnoyBeginPartitions(build, 0);
	else
		build->records = AnnoyBeginSpool(build->record_size, 1,
										 AnnoyShareMemory(build, ANNOY_RECORDS_SHARE / 2),
										 0, NULL, NULL);
	AnnoyLoadRows(build, first, index_info, scan);
	if (first)
		AnnoyFinishSending(first);
	else
		AnnoyFinishSpool(build->records, NULL);
	AnnoySynchronise(build);
	AnnoyFinishLoad(build);
	report_step(build, "rows loaded:", build->items + build->tail_items);
	if (build->items > 0)
		for (int tree = 0; tree < build->n_trees; tree++)
			build_tree(build, tree, first);
	else if (first)
		AnnoyEndPartitions(first);
	if (build->records)
		AnnoyEndSpool(build->records);
	build->records = NULL;
	if (build->process == 0)
		write_description(build);
	if (build->items > 0)
	{
		AnnoyNextPhase(build, ANNOY_PHASE_CALIBRATE);
		AnnoyLogOpenPages(build);
		AnnoyEndPages(build);
		AnnoyLocateMembers(build);
		AnnoySynchronise(build);
	}
	if (build->process == 0)
		finish_index(build);
}

/*-------------------------------------------------------------------------
 *
 * build.c
 *	  Building an index: the steps.
 *
 * The table is read once, by the leader and perhaps workers, each a part of it
 * (buildload.c).  Each process keeps its rows; those with the smallest
 * hash(seed, TID) of all are a sample, and its mean is the centre of the
 * sketch space.  For each tree then
 *
 *	1. all items are split into cells (buildpartition.c, buildcells.c,
 *	   buildrefine.c), which gives hyperplanes, directories and the cells'
 *	   centroids;
 *	2. each item is assigned to the cell with the nearest centroid that the
 *	   walk finds (buildassign.c);
 *	3. the cells become leaves (buildleaves.c).  For the first tree the items
 *	   themselves are written, in the order of its leaves; further trees read
 *	   them from there.
 *
 * Each of these steps has two halves.  In the first, every process sends its
 * own items to partitions, or to batches of cells.  In the second, every
 * process does with its part of those, and the items of all in it, what there
 * is to do.  Between the halves the processes meet.
 *
 * Nothing depends on the order in which rows come, nor on the memory, nor on
 * the number of processes: sets are ordered by TID before they are split,
 * random streams are seeded by hash(seed, tree, path to the node), and sizes
 * are constants.  Only the order of pages does.
 *
 * Pages are written through shared buffers and logged when they are complete
 * (buildpages.c).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xloginsert.h"
#include "catalog/index.h"
#include "catalog/indexing.h"
#include "catalog/pg_index.h"
#include "commands/progress.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/bufmgr.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "annoy.h"
#include "annoycompat.h"
#include "build/build.h"
#include "definition/options.h"

/* ---------------------------------------------------------------------
 * Phases
 * ---------------------------------------------------------------------
 */

static void
set_progress(AnnoyBuild *build, int parameter, int64 value)
{
	if (build->process == 0)
		pgstat_progress_update_param(parameter, value);
}

/* Counts a row that a process is done with; the leader reports all of them. */
void
AnnoyCountRow(AnnoyBuild *build, int64 *rows)
{
	if (++*rows % ANNOY_PROGRESS_ROWS == 0)
	{
		uint64		before = pg_atomic_fetch_add_u64(&build->shared->rows_done,
													 ANNOY_PROGRESS_ROWS);

		set_progress(build, PROGRESS_CREATEIDX_TUPLES_DONE,
					 before + ANNOY_PROGRESS_ROWS);
	}
}

/*
 * All processes have to come here before any goes on.  Work is taken from the
 * first piece on again.  phase: what comes, for those who watch; 0: the same
 * as before.
 */
void
AnnoyNextPhase(AnnoyBuild *build, int phase)
{
	AnnoyBuildShared *shared = build->shared;

	AnnoySynchronise(build);
	if (build->process == 0)
	{
		pg_atomic_write_u64(&shared->next, 0);
		shared->item_blocks = RelationGetNumberOfBlocks(build->index);
		if (phase > 0)
		{
			pg_atomic_write_u64(&shared->rows_done, 0);
			set_progress(build, PROGRESS_CREATEIDX_SUBPHASE, phase);
			set_progress(build, PROGRESS_CREATEIDX_TUPLES_TOTAL, build->items);
			set_progress(build, PROGRESS_CREATEIDX_TUPLES_DONE, 0);
		}
	}
	AnnoySynchronise(build);
}

/* Which of the processes that take part this one is. */
static void
take_turns(AnnoyBuild *build)
{
	for (int i = 0; i < build->shared->process_count; i++)
		if (build->shared->parts[i].joined)
		{
			if (i == build->process)
				build->turn = build->joined_count;
			build->joined_count++;
		}
}

/*
 * A table of fewer rows may be one that has not been filled yet.  From about so
 * many on an index has several leaves at any number of dimensions, and the
 * calibration members enough that are not neighbours.
 */
#define FEW_ROWS 1000

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

static void
build_tree(AnnoyBuild *build, int tree)
{
	AnnoyCells	cells;
	AnnoyBatchReader *reader;
	MemoryContext context = AllocSetContextCreate(build->context,
												  "annoy tree",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);

	build->inner_block = InvalidBlockNumber;
	AnnoyNextPhase(build, ANNOY_PHASE_SPLIT);
	AnnoySplitCells(build, tree, &cells);
	AnnoyNextPhase(build, ANNOY_PHASE_ASSIGN);
	reader = AnnoyBeginBatches(build, tree, &cells);
	AnnoyNextPhase(build, ANNOY_PHASE_WRITE);
	AnnoyWriteLeaves(build, tree, &cells, reader);
	AnnoySynchronise(build);

	/* a directory that was split may have become another root */
	build->forest->roots[tree] = build->shared->root;
	AnnoyEndBatches(reader);
	AnnoyDeleteItemFiles(build);
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

	if (build->items == 0)
		for (int tree = 0; tree < build->n_trees; tree++)
			AnnoyWriteEmptyTree(build->index, MAIN_FORKNUM, tree,
								forest->meta.sketch_dimensions,
								&forest->roots[tree]);
	else if (forest->meta.metric == ANNOY_METRIC_INNER_PRODUCT &&
			 forest->sketcher.max_norm > 0)
	{
		forest->meta.flags |= ANNOY_META_OUTSIZED;
		for (int tree = 0; tree < build->n_trees; tree++)
			AnnoyAddOutsizedSubtree(build, tree);
	}
	report_step(build, "trees written:", build->n_trees);
	forest->meta.roots = AnnoyWriteRoots(build->index, MAIN_FORKNUM,
										 forest->roots, build->n_trees);
	write_meta(build->index, &forest->meta);
}

/*
 * What all processes do, from the first row to the searches that calibrate.
 * work_mem: kB that this process may take.  scan: its part of the table, or
 * NULL for all of it.
 */
void
AnnoyBuildForest(AnnoyBuild *build, int work_mem, struct IndexInfo *index_info,
				 struct TableScanDescData *scan)
{
	set_progress(build, PROGRESS_CREATEIDX_SUBPHASE, ANNOY_PHASE_LOAD);
	AnnoyLoadRows(build, work_mem, index_info, scan);
	AnnoySynchronise(build);
	report_step(build, "rows loaded:",
				build->shared->items + build->shared->tail_items);
	take_turns(build);
	AnnoyFixSpace(build, work_mem);
	if (build->items > 0)
		for (int tree = 0; tree < build->n_trees; tree++)
			build_tree(build, tree);
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
}

/* ---------------------------------------------------------------------
 * Callbacks
 * ---------------------------------------------------------------------
 */

/* A process's own state, in the current memory context. */
void
AnnoyBeginBuild(AnnoyBuild *build, Relation heap, Relation index,
				AnnoyBuildShared *shared, int process)
{
	memset(build, 0, sizeof(AnnoyBuild));
	build->heap = heap;
	build->index = index;
	build->opclass = AnnoyGetOpclassInfo(index);
	build->seed = AnnoyGetSeed(index, process == 0);
	build->n_trees = AnnoyGetBuiltTreeCount(index);
	build->logged = RelationNeedsWAL(index);
	build->context = AllocSetContextCreate(CurrentMemoryContext, "annoy build",
										   ALLOCSET_DEFAULT_SIZES);
	build->row_context = AllocSetContextCreate(build->context, "annoy row",
											   ALLOCSET_DEFAULT_SIZES);
	build->shared = shared;
	build->process = process;
	build->part = &shared->parts[process];
	build->parallel = shared->process_count > 1;
	build->files = build->parallel ? &shared->files.fs : NULL;
	build->extender.index = index;
	build->extender.shared = build->parallel;
	build->writer.index = index;
	build->writer.extender = &build->extender;
	build->writer.buffer = InvalidBuffer;
	build->tail = InvalidBuffer;
}

/*
 * The pages that come first: block 0, and the tail's head, whose number is
 * returned.  Before there are workers, or theirs would be block 0.
 */
static BlockNumber
add_first_pages(Relation index)
{
	Buffer		buffer;
	BlockNumber tail;

	buffer = AnnoyExtend(index, MAIN_FORKNUM, ANNOY_PAGE_META, 0);
	Assert(BufferGetBlockNumber(buffer) == ANNOY_META_BLOCK);
	UnlockReleaseBuffer(buffer);
	buffer = AnnoyExtend(index, MAIN_FORKNUM, ANNOY_PAGE_TAIL, 0);
	tail = BufferGetBlockNumber(buffer);
	UnlockReleaseBuffer(buffer);
	return tail;
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
 * Tells who creates an index that it is made of few rows.  A REINDEX, TRUNCATE
 * or VACUUM FULL is not about that.
 */
static void
report_few_rows(Relation index, bool concurrent, double rows)
{
	const char *name = RelationGetRelationName(index);

	if (rows >= FEW_ROWS ||
		ReindexIsProcessingIndex(RelationGetRelid(index)) ||
		!(concurrent || index->rd_createSubid != InvalidSubTransactionId))
		return;
	ereport(NOTICE,
			(errmsg("index \"%s\" was created on only %.0f rows", name, rows),
			 errdetail("What it takes from its rows, such as the automatic search_k, is right for a table like that."),
			 errhint("Run REINDEX INDEX CONCURRENTLY %s when the table has most of its rows.",
					 quote_identifier(name))));
}

/*
 * For a REINDEX that has left out rows which old snapshots may see: these do not
 * use the index.  The server sees to that for a new index (index_build), but
 * takes it that a REINDEX finds all rows that were in the index before.
 */
static void
hide_from_old_snapshots(Relation index)
{
	Relation	catalog = table_open(IndexRelationId, RowExclusiveLock);
	HeapTuple	tuple = SearchSysCacheCopy1(INDEXRELID,
											ObjectIdGetDatum(RelationGetRelid(index)));

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for index %u",
			 RelationGetRelid(index));
	((Form_pg_index) GETSTRUCT(tuple))->indcheckxmin = true;
	CatalogTupleUpdate(catalog, &tuple->t_self, tuple);
	heap_freetuple(tuple);
	table_close(catalog, RowExclusiveLock);
}

IndexBuildResult *
annoybuild(Relation heap, Relation index, struct IndexInfo *index_info)
{
	AnnoyBuild	build;
	AnnoyBuildShared *shared = NULL;
	TableScanDesc scan = NULL;
	AnnoyWorkers *workers;
	IndexBuildResult *result = palloc(sizeof(IndexBuildResult));
	BlockNumber tail;
	bool		left_out;
	MemoryContext old;

	if (RelationGetNumberOfBlocks(index) != 0)
		elog(ERROR, "index \"%s\" already contains data",
			 RelationGetRelationName(index));
	tail = add_first_pages(index);
	workers = AnnoyStartWorkers(heap, index, index_info, &shared, &scan);
	if (workers == NULL)
		shared = AnnoyInitShared(NULL, heap, index, index_info->ii_Concurrent,
								 1);
	AnnoyBeginBuild(&build, heap, index, shared, 0);
	old = MemoryContextSwitchTo(build.context);
	build.tail = ReadBuffer(index, tail);
	build.part->tail_first = build.part->tail_last = tail;
	AnnoyBuildForest(&build, maintenance_work_mem / shared->process_count,
					 index_info, scan);
	if (build.items > 0)
	{
		build.forest->meta.search_k = AnnoyCalibrate(&build);
		write_meta(index, &build.forest->meta);
		report_step(&build, "search_k for a recall@10 of 0.95:",
					build.forest->meta.search_k);
	}
	log_description(&build);

	left_out = shared->rows_left_out;
	index_info->ii_BrokenHotChain |= shared->broken_hot_chain || left_out;
	result->heap_tuples = shared->heap_tuples;
	result->index_tuples = build.items + build.tail_items;
	report_few_rows(index, index_info->ii_Concurrent, result->index_tuples);
	if (workers)
		AnnoyEndWorkers(workers);
	else
		pfree(shared);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(build.context);
	if (left_out && ReindexIsProcessingIndex(RelationGetRelid(index)))
		hide_from_old_snapshots(index);
	return result;
}

/*
 * The init fork of an unlogged index: an index without rows, of which every
 * page is logged here because it has to reach the disk with WAL even though
 * the relation has none.
 */
void
annoybuildempty(Relation index)
{
	AnnoyMetaPageData meta;
	AnnoyChild *roots;
	Buffer		buffer;
	BlockNumber blocks;

	buffer = AnnoyExtend(index, INIT_FORKNUM, ANNOY_PAGE_META, 0);
	UnlockReleaseBuffer(buffer);
	buffer = AnnoyExtend(index, INIT_FORKNUM, ANNOY_PAGE_TAIL, 0);

	memset(&meta, 0, sizeof(meta));
	meta.magic = ANNOY_MAGIC;
	meta.format_version = ANNOY_FORMAT_VERSION;
	meta.metric = AnnoyGetOpclassInfo(index)->metric;
	meta.element = AnnoyGetOpclassInfo(index)->element->kind;
	meta.n_trees = AnnoyGetBuiltTreeCount(index);
	meta.seed = AnnoyGetSeed(index, false);
	meta.epsilon = ANNOY_DEFAULT_EPSILON;
	meta.centre = InvalidBlockNumber;
	meta.tail = BufferGetBlockNumber(buffer);
	UnlockReleaseBuffer(buffer);

	roots = palloc(sizeof(AnnoyChild) * meta.n_trees);
	for (int tree = 0; tree < meta.n_trees; tree++)
		AnnoyWriteEmptyTree(index, INIT_FORKNUM, tree, 0, &roots[tree]);
	meta.roots = AnnoyWriteRoots(index, INIT_FORKNUM, roots, meta.n_trees);
	pfree(roots);

	buffer = ReadBufferExtended(index, INIT_FORKNUM, ANNOY_META_BLOCK,
								RBM_NORMAL, NULL);
	LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
	AnnoyFillMetaPage(BufferGetPage(buffer), &meta);
	MarkBufferDirty(buffer);
	UnlockReleaseBuffer(buffer);

	blocks = RelationGetNumberOfBlocksInFork(index, INIT_FORKNUM);
	log_newpage_range(index, INIT_FORKNUM, 0, blocks, true);
}

/*-------------------------------------------------------------------------
 *
 * build.c
 *	  Building an index: the callbacks; buildforest.c takes the steps.
 *
 * The leader takes a sample: the rows with the smallest hash(seed, TID) of all,
 * or, of a large table, of some of its blocks (buildspace.c).  Its mean is the
 * centre of the sketch space.  Then the table is read once, by the leader and
 * perhaps workers, each a part of it (buildload.c); of each row its sketch is
 * kept.  For each tree
 *
 *	1. all rows are sent to partitions, by hyperplanes of the sample, and split
 *	   into cells (buildpartition.c, buildcells.c, buildrefine.c), which gives
 *	   hyperplanes, directories and the cells' centroids;
 *	2. each row is assigned to the cell with the nearest centroid that the
 *	   walk finds (buildassign.c);
 *	3. the cells become leaves (buildleaves.c).
 *
 * Between these steps the processes meet: each sends its rows to partitions,
 * splits its part of the partitions with the rows of all in them, assigns these,
 * and writes its part of the leaves.
 *
 * buildstate.c has what all steps share; workers (buildparallel.c) take the same
 * steps as the leader (buildforest.c).
 *
 * Nothing depends on the order in which rows come, nor on the memory, nor on
 * the number of processes: sets are ordered by TID before they are split,
 * random streams are seeded by hash(seed, tree, path to the node), and sizes
 * are functions of the table (AnnoyBuildSizes).  Only the order of pages does.
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
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "annoy.h"
#include "annoycompat.h"
#include "build/buildparallel.h"
#include "build/buildsteps.h"
#include "definition/options.h"

/*
 * A table of fewer rows may be one that has not been filled yet.  From about so
 * many on an index has several leaves at any number of dimensions, and the
 * calibration members enough that are not neighbours.
 */
#define FEW_ROWS 1000

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

static void
check_memory(Relation index, const AnnoySpace *space)
{
	AnnoyBuildSizes sizes;

	AnnoyGetBuildSizes(&sizes, space->dimensions, space->rows);
	if (maintenance_work_mem < sizes.least_memory)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_RESOURCES),
				 errmsg("maintenance_work_mem is too small to build annoy index \"%s\"",
						RelationGetRelationName(index)),
				 errdetail("A table of this size with vectors of %d dimensions needs at least %d kB, and %d kB are set.",
						   space->dimensions, sizes.least_memory,
						   maintenance_work_mem)));
}

IndexBuildResult *
annoybuild(Relation heap, Relation index, struct IndexInfo *index_info)
{
	AnnoyBuild	build;
	AnnoyBuildShared *shared = NULL;
	TableScanDesc scan = NULL;
	AnnoyWorkers *workers;
	AnnoySpace *space;
	IndexBuildResult *result = palloc(sizeof(IndexBuildResult));
	BlockNumber tail;
	bool		left_out;
	MemoryContext old;

	if (RelationGetNumberOfBlocks(index) != 0)
		elog(ERROR, "index \"%s\" already contains data",
			 RelationGetRelationName(index));
	tail = add_first_pages(index);
	space = AnnoyFindSpace(heap, index, index_info,
						   AnnoyGetSeed(index, true));
	check_memory(index, space);
	workers = AnnoyStartWorkers(heap, index, index_info, space, &shared, &scan);
	if (workers == NULL)
		shared = AnnoyInitShared(NULL, heap, index, index_info->ii_Concurrent,
								 1);
	AnnoyBeginBuild(&build, heap, index, shared, 0);
	old = MemoryContextSwitchTo(build.context);
	build.tail = ReadBuffer(index, tail);
	build.part->tail_first = build.part->tail_last = tail;
	AnnoyUseSpace(&build, space, maintenance_work_mem / shared->process_count);
	AnnoyBuildForest(&build, index_info, scan);

	left_out = shared->rows_left_out;
	index_info->ii_BrokenHotChain |= shared->broken_hot_chain || left_out;
	result->heap_tuples = shared->heap_tuples;
	result->index_tuples = build.items + build.tail_items;
	report_few_rows(index, index_info->ii_Concurrent, result->index_tuples);
	if (workers)
		AnnoyEndWorkers(workers);
	else
		pfree(shared);
	pfree(space);
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

/*-------------------------------------------------------------------------
 *
 * check.c
 *	  annoy_index_check: verifies an index, in the manner of contrib/amcheck.
 *
 * What is verified, and in which order:
 *
 *	lists		Centre and roots have as many pages and elements as the metapage
 *				says, and finite ones (checkpages.c).
 *	pages		Every page has the access method's id and is of a known kind, or
 *				all zeroes: added by an insert that did not need it.  Counts are
 *				possible and match the free space; flags, tree numbers and links
 *				are in range.
 *	right links	lead from directory to directory and from leaf to leaf of one
 *				tree, to an end, and match the versions.
 *	tail		The list and its list of free pages end; entries name rows that
 *				have no distance, and tell NULL from undefined ones.
 *	trees		From each root every node, directory, leaf and chained page is
 *				reached exactly once.  A directory names its parent, and links
 *				have the versions of their pages.  A leaf has the centroid that
 *				its directory says, or that whose code it has (checktree.c).
 *				Each of its entries names a place of the table where a row may
 *				be, and is, to the last bit, what the row gives when it is
 *				encoded anew (checkrows.c).
 *	leaks		Every page of the beginning that is of any use was reached.
 *	rows		Every visible row that is in the index is in every tree exactly
 *				once, or in the tail exactly once.  With heapallindexed, these
 *				are all rows of the table that have to be there, and no others.
 *
 * The check reads only, locks one page at a time, and runs beside inserts and
 * VACUUM.  What it reads are therefore pages of different moments, and it gives
 * no false alarms for these reasons:
 *
 * - A snapshot is taken before anything else.  A row that is visible to it was
 *	 in the index before, wholly, and stays there, for VACUUM may not remove it.
 *	 So an entry of its TID is its entry and no other row's, whenever it is read.
 *	 Entries of rows that the snapshot does not see say nothing, and are passed
 *	 over.
 * - A split while the check goes on may give a row that was deleted since the
 *	 snapshot a code that says nothing.  So a row whose entry is another than
 *	 expected has to be live after its leaf was read.
 * - Pages of trees and lists are linked by the record that makes them, and are
 *	 never unlinked or freed while the index is in use.  So what was there when
 *	 all pages were read is found by the walks, which come later; and walks by
 *	 versions and right links meet nothing twice (checktree.c).  Pages that were
 *	 of no use then may be anything later, and lie anywhere: of these it is only
 *	 asked that they are not met twice.
 * - Versions only grow, and link and page change by one record: of two readings
 *	 the later one is not older.
 *
 * A crash, or an insert that ended by an error, may leave pages of an unused
 * centre or former geometry.  They do no harm, and their number is only told at
 * DEBUG1.
 *
 * Each entry of each tree costs a fetch of its row from the table, in the order
 * of leaves, which is no order of the table; where values are TOASTed, of these,
 * too.  A check of an index is thus about as expensive as reading its table once
 * a tree, at random.  Memory: 24 bytes for each page and one for each node, less
 * than 0.5 % of the index.  The places of all rows are sorted, within
 * maintenance_work_mem and else on disk.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/table.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/index.h"
#include "catalog/pg_operator_d.h"
#include "catalog/pg_type_d.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "annoycompat.h"
#include "check/check.h"
#include "table/indexaccess.h"
#include "table/owner.h"

PG_FUNCTION_INFO_V1(annoy_index_check);

/* What needs the metapage, which is verified here. */
static void
begin_check(AnnoyCheck *check)
{
	AnnoyMetaPageData meta;
	int			dimensions;

	check->page_count = RelationGetNumberOfBlocks(check->index);
	if (check->page_count == 0)
		AnnoyReportCorruption(check->index, ANNOY_META_BLOCK, "no metapage");
	check->strategy = GetAccessStrategy(BAS_BULKREAD);
	check->pages_allocated = check->page_count;
	check->pages = palloc_extended(sizeof(AnnoyCheckedPage) *
								   (Size) check->page_count,
								   MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);

	/* from the pages, not from the relation cache */
	AnnoyForgetForest(check->index);
	AnnoyReadMeta(check->index, &meta);
	AnnoyVerifyArrays(check, &meta);
	check->forest = AnnoyLoadForest(check->index, CurrentMemoryContext);
	check->s = check->forest->meta.sketch_dimensions;
	check->element = AnnoyGetOpclassInfo(check->index)->element;

	dimensions = Max(check->forest->meta.dimensions, 1);
	check->floats = palloc(sizeof(float) * dimensions);
	check->scratch = palloc(sizeof(float) * AnnoySketchScratch(dimensions));
	check->sketch = palloc(sizeof(float) * Max(check->s, 1));
	check->places = tuplesort_begin_datum(INT8OID, Int8LessOperator, InvalidOid,
										  false, maintenance_work_mem, NULL,
										  TUPLESORT_NONE);
	AnnoyBeginRowReader(&check->reader, check->heap, check->index);
}

static void
check_index(AnnoyCheck *check)
{
	begin_check(check);
	AnnoyVerifyPages(check);
	AnnoyVerifyRightLinks(check);
	AnnoyVerifyTail(check);

	/*
	 * An index that was built without rows has no entries before the first row
	 * fixes the number of dimensions.  If that happens meanwhile, the row is
	 * not visible to our snapshot.
	 */
	for (int tree = 0; check->s > 0 && tree < check->forest->meta.n_trees; tree++)
		AnnoyVerifyTree(check, tree);
	AnnoyVerifyReached(check);
	AnnoyVerifyRows(check);

	ereport(DEBUG1,
			(errmsg_internal("annoy index \"%s\": %u pages, %d trees, %lld rows of the table compared, %lld pages without use",
							 RelationGetRelationName(check->index),
							 check->page_count, check->forest->meta.n_trees,
							 (long long) check->heap_row_count,
							 (long long) check->orphans)));
}

/*
 * A transaction of an isolation level that keeps its snapshot may be older than
 * the index and see rows that it need not have (see amcheck's
 * bt_check_every_level).  So the check takes a new one.
 */
static void
check_with_snapshot(Relation heap, Relation index, bool heap_all_indexed)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "annoy check",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	AnnoyCheck	check;

	memset(&check, 0, sizeof(AnnoyCheck));
	check.heap = heap;
	check.index = index;
	check.heap_all_indexed = heap_all_indexed;
	check.page_context = AllocSetContextCreate(context, "annoy check page",
											   ALLOCSET_DEFAULT_SIZES);
	check.snapshot = RegisterSnapshot(GetLatestSnapshot());
	check_index(&check);
	AnnoyEndRowReader(&check.reader);
	UnregisterSnapshot(check.snapshot);

	tuplesort_end(check.places);
	FreeAccessStrategy(check.strategy);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
}

/*
 * annoy_index_check(index regclass, heapallindexed boolean) returns void
 *
 * Errors out with ERRCODE_INDEX_CORRUPTED if the index is damaged.  The table
 * is locked before the index, as everywhere, so that no deadlock can come of
 * it; both until the end of the statement only.
 */
Datum
annoy_index_check(PG_FUNCTION_ARGS)
{
	Oid			index_oid = PG_GETARG_OID(0);
	bool		heap_all_indexed = PG_GETARG_BOOL(1);
	Oid			heap_oid = IndexGetRelation(index_oid, true);
	Relation	heap = NULL;
	Relation	index;
	AnnoyCaller caller;

	/* what is no index is reported when it is opened as one */
	if (OidIsValid(heap_oid))
		heap = table_open(heap_oid, AccessShareLock);
	index = AnnoyOpenIndex(index_oid);
	if (heap == NULL || heap_oid != IndexGetRelation(index_oid, false))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("could not open the table of index \"%s\"",
						RelationGetRelationName(index))));

	if (index->rd_rel->relpersistence == RELPERSISTENCE_UNLOGGED &&
		RecoveryInProgress())
		ereport(NOTICE,
				(errcode(ERRCODE_READ_ONLY_SQL_TRANSACTION),
				 errmsg("cannot verify unlogged index \"%s\" during recovery, skipping",
						RelationGetRelationName(index))));
	else
	{
		AnnoyBecomeOwner(&caller, heap, index);
		check_with_snapshot(heap, index, heap_all_indexed);
		AnnoyBecomeCaller(&caller);
	}
	index_close(index, AccessShareLock);
	table_close(heap, AccessShareLock);
	PG_RETURN_VOID();
}

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
 *				possible and match pd_lower; flags, tree numbers and links are
 *				in range.
 *	right links	lead from directory to directory and from leaf to leaf of one
 *				tree, to an end, and match the versions.
 *	items		Line pointers lie on the page and do not overlap.  A live item's
 *				parts are there, belong to it alone and add up to its length,
 *				and it has the index's number of dimensions (checkitems.c).
 *	tail		The list and its list of free pages end; entries are in range.
 *	trees		From each root every node, directory, leaf and chained page is
 *				reached exactly once.  A directory names its parent, and links
 *				have the versions of their pages.  A leaf has the centroid that
 *				its directory says, or that whose code it has.  Each of its
 *				entries is, to the last bit, what its item gives when it is
 *				encoded anew (checktree.c).
 *				Every live item is in every tree exactly once.
 *	leaks		Every page of the beginning was reached.
 *	rows		No heap TID is there twice.  With heapallindexed: every visible
 *				row of the table is there, as an item with the row's value or in
 *				the tail, where it belongs.
 *
 * The check reads only, locks one page at a time, and runs beside inserts and
 * VACUUM.  What it reads are therefore pages of different moments, and it gives
 * no false alarms for these reasons:
 *
 * - A snapshot is taken before anything else.  A row that is visible to it was
 *	 in the index before, wholly, and stays there, for VACUUM may not remove it.
 *	 Items are required to be in all trees, and forbidden to be there twice,
 *	 only if their rows are such ones.  That is looked up for those items only
 *	 that are not found exactly once.
 * - Pages of trees and lists are linked by the record that makes them, and are
 *	 never unlinked, freed or made pages of another kind.  So what was there when
 *	 all pages were read is found by the walks, which come later; and walks by
 *	 versions and right links meet nothing twice (checktree.c).
 * - Versions only grow, and link and page change by one record: of two readings
 *	 the later one is not older.
 * - What can be changed by VACUUM and by inserts into slots that became free (an
 *	 entry whose item is not there, an item whose parts do not fit) is read
 *	 again before it is reported.
 *
 * A crash, or an insert that ended by an error, may leave parts of a long value
 * without their first one, and pages of an unused centre or former geometry.
 * They do no harm, and their number is only told at DEBUG1.
 *
 * Memory: 24 bytes for each page, and up to three bits for each line pointer of
 * the item pages, are the only things that grow with the index: together less
 * than 0.5 % of its size.  Rows are compared by sorting them, within
 * maintenance_work_mem.
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

/* The index's and the table's rows share maintenance_work_mem. */
static Tuplesortstate *
begin_sort(void)
{
	return tuplesort_begin_datum(INT8OID, Int8LessOperator, InvalidOid, false,
								 maintenance_work_mem / 2, NULL, 0);
}

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
	check->value_room = sizeof(float) * (check->element->max_dimensions + 16);
	check->value = palloc(check->value_room);
	check->floats = palloc(sizeof(float) * dimensions);
	check->scratch = palloc(sizeof(float) * AnnoySketchScratch(dimensions));
	check->sketch = palloc(sizeof(float) * Max(check->s, 1));
	check->index_rows = begin_sort();
	if (check->heap_all_indexed)
		check->heap_rows = begin_sort();
}

static void
check_index(AnnoyCheck *check)
{
	begin_check(check);
	AnnoyVerifyPages(check);
	AnnoyVerifyRightLinks(check);
	AnnoyVerifyItems(check);
	AnnoyVerifyTail(check);

	/*
	 * An index that was built without rows has no items before the first row
	 * fixes the number of dimensions.  If that happens meanwhile, the row is
	 * not visible to our snapshot.
	 */
	for (int tree = 0; check->s > 0 && tree < check->forest->meta.n_trees; tree++)
		AnnoyVerifyTree(check, tree);
	AnnoyVerifyReached(check);
	AnnoyVerifyRows(check);

	ereport(DEBUG1,
			(errmsg_internal("annoy index \"%s\": %u pages, %d trees, %lld rows of the table compared, %lld parts or pages without use",
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
	check.row_context = AllocSetContextCreate(context, "annoy check row",
											  ALLOCSET_DEFAULT_SIZES);
	check.snapshot = RegisterSnapshot(GetLatestSnapshot());
	check_index(&check);
	UnregisterSnapshot(check.snapshot);

	tuplesort_end(check.index_rows);
	if (check.heap_rows)
		tuplesort_end(check.heap_rows);
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

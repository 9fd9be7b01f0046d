/*-------------------------------------------------------------------------
 *
 * estimatorcount.c
 *	  Number of items of an index.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "access/tableam.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "storage/predicate.h"
#include "utils/snapmgr.h"

#include "annoycompat.h"
#include "estimator/estimator.h"
#include "forest/search.h"
#include "table/rows.h"

static int64
count_column(Relation heap, AttrNumber column)
{
	TupleTableSlot *slot = table_slot_create(heap, NULL);
	TableScanDesc scan = table_beginscan_strat(heap, GetActiveSnapshot(), 0,
											   NULL, true, true);
	int64		count = 0;

	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		CHECK_FOR_INTERRUPTS();
		if (!slot_attisnull(slot, column))
			count++;
	}
	table_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	return count;
}

/* The index tells what an expression or a condition has once decided. */
static int64
count_entries(Relation heap, Relation index)
{
	Snapshot	snapshot = GetActiveSnapshot();
	AnnoySearchLimits limits = {.search_k = 1,.max_items = 1,.snapshot = snapshot};
	AnnoySearch *search = AnnoyBeginSearch(heap, index);
	AnnoySearchResult result;
	int64		count = 0;

	/* as index_beginscan does for access methods without locks of their own */
	PredicateLockRelation(index, snapshot);

	/* no query: all rows, those without a value at the end */
	AnnoyStartSearch(search, NULL, &limits);
	while (AnnoyNextResult(search, INFINITY, &result) &&
		   !result.no_value)
		if (table_index_fetch_tuple_check(heap, &result.heap_tid, snapshot, NULL))
			count++;
	AnnoyEndSearch(search);
	return count;
}

int64
AnnoyCountRows(Relation heap, Relation index)
{
	if (AnnoyIsPlainColumn(index))
		return count_column(heap, index->rd_index->indkey.values[0]);
	return count_entries(heap, index);
}

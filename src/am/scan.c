/*-------------------------------------------------------------------------
 *
 * scan.c
 *	  Ordered index scans.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <limits.h>
#include <math.h>

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relscan.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "am/collect.h"
#include "am/scan.h"
#include "annoy.h"
#include "annoycompat.h"
#include "definition/options.h"
#include "forest/search.h"

PG_FUNCTION_INFO_V1(annoy_last_scan);

/*
 * The bounds of a scan with more than the calibrated budget leave more room, so
 * that recall can grow to 1: EPSILON_CURVE * x^2 standard deviations for 2^x
 * times the budget.  Measured on GloVe, where a linear step of 0.35 took 30 %
 * more exact distances at recall 0.99; 14 times the budget gives recall 1.
 */
#define EPSILON_CURVE 0.1

/* Rows that will be taken, at the least, of a scan of which nobody knows. */
#define USUAL_ROWS 10

typedef struct AnnoyScan
{
	AnnoySearch *search;		/* made at the first rescan */
	MemoryContext context;		/* of the search and the query's value */
	struct varlena *query;		/* detoasted copy, or NULL */
	bool		started;		/* a row of this rescan was asked for */
	uint64		generation;		/* counts rescans */
	bool		sorted_above;	/* the caller sorts the rows */
	bool		unbounded;		/* no setting ends it early */
	double		ceiling;		/* only nearer rows, for the time being */
	Oid			distance_type;	/* of the ordering operator */
	int			neighbors;		/* rows that will be asked for; 0: unknown */
	int			search_k;		/* of this scan alone, or ANNOY_AUTOMATIC */
} AnnoyScan;

/* annoy_last_scan(): of this session. */
static AnnoySearchStatistics last_scan;

IndexScanDesc
annoybeginscan(Relation index, int nkeys, int norderbys)
{
	IndexScanDesc scan = RelationGetIndexScan(index, nkeys, norderbys);
	AnnoyScan  *state = palloc0(sizeof(AnnoyScan));

	state->context = AllocSetContextCreate(CurrentMemoryContext, "annoy scan",
										   ALLOCSET_DEFAULT_SIZES);
	state->distance_type = FLOAT8OID;
	state->search_k = ANNOY_AUTOMATIC;
	state->ceiling = INFINITY;
	scan->opaque = state;
	if (norderbys > 0)
	{
		scan->xs_orderbyvals = palloc0(sizeof(Datum) * norderbys);
		scan->xs_orderbynulls = palloc(sizeof(bool) * norderbys);
		memset(scan->xs_orderbynulls, true, sizeof(bool) * norderbys);
	}
	return scan;
}

void
annoyrescan(IndexScanDesc scan, ScanKey keys, int nkeys, ScanKey orderbys,
			int norderbys)
{
	AnnoyScan  *state = scan->opaque;

	if (keys && scan->numberOfKeys > 0)
		memmove(scan->keyData, keys, scan->numberOfKeys * sizeof(ScanKeyData));
	if (orderbys && scan->numberOfOrderBys > 0)
		memmove(scan->orderByData, orderbys,
				scan->numberOfOrderBys * sizeof(ScanKeyData));
	state->started = false;
	state->generation++;
	state->ceiling = INFINITY;
}

void
AnnoySetScanBudget(IndexScanDesc scan, int neighbors, int search_k)
{
	AnnoyScan  *state = scan->opaque;

	state->neighbors = neighbors;
	state->search_k = search_k;
}

void
AnnoySortScanAbove(IndexScanDesc scan, bool sorted_above)
{
	((AnnoyScan *) scan->opaque)->sorted_above = sorted_above;
}

void
AnnoySetScanCeiling(IndexScanDesc scan, double ceiling)
{
	((AnnoyScan *) scan->opaque)->ceiling = ceiling;
}

bool
AnnoyScanIsLarge(IndexScanDesc scan)
{
	AnnoyScan  *state = scan->opaque;

	return state->started && state->unbounded &&
		AnnoySearchIsLarge(state->search);
}

uint64
AnnoyGetScanGeneration(IndexScanDesc scan)
{
	return ((AnnoyScan *) scan->opaque)->generation;
}

/*
 * What becomes of rows that are found late.  A scan that nobody has said
 * anything about may be wanted whole, as by a query without LIMIT, and has to be
 * sorted and complete then.
 */
static void
set_order(bool sorted_above, AnnoySearchLimits *limits)
{
	limits->resume = annoy_iterative_scan != ANNOY_SCAN_OFF;
	limits->max_items = annoy_max_scan_items == ANNOY_AUTOMATIC ?
		PG_INT64_MAX : annoy_max_scan_items;
	if (sorted_above || annoy_iterative_scan == ANNOY_SCAN_RELAXED)
		limits->order = ANNOY_ORDER_ANY;
	else if (!limits->resume)
		limits->order = ANNOY_ORDER_SORTED;
	else if (limits->max_items == PG_INT64_MAX)
		limits->order = ANNOY_ORDER_EXACT;
	else
	{
		/* all that it may inspect comes before its first row */
		limits->order = ANNOY_ORDER_SORTED;
		limits->search_k = limits->max_items;
	}
}

int64
AnnoyChooseSearchK(Relation index, const AnnoyMetaPageData *meta, int neighbors)
{
	int64		automatic;

	if (annoy_search_k != ANNOY_AUTOMATIC)
		return annoy_search_k;
	if (AnnoyGetSearchK(index) != ANNOY_AUTOMATIC)
		return AnnoyGetSearchK(index);
	automatic = AnnoyEstimateSearchK(meta, AnnoyEstimateItems(index, meta));
	return Max(automatic, (int64) meta->n_trees *
			   (neighbors > 0 ? neighbors : AnnoyGetNeighbors(index)));
}

/*
 * The budget and bound of a scan: its own, else setting, option, calibration.
 */
static AnnoySearchLimits
get_limits(const AnnoyScan *state, Relation index, bool sorted_above,
		   int64 rows)
{
	const AnnoyForest *forest = AnnoyGetSearchForest(state->search);
	AnnoySearchLimits limits;
	int64		automatic =
		AnnoyEstimateSearchK(&forest->meta,
							 AnnoyEstimateItems(index, &forest->meta));
	double		doublings;

	limits.rows = rows > 0 ? rows : Max(AnnoyGetNeighbors(index), USUAL_ROWS);
	limits.search_k = state->search_k != ANNOY_AUTOMATIC ? state->search_k :
		AnnoyChooseSearchK(index, &forest->meta, state->neighbors);
	set_order(sorted_above, &limits);
	limits.epsilon = forest->meta.epsilon;
	doublings = log2((double) limits.search_k / (double) automatic);
	if (doublings > 0.0)
		limits.epsilon += EPSILON_CURVE * doublings * doublings;
	limits.epsilon = Min(limits.epsilon, Max(ANNOY_MAX_EPSILON, forest->meta.epsilon));
	return limits;
}

static void
start_scan(IndexScanDesc scan)
{
	AnnoyScan  *state = scan->opaque;
	AnnoySearchLimits limits;
	MemoryContext old;
	int64		rows;
	bool		collected;

	if (scan->numberOfOrderBys != 1)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("index \"%s\" can only be scanned in the order of a distance",
						RelationGetRelationName(scan->indexRelation))));

	/*
	 * A heap TID may by now be another row's: that it is not the one that the
	 * leaf meant only an MVCC snapshot tells, which does not see it.
	 */
	if (!IsMVCCSnapshot(scan->xs_snapshot))
		elog(ERROR, "non-MVCC snapshots are not supported by annoy indexes");

	AnnoyCountIndexScan(scan);

	old = MemoryContextSwitchTo(state->context);
	if (state->search == NULL)
		state->search = AnnoyBeginSearch(scan->heapRelation,
										 scan->indexRelation);
	if (state->query)
		pfree(state->query);
	state->query = NULL;
	if (!(scan->orderByData[0].sk_flags & SK_ISNULL))
	{
		/* always a copy with a four-byte header that lives as long as we */
		struct varlena *value = (struct varlena *)
			DatumGetPointer(scan->orderByData[0].sk_argument);

		state->query = pg_detoast_datum_copy(value);
	}
	rows = AnnoyGetLimitRows(scan, &collected);
	limits = get_limits(state, scan->indexRelation,
						state->sorted_above || collected,
						Max(state->neighbors, rows));
	state->unbounded = limits.resume && limits.max_items == PG_INT64_MAX;
	limits.snapshot = scan->xs_snapshot;
	AnnoyStartSearch(state->search, state->query, &limits);
	MemoryContextSwitchTo(old);
	state->started = true;
}

bool
annoygettuple(IndexScanDesc scan, ScanDirection direction)
{
	AnnoyScan  *state = scan->opaque;
	AnnoySearchResult result;
	MemoryContext old;
	bool		found;

	Assert(ScanDirectionIsForward(direction));
	if (!state->started)
		start_scan(scan);

	old = MemoryContextSwitchTo(state->context);
	found = AnnoyNextResult(state->search, state->ceiling, &result);
	MemoryContextSwitchTo(old);
	last_scan = *AnnoyGetSearchStatistics(state->search);
	if (!found)
		return false;

	scan->xs_heaptid = result.heap_tid;
	scan->xs_recheck = false;
	scan->xs_recheckorderby = false;
	if (result.kind == ANNOY_DISTANCE_NULL)
	{
		scan->xs_orderbyvals[0] = (Datum) 0;
		scan->xs_orderbynulls[0] = true;
	}
	else
	{
		IndexOrderByDistance distance = {result.distance, false};

		index_store_float8_orderby_distances(scan, &state->distance_type,
											 &distance, false);
	}
	return true;
}

void
annoyendscan(IndexScanDesc scan)
{
	AnnoyScan  *state = scan->opaque;

	if (state->search)
		AnnoyEndSearch(state->search);
	MemoryContextDelete(state->context);
	pfree(state);
	scan->opaque = NULL;
}

/*
 * annoy_last_scan() returns record: what the last scan of an annoy index in
 * this session has done so far; zeros before the first.
 */
Datum
annoy_last_scan(PG_FUNCTION_ARGS)
{
	TupleDesc	desc;
	Datum		values[6];
	bool		nulls[6] = {false};

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	values[0] = Int64GetDatum(last_scan.items_inspected);
	values[1] = Int64GetDatum(last_scan.leaves);
	values[2] = Int64GetDatum(last_scan.hyperplanes);
	values[3] = Int64GetDatum(last_scan.exact_distances);
	values[4] = Int64GetDatum(last_scan.blocks);
	values[5] = Int64GetDatum(last_scan.resumptions);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc),
													  values, nulls)));
}

/*-------------------------------------------------------------------------
 *
 * estimatorquery.c
 *	  The estimator's queries: neighbours of vectors and of items.
 *
 * They run through an index scan, as SELECT ... ORDER BY ... LIMIT does when
 * the planner takes the index, with the snapshot of the calling statement and
 * under the same settings; so they give the same rows in the same order, but
 * for rows whose value is NULL, which are no items.  What differs is the unit
 * of the distances (AnnoyConvertDistance).
 *
 * A query that is NULL has no neighbours, and gives no rows.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <limits.h>
#include <math.h>

#include "access/genam.h"
#include "access/relscan.h"
#include "access/table.h"
#include "access/tableam.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "parser/parse_coerce.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/float.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/tuplestore.h"

#include "am/scan.h"
#include "annoycompat.h"
#include "definition/opclass.h"
#include "definition/options.h"
#include "estimator/estimator.h"
#include "table/indexaccess.h"
#include "table/rows.h"

PG_FUNCTION_INFO_V1(annoy_nns_by_vector);
PG_FUNCTION_INFO_V1(annoy_nns_by_item);
PG_FUNCTION_INFO_V1(annoy_distance);
PG_FUNCTION_INFO_V1(annoy_transform);
PG_FUNCTION_INFO_V1(annoy_transform_items);

/* An index, opened for any number of queries. */
typedef struct Estimator
{
	Relation	heap;
	Relation	index;
	AnnoyMetric metric;
	int			n_neighbors;
	int			search_k;		/* or ANNOY_AUTOMATIC */
	ReturnSetInfo *result;

	/* from begin_queries on */
	Snapshot	snapshot;
	IndexScanDesc scan;
	TupleTableSlot *slot;
} Estimator;

/* Items that shall not be among the neighbours, sorted. */
typedef struct ExcludedItems
{
	ItemPointerData *items;
	int			count;
	const ItemPointerData *self;	/* one more, or NULL */
} ExcludedItems;

static const ExcludedItems nothing_excluded = {NULL, 0, NULL};

/* A row that was found. */
typedef struct Neighbor
{
	double		distance;		/* of the operator; may be NaN */
	ItemPointerData item;
} Neighbor;

typedef struct Neighbors
{
	Neighbor   *rows;
	int64		count;
	int64		allocated;
} Neighbors;

/* Neighbours for which there is room at first. */
#define NEIGHBORS_INITIAL 64

/* The index is the first argument of every function here. */
static void
open_estimator(Estimator *estimator, FunctionCallInfo fcinfo)
{
	memset(estimator, 0, sizeof(Estimator));
	AnnoyOpenIndexAndTable(PG_GETARG_OID(0), &estimator->index,
						   &estimator->heap);
	estimator->result = (ReturnSetInfo *) fcinfo->resultinfo;
	estimator->metric = AnnoyGetOpclassInfo(estimator->index)->metric;
}

/* The locks stay until the end of the transaction (indexaccess.h). */
static void
close_estimator(Estimator *estimator)
{
	index_close(estimator->index, NoLock);
	table_close(estimator->heap, NoLock);
}

/* Takes the arguments n_neighbors and search_k, of which both may be NULL. */
static void
take_limits(Estimator *estimator, FunctionCallInfo fcinfo)
{
	estimator->n_neighbors = PG_ARGISNULL(2) ?
		AnnoyGetNeighbors(estimator->index) : PG_GETARG_INT32(2);
	if (estimator->n_neighbors < 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("number of neighbors must be positive, not %d",
						estimator->n_neighbors)));

	estimator->search_k = PG_ARGISNULL(3) ? ANNOY_AUTOMATIC : PG_GETARG_INT32(3);
	if (estimator->search_k != ANNOY_AUTOMATIC && estimator->search_k < 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid search_k: %d", estimator->search_k),
				 errdetail("Valid values are -1 (automatic) and 1 to %d.",
						   INT_MAX)));
}

/* Errors out unless values of a type can be looked for in the index. */
static void
check_query_type(const Estimator *estimator, Oid type)
{
	Oid			wanted = estimator->index->rd_opcintype[0];

	if (!OidIsValid(type) || !IsBinaryCoercible(getBaseType(type), wanted))
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("index \"%s\" holds values of type %s, not %s",
						RelationGetRelationName(estimator->index),
						format_type_be(wanted), format_type_be(type)),
				 errhint("Cast the query to type %s.",
						 format_type_be(wanted))));
}

static void
begin_queries(Estimator *estimator)
{
	estimator->snapshot = RegisterSnapshot(GetActiveSnapshot());
	estimator->slot = table_slot_create(estimator->heap, NULL);
	estimator->scan = AnnoyBeginOrderedScan(estimator->heap, estimator->index,
											estimator->snapshot);
}

static void
end_queries(Estimator *estimator)
{
	index_endscan(estimator->scan);
	ExecDropSingleTupleTableSlot(estimator->slot);
	UnregisterSnapshot(estimator->snapshot);
}

/* Starts with a value of the indexed type, which is copied. */
static void
start_query(Estimator *estimator, Datum query)
{
	Relation	index = estimator->index;
	ScanKeyData key;

	ScanKeyEntryInitialize(&key, SK_ORDER_BY, 1, ANNOY_DISTANCE_STRATEGY,
						   index->rd_opcintype[0], InvalidOid,
						   index_getprocid(index, 1, ANNOY_DISTANCE_PROC),
						   query);
	AnnoySetScanBudget(estimator->scan, estimator->n_neighbors,
					   estimator->search_k);
	index_rescan(estimator->scan, NULL, 0, &key, 1);
}

static int
compare_items(const void *a, const void *b)
{
	return ItemPointerCompare(unconstify(ItemPointerData *, (const ItemPointerData *) a),
							  unconstify(ItemPointerData *, (const ItemPointerData *) b));
}

/* The elements of an argument tid[] that are not NULL, sorted. */
static ExcludedItems
get_excluded_items(FunctionCallInfo fcinfo, int argument)
{
	ExcludedItems excluded = nothing_excluded;
	Datum	   *elements;
	bool	   *nulls;
	int			count;

	if (PG_ARGISNULL(argument))
		return excluded;
	deconstruct_array(PG_GETARG_ARRAYTYPE_P(argument), TIDOID,
					  sizeof(ItemPointerData), false, TYPALIGN_SHORT,
					  &elements, &nulls, &count);
	excluded.items = palloc(sizeof(ItemPointerData) * Max(count, 1));
	for (int i = 0; i < count; i++)
		if (!nulls[i])
			excluded.items[excluded.count++] =
				*(ItemPointer) DatumGetPointer(elements[i]);
	qsort(excluded.items, excluded.count, sizeof(ItemPointerData),
		  compare_items);
	return excluded;
}

static bool
is_excluded(const ExcludedItems *excluded, const ItemPointerData *item)
{
	if (excluded->self && compare_items(excluded->self, item) == 0)
		return true;
	return excluded->count > 0 &&
		bsearch(item, excluded->items, excluded->count,
				sizeof(ItemPointerData), compare_items) != NULL;
}

/* NaN comes last; at equal distance by TID, as in SELECT. */
static int
compare_neighbors(const void *a, const void *b)
{
	const Neighbor *x = a;
	const Neighbor *y = b;
	int			order = float8_cmp_internal(x->distance, y->distance);

	return order != 0 ? order : compare_items(&x->item, &y->item);
}

/*
 * Adds rows that the scan gives until there are "wanted" of them or it ends.
 * Rows without a value come last and are no items.  The scan evaluates an index
 * expression, which is the owner's code: no query of the caller's has named it.
 */
static void
take_neighbors(Estimator *estimator, const ExcludedItems *excluded,
			   int64 wanted, Neighbors *neighbors)
{
	IndexScanDesc scan = estimator->scan;
	bool		as_owner =
		estimator->index->rd_index->indkey.values[0] == InvalidAttrNumber;
	AnnoyCaller caller;

	if (as_owner)
		AnnoyBecomeOwner(&caller, estimator->heap, estimator->index);

	while (neighbors->count < wanted &&
		   index_getnext_slot(scan, ForwardScanDirection, estimator->slot) &&
		   !scan->xs_orderbynulls[0])
	{
		Neighbor   *neighbor;

		CHECK_FOR_INTERRUPTS();
		if (is_excluded(excluded, &estimator->slot->tts_tid))
			continue;
		if (neighbors->count == neighbors->allocated)
		{
			neighbors->allocated *= 2;
			neighbors->rows =
				repalloc_huge(neighbors->rows,
							  sizeof(Neighbor) * neighbors->allocated);
		}
		neighbor = &neighbors->rows[neighbors->count++];
		neighbor->distance = DatumGetFloat8(scan->xs_orderbyvals[0]);
		neighbor->item = estimator->slot->tts_tid;
	}
	if (as_owner)
		AnnoyBecomeCaller(&caller);
}

/*
 * The nearest items, n_neighbors or fewer, sorted.  What is found late, after
 * farther ones, is sorted in (collect.c does so for SELECT ... LIMIT).
 */
static Neighbors
find_neighbors(Estimator *estimator, Datum query, const ExcludedItems *excluded)
{
	int			wanted = estimator->n_neighbors;
	Neighbors	neighbors;

	neighbors.allocated = NEIGHBORS_INITIAL;
	neighbors.rows = palloc(sizeof(Neighbor) * neighbors.allocated);
	for (bool in_order = false;; in_order = true)
	{
		neighbors.count = 0;
		AnnoySortScanAbove(estimator->scan, !in_order);
		start_query(estimator, query);
		take_neighbors(estimator, excluded, wanted, &neighbors);
		if (in_order || !AnnoyScanIsLarge(estimator->scan))
			break;
	}
	if (neighbors.count < wanted)
		wanted = neighbors.count;
	else
	{
		double		farthest = -INFINITY;

		for (int i = 0; i < wanted; i++)
			if (!isnan(neighbors.rows[i].distance))
				farthest = Max(farthest, neighbors.rows[i].distance);

		/* nearer ones that the scan knows already */
		AnnoySetScanCeiling(estimator->scan, farthest);
		take_neighbors(estimator, excluded, PG_INT64_MAX, &neighbors);
	}
	qsort(neighbors.rows, neighbors.count, sizeof(Neighbor),
		  compare_neighbors);
	neighbors.count = wanted;
	return neighbors;
}

/* A row of the result: its last two columns are item and distance. */
static void
report_neighbor(Estimator *estimator, Neighbor *neighbor, Datum *values,
				int columns)
{
	bool		nulls[4] = {false, false, false, false};

	values[columns - 2] = PointerGetDatum(&neighbor->item);
	values[columns - 1] =
		Float8GetDatum(AnnoyConvertDistance(estimator->metric,
											neighbor->distance));
	tuplestore_putvalues(estimator->result->setResult,
						 estimator->result->setDesc, values, nulls);
}

/* Rows (item, distance) for one query, as many as there are. */
static void
report_neighbors(Estimator *estimator, Datum query)
{
	Neighbors	neighbors;

	begin_queries(estimator);
	neighbors = find_neighbors(estimator, query, &nothing_excluded);
	for (int i = 0; i < neighbors.count; i++)
	{
		Datum		values[2];

		report_neighbor(estimator, &neighbors.rows[i], values, 2);
	}
	pfree(neighbors.rows);
	end_queries(estimator);
}

/*
 * Rows (query, rank, item, distance) for one of several queries; an error if
 * there are too few, since the estimator's answer is a matrix.
 */
static void
report_transformed(Estimator *estimator, int number, Datum query,
				   const ExcludedItems *excluded)
{
	Neighbors	neighbors = find_neighbors(estimator, query, excluded);

	if (neighbors.count < estimator->n_neighbors)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("query %d has only %d neighbors in index \"%s\", not %d",
						number, (int) neighbors.count,
						RelationGetRelationName(estimator->index),
						estimator->n_neighbors),
				 errdetail("Excluded items are not counted.")));
	for (int i = 0; i < neighbors.count; i++)
	{
		Datum		values[4] = {Int32GetDatum(number), Int32GetDatum(i + 1)};

		report_neighbor(estimator, &neighbors.rows[i], values, 4);
	}
	pfree(neighbors.rows);
}

/*
 * annoy_nns_by_vector(index regclass, v anyelement, n integer,
 * search_k integer) returns table (item tid, distance float8)
 */
Datum
annoy_nns_by_vector(PG_FUNCTION_ARGS)
{
	Estimator	estimator;

	InitMaterializedSRF(fcinfo, 0);
	if (PG_ARGISNULL(0))
		return (Datum) 0;
	open_estimator(&estimator, fcinfo);
	check_query_type(&estimator, get_fn_expr_argtype(fcinfo->flinfo, 1));
	take_limits(&estimator, fcinfo);
	if (!PG_ARGISNULL(1))
		report_neighbors(&estimator, PG_GETARG_DATUM(1));
	close_estimator(&estimator);
	return (Datum) 0;
}

/*
 * annoy_nns_by_item(index regclass, item tid, n integer, search_k integer)
 * returns table (item tid, distance float8): the item itself is one of them.
 */
Datum
annoy_nns_by_item(PG_FUNCTION_ARGS)
{
	Estimator	estimator;
	AnnoyRows	rows;
	Datum		query;

	InitMaterializedSRF(fcinfo, 0);
	if (PG_ARGISNULL(0))
		return (Datum) 0;
	open_estimator(&estimator, fcinfo);
	take_limits(&estimator, fcinfo);
	if (!PG_ARGISNULL(1))
	{
		AnnoyBeginRows(&rows, estimator.heap, estimator.index);
		query = AnnoyGetRowValue(&rows, (ItemPointer) PG_GETARG_POINTER(1));
		AnnoyEndRows(&rows);
		report_neighbors(&estimator, query);
	}
	close_estimator(&estimator);
	return (Datum) 0;
}

/*
 * annoy_distance(index regclass, a tid, b tid) returns float8
 */
Datum
annoy_distance(PG_FUNCTION_ARGS)
{
	Estimator	estimator;
	AnnoyRows	rows;
	Datum		a;
	Datum		b;
	double		distance;

	open_estimator(&estimator, fcinfo);
	AnnoyBeginRows(&rows, estimator.heap, estimator.index);
	a = AnnoyGetRowValue(&rows, (ItemPointer) PG_GETARG_POINTER(1));
	b = AnnoyGetRowValue(&rows, (ItemPointer) PG_GETARG_POINTER(2));
	AnnoyEndRows(&rows);
	distance = DatumGetFloat8(FunctionCall2Coll(index_getprocinfo(estimator.index, 1,
																  ANNOY_DISTANCE_PROC),
												estimator.index->rd_indcollation[0],
												a, b));
	distance = AnnoyConvertDistance(estimator.metric, distance);
	close_estimator(&estimator);
	PG_RETURN_FLOAT8(distance);
}

/*
 * annoy_transform(index regclass, queries anyarray, n_neighbors integer,
 * search_k integer, exclude_items tid[]) returns table (query integer,
 * rank integer, item tid, distance float8): queries and ranks count from 1.
 */
Datum
annoy_transform(PG_FUNCTION_ARGS)
{
	Estimator	estimator;
	ExcludedItems excluded;
	ArrayType  *queries;
	Datum	   *elements;
	bool	   *nulls;
	int			count;
	int16		length;
	bool		by_value;
	char		alignment;

	InitMaterializedSRF(fcinfo, 0);
	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		return (Datum) 0;
	open_estimator(&estimator, fcinfo);
	queries = PG_GETARG_ARRAYTYPE_P(1);
	check_query_type(&estimator, ARR_ELEMTYPE(queries));
	take_limits(&estimator, fcinfo);
	excluded = get_excluded_items(fcinfo, 4);

	get_typlenbyvalalign(ARR_ELEMTYPE(queries), &length, &by_value, &alignment);
	deconstruct_array(queries, ARR_ELEMTYPE(queries), length, by_value,
					  alignment, &elements, &nulls, &count);
	begin_queries(&estimator);
	for (int i = 0; i < count; i++)
		if (!nulls[i])
			report_transformed(&estimator, i + 1, elements[i], &excluded);
	end_queries(&estimator);
	close_estimator(&estimator);
	return (Datum) 0;
}

/*
 * annoy_transform_items(index regclass, items tid[], n_neighbors integer,
 * search_k integer, exclude_items tid[], exclude_self boolean) returns as
 * annoy_transform does.
 */
Datum
annoy_transform_items(PG_FUNCTION_ARGS)
{
	Estimator	estimator;
	AnnoyRows	rows;
	ExcludedItems excluded;
	Datum	   *items;
	bool	   *nulls;
	int			count;
	Datum	   *queries;
	bool		exclude_self = !PG_ARGISNULL(5) && PG_GETARG_BOOL(5);

	InitMaterializedSRF(fcinfo, 0);
	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		return (Datum) 0;
	open_estimator(&estimator, fcinfo);
	take_limits(&estimator, fcinfo);
	excluded = get_excluded_items(fcinfo, 4);

	deconstruct_array(PG_GETARG_ARRAYTYPE_P(1), TIDOID, sizeof(ItemPointerData),
					  false, TYPALIGN_SHORT, &items, &nulls, &count);
	queries = palloc(sizeof(Datum) * Max(count, 1));
	AnnoyBeginRows(&rows, estimator.heap, estimator.index);
	for (int i = 0; i < count; i++)
		if (!nulls[i])
			queries[i] = AnnoyGetRowValue(&rows, (ItemPointer) DatumGetPointer(items[i]));
	AnnoyEndRows(&rows);

	begin_queries(&estimator);
	for (int i = 0; i < count; i++)
	{
		if (nulls[i])
			continue;
		if (exclude_self)
			excluded.self = (ItemPointer) DatumGetPointer(items[i]);
		report_transformed(&estimator, i + 1, queries[i], &excluded);
	}
	end_queries(&estimator);
	close_estimator(&estimator);
	return (Datum) 0;
}

double
AnnoyConvertDistance(AnnoyMetric metric, double distance)
{
	switch (metric)
	{
		case ANNOY_METRIC_COSINE:
			/* of a zero vector: as angular_distance has it */
			if (isnan(distance))
				distance = 1.0;
			return sqrt(Max(2.0 * distance, 0.0));
		case ANNOY_METRIC_INNER_PRODUCT:
			return -distance;
		default:
			return distance;
	}
}

const char *
AnnoyGetMetricName(AnnoyMetric metric)
{
	switch (metric)
	{
		case ANNOY_METRIC_L2:
			return "euclidean";
		case ANNOY_METRIC_COSINE:
			return "angular";
		case ANNOY_METRIC_INNER_PRODUCT:
			return "dot";
		case ANNOY_METRIC_L1:
			return "manhattan";
		case ANNOY_METRIC_HAMMING:
			return "hamming";
		case ANNOY_METRIC_JACCARD:
			return "jaccard";
	}
	elog(ERROR, "unknown metric %d", (int) metric);
	return NULL;				/* keep compiler quiet */
}

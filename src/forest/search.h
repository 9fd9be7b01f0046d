/*-------------------------------------------------------------------------
 *
 * search.h
 *	  Nearest-neighbour search of a forest: candidates from leaves, exact
 *	  distances only where the bounds ask for them, rows in order.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ANNOY_SEARCH_H
#define ANNOY_SEARCH_H

#include "utils/snapshot.h"

#include "forest/tree.h"

/*
 * What becomes of rows that are found late, that is, after a farther one was
 * given out.
 */
typedef enum AnnoySearchOrder
{
	ANNOY_ORDER_ANY,			/* they come at once */
	ANNOY_ORDER_SORTED,			/* they are dropped */
	ANNOY_ORDER_EXACT			/* there are none: all rows of the index are
								 * ranked exactly before the first one comes */
} AnnoySearchOrder;

typedef struct AnnoySearchLimits
{
	int64		search_k;		/* items to inspect before the first row, and
								 * again at each resumption */
	int64		max_items;		/* items to inspect in all */
	int64		rows;			/* that will probably be taken: only how the
								 * search goes about it depends on that */
	bool		resume;			/* goes on when search_k items were inspected */
	AnnoySearchOrder order;
	float		epsilon;		/* see AnnoyInitQuery */
	Snapshot	snapshot;		/* that says which rows there are */
} AnnoySearchLimits;

typedef struct AnnoySearchStatistics
{
	int64		items_inspected;
	int64		leaves;
	int64		hyperplanes;
	int64		exact_distances;	/* each of a row read from the table */
	int64		blocks;			/* pages of the index visited */
	int64		resumptions;
} AnnoySearchStatistics;

/* Kinds of a result's distance. */
typedef enum AnnoyDistanceKind
{
	ANNOY_DISTANCE_NUMBER,
	ANNOY_DISTANCE_NAN,
	ANNOY_DISTANCE_NULL
} AnnoyDistanceKind;

typedef struct AnnoySearchResult
{
	ItemPointerData heap_tid;
	AnnoyDistanceKind kind;
	double		distance;		/* NaN or 0 where it is no number */
	bool		no_value;		/* the row's value is NULL */
} AnnoySearchResult;

typedef struct AnnoySearch AnnoySearch;

/*
 * A search of an index, reusable for many queries; lives in the current memory
 * context.  Rows are read as AnnoyReadRow does (table/rowvalue.h); those that the
 * snapshot does not see may be given out where no distance has to be computed.
 */
extern AnnoySearch *AnnoyBeginSearch(Relation heap, Relation index);

/*
 * Starts with a query, a detoasted value of the indexed type that must live
 * as long as it is searched for, or NULL.  Errors out if its number of
 * dimensions is not that of the index.
 */
extern void AnnoyStartSearch(AnnoySearch *search, struct varlena *query,
							 const AnnoySearchLimits *limits);

/*
 * The next row.  Numbers come in order (see AnnoySearchOrder), then NaN, then
 * NULL.  False at the end, and where the next row known is not nearer than
 * "ceiling" (INFINITY: none), in which case nothing more is inspected and a
 * later call goes on.
 */
extern bool AnnoyNextResult(AnnoySearch *search, double ceiling,
							AnnoySearchResult *result);

/*
 * Whether what the search remembers takes more than work_mem, beyond what every
 * search takes.  ANNOY_ORDER_ANY then ceases to inspect by itself, and gives
 * the rest of the index in no order; it still remembers a bit for each row that
 * was ranked.  ANNOY_ORDER_EXACT never needs more.
 */
extern bool AnnoySearchIsLarge(const AnnoySearch *search);

extern const AnnoySearchStatistics *AnnoyGetSearchStatistics(AnnoySearch *search);
extern void AnnoyEndSearch(AnnoySearch *search);

/* The description of the index that the search works with. */
extern const AnnoyForest *AnnoyGetSearchForest(AnnoySearch *search);

/*
 * For calibration: repeats the walk of the query started last, whose "count"
 * nearest neighbours are given by distance, and tells how many items had been
 * inspected, with the leaf included, when the first, second ... of them was
 * found; PG_INT64_MAX for those not found within max_items.  Where more rows
 * are as far as the last neighbour, any of them will do.  "self" is none.
 */
extern void AnnoyLocateNeighbors(AnnoySearch *search, ItemPointer self,
								 const AnnoySearchResult *neighbors, int count,
								 int64 *positions, int64 max_items);

#endif							/* ANNOY_SEARCH_H */

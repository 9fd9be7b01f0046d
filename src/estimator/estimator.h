/*-------------------------------------------------------------------------
 *
 * estimator.h
 *	  What the functions that answer as the Annoy estimator does share.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ANNOY_ESTIMATOR_H
#define ANNOY_ESTIMATOR_H

#include "arith/sketch.h"
#include "page/meta.h"
#include "utils/relcache.h"

/*
 * A distance of the ordering operator in the original library's unit: angular
 * sqrt(2 (1 - cos)), where a vector without direction counts as orthogonal to
 * all; dot the product itself; the others as they are.
 */
extern double AnnoyConvertDistance(AnnoyMetric metric, double distance);

/* The original library's name of a metric; jaccard, which it does not have. */
extern const char *AnnoyGetMetricName(AnnoyMetric metric);

/*
 * Number of rows in the index that the active snapshot sees and whose value is
 * not NULL.  Evaluates nothing, so the caller stays in force.
 */
extern int64 AnnoyCountRows(Relation heap, Relation index);

typedef struct AnnoyPageCounts
{
	int64		entries;		/* of leaves, all trees; dead rows' among them */
	int64		leaves;			/* pages of leaves, all trees */
	int64		places;			/* for entries on these */
	int64		tail_entries;	/* rows whose distance is never a number */
} AnnoyPageCounts;

/*
 * Reads all pages of the index.  While others insert, what they do may be
 * counted, or not, or twice.
 */
extern void AnnoyCountEntries(Relation index, const AnnoyMetaPageData *meta,
							  AnnoyPageCounts *counts);

#endif							/* ANNOY_ESTIMATOR_H */

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

#endif							/* ANNOY_ESTIMATOR_H */

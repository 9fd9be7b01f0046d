/*-------------------------------------------------------------------------
 *
 * split.h
 *	  Splitting a set of sketches by a hyperplane.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ANNOY_SPLIT_H
#define ANNOY_SPLIT_H

#include <stdbool.h>
#include <stdint.h>

#include "arith/random.h"
#include "arith/sketch.h"

/* Quantised sketches of many items, side by side. */
typedef struct AnnoySketchSet
{
	int			sketch_dimensions;	/* s */
	int16_t    *quantised;		/* [count][s] */
	float	   *scale;			/* [count] */
	float	   *extra;			/* [count] */
} AnnoySketchSet;

/* Centroids of cells, side by side. */
typedef struct AnnoyCentroidSet
{
	int			sketch_dimensions;	/* s */
	int			count;
	int8_t	   *centroids;		/* [count][s] */
	float	   *scale;			/* [count] */
	float	   *norm_squared;	/* [count] */
	float	   *extra;			/* [count] */
} AnnoyCentroidSet;

/* A hyperplane: margin(x) = scale * <normal, x> + extra_weight * x.extra - offset */
typedef struct AnnoyHyperplane
{
	float		scale;
	float		extra_weight;
	float		offset;
	int8_t	   *normal;			/* int8[s], caller's memory */
} AnnoyHyperplane;

typedef enum AnnoySplitRule
{
	ANNOY_SPLIT_MIDDLE,			/* half-way between the two means */
	ANNOY_SPLIT_QUANTILE		/* where the left side gets a given share */
} AnnoySplitRule;

/* Quantises a sketch into a place of the set; its extra is set apart. */
extern void AnnoyPutSketch(AnnoySketchSet *set, int place, const float *sketch);

/* Floats of scratch that AnnoySplitItems needs. */
extern int	AnnoySplitScratch(int sketch_dimensions);

/*
 * Splits the items named by items[0 .. count-1] (positions in "set", count >=
 * 2) by 2-means (Annoy's: 200 rounds, a random item joins the mean with the
 * smaller count * distance).  Fills the hyperplane, reorders items so that the
 * left side (margin <= 0) comes first, each side in its former order, and
 * returns the number of items on the left, between 1 and count - 1.
 *
 * rule QUANTILE puts left_wanted items on the left (1 .. count - 1), as
 * nearly as equal margins allow, the threshold midway between two items.
 * rule MIDDLE falls back to the median after three attempts that leave at
 * least 95 % on one side.
 *
 * Returns 0 if no hyperplane found separates the items (all equal); items are
 * unchanged then and the hyperplane is undefined.
 *
 * margins: float[count], order: int32[count] of scratch.
 */
extern int	AnnoySplitItems(const AnnoySketchSet *set, int32_t *items,
							int count, AnnoySplitRule rule, int left_wanted,
							AnnoyRandom *random, AnnoyHyperplane *plane,
							float *scratch, float *margins, int32_t *order);

/* Margin of item i of the set. */
extern float AnnoyItemMargin(const AnnoySketchSet *set, int32_t item,
							 const AnnoyHyperplane *plane);

/*
 * The place of the centroid nearest to a point, the first of equally near ones;
 * *distance: squared, less the point's squared norm.  There have to be some.
 * scratch: int32[count + ANNOY_RUN], and float[count + ANNOY_RUN].
 */
extern int	AnnoyFindNearestCentroid(const AnnoyCentroidSet *set,
									 const int16_t *quantised, float scale,
									 float extra, int32_t *products,
									 float *distances, float *distance);

/* Mean of the named items' dequantised sketches and extras, in their order;
 * mean: float[s]. */
extern void AnnoyMeanSketch(const AnnoySketchSet *set, const int32_t *items,
							int count, float *mean, float *mean_extra);

#endif							/* ANNOY_SPLIT_H */

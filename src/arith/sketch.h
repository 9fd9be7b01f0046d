/*-------------------------------------------------------------------------
 *
 * sketch.h
 *	  The Euclidean space in which the forest works: transform, rotation,
 *	  codes, query tables and bounds.  The only layer that knows metrics.
 *
 * A vector x of d dimensions becomes a sketch of s = AnnoySketchDimensions(d)
 * floats: transformed for its metric (cosine: divided by its norm), rotated by
 * a seeded random orthonormal transform of the padded dimensions p = d rounded
 * up to 16, cut to the first s, scaled by sqrt(p / s), and centred.
 * Squared distances of sketches equal those of the transformed vectors where
 * s = p and estimate them without bias where s < p.
 *
 * Bit strings are vectors of 0 and 1.  Up to 1,536 bits they are not rotated,
 * and codes are the bits themselves, so that "bounds" are exact distances.  Of
 * longer ones runs of 16 are added up with random signs in 1,536 places
 * (count sketch: Charikar, Chen & Farach-Colton, ICALP 2002), which costs one
 * addition a bit, keeps squared distances likewise without bias, and is then
 * rotated.  For Jaccard distances a bit string is divided by its norm: those
 * of a small Jaccard distance have a small angle, as they have not always a
 * small Hamming distance.
 *
 * For inner products a further coordinate, sqrt(M^2 - |x|^2) with M the
 * largest norm at build, makes the nearest vector that of the largest product
 * (Neyshabur & Srebro, ICML 2015).  It is kept apart as "extra" and is seen by
 * hyperplanes and centroids only.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ANNOY_SKETCH_H
#define ANNOY_SKETCH_H

#include <float.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "arith/kernel.h"

/* On disk: do not renumber. */
typedef enum AnnoyMetric
{
	ANNOY_METRIC_L2 = 1,
	ANNOY_METRIC_COSINE = 2,
	ANNOY_METRIC_INNER_PRODUCT = 3,
	ANNOY_METRIC_L1 = 4,
	ANNOY_METRIC_HAMMING = 5,
	ANNOY_METRIC_JACCARD = 6
} AnnoyMetric;

#define ANNOY_MAX_DIMENSIONS 16000
#define ANNOY_MAX_SKETCH_DIMENSIONS 1536

/* Quantised sketches use 14 bits: 127 * 8191 * 1536 < 2^31. */
#define ANNOY_QUANTISED_MAX 8191

/* Below this a largest element would have no usable reciprocal in float. */
#define ANNOY_SMALLEST_QUANTISED 1.0e-30f

/*
 * Norms beyond this are scaled down to it before they are sketched, so that
 * squares and sums stay finite in float; such an item is "unbounded": its
 * code says nothing, its lower bound is that of the nearest possible item.
 */
#define ANNOY_NORM_LIMIT 1.0e15f

/*
 * Standard deviations that a lower bound leaves at the most: what the largest
 * budgets get, of which nothing is to be missed.
 */
#define ANNOY_MAX_EPSILON 5.0f

/* Rounds of a rotation; see sketch.c. */
#define ANNOY_MAX_ROTATION_ROUNDS 5

/* Transform of one index.  Filled by AnnoyInitSketcher in caller's memory. */
typedef struct AnnoySketcher
{
	AnnoyMetric metric;
	int			dimensions;		/* d */
	int			padded;			/* p: d rounded up to 16 */
	int			sketch_dimensions;	/* s */
	float		max_norm;		/* M, inner product only */
	bool		outsized_apart; /* trees have a subtree for larger norms;
								 * false unless set after AnnoyInitSketcher */
	const float *centre;		/* float[d], or NULL for the origin */
	const float *rotated_centre;	/* float[s]: what is subtracted from rotated
									 * vectors; NULL for the origin */
	bool		codes_are_bits; /* short bit strings; not rotated */
	int			rotated;		/* dimensions that are rotated: p, or s for
								 * bit strings */
	const AnnoyRunPlan *fold;	/* [p / ANNOY_RUN]: places of a long bit
								 * string's runs among s; else NULL */
	int			rounds;			/* of the rotation */
	AnnoyRunPlan *plan[ANNOY_MAX_ROTATION_ROUNDS];	/* [p / ANNOY_RUN] each */
	float		cut_scale;		/* sqrt(p / s) */
} AnnoySketcher;

extern int	AnnoySketchDimensions(int dimensions);

/* Bytes that AnnoyInitSketcher needs at "memory" (8-byte aligned). */
extern size_t AnnoySketcherMemory(int dimensions);

/*
 * centre: float[dimensions] that stays valid as long as the sketcher, or NULL.
 * It is in transformed space (for cosine a mean of unit vectors).
 */
extern void AnnoyInitSketcher(AnnoySketcher *sketcher, void *memory,
							  AnnoyMetric metric, int dimensions,
							  uint64_t seed, const float *centre,
							  float max_norm);

/*
 * After the sketcher, its memory and its centre were copied together: makes
 * the copy's pointers point "moved" bytes further.
 */
extern void AnnoyMoveSketcher(AnnoySketcher *sketcher, ptrdiff_t moved);

/* Floats of scratch that AnnoyMakeSketch and AnnoyTransformVector need. */
extern int	AnnoySketchScratch(int dimensions);

/*
 * First step alone: clamps norms, divides by the norm for cosine.  out:
 * float[d].  Returns false if the vector has no direction (zero under cosine);
 * sets *norm to the Euclidean norm of the input (in double arithmetic) and
 * *unbounded if it was above ANNOY_NORM_LIMIT.  The mean of such outputs is a
 * centre; the largest *norm (capped at ANNOY_NORM_LIMIT) is M.
 */
extern bool AnnoyTransformVector(const AnnoySketcher *sketcher,
								 const float *vector, float *out,
								 double *norm, bool *unbounded);

/*
 * Sketch of a stored vector.  sketch: float[s].  extra: the further
 * coordinate, 0 for other metrics; minus the norm where that is above M and
 * outsized_apart.  Returns false if the vector has no
 * direction; nothing but scratch is written then.
 */
extern bool AnnoyMakeSketch(const AnnoySketcher *sketcher, const float *vector,
							float *scratch, float *sketch, float *extra,
							bool *unbounded);

/*
 * An item's sketch, as everything in the forest is made of it, is by definition
 * what its quantised form means: scale * quantised[].  A build keeps nothing
 * else of a row, and whoever makes the sketch again gets the same codes.
 */
typedef struct AnnoyItemSketch
{
	const int16_t *quantised;	/* int16[s] */
	float		scale;
	float		norm_squared;	/* of scale * quantised[] */
	float		extra;			/* as above */
	bool		unbounded;
} AnnoyItemSketch;

/* quantised: int16[s], the item's afterwards. */
extern bool AnnoyMakeItemSketch(const AnnoySketcher *sketcher,
								const float *vector, float *scratch,
								int16_t *quantised, AnnoyItemSketch *item);

/* The same as floats, float[s]. */
extern bool AnnoyMakeStoredSketch(const AnnoySketcher *sketcher,
								  const float *vector, float *scratch,
								  float *sketch, float *extra,
								  bool *unbounded);

/*
 * The same for a query, which for inner products is scaled to norm M.  *norm:
 * that of the vector; *factor: what it was scaled by.
 */
extern bool AnnoyMakeQuerySketch(const AnnoySketcher *sketcher,
								 const float *vector, float *scratch,
								 float *sketch, double *norm, double *factor,
								 bool *unbounded);

/*
 * Sketches of a sketcher without a centre become those of the same sketcher
 * with one, to the last bit.
 */
extern void AnnoyCentreSketch(const AnnoySketcher *sketcher, float *sketch);

/*
 * Where an item belongs in the forest.  That is its sketch.  But for an inner
 * product an item of a larger norm than M, which has come after the build, is
 * placed in its direction at norm M, unless it has a subtree of its own: its
 * codes are those of its own sketch.  placed: float[s].
 */
extern void AnnoyPlaceSketch(const AnnoySketcher *sketcher,
							 const float *sketch, float *placed);

/*
 * Sketches at rest: bytes, and from and to int16[s].  Those of short bit
 * strings are packed, as bits; else the bytes are the int16[s].
 */
extern size_t AnnoyPackedSize(const AnnoySketcher *sketcher);
extern void AnnoyPackSketch(const AnnoySketcher *sketcher,
							const int16_t *quantised, void *packed);
extern void AnnoyUnpackSketch(const AnnoySketcher *sketcher,
							  const void *packed, int16_t *quantised);

/* Largest power of two, not above n, that is a whole block of a rotation. */
extern int	AnnoyRotationBlock(int n);

/*
 * Quantises a sketch to 14 bits for hyperplanes and centroids; returns the
 * scale: sketch[i] is about scale * quantised[i].  An all-zero sketch (or one
 * whose largest element is below 1e-30) has scale 0 and quantised 0.
 */
extern float AnnoyQuantiseSketch(int s, const float *sketch,
								 int16_t *quantised);

/* The same, and the sum of squares of quantised[]. */
extern float AnnoyQuantiseSketchSquares(int s, const float *sketch,
										int16_t *quantised, int64_t *squares);

/* Same for int8 normals and centroids, range -127 .. 127. */
extern float AnnoyQuantiseDirection(int s, const float *direction,
									int8_t *quantised);

/* Sum of squares of an int8 array (exact), s a multiple of 16. */
extern int32_t AnnoyQuantisedNorm(int s, const int8_t *quantised);

/*
 * Code of an item in a leaf (RaBitQ: Gao & Long, SIGMOD 2024, section 3,
 * relative to the leaf's centroid c = scale * centroid[]).  With the signs
 * signs[i] = +-1 of o - c, r = |o - c| and a = r^2 / <signs, o - c>:
 *
 *	  f1 = 2a,  f2 = r^2 + 2a <signs, c>
 *
 * so that base + f2 - f1 <signs, q> estimates |o - q|^2 with base = |q - c|^2.
 * For inner products f2 is less |o|^2 + 2 <o, m> with m the rotated centre, so
 * that the same sum with base = |q - c|^2 - |q|^2 estimates -2 <o, q + m>: the
 * product of the centred item and the uncentred query.  code: s / 8 bytes, byte g holds
 * dimensions 8g .. 8g+7 from its lowest bit on, 1 for a positive difference
 * (or zero).  An item equal to c has f1 = 0.  An unbounded item has f1 = 0,
 * f2 = -FLT_MAX.  Where codes are bits, f1 = 1 and f2 = 0 or, for Jaccard
 * distances, the number of bits set.
 */
extern void AnnoyEncodeItem(const AnnoySketcher *sketcher, const float *sketch,
							bool unbounded, const int8_t *centroid,
							float scale, uint8_t *code, float *f1, float *f2);

/*
 * The same of a leaf's centroid (sketch: float[s]) relative to a directory's
 * reference, for all metrics in the space of hyperplanes: with base = |q - c|^2
 * of the reference c, base + f2 - f1 <signs, q> estimates the squared distance
 * of q and the centroid, without their extra coordinates.
 */
extern void AnnoyEncodeCentroid(int s, const float *sketch,
								const int8_t *reference, float scale,
								uint8_t *code, float *f1, float *f2);

/*
 * A query, ready for hyperplanes, centroids and codes.  All of them see the
 * same centred sketch, that of its quantised form.  For inner products the
 * vector is first scaled to norm M, which changes no order and brings it among
 * the items; its extra coordinate is 0.
 */
typedef struct AnnoyQuery
{
	bool		undefined;		/* no direction: every distance is NaN */
	bool		unbounded;		/* bounds mean nothing */
	float	   *sketch;			/* float[s]: scale * quantised[] */
	const int16_t *quantised;	/* int16[s] */
	float		scale;			/* of quantised */
	int32_t		quantised_sum;	/* of all its elements */
	float		norm_squared;	/* of the sketch */
	float		extra;			/* further coordinate: an item's; else 0 */
	float		rounding;		/* what quantising may have changed, in units
								 * of the sketch; inner product: of half a
								 * lower bound */
	float		scaled_norm;	/* inner product: norm of the scaled query,
								 * before it is centred; else 0 */
	double		walk_factor;	/* inner product: M / |q|; else 1 */
	double		offset;			/* inner product: <centre, q>, else 0 */
	float		epsilon;
	float		slack;			/* rounding of the table, already in
								 * rank.bias */
	double		cut;			/* see cut_deviation in query.c */
	/* from upper bounds in the sketches' space to those of distances */
	double		upper_factor;
	double		upper_addend;
	double		upper_absolute;
	/* of a leaf */
	double		leaf_distance;	/* |q - c|^2 */
	double		leaf_slack;		/* linear: what base lost to cut dimensions */
	/* of a leaf whose codes are refined: AnnoyBeginRefinement */
	int			code_bits;
	int			planes_size;	/* bytes */
	int32_t		level_shift;	/* 2 <v - u, q>, q quantised */
	double		cut_variance;	/* linear: added by cut dimensions */
	double		leaf_root;		/* |q - c| */
	double		centroid_norm;
	double		root_s;
	/* L1: quotients of distances and the roots of their lower bounds */
	bool		learns_ratio;
	int			ratio_count;
	double		ratio_mean;
	double		ratio_squares;	/* sum of squared deviations from the mean */
	bool		similarity;		/* Jaccard, codes are bits */
	float		bits_set;		/* in the query, if so */
	float		similarity_threshold;	/* in place of the kernel's */
	AnnoyRankParameters rank;	/* table, rows, linear, delta, bias; the rest
								 * is set by AnnoyBeginLeaf */
} AnnoyQuery;

extern size_t AnnoyQueryMemory(int dimensions);

/*
 * Prepares a query (memory: 64-byte aligned, AnnoyQueryMemory bytes).  vector:
 * float[d].  epsilon: how many standard deviations of the estimate a lower
 * bound leaves; may be infinite (every lower bound is then 0 or -FLT_MAX).
 */
extern void AnnoyInitQuery(AnnoyQuery *query, void *memory,
						   const AnnoySketcher *sketcher, const float *vector,
						   float *scratch, float epsilon);

/*
 * Prepares an item for a walk, which sees it where it is stored: a sketch of
 * AnnoyMakeSketch with its extra coordinate.  For hyperplanes and centroids
 * only: no table, no bounds.  quantised: int16[s], filled.
 */
extern void AnnoyInitItemQuery(AnnoyQuery *query, int16_t *quantised,
							   const AnnoySketcher *sketcher,
							   const float *sketch, float extra);

/* The same from a quantised sketch, which stays where it is. */
extern void AnnoyInitStoredItemQuery(AnnoyQuery *query,
									 const AnnoySketcher *sketcher,
									 const AnnoyItemSketch *item);

/*
 * Squared distance in the walk's space from the query to an int8 centroid
 * (scale, sum of squares of the dequantised centroid, extra coordinate); the
 * order in which leaves are read.
 */
extern float AnnoyCentroidDistance(const AnnoySketcher *sketcher,
								   const AnnoyQuery *query,
								   const int8_t *centroid, float scale,
								   float norm_squared, float extra);

/*
 * The same from the product of the quantised query and the centroid, for those
 * who compute many at once; not for outsized leaves (extra < 0) of an inner
 * product's query.
 */
static inline float
AnnoyDistanceOfProduct(const AnnoyQuery *query, int32_t product, float scale,
					   float norm_squared, float extra)
{
	double		further = (double) query->extra - (double) extra;
	double		distance;

	/* an item goes to its own kind, even if the only leaf is far from it */
	if ((extra < 0.0f) != (query->extra < 0.0f) && !query->rank.linear)
		return FLT_MAX;

	distance = (double) query->norm_squared -
		2.0 * ((double) scale * (double) query->scale * (double) product) +
		(double) norm_squared + further * further;
	return distance > 0.0 ? (float) distance : 0.0f;
}

/*
 * An estimate of the same from a code of AnnoyEncodeCentroid.  base: the
 * distance to its reference, with extra = query->extra.  selected: the sum of
 * those elements of query->quantised whose bits are set.
 */
static inline float
AnnoyDistanceOfCode(const AnnoyQuery *query, float base, int32_t selected,
					float f1, float f2, float extra)
{
	double		further = (double) query->extra - (double) extra;
	double		product;
	double		distance;

	/* an outsized item goes to its own kind, of which there are no codes */
	if (query->extra < 0.0f && !query->rank.linear)
		return FLT_MAX;

	/* <signs, q>: what is selected less what is not */
	product = (double) query->scale *
		(2.0 * (double) selected - (double) query->quantised_sum);
	distance = (double) base + (double) f2 - (double) f1 * product +
		further * further;
	return distance > 0.0 ? (float) distance : 0.0f;
}

/*
 * Margin of the query to a hyperplane: scale * <normal, q> + extra_weight *
 * extra - offset with a normal of unit length once scaled; positive: right
 * side.
 */
extern float AnnoyQueryMargin(const AnnoySketcher *sketcher,
							  const AnnoyQuery *query, const int8_t *normal,
							  float scale, float extra_weight, float offset);

/*
 * Completes query->rank for a leaf: base, width, threshold (in the units of
 * lower bounds).
 */
extern void AnnoyBeginLeaf(const AnnoySketcher *sketcher, AnnoyQuery *query,
						   const int8_t *centroid, float scale,
						   float norm_squared, float threshold);

/*
 * Lower bounds of a block of a leaf, and the mask of those below the threshold:
 * rank_block, after which Jaccard distances take one more step.
 */
extern uint32_t AnnoyFinishSimilarity(const AnnoyQuery *query,
									  const uint8_t *block, float lower[16]);

static inline uint32_t
AnnoyRankBlock(const AnnoyQuery *query, const uint8_t *block, float lower[16])
{
	uint32_t	mask = annoy_kernels.rank_block(&query->rank, block, lower);

	return query->similarity ?
		AnnoyFinishSimilarity(query, block, lower) : mask;
}

/*
 * Tells the query what the operator's distance of an item turned out to be,
 * whose lower bound was "lower".  For L1, whose bounds depend on it.
 */
extern void AnnoyObserveDistance(AnnoyQuery *query, float lower,
								 double distance);

/*
 * Lower bound of the operator's distance from a lower bound of rank_block:
 * L2: its root; L1: the same, for |x|_1 >= |x|_2, times what was observed of
 * this query (query.c); cosine: its half; inner
 * product: half, divided by walk_factor, minus query->offset; Hamming: as it
 * is; Jaccard: 2x / (2 + x), which is the least that the cosine allows for.
 * Where codes are bits it is the distance itself.  Widened for the dimensions cut away and for float
 * rounding.  An undefined or unbounded query, or an infinite epsilon: 0 or
 * -INFINITY.
 */
extern double AnnoyBoundToDistance(const AnnoySketcher *sketcher,
								   const AnnoyQuery *query, float lower);

/*
 * Upper bounds, of as many standard deviations, to find a threshold with before
 * any distance is known: it is very probable that no more than a few of those
 * entries whose upper bound is up to some number have a distance beyond
 * AnnoyBoundToDistance of that number.  So they are in the units of lower
 * bounds, but wider than the sketches need, by what AnnoyBoundToDistance takes
 * off.  FLT_MAX where nothing is known (and of damaged factors).
 *
 * False where distances of sketches do not limit those of the operator from
 * above: for L1, whose quotient is not known, and the Jaccard distances of long
 * strings, whose lengths are not.
 */
extern bool AnnoyHasUpperBounds(const AnnoySketcher *sketcher);

/*
 * Of an entry, from its lower bound and f1, in the leaf of AnnoyBeginLeaf.
 * Where codes are bits, which say all, both bounds are the same (for Jaccard
 * distances but for rounding).
 */
extern float AnnoyUpperBound(const AnnoySketcher *sketcher,
							 const AnnoyQuery *query, float lower, float f1);

/*
 * The last step of it: from an upper bound of the distance of sketches or,
 * linear, of what lower bounds are of.  rounding: what has yet to be added to
 * the latter, or to the square of the former.
 */
static inline float
AnnoyFinishUpperBound(const AnnoyQuery *query, double upper, double rounding)
{
	if (query->rank.linear)
		upper += query->upper_addend + rounding;
	else
	{
		upper = upper * query->upper_factor + query->upper_addend;
		upper = upper * upper + query->upper_absolute +
			query->upper_factor * query->upper_factor * rounding;
	}
	/* a NaN fails the comparison */
	return upper < (double) FLT_MAX ? (float) upper : FLT_MAX;
}

#endif							/* ANNOY_SKETCH_H */

/*-------------------------------------------------------------------------
 *
 * query.c
 *	  Query tables, estimates and bounds; interface in sketch.h.
 *
 * Must give the same bits on every machine, see sketch.c.
 *
 *-------------------------------------------------------------------------
 */
#include <float.h>
#include <math.h>
#include <string.h>

#include "arith/sketch.h"

/*
 * Norms whose squares vanish in float.  If no item of an inner-product index
 * is larger, its sketches say nothing about products with large queries.
 */
#define NORM_FLOOR 1.0e-15f

/*
 * Standard deviation of the estimate, in units of f1 times the distance from
 * the query: sqrt(1 - 2 / pi), what is left of a sign vector beside its part
 * along the residual (RaBitQ, theorem 3.2, whose bound is wider).
 */
#define ESTIMATE_DEVIATION 0.6f
#define ESTIMATE_VARIANCE 0.36
/* ... and the part of a sign vector along the residual, squared: 2 / pi. */
#define SIGNS_ALONG_RESIDUAL 0.64

/*
 * Relative error that is granted to distances computed in float, here and by
 * the operators; for cosine distances, 1 minus a quotient near 1, it is
 * absolute.
 */
#define FLOAT_ALLOWANCE 1.0e-5

/*
 * What rotating in float may change in an item and a query together, relative
 * to their norms before they are centred: twice what was measured for data far
 * from the origin (test_sketch: 1e-7 to 2e-7 each).
 */
#define ROTATION_ROUNDING 5.0e-7

/* Largest possible entry of the query's table. */
#define TABLE_MAX 255

/* 64-byte aligned size of a part of the query's memory. */
static size_t
align_part(size_t size)
{
	return (size + 63) / 64 * 64;
}

/* One byte for each of 16 patterns of each group of 4 dimensions. */
static size_t
table_size(int s)
{
	return (size_t) s / 4 * 16;
}

size_t
AnnoyQueryMemory(int dimensions)
{
	int			s = AnnoySketchDimensions(dimensions);

	return align_part(table_size(s)) + align_part(s * sizeof(float)) +
		align_part(s * sizeof(int16_t));
}

/*
 * The table: for each group of 4 dimensions and each pattern of signs the sum
 * of +-q, less the group's smallest, in steps of delta, rounded.
 *
 * What a code's sum may be off by: every entry is rounded by up to half a
 * step, evenly distributed, so with a variance of delta^2 / 12.  The slack
 * makes the product larger and thereby the lower bound lower.
 */
static void
make_table(AnnoyQuery *query, uint8_t *table, int s)
{
	AnnoyRankParameters *rank = &query->rank;
	float		range;			/* the largest of a group's sums of +-q */
	double		total = annoy_kernels.measure_groups(s, query->sketch, &range);
	double		slack;

	rank->table = table;
	rank->rows = s / 8;
	range *= 2.0f;

	if (!(range >= ANNOY_SMALLEST_QUANTISED) || !isfinite(query->epsilon))
	{
		/* no steps at all: the largest possible product for every code */
		memset(table, 0, table_size(s));
		rank->delta = 0.0f;
		rank->bias = isfinite(query->epsilon) ? (float) total : 0.0f;
		query->slack = rank->bias;
		return;
	}

	rank->delta = range / TABLE_MAX;
	slack = query->epsilon * rank->delta * sqrt(s / 4 / 12.0);
	rank->bias = (float) (slack - total);
	query->slack = (float) slack;
	annoy_kernels.fill_table(s, query->sketch, TABLE_MAX / range, table);
}

/*
 * Where codes are bits: with the query as +-1/2 and the signs of a code as +-1,
 * the product is the number of bits that agree, less d / 2, in steps of 1.  So
 * nothing is rounded, and base d / 2 makes "estimate" the number of bits that
 * differ.
 */
static void
make_bit_table(AnnoyQuery *query, uint8_t *table,
			   const AnnoySketcher *sketcher, const float *vector,
			   float *scratch)
{
	AnnoyRankParameters *rank = &query->rank;
	int			s = sketcher->sketch_dimensions;
	float		half = 0.5f * (float) sketcher->dimensions;
	float		set = 0.0f;
	int			i;

	for (i = 0; i < sketcher->dimensions; i++)
	{
		scratch[i] = vector[i] - 0.5f;
		set += vector[i];
	}
	for (; i < s; i++)
		scratch[i] = 0.0f;

	query->similarity = sketcher->metric == ANNOY_METRIC_JACCARD;
	query->bits_set = set;
	rank->linear = 1;
	rank->table = table;
	rank->rows = s / 8;
	rank->delta = 1.0f;
	rank->bias = -half;
	rank->base = half;
	rank->width = 0.0f;
	annoy_kernels.fill_table(s, scratch, 1.0f, table);
}

/*
 * Where codes are bits, rank_block has given base + f2 - product: the Hamming
 * distance h and the bits set in the item.  |a union b| is half of h and the
 * bits of both, |a intersect b| what h is less than that.
 */
uint32_t
AnnoyFinishSimilarity(const AnnoyQuery *query, const uint8_t *block,
					  float lower[16])
{
	float		f2[ANNOY_BLOCK_ENTRIES];
	uint32_t	mask = 0;
	int			i;

	memcpy(f2, block + query->rank.rows * ANNOY_BLOCK_ENTRIES +
		   sizeof(float) * ANNOY_BLOCK_ENTRIES, sizeof(f2));
	for (i = 0; i < ANNOY_BLOCK_ENTRIES; i++)
	{
		float		different = lower[i] - f2[i];
		float		twice_all = f2[i] + query->bits_set + different;

		lower[i] = twice_all > 0.0f ? 2.0f * different / twice_all : 1.0f;
		mask |= (uint32_t) (lower[i] < query->similarity_threshold) << i;
	}
	return mask;
}

/*
 * An inner-product query was scaled to norm M, which brought it among the
 * items: estimates are then as good for a short query as for a long one, and
 * the walk sees the geometry of Neyshabur & Srebro.
 */
static void
begin_product_query(AnnoyQuery *query, const AnnoySketcher *sketcher,
					const float *vector, double norm, double factor)
{
	double		offset = 0.0;
	int			i;

	query->walk_factor = factor;
	query->scaled_norm = (float) (norm * factor);

	if (sketcher->centre != NULL)
		for (i = 0; i < sketcher->dimensions; i++)
			offset += (double) sketcher->centre[i] * (double) vector[i];
	query->offset = offset;

	if (sketcher->max_norm < NORM_FLOOR)
		query->unbounded = true;
}

/* Squared norm of what a quantised sketch means. */
static float
quantised_norm(float scale, int64_t squares)
{
	return (float) ((double) scale * (double) scale * (double) squares);
}

static int32_t
sum_elements(int s, const int16_t *quantised)
{
	int32_t		sum = 0;
	int			i;

	for (i = 0; i < s; i++)
		sum += quantised[i];
	return sum;
}

/*
 * Quantises the sketch and puts in its place what that means, so that walks,
 * centroids and table all speak of the same point: the estimate's parts fit
 * together to the last bits, and only the distance between that point and the
 * true one has to be allowed for.  norm: of the vector that was rotated.
 */
static void
quantise_query(AnnoyQuery *query, const AnnoySketcher *sketcher,
			   int16_t *quantised, double norm)
{
	int			s = sketcher->sketch_dimensions;
	int64_t		squares;
	double		error;
	double		rotation = ROTATION_ROUNDING * norm;

	query->quantised = quantised;
	query->scale = AnnoyQuantiseSketchSquares(s, query->sketch, quantised,
											  &squares);
	query->norm_squared = quantised_norm(query->scale, squares);
	query->quantised_sum = sum_elements(s, query->quantised);
	error = annoy_kernels.requantise(s, query->quantised, query->scale,
									 query->sketch);

	/*
	 * Distances: the triangle inequality, twice, for the items' sketches may
	 * have been quantised likewise.  Inner products: the error of a product
	 * is the error's part along the other vector, of norm up to 2M or so
	 * (scale / sqrt(12) times that norm is its standard deviation); again of
	 * both.  The rotation's error has a random direction, too.
	 */
	if (sketcher->metric == ANNOY_METRIC_INNER_PRODUCT)
		query->rounding = 2.0f * sketcher->max_norm *
			(query->scale + (float) (rotation / sqrt(s)));
	else
		query->rounding = 2.0f * (float) sqrt(error) + (float) rotation;
}

/* Standard deviation of a squared distance of sketches in units of itself,
 * divided by sqrt(2): what cutting dimensions away costs. */
static double
cut_deviation(const AnnoySketcher *sketcher)
{
	int			s = sketcher->sketch_dimensions;
	int			p = sketcher->padded;

	return s < p ? sqrt(1.0 / s - 1.0 / p) : 0.0;
}

static bool
bounds_mean_nothing(const AnnoyQuery *query)
{
	return query->undefined || query->unbounded || !isfinite(query->epsilon);
}

/* Relative deviation of squared distances that bounds allow for. */
static double
cut_allowance(const AnnoyQuery *query)
{
	return query->epsilon * sqrt(2.0) * query->cut;
}

bool
AnnoyHasUpperBounds(const AnnoySketcher *sketcher)
{
	return sketcher->metric != ANNOY_METRIC_L1 &&
		(sketcher->metric != ANNOY_METRIC_JACCARD || sketcher->codes_are_bits);
}

/*
 * What upper bounds need beside the codes' own error.  AnnoyBoundToDistance
 * will take from them what lower bounds need; as much again is for the other
 * side.
 */
static void
prepare_upper_bounds(AnnoyQuery *query, const AnnoySketcher *sketcher)
{
	double		allowance = cut_allowance(query);

	query->upper_factor = 1.0;
	if (bounds_mean_nothing(query) || !AnnoyHasUpperBounds(sketcher))
	{
		query->upper_addend = INFINITY;
		return;
	}
	if (query->rank.linear)
	{
		query->upper_addend = 4.0 * query->rounding;
		return;
	}

	/* beyond 1 nothing is known: infinite, or a NaN */
	query->upper_factor = (1.0 + 3.0 * FLOAT_ALLOWANCE) *
		sqrt((1.0 + allowance) / (1.0 - allowance));
	query->upper_addend = (1.0 + 3.0 * FLOAT_ALLOWANCE) *
		sqrt(1.0 + allowance) * 2.0 * query->rounding;

	/*
	 * Of half the square, twice; and again as much for what the rounding
	 * above takes from it.
	 */
	if (sketcher->metric == ANNOY_METRIC_COSINE)
		query->upper_absolute = 8.0 * FLOAT_ALLOWANCE * (1.0 + allowance);
}

void
AnnoyInitQuery(AnnoyQuery *query, void *memory, const AnnoySketcher *sketcher,
			   const float *vector, float *scratch, float epsilon)
{
	int			s = sketcher->sketch_dimensions;
	uint8_t    *table = memory;
	char	   *next = (char *) memory + align_part(table_size(s));
	double		norm;
	double		factor = 1.0;

	memset(query, 0, sizeof(*query));
	query->sketch = (float *) next;
	query->epsilon = epsilon;
	query->walk_factor = 1.0;
	query->rank.linear = sketcher->metric == ANNOY_METRIC_INNER_PRODUCT;
	query->learns_ratio = sketcher->metric == ANNOY_METRIC_L1;

	if (AnnoyMakeQuerySketch(sketcher, vector, scratch, query->sketch, &norm,
							 &factor, &query->unbounded))
	{
		if (sketcher->metric == ANNOY_METRIC_INNER_PRODUCT)
			begin_product_query(query, sketcher, vector, norm, factor);
	}
	else
	{
		/* harmless numbers, should anybody look */
		query->undefined = true;
		memset(query->sketch, 0, s * sizeof(float));
		norm = 0.0;
	}

	quantise_query(query, sketcher,
				   (int16_t *) (next + align_part(s * sizeof(float))),
				   norm * factor);
	if (sketcher->codes_are_bits)
		make_bit_table(query, table, sketcher, vector, scratch);
	else
		make_table(query, table, s);
	query->cut = cut_deviation(sketcher);
	prepare_upper_bounds(query, sketcher);
}

/* Inner product of the query and an int8 vector, both dequantised. */
static double
query_product(const AnnoySketcher *sketcher, const AnnoyQuery *query,
			  const int8_t *vector, float scale)
{
	int32_t		product;

	product = annoy_kernels.dot_quantised(sketcher->sketch_dimensions, vector,
										  query->quantised);
	return (double) scale * (double) query->scale * (double) product;
}

/*
 * How far the best product in a leaf of outsized vectors is from the mean one,
 * in units of the norms of query and spread: of some dozens or hundreds of
 * residuals in random directions the best is seldom beyond this / sqrt(s).
 */
#define OUTSIZED_DEVIATIONS 4.0

/*
 * A query's distance to a leaf of outsized vectors, comparable with those to
 * other leaves: |q - c|^2 + extra^2 of an item is M^2 + |q|^2 - 2 <q, x>, which
 * has a meaning for larger norms too.  The centroid's product says little of
 * the best one in the leaf where norms are large, so what its vectors may lie
 * nearer is taken off.  extra: minus their mean norm.
 */
static float
outsized_distance(const AnnoySketcher *sketcher, const AnnoyQuery *query,
				  const int8_t *centroid, float scale, float extra)
{
	int			s = sketcher->sketch_dimensions;
	const float *centre = sketcher->rotated_centre;
	double		norm = query->scaled_norm;
	double		max_norm = sketcher->max_norm;
	double		product = 0.0;
	double		square = 0.0;
	double		spread;
	double		share = OUTSIZED_DEVIATIONS / sqrt(s);
	double		distance;
	int			i;

	for (i = 0; i < s; i++)
	{
		double		m = centre != NULL ? centre[i] : 0.0;
		double		x = (double) scale * centroid[i] + m;

		product += ((double) query->sketch[i] + m) * x;
		square += x * x;
	}
	spread = (double) extra * (double) extra - square;
	if (spread > 0.0)
		product += norm * sqrt(spread) * (share < 1.0 ? share : 1.0);
	/* not cut off at zero, as it is an order among such leaves, too */
	distance = max_norm * max_norm + norm * norm - 2.0 * product;
	return (float) distance;
}

float
AnnoyCentroidDistance(const AnnoySketcher *sketcher, const AnnoyQuery *query,
					  const int8_t *centroid, float scale, float norm_squared,
					  float extra)
{
	int32_t		product;

	if (extra < 0.0f && query->rank.linear)
		return outsized_distance(sketcher, query, centroid, scale, extra);
	product = annoy_kernels.dot_quantised(sketcher->sketch_dimensions, centroid,
										  query->quantised);
	return AnnoyDistanceOfProduct(query, product, scale, norm_squared, extra);
}

/*
 * Rounded as AnnoyItemMargin does, so that an item asked for as a query goes
 * where the item went.
 */
float
AnnoyQueryMargin(const AnnoySketcher *sketcher, const AnnoyQuery *query,
				 const int8_t *normal, float scale, float extra_weight,
				 float offset)
{
	double		product = query_product(sketcher, query, normal, scale);

	return (float) (product + (double) extra_weight * (double) query->extra) -
		offset;
}

void
AnnoyInitStoredItemQuery(AnnoyQuery *query, const AnnoySketcher *sketcher,
						 const AnnoyItemSketch *item)
{
	memset(query, 0, sizeof(*query));
	query->quantised = item->quantised;
	query->walk_factor = 1.0;
	query->extra = item->extra;
	query->scale = item->scale;
	query->norm_squared = item->norm_squared;
	query->quantised_sum = sum_elements(sketcher->sketch_dimensions,
										item->quantised);
}

void
AnnoyInitItemQuery(AnnoyQuery *query, int16_t *quantised,
				   const AnnoySketcher *sketcher, const float *sketch,
				   float extra)
{
	AnnoyItemSketch item;
	int64_t		squares;

	item.quantised = quantised;
	item.scale = AnnoyQuantiseSketchSquares(sketcher->sketch_dimensions,
											sketch, quantised, &squares);
	item.norm_squared = quantised_norm(item.scale, squares);
	item.extra = extra;
	AnnoyInitStoredItemQuery(query, sketcher, &item);
}

/*
 * Base and width of the linear form.  The estimate of -2 <o, q + m> errs by
 * the signs' part across the residual, times |q - c|; and where dimensions are
 * cut away, <o - c, q + m> and <c, q + m> err by the product of the norms
 * times cut_deviation, the first of which is here in units of f1.
 */
static void
begin_linear_leaf(const AnnoySketcher *sketcher, AnnoyQuery *query,
				  double product, double norm_squared, double distance)
{
	double		cut = query->cut;
	double		scaled_norm = query->scaled_norm;
	double		base = norm_squared - 2.0 * product;
	double		variance = ESTIMATE_VARIANCE * distance;

	query->leaf_slack = 0.0;
	if (cut > 0.0)
	{
		query->leaf_slack = 2.0 * query->epsilon * scaled_norm *
			sqrt(norm_squared) * cut;
		variance += SIGNS_ALONG_RESIDUAL * scaled_norm * scaled_norm *
			cut * cut * sketcher->sketch_dimensions;
	}

	query->rank.base = (float) (base - query->leaf_slack);
	query->rank.width = (float) (query->epsilon * sqrt(variance));
}

void
AnnoyBeginLeaf(const AnnoySketcher *sketcher, AnnoyQuery *query,
			   const int8_t *centroid, float scale, float norm_squared,
			   float threshold)
{
	AnnoyRankParameters *rank = &query->rank;
	double		product;
	double		distance;

	rank->threshold = threshold;
	query->similarity_threshold = threshold;

	/* all of it is known and the same for every leaf */
	if (sketcher->codes_are_bits)
		return;

	if (bounds_mean_nothing(query))
	{
		/* an estimate that no f2 brings above zero; then 0 or itself */
		rank->base = -FLT_MAX;
		rank->delta = rank->bias = rank->width = 0.0f;
		return;
	}

	product = query_product(sketcher, query, centroid, scale);
	distance = (double) query->norm_squared - 2.0 * product +
		(double) norm_squared;
	if (distance < 0.0)
		distance = 0.0;
	query->leaf_distance = distance;

	if (rank->linear)
		begin_linear_leaf(sketcher, query, product, norm_squared, distance);
	else
	{
		rank->base = (float) distance;
		/* half: see the quadratic equation in kernel.h */
		rank->width = 0.5f * ESTIMATE_DEVIATION * query->epsilon;
	}
}

/*
 * Undoes rank_block (kernel.h): the lower bound's root is sqrt(b^2 + e) - b, e
 * the estimate of the squared distance, so that the upper one's is b more than
 * the root of b^2 + e.  The table's rounding was taken off e.
 */
float
AnnoyUpperBound(const AnnoySketcher *sketcher, const AnnoyQuery *query,
				float lower, float f1)
{
	double		b = (double) f1 * (double) query->rank.width;
	double		slack = 2.0 * (double) f1 * (double) query->slack;
	double		root;

	if (sketcher->codes_are_bits)
		return query->similarity ?
			(float) ((double) lower * (1.0 + 2.0 * FLOAT_ALLOWANCE)) : lower;

	/* unbounded items, and factors that no item has */
	if (!(f1 >= 0.0f))
		return FLT_MAX;
	if (query->rank.linear)
	{
		if (lower < -0.5f * FLT_MAX)
			return FLT_MAX;
		return AnnoyFinishUpperBound(query, (double) lower + 2.0 * b,
									 slack + 2.0 * query->leaf_slack);
	}
	if (f1 == 0.0f && lower == 0.0f)
		return FLT_MAX;
	root = sqrt((double) lower) + b;
	return AnnoyFinishUpperBound(query, sqrt(root * root + slack) + b, 0.0);
}

/* Lower bound of a Euclidean distance before it was cut and rounded. */
static double
euclidean_bound(const AnnoyQuery *query, float lower)
{
	double		bound = lower > 0.0f ? sqrt((double) lower) : 0.0;

	if (query->cut > 0.0)
		bound /= sqrt(1.0 + cut_allowance(query));
	bound = (bound - query->rounding) * (1.0 - FLOAT_ALLOWANCE);
	return bound > 0.0 ? bound : 0.0;
}

/*
 * L1.  The quotient of the norms |x|_1 / |x|_2 lies between 1 and the root of
 * the dimensions, and for most data it lies in a small part of that range,
 * which depends on the query: an image with much background differs from its
 * neighbours in few pixels.  So the query learns it from the items that it has
 * ranked, which are those of the smallest lower bounds.
 *
 * Measured on 60 queries of Fashion-MNIST: bounds of three standard deviations
 * below the mean rank 364 items exactly and lose nothing; to do without loss,
 * one quotient for all queries, taken from a sample, ranks 6,900.
 */
#define RATIO_OBSERVATIONS 16

/*
 * Standard deviations below the mean, in addition to epsilon: the lower bounds
 * that the quotients are taken from scatter too.
 */
#define RATIO_DEVIATIONS 1.0

/*
 * What was observed is not all there is: among neighbours that differ a little
 * in all dimensions there may be one that differs in a single dimension, whose
 * quotient is 1.  It would never be ranked, however much is inspected.  So the
 * largest budgets do without the observations, which others follow the less
 * the larger epsilon is: by 0.1 percent at 2 standard deviations, 17 at 4.
 */
static double
observation_distrust(float epsilon)
{
	double		share = (double) epsilon / ANNOY_MAX_EPSILON;
	double		fourth = share * share * share * share;

	return fourth < 1.0 ? fourth * fourth : 1.0;
}

void
AnnoyObserveDistance(AnnoyQuery *query, float lower, double distance)
{
	double		ratio;
	double		deviation;

	if (!query->learns_ratio || !(lower > 0.0f) || !isfinite(distance))
		return;
	ratio = distance / sqrt((double) lower);
	query->ratio_count++;
	deviation = ratio - query->ratio_mean;
	query->ratio_mean += deviation / query->ratio_count;
	query->ratio_squares += deviation * (ratio - query->ratio_mean);
}

/* What an L1 distance is at the least, in terms of the Euclidean one. */
static double
smallest_ratio(const AnnoyQuery *query)
{
	double		deviation;
	double		ratio;

	if (query->ratio_count < RATIO_OBSERVATIONS)
		return 1.0;
	deviation = sqrt(query->ratio_squares / (query->ratio_count - 1));
	ratio = query->ratio_mean -
		(query->epsilon + RATIO_DEVIATIONS) * deviation;
	if (ratio < 1.0)
		return 1.0;
	return 1.0 + (ratio - 1.0) * (1.0 - observation_distrust(query->epsilon));
}

double
AnnoyBoundToDistance(const AnnoySketcher *sketcher, const AnnoyQuery *query,
					 float lower)
{
	double		bound;

	if (sketcher->codes_are_bits)
		return query->similarity ?
			(double) lower * (1.0 - FLOAT_ALLOWANCE) : (double) lower;

	if (sketcher->metric == ANNOY_METRIC_INNER_PRODUCT)
	{
		/* no code's estimate comes near the end of the floats */
		if (bounds_mean_nothing(query) || lower < -0.5f * FLT_MAX)
			return -INFINITY;
		return (0.5 * (double) lower - query->rounding) / query->walk_factor -
			query->offset;
	}

	if (bounds_mean_nothing(query))
		return 0.0;

	bound = euclidean_bound(query, lower);
	switch (sketcher->metric)
	{
		case ANNOY_METRIC_L2:
			return bound;
		case ANNOY_METRIC_L1:
			return bound * smallest_ratio(query);
		case ANNOY_METRIC_HAMMING:
			return bound * bound;
		case ANNOY_METRIC_COSINE:
			bound = 0.5 * bound * bound - FLOAT_ALLOWANCE;
			return bound > 0.0 ? bound : 0.0;
		case ANNOY_METRIC_JACCARD:

			/*
			 * With the cosine c = |a and b| / sqrt(|a| |b|) a similarity is
			 * at most c / (2 - c), for |a| = |b|; the squared distance here
			 * is 2 - 2c.
			 */
			bound *= bound;
			return 2.0 * bound / (2.0 + bound);
		default:
			return 0.0;
	}
}

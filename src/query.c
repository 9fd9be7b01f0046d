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

#include "sketch.h"

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

	rank->table = table;
	rank->rows = s / 8;
	range *= 2.0f;

	if (!(range >= ANNOY_SMALLEST_QUANTISED) || !isfinite(query->epsilon))
	{
		/* no steps at all: the largest possible product for every code */
		memset(table, 0, table_size(s));
		rank->delta = 0.0f;
		rank->bias = isfinite(query->epsilon) ? (float) total : 0.0f;
		return;
	}

	rank->delta = range / TABLE_MAX;
	rank->bias = (float) (query->epsilon * rank->delta * sqrt(s / 4 / 12.0) -
						  total);
	annoy_kernels.fill_table(s, query->sketch, TABLE_MAX / range, table);
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

/*
 * Quantises the sketch and puts in its place what that means, so that walks,
 * centroids and table all speak of the same point: the estimate's parts fit
 * together to the last bits, and only the distance between that point and the
 * true one has to be allowed for.
 */
static void
quantise_query(AnnoyQuery *query, const AnnoySketcher *sketcher)
{
	int			s = sketcher->sketch_dimensions;
	int64_t		squares;
	double		error;

	query->scale = AnnoyQuantiseSketchSquares(s, query->sketch,
											  query->quantised, &squares);
	query->norm_squared = quantised_norm(query->scale, squares);
	error = annoy_kernels.requantise(s, query->quantised, query->scale,
									 query->sketch);

	/*
	 * Distances: the triangle inequality, twice, for the items' sketches may
	 * have been quantised likewise.  Inner products: the error of a product
	 * is the error's part along the other vector, of norm up to 2M or so
	 * (scale / sqrt(12) times that norm is its standard deviation); again of
	 * both.
	 */
	if (sketcher->metric == ANNOY_METRIC_INNER_PRODUCT)
		query->rounding = 2.0f * sketcher->max_norm * query->scale;
	else
		query->rounding = 2.0f * (float) sqrt(error);
}

void
AnnoyInitQuery(AnnoyQuery *query, void *memory, const AnnoySketcher *sketcher,
			   const float *vector, float *scratch, float epsilon)
{
	int			s = sketcher->sketch_dimensions;
	uint8_t    *table = memory;
	char	   *next = (char *) memory + align_part(table_size(s));
	double		norm;
	double		factor;

	memset(query, 0, sizeof(*query));
	query->sketch = (float *) next;
	query->quantised = (int16_t *) (next + align_part(s * sizeof(float)));
	query->epsilon = epsilon;
	query->walk_factor = 1.0;
	query->rank.linear = sketcher->metric == ANNOY_METRIC_INNER_PRODUCT;

	if (AnnoyMakeQuerySketch(sketcher, vector, scratch, query->sketch, &norm,
							 &factor, &query->unbounded))
	{
		if (query->rank.linear)
			begin_product_query(query, sketcher, vector, norm, factor);
	}
	else
	{
		/* harmless numbers, should anybody look */
		query->undefined = true;
		memset(query->sketch, 0, s * sizeof(float));
	}

	quantise_query(query, sketcher);
	make_table(query, table, s);
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

float
AnnoyCentroidDistance(const AnnoySketcher *sketcher, const AnnoyQuery *query,
					  const int8_t *centroid, float scale, float norm_squared,
					  float extra)
{
	double		product = query_product(sketcher, query, centroid, scale);
	double		distance;

	distance = (double) query->norm_squared - 2.0 * product +
		(double) norm_squared +
		((double) query->extra - (double) extra) *
		((double) query->extra - (double) extra);
	return distance > 0.0 ? (float) distance : 0.0f;
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
AnnoyInitItemQuery(AnnoyQuery *query, int16_t *quantised,
				   const AnnoySketcher *sketcher, const float *sketch,
				   float extra)
{
	int64_t		squares;

	memset(query, 0, sizeof(*query));
	query->quantised = quantised;
	query->walk_factor = 1.0;
	query->extra = extra;
	query->scale = AnnoyQuantiseSketchSquares(sketcher->sketch_dimensions,
											  sketch, quantised, &squares);
	query->norm_squared = quantised_norm(query->scale, squares);
}

static bool
bounds_mean_nothing(const AnnoyQuery *query)
{
	return query->undefined || query->unbounded || !isfinite(query->epsilon);
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
	double		cut = cut_deviation(sketcher);
	double		scaled_norm = query->scaled_norm;
	double		base = norm_squared - 2.0 * product;
	double		variance = ESTIMATE_VARIANCE * distance;

	if (cut > 0.0)
	{
		base -= 2.0 * query->epsilon * scaled_norm * sqrt(norm_squared) * cut;
		variance += SIGNS_ALONG_RESIDUAL * scaled_norm * scaled_norm *
			cut * cut * sketcher->sketch_dimensions;
	}

	query->rank.base = (float) base;
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

	if (rank->linear)
		begin_linear_leaf(sketcher, query, product, norm_squared, distance);
	else
	{
		rank->base = (float) distance;
		/* half: see the quadratic equation in kernel.h */
		rank->width = 0.5f * ESTIMATE_DEVIATION * query->epsilon;
	}
}

/* Lower bound of a Euclidean distance before it was cut and rounded. */
static double
euclidean_bound(const AnnoySketcher *sketcher, const AnnoyQuery *query,
				float lower)
{
	double		cut = cut_deviation(sketcher);
	double		bound = lower > 0.0f ? sqrt((double) lower) : 0.0;

	if (cut > 0.0)
		bound /= sqrt(1.0 + query->epsilon * sqrt(2.0) * cut);
	bound = (bound - query->rounding) * (1.0 - FLOAT_ALLOWANCE);
	return bound > 0.0 ? bound : 0.0;
}

double
AnnoyBoundToDistance(const AnnoySketcher *sketcher, const AnnoyQuery *query,
					 float lower)
{
	double		bound;

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

	bound = euclidean_bound(sketcher, query, lower);
	switch (sketcher->metric)
	{
		case ANNOY_METRIC_L2:
		case ANNOY_METRIC_L1:
			return bound;
		case ANNOY_METRIC_HAMMING:
			return bound * bound;
		case ANNOY_METRIC_COSINE:
			bound = 0.5 * bound * bound - FLOAT_ALLOWANCE;
			return bound > 0.0 ? bound : 0.0;
		default:
			return 0.0;
	}
}

/*-------------------------------------------------------------------------
 *
 * sketch.c
 *	  Transform, rotation, codes, query tables and bounds.
 *
 * Everything here must give the same bits on every machine: loops add in the
 * order in which they are written (into a fixed number of lanes where a
 * compiler may then use vectors without reordering anything), or go through
 * the kernels, which promise the same.
 *
 *-------------------------------------------------------------------------
 */
#include <float.h>
#include <math.h>
#include <string.h>

#include "random.h"
#include "sketch.h"

/* Sketches are whole runs of this many floats. */
#define SKETCH_UNIT 16

/* Partial sums of the loops below; divides SKETCH_UNIT. */
#define SUM_LANES 16
#define NORM_LANES 8

/* Below this a largest element would have no usable reciprocal in float. */
#define QUANTISED_FLOOR 1.0e-30f

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

static int
pad_dimensions(int dimensions)
{
	return (dimensions + SKETCH_UNIT - 1) / SKETCH_UNIT * SKETCH_UNIT;
}

int
AnnoySketchDimensions(int dimensions)
{
	int			padded = pad_dimensions(dimensions);

	return padded < ANNOY_MAX_SKETCH_DIMENSIONS ?
		padded : ANNOY_MAX_SKETCH_DIMENSIONS;
}

static size_t
plans_size(int padded)
{
	return (size_t) ANNOY_ROTATION_ROUNDS * padded * sizeof(uint16_t);
}

/* The plans, and room to rotate the centre once, in which it then stays. */
size_t
AnnoySketcherMemory(int dimensions)
{
	return plans_size(pad_dimensions(dimensions)) +
		(size_t) AnnoySketchScratch(dimensions) * sizeof(float);
}

/* Input and output of a permutation. */
int
AnnoySketchScratch(int dimensions)
{
	return 2 * pad_dimensions(dimensions);
}

static int
largest_power_of_two(int n)
{
	int			power = SKETCH_UNIT;

	while (power <= n / 2)
		power *= 2;
	return power;
}

/* Random permutation with random signs, in the form of permute_signed. */
static void
make_plan(uint16_t *plan, int n, AnnoyRandom *random)
{
	int			i;

	for (i = 0; i < n; i++)
		plan[i] = (uint16_t) i;

	for (i = n - 1; i > 0; i--)
	{
		uint32_t	j = AnnoyRandomBelow(random, (uint32_t) i + 1);
		uint16_t	index = plan[i];

		plan[i] = plan[j];
		plan[j] = index;
	}

	for (i = 0; i < n; i++)
		plan[i] |= (uint16_t) (AnnoyNextRandom(random) >> 63 << 15);
}

/*
 * Rotates the p floats at the beginning of scratch (2p floats) and writes the
 * first s of the result, scaled, to out, which may be scratch itself.
 *
 * One round: a signed permutation, then a Walsh-Hadamard transform of each
 * block of the binary decomposition of p, the largest first.  A transform of b
 * numbers makes them sqrt(b) times as long; the smaller blocks are brought to
 * the growth of the largest, so that one factor at the end does for all.  The
 * permutation is what mixes the blocks: every coordinate takes part in every
 * round, and after the last one any s coordinates hold an even share.
 */
static void
rotate(const AnnoySketcher *sketcher, float *scratch, float *out)
{
	int			padded = sketcher->padded;
	int			s = sketcher->sketch_dimensions;
	int			largest = largest_power_of_two(padded);
	float	   *in = scratch;
	float	   *rotated = scratch + padded;
	int			round;
	int			i;

	for (round = 0; round < ANNOY_ROTATION_ROUNDS; round++)
	{
		/* nobody looks at what is cut away */
		int			end = round == ANNOY_ROTATION_ROUNDS - 1 ? s : padded;
		int			start = 0;
		float	   *swap;

		while (start < end)
		{
			int			block = largest_power_of_two(padded - start);

			annoy_kernels.permute_signed(block, sketcher->plan[round] + start,
										 in, rotated + start);
			annoy_kernels.walsh_hadamard(block, rotated + start);
			if (block < largest)
			{
				float		growth = (float) sqrt((double) largest / block);

				for (i = start; i < start + block; i++)
					rotated[i] *= growth;
			}
			start += block;
		}

		swap = in;
		in = rotated;
		rotated = swap;
	}

	for (i = 0; i < s; i++)
		out[i] = sketcher->rotation_scale * in[i];
}

/* Pads d floats at the beginning of scratch with zeros up to p. */
static void
pad_with_zeros(const AnnoySketcher *sketcher, float *scratch)
{
	memset(scratch + sketcher->dimensions, 0,
		   (size_t) (sketcher->padded - sketcher->dimensions) * sizeof(float));
}

void
AnnoyMoveSketcher(AnnoySketcher *sketcher, ptrdiff_t moved)
{
	int			round;

	if (sketcher->centre != NULL)
		sketcher->centre = (const float *) ((const char *) sketcher->centre + moved);
	if (sketcher->rotated_centre != NULL)
		sketcher->rotated_centre =
			(const float *) ((const char *) sketcher->rotated_centre + moved);
	for (round = 0; round < ANNOY_ROTATION_ROUNDS; round++)
		if (sketcher->plan[round] != NULL)
			sketcher->plan[round] =
				(uint16_t *) ((char *) sketcher->plan[round] + moved);
}

void
AnnoyInitSketcher(AnnoySketcher *sketcher, void *memory, AnnoyMetric metric,
				  int dimensions, uint64_t seed, const float *centre,
				  float max_norm)
{
	int			padded = pad_dimensions(dimensions);
	int			s = AnnoySketchDimensions(dimensions);
	uint16_t   *plan = memory;
	double		growth = 1.0;
	int			round;

	sketcher->metric = metric;
	sketcher->dimensions = dimensions;
	sketcher->padded = padded;
	sketcher->sketch_dimensions = s;
	sketcher->max_norm = max_norm;
	sketcher->centre = centre;
	sketcher->rotated_centre = NULL;

	for (round = 0; round < ANNOY_ROTATION_ROUNDS; round++)
	{
		AnnoyRandom random;

		AnnoySeedRandom(&random, AnnoyHash(seed, (uint64_t) round));
		make_plan(plan, padded, &random);
		sketcher->plan[round] = plan;
		plan += padded;
		growth *= sqrt((double) largest_power_of_two(padded));
	}
	sketcher->rotation_scale = (float) (sqrt((double) padded / s) / growth);

	if (centre != NULL)
	{
		float	   *rotated = (float *) ((char *) memory + plans_size(padded));

		memcpy(rotated, centre, (size_t) dimensions * sizeof(float));
		pad_with_zeros(sketcher, rotated);
		rotate(sketcher, rotated, rotated);
		sketcher->rotated_centre = rotated;
	}
}

/*
 * Euclidean norm in double, where no sum of squares of floats overflows or
 * vanishes.  Not finite if an element is not.
 */
static double
vector_norm(int n, const float *vector)
{
	double		sum[NORM_LANES] = {0};
	int			i;
	int			j;

	for (i = 0; i + NORM_LANES <= n; i += NORM_LANES)
		for (j = 0; j < NORM_LANES; j++)
			sum[j] += (double) vector[i + j] * (double) vector[i + j];
	for (j = 0; i + j < n; j++)
		sum[j] += (double) vector[i + j] * (double) vector[i + j];

	return sqrt(((sum[0] + sum[4]) + (sum[2] + sum[6])) +
				((sum[1] + sum[5]) + (sum[3] + sum[7])));
}

/*
 * A factor is applied in double: for the smallest vectors it is beyond float.
 */
static void
scale_vector(int n, const float *vector, double factor, float *out)
{
	int			i;

	for (i = 0; i < n; i++)
		out[i] = (float) ((double) vector[i] * factor);
}

/*
 * A vector with an infinite or undefined element has no direction either; the
 * operators' distances from it are no numbers.
 */
bool
AnnoyTransformVector(const AnnoySketcher *sketcher, const float *vector,
					 float *out, double *norm, bool *unbounded)
{
	int			dimensions = sketcher->dimensions;

	*norm = vector_norm(dimensions, vector);
	*unbounded = false;
	if (!isfinite(*norm))
		return false;

	if (sketcher->metric == ANNOY_METRIC_COSINE)
	{
		if (*norm == 0.0)
			return false;
		scale_vector(dimensions, vector, 1.0 / *norm, out);
	}
	else if (*norm > ANNOY_NORM_LIMIT)
	{
		*unbounded = true;
		scale_vector(dimensions, vector, ANNOY_NORM_LIMIT / *norm, out);
	}
	else
		memcpy(out, vector, (size_t) dimensions * sizeof(float));

	return true;
}

/* Centres, pads and rotates the d floats at the beginning of scratch. */
static void
finish_sketch(const AnnoySketcher *sketcher, float *scratch, float *sketch)
{
	if (sketcher->centre != NULL)
	{
		int			i;

		for (i = 0; i < sketcher->dimensions; i++)
			scratch[i] -= sketcher->centre[i];
	}
	pad_with_zeros(sketcher, scratch);
	rotate(sketcher, scratch, sketch);
}

bool
AnnoyMakeSketch(const AnnoySketcher *sketcher, const float *vector,
				float *scratch, float *sketch, float *extra, bool *unbounded)
{
	double		norm;

	if (!AnnoyTransformVector(sketcher, vector, scratch, &norm, unbounded))
		return false;

	*extra = 0.0f;
	if (sketcher->metric == ANNOY_METRIC_INNER_PRODUCT)
	{
		double		max_norm = sketcher->max_norm;

		if (norm < max_norm)
			*extra = (float) sqrt(max_norm * max_norm - norm * norm);
	}

	finish_sketch(sketcher, scratch, sketch);
	return true;
}

/* Largest absolute value; n a multiple of SKETCH_UNIT. */
static float
largest_element(int n, const float *x)
{
	float		largest[SUM_LANES] = {0};
	int			i;
	int			j;

	for (i = 0; i < n; i += SUM_LANES)
		for (j = 0; j < SUM_LANES; j++)
		{
			float		size = fabsf(x[i + j]);

			largest[j] = size > largest[j] ? size : largest[j];
		}
	for (j = 1; j < SUM_LANES; j++)
		if (largest[j] > largest[0])
			largest[0] = largest[j];

	return largest[0];
}

/* Nearest integer, halves away from zero, whatever the rounding mode. */
static inline int
round_to_nearest(float x)
{
	return (int) (x + (x < 0.0f ? -0.5f : 0.5f));
}

float
AnnoyQuantiseSketch(int s, const float *sketch, int16_t *quantised)
{
	float		largest = largest_element(s, sketch);
	float		inverse;
	int			i;

	if (!(largest >= QUANTISED_FLOOR))
	{
		memset(quantised, 0, (size_t) s * sizeof(int16_t));
		return 0.0f;
	}

	inverse = ANNOY_QUANTISED_MAX / largest;
	for (i = 0; i < s; i++)
		quantised[i] = (int16_t) round_to_nearest(sketch[i] * inverse);

	return largest / ANNOY_QUANTISED_MAX;
}

float
AnnoyQuantiseDirection(int s, const float *direction, int8_t *quantised)
{
	float		largest = largest_element(s, direction);
	float		inverse;
	int			i;

	if (!(largest >= QUANTISED_FLOOR))
	{
		memset(quantised, 0, (size_t) s * sizeof(int8_t));
		return 0.0f;
	}

	inverse = INT8_MAX / largest;
	for (i = 0; i < s; i++)
		quantised[i] = (int8_t) round_to_nearest(direction[i] * inverse);

	return largest / INT8_MAX;
}

int32_t
AnnoyQuantisedNorm(int s, const int8_t *quantised)
{
	int32_t		sum = 0;
	int			i;

	for (i = 0; i < s; i++)
		sum += (int32_t) quantised[i] * (int32_t) quantised[i];

	return sum;
}

/* Sums over the coordinates of a residual o - c with signs s. */
typedef struct ResidualSums
{
	float		squares;		/* |o - c|^2 */
	float		sizes;			/* <s, o - c> */
	float		centroid;		/* <s, c> */
} ResidualSums;

/* Sum of lanes by halves. */
static float
add_lanes(float *lane)
{
	int			half;
	int			j;

	for (half = SUM_LANES / 2; half > 0; half /= 2)
		for (j = 0; j < half; j++)
			lane[j] += lane[j + half];

	return lane[0];
}

/* Packs 8 flags, 0 or 1, into a byte, the first into its lowest bit. */
static inline uint8_t
pack_flags(const uint8_t *flag)
{
	return (uint8_t) (flag[0] | flag[1] << 1 | flag[2] << 2 | flag[3] << 3 |
					  flag[4] << 4 | flag[5] << 5 | flag[6] << 6 |
					  flag[7] << 7);
}

static void
sum_residual(int s, const float *sketch, const int8_t *centroid, float scale,
			 uint8_t *code, ResidualSums *sums)
{
	float		squares[SUM_LANES] = {0};
	float		sizes[SUM_LANES] = {0};
	float		signed_centroid[SUM_LANES] = {0};
	int			i;
	int			j;

	for (i = 0; i < s; i += SUM_LANES)
	{
		uint8_t		positive[SUM_LANES];

		for (j = 0; j < SUM_LANES; j++)
		{
			float		c = scale * (float) centroid[i + j];
			float		residual = sketch[i + j] - c;

			squares[j] += residual * residual;
			sizes[j] += fabsf(residual);
			signed_centroid[j] += residual >= 0.0f ? c : -c;
			positive[j] = residual >= 0.0f;
		}
		code[i / 8] = pack_flags(positive);
		code[i / 8 + 1] = pack_flags(positive + 8);
	}

	sums->squares = add_lanes(squares);
	sums->sizes = add_lanes(sizes);
	sums->centroid = add_lanes(signed_centroid);
}

/*
 * r^2 - |o|^2 - 2 <o, m> = <c, c - 2o> - 2 <o, m>, m the rotated centre:
 * summed in the second form, which cancels less.
 */
static float
sum_product_terms(const AnnoySketcher *sketcher, const float *sketch,
				  const int8_t *centroid, float scale)
{
	int			s = sketcher->sketch_dimensions;
	const float *centre = sketcher->rotated_centre;
	float		sum[SUM_LANES] = {0};
	int			i;
	int			j;

	for (i = 0; i < s; i += SUM_LANES)
		for (j = 0; j < SUM_LANES; j++)
		{
			float		c = scale * (float) centroid[i + j];

			sum[j] += c * (c - 2.0f * sketch[i + j]);
		}
	if (centre != NULL)
		for (i = 0; i < s; i += SUM_LANES)
			for (j = 0; j < SUM_LANES; j++)
				sum[j] -= 2.0f * sketch[i + j] * centre[i + j];

	return add_lanes(sum);
}

void
AnnoyEncodeItem(const AnnoySketcher *sketcher, const float *sketch,
				bool unbounded, const int8_t *centroid, float scale,
				uint8_t *code, float *f1, float *f2)
{
	ResidualSums sums;

	sum_residual(sketcher->sketch_dimensions, sketch, centroid, scale, code,
				 &sums);

	if (unbounded)
	{
		*f1 = 0.0f;
		*f2 = -FLT_MAX;
		return;
	}

	/* squares of the smallest residuals vanish; they are as good as none */
	*f1 = sums.squares > 0.0f ? 2.0f * (sums.squares / sums.sizes) : 0.0f;
	*f2 = *f1 * sums.centroid;
	if (sketcher->metric == ANNOY_METRIC_INNER_PRODUCT)
		*f2 += sum_product_terms(sketcher, sketch, centroid, scale);
	else
		*f2 += sums.squares;
}

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

/* The largest range of a group's sums, and (return) the sum of all sizes. */
static double
measure_groups(int s, const float *sketch, float *largest_range)
{
	double		total = 0.0;
	int			i;

	*largest_range = 0.0f;
	for (i = 0; i < s; i += 4)
	{
		float		sum = fabsf(sketch[i]) + fabsf(sketch[i + 1]) +
			fabsf(sketch[i + 2]) + fabsf(sketch[i + 3]);

		total += sum;
		if (2.0f * sum > *largest_range)
			*largest_range = 2.0f * sum;
	}

	return total;
}

/*
 * The table: for each group of 4 dimensions and each pattern of signs the sum
 * of +-q, less the group's smallest, in steps of delta, rounded.
 */
static void
fill_table(int s, const float *sketch, float inverse_delta, uint8_t *table)
{
	int			rows = s / 8;
	int			group;
	int			pattern;
	int			i;

	for (group = 0; group < s / 4; group++)
	{
		const float *q = sketch + 4 * group;
		uint8_t    *entry = table + 16 * (group / 2 + group % 2 * rows);
		float		low[4];		/* sums of the first two dimensions */
		float		high[4];
		float		gain[4][2]; /* of a cleared, of a set bit */
		float		sum[16];

		for (i = 0; i < 4; i++)
		{
			gain[i][0] = q[i] < 0.0f ? -2.0f * q[i] : 0.0f;
			gain[i][1] = q[i] > 0.0f ? 2.0f * q[i] : 0.0f;
		}
		for (i = 0; i < 4; i++)
		{
			low[i] = gain[0][i & 1] + gain[1][i >> 1];
			high[i] = gain[2][i & 1] + gain[3][i >> 1];
		}
		for (pattern = 0; pattern < 16; pattern++)
			sum[pattern] = low[pattern & 3] + high[pattern >> 2];
		for (pattern = 0; pattern < 16; pattern++)
			entry[pattern] = (uint8_t) (int) (sum[pattern] * inverse_delta +
											  0.5f);
	}
}

/*
 * What a code's sum may be off by: every entry is rounded by up to half a
 * step, evenly distributed, so with a variance of delta^2 / 12.  The slack
 * makes the product larger and thereby the lower bound lower.
 */
static void
make_table(AnnoyQuery *query, uint8_t *table, int s)
{
	AnnoyRankParameters *rank = &query->rank;
	float		range;
	double		total = measure_groups(s, query->sketch, &range);

	rank->table = table;
	rank->rows = s / 8;

	if (!(range >= QUANTISED_FLOOR) || !isfinite(query->epsilon))
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
	fill_table(s, query->sketch, TABLE_MAX / range, table);
}

/*
 * Scales an inner-product query to norm M, which brings it among the items:
 * estimates are then as good for a short query as for a long one, and the walk
 * sees the geometry of Neyshabur & Srebro.
 */
static void
scale_query(AnnoyQuery *query, const AnnoySketcher *sketcher,
			const float *vector, double norm, float *out)
{
	double		max_norm = sketcher->max_norm;
	double		offset = 0.0;
	int			i;

	query->walk_factor = norm > 0.0 && max_norm > 0.0 ? max_norm / norm : 1.0;
	scale_vector(sketcher->dimensions, vector, query->walk_factor, out);
	query->scaled_norm = (float) (norm * query->walk_factor);

	if (sketcher->centre != NULL)
		for (i = 0; i < sketcher->dimensions; i++)
			offset += (double) sketcher->centre[i] * (double) vector[i];
	query->offset = offset;

	if (max_norm < NORM_FLOOR)
		query->unbounded = true;
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
	double		norm[SUM_LANES] = {0};
	double		error[SUM_LANES] = {0};
	int			i;
	int			j;

	query->scale = AnnoyQuantiseSketch(s, query->sketch, query->quantised);
	for (i = 0; i < s; i += SUM_LANES)
		for (j = 0; j < SUM_LANES; j++)
		{
			float		value = query->scale * (float) query->quantised[i + j];
			double		difference = (double) query->sketch[i + j] -
				(double) value;

			query->sketch[i + j] = value;
			norm[j] += (double) value * (double) value;
			error[j] += difference * difference;
		}
	for (j = 1; j < SUM_LANES; j++)
	{
		norm[0] += norm[j];
		error[0] += error[j];
	}
	query->norm_squared = (float) norm[0];

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
		query->rounding = 2.0f * (float) sqrt(error[0]);
}

void
AnnoyInitQuery(AnnoyQuery *query, void *memory, const AnnoySketcher *sketcher,
			   const float *vector, float *scratch, float epsilon)
{
	int			s = sketcher->sketch_dimensions;
	uint8_t    *table = memory;
	char	   *next = (char *) memory + align_part(table_size(s));
	double		norm;

	memset(query, 0, sizeof(*query));
	query->sketch = (float *) next;
	query->quantised = (int16_t *) (next + align_part(s * sizeof(float)));
	query->epsilon = epsilon;
	query->walk_factor = 1.0;
	query->rank.linear = sketcher->metric == ANNOY_METRIC_INNER_PRODUCT;

	if (AnnoyTransformVector(sketcher, vector, scratch, &norm,
							 &query->unbounded))
	{
		if (query->rank.linear)
			scale_query(query, sketcher, vector, norm, scratch);
		finish_sketch(sketcher, scratch, query->sketch);
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
	float		margin = (float) query_product(sketcher, query, normal, scale);

	return margin + extra_weight * query->extra - offset;
}

void
AnnoyInitItemQuery(AnnoyQuery *query, int16_t *quantised,
				   const AnnoySketcher *sketcher, const float *sketch,
				   float extra)
{
	int			s = sketcher->sketch_dimensions;
	double		norm[SUM_LANES] = {0};
	int			i;
	int			j;

	memset(query, 0, sizeof(*query));
	query->quantised = quantised;
	query->walk_factor = 1.0;
	query->extra = extra;
	query->scale = AnnoyQuantiseSketch(s, sketch, quantised);
	for (i = 0; i < s; i += SUM_LANES)
		for (j = 0; j < SUM_LANES; j++)
		{
			float		value = query->scale * (float) quantised[i + j];

			norm[j] += (double) value * (double) value;
		}
	for (j = 1; j < SUM_LANES; j++)
		norm[0] += norm[j];
	query->norm_squared = (float) norm[0];
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

/*-------------------------------------------------------------------------
 *
 * sketch.c
 *	  Transform, rotation and codes of items; query.c has the queries.
 *
 * Everything here must give the same bits on every machine: it goes through
 * the kernels, which promise that, or adds in the order in which it is
 * written.
 *
 *-------------------------------------------------------------------------
 */
#include <float.h>
#include <math.h>
#include <string.h>

#include "arith/random.h"
#include "arith/sketch.h"

/* Sketches are whole runs of this many floats. */
#define SKETCH_UNIT ANNOY_RUN

/*
 * Rounds of a rotation.  Measured (test_sketch): after three rounds codes of
 * sparse vectors are as good as after a random rotation, if there are enough
 * runs to deal their energy out to blocks evenly; with fewer, and where
 * dimensions are cut, which is as good a test of evenness, it takes more.
 */
#define ROTATION_ROUNDS 3
#define SMALL_DIMENSIONS 512
#define MORE_ROTATION_ROUNDS 4
#define SMALLEST_DIMENSIONS 64
#define MOST_ROTATION_ROUNDS ANNOY_MAX_ROTATION_ROUNDS

/* Runs are dealt out to blocks in steps of this share of all: golden. */
#define GOLDEN_SHARE 0.6180339887498949

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

static int
rotation_rounds(int padded)
{
	if (padded <= SMALLEST_DIMENSIONS)
		return MOST_ROTATION_ROUNDS;
	if (padded < SMALL_DIMENSIONS || padded > ANNOY_MAX_SKETCH_DIMENSIONS)
		return MORE_ROTATION_ROUNDS;
	return ROTATION_ROUNDS;
}

static size_t
plans_size(int padded)
{
	return (size_t) rotation_rounds(padded) * (padded / ANNOY_RUN) *
		sizeof(AnnoyRunPlan);
}

/* The plans, and room to rotate the centre once, in which it then stays. */
size_t
AnnoySketcherMemory(int dimensions)
{
	return plans_size(pad_dimensions(dimensions)) +
		(size_t) AnnoySketchScratch(dimensions) * sizeof(float);
}

/* Input and output of a round. */
int
AnnoySketchScratch(int dimensions)
{
	return 2 * pad_dimensions(dimensions);
}

int
AnnoyRotationBlock(int n)
{
	int			power = SKETCH_UNIT;

	while (power <= n / 2)
		power *= 2;
	return power;
}

static bool
have_common_divisor(int a, int b)
{
	while (b != 0)
	{
		int			rest = a % b;

		a = b;
		b = rest;
	}
	return a > 1;
}

/*
 * Where the runs of one round come from, and their random signs.
 *
 * Runs move as wholes, which costs no more than reading them; single elements
 * would have to be gathered, which takes three times as long as everything
 * else.  The transform and its signs mix elements; what the moves have to see
 * to is that blocks mix with each other, evenly.  Steps of the golden section
 * deal the runs of every block out to all blocks of the next round, in
 * proportion to their size more exactly than chance would.  The last run may
 * have been a block of its own; it goes to the largest block, to a random
 * place, which fixes the others'.
 *
 * The random exchanges inside runs are needed as well.  A vector with few runs
 * that are not zero becomes one whose runs are all alike, some of 16 places
 * large and some small in all of them.  Transforms would keep that: the energy
 * of a run is the sum over the places, and varies more the fewer places there
 * are that matter (test_sketch: 40 percent more where dimensions are cut).
 */
static void
make_plan(AnnoyRunPlan *plan, int padded, AnnoyRandom *random)
{
	int			runs = padded / ANNOY_RUN;
	int			largest = AnnoyRotationBlock(padded) / ANNOY_RUN;
	int			step = (int) (GOLDEN_SHARE * runs);
	int			place = (int) AnnoyRandomBelow(random, (uint32_t) largest);
	int			source = runs - 1;
	int			i;

	if (step == 0)
		step = 1;
	while (have_common_divisor(runs, step))
		step++;

	for (i = 0; i < runs; i++)
	{
		uint64_t	bits = AnnoyNextRandom(random);

		plan[place].from = (uint16_t) ((uint64_t) source * ANNOY_RUN +
									   (bits >> 32) % ANNOY_RUN);
		plan[place].signs = (uint16_t) (bits >> 48);
		place = (place + 1) % runs;
		source = (source + step) % runs;
	}
}

/* Brings a transform of "block" numbers back to the length it had. */
static float
block_scale(int block)
{
	/* 1 / sqrt(16 * 4^k), exactly, and 1 / sqrt(32 * 4^k) */
	float		scale = 0.25f;

	for (; block >= 4 * SKETCH_UNIT; block /= 4)
		scale *= 0.5f;
	return block > SKETCH_UNIT ? scale * 0.70710678118654752f : scale;
}

/*
 * Where the runs of a long bit string go: each block of s of its bits to s
 * different places, so that only bits of different blocks can meet.
 */
static void
make_fold(AnnoyRunPlan *fold, int padded, int s, AnnoyRandom *random)
{
	int			runs = padded / ANNOY_RUN;
	uint16_t	places[ANNOY_MAX_SKETCH_DIMENSIONS / ANNOY_RUN];
	int			count = s / ANNOY_RUN;
	int			i;

	for (i = 0; i < count; i++)
		places[i] = (uint16_t) i;
	for (i = 0; i < runs; i++)
	{
		int			from = i % count;
		int			other = from +
			(int) AnnoyRandomBelow(random, (uint32_t) (count - from));
		uint16_t	place = places[other];
		uint64_t	bits = AnnoyNextRandom(random);

		places[other] = places[from];
		places[from] = place;
		fold[i].from = (uint16_t) (place * ANNOY_RUN +
								   (bits >> 32) % ANNOY_RUN);
		fold[i].signs = (uint16_t) (bits >> 48);
	}
}

/* Adds up the runs of in[p] in out[s]. */
static void
fold_runs(const AnnoySketcher *sketcher, const float *in, float *out)
{
	int			runs = sketcher->padded / ANNOY_RUN;
	int			i;
	int			j;

	memset(out, 0, (size_t) sketcher->sketch_dimensions * sizeof(float));
	for (i = 0; i < runs; i++)
	{
		int			exchange = sketcher->fold[i].from % ANNOY_RUN;
		int			signs = sketcher->fold[i].signs;
		const float *run = in + (size_t) i * ANNOY_RUN;
		float	   *place = out + (sketcher->fold[i].from - exchange);

		for (j = 0; j < ANNOY_RUN; j++)
			place[j] += (signs >> j & 1) != 0 ?
				-run[j ^ exchange] : run[j ^ exchange];
	}
}

/* The half of scratch that the last round does not read. */
static float *
rotated_half(const AnnoySketcher *sketcher, float *scratch)
{
	return sketcher->rounds % 2 == 1 ? scratch + sketcher->rotated : scratch;
}

/*
 * Rotates the p floats at the beginning of scratch (2p floats) and writes the
 * first s of the result to out: somewhere else, or where rotated_half says.
 *
 * One round: runs of 16 move and change signs, then a Walsh-Hadamard transform
 * of each block of the binary decomposition of p, the largest first.  Every
 * coordinate takes part in every round, and after the last one any s
 * coordinates hold an even share.
 */
static void
rotate(const AnnoySketcher *sketcher, float *scratch, float *out)
{
	int			padded = sketcher->rotated;
	int			s = sketcher->sketch_dimensions;
	float	   *in = scratch;
	float	   *rotated = scratch + padded;
	int			round;

	for (round = 0; round < sketcher->rounds; round++)
	{
		const AnnoyRunPlan *plan = sketcher->plan[round];
		bool		last = round == sketcher->rounds - 1;
		float		scale = last ? sketcher->cut_scale : 1.0f;
		int			end = last ? s : padded;	/* the rest is cut away */
		int			start = 0;
		float	   *swap;

		/* where dimensions are cut, the last block may be larger than out */
		if (last && s == padded)
			rotated = out;
		while (start < end)
		{
			int			block = AnnoyRotationBlock(padded - start);

			annoy_kernels.rotate_block(block, plan + start / ANNOY_RUN, in,
									   scale * block_scale(block),
									   rotated + start);
			start += block;
		}

		swap = in;
		in = rotated;
		rotated = swap;
	}

	if (in != out)
		memcpy(out, in, (size_t) s * sizeof(float));
}

/*
 * Pads the d floats at the beginning of scratch with zeros up to p, folds them
 * if there is a plan for that, and rotates them.
 */
static void
pad_and_rotate(const AnnoySketcher *sketcher, float *scratch, float *out)
{
	memset(scratch + sketcher->dimensions, 0,
		   (size_t) (sketcher->padded - sketcher->dimensions) * sizeof(float));
	if (sketcher->fold != NULL)
	{
		float	   *folded = scratch + sketcher->padded;

		fold_runs(sketcher, scratch, folded);
		memcpy(scratch, folded,
			   (size_t) sketcher->sketch_dimensions * sizeof(float));
	}
	rotate(sketcher, scratch, out);
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
	if (sketcher->fold != NULL)
		sketcher->fold =
			(const AnnoyRunPlan *) ((const char *) sketcher->fold + moved);
	for (round = 0; round < sketcher->rounds; round++)
		sketcher->plan[round] =
			(AnnoyRunPlan *) ((char *) sketcher->plan[round] + moved);
}

void
AnnoyInitSketcher(AnnoySketcher *sketcher, void *memory, AnnoyMetric metric,
				  int dimensions, uint64_t seed, const float *centre,
				  float max_norm)
{
	int			padded = pad_dimensions(dimensions);
	int			s = AnnoySketchDimensions(dimensions);
	AnnoyRunPlan *plan = memory;
	bool		bits = metric == ANNOY_METRIC_HAMMING ||
		metric == ANNOY_METRIC_JACCARD;
	AnnoyRandom random;
	int			round;

	sketcher->metric = metric;
	sketcher->dimensions = dimensions;
	sketcher->padded = padded;
	sketcher->codes_are_bits = bits && s == padded;
	sketcher->rotated = bits ? s : padded;
	sketcher->rounds = sketcher->codes_are_bits ?
		0 : rotation_rounds(sketcher->rotated);
	sketcher->sketch_dimensions = s;
	sketcher->max_norm = max_norm;
	sketcher->outsized_apart = false;
	/* bits are centred already, or would be bits no more */
	sketcher->centre = sketcher->codes_are_bits ? NULL : centre;
	sketcher->rotated_centre = NULL;
	sketcher->fold = NULL;

	for (round = 0; round < sketcher->rounds; round++)
	{
		AnnoySeedRandom(&random, AnnoyHash(seed, (uint64_t) round));
		make_plan(plan, sketcher->rotated, &random);
		sketcher->plan[round] = plan;
		plan += sketcher->rotated / ANNOY_RUN;
	}
	sketcher->cut_scale = (float) sqrt((double) sketcher->rotated / s);

	/* with the plans before it, less than those of p dimensions */
	if (sketcher->rotated < padded)
	{
		AnnoySeedRandom(&random, AnnoyHash(seed, (uint64_t) round));
		make_fold(plan, padded, s, &random);
		sketcher->fold = plan;
	}

	if (sketcher->centre != NULL)
	{
		float	   *scratch = (float *) ((char *) memory + plans_size(padded));
		float	   *rotated = rotated_half(sketcher, scratch);

		memcpy(scratch, centre, (size_t) dimensions * sizeof(float));
		pad_and_rotate(sketcher, scratch, rotated);
		sketcher->rotated_centre = rotated;
	}
}

/*
 * Norm of a vector, in double, where no sum of squares of floats overflows or
 * vanishes; and the factor that brings the vector to the sketches' space (in
 * double as well: for the smallest vectors it is beyond float).  False if the
 * vector has no direction, as one with an infinite or undefined element, from
 * which the operators' distances are no numbers.
 */
static bool
measure_vector(const AnnoySketcher *sketcher, const float *vector,
			   double *norm, double *factor, bool *unbounded)
{
	*norm = sqrt(annoy_kernels.square_sum(sketcher->dimensions, vector));
	*unbounded = false;
	*factor = 1.0;
	if (!isfinite(*norm))
		return false;

	if (sketcher->metric == ANNOY_METRIC_COSINE)
	{
		if (*norm == 0.0)
			return false;
		*factor = 1.0 / *norm;
	}
	else if (sketcher->metric == ANNOY_METRIC_JACCARD)
	{
		/* no bit set: distance 1 from every other, as its place, the origin */
		if (*norm > 0.0)
			*factor = 1.0 / *norm;
	}
	else if (*norm > ANNOY_NORM_LIMIT)
	{
		*unbounded = true;
		*factor = ANNOY_NORM_LIMIT / *norm;
	}

	return true;
}

/* A factor of 1 changes nothing in double either, and is most frequent. */
static void
transform(const AnnoySketcher *sketcher, const float *vector, double factor,
		  float *out)
{
	int			dimensions = sketcher->dimensions;

	if (factor == 1.0)
		memcpy(out, vector, (size_t) dimensions * sizeof(float));
	else
		annoy_kernels.scale(dimensions, vector, factor, out);
}

bool
AnnoyTransformVector(const AnnoySketcher *sketcher, const float *vector,
					 float *out, double *norm, bool *unbounded)
{
	double		factor;

	if (!measure_vector(sketcher, vector, norm, &factor, unbounded))
		return false;

	transform(sketcher, vector, factor, out);
	return true;
}

/*
 * Sketch of a short bit string, unrotated: for Hamming distances +-1/2, else 0
 * or the same number for every bit that is set.
 */
static void
sketch_bits(const AnnoySketcher *sketcher, const float *vector, double factor,
			float *sketch)
{
	float		centre = sketcher->metric == ANNOY_METRIC_HAMMING ? 0.5f : 0.0f;
	float		length = (float) factor;
	int			i;

	for (i = 0; i < sketcher->dimensions; i++)
		sketch[i] = length * vector[i] - centre;
	for (; i < sketcher->sketch_dimensions; i++)
		sketch[i] = 0.0f;
}

void
AnnoyCentreSketch(const AnnoySketcher *sketcher, float *sketch)
{
	const float *centre = sketcher->rotated_centre;
	int			i;

	if (centre != NULL)
		for (i = 0; i < sketcher->sketch_dimensions; i++)
			sketch[i] -= centre[i];
}

/*
 * The centre is subtracted last, so that whoever does not know it yet can make
 * sketches and centre them later, to the same bits.  The price is that the
 * rotation rounds a vector far from the origin as the large one that it is, to
 * 4 to 8 times what rounding its elements to float has cost (test_sketch).
 * Bounds allow for that (query.c, ROTATION_ROUNDING).
 */
static void
finish_sketch(const AnnoySketcher *sketcher, const float *vector,
			  double factor, float *scratch, float *sketch)
{
	if (sketcher->codes_are_bits)
	{
		sketch_bits(sketcher, vector, factor, sketch);
		return;
	}
	transform(sketcher, vector, factor, scratch);
	pad_and_rotate(sketcher, scratch, sketch);
	AnnoyCentreSketch(sketcher, sketch);
}

/* M is a float: the largest norm at build may be a little above it. */
#define NORM_TOLERANCE 1.000001

bool
AnnoyMakeSketch(const AnnoySketcher *sketcher, const float *vector,
				float *scratch, float *sketch, float *extra, bool *unbounded)
{
	double		norm;
	double		factor;

	if (!measure_vector(sketcher, vector, &norm, &factor, unbounded))
		return false;

	*extra = 0.0f;
	if (sketcher->metric == ANNOY_METRIC_INNER_PRODUCT)
	{
		double		max_norm = sketcher->max_norm;

		if (norm < max_norm)
			*extra = (float) sqrt(max_norm * max_norm - norm * norm);
		else if (sketcher->outsized_apart && norm > max_norm * NORM_TOLERANCE)
			*extra = (float) -(norm < ANNOY_NORM_LIMIT ?
							   norm : ANNOY_NORM_LIMIT);
	}

	finish_sketch(sketcher, vector, factor, scratch, sketch);
	return true;
}

bool
AnnoyMakeItemSketch(const AnnoySketcher *sketcher, const float *vector,
					float *scratch, int16_t *quantised, AnnoyItemSketch *item)
{
	float	   *sketch = rotated_half(sketcher, scratch);
	int64_t		squares;

	if (!AnnoyMakeSketch(sketcher, vector, scratch, sketch, &item->extra,
						 &item->unbounded))
		return false;
	item->quantised = quantised;
	item->scale = AnnoyQuantiseSketchSquares(sketcher->sketch_dimensions,
											 sketch, quantised, &squares);
	item->norm_squared = (float) ((double) item->scale * (double) item->scale *
								  (double) squares);
	return true;
}

bool
AnnoyMakeStoredSketch(const AnnoySketcher *sketcher, const float *vector,
					  float *scratch, float *sketch, float *extra,
					  bool *unbounded)
{
	int			s = sketcher->sketch_dimensions;
	int16_t    *quantised = (int16_t *) scratch;
	float		scale;

	if (!AnnoyMakeSketch(sketcher, vector, scratch, sketch, extra, unbounded))
		return false;
	scale = AnnoyQuantiseSketch(s, sketch, quantised);
	annoy_kernels.dequantise(s, quantised, scale, sketch);
	return true;
}

size_t
AnnoyPackedSize(const AnnoySketcher *sketcher)
{
	size_t		s = (size_t) sketcher->sketch_dimensions;

	return sketcher->codes_are_bits ? s / 8 : s * sizeof(int16_t);
}

void
AnnoyPackSketch(const AnnoySketcher *sketcher, const int16_t *quantised,
				void *packed)
{
	uint8_t    *bits = packed;
	int			i;

	if (!sketcher->codes_are_bits)
	{
		memcpy(packed, quantised, AnnoyPackedSize(sketcher));
		return;
	}
	memset(bits, 0, AnnoyPackedSize(sketcher));
	for (i = 0; i < sketcher->dimensions; i++)
		bits[i / 8] |= (uint8_t) ((quantised[i] > 0) << i % 8);
}

/* The numbers that sketch_bits leads to. */
void
AnnoyUnpackSketch(const AnnoySketcher *sketcher, const void *packed,
				  int16_t *quantised)
{
	const uint8_t *bits = packed;
	int16_t		clear = sketcher->metric == ANNOY_METRIC_HAMMING ?
		-ANNOY_QUANTISED_MAX : 0;
	int			i;

	if (!sketcher->codes_are_bits)
	{
		memcpy(quantised, packed, AnnoyPackedSize(sketcher));
		return;
	}
	for (i = 0; i < sketcher->dimensions; i++)
		quantised[i] = (bits[i / 8] >> i % 8 & 1) != 0 ?
			ANNOY_QUANTISED_MAX : clear;
	for (; i < sketcher->sketch_dimensions; i++)
		quantised[i] = 0;
}

bool
AnnoyMakeQuerySketch(const AnnoySketcher *sketcher, const float *vector,
					 float *scratch, float *sketch, double *norm,
					 double *scaled, bool *unbounded)
{
	double		factor;

	if (!measure_vector(sketcher, vector, norm, &factor, unbounded))
		return false;

	if (sketcher->metric == ANNOY_METRIC_INNER_PRODUCT)
		factor = *norm > 0.0 && sketcher->max_norm > 0.0f ?
			(double) sketcher->max_norm / *norm : 1.0;
	*scaled = factor;

	finish_sketch(sketcher, vector, factor, scratch, sketch);
	return true;
}

float
AnnoyQuantiseSketchSquares(int s, const float *sketch, int16_t *quantised,
						   int64_t *squares)
{
	float		largest = annoy_kernels.largest_absolute(s, sketch);

	if (!(largest >= ANNOY_SMALLEST_QUANTISED))
	{
		memset(quantised, 0, (size_t) s * sizeof(int16_t));
		*squares = 0;
		return 0.0f;
	}

	*squares = annoy_kernels.quantise(s, sketch,
									  ANNOY_QUANTISED_MAX / largest,
									  quantised);
	return largest / ANNOY_QUANTISED_MAX;
}

void
AnnoyPlaceSketch(const AnnoySketcher *sketcher, const float *sketch,
				 float *placed)
{
	int			s = sketcher->sketch_dimensions;
	const float *centre = sketcher->rotated_centre;
	double		square = 0.0;
	float		factor;
	int			i;

	if (sketcher->metric == ANNOY_METRIC_INNER_PRODUCT &&
		!sketcher->outsized_apart)
		for (i = 0; i < s; i++)
		{
			double		x = (double) sketch[i] +
				(centre != NULL ? (double) centre[i] : 0.0);

			square += x * x;
		}
	if (square <= (double) sketcher->max_norm * (double) sketcher->max_norm)
	{
		memcpy(placed, sketch, s * sizeof(float));
		return;
	}
	factor = (float) ((double) sketcher->max_norm / sqrt(square));
	for (i = 0; i < s; i++)
	{
		float		c = centre != NULL ? centre[i] : 0.0f;

		placed[i] = factor * (sketch[i] + c) - c;
	}
}

float
AnnoyQuantiseSketch(int s, const float *sketch, int16_t *quantised)
{
	int64_t		squares;

	return AnnoyQuantiseSketchSquares(s, sketch, quantised, &squares);
}

/* Nearest integer, halves away from zero, whatever the rounding mode. */
static inline int
round_to_nearest(float x)
{
	return (int) (x + (x < 0.0f ? -0.5f : 0.5f));
}

float
AnnoyQuantiseDirection(int s, const float *direction, int8_t *quantised)
{
	float		largest = annoy_kernels.largest_absolute(s, direction);
	float		inverse;
	int			i;

	if (!(largest >= ANNOY_SMALLEST_QUANTISED))
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

/*
 * Between 0 and the smallest number that stands for a bit that is set, 1 /
 * sqrt(1536).
 */
#define BIT_THRESHOLD 0.01f

/*
 * Codes of short bit strings.  With the query as signs of one half, a table's
 * sum is the number of bits in which both agree (query.c).
 */
static void
encode_bits(const AnnoySketcher *sketcher, const float *sketch, uint8_t *code,
			float *f1, float *f2)
{
	int			s = sketcher->sketch_dimensions;
	int8_t		ones[ANNOY_MAX_SKETCH_DIMENSIONS];
	float		unused[3];
	int			set = 0;
	int			i;

	memset(ones, 1, (size_t) s);
	annoy_kernels.encode(s, sketch, ones, BIT_THRESHOLD, code, unused);
	if (sketcher->metric == ANNOY_METRIC_JACCARD)
		for (i = 0; i < s; i++)
			set += code[i / 8] >> i % 8 & 1;
	*f1 = 1.0f;
	*f2 = (float) set;
}

/*
 * For inner products f2 has r^2 - |o|^2 - 2 <o, m> = <c, c - 2o> - 2 <o, m>, m
 * the rotated centre: summed in the second form, which cancels less.
 */
void
AnnoyEncodeItem(const AnnoySketcher *sketcher, const float *sketch,
				bool unbounded, const int8_t *centroid, float scale,
				uint8_t *code, float *f1, float *f2)
{
	int			s = sketcher->sketch_dimensions;
	float		sums[3];		/* |o - c|^2, <signs, o - c>, <signs, c> */

	if (sketcher->codes_are_bits)
	{
		encode_bits(sketcher, sketch, code, f1, f2);
		return;
	}

	annoy_kernels.encode(s, sketch, centroid, scale, code, sums);

	if (unbounded)
	{
		*f1 = 0.0f;
		*f2 = -FLT_MAX;
		return;
	}

	/* squares of the smallest residuals vanish; they are as good as none */
	*f1 = sums[0] > 0.0f ? 2.0f * (sums[0] / sums[1]) : 0.0f;
	*f2 = *f1 * sums[2];
	if (sketcher->metric == ANNOY_METRIC_INNER_PRODUCT)
		*f2 += annoy_kernels.product_terms(s, sketch, centroid, scale,
										   sketcher->rotated_centre);
	else
		*f2 += sums[0];
}

void
AnnoyEncodeCentroid(int s, const float *sketch, const int8_t *reference,
					float scale, uint8_t *code, float *f1, float *f2)
{
	float		sums[3];		/* |o - c|^2, <signs, o - c>, <signs, c> */

	annoy_kernels.encode(s, sketch, reference, scale, code, sums);
	*f1 = sums[0] > 0.0f ? 2.0f * (sums[0] / sums[1]) : 0.0f;
	*f2 = *f1 * sums[2] + sums[0];
}

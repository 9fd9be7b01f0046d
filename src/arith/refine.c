/*-------------------------------------------------------------------------
 *
 * refine.c
 *	  Refined codes; interface in refine.h.
 *
 * Must give the same bits on every machine, see sketch.c.
 *
 *-------------------------------------------------------------------------
 */
#include <float.h>
#include <math.h>
#include <string.h>

#include "arith/half.h"
#include "arith/refine.h"

/*
 * Below these dimensions three and two bits spare more exact distances than
 * they cost in bytes.
 */
#define DIMENSIONS_OF_THREE_BITS 192
#define DIMENSIONS_OF_TWO_BITS 384

/* The two factors behind the planes. */
typedef struct Factors
{
	uint16_t	g;
	uint16_t	h;
} Factors;

/*
 * Width of a step in standard deviations, by bits: that of the best uniform
 * quantiser of a Gaussian (Max, "Quantizing for minimum distortion", IRE
 * Transactions on Information Theory, 1960), which an element of a rotated
 * residual very nearly is.
 */
static const double step_widths[ANNOY_MAX_CODE_BITS + 1] = {
	0.0, 0.0, 0.996, 0.586, 0.335
};

/*
 * Standard deviation of the estimate, in units of f1' times the distance from
 * the query: of an element of u, what is not along the residual.  It is 0.325,
 * 0.324 and 0.319 for two, three and four bits; with so many levels it is little
 * more than the deviation of what is rounded to whole steps, 1 / sqrt(12).
 */
#define REFINED_DEVIATION 0.325

/*
 * A half rounded downwards is off by less than this, relatively, and in
 * addition where it is subnormal.
 */
#define HALF_ROUNDING 0x1p-10
#define HALF_SMALLEST 0x1p-24

int
AnnoyChooseCodeBits(int s, bool codes_are_bits)
{
	if (codes_are_bits)
		return 1;
	if (s < DIMENSIONS_OF_THREE_BITS)
		return 3;
	return s < DIMENSIONS_OF_TWO_BITS ? 2 : 1;
}

static size_t
planes_size(int s, int bits)
{
	return (size_t) (bits - 1) * (size_t) s / 8;
}

size_t
AnnoyRefinementSize(int s, int bits)
{
	return bits > 1 ? planes_size(s, bits) + sizeof(Factors) : 0;
}

/*
 * g lies between 2^(1 - bits) and 2 and h is below 2 sqrt(s), which a half
 * holds, wherever |c| has a square; for the smallest centroids, which have
 * none, the refinement says nothing.
 */
static bool
make_factors(double g, double signed_centroid, double weighted_centroid,
			 double centroid_norm, Factors *factors)
{
	float		rounded;
	double		correction;
	double		h;

	factors->g = AnnoyFloatToHalf((float) g);
	AnnoyHalfToFloat(&factors->g, &rounded, 1);

	correction = (double) rounded * weighted_centroid - signed_centroid;
	h = correction == 0.0 ? 0.0 : correction / centroid_norm;
	factors->h = AnnoyFloatToHalfBelow((float) h);

	return g > 0.0 && isfinite(g) && fabs(h) <= (double) ANNOY_HALF_MAX;
}

void
AnnoyEncodeRefinement(const AnnoySketcher *sketcher, const float *sketch,
					  const int8_t *centroid, float scale, float norm_squared,
					  int bits, float f1, uint8_t *refinement)
{
	int			s = sketcher->sketch_dimensions;
	uint8_t		code[ANNOY_MAX_SKETCH_DIMENSIONS / 8];
	float		signs[3];		/* |r|^2, <signs, r>, <signs, c> */
	float		levels[2];		/* <u, r>, <u, c> */
	double		step;
	Factors		factors;

	if (f1 > 0.0f)
	{
		annoy_kernels.encode(s, sketch, centroid, scale, code, signs);
		step = step_widths[bits] * sqrt((double) signs[0] / s);
		annoy_kernels.encode_levels(s, sketch, centroid, scale, bits,
									(float) (1.0 / step), refinement, levels);
		if (make_factors((double) signs[1] / (double) levels[0],
						 (double) signs[2], (double) levels[1],
						 sqrt((double) norm_squared), &factors))
		{
			memcpy(refinement + planes_size(s, bits), &factors,
				   sizeof(factors));
			return;
		}
	}
	memset(refinement, 0, AnnoyRefinementSize(s, bits));
}

/*
 * The linear form as in begin_linear_leaf (query.c): what is added where
 * dimensions are cut away is there in units of f1 and here of f1', of which the
 * part of u along the residual has a step's width.
 */
void
AnnoyBeginRefinement(AnnoyQuery *query, int bits, float norm_squared)
{
	int			s = query->rank.rows * 8;
	double		cut = query->cut * query->scaled_norm / step_widths[bits];
	double		variance = REFINED_DEVIATION * REFINED_DEVIATION;

	query->code_bits = bits;
	query->centroid_norm = sqrt((double) norm_squared);
	if (!isfinite(query->epsilon))
		query->refined_width = 0.0;
	else if (query->rank.linear)
		query->refined_width = query->epsilon *
			sqrt(variance * query->leaf_distance + cut * cut * s);
	else
		query->refined_width = 0.5 * query->epsilon * REFINED_DEVIATION;
}

float
AnnoyRefineBound(const AnnoySketcher *sketcher, const AnnoyQuery *query,
				 const uint8_t *code, const uint8_t *refinement, float f1,
				 float f2, float lower, float *upper)
{
	int			bits = query->code_bits;
	int			s = query->rank.rows * 8;
	uint16_t	factors[2];
	float		gh[2];
	int32_t		levels;
	double		product;		/* <u, q> */
	double		estimate;
	double		rounding;		/* of h, in units of the estimate */
	double		b;
	double		bound;

	memcpy(factors, refinement + planes_size(s, bits), sizeof(factors));
	AnnoyHalfToFloat(factors, gh, 2);
	if (!(gh[0] > 0.0f))
	{
		*upper = AnnoyUpperBound(sketcher, query, lower, f1);
		return lower;
	}

	levels = annoy_kernels.sum_levels(s, bits, code, refinement,
									  query->quantised);
	product = 0.5 * (double) query->scale *
		(double) (2 * levels - ((1 << bits) - 1) * query->quantised_sum);
	estimate = (double) query->rank.base + (double) f2 + (double) f1 *
		((double) gh[1] * query->centroid_norm - (double) gh[0] * product);
	rounding = (double) f1 * query->centroid_norm *
		(fabs((double) gh[1]) * HALF_ROUNDING + HALF_SMALLEST);
	b = (double) f1 * (double) gh[0] * query->refined_width;

	if (query->rank.linear)
	{
		bound = estimate - b;
		*upper = AnnoyFinishUpperBound(query, estimate + b + rounding +
									   2.0 * query->leaf_slack);
	}
	else
	{
		/* a NaN stays one, so that there is no upper bound */
		estimate = estimate < 0.0 ? 0.0 : estimate;
		bound = sqrt(b * b + estimate) - b;
		bound = bound * bound;
		*upper = AnnoyFinishUpperBound(query,
									   sqrt(b * b + estimate + rounding) + b);
	}
	return bound > (double) lower ? (float) bound : lower;
}

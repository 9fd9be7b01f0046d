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

/* The two factors behind the planes, as halves. */
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
	double		correction;
	double		h;

	factors->g = AnnoyFloatToHalf((float) g);
	correction = (double) AnnoyHalfValue(factors->g) * weighted_centroid -
		signed_centroid;
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
	query->planes_size = (int) planes_size(s, bits);
	query->level_shift = ((1 << bits) - 1) * query->quantised_sum;
	query->centroid_norm = sqrt((double) norm_squared);
	if (!isfinite(query->epsilon))
		query->refined_width = 0.0;
	else if (query->rank.linear)
		query->refined_width = query->epsilon *
			sqrt(variance * query->leaf_distance + cut * cut * s);
	else
		query->refined_width = 0.5 * query->epsilon * REFINED_DEVIATION;
}

/*
 * The bounds of a squared distance x^2 with the estimate e are the solutions of
 * x^2 -+ 2bx = e (see kernel.h).  The second for e + rounding is less than
 * 2 rounding above that for e, as b is less than the root; twice as much leaves
 * room for what AnnoyFinishUpperBound multiplies.
 */
float
AnnoyRefineBound(const AnnoySketcher *sketcher, const AnnoyQuery *query,
				 const uint8_t *code, const uint8_t *refinement, float f1,
				 float f2, float lower, float *upper)
{
	Factors		factors;
	double		g;
	double		h;
	int32_t		levels;			/* <v, q> */
	double		product;		/* <u, q> */
	double		estimate;
	double		rounding;		/* of h, in units of the estimate */
	double		root;
	double		b;

	memcpy(&factors, refinement + query->planes_size, sizeof(factors));
	g = (double) AnnoyHalfValue(factors.g);
	h = (double) AnnoyHalfValue(factors.h);
	if (!(g > 0.0))
	{
		*upper = AnnoyUpperBound(sketcher, query, lower, f1);
		return lower;
	}

	levels = annoy_kernels.sum_levels(query->rank.rows * 8, query->code_bits,
									  code, refinement, query->quantised);
	product = 0.5 * (double) query->scale *
		(double) (2 * levels - query->level_shift);
	estimate = (double) query->rank.base + (double) f2 + (double) f1 *
		(h * query->centroid_norm - g * product);
	rounding = (double) f1 * query->centroid_norm *
		(fabs(h) * HALF_ROUNDING + HALF_SMALLEST);
	b = (double) f1 * g * query->refined_width;

	if (query->rank.linear)
	{
		*upper = AnnoyFinishUpperBound(query, estimate + b,
									   rounding + 2.0 * query->leaf_slack);
		estimate -= b;
	}
	else
	{
		/* a NaN stays one, so that there is no upper bound */
		estimate = estimate < 0.0 ? 0.0 : estimate;
		root = sqrt(b * b + estimate);
		*upper = AnnoyFinishUpperBound(query, root + b, 4.0 * rounding);
		estimate = (root - b) * (root - b);
	}
	return estimate > (double) lower ? (float) estimate : lower;
}

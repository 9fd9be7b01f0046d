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

/*
 * The factors behind the planes:
 *
 *	scale	 bits 0 to 8	mantissa of g, without its leading 1
 *			 bits 9, 10		its exponent: g = (1 + mantissa / 512) 2^(e - 3)
 *			 bits 11 to 15	deviation, rounded up to one of deviations[]; 0: the
 *							refinement says nothing
 *	h		 a half
 */
typedef struct Factors
{
	uint16_t	scale;
	uint16_t	h;
} Factors;

#define MANTISSA_BITS 9
#define MANTISSA_UNIT (1 << MANTISSA_BITS)
#define EXPONENT_MAX 3
#define DEVIATION_SHIFT 11
#define DEVIATIONS 32

/*
 * A deviation is some 0.32 where elements of the residual are as if from a
 * Gaussian (what is rounded to whole steps has 1 / sqrt(12)), and may be anything
 * up to 0.5 where dimensions are few, and more if some elements are beyond the
 * outermost level.
 */
static const double deviations[DEVIATIONS] = {
	-1.0, 0.0, 0.02, 0.04, 0.06, 0.08, 0.1, 0.12, 0.14, 0.16, 0.18,
	0.2, 0.22, 0.24, 0.26, 0.28, 0.3, 0.32, 0.34, 0.36, 0.38, 0.4,
	0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3, 1.4
};

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
 * Unit of h: about the sum of the norms of centroid and residual, of which f1
 * tells (|r| is some 0.4 sqrt(s) f1).
 */
static inline double
unit_of_h(double centroid_norm, double root_s, float f1)
{
	return centroid_norm + root_s * (double) f1;
}

/* Exponent and mantissa of g, which lies between 1/8 and 2, or nearly so. */
static uint16_t
round_scale(double g)
{
	int			exponent = EXPONENT_MAX;
	int			mantissa;

	for (g -= 1.0; g < 0.0 && exponent > 0; exponent--)
		g = 2.0 * g + 1.0;
	mantissa = (int) (g * MANTISSA_UNIT + 0.5);
	if (mantissa < 0)
		mantissa = 0;
	if (mantissa >= MANTISSA_UNIT)
		mantissa = MANTISSA_UNIT - 1;
	return (uint16_t) (exponent << MANTISSA_BITS | mantissa);
}

static inline double
scale_value(uint16_t scale)
{
	static const double powers[EXPONENT_MAX + 1] = {0.125, 0.25, 0.5, 1.0};

	return powers[scale >> MANTISSA_BITS & EXPONENT_MAX] *
		(1.0 + (double) (scale & (MANTISSA_UNIT - 1)) / MANTISSA_UNIT);
}

/*
 * |u|^2 of a code and its planes: with v the levels, and m half of the largest,
 * that is the sum of v^2 - 2mv + m^2.
 */
static double
sum_squared_levels(int s, int bits, const uint8_t *code, const uint8_t *planes)
{
	int			bytes = s / 8;
	int			largest = (1 << bits) - 1;
	int			sum = 0;		/* of v */
	int			squares = 0;	/* of v^2 */
	int			p;
	int			q;
	int			i;

	for (p = 0; p < bits; p++)
		for (q = p; q < bits; q++)
		{
			const uint8_t *a = p == 0 ? code : planes + (p - 1) * bytes;
			const uint8_t *b = q == 0 ? code : planes + (q - 1) * bytes;
			int			both = 0;

			for (i = 0; i < bytes; i++)
				both += __builtin_popcount(a[i] & b[i]);
			squares += both << (2 * (bits - 1) - p - q + (p != q));
			if (p == q)
				sum += both << (bits - 1 - p);
		}
	return (double) squares - (double) largest * sum +
		0.25 * (double) largest * (double) largest * s;
}

/*
 * Standard deviation of the estimate, in units of f1' times the distance from the
 * query: of an element of u, what is not along the residual.
 */
static double
level_deviation(int s, float residual_squared, float product,
				double levels_squared)
{
	double		across = levels_squared -
		(double) product * (double) product / (double) residual_squared;

	return across > 0.0 ? sqrt(across / (s - 1)) : 0.0;
}

/*
 * h is below 2 sqrt(s), which a half holds.  What rounding g changes is corrected
 * in h so that the estimate for the item itself as a query is right: an error in
 * proportion to |r| would drown what is much nearer than that, as neighbours are
 * where dimensions are few.
 */
static bool
make_factors(const float signs[3], const float levels[2], double deviation,
			 double unit, Factors *factors)
{
	double		g;
	double		h;
	int			code = 1;

	while (code < DEVIATIONS && deviations[code] < deviation)
		code++;


	factors->scale = round_scale((double) signs[1] / (double) levels[0]);
	g = scale_value(factors->scale);
	h = (g * (double) levels[1] - (double) signs[2] +
		 (g * (double) levels[0] - (double) signs[1])) / unit;
	factors->h = AnnoyFloatToHalfBelow((float) h);

	if (!(levels[0] > 0.0f) || !isfinite(deviation) || code == DEVIATIONS ||
		!(fabs(h) <= (double) ANNOY_HALF_MAX))
		return false;
	factors->scale |= (uint16_t) (code << DEVIATION_SHIFT);
	return true;
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
	double		deviation;
	Factors		factors;

	if (f1 > 0.0f)
	{
		annoy_kernels.encode(s, sketch, centroid, scale, code, signs);
		step = step_widths[bits] * sqrt((double) signs[0] / s);
		annoy_kernels.encode_levels(s, sketch, centroid, scale, bits,
									(float) (1.0 / step), refinement, levels);
		deviation = level_deviation(s, signs[0], levels[0],
									sum_squared_levels(s, bits, code,
													   refinement));
		if (make_factors(signs, levels, deviation,
						 unit_of_h(sqrt((double) norm_squared),
								   sqrt((double) s), f1), &factors))
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

	query->code_bits = bits;
	query->planes_size = (int) planes_size(s, bits);
	query->level_shift = ((1 << bits) - 1) * query->quantised_sum;
	query->centroid_norm = sqrt((double) norm_squared);
	query->root_s = sqrt((double) s);
	query->cut_variance = cut * cut * s;
	query->leaf_root = sqrt(query->leaf_distance);
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
	double		unit;
	double		estimate;
	double		rounding;		/* of h, in units of the estimate */
	double		deviation;
	double		root;
	double		b;

	memcpy(&factors, refinement + query->planes_size, sizeof(factors));
	g = scale_value(factors.scale);
	h = (double) AnnoyHalfValue(factors.h);
	deviation = deviations[factors.scale >> DEVIATION_SHIFT];
	if (deviation < 0.0 || !isfinite(query->epsilon))
	{
		*upper = AnnoyUpperBound(sketcher, query, lower, f1);
		return lower;
	}

	levels = annoy_kernels.sum_levels(query->rank.rows * 8, query->code_bits,
									  code, refinement, query->quantised);
	product = 0.5 * (double) query->scale *
		(double) (2 * levels - query->level_shift);
	unit = unit_of_h(query->centroid_norm, query->root_s, f1);
	estimate = (double) query->rank.base + (double) f2 + (double) f1 *
		(h * unit - g * product);
	rounding = (double) f1 * unit *
		(fabs(h) * HALF_ROUNDING + HALF_SMALLEST);
	b = (double) f1 * g * (double) query->epsilon;

	if (query->rank.linear)
	{
		b *= query->cut_variance == 0.0 ? deviation * query->leaf_root :
			sqrt(deviation * deviation * query->leaf_distance +
				 query->cut_variance);
		*upper = AnnoyFinishUpperBound(query, estimate + b,
									   rounding + 2.0 * query->leaf_slack);
		estimate -= b;
	}
	else
	{
		/* a NaN stays one, so that there is no upper bound */
		b *= 0.5 * deviation;
		estimate = estimate < 0.0 ? 0.0 : estimate;
		root = sqrt(b * b + estimate);
		*upper = AnnoyFinishUpperBound(query, root + b, 4.0 * rounding);
		estimate = (root - b) * (root - b);
	}
	/* of damaged factors nothing follows, and bounds are no less than that */
	return estimate >= -(double) FLT_MAX ? (float) estimate : lower;
}

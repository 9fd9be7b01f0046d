/*-------------------------------------------------------------------------
 *
 * kernel_plain.c
 *	  The kernels in plain C: the definition of their results.
 *
 * The kernels for single processors return the same bits as these for every
 * finite input whose results are finite.  (Where a NaN arises its sign and
 * payload are the processor's own.)  That needs three things of every file:
 * the order of additions that kernel.h lays down; no fused multiply-add, by
 * intrinsic or by the compiler, hence -ffp-contract=off for the whole
 * project; and no -ffast-math.
 *
 * Loops run over fixed numbers of elements where they can, which is what
 * compilers vectorise even at -O2.
 *
 *-------------------------------------------------------------------------
 */
#include <float.h>
#include <math.h>
#include <string.h>

#include "arith/kernel.h"
#include "arith/kernel_loops.h"
#include "arith/kernel_sets.h"

/* Partial sums of everything but distances; see kernel.h. */
#define SKETCH_LANES 16

/*
 * 1.5 * 2^23, beside which a float has no fraction: added and subtracted it
 * rounds to an integer, halves to the even one, which a call of lrintf does
 * not do in vectors.
 */
#define TO_INTEGER 12582912.0f

static inline float
reduce_lanes(float sum[ANNOY_KERNEL_LANES])
{
	int			half;
	int			i;

	for (half = ANNOY_KERNEL_LANES / 2; half >= 1; half /= 2)
		for (i = 0; i < half; i++)
			sum[i] += sum[i + half];

	return sum[0];
}

float
AnnoyPlainL2Squared(int n, const float *a, const float *b)
{
	float		sum[ANNOY_KERNEL_LANES] = {0};
	int			i;
	int			j;

	for (i = 0; i + ANNOY_KERNEL_LANES <= n; i += ANNOY_KERNEL_LANES)
	{
		for (j = 0; j < ANNOY_KERNEL_LANES; j++)
		{
			float		difference = a[i + j] - b[i + j];

			sum[j] += difference * difference;
		}
	}

	for (j = 0; i + j < n; j++)
	{
		float		difference = a[i + j] - b[i + j];

		sum[j] += difference * difference;
	}

	return reduce_lanes(sum);
}

float
AnnoyPlainInnerProduct(int n, const float *a, const float *b)
{
	float		sum[ANNOY_KERNEL_LANES] = {0};
	int			i;
	int			j;

	for (i = 0; i + ANNOY_KERNEL_LANES <= n; i += ANNOY_KERNEL_LANES)
		for (j = 0; j < ANNOY_KERNEL_LANES; j++)
			sum[j] += a[i + j] * b[i + j];

	for (j = 0; i + j < n; j++)
		sum[j] += a[i + j] * b[i + j];

	return reduce_lanes(sum);
}

float
AnnoyPlainL1(int n, const float *a, const float *b)
{
	float		sum[ANNOY_KERNEL_LANES] = {0};
	int			i;
	int			j;

	for (i = 0; i + ANNOY_KERNEL_LANES <= n; i += ANNOY_KERNEL_LANES)
		for (j = 0; j < ANNOY_KERNEL_LANES; j++)
			sum[j] += fabsf(a[i + j] - b[i + j]);

	for (j = 0; i + j < n; j++)
		sum[j] += fabsf(a[i + j] - b[i + j]);

	return reduce_lanes(sum);
}

/* One pass saves memory traffic on processors; in plain C three are as good. */
void
AnnoyPlainInnerProducts(int n, const float *a, const float *b, float out[3])
{
	out[0] = AnnoyPlainInnerProduct(n, a, b);
	out[1] = AnnoyPlainInnerProduct(n, a, a);
	out[2] = AnnoyPlainInnerProduct(n, b, b);
}

int32_t
AnnoyPlainDotQuantised(int n, const int8_t *a, const int16_t *b)
{
	int32_t		sum[16] = {0};
	int32_t		total = 0;
	int			i;
	int			j;

	for (i = 0; i < n; i += 16)
		for (j = 0; j < 16; j++)
			sum[j] += a[i + j] * b[i + j];

	for (j = 0; j < 16; j++)
		total += sum[j];

	return total;
}

void
AnnoyPlainDotQuantisedMany(int n, int count, const int8_t *vectors,
						   size_t stride, const int16_t *b, int32_t *out)
{
	int			k;

	for (k = 0; k < count; k++)
		out[k] = AnnoyPlainDotQuantised(n, vectors + (size_t) k * stride, b);
}

/* Selected by a mask, which no compiler turns into a branch. */
static int32_t
sum_selected(int n, const uint8_t *code, const int16_t *b)
{
	static const int16_t bit_of_lane[8] = {1, 2, 4, 8, 16, 32, 64, 128};
	int32_t		sum[8] = {0};
	int32_t		total = 0;
	int			i;
	int			j;

	for (i = 0; i < n; i += 8)
	{
		int16_t		bits = code[i / 8];

		for (j = 0; j < 8; j++)
		{
			int16_t		mask = (int16_t) -((bits & bit_of_lane[j]) != 0);

			sum[j] += (int16_t) (b[i + j] & mask);
		}
	}

	for (j = 0; j < 8; j++)
		total += sum[j];

	return total;
}

void
AnnoyPlainSumSelectedMany(int n, int count, const uint8_t *codes,
						  size_t stride, const int16_t *b, int32_t *out)
{
	int			k;

	for (k = 0; k < count; k++)
		out[k] = sum_selected(n, codes + (size_t) k * stride, b);
}

int32_t
AnnoyPlainSumLevels(int n, int bits, const uint8_t *code,
					const uint8_t *planes, const int16_t *b)
{
	int32_t		sum = sum_selected(n, code, b);
	int			p;

	for (p = 1; p < bits; p++, planes += n / 8)
		sum = 2 * sum + sum_selected(n, planes, b);

	return sum;
}

void
AnnoyPlainDequantise(int n, const int16_t *in, float scale, float *out)
{
	AnnoyLoopDequantise(n, in, scale, out);
}

void
AnnoyPlainAddDequantised(int n, const int16_t *in, float scale, float *sum)
{
	AnnoyLoopAddDequantised(n, in, scale, sum);
}

void
AnnoyPlainJoinMean(int n, const float *item, float share, float *mean)
{
	AnnoyLoopJoinMean(n, item, share, mean);
}

void
AnnoyPlainScale(int n, const float *in, double factor, float *out)
{
	AnnoyLoopScale(n, in, factor, out);
}

/* Sum of lanes by halves. */
static inline double
reduce_doubles(double sum[SKETCH_LANES])
{
	int			half;
	int			i;

	for (half = SKETCH_LANES / 2; half >= 1; half /= 2)
		for (i = 0; i < half; i++)
			sum[i] += sum[i + half];

	return sum[0];
}

/* The square of a float is exact in double, whoever computes it. */
double
AnnoyPlainSquareSum(int n, const float *x)
{
	double		sum[SKETCH_LANES] = {0};
	int			i;
	int			j;

	for (i = 0; i + SKETCH_LANES <= n; i += SKETCH_LANES)
		for (j = 0; j < SKETCH_LANES; j++)
			sum[j] += (double) x[i + j] * (double) x[i + j];

	for (j = 0; i + j < n; j++)
		sum[j] += (double) x[i + j] * (double) x[i + j];

	return reduce_doubles(sum);
}

/* The sign is flipped as a bit, which no compiler turns into a branch. */
void
AnnoyPlainFetchRuns(int n, const AnnoyRunPlan *plan, const float *in,
					float factor, float *out)
{
	int			i;
	int			j;

	for (i = 0; i < n; i += ANNOY_RUN, plan++)
	{
		for (j = 0; j < ANNOY_RUN; j++)
		{
			float		value = in[plan->from ^ j] * factor;
			uint32_t	bits;

			memcpy(&bits, &value, sizeof(bits));
			bits ^= (uint32_t) plan->signs >> j << 31;
			memcpy(&out[i + j], &bits, sizeof(bits));
		}
	}
}

/* (low, high) becomes (low + high, low - high), for a run of elements. */
static inline void
butterfly_run(float *restrict low, float *restrict high)
{
	int			i;

	for (i = 0; i < ANNOY_RUN; i++)
	{
		float		a = low[i];
		float		b = high[i];

		low[i] = a + b;
		high[i] = a - b;
	}
}

/* The steps of distance 1, 2, 4 and 8, which stay inside a run. */
static inline void
transform_run(float *x)
{
	int			distance;
	int			i;
	int			j;

	for (distance = 1; distance < ANNOY_RUN; distance *= 2)
	{
		for (i = 0; i < ANNOY_RUN; i += 2 * distance)
		{
			for (j = i; j < i + distance; j++)
			{
				float		a = x[j];
				float		b = x[j + distance];

				x[j] = a + b;
				x[j + distance] = a - b;
			}
		}
	}
}

/*
 * The steps go by growing distance; every implementation must keep to that,
 * since another order of the steps rounds differently.
 */
void
AnnoyPlainRotateBlock(int n, const AnnoyRunPlan *plan, const float *in,
					  float factor, float *out)
{
	int			distance;
	int			i;
	int			j;

	AnnoyPlainFetchRuns(n, plan, in, factor, out);
	for (i = 0; i < n; i += ANNOY_RUN)
		transform_run(out + i);

	for (distance = ANNOY_RUN; distance < n; distance *= 2)
		for (i = 0; i < n; i += 2 * distance)
			for (j = i; j < i + distance; j += ANNOY_RUN)
				butterfly_run(out + j, out + j + distance);
}

float
AnnoyPlainLargestAbsolute(int n, const float *x)
{
	float		largest[SKETCH_LANES] = {0};
	int			i;
	int			j;

	for (i = 0; i < n; i += SKETCH_LANES)
		for (j = 0; j < SKETCH_LANES; j++)
		{
			float		size = fabsf(x[i + j]);

			largest[j] = size > largest[j] ? size : largest[j];
		}
	for (j = 1; j < SKETCH_LANES; j++)
		if (largest[j] > largest[0])
			largest[0] = largest[j];

	return largest[0];
}

int64_t
AnnoyPlainQuantise(int n, const float *in, float inverse, int16_t *out)
{
	int64_t		squares = 0;
	int			i;
	int			j;

	for (i = 0; i < n; i += SKETCH_LANES)
	{
		/* 16 squares of 26 bits fit in 32 */
		uint32_t	sum = 0;

		for (j = 0; j < SKETCH_LANES; j++)
		{
			float		rounded = in[i + j] * inverse + TO_INTEGER - TO_INTEGER;
			int			element = (int) rounded;

			out[i + j] = (int16_t) element;
			sum += (uint32_t) (element * element);
		}
		squares += sum;
	}

	return squares;
}

double
AnnoyPlainRequantise(int n, const int16_t *quantised, float scale, float *x)
{
	double		sum[SKETCH_LANES] = {0};
	int			i;
	int			j;

	for (i = 0; i < n; i += SKETCH_LANES)
		for (j = 0; j < SKETCH_LANES; j++)
		{
			float		value = scale * (float) quantised[i + j];
			double		change = (double) x[i + j] - (double) value;

			x[i + j] = value;
			sum[j] += change * change;
		}

	return reduce_doubles(sum);
}

/* Sum of lanes by halves. */
static inline float
reduce_sixteen(float sum[SKETCH_LANES])
{
	int			half;
	int			i;

	for (half = SKETCH_LANES / 2; half >= 1; half /= 2)
		for (i = 0; i < half; i++)
			sum[i] += sum[i + half];

	return sum[0];
}

/* Bit k of each of eight bytes, as a byte of a code. */
static inline uint8_t
collect_bits(const uint8_t bytes[8], int k)
{
	/* brings bit 8j to bit 56 + j */
	const uint64_t collect = UINT64_C(0x0102040810204080);
	uint64_t	bits = 0;
	int			j;

	for (j = 0; j < 8; j++)
		bits |= (uint64_t) bytes[j] << (8 * j);
	bits = bits >> k & UINT64_C(0x0101010101010101);
	return (uint8_t) (bits * collect >> 56);
}

/* Flipped as a bit, which no compiler turns into a branch. */
static inline float
flip_sign(float x, uint32_t flip)
{
	uint32_t	bits;

	memcpy(&bits, &x, sizeof(bits));
	bits ^= flip << 31;
	memcpy(&x, &bits, sizeof(x));
	return x;
}

void
AnnoyPlainEncode(int n, const float *x, const int8_t *centroid, float scale,
				 uint8_t *code, float sums[3])
{
	float		squares[SKETCH_LANES] = {0};
	float		sizes[SKETCH_LANES] = {0};
	float		signed_centroid[SKETCH_LANES] = {0};
	int			i;
	int			j;

	for (i = 0; i < n; i += SKETCH_LANES)
	{
		uint8_t		bits[SKETCH_LANES];

		for (j = 0; j < SKETCH_LANES; j++)
		{
			float		c = scale * (float) centroid[i + j];
			float		residual = x[i + j] - c;
			uint32_t	positive = residual >= 0.0f;

			squares[j] += residual * residual;
			sizes[j] += fabsf(residual);
			signed_centroid[j] += flip_sign(c, 1 - positive);
			bits[j] = (uint8_t) positive;
		}
		code[i / 8] = collect_bits(bits, 0);
		code[i / 8 + 1] = collect_bits(bits + 8, 0);
	}

	sums[0] = reduce_sixteen(squares);
	sums[1] = reduce_sixteen(sizes);
	sums[2] = reduce_sixteen(signed_centroid);
}

/* Comparisons are written so that a NaN fails them. */
void
AnnoyPlainEncodeLevels(int n, const float *x, const int8_t *centroid,
					   float scale, int bits, float inverse_step,
					   uint8_t *planes, float sums[2])
{
	const float largest = (float) ((1 << (bits - 1)) - 1);
	float		sizes[SKETCH_LANES] = {0};
	float		signed_centroid[SKETCH_LANES] = {0};
	int			i;
	int			j;
	int			p;

	for (i = 0; i < n; i += SKETCH_LANES)
	{
		uint8_t		levels[SKETCH_LANES];

		for (j = 0; j < SKETCH_LANES; j++)
		{
			float		c = scale * (float) centroid[i + j];
			float		residual = x[i + j] - c;
			float		size = fabsf(residual) * inverse_step;
			int			step = (int) (size < largest ? size : largest);
			float		weight = (float) step + 0.5f;
			uint32_t	negative = !(residual >= 0.0f);

			sizes[j] += fabsf(residual) * weight;
			signed_centroid[j] += flip_sign(c, negative) * weight;
			levels[j] = (uint8_t) ((uint32_t) step ^ (0 - negative));
		}
		for (p = 0; p < bits - 1; p++)
		{
			uint8_t    *at = planes + p * (n / 8) + i / 8;

			at[0] = collect_bits(levels, bits - 2 - p);
			at[1] = collect_bits(levels + 8, bits - 2 - p);
		}
	}

	sums[0] = reduce_sixteen(sizes);
	sums[1] = reduce_sixteen(signed_centroid);
}

float
AnnoyPlainProductTerms(int n, const float *x, const int8_t *centroid,
					   float scale, const float *centre)
{
	float		sum[SKETCH_LANES] = {0};
	int			i;
	int			j;

	for (i = 0; i < n; i += SKETCH_LANES)
		for (j = 0; j < SKETCH_LANES; j++)
		{
			float		c = scale * (float) centroid[i + j];

			sum[j] += c * (c - 2.0f * x[i + j]);
		}
	if (centre != NULL)
		for (i = 0; i < n; i += SKETCH_LANES)
			for (j = 0; j < SKETCH_LANES; j++)
				sum[j] -= 2.0f * x[i + j] * centre[i + j];

	return reduce_sixteen(sum);
}

double
AnnoyPlainMeasureGroups(int n, const float *x, float *largest)
{
	double		sum[SKETCH_LANES] = {0};
	int			i;
	int			j;

	*largest = 0.0f;
	for (i = 0; i < n; i += SKETCH_LANES)
	{
		for (j = 0; j < SKETCH_LANES; j++)
			sum[j] += (double) fabsf(x[i + j]);
		for (j = i; j < i + SKETCH_LANES; j += 4)
		{
			float		group = (fabsf(x[j]) + fabsf(x[j + 1])) +
				(fabsf(x[j + 2]) + fabsf(x[j + 3]));

			if (group > *largest)
				*largest = group;
		}
	}

	return reduce_doubles(sum);
}

void
AnnoyPlainFillTable(int n, const float *q, float inverse_delta, uint8_t *table)
{
	int			rows = n / 8;
	int			group;
	int			pattern;
	int			i;

	for (group = 0; group < n / 4; group++, q += 4)
	{
		uint8_t    *entry = table + 16 * (group / 2 + group % 2 * rows);
		float		gain[4][2]; /* of a cleared, of a set bit */
		float		low[4];		/* sums of the first two dimensions */
		float		high[4];

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
		{
			float		sum = low[pattern & 3] + high[pattern >> 2];

			entry[pattern] = (uint8_t) (int) (sum * inverse_delta + 0.5f);
		}
	}
}

void
AnnoyPlainTransposeCodes(int entries, int rows, const uint8_t *in,
						 size_t stride, uint8_t *out)
{
	int			i;
	int			r;

	for (r = 0; r < rows; r++, out += ANNOY_BLOCK_ENTRIES)
	{
		for (i = 0; i < entries; i++)
			out[i] = in[(size_t) i * stride + (size_t) r];
		for (; i < ANNOY_BLOCK_ENTRIES; i++)
			out[i] = 0;
	}
}

/* Sum of one entry's table values; codes: its byte in the first row. */
static inline uint32_t
sum_tables(int rows, const uint8_t *table, const uint8_t *codes)
{
	const uint8_t *low_table = table;
	const uint8_t *high_table = table + rows * 16;
	uint32_t	sum = 0;
	int			r;

	for (r = 0; r < rows; r++)
	{
		uint8_t		code = codes[r * ANNOY_BLOCK_ENTRIES];

		sum += low_table[r * 16 + (code & 15)];
		sum += high_table[r * 16 + (code >> 4)];
	}

	return sum;
}

/*
 * From the sum of one entry's table values to its lower bound.  The
 * comparisons are written so that a NaN fails them: it then counts as the
 * value after the colon.  An estimate of minus infinity, which an infinite
 * width brings about, becomes -FLT_MAX as well, so that arithmetic on bounds
 * cannot make a NaN of it.
 */
static inline float
lower_bound(const AnnoyRankParameters *parameters, uint32_t sum, float f1,
			float f2)
{
	float		product = parameters->delta * (float) sum + parameters->bias;
	float		estimate = parameters->base + f2 - f1 * product;
	float		b = f1 * parameters->width;
	float		difference;

	if (parameters->linear)
	{
		float		bound = estimate - b;

		return bound > -FLT_MAX ? bound : -FLT_MAX;
	}

	estimate = estimate > 0.0f ? estimate : 0.0f;
	difference = sqrtf(b * b + estimate) - b;
	difference = difference > 0.0f ? difference : 0.0f;
	return difference * difference;
}

uint32_t
AnnoyPlainRankBlock(const AnnoyRankParameters *parameters,
					const uint8_t *block, float lower[16])
{
	const int	rows = parameters->rows;
	const uint8_t *factors = block + rows * ANNOY_BLOCK_ENTRIES;
	float		f1[ANNOY_BLOCK_ENTRIES];
	float		f2[ANNOY_BLOCK_ENTRIES];
	uint32_t	mask = 0;
	int			i;

	/* blocks lie anywhere on a page: the floats may be unaligned */
	memcpy(f1, factors, sizeof(f1));
	memcpy(f2, factors + sizeof(f1), sizeof(f2));

	for (i = 0; i < ANNOY_BLOCK_ENTRIES; i++)
	{
		uint32_t	sum = sum_tables(rows, parameters->table, block + i);

		lower[i] = lower_bound(parameters, sum, f1[i], f2[i]);
		if (lower[i] < parameters->threshold)
			mask |= UINT32_C(1) << i;
	}

	return mask;
}

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

#include "kernel.h"
#include "kernel_sets.h"

/* Floats that the Walsh-Hadamard transform handles in one go. */
#define HADAMARD_RUN 16

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
AnnoyPlainDequantise(int n, const int16_t *in, float scale, float *out)
{
	int			i;

	for (i = 0; i < n; i++)
		out[i] = scale * (float) in[i];
}

/* (low, high) becomes (low + high, low - high), for a run of elements. */
static inline void
butterfly_run(float *restrict low, float *restrict high)
{
	int			i;

	for (i = 0; i < HADAMARD_RUN; i++)
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

	for (distance = 1; distance < HADAMARD_RUN; distance *= 2)
	{
		for (i = 0; i < HADAMARD_RUN; i += 2 * distance)
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
AnnoyPlainWalshHadamard(int n, float *x)
{
	int			distance;
	int			i;
	int			j;

	for (i = 0; i < n; i += HADAMARD_RUN)
		transform_run(x + i);

	for (distance = HADAMARD_RUN; distance < n; distance *= 2)
		for (i = 0; i < n; i += 2 * distance)
			for (j = i; j < i + distance; j += HADAMARD_RUN)
				butterfly_run(x + j, x + j + distance);
}

/* The sign is flipped as a bit, which no compiler turns into a branch. */
void
AnnoyPlainPermuteSigned(int n, const uint16_t *plan, const float *in,
						float *out)
{
	int			i;

	for (i = 0; i < n; i++)
	{
		uint32_t	bits;

		memcpy(&bits, &in[plan[i] & ANNOY_PLAN_INDEX_MASK], sizeof(bits));
		bits ^= (uint32_t) (plan[i] & ANNOY_PLAN_SIGN) << 16;
		memcpy(&out[i], &bits, sizeof(bits));
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

/*-------------------------------------------------------------------------
 *
 * kernel.h
 *	  The inner loops, one implementation for each instruction set.
 *
 * Every implementation of a kernel returns the same bits for the same input:
 * integer kernels trivially, float kernels because all of them add in the
 * order that the plain C version defines (ANNOY_KERNEL_LANES partial sums,
 * reduced by halves) and none contracts a multiplication and an addition into
 * one rounding.  So a forest does not depend on the machine that built it,
 * and an index gives the same answers on a standby with another processor.
 *
 * Arrays need no alignment unless said otherwise.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ANNOY_KERNEL_H
#define ANNOY_KERNEL_H

#include <stdint.h>

/*
 * Partial sums of a float reduction: element i is added to sum i % 32, and
 * the sums are reduced as sum[i] += sum[i + 16], += 8, 4, 2, 1.  The elements
 * of an incomplete last run of 32 are added to their own lanes.
 */
#define ANNOY_KERNEL_LANES 32

/* Entries of one block of codes; see "blocks" in README. */
#define ANNOY_BLOCK_ENTRIES 16

/*
 * What ranking a block of codes needs to know about the query, for one leaf.
 * With sum[i] the table sum of entry i:
 *
 *	 product  = delta * sum[i] + bias			(about <s, q>, minus slack)
 *	 estimate = base + f2[i] - f1[i] * product
 *	 squared: b = f1[i] * width; lower[i] = (sqrt(b*b + max(estimate,0)) - b)^2
 *	 linear:  lower[i] = estimate - f1[i] * width
 *
 * (evaluated left to right as written, in float, without contraction; in the
 * squared form a difference below zero counts as zero and a NaN estimate
 * counts as zero; in the linear form a NaN or minus infinity becomes -FLT_MAX.)
 */
typedef struct AnnoyRankParameters
{
	const uint8_t *table;		/* 64-byte aligned; rows * 16 bytes for the low
								 * nibbles, then rows * 16 for the high ones */
	int			rows;			/* bytes of a code: sketch dimensions / 8,
								 * hence even; at most 192 */
	int			linear;			/* 0: squared distances, 1: inner products */
	float		delta;
	float		bias;
	float		base;
	float		width;
	float		threshold;		/* survivors have lower < threshold */
} AnnoyRankParameters;

typedef struct AnnoyKernels
{
	const char *name;			/* "plain", "avx2", "avx512", "neon" */

	/* sum of squared differences, of products, of absolute differences */
	float		(*l2_squared) (int n, const float *a, const float *b);
	float		(*inner_product) (int n, const float *a, const float *b);
	float		(*l1) (int n, const float *a, const float *b);

	/* out[0] = <a,b>, out[1] = <a,a>, out[2] = <b,b> in one pass */
	void		(*inner_products) (int n, const float *a, const float *b,
								   float out[3]);

	/* exact integer inner product; n a multiple of 16, |b[i]| <= 8191,
	 * n <= 1536, so that 32 bits hold the sum */
	int32_t		(*dot_quantised) (int n, const int8_t *a, const int16_t *b);

	/* out[i] = scale * in[i]; n a multiple of 16 */
	void		(*dequantise) (int n, const int16_t *in, float scale, float *out);

	/* unnormalised Walsh-Hadamard transform in place; n a power of two >= 16 */
	void		(*walsh_hadamard) (int n, float *x);

	/* out[i] = sign(i) * in[index(i)]: plan[i] holds the index in its lower
	 * 15 bits and the sign (1 = negate) in bit 15; n a multiple of 16 */
	void		(*permute_signed) (int n, const uint16_t *plan, const float *in,
								   float *out);

	/*
	 * Ranks one block of 16 codes.  block: rows * 16 bytes of codes (byte
	 * [r * 16 + i] holds dimensions 8r .. 8r+3 of entry i in its low nibble,
	 * 8r+4 .. 8r+7 in its high one), then float f1[16], float f2[16].
	 * Writes all 16 lower bounds and returns the mask of the entries whose
	 * lower bound is below the threshold.  rows <= 192; sums beyond 16 bits
	 * are carried.
	 */
	uint32_t	(*rank_block) (const AnnoyRankParameters *parameters,
							   const uint8_t *block, float lower[16]);
} AnnoyKernels;

/* The kernels in use; AnnoyChooseKernels fills it, plain before that. */
extern AnnoyKernels annoy_kernels;

/*
 * Chooses the best implementation that this processor runs.  With a name
 * other than NULL chooses that one; returns 0 if it is unknown, not compiled
 * in, or not supported by the processor, and then changes nothing.
 */
extern int	AnnoyChooseKernels(const char *name);

#endif							/* ANNOY_KERNEL_H */

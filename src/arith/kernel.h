/*-------------------------------------------------------------------------
 *
 * kernel.h
 *	  The inner loops, one implementation for each instruction set.
 *
 * Every implementation of a kernel returns the same bits for the same input:
 * integer kernels trivially, float kernels because all of them add in the
 * order that the plain C version defines (ANNOY_KERNEL_LANES partial sums,
 * reduced by halves) and none contracts a multiplication and an addition into
 * one rounding where that makes a difference.  So a forest does not depend on
 * the machine that built it, and an index gives the same answers on a standby
 * with another processor.
 *
 * Arrays need no alignment unless said otherwise.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ANNOY_KERNEL_H
#define ANNOY_KERNEL_H

#include <stddef.h>
#include <stdint.h>

/*
 * Partial sums of a float reduction: element i is added to sum i % 32, and
 * the sums are reduced as sum[i] += sum[i + 16], += 8, 4, 2, 1.  The elements
 * of an incomplete last run of 32 are added to their own lanes.
 */
#define ANNOY_KERNEL_LANES 32

/* Entries of one block of codes; see page/README, "Leaves". */
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

/*
 * Where a run of 16 floats comes from in a rotation: element j is in[from ^ j],
 * with its sign changed if bit j of signs is set.  So whole runs move, and the
 * lower four bits of "from" exchange elements inside them.
 */
typedef struct AnnoyRunPlan
{
	uint16_t	from;
	uint16_t	signs;
} AnnoyRunPlan;

#define ANNOY_RUN 16

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

	/*
	 * out[k] = dot_quantised of row k and b, for k < count; row k begins at
	 * vectors + k * stride.  Same conditions; out overlaps no input.
	 */
	void		(*dot_quantised_many) (int n, int count,
									   const int8_t *vectors, size_t stride,
									   const int16_t *b, int32_t *out);

	/*
	 * out[k] = exact integer sum of those b[i] for which bit i % 8 of byte
	 * i / 8 of code k is set, for k < count; n and b as above.  Code k has
	 * n / 8 bytes from codes + k * stride on; out overlaps no input.
	 */
	void		(*sum_selected_many) (int n, int count, const uint8_t *codes,
									  size_t stride, const int16_t *b,
									  int32_t *out);

	/*
	 * Exact integer sum of level[i] * b[i]; n and b as above.  A level has
	 * "bits" bits, 1 .. 4: the highest is bit i % 8 of byte i / 8 of the code,
	 * the others, in their order, are in planes of n / 8 bytes each, likewise,
	 * which follow each other.
	 */
	int32_t		(*sum_levels) (int n, int bits, const uint8_t *code,
							   const uint8_t *planes, const int16_t *b);

	/*
	 * From here on n is a multiple of 16 where nothing else is said, and sums
	 * have 16 lanes instead of 32, likewise reduced by halves.
	 */

	/* out[i] = scale * in[i] */
	void		(*dequantise) (int n, const int16_t *in, float scale, float *out);

	/* sum[i] += scale * in[i] */
	void		(*add_dequantised) (int n, const int16_t *in, float scale,
									float *sum);

	/* mean[i] += (item[i] - mean[i]) * share */
	void		(*join_mean) (int n, const float *item, float share,
							  float *mean);

	/* sum of squares in double; any n */
	double		(*square_sum) (int n, const float *x);

	/* out[i] = (float) (factor * in[i]), multiplied in double; any n */
	void		(*scale) (int n, const float *in, double factor, float *out);

	/*
	 * One block of a rotation: an unnormalised Walsh-Hadamard transform of
	 * runs of 16 floats that are fetched, multiplied by the factor and given
	 * signs as the plan says.  n: a power of two >= 16, plan: n / 16 of them.
	 * in and out do not overlap.
	 */
	void		(*rotate_block) (int n, const AnnoyRunPlan *plan,
								 const float *in, float factor, float *out);

	/* largest absolute value */
	float		(*largest_absolute) (int n, const float *x);

	/*
	 * out[i] = in[i] * inverse to the nearest integer, halves to the even one;
	 * none beyond 8191.  Returns the sum of out[i]^2; n <= 1536.
	 */
	int64_t		(*quantise) (int n, const float *in, float inverse,
							 int16_t *out);

	/*
	 * x[i] = scale * quantised[i]; returns the sum of the squares, in double,
	 * of what that changes.
	 */
	double		(*requantise) (int n, const int16_t *quantised, float scale,
							   float *x);

	/*
	 * Code of the residual x - c, c[i] = scale * centroid[i]: n / 8 bytes, bit
	 * i % 8 of byte i / 8 set if residual i is >= 0.  With signs +1 where it
	 * is set and else -1, sums[0] = |residual|^2, sums[1] = <signs, residual>,
	 * sums[2] = <signs, c>.
	 */
	void		(*encode) (int n, const float *x, const int8_t *centroid,
						   float scale, uint8_t *code, float sums[3]);

	/*
	 * Levels of encode's residuals: residual i falls into step
	 *
	 *	  m[i] = (int) min(|residual[i]| * inverse_step, 2^(bits - 1) - 1)
	 *
	 * (the latter for a NaN).  Lower bits of the levels, 2 .. 4 bits less that
	 * of encode, in planes as sum_levels reads them: those of m[i] if residual
	 * i is >= 0, else inverted.  With weight = m[i] + 0.5, sums[0] is the sum of
	 * |residual| * weight, sums[1] that of signs[i] * c * weight.
	 */
	void		(*encode_levels) (int n, const float *x, const int8_t *centroid,
								  float scale, int bits, float inverse_step,
								  uint8_t *planes, float sums[2]);

	/*
	 * sum of c * (c - 2x), c as above, and then, in the same lanes, less the
	 * sum of 2x * centre; centre may be NULL
	 */
	float		(*product_terms) (int n, const float *x, const int8_t *centroid,
								  float scale, const float *centre);

	/*
	 * For each group of 4 elements the sum of absolute values, (0 + 1) + (2 +
	 * 3): *largest is the largest, and the result the sum of the absolute
	 * values of all elements in double.
	 */
	double		(*measure_groups) (int n, const float *x, float *largest);

	/*
	 * The table of a query for rank_block: entry "pattern" of a group of 4 is
	 * (int) (sum * inverse_delta + 0.5f), sum = (g0 + g1) + (g2 + g3) with gi
	 * = max(2 * q[i], 0) where bit i of the pattern is set and else max(-2 *
	 * q[i], 0).  The caller sees to it that entries fit in a byte.
	 */
	void		(*fill_table) (int n, const float *q, float inverse_delta,
							   uint8_t *table);

	/*
	 * Turns "entries" codes (1 .. 16) of "rows" bytes each, which begin stride
	 * bytes apart, into the form of a block: out[r * 16 + i] = byte r of code
	 * i, and 0 for codes that are missing.  in and out do not overlap.
	 */
	void		(*transpose_codes) (int entries, int rows, const uint8_t *in,
									size_t stride, uint8_t *out);

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

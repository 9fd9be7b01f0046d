/*-------------------------------------------------------------------------
 *
 * kernel_avx512_sketch.c
 *	  The kernels for x86 processors with AVX-512: sketches, codes and query
 *	  tables.
 *
 * See kernel_avx512.c.  Products that are exact may be part of a fused
 * multiply-add here: those with 1 and -1, and those in double of two floats.
 *
 *-------------------------------------------------------------------------
 */
#include <stddef.h>

#include "arith/kernel.h"
#include "arith/kernel_loops.h"
#include "arith/kernel_sets.h"

#if defined(__x86_64__) && defined(__GNUC__)

#include <immintrin.h>
#include <string.h>

#define AVX512 __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl")))

/* Floats of one register. */
#define WIDTH 16

/* Elements of sums that are kept in double: lanes 0..7 and 8..15. */
typedef struct DoubleSums
{
	__m512d		low;
	__m512d		high;
} DoubleSums;

AVX512 static inline DoubleSums
zero_doubles(void)
{
	DoubleSums	sum = {_mm512_setzero_pd(), _mm512_setzero_pd()};

	return sum;
}

AVX512 static inline __m512d
low_doubles(__m512 x)
{
	return _mm512_cvtps_pd(_mm512_castps512_ps256(x));
}

AVX512 static inline __m512d
high_doubles(__m512 x)
{
	return _mm512_cvtps_pd(_mm512_extractf32x8_ps(x, 1));
}

/* sum[i] += sum[i + 8], then 4, 2 and 1 */
AVX512 static inline double
reduce_doubles(DoubleSums sum)
{
	__m512d		eight = _mm512_add_pd(sum.low, sum.high);
	__m256d		four = _mm256_add_pd(_mm512_castpd512_pd256(eight),
									 _mm512_extractf64x4_pd(eight, 1));
	__m128d		two = _mm_add_pd(_mm256_castpd256_pd128(four),
								 _mm256_extractf128_pd(four, 1));

	return _mm_cvtsd_f64(_mm_add_sd(two, _mm_unpackhi_pd(two, two)));
}

/* Likewise of 16 floats. */
AVX512 static inline float
reduce_sixteen(__m512 sum)
{
	__m256		eight = _mm256_add_ps(_mm512_castps512_ps256(sum),
									  _mm512_extractf32x8_ps(sum, 1));
	__m128		four = _mm_add_ps(_mm256_castps256_ps128(eight),
								  _mm256_extractf128_ps(eight, 1));
	__m128		two = _mm_add_ps(four, _mm_movehl_ps(four, four));

	return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

AVX512 static inline __m512
load_words(const int16_t *words)
{
	__m256i		values = _mm256_loadu_si256((const __m256i *) words);

	return _mm512_cvtepi32_ps(_mm512_cvtepi16_epi32(values));
}

AVX512 static inline __m512
load_bytes(const int8_t *bytes)
{
	__m128i		values = _mm_loadu_si128((const __m128i *) bytes);

	return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(values));
}

AVX512 static void
add_dequantised(int n, const int16_t *in, float scale, float *sum)
{
	AnnoyLoopAddDequantised(n, in, scale, sum);
}

AVX512 static void
join_mean(int n, const float *item, float share, float *mean)
{
	AnnoyLoopJoinMean(n, item, share, mean);
}

AVX512 static void
scale_by(int n, const float *in, double factor, float *out)
{
	AnnoyLoopScale(n, in, factor, out);
}

AVX512 static inline DoubleSums
add_squares(DoubleSums sum, __m512 x)
{
	__m512d		low = low_doubles(x);
	__m512d		high = high_doubles(x);

	sum.low = _mm512_fmadd_pd(low, low, sum.low);
	sum.high = _mm512_fmadd_pd(high, high, sum.high);
	return sum;
}

AVX512 static double
square_sum(int n, const float *x)
{
	DoubleSums	sum = zero_doubles();
	int			i;

	for (i = 0; i + WIDTH <= n; i += WIDTH)
		sum = add_squares(sum, _mm512_loadu_ps(x + i));
	if (i < n)
		sum = add_squares(sum, _mm512_maskz_loadu_ps((__mmask16) ((1u << (n - i)) - 1),
													 x + i));

	return reduce_doubles(sum);
}

/* What fetching a run takes, in registers for a whole block. */
typedef struct Fetch
{
	const float *in;
	__m512i		lane;
	__m512		factor;
	__m512		negated;
} Fetch;

/* Of the index of a permutation only the lower four bits count. */
AVX512 static inline __m512
fetch_run(const Fetch *fetch, const AnnoyRunPlan *plan)
{
	const float *run = fetch->in + plan->from / ANNOY_RUN * ANNOY_RUN;
	__m512i		index = _mm512_xor_si512(fetch->lane,
										 _mm512_set1_epi32(plan->from));

	return _mm512_mul_ps(_mm512_permutexvar_ps(index, _mm512_loadu_ps(run)),
						 _mm512_mask_blend_ps(plan->signs, fetch->factor,
											  fetch->negated));
}

/*
 * The steps of distance 1, 2, 4 and 8: each element, times -1 if it is the
 * upper one of its pair, is added to the other, which a shuffle brought to its
 * place.
 */
AVX512 static inline __m512
transform_run(__m512 x)
{
	__m512		one = _mm512_set1_ps(1.0f);
	__m512		minus = _mm512_set1_ps(-1.0f);
	__m512		upper1 = _mm512_mask_blend_ps(0xAAAA, one, minus);
	__m512		upper2 = _mm512_mask_blend_ps(0xCCCC, one, minus);
	__m512		upper4 = _mm512_mask_blend_ps(0xF0F0, one, minus);
	__m512		upper8 = _mm512_mask_blend_ps(0xFF00, one, minus);

	x = _mm512_fmadd_ps(x, upper1,
						_mm512_permute_ps(x, _MM_SHUFFLE(2, 3, 0, 1)));
	x = _mm512_fmadd_ps(x, upper2,
						_mm512_permute_ps(x, _MM_SHUFFLE(1, 0, 3, 2)));
	x = _mm512_fmadd_ps(x, upper4,
						_mm512_shuffle_f32x4(x, x, _MM_SHUFFLE(2, 3, 0, 1)));
	return _mm512_fmadd_ps(x, upper8,
						   _mm512_shuffle_f32x4(x, x, _MM_SHUFFLE(1, 0, 3, 2)));
}

/* Registers of elements that lie a distance apart. */
typedef struct FourRegisters
{
	__m512		x0;
	__m512		x1;
	__m512		x2;
	__m512		x3;
} FourRegisters;

typedef struct EightRegisters
{
	FourRegisters low;
	FourRegisters high;
} EightRegisters;

/* The steps of distance d and 2d on registers that lie d apart. */
AVX512 static inline FourRegisters
butterfly_four(FourRegisters r)
{
	__m512		sum01 = _mm512_add_ps(r.x0, r.x1);
	__m512		difference01 = _mm512_sub_ps(r.x0, r.x1);
	__m512		sum23 = _mm512_add_ps(r.x2, r.x3);
	__m512		difference23 = _mm512_sub_ps(r.x2, r.x3);

	r.x0 = _mm512_add_ps(sum01, sum23);
	r.x1 = _mm512_add_ps(difference01, difference23);
	r.x2 = _mm512_sub_ps(sum01, sum23);
	r.x3 = _mm512_sub_ps(difference01, difference23);
	return r;
}

/* The steps of distance d, 2d and 4d. */
AVX512 static inline EightRegisters
butterfly_eight(EightRegisters r)
{
	FourRegisters low = butterfly_four(r.low);
	FourRegisters high = butterfly_four(r.high);

	r.low.x0 = _mm512_add_ps(low.x0, high.x0);
	r.low.x1 = _mm512_add_ps(low.x1, high.x1);
	r.low.x2 = _mm512_add_ps(low.x2, high.x2);
	r.low.x3 = _mm512_add_ps(low.x3, high.x3);
	r.high.x0 = _mm512_sub_ps(low.x0, high.x0);
	r.high.x1 = _mm512_sub_ps(low.x1, high.x1);
	r.high.x2 = _mm512_sub_ps(low.x2, high.x2);
	r.high.x3 = _mm512_sub_ps(low.x3, high.x3);
	return r;
}

AVX512 static inline FourRegisters
fetch_four(const Fetch *fetch, const AnnoyRunPlan *plan)
{
	FourRegisters r;

	r.x0 = transform_run(fetch_run(fetch, plan));
	r.x1 = transform_run(fetch_run(fetch, plan + 1));
	r.x2 = transform_run(fetch_run(fetch, plan + 2));
	r.x3 = transform_run(fetch_run(fetch, plan + 3));
	return r;
}

AVX512 static inline FourRegisters
load_four(const float *x, int distance)
{
	FourRegisters r;

	r.x0 = _mm512_loadu_ps(x);
	r.x1 = _mm512_loadu_ps(x + distance);
	r.x2 = _mm512_loadu_ps(x + 2 * distance);
	r.x3 = _mm512_loadu_ps(x + 3 * distance);
	return r;
}

AVX512 static inline void
store_four(float *x, int distance, FourRegisters r)
{
	_mm512_storeu_ps(x, r.x0);
	_mm512_storeu_ps(x + distance, r.x1);
	_mm512_storeu_ps(x + 2 * distance, r.x2);
	_mm512_storeu_ps(x + 3 * distance, r.x3);
}

AVX512 static inline void
store_eight(float *x, int distance, EightRegisters r)
{
	store_four(x, distance, r.low);
	store_four(x + 4 * distance, distance, r.high);
}

/* The steps from a distance on that is at least 8 runs. */
AVX512 static inline void
transform_further(int n, int distance, float *x)
{
	int			i;
	int			j;

	/* three steps in each pass over memory, then what is left */
	for (; distance * 8 <= n; distance *= 8)
		for (i = 0; i < n; i += 8 * distance)
			for (j = i; j < i + distance; j += WIDTH)
			{
				EightRegisters r;

				r.low = load_four(x + j, distance);
				r.high = load_four(x + j + 4 * distance, distance);
				store_eight(x + j, distance, butterfly_eight(r));
			}

	if (distance * 4 <= n)
	{
		for (j = 0; j < distance; j += WIDTH)
			store_four(x + j, distance,
					   butterfly_four(load_four(x + j, distance)));
	}
	else if (distance * 2 <= n)
	{
		for (j = 0; j < distance; j += WIDTH)
		{
			__m512		low = _mm512_loadu_ps(x + j);
			__m512		high = _mm512_loadu_ps(x + distance + j);

			_mm512_storeu_ps(x + j, _mm512_add_ps(low, high));
			_mm512_storeu_ps(x + distance + j, _mm512_sub_ps(low, high));
		}
	}
}

AVX512 static void
rotate_block(int n, const AnnoyRunPlan *plan, const float *in, float factor,
			 float *out)
{
	Fetch		fetch;
	int			i;

	fetch.in = in;
	fetch.lane = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7,
								   8, 9, 10, 11, 12, 13, 14, 15);
	fetch.factor = _mm512_set1_ps(factor);
	fetch.negated = _mm512_set1_ps(-factor);

	if (n >= 8 * WIDTH)
	{
		for (i = 0; i < n; i += 8 * WIDTH, plan += 8)
		{
			EightRegisters r;

			r.low = fetch_four(&fetch, plan);
			r.high = fetch_four(&fetch, plan + 4);
			store_eight(out + i, WIDTH, butterfly_eight(r));
		}
		transform_further(n, 8 * WIDTH, out);
	}
	else if (n == 4 * WIDTH)
		store_four(out, WIDTH, butterfly_four(fetch_four(&fetch, plan)));
	else if (n == 2 * WIDTH)
	{
		__m512		low = transform_run(fetch_run(&fetch, plan));
		__m512		high = transform_run(fetch_run(&fetch, plan + 1));

		_mm512_storeu_ps(out, _mm512_add_ps(low, high));
		_mm512_storeu_ps(out + WIDTH, _mm512_sub_ps(low, high));
	}
	else
		_mm512_storeu_ps(out, transform_run(fetch_run(&fetch, plan)));
}

/* The order of comparisons matters to nothing. */
AVX512 static float
largest_absolute(int n, const float *x)
{
	__m512		even = _mm512_setzero_ps();
	__m512		odd = _mm512_setzero_ps();
	int			i;

	for (i = 0; i + 2 * WIDTH <= n; i += 2 * WIDTH)
	{
		even = _mm512_max_ps(_mm512_abs_ps(_mm512_loadu_ps(x + i)), even);
		odd = _mm512_max_ps(_mm512_abs_ps(_mm512_loadu_ps(x + i + WIDTH)), odd);
	}
	if (i < n)
		even = _mm512_max_ps(_mm512_abs_ps(_mm512_loadu_ps(x + i)), even);

	return _mm512_reduce_max_ps(_mm512_max_ps(even, odd));
}

AVX512 static inline __m512i
round_elements(const float *x, __m512 inverse)
{
	return _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_loadu_ps(x), inverse));
}

/* Quantises 32 elements and returns the sums of pairs of their squares. */
AVX512 static inline __m512i
quantise_two(const float *in, __m512 inverse, int16_t *out)
{
	__m512i		order = _mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7);
	__m512i		words = _mm512_packs_epi32(round_elements(in, inverse),
										   round_elements(in + WIDTH, inverse));

	_mm512_storeu_si512(out, _mm512_permutexvar_epi64(order, words));
	return _mm512_madd_epi16(words, words);
}

AVX512 static inline __m512i
add_unsigned(__m512i sum, __m512i x)
{
	sum = _mm512_add_epi64(sum, _mm512_srli_epi64(x, 32));
	return _mm512_add_epi64(sum, _mm512_maskz_mov_epi32(0x5555, x));
}

/*
 * A pair of squares is below 2^27.001, so that 32 bits without sign hold 32
 * pairs: two sums are enough for 1536 elements.
 */
AVX512 static int64_t
quantise(int n, const float *in, float inverse, int16_t *out)
{
	__m512		factor = _mm512_set1_ps(inverse);
	__m512i		even = _mm512_setzero_si512();
	__m512i		odd = _mm512_setzero_si512();
	int			i;

	for (i = 0; i + 4 * WIDTH <= n; i += 4 * WIDTH)
	{
		even = _mm512_add_epi32(even, quantise_two(in + i, factor, out + i));
		odd = _mm512_add_epi32(odd, quantise_two(in + i + 2 * WIDTH, factor,
												 out + i + 2 * WIDTH));
	}
	if (i + 2 * WIDTH <= n)
	{
		even = _mm512_add_epi32(even, quantise_two(in + i, factor, out + i));
		i += 2 * WIDTH;
	}
	if (i < n)
	{
		__m512i		last = round_elements(in + i, factor);

		_mm256_storeu_si256((__m256i *) (out + i), _mm512_cvtepi32_epi16(last));
		odd = _mm512_add_epi32(odd, _mm512_mullo_epi32(last, last));
	}

	return _mm512_reduce_add_epi64(add_unsigned(add_unsigned(_mm512_setzero_si512(),
															 even), odd));
}

AVX512 static double
requantise(int n, const int16_t *quantised, float scale, float *x)
{
	__m512		factor = _mm512_set1_ps(scale);
	DoubleSums	sum = zero_doubles();
	int			i;

	for (i = 0; i < n; i += WIDTH)
	{
		__m512		old = _mm512_loadu_ps(x + i);
		__m512		value = _mm512_mul_ps(factor, load_words(quantised + i));
		__m512d		low = _mm512_sub_pd(low_doubles(old), low_doubles(value));
		__m512d		high = _mm512_sub_pd(high_doubles(old),
										 high_doubles(value));

		_mm512_storeu_ps(x + i, value);
		sum.low = _mm512_add_pd(sum.low, _mm512_mul_pd(low, low));
		sum.high = _mm512_add_pd(sum.high, _mm512_mul_pd(high, high));
	}

	return reduce_doubles(sum);
}

AVX512 static void
encode(int n, const float *x, const int8_t *centroid, float scale,
	   uint8_t *code, float sums[3])
{
	__m512		factor = _mm512_set1_ps(scale);
	__m512		zero = _mm512_setzero_ps();
	__m512		squares = zero;
	__m512		sizes = zero;
	__m512		signed_centroid = zero;
	int			i;

	for (i = 0; i < n; i += WIDTH)
	{
		__m512		c = _mm512_mul_ps(factor, load_bytes(centroid + i));
		__m512		residual = _mm512_sub_ps(_mm512_loadu_ps(x + i), c);
		__mmask16	negative = _mm512_cmp_ps_mask(residual, zero, _CMP_NGE_UQ);
		uint16_t	bits = (uint16_t) ~negative;

		squares = _mm512_add_ps(squares, _mm512_mul_ps(residual, residual));
		sizes = _mm512_add_ps(sizes, _mm512_abs_ps(residual));
		signed_centroid = _mm512_add_ps(signed_centroid,
										_mm512_mask_xor_ps(c, negative, c,
														   _mm512_set1_ps(-0.0f)));
		memcpy(code + i / 8, &bits, sizeof(bits));
	}

	sums[0] = reduce_sixteen(squares);
	sums[1] = reduce_sixteen(sizes);
	sums[2] = reduce_sixteen(signed_centroid);
}

AVX512 static void
encode_levels(int n, const float *x, const int8_t *centroid, float scale,
			  int bits, float inverse_step, uint8_t *planes, float sums[2])
{
	__m512		factor = _mm512_set1_ps(scale);
	__m512		inverse = _mm512_set1_ps(inverse_step);
	__m512		largest = _mm512_set1_ps((float) ((1 << (bits - 1)) - 1));
	__m512		zero = _mm512_setzero_ps();
	__m512		sizes = zero;
	__m512		signed_centroid = zero;
	int			i;
	int			p;

	for (i = 0; i < n; i += WIDTH)
	{
		__m512		c = _mm512_mul_ps(factor, load_bytes(centroid + i));
		__m512		residual = _mm512_sub_ps(_mm512_loadu_ps(x + i), c);
		__mmask16	negative = _mm512_cmp_ps_mask(residual, zero, _CMP_NGE_UQ);
		__m512		size = _mm512_abs_ps(residual);
		__m512i		steps = _mm512_cvttps_epi32(_mm512_min_ps(_mm512_mul_ps(size, inverse),
															  largest));
		__m512		weight = _mm512_add_ps(_mm512_cvtepi32_ps(steps),
										   _mm512_set1_ps(0.5f));

		c = _mm512_mask_xor_ps(c, negative, c, _mm512_set1_ps(-0.0f));
		sizes = _mm512_add_ps(sizes, _mm512_mul_ps(size, weight));
		signed_centroid = _mm512_add_ps(signed_centroid,
										_mm512_mul_ps(c, weight));
		for (p = 0; p < bits - 1; p++)
		{
			__m512i		bit = _mm512_set1_epi32(1 << (bits - 2 - p));
			uint16_t	plane = (uint16_t) (_mm512_test_epi32_mask(steps, bit) ^
											negative);

			memcpy(planes + p * (n / 8) + i / 8, &plane, sizeof(plane));
		}
	}

	sums[0] = reduce_sixteen(sizes);
	sums[1] = reduce_sixteen(signed_centroid);
}

AVX512 static float
product_terms(int n, const float *x, const int8_t *centroid, float scale,
			  const float *centre)
{
	__m512		factor = _mm512_set1_ps(scale);
	__m512		sum = _mm512_setzero_ps();
	int			i;

	for (i = 0; i < n; i += WIDTH)
	{
		__m512		c = _mm512_mul_ps(factor, load_bytes(centroid + i));
		__m512		value = _mm512_loadu_ps(x + i);
		__m512		rest = _mm512_sub_ps(c, _mm512_add_ps(value, value));

		sum = _mm512_add_ps(sum, _mm512_mul_ps(c, rest));
	}
	if (centre != NULL)
		for (i = 0; i < n; i += WIDTH)
		{
			__m512		value = _mm512_loadu_ps(x + i);

			value = _mm512_mul_ps(_mm512_add_ps(value, value),
								  _mm512_loadu_ps(centre + i));
			sum = _mm512_sub_ps(sum, value);
		}

	return reduce_sixteen(sum);
}

AVX512 static double
measure_groups(int n, const float *x, float *largest)
{
	DoubleSums	sum = zero_doubles();
	__m512		maximum = _mm512_setzero_ps();
	int			i;

	for (i = 0; i < n; i += WIDTH)
	{
		__m512		size = _mm512_abs_ps(_mm512_loadu_ps(x + i));
		__m512		group;

		sum.low = _mm512_add_pd(sum.low, low_doubles(size));
		sum.high = _mm512_add_pd(sum.high, high_doubles(size));

		group = _mm512_add_ps(size, _mm512_permute_ps(size, _MM_SHUFFLE(2, 3, 0, 1)));
		group = _mm512_add_ps(group, _mm512_permute_ps(group, _MM_SHUFFLE(1, 0, 3, 2)));
		maximum = _mm512_max_ps(group, maximum);
	}

	*largest = _mm512_reduce_max_ps(maximum);
	return reduce_doubles(sum);
}

/* One group's sums of all patterns, to be rounded to bytes. */
AVX512 static inline __m128i
finish_entries(__m512 low, __m512 high, __m512 inverse_delta)
{
	__m512		steps = _mm512_mul_ps(_mm512_add_ps(low, high), inverse_delta);

	steps = _mm512_add_ps(steps, _mm512_set1_ps(0.5f));
	return _mm512_cvtepi32_epi8(_mm512_cvttps_epi32(steps));
}

/*
 * Four groups at once: "low" and "high" hold, for each of them, the four sums
 * of its first and last two elements.  The index of gains has bit 4 for those
 * of a set bit.
 */
AVX512 static void
fill_table(int n, const float *q, float inverse_delta, uint8_t *table)
{
	const __m512i gain0 = _mm512_setr_epi32(0, 16, 0, 16, 4, 20, 4, 20,
											8, 24, 8, 24, 12, 28, 12, 28);
	const __m512i gain1 = _mm512_setr_epi32(1, 1, 17, 17, 5, 5, 21, 21,
											9, 9, 25, 25, 13, 13, 29, 29);
	const __m512i two = _mm512_set1_epi32(2);
	const __m512i gain2 = _mm512_add_epi32(gain0, two);
	const __m512i gain3 = _mm512_add_epi32(gain1, two);
	const __m512i four = _mm512_set1_epi32(4);
	const __m512i group0 = _mm512_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1,
											 2, 2, 2, 2, 3, 3, 3, 3);
	const __m512i group1 = _mm512_add_epi32(group0, four);
	const __m512i group2 = _mm512_add_epi32(group1, four);
	const __m512i group3 = _mm512_add_epi32(group2, four);
	const __m512 inverse = _mm512_set1_ps(inverse_delta);
	const __m512 zero = _mm512_setzero_ps();
	uint8_t    *upper = table + 2 * n;	/* tables of odd groups */
	int			i;

	for (i = 0; i < n; i += WIDTH, table += 32, upper += 32)
	{
		__m512		doubled = _mm512_mul_ps(_mm512_loadu_ps(q + i),
											_mm512_set1_ps(2.0f));
		__m512		set = _mm512_max_ps(doubled, zero);
		__m512		cleared = _mm512_max_ps(_mm512_sub_ps(zero, doubled), zero);
		__m512		low = _mm512_add_ps(_mm512_permutex2var_ps(cleared, gain0, set),
										_mm512_permutex2var_ps(cleared, gain1, set));
		__m512		high = _mm512_add_ps(_mm512_permutex2var_ps(cleared, gain2, set),
										 _mm512_permutex2var_ps(cleared, gain3, set));

		_mm_storeu_si128((__m128i *) table,
						 finish_entries(_mm512_shuffle_f32x4(low, low, 0x00),
										_mm512_permutexvar_ps(group0, high),
										inverse));
		_mm_storeu_si128((__m128i *) upper,
						 finish_entries(_mm512_shuffle_f32x4(low, low, 0x55),
										_mm512_permutexvar_ps(group1, high),
										inverse));
		_mm_storeu_si128((__m128i *) (table + 16),
						 finish_entries(_mm512_shuffle_f32x4(low, low, 0xAA),
										_mm512_permutexvar_ps(group2, high),
										inverse));
		_mm_storeu_si128((__m128i *) (upper + 16),
						 finish_entries(_mm512_shuffle_f32x4(low, low, 0xFF),
										_mm512_permutexvar_ps(group3, high),
										inverse));
	}
}

void
AnnoyAddAvx512SketchKernels(AnnoyKernels *kernels)
{
	kernels->add_dequantised = add_dequantised;
	kernels->join_mean = join_mean;
	kernels->square_sum = square_sum;
	kernels->scale = scale_by;
	kernels->rotate_block = rotate_block;
	kernels->largest_absolute = largest_absolute;
	kernels->quantise = quantise;
	kernels->requantise = requantise;
	kernels->encode = encode;
	kernels->encode_levels = encode_levels;
	kernels->product_terms = product_terms;
	kernels->measure_groups = measure_groups;
	kernels->fill_table = fill_table;
	kernels->transpose_codes = AnnoyAvx2TransposeCodes;
}

#endif

/*-------------------------------------------------------------------------
 *
 * kernel_avx2_sketch.c
 *	  The kernels for x86 processors with AVX2: sketches, codes and query
 *	  tables.
 *
 * Follows kernel_avx512_sketch.c, with two registers for a run of 16 elements
 * and no fused multiply-add at all, which is a feature of its own beside AVX2.
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

#define AVX2 __attribute__((target("avx2")))

/* Floats of one register. */
#define WIDTH 8

/* A run of 16 elements, or their sums. */
typedef struct Run
{
	__m256		low;
	__m256		high;
} Run;

/* Sums in double: lanes 0..3, 4..7, 8..11 and 12..15. */
typedef struct DoubleSums
{
	__m256d		x0;
	__m256d		x1;
	__m256d		x2;
	__m256d		x3;
} DoubleSums;

AVX2 static inline Run
load_run(const float *x)
{
	Run			run = {_mm256_loadu_ps(x), _mm256_loadu_ps(x + WIDTH)};

	return run;
}

AVX2 static inline DoubleSums
zero_doubles(void)
{
	DoubleSums	sum;

	sum.x0 = sum.x1 = sum.x2 = sum.x3 = _mm256_setzero_pd();
	return sum;
}

AVX2 static inline __m256d
low_doubles(__m256 x)
{
	return _mm256_cvtps_pd(_mm256_castps256_ps128(x));
}

AVX2 static inline __m256d
high_doubles(__m256 x)
{
	return _mm256_cvtps_pd(_mm256_extractf128_ps(x, 1));
}

/* sum[i] += sum[i + 8], then 4, 2 and 1 */
AVX2 static inline double
reduce_doubles(DoubleSums sum)
{
	__m256d		four = _mm256_add_pd(_mm256_add_pd(sum.x0, sum.x2),
									 _mm256_add_pd(sum.x1, sum.x3));
	__m128d		two = _mm_add_pd(_mm256_castpd256_pd128(four),
								 _mm256_extractf128_pd(four, 1));

	return _mm_cvtsd_f64(_mm_add_sd(two, _mm_unpackhi_pd(two, two)));
}

AVX2 static inline float
reduce_run(Run sum)
{
	__m256		eight = _mm256_add_ps(sum.low, sum.high);
	__m128		four = _mm_add_ps(_mm256_castps256_ps128(eight),
								  _mm256_extractf128_ps(eight, 1));
	__m128		two = _mm_add_ps(four, _mm_movehl_ps(four, four));

	return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

AVX2 static inline __m256
load_words(const int16_t *words)
{
	__m128i		values = _mm_loadu_si128((const __m128i *) words);

	return _mm256_cvtepi32_ps(_mm256_cvtepi16_epi32(values));
}

AVX2 static inline __m256
load_bytes(const int8_t *bytes)
{
	__m128i		values = _mm_loadl_epi64((const __m128i *) bytes);

	return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(values));
}

AVX2 static inline __m256
absolute(__m256 x)
{
	return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), x);
}

AVX2 static void
add_dequantised(int n, const int16_t *in, float scale, float *sum)
{
	AnnoyLoopAddDequantised(n, in, scale, sum);
}

AVX2 static void
join_mean(int n, const float *item, float share, float *mean)
{
	AnnoyLoopJoinMean(n, item, share, mean);
}

AVX2 static void
scale_by(int n, const float *in, double factor, float *out)
{
	AnnoyLoopScale(n, in, factor, out);
}

AVX2 static inline __m256d
add_double_square(__m256d sum, __m256d x)
{
	return _mm256_add_pd(sum, _mm256_mul_pd(x, x));
}

AVX2 static inline DoubleSums
add_squares(DoubleSums sum, const float *x)
{
	Run			run = load_run(x);

	sum.x0 = add_double_square(sum.x0, low_doubles(run.low));
	sum.x1 = add_double_square(sum.x1, high_doubles(run.low));
	sum.x2 = add_double_square(sum.x2, low_doubles(run.high));
	sum.x3 = add_double_square(sum.x3, high_doubles(run.high));
	return sum;
}

AVX2 static double
square_sum(int n, const float *x)
{
	DoubleSums	sum = zero_doubles();
	int			i;

	for (i = 0; i + ANNOY_RUN <= n; i += ANNOY_RUN)
		sum = add_squares(sum, x + i);
	if (i < n)
	{
		float		tail[ANNOY_RUN] = {0};

		memcpy(tail, x + i, sizeof(float) * (size_t) (n - i));
		sum = add_squares(sum, tail);
	}

	return reduce_doubles(sum);
}

/* The factor with the signs of 8 lanes: bit "first" is that of lane 0. */
AVX2 static inline __m256
signed_factor(__m256 factor, int signs, int first)
{
	__m256i		shift = _mm256_sub_epi32(_mm256_set1_epi32(31 - first),
										 _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
	__m256i		bits = _mm256_sllv_epi32(_mm256_set1_epi32(signs), shift);

	return _mm256_xor_ps(factor,
						 _mm256_and_ps(_mm256_castsi256_ps(bits),
									   _mm256_set1_ps(-0.0f)));
}

/*
 * Of the exchanges in a run those of distance 8 are a choice of where to load
 * from; of the index of a permutation only the lower three bits count.
 */
AVX2 static inline Run
fetch_run(const AnnoyRunPlan *plan, const float *in, __m256 factor)
{
	__m256i		lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
	__m256i		index = _mm256_xor_si256(lane, _mm256_set1_epi32(plan->from));
	int			first = plan->from / WIDTH * WIDTH;
	Run			run;

	run.low = _mm256_loadu_ps(in + first);
	run.high = _mm256_loadu_ps(in + (first ^ WIDTH));
	run.low = _mm256_mul_ps(_mm256_permutevar8x32_ps(run.low, index),
							signed_factor(factor, plan->signs, 0));
	run.high = _mm256_mul_ps(_mm256_permutevar8x32_ps(run.high, index),
							 signed_factor(factor, plan->signs, WIDTH));
	return run;
}

/*
 * The steps of distance 1, 2 and 4: each element meets the one that the
 * shuffle brought to its place, and the upper one of a pair is subtracted
 * from the lower, by adding it with its sign flipped.
 */
AVX2 static inline __m256
transform_register(__m256 x)
{
	__m256		upper1 = _mm256_setr_ps(0.0f, -0.0f, 0.0f, -0.0f,
										0.0f, -0.0f, 0.0f, -0.0f);
	__m256		upper2 = _mm256_setr_ps(0.0f, 0.0f, -0.0f, -0.0f,
										0.0f, 0.0f, -0.0f, -0.0f);
	__m256		upper4 = _mm256_setr_ps(0.0f, 0.0f, 0.0f, 0.0f,
										-0.0f, -0.0f, -0.0f, -0.0f);

	x = _mm256_add_ps(_mm256_permute_ps(x, _MM_SHUFFLE(2, 3, 0, 1)),
					  _mm256_xor_ps(x, upper1));
	x = _mm256_add_ps(_mm256_permute_ps(x, _MM_SHUFFLE(1, 0, 3, 2)),
					  _mm256_xor_ps(x, upper2));
	return _mm256_add_ps(_mm256_permute2f128_ps(x, x, 0x01),
						 _mm256_xor_ps(x, upper4));
}

/* Four registers of elements that lie a distance apart. */
typedef struct FourRegisters
{
	__m256		x0;
	__m256		x1;
	__m256		x2;
	__m256		x3;
} FourRegisters;

/* The steps of distance d and 2d on registers that lie d apart. */
AVX2 static inline FourRegisters
butterfly_four(FourRegisters r)
{
	__m256		sum01 = _mm256_add_ps(r.x0, r.x1);
	__m256		difference01 = _mm256_sub_ps(r.x0, r.x1);
	__m256		sum23 = _mm256_add_ps(r.x2, r.x3);
	__m256		difference23 = _mm256_sub_ps(r.x2, r.x3);

	r.x0 = _mm256_add_ps(sum01, sum23);
	r.x1 = _mm256_add_ps(difference01, difference23);
	r.x2 = _mm256_sub_ps(sum01, sum23);
	r.x3 = _mm256_sub_ps(difference01, difference23);
	return r;
}

AVX2 static inline FourRegisters
load_four(const float *x, int distance)
{
	FourRegisters r;

	r.x0 = _mm256_loadu_ps(x);
	r.x1 = _mm256_loadu_ps(x + distance);
	r.x2 = _mm256_loadu_ps(x + 2 * distance);
	r.x3 = _mm256_loadu_ps(x + 3 * distance);
	return r;
}

AVX2 static inline void
store_four(float *x, int distance, FourRegisters r)
{
	_mm256_storeu_ps(x, r.x0);
	_mm256_storeu_ps(x + distance, r.x1);
	_mm256_storeu_ps(x + 2 * distance, r.x2);
	_mm256_storeu_ps(x + 3 * distance, r.x3);
}

/* The last step, if their number is odd: its distance is half the array. */
AVX2 static inline void
transform_last_step(int n, float *x)
{
	float	   *upper = x + n / 2;
	int			i;

	for (i = 0; i < n / 2; i += WIDTH)
	{
		__m256		low = _mm256_loadu_ps(x + i);
		__m256		high = _mm256_loadu_ps(upper + i);

		_mm256_storeu_ps(x + i, _mm256_add_ps(low, high));
		_mm256_storeu_ps(upper + i, _mm256_sub_ps(low, high));
	}
}

AVX2 static void
rotate_block(int n, const AnnoyRunPlan *plan, const float *in, float factor,
			 float *out)
{
	__m256		factors = _mm256_set1_ps(factor);
	int			distance = 2 * ANNOY_RUN;
	int			i;
	int			j;

	if (n == ANNOY_RUN)
	{
		Run			run = fetch_run(plan, in, factors);
		__m256		low = transform_register(run.low);
		__m256		high = transform_register(run.high);

		_mm256_storeu_ps(out, _mm256_add_ps(low, high));
		_mm256_storeu_ps(out + WIDTH, _mm256_sub_ps(low, high));
		return;
	}

	/* the steps of distance 1 to 16, two runs at a time */
	for (i = 0; i < n; i += 2 * ANNOY_RUN, plan += 2)
	{
		Run			first = fetch_run(plan, in, factors);
		Run			second = fetch_run(plan + 1, in, factors);
		FourRegisters r;

		r.x0 = transform_register(first.low);
		r.x1 = transform_register(first.high);
		r.x2 = transform_register(second.low);
		r.x3 = transform_register(second.high);
		store_four(out + i, WIDTH, butterfly_four(r));
	}

	/* two steps in each pass over memory */
	for (; distance * 4 <= n; distance *= 4)
		for (i = 0; i < n; i += 4 * distance)
			for (j = i; j < i + distance; j += WIDTH)
				store_four(out + j, distance,
						   butterfly_four(load_four(out + j, distance)));

	if (distance < n)
		transform_last_step(n, out);
}

/* The order of comparisons matters to nothing. */
AVX2 static inline float
reduce_maximum(__m256 x)
{
	__m128		four = _mm_max_ps(_mm256_castps256_ps128(x),
								  _mm256_extractf128_ps(x, 1));
	__m128		two = _mm_max_ps(four, _mm_movehl_ps(four, four));

	return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
}

AVX2 static float
largest_absolute(int n, const float *x)
{
	__m256		low = _mm256_setzero_ps();
	__m256		high = _mm256_setzero_ps();
	int			i;

	for (i = 0; i < n; i += ANNOY_RUN)
	{
		low = _mm256_max_ps(absolute(_mm256_loadu_ps(x + i)), low);
		high = _mm256_max_ps(absolute(_mm256_loadu_ps(x + i + WIDTH)), high);
	}

	return reduce_maximum(_mm256_max_ps(low, high));
}

AVX2 static int64_t
quantise(int n, const float *in, float inverse, int16_t *out)
{
	__m256		factor = _mm256_set1_ps(inverse);
	__m256i		lower_half = _mm256_set1_epi64x(0xFFFFFFFF);
	__m256i		sum = _mm256_setzero_si256();
	int64_t		parts[4];
	int			i;

	for (i = 0; i < n; i += ANNOY_RUN)
	{
		Run			run = load_run(in + i);
		__m256i		words = _mm256_packs_epi32(_mm256_cvtps_epi32(_mm256_mul_ps(run.low, factor)),
											   _mm256_cvtps_epi32(_mm256_mul_ps(run.high, factor)));
		__m256i		squares = _mm256_madd_epi16(words, words);

		_mm256_storeu_si256((__m256i *) (out + i),
							_mm256_permute4x64_epi64(words, _MM_SHUFFLE(3, 1, 2, 0)));
		sum = _mm256_add_epi64(sum, _mm256_and_si256(squares, lower_half));
		sum = _mm256_add_epi64(sum, _mm256_srli_epi64(squares, 32));
	}

	_mm256_storeu_si256((__m256i *) parts, sum);
	return (parts[0] + parts[1]) + (parts[2] + parts[3]);
}

AVX2 static inline __m256d
add_change(__m256d sum, __m256d old, __m256d new)
{
	__m256d		change = _mm256_sub_pd(old, new);

	return _mm256_add_pd(sum, _mm256_mul_pd(change, change));
}

AVX2 static double
requantise(int n, const int16_t *quantised, float scale, float *x)
{
	__m256		factor = _mm256_set1_ps(scale);
	DoubleSums	sum = zero_doubles();
	int			i;

	for (i = 0; i < n; i += ANNOY_RUN)
	{
		Run			old = load_run(x + i);
		__m256		low = _mm256_mul_ps(factor, load_words(quantised + i));
		__m256		high = _mm256_mul_ps(factor,
										 load_words(quantised + i + WIDTH));

		_mm256_storeu_ps(x + i, low);
		_mm256_storeu_ps(x + i + WIDTH, high);
		sum.x0 = add_change(sum.x0, low_doubles(old.low), low_doubles(low));
		sum.x1 = add_change(sum.x1, high_doubles(old.low), high_doubles(low));
		sum.x2 = add_change(sum.x2, low_doubles(old.high), low_doubles(high));
		sum.x3 = add_change(sum.x3, high_doubles(old.high),
							high_doubles(high));
	}

	return reduce_doubles(sum);
}

/* One half of the sums of a code; returns 8 bits of it. */
typedef struct CodeSums
{
	__m256		squares;
	__m256		sizes;
	__m256		signed_centroid;
} CodeSums;

AVX2 static inline uint8_t
encode_eight(const float *x, const int8_t *centroid, __m256 factor,
			 CodeSums *sums)
{
	__m256		c = _mm256_mul_ps(factor, load_bytes(centroid));
	__m256		residual = _mm256_sub_ps(_mm256_loadu_ps(x), c);
	__m256		positive = _mm256_cmp_ps(residual, _mm256_setzero_ps(),
										 _CMP_GE_OQ);
	__m256		sign = _mm256_andnot_ps(positive, _mm256_set1_ps(-0.0f));

	sums->squares = _mm256_add_ps(sums->squares,
								  _mm256_mul_ps(residual, residual));
	sums->sizes = _mm256_add_ps(sums->sizes, absolute(residual));
	sums->signed_centroid = _mm256_add_ps(sums->signed_centroid,
										  _mm256_xor_ps(c, sign));
	return (uint8_t) _mm256_movemask_ps(positive);
}

AVX2 static inline float
reduce_halves(__m256 low, __m256 high)
{
	Run			run = {low, high};

	return reduce_run(run);
}

AVX2 static void
encode(int n, const float *x, const int8_t *centroid, float scale,
	   uint8_t *code, float sums[3])
{
	__m256		factor = _mm256_set1_ps(scale);
	CodeSums	low;
	CodeSums	high;
	int			i;

	low.squares = low.sizes = low.signed_centroid = _mm256_setzero_ps();
	high = low;
	for (i = 0; i < n; i += ANNOY_RUN)
	{
		code[i / 8] = encode_eight(x + i, centroid + i, factor, &low);
		code[i / 8 + 1] = encode_eight(x + i + WIDTH, centroid + i + WIDTH,
									   factor, &high);
	}

	sums[0] = reduce_halves(low.squares, high.squares);
	sums[1] = reduce_halves(low.sizes, high.sizes);
	sums[2] = reduce_halves(low.signed_centroid, high.signed_centroid);
}

/* One half of the sums of levels. */
typedef struct LevelSums
{
	__m256		sizes;
	__m256		signed_centroid;
} LevelSums;

/*
 * Eight levels, a byte of each plane.  A bit is moved to the sign, from where
 * it is taken; its place is inverted if the residual is negative.
 */
AVX2 static inline void
encode_eight_levels(const float *x, const int8_t *centroid, __m256 factor,
					int bits, __m256 inverse_step, uint8_t *planes,
					int plane, LevelSums *sums)
{
	__m256		largest = _mm256_set1_ps((float) ((1 << (bits - 1)) - 1));
	__m256		c = _mm256_mul_ps(factor, load_bytes(centroid));
	__m256		residual = _mm256_sub_ps(_mm256_loadu_ps(x), c);
	__m256		positive = _mm256_cmp_ps(residual, _mm256_setzero_ps(),
										 _CMP_GE_OQ);
	__m256		sign = _mm256_andnot_ps(positive, _mm256_set1_ps(-0.0f));
	__m256		size = absolute(residual);
	__m256i		steps = _mm256_cvttps_epi32(_mm256_min_ps(_mm256_mul_ps(size, inverse_step),
														  largest));
	__m256		weight = _mm256_add_ps(_mm256_cvtepi32_ps(steps),
									   _mm256_set1_ps(0.5f));
	int			p;

	sums->sizes = _mm256_add_ps(sums->sizes, _mm256_mul_ps(size, weight));
	sums->signed_centroid = _mm256_add_ps(sums->signed_centroid,
										  _mm256_mul_ps(_mm256_xor_ps(c, sign),
														weight));
	steps = _mm256_slli_epi32(steps, 33 - bits);
	for (p = 0; p < bits - 1; p++)
	{
		__m256		bit = _mm256_xor_ps(_mm256_castsi256_ps(steps), sign);

		planes[p * plane] = (uint8_t) _mm256_movemask_ps(bit);
		steps = _mm256_add_epi32(steps, steps);
	}
}

AVX2 static void
encode_levels(int n, const float *x, const int8_t *centroid, float scale,
			  int bits, float inverse_step, uint8_t *planes, float sums[2])
{
	__m256		factor = _mm256_set1_ps(scale);
	__m256		inverse = _mm256_set1_ps(inverse_step);
	LevelSums	low;
	LevelSums	high;
	int			i;

	low.sizes = low.signed_centroid = _mm256_setzero_ps();
	high = low;
	for (i = 0; i < n; i += ANNOY_RUN)
	{
		encode_eight_levels(x + i, centroid + i, factor, bits, inverse,
							planes + i / 8, n / 8, &low);
		encode_eight_levels(x + i + WIDTH, centroid + i + WIDTH, factor, bits,
							inverse, planes + i / 8 + 1, n / 8, &high);
	}

	sums[0] = reduce_halves(low.sizes, high.sizes);
	sums[1] = reduce_halves(low.signed_centroid, high.signed_centroid);
}

AVX2 static inline __m256
add_product_terms(__m256 sum, const float *x, const int8_t *centroid,
				  __m256 factor)
{
	__m256		c = _mm256_mul_ps(factor, load_bytes(centroid));
	__m256		value = _mm256_loadu_ps(x);
	__m256		rest = _mm256_sub_ps(c, _mm256_add_ps(value, value));

	return _mm256_add_ps(sum, _mm256_mul_ps(c, rest));
}

AVX2 static inline __m256
subtract_centre_terms(__m256 sum, const float *x, const float *centre)
{
	__m256		value = _mm256_loadu_ps(x);

	return _mm256_sub_ps(sum, _mm256_mul_ps(_mm256_add_ps(value, value),
											_mm256_loadu_ps(centre)));
}

AVX2 static float
product_terms(int n, const float *x, const int8_t *centroid, float scale,
			  const float *centre)
{
	__m256		factor = _mm256_set1_ps(scale);
	Run			sum = {_mm256_setzero_ps(), _mm256_setzero_ps()};
	int			i;

	for (i = 0; i < n; i += ANNOY_RUN)
	{
		sum.low = add_product_terms(sum.low, x + i, centroid + i, factor);
		sum.high = add_product_terms(sum.high, x + i + WIDTH,
									 centroid + i + WIDTH, factor);
	}
	if (centre != NULL)
		for (i = 0; i < n; i += ANNOY_RUN)
		{
			sum.low = subtract_centre_terms(sum.low, x + i, centre + i);
			sum.high = subtract_centre_terms(sum.high, x + i + WIDTH,
											 centre + i + WIDTH);
		}

	return reduce_run(sum);
}

/* Sums of groups of 4, in each of their lanes. */
AVX2 static inline __m256
add_groups(__m256 x)
{
	x = _mm256_add_ps(x, _mm256_permute_ps(x, _MM_SHUFFLE(2, 3, 0, 1)));
	return _mm256_add_ps(x, _mm256_permute_ps(x, _MM_SHUFFLE(1, 0, 3, 2)));
}

AVX2 static double
measure_groups(int n, const float *x, float *largest)
{
	DoubleSums	sum = zero_doubles();
	__m256		maximum = _mm256_setzero_ps();
	int			i;

	for (i = 0; i < n; i += ANNOY_RUN)
	{
		__m256		low = absolute(_mm256_loadu_ps(x + i));
		__m256		high = absolute(_mm256_loadu_ps(x + i + WIDTH));

		sum.x0 = _mm256_add_pd(sum.x0, low_doubles(low));
		sum.x1 = _mm256_add_pd(sum.x1, high_doubles(low));
		sum.x2 = _mm256_add_pd(sum.x2, low_doubles(high));
		sum.x3 = _mm256_add_pd(sum.x3, high_doubles(high));
		maximum = _mm256_max_ps(maximum, _mm256_max_ps(add_groups(low),
													   add_groups(high)));
	}

	*largest = reduce_maximum(maximum);
	return reduce_doubles(sum);
}

/* Eight entries, rounded to 32-bit integers. */
AVX2 static inline __m256i
finish_entries(__m256 low, __m256 high, __m256 inverse_delta)
{
	__m256		steps = _mm256_mul_ps(_mm256_add_ps(low, high), inverse_delta);

	return _mm256_cvttps_epi32(_mm256_add_ps(steps, _mm256_set1_ps(0.5f)));
}

/*
 * One group: "gains" are those of its four elements for a cleared bit, then
 * those for a set one.
 */
AVX2 static inline __m128i
make_entries(const float *q, __m256 inverse_delta)
{
	__m128		zero = _mm_setzero_ps();
	__m128		doubled = _mm_mul_ps(_mm_loadu_ps(q), _mm_set1_ps(2.0f));
	__m128		set = _mm_max_ps(doubled, zero);
	__m128		cleared = _mm_max_ps(_mm_sub_ps(zero, doubled), zero);
	__m256		gains = _mm256_insertf128_ps(_mm256_castps128_ps256(cleared),
											 set, 1);
	__m256		gain0 = _mm256_permutevar8x32_ps(gains,
												 _mm256_setr_epi32(0, 4, 0, 4, 0, 4, 0, 4));
	__m256		gain1 = _mm256_permutevar8x32_ps(gains,
												 _mm256_setr_epi32(1, 1, 5, 5, 1, 1, 5, 5));
	__m256		gain2 = _mm256_permutevar8x32_ps(gains,
												 _mm256_setr_epi32(2, 2, 2, 2, 6, 6, 6, 6));
	__m256		gain3 = _mm256_permutevar8x32_ps(gains, _mm256_set1_epi32(3));
	__m256		gain3_set = _mm256_permutevar8x32_ps(gains,
													 _mm256_set1_epi32(7));
	__m256		low = _mm256_add_ps(gain0, gain1);
	__m256i		first = finish_entries(low, _mm256_add_ps(gain2, gain3),
									   inverse_delta);
	__m256i		last = finish_entries(low, _mm256_add_ps(gain2, gain3_set),
									  inverse_delta);
	__m256i		words = _mm256_permute4x64_epi64(_mm256_packus_epi32(first, last),
												 _MM_SHUFFLE(3, 1, 2, 0));

	return _mm_packus_epi16(_mm256_castsi256_si128(words),
							_mm256_extracti128_si256(words, 1));
}

AVX2 static void
fill_table(int n, const float *q, float inverse_delta, uint8_t *table)
{
	__m256		inverse = _mm256_set1_ps(inverse_delta);
	uint8_t    *upper = table + 2 * n;	/* tables of odd groups */
	int			i;

	for (i = 0; i < n; i += 8, table += 16, upper += 16)
	{
		_mm_storeu_si128((__m128i *) table, make_entries(q + i, inverse));
		_mm_storeu_si128((__m128i *) upper, make_entries(q + i + 4, inverse));
	}
}

/*
 * Eight bytes of each of 16 codes become eight rows.  Each stage interleaves
 * registers whose numbers differ by half of what is left, so that in the end
 * the codes are in order.
 */
AVX2 static inline void
transpose_eight(int entries, const uint8_t *in, size_t stride, uint8_t *out)
{
	__m128i		x[ANNOY_BLOCK_ENTRIES];
	__m128i		y[8];
	int			i;

	for (i = 0; i < ANNOY_BLOCK_ENTRIES; i++)
		x[i] = i < entries ?
			_mm_loadl_epi64((const __m128i *) (in + (size_t) i * stride)) :
			_mm_setzero_si128();

	for (i = 0; i < 8; i++)
		y[i] = _mm_unpacklo_epi8(x[i], x[i + 8]);
	for (i = 0; i < 4; i++)
	{
		x[i] = _mm_unpacklo_epi8(y[i], y[i + 4]);
		x[i + 4] = _mm_unpackhi_epi8(y[i], y[i + 4]);
	}
	/* x: columns 0-3 of codes i mod 4 in 0 .. 3, columns 4-7 in 4 .. 7 */
	for (i = 0; i < 2; i++)
	{
		y[i] = _mm_unpacklo_epi8(x[i], x[i + 2]);
		y[i + 2] = _mm_unpackhi_epi8(x[i], x[i + 2]);
		y[i + 4] = _mm_unpacklo_epi8(x[i + 4], x[i + 6]);
		y[i + 6] = _mm_unpackhi_epi8(x[i + 4], x[i + 6]);
	}
	/* y: two columns in each pair */
	for (i = 0; i < 8; i += 2)
	{
		_mm_storeu_si128((__m128i *) (out + i * ANNOY_BLOCK_ENTRIES),
						 _mm_unpacklo_epi8(y[i], y[i + 1]));
		_mm_storeu_si128((__m128i *) (out + (i + 1) * ANNOY_BLOCK_ENTRIES),
						 _mm_unpackhi_epi8(y[i], y[i + 1]));
	}
}

/* The last eight bytes may have been done in part already. */
AVX2 void
AnnoyAvx2TransposeCodes(int entries, int rows, const uint8_t *in,
						size_t stride, uint8_t *out)
{
	int			r;

	if (rows < 8)
	{
		AnnoyPlainTransposeCodes(entries, rows, in, stride, out);
		return;
	}

	for (r = 0; r + 8 <= rows; r += 8)
	{
		/* a constant number of codes needs no branches */
		if (entries == ANNOY_BLOCK_ENTRIES)
			transpose_eight(ANNOY_BLOCK_ENTRIES, in + r, stride,
							out + r * ANNOY_BLOCK_ENTRIES);
		else
			transpose_eight(entries, in + r, stride,
							out + r * ANNOY_BLOCK_ENTRIES);
	}
	if (r < rows)
		transpose_eight(entries, in + rows - 8, stride,
						out + (rows - 8) * ANNOY_BLOCK_ENTRIES);
}

void
AnnoyAddAvx2SketchKernels(AnnoyKernels *kernels)
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

/*-------------------------------------------------------------------------
 *
 * kernel_avx2.c
 *	  The kernels for x86 processors with AVX2: distances and ranking.
 *
 * Results are those of kernel_plain.c to the bit; see there and in
 * kernel_avx512.c, which this file follows in everything, for what that
 * forbids: above all a fused multiply-add.
 *
 *-------------------------------------------------------------------------
 */
#include <stddef.h>

#include "arith/kernel.h"
#include "arith/kernel_sets.h"

#if defined(__x86_64__) && defined(__GNUC__)

#include <float.h>
#include <immintrin.h>
#include <string.h>

#define AVX2 __attribute__((target("avx2")))

/* Floats of one register. */
#define WIDTH 8

/*
 * A run of elements, or their sums: lanes 0..7, 8..15, 16..23 and 24..31 of
 * ANNOY_KERNEL_LANES.  Members instead of an array, because compilers keep
 * them in registers without having to unroll a loop first.
 */
typedef struct Run
{
	__m256		x0;
	__m256		x1;
	__m256		x2;
	__m256		x3;
} Run;

AVX2 static inline Run
zero_run(void)
{
	Run			run;

	run.x0 = run.x1 = run.x2 = run.x3 = _mm256_setzero_ps();
	return run;
}

AVX2 static inline Run
load_run(const float *x)
{
	Run			run;

	run.x0 = _mm256_loadu_ps(x);
	run.x1 = _mm256_loadu_ps(x + WIDTH);
	run.x2 = _mm256_loadu_ps(x + 2 * WIDTH);
	run.x3 = _mm256_loadu_ps(x + 3 * WIDTH);
	return run;
}

/* The first of eight elements, as many as there are, then zeroes. */
AVX2 static inline __m256
load_present(const float *x, int count)
{
	__m256i		lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);

	if (count <= 0)
		return _mm256_setzero_ps();
	return _mm256_maskload_ps(x, _mm256_cmpgt_epi32(_mm256_set1_epi32(count),
													lane));
}

/*
 * An incomplete run, filled up with zeroes: adding those changes no sum, since
 * one that starts at +0 is never -0.
 */
AVX2 static inline Run
load_tail(const float *x, int count)
{
	Run			run;

	run.x0 = load_present(x, count);
	run.x1 = load_present(x + WIDTH, count - WIDTH);
	run.x2 = load_present(x + 2 * WIDTH, count - 2 * WIDTH);
	run.x3 = load_present(x + 3 * WIDTH, count - 3 * WIDTH);
	return run;
}

/* sum[i] += sum[i + 16], then 8, 4, 2 and 1 */
AVX2 static inline float
reduce_run(Run sum)
{
	__m256		eight = _mm256_add_ps(_mm256_add_ps(sum.x0, sum.x2),
									  _mm256_add_ps(sum.x1, sum.x3));
	__m128		four = _mm_add_ps(_mm256_castps256_ps128(eight),
								  _mm256_extractf128_ps(eight, 1));
	__m128		two = _mm_add_ps(four, _mm_movehl_ps(four, four));

	return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

AVX2 static inline __m256
add_square(__m256 sum, __m256 a, __m256 b)
{
	__m256		difference = _mm256_sub_ps(a, b);

	return _mm256_add_ps(sum, _mm256_mul_ps(difference, difference));
}

AVX2 static inline __m256
add_product(__m256 sum, __m256 a, __m256 b)
{
	return _mm256_add_ps(sum, _mm256_mul_ps(a, b));
}

AVX2 static inline __m256
add_absolute(__m256 sum, __m256 a, __m256 b)
{
	__m256		sign = _mm256_set1_ps(-0.0f);

	return _mm256_add_ps(sum, _mm256_andnot_ps(sign, _mm256_sub_ps(a, b)));
}

AVX2 static inline Run
add_squares(Run sum, Run a, Run b)
{
	sum.x0 = add_square(sum.x0, a.x0, b.x0);
	sum.x1 = add_square(sum.x1, a.x1, b.x1);
	sum.x2 = add_square(sum.x2, a.x2, b.x2);
	sum.x3 = add_square(sum.x3, a.x3, b.x3);
	return sum;
}

AVX2 static inline Run
add_products(Run sum, Run a, Run b)
{
	sum.x0 = add_product(sum.x0, a.x0, b.x0);
	sum.x1 = add_product(sum.x1, a.x1, b.x1);
	sum.x2 = add_product(sum.x2, a.x2, b.x2);
	sum.x3 = add_product(sum.x3, a.x3, b.x3);
	return sum;
}

AVX2 static inline Run
add_absolutes(Run sum, Run a, Run b)
{
	sum.x0 = add_absolute(sum.x0, a.x0, b.x0);
	sum.x1 = add_absolute(sum.x1, a.x1, b.x1);
	sum.x2 = add_absolute(sum.x2, a.x2, b.x2);
	sum.x3 = add_absolute(sum.x3, a.x3, b.x3);
	return sum;
}

AVX2 static float
l2_squared(int n, const float *a, const float *b)
{
	Run			sum = zero_run();
	int			i;

	for (i = 0; i + ANNOY_KERNEL_LANES <= n; i += ANNOY_KERNEL_LANES)
		sum = add_squares(sum, load_run(a + i), load_run(b + i));
	if (i < n)
		sum = add_squares(sum, load_tail(a + i, n - i),
						  load_tail(b + i, n - i));

	return reduce_run(sum);
}

AVX2 static float
inner_product(int n, const float *a, const float *b)
{
	Run			sum = zero_run();
	int			i;

	for (i = 0; i + ANNOY_KERNEL_LANES <= n; i += ANNOY_KERNEL_LANES)
		sum = add_products(sum, load_run(a + i), load_run(b + i));
	if (i < n)
		sum = add_products(sum, load_tail(a + i, n - i),
						  load_tail(b + i, n - i));

	return reduce_run(sum);
}

AVX2 static float
l1(int n, const float *a, const float *b)
{
	Run			sum = zero_run();
	int			i;

	for (i = 0; i + ANNOY_KERNEL_LANES <= n; i += ANNOY_KERNEL_LANES)
		sum = add_absolutes(sum, load_run(a + i), load_run(b + i));
	if (i < n)
		sum = add_absolutes(sum, load_tail(a + i, n - i),
						  load_tail(b + i, n - i));

	return reduce_run(sum);
}

AVX2 static void
inner_products(int n, const float *a, const float *b, float out[3])
{
	Run			ab = zero_run();
	Run			aa = zero_run();
	Run			bb = zero_run();
	int			i;

	for (i = 0; i < n; i += ANNOY_KERNEL_LANES)
	{
		int			count = n - i;
		Run			x;
		Run			y;

		if (count >= ANNOY_KERNEL_LANES)
		{
			x = load_run(a + i);
			y = load_run(b + i);
		}
		else
		{
			x = load_tail(a + i, count);
			y = load_tail(b + i, count);
		}
		ab = add_products(ab, x, y);
		aa = add_products(aa, x, x);
		bb = add_products(bb, y, y);
	}

	out[0] = reduce_run(ab);
	out[1] = reduce_run(aa);
	out[2] = reduce_run(bb);
}

AVX2 static inline __m256i
load_words(const int16_t *b)
{
	return _mm256_loadu_si256((const __m256i *) b);
}

/* Adds 16 products of int8 and int16, in pairs, to eight sums. */
AVX2 static inline __m256i
add_quantised(__m256i sum, const int8_t *a, __m256i words)
{
	__m128i		bytes = _mm_loadu_si128((const __m128i *) a);

	return _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_cvtepi8_epi16(bytes),
												   words));
}

/* The sum of eight 32-bit numbers. */
AVX2 static inline int32_t
reduce_integers(__m256i sum)
{
	__m128i		four = _mm_add_epi32(_mm256_castsi256_si128(sum),
									 _mm256_extracti128_si256(sum, 1));

	four = _mm_add_epi32(four, _mm_shuffle_epi32(four, _MM_SHUFFLE(1, 0, 3, 2)));
	four = _mm_add_epi32(four, _mm_shuffle_epi32(four, _MM_SHUFFLE(2, 3, 0, 1)));
	return _mm_cvtsi128_si32(four);
}

AVX2 static int32_t
dot_quantised(int n, const int8_t *a, const int16_t *b)
{
	__m256i		even = _mm256_setzero_si256();
	__m256i		odd = _mm256_setzero_si256();
	int			i;

	for (i = 0; i + 32 <= n; i += 32)
	{
		even = add_quantised(even, a + i, load_words(b + i));
		odd = add_quantised(odd, a + i + 16, load_words(b + i + 16));
	}
	if (i < n)
		even = add_quantised(even, a + i, load_words(b + i));

	return reduce_integers(_mm256_add_epi32(even, odd));
}

/* The sum of each of four registers, by horizontal adds of all together. */
AVX2 static inline __m128i
reduce_four_rows(__m256i sum0, __m256i sum1, __m256i sum2, __m256i sum3)
{
	/* in both halves pairs of rows 0 and 1, then one lane for each row */
	__m256i		sum01 = _mm256_hadd_epi32(sum0, sum1);
	__m256i		sum23 = _mm256_hadd_epi32(sum2, sum3);
	__m256i		sum = _mm256_hadd_epi32(sum01, sum23);

	return _mm_add_epi32(_mm256_castsi256_si128(sum),
						 _mm256_extracti128_si256(sum, 1));
}

/* The products of four rows with b, whose loads they share. */
AVX2 static inline void
multiply_four_rows(int n, const int8_t *row0, size_t stride, const int16_t *b,
				   int32_t *out)
{
	const int8_t *row1 = row0 + stride;
	const int8_t *row2 = row1 + stride;
	const int8_t *row3 = row2 + stride;
	__m256i		sum0 = _mm256_setzero_si256();
	__m256i		sum1 = _mm256_setzero_si256();
	__m256i		sum2 = _mm256_setzero_si256();
	__m256i		sum3 = _mm256_setzero_si256();
	int			i;

	for (i = 0; i < n; i += 16)
	{
		__m256i		words = load_words(b + i);

		sum0 = add_quantised(sum0, row0 + i, words);
		sum1 = add_quantised(sum1, row1 + i, words);
		sum2 = add_quantised(sum2, row2 + i, words);
		sum3 = add_quantised(sum3, row3 + i, words);
	}

	_mm_storeu_si128((__m128i *) out, reduce_four_rows(sum0, sum1, sum2, sum3));
}

AVX2 static void
dot_quantised_many(int n, int count, const int8_t *vectors, size_t stride,
				   const int16_t *b, int32_t *out)
{
	int			k = 0;

	for (; k + 4 <= count; k += 4)
		multiply_four_rows(n, vectors + (size_t) k * stride, stride, b,
						   out + k);
	for (; k < count; k++)
		out[k] = dot_quantised(n, vectors + (size_t) k * stride, b);
}

/* Those of 16 elements whose bits are set in the code, else zero. */
AVX2 static inline __m256i
select_words(const uint8_t *code, const int16_t *b)
{
	const __m256i bit_of_lane = _mm256_setr_epi16(1, 2, 4, 8, 16, 32, 64, 128,
												  256, 512, 1024, 2048, 4096,
												  8192, 16384, INT16_MIN);
	int16_t		bits;
	__m256i		selected;

	memcpy(&bits, code, sizeof(bits));
	selected = _mm256_and_si256(_mm256_set1_epi16(bits), bit_of_lane);
	selected = _mm256_cmpeq_epi16(selected, bit_of_lane);
	return _mm256_and_si256(selected, load_words(b));
}

/* Four elements of at most 8191 fit in 16 bits, and are added there. */
AVX2 static int32_t
sum_selected(int n, const uint8_t *code, const int16_t *b)
{
	const __m256i ones = _mm256_set1_epi16(1);
	__m256i		sum = _mm256_setzero_si256();
	__m256i		words;
	int			i;

	for (i = 0; i + 64 <= n; i += 64)
	{
		const uint8_t *bits = code + i / 8;
		__m256i		first = _mm256_add_epi16(select_words(bits, b + i),
											 select_words(bits + 2, b + i + 16));
		__m256i		last = _mm256_add_epi16(select_words(bits + 4, b + i + 32),
											select_words(bits + 6, b + i + 48));

		words = _mm256_add_epi16(first, last);
		sum = _mm256_add_epi32(sum, _mm256_madd_epi16(words, ones));
	}

	/* at most three more */
	words = _mm256_setzero_si256();
	for (; i < n; i += 16)
		words = _mm256_add_epi16(words, select_words(code + i / 8, b + i));

	return reduce_integers(_mm256_add_epi32(sum, _mm256_madd_epi16(words, ones)));
}

/*
 * 32 elements split into bytes, element = 256 * high + low, in the order that
 * packing leaves: those of bytes 0, 2, 1 and 3 of their code.
 */
typedef struct SplitElements
{
	__m256i		low;			/* unsigned */
	__m256i		high;			/* signed */
} SplitElements;

AVX2 static inline SplitElements
split_elements(__m256i first, __m256i last)
{
	const __m256i low_byte = _mm256_set1_epi16(0xFF);
	SplitElements split;

	split.low = _mm256_packus_epi16(_mm256_and_si256(first, low_byte),
									_mm256_and_si256(last, low_byte));
	split.high = _mm256_packs_epi16(_mm256_srai_epi16(first, 8),
									_mm256_srai_epi16(last, 8));
	return split;
}

/*
 * Sums of pairs of bytes in 16 lanes.  Each addition brings at most 2 * 255,
 * so that 64 fit in 16 bits as unsigned numbers; the high bytes, -32 .. 31,
 * fit anyway.
 */
typedef struct SelectedSums
{
	__m256i		low;
	__m256i		high;
} SelectedSums;

/* Adds those of 32 elements whose bits are set. */
AVX2 static inline SelectedSums
add_selected(SelectedSums sums, int32_t bits, SplitElements split)
{
	const __m256i byte_of_lane =
		_mm256_setr_epi8(0, 0, 0, 0, 0, 0, 0, 0, 2, 2, 2, 2, 2, 2, 2, 2,
						 1, 1, 1, 1, 1, 1, 1, 1, 3, 3, 3, 3, 3, 3, 3, 3);
	const __m256i bit_of_lane =
		_mm256_set1_epi64x((int64_t) UINT64_C(0x8040201008040201));
	__m256i		selected = _mm256_set1_epi32(bits);

	/*
	 * To 1 and 0, which are factors for unsigned and for signed bytes.  What
	 * clang would put in place of the broadcast and of the minimum is slower
	 * than the other kernel; the empty statements keep it from that.
	 */
	__asm__("" : "+x"(selected));
	selected = _mm256_shuffle_epi8(selected, byte_of_lane);
	selected = _mm256_and_si256(selected, bit_of_lane);
	__asm__("" : "+x"(selected));
	selected = _mm256_min_epu8(selected, _mm256_set1_epi8(1));

	sums.low = _mm256_add_epi16(sums.low,
								_mm256_maddubs_epi16(split.low, selected));
	sums.high = _mm256_add_epi16(sums.high,
								 _mm256_maddubs_epi16(selected, split.high));
	return sums;
}

/* The bits of 32 elements. */
AVX2 static inline int32_t
load_bits(const uint8_t *code)
{
	int32_t		bits;

	memcpy(&bits, code, sizeof(bits));
	return bits;
}

/* Those of 16 elements, and none of what lies behind them. */
AVX2 static inline int32_t
load_last_bits(const uint8_t *code)
{
	uint16_t	bits;

	memcpy(&bits, code, sizeof(bits));
	return bits;
}

/* Puts both halves together, in eight sums. */
AVX2 static inline __m256i
join_sums(SelectedSums sums)
{
	const __m256i low_word = _mm256_set1_epi32(0xFFFF);
	__m256i		low = _mm256_add_epi32(_mm256_and_si256(sums.low, low_word),
									   _mm256_srli_epi32(sums.low, 16));

	return _mm256_add_epi32(low, _mm256_madd_epi16(sums.high,
												   _mm256_set1_epi16(256)));
}

/* The elements of one quantised sketch; see dot_quantised in kernel.h. */
#define MAX_SPLITS (1536 / 32)

/* Splits n elements, with zeroes after them. */
AVX2 static inline void
split_all_elements(int n, const int16_t *b, SplitElements *splits)
{
	int			i;

	for (i = 0; i + 32 <= n; i += 32)
		splits[i / 32] = split_elements(load_words(b + i),
										load_words(b + i + 16));
	if (i < n)
		splits[i / 32] = split_elements(load_words(b + i),
										_mm256_setzero_si256());
}

/* The sums that four codes select, which share the loads of elements. */
AVX2 static inline void
sum_four_selected(int n, const uint8_t *code0, size_t stride,
				  const SplitElements *splits, int32_t *out)
{
	const __m256i zero = _mm256_setzero_si256();
	const uint8_t *code1 = code0 + stride;
	const uint8_t *code2 = code1 + stride;
	const uint8_t *code3 = code2 + stride;
	SelectedSums sums0 = {zero, zero};
	SelectedSums sums1 = {zero, zero};
	SelectedSums sums2 = {zero, zero};
	SelectedSums sums3 = {zero, zero};
	int			i;

	for (i = 0; i + 32 <= n; i += 32)
	{
		SplitElements split = splits[i / 32];

		sums0 = add_selected(sums0, load_bits(code0 + i / 8), split);
		sums1 = add_selected(sums1, load_bits(code1 + i / 8), split);
		sums2 = add_selected(sums2, load_bits(code2 + i / 8), split);
		sums3 = add_selected(sums3, load_bits(code3 + i / 8), split);
	}

	if (i < n)
	{
		SplitElements split = splits[i / 32];

		sums0 = add_selected(sums0, load_last_bits(code0 + i / 8), split);
		sums1 = add_selected(sums1, load_last_bits(code1 + i / 8), split);
		sums2 = add_selected(sums2, load_last_bits(code2 + i / 8), split);
		sums3 = add_selected(sums3, load_last_bits(code3 + i / 8), split);
	}

	_mm_storeu_si128((__m128i *) out,
					 reduce_four_rows(join_sums(sums0), join_sums(sums1),
									  join_sums(sums2), join_sums(sums3)));
}

/*
 * Split into bytes, a register has twice as many elements; one code alone
 * would not repay that.
 */
AVX2 static void
sum_selected_many(int n, int count, const uint8_t *codes, size_t stride,
				  const int16_t *b, int32_t *out)
{
	SplitElements splits[MAX_SPLITS];
	int			k = 0;

	if (count >= 4)
		split_all_elements(n, b, splits);
	for (; k + 4 <= count; k += 4)
		sum_four_selected(n, codes + (size_t) k * stride, stride, splits,
						  out + k);
	for (; k < count; k++)
		out[k] = sum_selected(n, codes + (size_t) k * stride, b);
}

/* Those of 32 bytes whose bits are set become 255, in order. */
AVX2 static inline __m256i
spread_bits(int32_t bits)
{
	const __m256i byte_of_lane =
		_mm256_setr_epi8(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1,
						 2, 2, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3);
	const __m256i bit_of_lane =
		_mm256_set1_epi64x((int64_t) UINT64_C(0x8040201008040201));
	__m256i		spread = _mm256_shuffle_epi8(_mm256_set1_epi32(bits),
											 byte_of_lane);

	return _mm256_cmpeq_epi8(_mm256_and_si256(spread, bit_of_lane),
							 bit_of_lane);
}

/* Twice the levels and a further bit; a bit that is set is -1. */
AVX2 static inline __m256i
append_bits(__m256i levels, int32_t bits)
{
	return _mm256_add_epi8(_mm256_add_epi8(levels, levels), spread_bits(bits));
}

/* Products of the negated levels of 16 elements with b. */
AVX2 static inline __m256i
multiply_levels(__m128i levels, const int16_t *b)
{
	return _mm256_madd_epi16(_mm256_cvtepi8_epi16(levels), load_words(b));
}

/* plane: bytes of one; bits: a constant, once inlined */
AVX2 static inline __attribute__((always_inline)) int32_t
sum_levels_of(int bits, size_t plane, const uint8_t *code,
			  const uint8_t *planes, const int16_t *b)
{
	const uint8_t *whole = code + plane / 4 * 4;
	__m256i		low = _mm256_setzero_si256();
	__m256i		high = _mm256_setzero_si256();
	__m256i		levels;

	for (; code < whole; code += 4, planes += 4, b += 32)
	{
		levels = append_bits(spread_bits(load_bits(code)), load_bits(planes));
		if (bits > 2)
			levels = append_bits(levels, load_bits(planes + plane));
		if (bits > 3)
			levels = append_bits(levels, load_bits(planes + 2 * plane));
		low = _mm256_sub_epi32(low, multiply_levels(_mm256_castsi256_si128(levels), b));
		high = _mm256_sub_epi32(high, multiply_levels(_mm256_extracti128_si256(levels, 1),
													  b + 16));
	}

	if (plane % 4 != 0)
	{
		levels = append_bits(spread_bits(load_last_bits(code)),
							 load_last_bits(planes));
		if (bits > 2)
			levels = append_bits(levels, load_last_bits(planes + plane));
		if (bits > 3)
			levels = append_bits(levels, load_last_bits(planes + 2 * plane));
		low = _mm256_sub_epi32(low, multiply_levels(_mm256_castsi256_si128(levels), b));
	}

	return reduce_integers(_mm256_add_epi32(low, high));
}

AVX2 static __attribute__((noinline)) int32_t
sum_levels_of_two(int n, const uint8_t *code, const uint8_t *planes,
				  const int16_t *b)
{
	return sum_levels_of(2, (size_t) n / 8, code, planes, b);
}

AVX2 static __attribute__((noinline)) int32_t
sum_levels_of_three(int n, const uint8_t *code, const uint8_t *planes,
					const int16_t *b)
{
	return sum_levels_of(3, (size_t) n / 8, code, planes, b);
}

AVX2 static __attribute__((noinline)) int32_t
sum_levels_of_four(int n, const uint8_t *code, const uint8_t *planes,
				   const int16_t *b)
{
	return sum_levels_of(4, (size_t) n / 8, code, planes, b);
}

AVX2 static int32_t
sum_levels(int n, int bits, const uint8_t *code, const uint8_t *planes,
		   const int16_t *b)
{
	switch (bits)
	{
		case 1:
			return sum_selected(n, code, b);
		case 2:
			return sum_levels_of_two(n, code, planes, b);
		case 3:
			return sum_levels_of_three(n, code, planes, b);
		default:
			return sum_levels_of_four(n, code, planes, b);
	}
}

AVX2 static void
dequantise(int n, const int16_t *in, float scale, float *out)
{
	__m256		factor = _mm256_set1_ps(scale);
	int			i;

	for (i = 0; i < n; i += WIDTH)
	{
		__m128i		words = _mm_loadu_si128((const __m128i *) (in + i));
		__m256		values = _mm256_cvtepi32_ps(_mm256_cvtepi16_epi32(words));

		_mm256_storeu_ps(out + i, _mm256_mul_ps(factor, values));
	}
}

/*
 * Table sums of 16 entries, two rows of codes side by side.  Seen as 16-bit
 * numbers, "mixed" adds both bytes of each pair, the odd entry's 256-fold,
 * modulo 2^16; "odd" adds the upper bytes alone.  The even entry's sum is what
 * remains when the odd one's is taken away.  192 rows bring 96 * 2 additions
 * of at most 255 into each lane, which fits in 16 bits.
 */
typedef struct TableSums
{
	__m256i		mixed;
	__m256i		odd;
} TableSums;

AVX2 static inline TableSums
add_lookups(TableSums sum, __m256i codes, __m256i low_table,
			__m256i high_table)
{
	__m256i		nibble = _mm256_set1_epi8(15);
	__m256i		low_index = _mm256_and_si256(codes, nibble);
	__m256i		high_index = _mm256_and_si256(_mm256_srli_epi16(codes, 4),
											  nibble);
	__m256i		low = _mm256_shuffle_epi8(low_table, low_index);
	__m256i		high = _mm256_shuffle_epi8(high_table, high_index);

	sum.mixed = _mm256_add_epi16(sum.mixed, _mm256_add_epi16(low, high));
	sum.odd = _mm256_add_epi16(sum.odd,
							   _mm256_add_epi16(_mm256_srli_epi16(low, 8),
												_mm256_srli_epi16(high, 8)));
	return sum;
}

/* The 32-bit sums of the lower and the upper lane of 16-bit numbers. */
AVX2 static inline __m256i
add_halves(__m256i x)
{
	return _mm256_add_epi32(_mm256_cvtepu16_epi32(_mm256_castsi256_si128(x)),
							_mm256_cvtepu16_epi32(_mm256_extracti128_si256(x, 1)));
}

/* Sums of entries 0..7 and 8..15. */
AVX2 static inline void
sum_tables(int rows, const uint8_t *table, const uint8_t *codes,
		   __m256i entries[2])
{
	const uint8_t *low_table = table;
	const uint8_t *high_table = table + rows * 16;
	const int	bytes = rows * 16;
	TableSums	sum = {_mm256_setzero_si256(), _mm256_setzero_si256()};
	__m256i		even;
	int			i;

	for (i = 0; i + 32 <= bytes; i += 32)
		sum = add_lookups(sum,
						  _mm256_loadu_si256((const __m256i *) (codes + i)),
						  _mm256_loadu_si256((const __m256i *) (low_table + i)),
						  _mm256_loadu_si256((const __m256i *) (high_table + i)));

	even = _mm256_sub_epi16(sum.mixed, _mm256_slli_epi16(sum.odd, 8));
	entries[0] = add_halves(_mm256_unpacklo_epi16(even, sum.odd));
	entries[1] = add_halves(_mm256_unpackhi_epi16(even, sum.odd));
}

/*
 * Lower bounds of eight entries.  The maximum instruction gives its second
 * operand if one is a NaN, which is what kernel.h asks for.
 */
AVX2 static inline __m256
lower_bounds(const AnnoyRankParameters *parameters, __m256i sums, __m256 f1,
			 __m256 f2)
{
	__m256		product = _mm256_add_ps(_mm256_mul_ps(_mm256_set1_ps(parameters->delta),
													  _mm256_cvtepi32_ps(sums)),
										_mm256_set1_ps(parameters->bias));
	__m256		estimate = _mm256_sub_ps(_mm256_add_ps(_mm256_set1_ps(parameters->base),
													   f2),
										 _mm256_mul_ps(f1, product));
	__m256		b = _mm256_mul_ps(f1, _mm256_set1_ps(parameters->width));
	__m256		zero = _mm256_setzero_ps();
	__m256		difference;

	if (parameters->linear)
		return _mm256_max_ps(_mm256_sub_ps(estimate, b),
							 _mm256_set1_ps(-FLT_MAX));

	estimate = _mm256_max_ps(estimate, zero);
	difference = _mm256_sub_ps(_mm256_sqrt_ps(_mm256_add_ps(_mm256_mul_ps(b, b),
															estimate)),
							   b);
	difference = _mm256_max_ps(difference, zero);
	return _mm256_mul_ps(difference, difference);
}

AVX2 static uint32_t
rank_block(const AnnoyRankParameters *parameters, const uint8_t *block,
		   float lower[16])
{
	const uint8_t *factors = block + parameters->rows * ANNOY_BLOCK_ENTRIES;
	__m256		threshold = _mm256_set1_ps(parameters->threshold);
	__m256i		sums[2];
	uint32_t	mask = 0;
	int			half;

	sum_tables(parameters->rows, parameters->table, block, sums);

	for (half = 0; half < 2; half++)
	{
		const uint8_t *at = factors + half * WIDTH * sizeof(float);
		__m256		f1 = _mm256_castsi256_ps(_mm256_loadu_si256((const __m256i *) at));
		__m256		f2 = _mm256_castsi256_ps(_mm256_loadu_si256((const __m256i *)
																(at + 16 * sizeof(float))));
		__m256		bounds = lower_bounds(parameters, sums[half], f1, f2);
		__m256		below = _mm256_cmp_ps(bounds, threshold, _CMP_LT_OQ);

		_mm256_storeu_ps(lower + half * WIDTH, bounds);
		mask |= (uint32_t) _mm256_movemask_ps(below) << (half * WIDTH);
	}

	return mask;
}

/* The other half of them is in kernel_avx2_sketch.c. */
static AnnoyKernels avx2_kernels = {
	.name = "avx2",
	.l2_squared = l2_squared,
	.inner_product = inner_product,
	.l1 = l1,
	.inner_products = inner_products,
	.dot_quantised = dot_quantised,
	.dot_quantised_many = dot_quantised_many,
	.sum_selected_many = sum_selected_many,
	.sum_levels = sum_levels,
	.dequantise = dequantise,
	.rank_block = rank_block
};

const AnnoyKernels *
AnnoyGetAvx2Kernels(void)
{
	if (__builtin_cpu_supports("avx2"))
	{
		AnnoyAddAvx2SketchKernels(&avx2_kernels);
		return &avx2_kernels;
	}

	return NULL;
}

#else

const AnnoyKernels *
AnnoyGetAvx2Kernels(void)
{
	return NULL;
}

#endif

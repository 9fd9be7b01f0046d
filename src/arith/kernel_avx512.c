/*-------------------------------------------------------------------------
 *
 * kernel_avx512.c
 *	  The kernels for x86 processors with AVX-512 (F, BW, DQ, VL): distances
 *	  and ranking.
 *
 * Results are those of kernel_plain.c to the bit.  Where a masked load puts
 * zeroes into lanes without an element, adding them changes nothing: a sum
 * that starts at +0 never becomes -0.  No fused multiply-add may appear here,
 * neither as an intrinsic nor by contraction (-ffp-contract=off), unless the
 * product is exact.
 *
 * The functions name their instruction set themselves, so that the file needs
 * no compiler flags of its own and nothing else in it, or inlined from a
 * header, can use instructions that the processor lacks.
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

#define AVX512 __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl")))

/* Floats of one register. */
#define WIDTH 16

/* Sums of lanes 0..15 and 16..31; see ANNOY_KERNEL_LANES. */
typedef struct LaneSums
{
	__m512		low;
	__m512		high;
} LaneSums;

/* Lanes first .. first + 15 of an incomplete run of count elements. */
AVX512 static inline __mmask16
lanes_present(int count, int first)
{
	int			present = count - first;

	if (present <= 0)
		return 0;
	if (present >= WIDTH)
		return 0xFFFF;
	return (__mmask16) ((1u << present) - 1);
}

/* sum[i] += sum[i + 8], then 4, 2 and 1: what follows the fold of 32 to 16. */
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

AVX512 static inline float
reduce_lanes(LaneSums sum)
{
	return reduce_sixteen(_mm512_add_ps(sum.low, sum.high));
}

AVX512 static inline __m512
add_square(__m512 sum, __m512 a, __m512 b)
{
	__m512		difference = _mm512_sub_ps(a, b);

	return _mm512_add_ps(sum, _mm512_mul_ps(difference, difference));
}

AVX512 static inline __m512
add_product(__m512 sum, __m512 a, __m512 b)
{
	return _mm512_add_ps(sum, _mm512_mul_ps(a, b));
}

AVX512 static inline __m512
add_absolute(__m512 sum, __m512 a, __m512 b)
{
	return _mm512_add_ps(sum, _mm512_abs_ps(_mm512_sub_ps(a, b)));
}

AVX512 static float
l2_squared(int n, const float *a, const float *b)
{
	LaneSums	sum = {_mm512_setzero_ps(), _mm512_setzero_ps()};
	int			i;

	for (i = 0; i + ANNOY_KERNEL_LANES <= n; i += ANNOY_KERNEL_LANES)
	{
		sum.low = add_square(sum.low, _mm512_loadu_ps(a + i),
							 _mm512_loadu_ps(b + i));
		sum.high = add_square(sum.high, _mm512_loadu_ps(a + i + WIDTH),
							  _mm512_loadu_ps(b + i + WIDTH));
	}

	if (i < n)
	{
		__mmask16	low = lanes_present(n - i, 0);
		__mmask16	high = lanes_present(n - i, WIDTH);

		sum.low = add_square(sum.low, _mm512_maskz_loadu_ps(low, a + i),
							 _mm512_maskz_loadu_ps(low, b + i));
		sum.high = add_square(sum.high,
							  _mm512_maskz_loadu_ps(high, a + i + WIDTH),
							  _mm512_maskz_loadu_ps(high, b + i + WIDTH));
	}

	return reduce_lanes(sum);
}

AVX512 static float
inner_product(int n, const float *a, const float *b)
{
	LaneSums	sum = {_mm512_setzero_ps(), _mm512_setzero_ps()};
	int			i;

	for (i = 0; i + ANNOY_KERNEL_LANES <= n; i += ANNOY_KERNEL_LANES)
	{
		sum.low = add_product(sum.low, _mm512_loadu_ps(a + i),
							  _mm512_loadu_ps(b + i));
		sum.high = add_product(sum.high, _mm512_loadu_ps(a + i + WIDTH),
							   _mm512_loadu_ps(b + i + WIDTH));
	}

	if (i < n)
	{
		__mmask16	low = lanes_present(n - i, 0);
		__mmask16	high = lanes_present(n - i, WIDTH);

		sum.low = add_product(sum.low, _mm512_maskz_loadu_ps(low, a + i),
							  _mm512_maskz_loadu_ps(low, b + i));
		sum.high = add_product(sum.high,
							   _mm512_maskz_loadu_ps(high, a + i + WIDTH),
							   _mm512_maskz_loadu_ps(high, b + i + WIDTH));
	}

	return reduce_lanes(sum);
}

AVX512 static float
l1(int n, const float *a, const float *b)
{
	LaneSums	sum = {_mm512_setzero_ps(), _mm512_setzero_ps()};
	int			i;

	for (i = 0; i + ANNOY_KERNEL_LANES <= n; i += ANNOY_KERNEL_LANES)
	{
		sum.low = add_absolute(sum.low, _mm512_loadu_ps(a + i),
							   _mm512_loadu_ps(b + i));
		sum.high = add_absolute(sum.high, _mm512_loadu_ps(a + i + WIDTH),
								_mm512_loadu_ps(b + i + WIDTH));
	}

	if (i < n)
	{
		__mmask16	low = lanes_present(n - i, 0);
		__mmask16	high = lanes_present(n - i, WIDTH);

		sum.low = add_absolute(sum.low, _mm512_maskz_loadu_ps(low, a + i),
							   _mm512_maskz_loadu_ps(low, b + i));
		sum.high = add_absolute(sum.high,
								_mm512_maskz_loadu_ps(high, a + i + WIDTH),
								_mm512_maskz_loadu_ps(high, b + i + WIDTH));
	}

	return reduce_lanes(sum);
}

AVX512 static void
inner_products(int n, const float *a, const float *b, float out[3])
{
	LaneSums	ab = {_mm512_setzero_ps(), _mm512_setzero_ps()};
	LaneSums	aa = ab;
	LaneSums	bb = ab;
	int			i;

	/* the mask costs nothing beside three products, so one loop does all */
	for (i = 0; i < n; i += ANNOY_KERNEL_LANES)
	{
		__mmask16	low = lanes_present(n - i, 0);
		__mmask16	high = lanes_present(n - i, WIDTH);
		__m512		a_low = _mm512_maskz_loadu_ps(low, a + i);
		__m512		b_low = _mm512_maskz_loadu_ps(low, b + i);
		__m512		a_high = _mm512_maskz_loadu_ps(high, a + i + WIDTH);
		__m512		b_high = _mm512_maskz_loadu_ps(high, b + i + WIDTH);

		ab.low = add_product(ab.low, a_low, b_low);
		ab.high = add_product(ab.high, a_high, b_high);
		aa.low = add_product(aa.low, a_low, a_low);
		aa.high = add_product(aa.high, a_high, a_high);
		bb.low = add_product(bb.low, b_low, b_low);
		bb.high = add_product(bb.high, b_high, b_high);
	}

	out[0] = reduce_lanes(ab);
	out[1] = reduce_lanes(aa);
	out[2] = reduce_lanes(bb);
}

/* Adds 32 products of int8 and int16, in pairs, to 16 sums. */
AVX512 static inline __m512i
add_quantised(__m512i sum, const int8_t *a, __m512i words)
{
	__m256i		bytes = _mm256_loadu_si256((const __m256i *) a);

	return _mm512_add_epi32(sum, _mm512_madd_epi16(_mm512_cvtepi8_epi16(bytes),
												   words));
}

/* Sums of 16 such products in the lower lanes, zeroes in the others. */
AVX512 static inline __m512i
multiply_sixteen(const int8_t *a, __m256i words)
{
	__m128i		bytes = _mm_loadu_si128((const __m128i *) a);
	__m256i		sums = _mm256_madd_epi16(_mm256_cvtepi8_epi16(bytes), words);

	return _mm512_inserti64x4(_mm512_setzero_si512(), sums, 0);
}

AVX512 static int32_t
dot_quantised(int n, const int8_t *a, const int16_t *b)
{
	__m512i		even = _mm512_setzero_si512();
	__m512i		odd = _mm512_setzero_si512();
	int			i;

	for (i = 0; i + 64 <= n; i += 64)
	{
		even = add_quantised(even, a + i, _mm512_loadu_si512(b + i));
		odd = add_quantised(odd, a + i + 32, _mm512_loadu_si512(b + i + 32));
	}

	if (i + 32 <= n)
	{
		even = add_quantised(even, a + i, _mm512_loadu_si512(b + i));
		i += 32;
	}

	if (i < n)
	{
		__m256i		words = _mm256_loadu_si256((const __m256i *) (b + i));

		odd = _mm512_add_epi32(odd, multiply_sixteen(a + i, words));
	}

	return _mm512_reduce_add_epi32(_mm512_add_epi32(even, odd));
}

/* From two lots of 16 sums of pairs x, y: lanes x, y, x, y, and so on. */
AVX512 static inline __m512i
fold_rows(__m512i x, __m512i y)
{
	return _mm512_add_epi32(_mm512_unpacklo_epi32(x, y),
							_mm512_unpackhi_epi32(x, y));
}

/* The sum of each of four registers: adding while transposing. */
AVX512 static inline __m128i
reduce_four_rows(__m512i sum0, __m512i sum1, __m512i sum2, __m512i sum3)
{
	__m512i		sum01 = fold_rows(sum0, sum1);
	__m512i		sum23 = fold_rows(sum2, sum3);
	__m512i		sum = _mm512_add_epi32(_mm512_unpacklo_epi64(sum01, sum23),
									   _mm512_unpackhi_epi64(sum01, sum23));
	__m256i		eight = _mm256_add_epi32(_mm512_castsi512_si256(sum),
										 _mm512_extracti64x4_epi64(sum, 1));

	return _mm_add_epi32(_mm256_castsi256_si128(eight),
						 _mm256_extracti128_si256(eight, 1));
}

/* The products of four rows with b, whose loads they share. */
AVX512 static inline void
multiply_four_rows(int n, const int8_t *row0, size_t stride, const int16_t *b,
				   int32_t *out)
{
	const int8_t *row1 = row0 + stride;
	const int8_t *row2 = row1 + stride;
	const int8_t *row3 = row2 + stride;
	__m512i		sum0 = _mm512_setzero_si512();
	__m512i		sum1 = _mm512_setzero_si512();
	__m512i		sum2 = _mm512_setzero_si512();
	__m512i		sum3 = _mm512_setzero_si512();
	int			i;

	for (i = 0; i + 32 <= n; i += 32)
	{
		__m512i		words = _mm512_loadu_si512(b + i);

		sum0 = add_quantised(sum0, row0 + i, words);
		sum1 = add_quantised(sum1, row1 + i, words);
		sum2 = add_quantised(sum2, row2 + i, words);
		sum3 = add_quantised(sum3, row3 + i, words);
	}

	if (i < n)
	{
		__m256i		words = _mm256_loadu_si256((const __m256i *) (b + i));

		sum0 = _mm512_add_epi32(sum0, multiply_sixteen(row0 + i, words));
		sum1 = _mm512_add_epi32(sum1, multiply_sixteen(row1 + i, words));
		sum2 = _mm512_add_epi32(sum2, multiply_sixteen(row2 + i, words));
		sum3 = _mm512_add_epi32(sum3, multiply_sixteen(row3 + i, words));
	}

	_mm_storeu_si128((__m128i *) out, reduce_four_rows(sum0, sum1, sum2, sum3));
}

AVX512 static void
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

/* Adds those of 32 elements whose bits are set in the code. */
AVX512 static inline __m512i
add_selected(__m512i words, const uint8_t *code, const int16_t *b)
{
	uint32_t	bits;

	memcpy(&bits, code, sizeof(bits));
	return _mm512_mask_add_epi16(words, (__mmask32) bits, words,
								 _mm512_loadu_si512(b));
}

/* The same of 16. */
AVX512 static inline __m512i
add_last_selected(__m512i words, const uint8_t *code, const int16_t *b)
{
	uint16_t	bits;
	__m256i		selected;

	memcpy(&bits, code, sizeof(bits));
	selected = _mm256_maskz_loadu_epi16((__mmask16) bits, b);
	return _mm512_add_epi16(words, _mm512_inserti64x4(_mm512_setzero_si512(),
													  selected, 0));
}

/* Four elements of at most 8191 fit in 16 bits, and are added there. */
AVX512 static int32_t
sum_selected(int n, const uint8_t *code, const int16_t *b)
{
	const __m512i ones = _mm512_set1_epi16(1);
	__m512i		sum = _mm512_setzero_si512();
	__m512i		words;
	int			i;

	for (i = 0; i + 128 <= n; i += 128)
	{
		const uint8_t *bits = code + i / 8;

		words = add_selected(_mm512_setzero_si512(), bits, b + i);
		words = add_selected(words, bits + 4, b + i + 32);
		words = add_selected(words, bits + 8, b + i + 64);
		words = add_selected(words, bits + 12, b + i + 96);
		sum = _mm512_add_epi32(sum, _mm512_madd_epi16(words, ones));
	}

	/* at most four more, 112 elements */
	words = _mm512_setzero_si512();
	for (; i + 32 <= n; i += 32)
		words = add_selected(words, code + i / 8, b + i);
	if (i < n)
		words = add_last_selected(words, code + i / 8, b + i);

	sum = _mm512_add_epi32(sum, _mm512_madd_epi16(words, ones));
	return _mm512_reduce_add_epi32(sum);
}

/* 128 elements. */
typedef struct Elements
{
	__m512i		words0;
	__m512i		words1;
	__m512i		words2;
	__m512i		words3;
} Elements;

/* The bits of 32 elements, from memory into a mask register. */
AVX512 static inline __mmask32
load_bits(const uint8_t *code)
{
	uint32_t	bits;

	memcpy(&bits, code, sizeof(bits));
	return _cvtu32_mask32(bits);
}

/*
 * Adds those of 128 elements whose bits are set in the code to 16 sums.  Four
 * of at most 8191 fit in 16 bits.
 */
AVX512 static inline __m512i
add_elements(__m512i sum, const uint8_t *code, const Elements *elements)
{
	__m512i		words;

	words = _mm512_maskz_mov_epi16(load_bits(code), elements->words0);
	words = _mm512_mask_add_epi16(words, load_bits(code + 4), words,
								  elements->words1);
	words = _mm512_mask_add_epi16(words, load_bits(code + 8), words,
								  elements->words2);
	words = _mm512_mask_add_epi16(words, load_bits(code + 12), words,
								  elements->words3);
	return _mm512_add_epi32(sum, _mm512_madd_epi16(words, _mm512_set1_epi16(1)));
}

/* The same of the 32 elements of one register. */
AVX512 static inline __m512i
add_words(__m512i sum, __mmask32 bits, __m512i words)
{
	words = _mm512_maskz_mov_epi16(bits, words);
	return _mm512_add_epi32(sum, _mm512_madd_epi16(words, _mm512_set1_epi16(1)));
}

/* Those of 16, the other lanes get nothing. */
AVX512 static inline __mmask32
load_last_bits(const uint8_t *code)
{
	uint16_t	bits;

	memcpy(&bits, code, sizeof(bits));
	return _cvtu32_mask32(bits);
}

/* The sums that four codes select from b, whose loads they share. */
AVX512 static inline void
sum_four_selected(int n, const uint8_t *code0, size_t stride, const int16_t *b,
				  int32_t *out)
{
	const uint8_t *code1 = code0 + stride;
	const uint8_t *code2 = code1 + stride;
	const uint8_t *code3 = code2 + stride;
	__m512i		sum0 = _mm512_setzero_si512();
	__m512i		sum1 = _mm512_setzero_si512();
	__m512i		sum2 = _mm512_setzero_si512();
	__m512i		sum3 = _mm512_setzero_si512();
	int			i;

	for (i = 0; i + 128 <= n; i += 128)
	{
		Elements	elements = {
			_mm512_loadu_si512(b + i), _mm512_loadu_si512(b + i + 32),
			_mm512_loadu_si512(b + i + 64), _mm512_loadu_si512(b + i + 96)
		};

		sum0 = add_elements(sum0, code0 + i / 8, &elements);
		sum1 = add_elements(sum1, code1 + i / 8, &elements);
		sum2 = add_elements(sum2, code2 + i / 8, &elements);
		sum3 = add_elements(sum3, code3 + i / 8, &elements);
	}

	for (; i + 32 <= n; i += 32)
	{
		__m512i		words = _mm512_loadu_si512(b + i);

		sum0 = add_words(sum0, load_bits(code0 + i / 8), words);
		sum1 = add_words(sum1, load_bits(code1 + i / 8), words);
		sum2 = add_words(sum2, load_bits(code2 + i / 8), words);
		sum3 = add_words(sum3, load_bits(code3 + i / 8), words);
	}

	if (i < n)
	{
		__m512i		words = _mm512_maskz_loadu_epi16(0xFFFF, b + i);

		sum0 = add_words(sum0, load_last_bits(code0 + i / 8), words);
		sum1 = add_words(sum1, load_last_bits(code1 + i / 8), words);
		sum2 = add_words(sum2, load_last_bits(code2 + i / 8), words);
		sum3 = add_words(sum3, load_last_bits(code3 + i / 8), words);
	}

	_mm_storeu_si128((__m128i *) out, reduce_four_rows(sum0, sum1, sum2, sum3));
}

AVX512 static void
sum_selected_many(int n, int count, const uint8_t *codes, size_t stride,
				  const int16_t *b, int32_t *out)
{
	int			k = 0;

	for (; k + 4 <= count; k += 4)
		sum_four_selected(n, codes + (size_t) k * stride, stride, b, out + k);
	for (; k < count; k++)
		out[k] = sum_selected(n, codes + (size_t) k * stride, b);
}

/*
 * Adds the products of 32 elements and their levels, which have the weight of a
 * plane for each of its bits that is set.  bits: a constant, once inlined.
 */
AVX512 static inline __m512i
add_levels(__m512i sum, int bits, const __mmask32 planes[4], __m512i words)
{
	__m512i		levels = _mm512_maskz_set1_epi16(planes[0],
												 (short) (1 << (bits - 1)));

	levels = _mm512_mask_add_epi16(levels, planes[1], levels,
								   _mm512_set1_epi16((short) (1 << (bits - 2))));
	if (bits > 2)
		levels = _mm512_mask_add_epi16(levels, planes[2], levels,
									   _mm512_set1_epi16((short) (1 << (bits - 3))));
	if (bits > 3)
		levels = _mm512_mask_add_epi16(levels, planes[3], levels,
									   _mm512_set1_epi16(1));
	return _mm512_add_epi32(sum, _mm512_madd_epi16(levels, words));
}

/* plane: bytes of one */
AVX512 static inline __attribute__((always_inline)) int32_t
sum_levels_of(int bits, size_t plane, const uint8_t *code,
			  const uint8_t *planes, const int16_t *b)
{
	const uint8_t *whole = code + plane / 4 * 4;
	__m512i		sum = _mm512_setzero_si512();
	__mmask32	masks[4];

	for (; code < whole; code += 4, planes += 4, b += 32)
	{
		masks[0] = load_bits(code);
		masks[1] = load_bits(planes);
		masks[2] = bits > 2 ? load_bits(planes + plane) : 0;
		masks[3] = bits > 3 ? load_bits(planes + 2 * plane) : 0;
		sum = add_levels(sum, bits, masks, _mm512_loadu_si512(b));
	}

	if (plane % 4 != 0)
	{
		masks[0] = load_last_bits(code);
		masks[1] = load_last_bits(planes);
		masks[2] = bits > 2 ? load_last_bits(planes + plane) : 0;
		masks[3] = bits > 3 ? load_last_bits(planes + 2 * plane) : 0;
		sum = add_levels(sum, bits, masks, _mm512_maskz_loadu_epi16(0xFFFF, b));
	}

	return _mm512_reduce_add_epi32(sum);
}

AVX512 static __attribute__((noinline)) int32_t
sum_levels_of_two(int n, const uint8_t *code, const uint8_t *planes,
				  const int16_t *b)
{
	return sum_levels_of(2, (size_t) n / 8, code, planes, b);
}

AVX512 static __attribute__((noinline)) int32_t
sum_levels_of_three(int n, const uint8_t *code, const uint8_t *planes,
					const int16_t *b)
{
	return sum_levels_of(3, (size_t) n / 8, code, planes, b);
}

AVX512 static __attribute__((noinline)) int32_t
sum_levels_of_four(int n, const uint8_t *code, const uint8_t *planes,
				   const int16_t *b)
{
	return sum_levels_of(4, (size_t) n / 8, code, planes, b);
}

AVX512 static int32_t
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

AVX512 static void
dequantise(int n, const int16_t *in, float scale, float *out)
{
	__m512		factor = _mm512_set1_ps(scale);
	int			i;

	for (i = 0; i < n; i += WIDTH)
	{
		__m256i		words = _mm256_loadu_si256((const __m256i *) (in + i));
		__m512		values = _mm512_cvtepi32_ps(_mm512_cvtepi16_epi32(words));

		_mm512_storeu_ps(out + i, _mm512_mul_ps(factor, values));
	}
}

/*
 * Table sums of 16 entries, four rows of codes side by side in the four
 * 128-bit lanes.  Seen as 16-bit numbers, "mixed" adds both bytes of each pair,
 * the odd entry's 256-fold, modulo 2^16; "odd" adds the upper bytes alone.
 * The even entry's sum is what remains when the odd one's is taken away.  A
 * sum is exact as long as it fits in 16 bits: 192 rows bring 48 * 2 additions
 * of at most 255 into each lane.
 */
typedef struct TableSums
{
	__m512i		mixed;
	__m512i		odd;
} TableSums;

AVX512 static inline TableSums
add_lookups(TableSums sum, __m512i codes, __m512i low_table,
			__m512i high_table)
{
	__m512i		nibble = _mm512_set1_epi8(15);
	__m512i		low_index = _mm512_and_si512(codes, nibble);
	__m512i		high_index = _mm512_and_si512(_mm512_srli_epi16(codes, 4),
											  nibble);
	__m512i		low = _mm512_shuffle_epi8(low_table, low_index);
	__m512i		high = _mm512_shuffle_epi8(high_table, high_index);

	sum.mixed = _mm512_add_epi16(sum.mixed, _mm512_add_epi16(low, high));
	sum.odd = _mm512_add_epi16(sum.odd,
							   _mm512_add_epi16(_mm512_srli_epi16(low, 8),
												_mm512_srli_epi16(high, 8)));
	return sum;
}

/*
 * Adds the four lanes of 16-bit sums and puts the entries in order.  Two
 * lanes together are at most 192 * 255, still 16 bits; all four need 32.
 */
AVX512 static inline __m512i
fold_table_sums(TableSums sum)
{
	__m512i		even = _mm512_sub_epi16(sum.mixed,
										_mm512_slli_epi16(sum.odd, 8));
	__m256i		even_pair = _mm256_add_epi16(_mm512_castsi512_si256(even),
											 _mm512_extracti64x4_epi64(even, 1));
	__m256i		odd_pair = _mm256_add_epi16(_mm512_castsi512_si256(sum.odd),
											_mm512_extracti64x4_epi64(sum.odd, 1));
	__m256i		first = _mm256_unpacklo_epi16(even_pair, odd_pair);
	__m256i		last = _mm256_unpackhi_epi16(even_pair, odd_pair);
	__m256i		lane0 = _mm256_permute2x128_si256(first, last, 0x20);
	__m256i		lane1 = _mm256_permute2x128_si256(first, last, 0x31);

	return _mm512_add_epi32(_mm512_cvtepu16_epi32(lane0),
							_mm512_cvtepu16_epi32(lane1));
}

AVX512 static inline __m512i
load_two_rows(const uint8_t *rows)
{
	__m256i		two = _mm256_loadu_si256((const __m256i *) rows);

	return _mm512_inserti64x4(_mm512_setzero_si512(), two, 0);
}

AVX512 static inline __m512i
sum_tables(int rows, const uint8_t *table, const uint8_t *codes)
{
	const uint8_t *low_table = table;
	const uint8_t *high_table = table + rows * 16;
	const int	bytes = rows * 16;
	TableSums	sum = {_mm512_setzero_si512(), _mm512_setzero_si512()};
	int			i;

	for (i = 0; i + 64 <= bytes; i += 64)
		sum = add_lookups(sum, _mm512_loadu_si512(codes + i),
						  _mm512_loadu_si512(low_table + i),
						  _mm512_loadu_si512(high_table + i));

	/*
	 * Two rows are left if not four; the zeroes beside them look up zeroes.
	 */
	if (i < bytes)
		sum = add_lookups(sum, load_two_rows(codes + i),
						  load_two_rows(low_table + i),
						  load_two_rows(high_table + i));

	return fold_table_sums(sum);
}

/*
 * The maximum instruction gives its second operand if one is a NaN, which is
 * what kernel.h asks for.
 */
AVX512 static uint32_t
rank_block(const AnnoyRankParameters *parameters, const uint8_t *block,
		   float lower[16])
{
	const int	rows = parameters->rows;
	const uint8_t *factors = block + rows * ANNOY_BLOCK_ENTRIES;
	__m512		f1 = _mm512_loadu_ps(factors);
	__m512		f2 = _mm512_loadu_ps(factors + 16 * sizeof(float));
	__m512		sums = _mm512_cvtepi32_ps(sum_tables(rows, parameters->table,
													 block));
	__m512		product = _mm512_add_ps(_mm512_mul_ps(_mm512_set1_ps(parameters->delta),
													  sums),
										_mm512_set1_ps(parameters->bias));
	__m512		estimate = _mm512_sub_ps(_mm512_add_ps(_mm512_set1_ps(parameters->base),
													   f2),
										 _mm512_mul_ps(f1, product));
	__m512		b = _mm512_mul_ps(f1, _mm512_set1_ps(parameters->width));
	__m512		bound;

	if (parameters->linear)
		bound = _mm512_max_ps(_mm512_sub_ps(estimate, b),
							  _mm512_set1_ps(-FLT_MAX));
	else
	{
		__m512		zero = _mm512_setzero_ps();
		__m512		root;

		estimate = _mm512_max_ps(estimate, zero);
		root = _mm512_sqrt_ps(_mm512_add_ps(_mm512_mul_ps(b, b), estimate));
		bound = _mm512_max_ps(_mm512_sub_ps(root, b), zero);
		bound = _mm512_mul_ps(bound, bound);
	}

	_mm512_storeu_ps(lower, bound);
	return _mm512_cmp_ps_mask(bound, _mm512_set1_ps(parameters->threshold),
							  _CMP_LT_OQ);
}

/* The other half of them is in kernel_avx512_sketch.c. */
static AnnoyKernels avx512_kernels = {
	.name = "avx512",
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
AnnoyGetAvx512Kernels(void)
{
	if (__builtin_cpu_supports("avx512f") &&
		__builtin_cpu_supports("avx512bw") &&
		__builtin_cpu_supports("avx512dq") &&
		__builtin_cpu_supports("avx512vl"))
	{
		AnnoyAddAvx512SketchKernels(&avx512_kernels);
		return &avx512_kernels;
	}

	return NULL;
}

#else

const AnnoyKernels *
AnnoyGetAvx512Kernels(void)
{
	return NULL;
}

#endif

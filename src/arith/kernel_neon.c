/*-------------------------------------------------------------------------
 *
 * kernel_neon.c
 *	  The kernels for 64-bit ARM, of whose baseline NEON is a part.
 *
 * Results are those of kernel_plain.c to the bit; see there for what that
 * forbids.  Above all no fused multiply-add: vmlaq_f32 and vfmaq_f32 must not
 * appear here, and -ffp-contract=off keeps the compiler from making one.
 *
 * NEON's registers hold four floats, so a run of ANNOY_KERNEL_LANES is eight of
 * them.
 *
 *-------------------------------------------------------------------------
 */
#include <stddef.h>

#include "arith/kernel.h"
#include "arith/kernel_sets.h"

/* Byte order matters to the codes, and big-endian ARM to nobody. */
#if defined(__aarch64__) && defined(__ARM_NEON) && !defined(__AARCH64EB__)

#include <arm_neon.h>
#include <float.h>
#include <string.h>

/* Floats of one register. */
#define WIDTH 4

/*
 * A run of elements, or their sums.  Members instead of an array, because
 * compilers keep them in registers without having to unroll a loop first.
 */
typedef struct Run
{
	float32x4_t x0;
	float32x4_t x1;
	float32x4_t x2;
	float32x4_t x3;
	float32x4_t x4;
	float32x4_t x5;
	float32x4_t x6;
	float32x4_t x7;
} Run;

static inline Run
zero_run(void)
{
	Run			run;

	run.x0 = run.x1 = run.x2 = run.x3 = vdupq_n_f32(0.0f);
	run.x4 = run.x5 = run.x6 = run.x7 = vdupq_n_f32(0.0f);
	return run;
}

static inline Run
load_run(const float *x)
{
	Run			run;

	run.x0 = vld1q_f32(x);
	run.x1 = vld1q_f32(x + WIDTH);
	run.x2 = vld1q_f32(x + 2 * WIDTH);
	run.x3 = vld1q_f32(x + 3 * WIDTH);
	run.x4 = vld1q_f32(x + 4 * WIDTH);
	run.x5 = vld1q_f32(x + 5 * WIDTH);
	run.x6 = vld1q_f32(x + 6 * WIDTH);
	run.x7 = vld1q_f32(x + 7 * WIDTH);
	return run;
}

/*
 * An incomplete run, filled up with zeroes: adding those changes no sum, since
 * one that starts at +0 is never -0.
 */
static inline Run
load_tail(const float *x, int count)
{
	float		run[ANNOY_KERNEL_LANES] = {0};

	memcpy(run, x, sizeof(float) * (size_t) count);
	return load_run(run);
}

/* sum[i] += sum[i + 16], then 8, 4, 2 and 1 */
static inline float
reduce_run(Run sum)
{
	float32x4_t sum0 = vaddq_f32(sum.x0, sum.x4);
	float32x4_t sum1 = vaddq_f32(sum.x1, sum.x5);
	float32x4_t sum2 = vaddq_f32(sum.x2, sum.x6);
	float32x4_t sum3 = vaddq_f32(sum.x3, sum.x7);
	float32x4_t four = vaddq_f32(vaddq_f32(sum0, sum2), vaddq_f32(sum1, sum3));
	float32x2_t two = vadd_f32(vget_low_f32(four), vget_high_f32(four));

	return vget_lane_f32(two, 0) + vget_lane_f32(two, 1);
}

static inline float32x4_t
add_square(float32x4_t sum, float32x4_t a, float32x4_t b)
{
	float32x4_t difference = vsubq_f32(a, b);

	return vaddq_f32(sum, vmulq_f32(difference, difference));
}

static inline float32x4_t
add_product(float32x4_t sum, float32x4_t a, float32x4_t b)
{
	return vaddq_f32(sum, vmulq_f32(a, b));
}

static inline float32x4_t
add_absolute(float32x4_t sum, float32x4_t a, float32x4_t b)
{
	return vaddq_f32(sum, vabdq_f32(a, b));
}

static inline Run
add_squares(Run sum, Run a, Run b)
{
	sum.x0 = add_square(sum.x0, a.x0, b.x0);
	sum.x1 = add_square(sum.x1, a.x1, b.x1);
	sum.x2 = add_square(sum.x2, a.x2, b.x2);
	sum.x3 = add_square(sum.x3, a.x3, b.x3);
	sum.x4 = add_square(sum.x4, a.x4, b.x4);
	sum.x5 = add_square(sum.x5, a.x5, b.x5);
	sum.x6 = add_square(sum.x6, a.x6, b.x6);
	sum.x7 = add_square(sum.x7, a.x7, b.x7);
	return sum;
}

static inline Run
add_products(Run sum, Run a, Run b)
{
	sum.x0 = add_product(sum.x0, a.x0, b.x0);
	sum.x1 = add_product(sum.x1, a.x1, b.x1);
	sum.x2 = add_product(sum.x2, a.x2, b.x2);
	sum.x3 = add_product(sum.x3, a.x3, b.x3);
	sum.x4 = add_product(sum.x4, a.x4, b.x4);
	sum.x5 = add_product(sum.x5, a.x5, b.x5);
	sum.x6 = add_product(sum.x6, a.x6, b.x6);
	sum.x7 = add_product(sum.x7, a.x7, b.x7);
	return sum;
}

static inline Run
add_absolutes(Run sum, Run a, Run b)
{
	sum.x0 = add_absolute(sum.x0, a.x0, b.x0);
	sum.x1 = add_absolute(sum.x1, a.x1, b.x1);
	sum.x2 = add_absolute(sum.x2, a.x2, b.x2);
	sum.x3 = add_absolute(sum.x3, a.x3, b.x3);
	sum.x4 = add_absolute(sum.x4, a.x4, b.x4);
	sum.x5 = add_absolute(sum.x5, a.x5, b.x5);
	sum.x6 = add_absolute(sum.x6, a.x6, b.x6);
	sum.x7 = add_absolute(sum.x7, a.x7, b.x7);
	return sum;
}

static float
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

static float
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

static float
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

static void
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

static int32_t
dot_quantised(int n, const int8_t *a, const int16_t *b)
{
	int32x4_t	sum0 = vdupq_n_s32(0);
	int32x4_t	sum1 = vdupq_n_s32(0);
	int			i;

	for (i = 0; i < n; i += 16)
	{
		int8x16_t	bytes = vld1q_s8(a + i);
		int16x8_t	low = vmovl_s8(vget_low_s8(bytes));
		int16x8_t	high = vmovl_high_s8(bytes);
		int16x8_t	b_low = vld1q_s16(b + i);
		int16x8_t	b_high = vld1q_s16(b + i + 8);

		sum0 = vmlal_s16(sum0, vget_low_s16(low), vget_low_s16(b_low));
		sum1 = vmlal_high_s16(sum1, low, b_low);
		sum0 = vmlal_s16(sum0, vget_low_s16(high), vget_low_s16(b_high));
		sum1 = vmlal_high_s16(sum1, high, b_high);
	}

	return vaddvq_s32(vaddq_s32(sum0, sum1));
}

/* Adds 16 products of int8 and int16 to four sums. */
static inline int32x4_t
add_quantised(int32x4_t sum, const int8_t *a, int16x8_t b_low, int16x8_t b_high)
{
	int8x16_t	bytes = vld1q_s8(a);
	int16x8_t	low = vmovl_s8(vget_low_s8(bytes));
	int16x8_t	high = vmovl_high_s8(bytes);

	sum = vmlal_s16(sum, vget_low_s16(low), vget_low_s16(b_low));
	sum = vmlal_high_s16(sum, low, b_low);
	sum = vmlal_s16(sum, vget_low_s16(high), vget_low_s16(b_high));
	return vmlal_high_s16(sum, high, b_high);
}

/* The products of four rows with b, whose loads they share. */
static inline void
multiply_four_rows(int n, const int8_t *row0, size_t stride, const int16_t *b,
				   int32_t *out)
{
	const int8_t *row1 = row0 + stride;
	const int8_t *row2 = row1 + stride;
	const int8_t *row3 = row2 + stride;
	int32x4_t	sum0 = vdupq_n_s32(0);
	int32x4_t	sum1 = vdupq_n_s32(0);
	int32x4_t	sum2 = vdupq_n_s32(0);
	int32x4_t	sum3 = vdupq_n_s32(0);
	int			i;

	for (i = 0; i < n; i += 16)
	{
		int16x8_t	b_low = vld1q_s16(b + i);
		int16x8_t	b_high = vld1q_s16(b + i + 8);

		sum0 = add_quantised(sum0, row0 + i, b_low, b_high);
		sum1 = add_quantised(sum1, row1 + i, b_low, b_high);
		sum2 = add_quantised(sum2, row2 + i, b_low, b_high);
		sum3 = add_quantised(sum3, row3 + i, b_low, b_high);
	}

	vst1q_s32(out, vpaddq_s32(vpaddq_s32(sum0, sum1), vpaddq_s32(sum2, sum3)));
}

static void
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

/* Those of eight elements whose bits are set in the code, else zero. */
static inline int16x8_t
select_words(uint8_t code, uint16x8_t bit_of_lane, const int16_t *b)
{
	uint16x8_t	selected = vtstq_u16(vdupq_n_u16(code), bit_of_lane);

	return vandq_s16(vreinterpretq_s16_u16(selected), vld1q_s16(b));
}

/* Two elements of at most 8191 fit in 16 bits, and are added there. */
static int32_t
sum_selected(int n, const uint8_t *code, const int16_t *b)
{
	static const uint16_t bits[8] = {1, 2, 4, 8, 16, 32, 64, 128};
	const uint16x8_t bit_of_lane = vld1q_u16(bits);
	int32x4_t	sum = vdupq_n_s32(0);
	int			i;

	for (i = 0; i < n; i += 16)
	{
		int16x8_t	low = select_words(code[i / 8], bit_of_lane, b + i);
		int16x8_t	high = select_words(code[i / 8 + 1], bit_of_lane, b + i + 8);

		sum = vpadalq_s16(sum, vaddq_s16(low, high));
	}

	return vaddvq_s32(sum);
}

/* Adds those of 16 elements whose bits are set in the code to four sums. */
static inline int32x4_t
add_selected(int32x4_t sum, const uint8_t *code, uint16x8_t bit_of_lane,
			 int16x8_t b_low, int16x8_t b_high)
{
	uint16x8_t	low = vtstq_u16(vdupq_n_u16(code[0]), bit_of_lane);
	uint16x8_t	high = vtstq_u16(vdupq_n_u16(code[1]), bit_of_lane);

	return vpadalq_s16(sum,
					   vaddq_s16(vandq_s16(vreinterpretq_s16_u16(low), b_low),
								 vandq_s16(vreinterpretq_s16_u16(high), b_high)));
}

/* The sums that four codes select from b, whose loads they share. */
static inline void
sum_four_selected(int n, const uint8_t *code0, size_t stride, const int16_t *b,
				  int32_t *out)
{
	static const uint16_t bits[8] = {1, 2, 4, 8, 16, 32, 64, 128};
	const uint16x8_t bit_of_lane = vld1q_u16(bits);
	const uint8_t *code1 = code0 + stride;
	const uint8_t *code2 = code1 + stride;
	const uint8_t *code3 = code2 + stride;
	int32x4_t	sum0 = vdupq_n_s32(0);
	int32x4_t	sum1 = vdupq_n_s32(0);
	int32x4_t	sum2 = vdupq_n_s32(0);
	int32x4_t	sum3 = vdupq_n_s32(0);
	int			i;

	for (i = 0; i < n; i += 16)
	{
		int16x8_t	b_low = vld1q_s16(b + i);
		int16x8_t	b_high = vld1q_s16(b + i + 8);

		sum0 = add_selected(sum0, code0 + i / 8, bit_of_lane, b_low, b_high);
		sum1 = add_selected(sum1, code1 + i / 8, bit_of_lane, b_low, b_high);
		sum2 = add_selected(sum2, code2 + i / 8, bit_of_lane, b_low, b_high);
		sum3 = add_selected(sum3, code3 + i / 8, bit_of_lane, b_low, b_high);
	}

	vst1q_s32(out, vpaddq_s32(vpaddq_s32(sum0, sum1), vpaddq_s32(sum2, sum3)));
}

static void
sum_selected_many(int n, int count, const uint8_t *codes, size_t stride,
				  const int16_t *b, int32_t *out)
{
	int			k = 0;

	for (; k + 4 <= count; k += 4)
		sum_four_selected(n, codes + (size_t) k * stride, stride, b, out + k);
	for (; k < count; k++)
		out[k] = sum_selected(n, codes + (size_t) k * stride, b);
}

/* Eight levels: a bit is -1 where it is set. */
static inline int16x8_t
join_levels(int bits, const uint8_t *code, const uint8_t *planes, size_t plane,
			uint16x8_t bit_of_lane)
{
	uint16x8_t	levels = vtstq_u16(vdupq_n_u16(*code), bit_of_lane);
	int			p;

	for (p = 1; p < bits; p++, planes += plane)
		levels = vaddq_u16(vaddq_u16(levels, levels),
						   vtstq_u16(vdupq_n_u16(*planes), bit_of_lane));
	return vreinterpretq_s16_u16(levels);
}

static int32_t
sum_levels(int n, int bits, const uint8_t *code, const uint8_t *planes,
		   const int16_t *b)
{
	static const uint16_t bit[8] = {1, 2, 4, 8, 16, 32, 64, 128};
	const uint16x8_t bit_of_lane = vld1q_u16(bit);
	const size_t plane = (size_t) n / 8;
	int32x4_t	low = vdupq_n_s32(0);
	int32x4_t	high = vdupq_n_s32(0);
	int			i;

	for (i = 0; i < n; i += 8)
	{
		int16x8_t	levels = join_levels(bits, code + i / 8, planes + i / 8,
										 plane, bit_of_lane);
		int16x8_t	words = vld1q_s16(b + i);

		low = vmlsl_s16(low, vget_low_s16(levels), vget_low_s16(words));
		high = vmlsl_high_s16(high, levels, words);
	}

	return vaddvq_s32(vaddq_s32(low, high));
}

static void
dequantise(int n, const int16_t *in, float scale, float *out)
{
	float32x4_t factor = vdupq_n_f32(scale);
	int			i;

	for (i = 0; i < n; i += 8)
	{
		int16x8_t	words = vld1q_s16(in + i);
		float32x4_t low = vcvtq_f32_s32(vmovl_s16(vget_low_s16(words)));
		float32x4_t high = vcvtq_f32_s32(vmovl_high_s16(words));

		vst1q_f32(out + i, vmulq_f32(factor, low));
		vst1q_f32(out + i + 4, vmulq_f32(factor, high));
	}
}

/* Four registers of elements that lie a distance apart. */
typedef struct FourRegisters
{
	float32x4_t x0;
	float32x4_t x1;
	float32x4_t x2;
	float32x4_t x3;
} FourRegisters;

/* The steps of distance d and 2d on registers that lie d apart. */
static inline FourRegisters
butterfly_four(FourRegisters r)
{
	float32x4_t sum01 = vaddq_f32(r.x0, r.x1);
	float32x4_t difference01 = vsubq_f32(r.x0, r.x1);
	float32x4_t sum23 = vaddq_f32(r.x2, r.x3);
	float32x4_t difference23 = vsubq_f32(r.x2, r.x3);

	r.x0 = vaddq_f32(sum01, sum23);
	r.x1 = vaddq_f32(difference01, difference23);
	r.x2 = vsubq_f32(sum01, sum23);
	r.x3 = vsubq_f32(difference01, difference23);
	return r;
}

static inline FourRegisters
load_four(const float *x, int distance)
{
	FourRegisters r;

	r.x0 = vld1q_f32(x);
	r.x1 = vld1q_f32(x + distance);
	r.x2 = vld1q_f32(x + 2 * distance);
	r.x3 = vld1q_f32(x + 3 * distance);
	return r;
}

static inline void
store_four(float *x, int distance, FourRegisters r)
{
	vst1q_f32(x, r.x0);
	vst1q_f32(x + distance, r.x1);
	vst1q_f32(x + 2 * distance, r.x2);
	vst1q_f32(x + 3 * distance, r.x3);
}

/*
 * The steps of distance 1 to 8 on 16 elements: the interleaving load brings
 * neighbours into different registers, so that the first two steps are
 * between registers as well.
 */
static inline void
transform_sixteen(float *x)
{
	float32x4x4_t columns = vld4q_f32(x);
	FourRegisters r;

	r.x0 = columns.val[0];
	r.x1 = columns.val[1];
	r.x2 = columns.val[2];
	r.x3 = columns.val[3];
	r = butterfly_four(r);
	columns.val[0] = r.x0;
	columns.val[1] = r.x1;
	columns.val[2] = r.x2;
	columns.val[3] = r.x3;
	vst4q_f32(x, columns);

	store_four(x, WIDTH, butterfly_four(load_four(x, WIDTH)));
}

/* The last step, if their number is odd: its distance is half the array. */
static inline void
transform_last_step(int n, float *x)
{
	float	   *upper = x + n / 2;
	int			i;

	for (i = 0; i < n / 2; i += WIDTH)
	{
		float32x4_t low = vld1q_f32(x + i);
		float32x4_t high = vld1q_f32(upper + i);

		vst1q_f32(x + i, vaddq_f32(low, high));
		vst1q_f32(upper + i, vsubq_f32(low, high));
	}
}

static void
rotate_block(int n, const AnnoyRunPlan *plan, const float *in, float factor,
			 float *x)
{
	int			distance;
	int			i;
	int			j;

	AnnoyPlainFetchRuns(n, plan, in, factor, x);
	for (i = 0; i < n; i += 16)
		transform_sixteen(x + i);

	/* two steps in each pass over memory */
	for (distance = 16; distance * 4 <= n; distance *= 4)
		for (i = 0; i < n; i += 4 * distance)
			for (j = i; j < i + distance; j += WIDTH)
				store_four(x + j, distance,
						   butterfly_four(load_four(x + j, distance)));

	if (distance < n)
		transform_last_step(n, x);
}

/*
 * Rows whose lookups fit in 16-bit sums: 128 rows bring 256 additions of at
 * most 255.  There may be more rows than that.
 */
#define ROWS_OF_16_BITS 128

/* Sums of four entries each. */
typedef struct TableSums
{
	uint32x4_t	entries[4];
} TableSums;

static inline TableSums
sum_tables(int rows, const uint8_t *table, const uint8_t *codes)
{
	const uint8_t *low_table = table;
	const uint8_t *high_table = table + rows * 16;
	const uint8x16_t nibble = vdupq_n_u8(15);
	TableSums	total;
	int			k;
	int			r = 0;

	for (k = 0; k < 4; k++)
		total.entries[k] = vdupq_n_u32(0);

	while (r < rows)
	{
		int			end = rows - r > ROWS_OF_16_BITS ? r + ROWS_OF_16_BITS : rows;
		uint16x8_t	first = vdupq_n_u16(0);
		uint16x8_t	last = vdupq_n_u16(0);

		for (; r < end; r++)
		{
			uint8x16_t	code = vld1q_u8(codes + r * 16);
			uint8x16_t	low = vqtbl1q_u8(vld1q_u8(low_table + r * 16),
										 vandq_u8(code, nibble));
			uint8x16_t	high = vqtbl1q_u8(vld1q_u8(high_table + r * 16),
										  vshrq_n_u8(code, 4));

			/* both lookups of an entry together are at most 9 bits */
			first = vaddq_u16(first, vaddl_u8(vget_low_u8(low),
											  vget_low_u8(high)));
			last = vaddq_u16(last, vaddl_high_u8(low, high));
		}

		total.entries[0] = vaddw_u16(total.entries[0], vget_low_u16(first));
		total.entries[1] = vaddw_high_u16(total.entries[1], first);
		total.entries[2] = vaddw_u16(total.entries[2], vget_low_u16(last));
		total.entries[3] = vaddw_high_u16(total.entries[3], last);
	}

	return total;
}

/* x where it is above the limit, else (and for a NaN) the limit */
static inline float32x4_t
at_least(float32x4_t x, float32x4_t limit)
{
	return vbslq_f32(vcgtq_f32(x, limit), x, limit);
}

/* Lower bounds of four entries. */
static inline float32x4_t
lower_bounds(const AnnoyRankParameters *parameters, uint32x4_t sums,
			 float32x4_t f1, float32x4_t f2)
{
	float32x4_t product = vaddq_f32(vmulq_f32(vdupq_n_f32(parameters->delta),
											  vcvtq_f32_u32(sums)),
									vdupq_n_f32(parameters->bias));
	float32x4_t estimate = vsubq_f32(vaddq_f32(vdupq_n_f32(parameters->base), f2),
									 vmulq_f32(f1, product));
	float32x4_t b = vmulq_f32(f1, vdupq_n_f32(parameters->width));
	float32x4_t zero = vdupq_n_f32(0.0f);
	float32x4_t difference;

	if (parameters->linear)
		return at_least(vsubq_f32(estimate, b), vdupq_n_f32(-FLT_MAX));

	estimate = at_least(estimate, zero);
	difference = vsubq_f32(vsqrtq_f32(vaddq_f32(vmulq_f32(b, b), estimate)), b);
	difference = at_least(difference, zero);
	return vmulq_f32(difference, difference);
}

static uint32_t
rank_block(const AnnoyRankParameters *parameters, const uint8_t *block,
		   float lower[16])
{
	static const uint32_t bit_of_lane[4] = {1, 2, 4, 8};
	const uint8_t *factors = block + parameters->rows * ANNOY_BLOCK_ENTRIES;
	const float32x4_t threshold = vdupq_n_f32(parameters->threshold);
	const uint32x4_t bits = vld1q_u32(bit_of_lane);
	TableSums	sums = sum_tables(parameters->rows, parameters->table, block);
	uint32_t	mask = 0;
	int			k;

	for (k = 0; k < 4; k++)
	{
		/* by bytes, since blocks lie anywhere on a page */
		const uint8_t *at = factors + k * 4 * sizeof(float);
		float32x4_t f1 = vreinterpretq_f32_u8(vld1q_u8(at));
		float32x4_t f2 = vreinterpretq_f32_u8(vld1q_u8(at + 16 * sizeof(float)));
		float32x4_t bounds = lower_bounds(parameters, sums.entries[k], f1, f2);
		uint32x4_t	below = vcltq_f32(bounds, threshold);

		vst1q_f32(lower + k * 4, bounds);
		mask |= vaddvq_u32(vandq_u32(below, bits)) << (k * 4);
	}

	return mask;
}

/*
 * The plain ones are what the compiler makes of them for NEON, which is in the
 * baseline.
 */
static const AnnoyKernels neon_kernels = {
	.name = "neon",
	.l2_squared = l2_squared,
	.inner_product = inner_product,
	.l1 = l1,
	.inner_products = inner_products,
	.dot_quantised = dot_quantised,
	.dot_quantised_many = dot_quantised_many,
	.sum_selected_many = sum_selected_many,
	.sum_levels = sum_levels,
	.dequantise = dequantise,
	.add_dequantised = AnnoyPlainAddDequantised,
	.join_mean = AnnoyPlainJoinMean,
	.square_sum = AnnoyPlainSquareSum,
	.scale = AnnoyPlainScale,
	.rotate_block = rotate_block,
	.largest_absolute = AnnoyPlainLargestAbsolute,
	.quantise = AnnoyPlainQuantise,
	.requantise = AnnoyPlainRequantise,
	.encode = AnnoyPlainEncode,
	.encode_levels = AnnoyPlainEncodeLevels,
	.product_terms = AnnoyPlainProductTerms,
	.measure_groups = AnnoyPlainMeasureGroups,
	.fill_table = AnnoyPlainFillTable,
	.transpose_codes = AnnoyPlainTransposeCodes,
	.rank_block = rank_block
};

const AnnoyKernels *
AnnoyGetNeonKernels(void)
{
	return &neon_kernels;
}

#else

const AnnoyKernels *
AnnoyGetNeonKernels(void)
{
	return NULL;
}

#endif

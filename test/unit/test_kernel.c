/*-------------------------------------------------------------------------
 *
 * test_kernel.c
 *	  Proves that the plain kernels of distances and ranking compute what
 *	  kernel.h says, and that every other set that this processor runs returns
 *	  the same bits.
 *
 * Inputs lie in allocations of exactly their size, so that the address
 * sanitizer sees a load beyond the end.
 *
 *-------------------------------------------------------------------------
 */
#include <float.h>
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "sets.h"

/* The order of additions as kernel.h words it, one element at a time. */
static float
sum_in_lanes(int n, const float *terms)
{
	float		sum[ANNOY_KERNEL_LANES] = {0};
	int			i;

	for (i = 0; i < n; i++)
		sum[i % ANNOY_KERNEL_LANES] += terms[i];
	for (i = 0; i < 16; i++)
		sum[i] += sum[i + 16];
	for (i = 0; i < 8; i++)
		sum[i] += sum[i + 8];
	for (i = 0; i < 4; i++)
		sum[i] += sum[i + 4];
	for (i = 0; i < 2; i++)
		sum[i] += sum[i + 2];
	return sum[0] + sum[1];
}

/* Wanted results of the float reductions: l2, a*b, l1, a*a, b*b. */
static void
define_reductions(int n, const float *a, const float *b, float wanted[5])
{
	float	   *terms = allocate(sizeof(float) * (size_t) n);
	int			i;

	for (i = 0; i < n; i++)
	{
		float		difference = a[i] - b[i];

		terms[i] = difference * difference;
	}
	wanted[0] = sum_in_lanes(n, terms);
	for (i = 0; i < n; i++)
		terms[i] = a[i] * b[i];
	wanted[1] = sum_in_lanes(n, terms);
	for (i = 0; i < n; i++)
		terms[i] = fabsf(a[i] - b[i]);
	wanted[2] = sum_in_lanes(n, terms);
	for (i = 0; i < n; i++)
		terms[i] = a[i] * a[i];
	wanted[3] = sum_in_lanes(n, terms);
	for (i = 0; i < n; i++)
		terms[i] = b[i] * b[i];
	wanted[4] = sum_in_lanes(n, terms);
	free(terms);
}

static void
check_reductions(int n, const float *a, const float *b)
{
	float		wanted[5];
	int			s;

	define_reductions(n, a, b, wanted);

	for (s = 0; s < set_count; s++)
	{
		const AnnoyKernels *kernels = &sets[s];
		float		products[3];
		float		got[5];
		int			i;

		kernels->inner_products(n, a, b, products);
		got[0] = kernels->l2_squared(n, a, b);
		got[1] = kernels->inner_product(n, a, b);
		got[2] = kernels->l1(n, a, b);
		got[3] = products[1];
		got[4] = products[2];

		for (i = 0; i < 5; i++)
			CHECK_THAT(bits_of(got[i]) == bits_of(wanted[i]),
					   "%s: reduction %d of %d elements: got %a, wanted %a",
					   kernels->name, i, n, got[i], wanted[i]);
		CHECK(bits_of(products[0]) == bits_of(wanted[1]));
	}
}

static void
test_reductions(void)
{
	static const int sizes[] =
	{256, 300, 384, 511, 512, 768, 784, 960, 1000, 1536, 2001, 15999, 16000};
	int			n;
	size_t		i;

	for (n = 1; n <= 200; n++)
	{
		float	   *a = random_floats(n);
		float	   *b = random_floats(n);

		check_reductions(n, a, b);
		check_reductions(n, a, a);
		free(a);
		free(b);
	}

	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
	{
		float	   *a = random_floats(sizes[i] + 1);
		float	   *b = random_floats(sizes[i]);

		/* one float off any alignment */
		check_reductions(sizes[i], a + 1, b);
		free(a);
		free(b);
	}
}

/* Zeroes of both signs, denormal, huge and overflowing elements. */
static void
test_reductions_of_special_values(void)
{
	static const float values[] =
	{
		0.0f, -0.0f, 1e-45f, -1e-45f, FLT_MIN, -FLT_MIN, 1.0f, -1.0f,
		1e18f, -1e18f
	};
	const int	count = (int) (sizeof(values) / sizeof(values[0]));
	int			n;
	int			s;

	for (n = 1; n <= 100; n++)
	{
		float	   *a = allocate(sizeof(float) * (size_t) n);
		float	   *b = allocate(sizeof(float) * (size_t) n);
		int			i;

		for (i = 0; i < n; i++)
		{
			a[i] = values[AnnoyRandomBelow(&random_state, (uint32_t) count)];
			b[i] = values[AnnoyRandomBelow(&random_state, (uint32_t) count)];
		}
		check_reductions(n, a, b);

		for (i = 0; i < n; i++)
			a[i] = -0.0f;
		check_reductions(n, a, a);

		/* sums that overflow, and a NaN anywhere, are seen by every set */
		a[AnnoyRandomBelow(&random_state, (uint32_t) n)] = FLT_MAX;
		for (s = 0; s < set_count; s++)
			CHECK(isinf(sets[s].l2_squared(n, a, b)));
		a[AnnoyRandomBelow(&random_state, (uint32_t) n)] = NAN;
		for (s = 0; s < set_count; s++)
		{
			CHECK(isnan(sets[s].l2_squared(n, a, b)));
			CHECK(isnan(sets[s].inner_product(n, a, b)));
			CHECK(isnan(sets[s].l1(n, a, b)));
		}
		free(a);
		free(b);
	}
}

/* extreme: only the ends of the ranges, with signs that add up */
static void
check_dot_quantised(int n, int extreme)
{
	int8_t	   *a = allocate((size_t) n);
	int16_t    *b = allocate(sizeof(int16_t) * (size_t) n);
	int64_t		wanted = 0;
	int			i;
	int			s;

	for (i = 0; i < n; i++)
	{
		int			negative = extreme && (AnnoyNextRandom(&random_state) & 1);

		a[i] = (int8_t) ((int) AnnoyRandomBelow(&random_state, 255) - 127);
		b[i] = (int16_t) ((int) AnnoyRandomBelow(&random_state, 2 * 8191 + 1) - 8191);
		if (extreme)
		{
			a[i] = negative ? -127 : 127;
			b[i] = negative == (extreme > 0) ? -8191 : 8191;
		}
		wanted += a[i] * b[i];
	}

	for (s = 0; s < set_count; s++)
	{
		int32_t		got = sets[s].dot_quantised(n, a, b);

		CHECK_THAT(got == wanted, "%s: quantised product of %d: got %ld, wanted %ld",
				   sets[s].name, n, (long) got, (long) wanted);
	}
	free(a);
	free(b);
}

static void
test_dot_quantised(void)
{
	int			n;

	for (n = 16; n <= 1536; n += 16)
	{
		check_dot_quantised(n, 0);
		check_dot_quantised(n, 1);
		check_dot_quantised(n, -1);
	}
}

/*
 * Rows begin stride bytes apart at an odd address, and the last one ends with
 * the allocation.  Nothing is written beyond out[count - 1].
 */
static void
check_dot_quantised_many(int n, int count, size_t stride, int extreme)
{
	const int32_t untouched = INT32_MIN;
	size_t		size = count > 0 ? (size_t) (count - 1) * stride + (size_t) n : 0;
	int8_t	   *memory = allocate(size + 1);
	int8_t	   *vectors = memory + 1;
	int16_t    *b = allocate(sizeof(int16_t) * (size_t) n);
	int32_t    *out = allocate(sizeof(int32_t) * (size_t) (count + 1));
	size_t		at;
	int			i;
	int			k;
	int			s;

	for (at = 0; at < size; at++)
	{
		vectors[at] = (int8_t) ((int) AnnoyRandomBelow(&random_state, 255) - 127);
		if (extreme)
			vectors[at] = extreme > 0 ? 127 : -127;
	}
	for (i = 0; i < n; i++)
	{
		b[i] = (int16_t) ((int) AnnoyRandomBelow(&random_state, 2 * 8191 + 1) - 8191);
		if (extreme)
			b[i] = 8191;
	}

	for (s = 0; s < set_count; s++)
	{
		for (k = 0; k <= count; k++)
			out[k] = untouched;
		sets[s].dot_quantised_many(n, count, vectors, stride, b, out);

		for (k = 0; k < count; k++)
		{
			int64_t		wanted = 0;

			for (i = 0; i < n; i++)
				wanted += vectors[(size_t) k * stride + (size_t) i] * b[i];
			CHECK_THAT(out[k] == wanted,
					   "%s: quantised product %d of %d of %d: got %ld, wanted %ld",
					   sets[s].name, k, count, n, (long) out[k], (long) wanted);
		}
		CHECK_THAT(out[count] == untouched, "%s: quantised products of %d rows",
				   sets[s].name, count);
	}
	free(memory);
	free(b);
	free(out);
}

static void
test_dot_quantised_many(void)
{
	int			n;
	int			count;

	for (n = 16; n <= 1536; n += 16)
	{
		for (count = 0; count <= 9; count++)
		{
			size_t		gap = AnnoyRandomBelow(&random_state, 70);

			check_dot_quantised_many(n, count, (size_t) n + gap, 0);
		}
		check_dot_quantised_many(n, 9, (size_t) n, 0);
		check_dot_quantised_many(n, 9, (size_t) n, 1);
		check_dot_quantised_many(n, 9, (size_t) n, -1);
		/* all rows are the same one */
		check_dot_quantised_many(n, 5, 0, 0);
	}
	check_dot_quantised_many(112, 60, 131, 0);
}

/* What is in the codes and the elements of check_sum_selected. */
typedef enum Selection
{
	SELECT_RANDOM,
	SELECT_ALL_HIGHEST,			/* all bits set, all elements 8191 */
	SELECT_ALL_LOWEST,			/* all bits set, all elements -8191 */
	SELECT_ALL_LOW_BYTES,		/* all bits set, all elements -1, whose lower
								 * byte is 255 */
	SELECT_NONE,
	SELECT_EXTREME				/* random bits, elements 8191 and -8191 */
} Selection;

static void
fill_codes(size_t size, uint8_t *codes, Selection selection)
{
	size_t		at;

	for (at = 0; at < size; at++)
	{
		codes[at] = (uint8_t) AnnoyNextRandom(&random_state);
		if (selection == SELECT_ALL_HIGHEST || selection == SELECT_ALL_LOWEST ||
			selection == SELECT_ALL_LOW_BYTES)
			codes[at] = 0xFF;
		if (selection == SELECT_NONE)
			codes[at] = 0;
	}
}

static void
fill_elements(int n, int16_t *b, Selection selection)
{
	int			i;

	for (i = 0; i < n; i++)
	{
		b[i] = (int16_t) ((int) AnnoyRandomBelow(&random_state, 2 * 8191 + 1) - 8191);
		if (selection == SELECT_ALL_HIGHEST)
			b[i] = 8191;
		if (selection == SELECT_ALL_LOWEST)
			b[i] = -8191;
		if (selection == SELECT_ALL_LOW_BYTES)
			b[i] = -1;
		if (selection == SELECT_EXTREME)
			b[i] = b[i] < 0 ? -8191 : 8191;
	}
}

static int64_t
define_sum_selected(int n, const uint8_t *code, const int16_t *b)
{
	int64_t		sum = 0;
	int			i;

	for (i = 0; i < n; i++)
		if (code[i / 8] >> (i % 8) & 1)
			sum += b[i];
	return sum;
}

/* Of one code. */
static int32_t
sum_selected(int set, int n, const uint8_t *code, const int16_t *b)
{
	int32_t		sum;

	sets[set].sum_selected_many(n, 1, code, (size_t) n / 8, b, &sum);
	return sum;
}

/* Of the same code as all of four, which go another way. */
static int32_t
sum_selected_of_four(int set, int n, const uint8_t *code, const int16_t *b)
{
	int32_t		sums[4];

	sets[set].sum_selected_many(n, 4, code, 0, b, sums);
	return sums[0] == sums[1] && sums[0] == sums[2] && sums[0] == sums[3] ?
		sums[0] : -1;
}

static void
check_sum_selected(int n, Selection selection)
{
	/* both begin at an odd address or element */
	uint8_t    *code_memory = allocate((size_t) n / 8 + 1);
	uint8_t    *code = code_memory + 1;
	int16_t    *b_memory = allocate(sizeof(int16_t) * (size_t) (n + 1));
	int16_t    *b = b_memory + 1;
	int64_t		wanted;
	int			s;

	fill_codes((size_t) n / 8, code, selection);
	fill_elements(n, b, selection);
	wanted = define_sum_selected(n, code, b);

	for (s = 0; s < set_count; s++)
	{
		int32_t		got = sum_selected(s, n, code, b);

		CHECK_THAT(got == wanted, "%s: selected sum of %d: got %ld, wanted %ld",
				   sets[s].name, n, (long) got, (long) wanted);
	}
	free(code_memory);
	free(b_memory);
}

/* No bit selects another element than its own. */
static void
check_every_bit(int n)
{
	uint8_t    *code = allocate((size_t) n / 8);
	int16_t    *b = allocate(sizeof(int16_t) * (size_t) n);
	int			i;
	int			s;

	for (i = 0; i < n; i++)
		b[i] = (int16_t) (i + 1);
	for (i = 0; i < n; i++)
	{
		code[i / 8] = (uint8_t) (1 << i % 8);
		for (s = 0; s < set_count; s++)
		{
			CHECK_THAT(sum_selected(s, n, code, b) == i + 1,
					   "%s: bit %d of %d", sets[s].name, i, n);
			CHECK_THAT(sum_selected_of_four(s, n, code, b) == i + 1,
					   "%s: bit %d of %d in four codes", sets[s].name, i, n);
		}
		code[i / 8] = 0;
	}
	free(code);
	free(b);
}

/* Allocations end with the last byte that may be read. */
static void
check_sum_levels(int n, int bits, Selection selection)
{
	size_t		plane = (size_t) n / 8;
	uint8_t    *code = allocate(plane);
	uint8_t    *planes = allocate(plane * (size_t) (bits - 1));
	int16_t    *b = allocate(sizeof(int16_t) * (size_t) n);
	int64_t		wanted;
	int			p;
	int			s;

	fill_codes(plane, code, selection);
	fill_codes(plane * (size_t) (bits - 1), planes, selection);
	fill_elements(n, b, selection);
	wanted = define_sum_selected(n, code, b) * (1 << (bits - 1));
	for (p = 1; p < bits; p++)
		wanted += define_sum_selected(n, planes + (size_t) (p - 1) * plane, b) *
			(1 << (bits - 1 - p));

	for (s = 0; s < set_count; s++)
	{
		int32_t		got = sets[s].sum_levels(n, bits, code, planes, b);

		CHECK_THAT(got == wanted,
				   "%s: sum of %d levels of %d bits: got %ld, wanted %ld",
				   sets[s].name, n, bits, (long) got, (long) wanted);
	}
	free(code);
	free(planes);
	free(b);
}

static void
test_sum_levels(void)
{
	int			n;
	int			bits;

	for (n = 16; n <= 1536; n += 16)
		for (bits = 1; bits <= 4; bits++)
		{
			check_sum_levels(n, bits, SELECT_RANDOM);
			check_sum_levels(n, bits, SELECT_ALL_HIGHEST);
			check_sum_levels(n, bits, SELECT_ALL_LOWEST);
			check_sum_levels(n, bits, SELECT_ALL_LOW_BYTES);
			check_sum_levels(n, bits, SELECT_NONE);
			check_sum_levels(n, bits, SELECT_EXTREME);
		}
}

static void
test_sum_selected(void)
{
	int			n;

	for (n = 16; n <= 1536; n += 16)
	{
		check_sum_selected(n, SELECT_RANDOM);
		check_sum_selected(n, SELECT_ALL_HIGHEST);
		check_sum_selected(n, SELECT_ALL_LOWEST);
		check_sum_selected(n, SELECT_ALL_LOW_BYTES);
		check_sum_selected(n, SELECT_NONE);
		check_sum_selected(n, SELECT_EXTREME);
		check_every_bit(n);
	}
}

/* The same as check_dot_quantised_many checks, of codes; b at an odd element. */
static void
check_sum_selected_many(int n, int count, size_t stride, Selection selection)
{
	const int32_t untouched = INT32_MIN;
	size_t		size = count > 0 ? (size_t) (count - 1) * stride + (size_t) n / 8 : 0;
	uint8_t    *memory = allocate(size + 1);
	uint8_t    *codes = memory + 1;
	int16_t    *b_memory = allocate(sizeof(int16_t) * (size_t) (n + 1));
	int16_t    *b = b_memory + 1;
	int32_t    *out = allocate(sizeof(int32_t) * (size_t) (count + 1));
	int			k;
	int			s;

	fill_codes(size, codes, selection);
	fill_elements(n, b, selection);

	for (s = 0; s < set_count; s++)
	{
		for (k = 0; k <= count; k++)
			out[k] = untouched;
		sets[s].sum_selected_many(n, count, codes, stride, b, out);

		for (k = 0; k < count; k++)
		{
			int64_t		wanted = define_sum_selected(n, codes + (size_t) k * stride,
													 b);

			CHECK_THAT(out[k] == wanted,
					   "%s: selected sum %d of %d of %d: got %ld, wanted %ld",
					   sets[s].name, k, count, n, (long) out[k], (long) wanted);
		}
		CHECK_THAT(out[count] == untouched, "%s: selected sums of %d codes",
				   sets[s].name, count);
	}
	free(memory);
	free(b_memory);
	free(out);
}

static void
test_sum_selected_many(void)
{
	int			n;
	int			count;

	for (n = 16; n <= 1536; n += 16)
	{
		size_t		size = (size_t) n / 8;

		for (count = 0; count <= 9; count++)
		{
			size_t		gap = AnnoyRandomBelow(&random_state, 70);

			check_sum_selected_many(n, count, size + gap, SELECT_RANDOM);
		}
		check_sum_selected_many(n, 9, size, SELECT_RANDOM);
		check_sum_selected_many(n, 9, size, SELECT_ALL_HIGHEST);
		check_sum_selected_many(n, 9, size, SELECT_ALL_LOWEST);
		check_sum_selected_many(n, 9, size, SELECT_ALL_LOW_BYTES);
		check_sum_selected_many(n, 9, size, SELECT_NONE);
		check_sum_selected_many(n, 9, size, SELECT_EXTREME);
		/* all codes are the same one */
		check_sum_selected_many(n, 5, 0, SELECT_RANDOM);
	}
	check_sum_selected_many(1536, 22, 212, SELECT_RANDOM);
	check_sum_selected_many(784, 44, 120, SELECT_RANDOM);
}

static void
test_dequantise(void)
{
	int			n;

	for (n = 16; n <= 1536; n += (n < 256 ? 16 : 160))
	{
		int16_t    *in = allocate(sizeof(int16_t) * (size_t) n);
		float	   *out = allocate(sizeof(float) * (size_t) n);
		float		scale = random_float(-3.0f, 3.0f);
		int			i;
		int			s;

		for (i = 0; i < n; i++)
			in[i] = (int16_t) AnnoyNextRandom(&random_state);
		in[0] = INT16_MIN;
		in[1] = INT16_MAX;
		in[2] = 0;

		for (s = 0; s < set_count; s++)
		{
			int			wrong = 0;

			memset(out, 0xFF, sizeof(float) * (size_t) n);
			sets[s].dequantise(n, in, scale, out);
			for (i = 0; i < n; i++)
				wrong += bits_of(out[i]) != bits_of(scale * (float) in[i]);
			CHECK_THAT(wrong == 0, "%s: dequantise of %d", sets[s].name, n);
		}
		free(in);
		free(out);
	}
}

/* A block of codes with its query table, and what ranking it should give. */
typedef struct RankCase
{
	AnnoyRankParameters parameters;
	uint8_t    *table;			/* 64-byte aligned */
	uint8_t    *memory;			/* holds block at an odd address */
	uint8_t    *block;
	float		f1[16];
	float		f2[16];
	float		wanted[16];
	uint32_t	mask;
} RankCase;

static void
make_rank_case(RankCase *rank, int rows, int linear, int saturated)
{
	size_t		table_size = (size_t) rows * 32;
	int			i;

	rank->table = aligned_alloc(64, (table_size + 63) / 64 * 64);
	if (rank->table == NULL)
		abort();
	rank->memory = allocate((size_t) rows * 16 + 2 * sizeof(rank->f1) + 1);
	rank->block = rank->memory + 1;

	for (i = 0; i < rows * 32; i++)
		rank->table[i] = saturated ? 255 : (uint8_t) AnnoyNextRandom(&random_state);
	for (i = 0; i < rows * 16; i++)
		rank->block[i] = (uint8_t) AnnoyNextRandom(&random_state);
	for (i = 0; i < 16; i++)
	{
		rank->f1[i] = random_float(0.0f, 2.0f);
		rank->f2[i] = random_float(0.0f, 3.0f);
	}

	rank->parameters.table = rank->table;
	rank->parameters.rows = rows;
	rank->parameters.linear = linear;
	rank->parameters.delta = random_float(0.001f, 0.01f);
	rank->parameters.bias = -rank->parameters.delta * (float) rows * 255.0f;
	rank->parameters.base = random_float(0.0f, 5.0f);
	rank->parameters.width = random_float(0.0f, 1.0f);
	rank->parameters.threshold = random_float(0.0f, 5.0f);
}

static void
free_rank_case(RankCase *rank)
{
	free(rank->table);
	free(rank->memory);
}

/* Table sum of an entry, from its 4-bit groups of dimensions. */
static uint32_t
define_sum(const RankCase *rank, int entry)
{
	const int	rows = rank->parameters.rows;
	uint32_t	sum = 0;
	int			row;

	for (row = 0; row < rows; row++)
	{
		int			code = rank->block[row * 16 + entry];

		sum += rank->table[row * 16 + code % 16];
		sum += rank->table[rows * 16 + row * 16 + code / 16];
	}
	return sum;
}

static void
define_ranking(RankCase *rank)
{
	const AnnoyRankParameters *p = &rank->parameters;
	int			i;

	rank->mask = 0;
	for (i = 0; i < 16; i++)
	{
		float		product = p->delta * (float) define_sum(rank, i);
		float		estimate = p->base + rank->f2[i];
		float		b = rank->f1[i] * p->width;
		float		bound;

		product = product + p->bias;
		estimate = estimate - rank->f1[i] * product;
		if (p->linear)
		{
			bound = estimate - b;
			if (isnan(bound) || bound < -FLT_MAX)
				bound = -FLT_MAX;
		}
		else
		{
			if (isnan(estimate) || estimate < 0)
				estimate = 0;
			bound = sqrtf(b * b + estimate) - b;
			if (isnan(bound) || bound < 0)
				bound = 0;
			bound = bound * bound;
		}

		rank->wanted[i] = bound;
		if (bound < p->threshold)
			rank->mask |= 1u << i;
	}
}

static void
check_ranking(RankCase *rank)
{
	int			rows = rank->parameters.rows;
	int			s;

	memcpy(rank->block + rows * 16, rank->f1, sizeof(rank->f1));
	memcpy(rank->block + rows * 16 + sizeof(rank->f1), rank->f2, sizeof(rank->f2));
	define_ranking(rank);

	for (s = 0; s < set_count; s++)
	{
		float		lower[16];
		uint32_t	mask;

		memset(lower, 0xFF, sizeof(lower));
		mask = sets[s].rank_block(&rank->parameters, rank->block, lower);
		CHECK_THAT(same_floats(16, lower, rank->wanted),
				   "%s: bounds of %d rows, linear %d",
				   sets[s].name, rows, rank->parameters.linear);
		CHECK_THAT(mask == rank->mask, "%s: mask of %d rows: got %x, wanted %x",
				   sets[s].name, rows, (unsigned int) mask,
				   (unsigned int) rank->mask);
	}
}

/*
 * Tables full of 255 give the largest sum there is, 192 * 2 * 255, which needs
 * more than 16 bits.
 */
static void
test_rank_block(void)
{
	int			rows;

	for (rows = 2; rows <= 192; rows += 2)
	{
		int			variant;

		for (variant = 0; variant < 4; variant++)
		{
			RankCase	rank;

			make_rank_case(&rank, rows, variant & 1, variant >> 1);
			check_ranking(&rank);

			/* thresholds: equal to a bound (not below it), none, all, NaN */
			rank.parameters.threshold = rank.wanted[rows % 16];
			check_ranking(&rank);
			CHECK((rank.mask >> (rows % 16) & 1) == 0);
			rank.parameters.threshold = -INFINITY;
			check_ranking(&rank);
			CHECK(rank.mask == 0);
			rank.parameters.threshold = INFINITY;
			check_ranking(&rank);
			CHECK(rank.mask == 0xFFFF);
			rank.parameters.threshold = NAN;
			check_ranking(&rank);
			CHECK(rank.mask == 0);
			free_rank_case(&rank);
		}
	}
}

/* No table value is lost or put to another entry. */
static void
test_rank_block_entries(void)
{
	RankCase	rank;
	int			at;

	make_rank_case(&rank, 14, 1, 0);
	memset(rank.table, 0, 14 * 32);
	rank.parameters.delta = -1.0f;
	rank.parameters.bias = 0.0f;
	rank.parameters.base = 0.0f;
	rank.parameters.width = 0.0f;
	rank.parameters.threshold = 0.0f;
	for (at = 0; at < 16; at++)
	{
		rank.f1[at] = 1.0f;
		rank.f2[at] = 0.0f;
	}

	for (at = 0; at < 14 * 32; at++)
	{
		rank.table[at] = 1;
		check_ranking(&rank);
		rank.table[at] = 0;
	}
	free_rank_case(&rank);
}

/* Factors and parameters that are infinite or not numbers. */
static void
test_rank_block_special_values(void)
{
	static const float values[] =
	{0.0f, -0.0f, 1.0f, -1.0f, FLT_MAX, -FLT_MAX, INFINITY, -INFINITY, NAN};
	const uint32_t count = sizeof(values) / sizeof(values[0]);
	int			round;
	int			i;

	for (round = 0; round < 2000; round++)
	{
		RankCase	rank;

		make_rank_case(&rank, 2 + 2 * (round % 8), round & 1, 0);
		for (i = 0; i < 16; i++)
		{
			rank.f1[i] = values[AnnoyRandomBelow(&random_state, count)];
			rank.f2[i] = values[AnnoyRandomBelow(&random_state, count)];
		}
		if (round % 3 == 0)
			rank.parameters.width = values[AnnoyRandomBelow(&random_state, count)];
		if (round % 5 == 0)
			rank.parameters.bias = values[AnnoyRandomBelow(&random_state, count)];
		if (round % 7 == 0)
			rank.parameters.base = values[AnnoyRandomBelow(&random_state, count)];

		check_ranking(&rank);
		for (i = 0; i < 16; i++)
			CHECK(rank.wanted[i] >= -FLT_MAX);
		free_rank_case(&rank);
	}
}

/* An unbounded item, and an infinite width, leave nothing above the bound. */
static void
test_rank_block_documented_limits(void)
{
	int			linear;
	int			i;

	for (linear = 0; linear <= 1; linear++)
	{
		RankCase	rank;

		make_rank_case(&rank, 14, linear, 0);
		rank.f1[3] = 0.0f;
		rank.f2[3] = -FLT_MAX;
		check_ranking(&rank);
		CHECK(linear ? rank.wanted[3] <= -FLT_MAX : rank.wanted[3] == 0.0f);

		rank.parameters.width = INFINITY;
		check_ranking(&rank);
		for (i = 0; i < 16; i++)
			CHECK(rank.wanted[i] == (linear ? -FLT_MAX : 0.0f));
		free_rank_case(&rank);
	}
}

int
main(void)
{
	AnnoySeedRandom(&random_state, 20);
	choose_sets();

	test_reductions();
	test_reductions_of_special_values();
	test_dot_quantised();
	test_dot_quantised_many();
	test_sum_selected();
	test_sum_levels();
	test_sum_selected_many();
	test_dequantise();
	test_rank_block();
	test_rank_block_entries();
	test_rank_block_special_values();
	test_rank_block_documented_limits();
	return check_report();
}

/*-------------------------------------------------------------------------
 *
 * test_kernel_sketch.c
 *	  Proves that the plain kernels of sketches, codes and query tables compute
 *	  what kernel.h says, and that every other set that this processor runs
 *	  returns the same bits.
 *
 * Inputs lie in allocations of exactly their size, so that the address
 * sanitizer sees an access beyond the end.
 *
 *-------------------------------------------------------------------------
 */
#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "sets.h"

#define LANES 16

static bool
same_doubles(double a, double b)
{
	return memcmp(&a, &b, sizeof(a)) == 0;
}

/* Sizes of sketches: all small ones, then some. */
static int
next_size(int n)
{
	return n + (n < 256 ? 16 : 160);
}

static float *
copy_floats(int n, const float *x)
{
	float	   *copy = allocate(sizeof(float) * (size_t) n);

	memcpy(copy, x, sizeof(float) * (size_t) n);
	return copy;
}

static int8_t *
random_bytes(int n)
{
	int8_t	   *x = allocate((size_t) n);
	int			i;

	for (i = 0; i < n; i++)
		x[i] = (int8_t) ((int) AnnoyRandomBelow(&random_state, 255) - 127);
	return x;
}

static int16_t *
random_words(int n)
{
	int16_t    *x = allocate(sizeof(int16_t) * (size_t) n);
	int			i;

	for (i = 0; i < n; i++)
		x[i] = (int16_t) ((int) AnnoyRandomBelow(&random_state, 2 * 8191 + 1) -
						  8191);
	return x;
}

/* The order of additions as kernel.h words it. */
static double
reduce_doubles(double *sum)
{
	int			half;
	int			i;

	for (half = LANES / 2; half > 0; half /= 2)
		for (i = 0; i < half; i++)
			sum[i] += sum[i + half];
	return sum[0];
}

static float
reduce_floats(float *sum)
{
	int			half;
	int			i;

	for (half = LANES / 2; half > 0; half /= 2)
		for (i = 0; i < half; i++)
			sum[i] += sum[i + half];
	return sum[0];
}

static int
parity(unsigned int x)
{
	int			odd = 0;

	for (; x != 0; x &= x - 1)
		odd = !odd;
	return odd;
}

/* out[i] = sum over j of (-1)^(number of common bits of i and j) * in[j] */
static void
check_hadamard_definition(int n, const float *in, const float *out)
{
	double		largest = 0;
	double		size = 0;
	int			i;
	int			j;

	for (i = 0; i < n; i++)
	{
		double		sum = 0;

		for (j = 0; j < n; j++)
			sum += parity((unsigned int) (i & j)) ? -in[j] : in[j];
		largest = fmax(largest, fabs(sum - out[i]));
		size += fabs(in[i]);
	}
	CHECK_THAT(largest <= size * 1e-6,
			   "transform of %d is off by %g", n, largest);
}

/* Runs anywhere in 1000 of them, signs and exchanges as they come. */
static AnnoyRunPlan *
random_plan(int runs)
{
	AnnoyRunPlan *plan = allocate(sizeof(AnnoyRunPlan) * (size_t) runs);
	int			i;

	for (i = 0; i < runs; i++)
	{
		plan[i].from = (uint16_t) AnnoyRandomBelow(&random_state, 16000);
		plan[i].signs = (uint16_t) AnnoyNextRandom(&random_state);
	}
	plan[0].from = 15999;
	plan[runs - 1].from = 0;
	return plan;
}

static void
test_rotate_block(void)
{
	int			n;

	for (n = 16; n <= 8192; n *= 2)
	{
		AnnoyRunPlan *plan = random_plan(n / 16);
		float	   *in = random_floats(16000);
		float	   *fetched = allocate(sizeof(float) * (size_t) n);
		float	   *wanted = allocate(sizeof(float) * (size_t) n);
		float	   *got = allocate(sizeof(float) * (size_t) n);
		float		factor = random_float(0.1f, 3.0f);
		int			variant;

		for (variant = 0; variant < 3; variant++)
		{
			int			i;
			int			s;

			/* signs of zeroes; and small integers, which sum exactly */
			for (i = 0; i < 16000 && variant == 1; i++)
				in[i] = (AnnoyNextRandom(&random_state) & 1) ? 0.0f : -0.0f;
			for (i = 0; i < 16000 && variant == 2; i++)
				in[i] = (float) AnnoyRandomBelow(&random_state, 16);
			if (variant == 2)
				factor = 1.0f;

			for (i = 0; i < n; i++)
			{
				float		value = in[plan[i / 16].from ^ (i % 16)] * factor;

				fetched[i] = plan[i / 16].signs >> i % 16 & 1 ? -value : value;
			}
			sets[0].rotate_block(n, plan, in, factor, wanted);
			if (n <= 1024)
				check_hadamard_definition(n, fetched, wanted);

			for (s = 1; s < set_count; s++)
			{
				memset(got, 0xFF, sizeof(float) * (size_t) n);
				sets[s].rotate_block(n, plan, in, factor, got);
				CHECK_THAT(same_floats(n, got, wanted),
						   "%s: rotation of %d, %d", sets[s].name, n, variant);
			}
		}
		free(plan);
		free(in);
		free(fetched);
		free(wanted);
		free(got);
	}
}

static void
test_means(void)
{
	int			n;

	for (n = 16; n <= 1536; n = next_size(n))
	{
		int16_t    *words = random_words(n);
		float	   *item = random_floats(n);
		float	   *mean = random_floats(n);
		float		scale = random_float(-3.0f, 3.0f);
		int			s;

		for (s = 0; s < set_count; s++)
		{
			float	   *sum = copy_floats(n, mean);
			float	   *joined = copy_floats(n, mean);
			int			wrong = 0;
			int			i;

			sets[s].add_dequantised(n, words, scale, sum);
			sets[s].join_mean(n, item, scale, joined);
			for (i = 0; i < n; i++)
			{
				float		term = scale * (float) words[i];
				float		change = (item[i] - mean[i]) * scale;

				wrong += bits_of(sum[i]) != bits_of(mean[i] + term);
				wrong += bits_of(joined[i]) != bits_of(mean[i] + change);
			}
			CHECK_THAT(wrong == 0, "%s: means of %d", sets[s].name, n);
			free(sum);
			free(joined);
		}
		free(words);
		free(item);
		free(mean);
	}
}

static void
test_square_sum(void)
{
	int			n;

	for (n = 1; n <= 16000; n += n < 100 ? 1 : 1590)
	{
		float	   *x = random_floats(n);
		double		sum[LANES] = {0};
		double		wanted;
		int			i;
		int			s;

		if (n % 3 == 0)
			x[n - 1] = 3e38f;
		for (i = 0; i < n; i++)
			sum[i % LANES] += (double) x[i] * (double) x[i];
		wanted = reduce_doubles(sum);
		for (s = 0; s < set_count; s++)
			CHECK_THAT(same_doubles(sets[s].square_sum(n, x), wanted),
					   "%s: squares of %d", sets[s].name, n);

		x[n / 2] = n % 2 ? NAN : INFINITY;
		for (s = 0; s < set_count; s++)
			CHECK(!isfinite(sets[s].square_sum(n, x)));
		free(x);
	}
}

static void
test_scale(void)
{
	static const double factors[] = {1.0, 0.3, 1e40};
	int			n;

	for (n = 1; n <= 2000; n += n < 100 ? 1 : 190)
	{
		float	   *in = random_floats(n);
		float	   *out = allocate(sizeof(float) * (size_t) n);
		int			variant;
		int			s;

		/* beyond float is the factor, not the result */
		for (variant = 0; variant < 3; variant++)
			for (s = 0; s < set_count; s++)
			{
				double		factor = factors[variant];
				int			wrong = 0;
				int			i;

				if (factor > 1.0)
					for (i = 0; i < n; i++)
						in[i] = 1e-40f;
				sets[s].scale(n, in, factor, out);
				for (i = 0; i < n; i++)
					wrong += bits_of(out[i]) !=
						bits_of((float) ((double) in[i] * factor));
				CHECK_THAT(wrong == 0, "%s: %d scaled, %d", sets[s].name, n,
						   variant);
			}
		free(in);
		free(out);
	}
}

static void
check_quantised(int n, const float *x, float largest)
{
	float		inverse = 8191.0f / largest;
	float		scale = largest / 8191.0f;
	int16_t    *wanted = allocate(sizeof(int16_t) * (size_t) n);
	int16_t    *got = allocate(sizeof(int16_t) * (size_t) n);
	int64_t		squares = 0;
	double		sum[LANES] = {0};
	double		changed;
	int			i;
	int			s;

	for (i = 0; i < n; i++)
	{
		double		change = (double) x[i];

		wanted[i] = (int16_t) lrintf(x[i] * inverse);
		squares += wanted[i] * wanted[i];
		change -= (double) (scale * (float) wanted[i]);
		sum[i % LANES] += change * change;
	}
	changed = reduce_doubles(sum);

	for (s = 0; s < set_count; s++)
	{
		float	   *copy = copy_floats(n, x);
		int			wrong = 0;

		memset(got, 0x55, sizeof(int16_t) * (size_t) n);
		CHECK_THAT(bits_of(sets[s].largest_absolute(n, x)) == bits_of(largest),
				   "%s: largest of %d", sets[s].name, n);
		CHECK_THAT(sets[s].quantise(n, x, inverse, got) == squares &&
				   memcmp(got, wanted, sizeof(int16_t) * (size_t) n) == 0,
				   "%s: %d quantised", sets[s].name, n);
		CHECK_THAT(same_doubles(sets[s].requantise(n, got, scale, copy),
								changed),
				   "%s: change of %d", sets[s].name, n);
		for (i = 0; i < n; i++)
			wrong += bits_of(copy[i]) != bits_of(scale * (float) wanted[i]);
		CHECK(wrong == 0);
		free(copy);
	}
	free(wanted);
	free(got);
}

/* Also halves, and the largest sum of squares that there is. */
static void
test_quantise(void)
{
	int			n;

	for (n = 16; n <= 1536; n = next_size(n))
	{
		float	   *x = random_floats(n);
		float		largest = 0.0f;
		int			i;

		for (i = 0; i < n; i++)
			largest = fmaxf(largest, fabsf(x[i]));
		check_quantised(n, x, largest);

		for (i = 0; i < n; i++)
			x[i] = (float) ((int) AnnoyRandomBelow(&random_state, 100) - 50) +
				0.5f;
		x[n - 1] = -8191.0f;
		check_quantised(n, x, 8191.0f);

		for (i = 0; i < n; i++)
			x[i] = i % 3 ? 8191.0f : -8191.0f;
		check_quantised(n, x, 8191.0f);
		free(x);
	}
}

static void
check_code(int n, const float *x, const int8_t *centroid, float scale)
{
	uint8_t    *wanted = allocate((size_t) n / 8);
	uint8_t    *code = allocate((size_t) n / 8);
	float		squares[LANES] = {0};
	float		sizes[LANES] = {0};
	float		signed_centroid[LANES] = {0};
	float		sums[3];
	int			i;
	int			s;

	for (i = 0; i < n; i++)
	{
		float		c = scale * (float) centroid[i];
		float		residual = x[i] - c;

		squares[i % LANES] += residual * residual;
		sizes[i % LANES] += fabsf(residual);
		signed_centroid[i % LANES] += residual >= 0.0f ? c : -c;
		wanted[i / 8] |= (uint8_t) ((residual >= 0.0f) << i % 8);
	}
	sums[0] = reduce_floats(squares);
	sums[1] = reduce_floats(sizes);
	sums[2] = reduce_floats(signed_centroid);

	for (s = 0; s < set_count; s++)
	{
		float		got[3];

		memset(code, 0x55, (size_t) n / 8);
		sets[s].encode(n, x, centroid, scale, code, got);
		CHECK_THAT(same_floats(3, got, sums) &&
				   memcmp(code, wanted, (size_t) n / 8) == 0,
				   "%s: code of %d", sets[s].name, n);
	}
	free(wanted);
	free(code);
}

static void
check_levels(int n, const float *x, const int8_t *centroid, float scale,
			 int bits, float inverse_step)
{
	size_t		size = (size_t) n / 8 * (size_t) (bits - 1);
	uint8_t    *wanted = allocate(size);
	uint8_t    *planes = allocate(size);
	float		sizes[LANES] = {0};
	float		signed_centroid[LANES] = {0};
	float		sums[2];
	int			largest = (1 << (bits - 1)) - 1;
	int			i;
	int			p;
	int			s;

	for (i = 0; i < n; i++)
	{
		float		c = scale * (float) centroid[i];
		float		residual = x[i] - c;
		float		size_in_steps = fabsf(residual) * inverse_step;
		int			step = size_in_steps < (float) largest ?
			(int) size_in_steps : largest;
		float		weight = (float) step + 0.5f;

		sizes[i % LANES] += fabsf(residual) * weight;
		signed_centroid[i % LANES] += (residual >= 0.0f ? c : -c) * weight;
		if (!(residual >= 0.0f))
			step = largest - step;
		for (p = 0; p < bits - 1; p++)
			wanted[p * (n / 8) + i / 8] |=
				(uint8_t) ((step >> (bits - 2 - p) & 1) << i % 8);
	}
	sums[0] = reduce_floats(sizes);
	sums[1] = reduce_floats(signed_centroid);

	for (s = 0; s < set_count; s++)
	{
		float		got[2];

		memset(planes, 0x55, size);
		sets[s].encode_levels(n, x, centroid, scale, bits, inverse_step, planes,
							  got);
		CHECK_THAT(same_floats(2, got, sums) &&
				   memcmp(planes, wanted, size) == 0,
				   "%s: levels of %d, %d bits", sets[s].name, n, bits);
	}
	free(wanted);
	free(planes);
}

/* Steps such that many, few or all are in the last one. */
static void
check_all_levels(int n, const float *x, const int8_t *centroid, float scale)
{
	int			bits;

	for (bits = 2; bits <= 4; bits++)
	{
		check_levels(n, x, centroid, scale, bits, 0.1f);
		check_levels(n, x, centroid, scale, bits, 1.0f);
		check_levels(n, x, centroid, scale, bits, 30.0f);
		check_levels(n, x, centroid, scale, bits, 1e30f);
		check_levels(n, x, centroid, scale, bits, 1e-38f);
		check_levels(n, x, centroid, scale, bits, INFINITY);
	}
}

static void
check_product_terms(int n, const float *x, const int8_t *centroid,
					float scale, const float *centre)
{
	float		sum[LANES] = {0};
	float		wanted;
	int			i;
	int			s;

	for (i = 0; i < n; i++)
	{
		float		c = scale * (float) centroid[i];
		float		rest = c - 2.0f * x[i];

		sum[i % LANES] += c * rest;
	}
	for (i = 0; i < n && centre != NULL; i++)
	{
		float		doubled = 2.0f * x[i];

		sum[i % LANES] -= doubled * centre[i];
	}
	wanted = reduce_floats(sum);
	for (s = 0; s < set_count; s++)
		CHECK_THAT(bits_of(sets[s].product_terms(n, x, centroid, scale,
												 centre)) == bits_of(wanted),
				   "%s: terms of %d", sets[s].name, n);
}

/* Also residuals that are zero, of either sign. */
static void
test_encode(void)
{
	int			n;

	for (n = 16; n <= 1536; n = next_size(n))
	{
		float	   *x = random_floats(n);
		float	   *centre = random_floats(n);
		int8_t	   *centroid = random_bytes(n);
		int			i;

		check_code(n, x, centroid, 0.01f);
		check_all_levels(n, x, centroid, 0.01f);
		check_product_terms(n, x, centroid, 0.01f, centre);
		check_product_terms(n, x, centroid, 0.01f, NULL);
		for (i = 0; i < n; i += 3)
			x[i] = 0.01f * (float) centroid[i];
		x[1] = -0.0f;
		centroid[1] = 0;
		check_code(n, x, centroid, 0.01f);
		check_code(n, x, centroid, 0.0f);
		check_all_levels(n, x, centroid, 0.01f);
		check_all_levels(n, x, centroid, 0.0f);
		free(x);
		free(centre);
		free(centroid);
	}
}

/* Twice the larger of what a dimension adds, by its bit in the pattern. */
static float
gain(float q, int set)
{
	float		doubled = set ? 2.0f * q : -2.0f * q;

	return doubled > 0.0f ? doubled : 0.0f;
}

static void
check_table(int n, const float *q)
{
	size_t		size = (size_t) n * 4;
	uint8_t    *wanted = allocate(size);
	uint8_t    *got = allocate(size);
	double		sum[LANES] = {0};
	double		total;
	float		largest = 0.0f;
	float		inverse;
	int			group;
	int			pattern;
	int			i;
	int			s;

	for (i = 0; i < n; i++)
		sum[i % LANES] += (double) fabsf(q[i]);
	total = reduce_doubles(sum);
	for (i = 0; i < n; i += 4)
		largest = fmaxf(largest, (fabsf(q[i]) + fabsf(q[i + 1])) +
						(fabsf(q[i + 2]) + fabsf(q[i + 3])));
	inverse = 255.0f / (2.0f * largest);

	for (group = 0; group < n / 4; group++)
		for (pattern = 0; pattern < 16; pattern++)
		{
			const float *x = q + 4 * group;
			float		low = gain(x[0], pattern & 1) +
				gain(x[1], pattern & 2);
			float		high = gain(x[2], pattern & 4) +
				gain(x[3], pattern & 8);
			int			row = group / 2 + group % 2 * (n / 8);
			int			entry = (int) ((low + high) * inverse + 0.5f);

			CHECK(entry >= 0 && entry <= 255);
			wanted[16 * row + pattern] = (uint8_t) entry;
		}

	for (s = 0; s < set_count; s++)
	{
		float		got_largest;

		CHECK_THAT(same_doubles(sets[s].measure_groups(n, q, &got_largest),
								total) &&
				   bits_of(got_largest) == bits_of(largest),
				   "%s: groups of %d", sets[s].name, n);
		memset(got, 0x55, size);
		sets[s].fill_table(n, q, inverse, got);
		CHECK_THAT(memcmp(got, wanted, size) == 0, "%s: table of %d",
				   sets[s].name, n);
	}
	free(wanted);
	free(got);
}

static void
test_tables(void)
{
	int			n;

	for (n = 16; n <= 1536; n = next_size(n))
	{
		float	   *q = random_floats(n);
		int			i;

		check_table(n, q);
		for (i = 0; i < n; i += 5)
			q[i] = i % 2 ? 0.0f : -0.0f;
		check_table(n, q);
		free(q);
	}
}

static void
test_transpose_codes(void)
{
	int			rows;

	for (rows = 2; rows <= 192; rows += 2)
	{
		int			entries;

		for (entries = 1; entries <= 16; entries += 1 + rows % 3)
		{
			size_t		stride = (size_t) rows + (size_t) (entries % 4) * 7;
			size_t		size = stride * (size_t) (entries - 1) + (size_t) rows;
			uint8_t    *in = allocate(size);
			uint8_t    *out = allocate((size_t) rows * 16);
			size_t		k;
			int			s;

			for (k = 0; k < size; k++)
				in[k] = (uint8_t) AnnoyNextRandom(&random_state);
			for (s = 0; s < set_count; s++)
			{
				int			wrong = 0;
				int			r;
				int			i;

				memset(out, 0x55, (size_t) rows * 16);
				sets[s].transpose_codes(entries, rows, in, stride, out);
				for (r = 0; r < rows; r++)
					for (i = 0; i < 16; i++)
						wrong += out[r * 16 + i] !=
							(i < entries ? in[(size_t) i * stride + (size_t) r] : 0);
				CHECK_THAT(wrong == 0, "%s: %d codes of %d bytes",
						   sets[s].name, entries, rows);
			}
			free(in);
			free(out);
		}
	}
}

int
main(void)
{
	AnnoySeedRandom(&random_state, 21);
	choose_sets();

	test_rotate_block();
	test_means();
	test_square_sum();
	test_scale();
	test_quantise();
	test_encode();
	test_tables();
	test_transpose_codes();
	return check_report();
}

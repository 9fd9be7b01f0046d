/*-------------------------------------------------------------------------
 *
 * test_sketch.c
 *	  Proves that the rotation keeps inner products, cuts evenly and is as good
 *	  for sparse vectors as for dense ones, and that extreme vectors do no
 *	  harm.  "test_sketch time" prints what a sketch, a code and a query cost
 *	  instead.
 *
 *-------------------------------------------------------------------------
 */
#define _POSIX_C_SOURCE 200809L

#include <float.h>
#include <inttypes.h>
#include <time.h>

#include "bench.h"
#include "check.h"

static void
test_shapes(void)
{
	CHECK(AnnoySketchDimensions(1) == 16);
	CHECK(AnnoySketchDimensions(16) == 16);
	CHECK(AnnoySketchDimensions(17) == 32);
	CHECK(AnnoySketchDimensions(784) == 784);
	CHECK(AnnoySketchDimensions(1536) == 1536);
	CHECK(AnnoySketchDimensions(1537) == 1536);
	CHECK(AnnoySketchDimensions(16000) == 1536);
}

/* Where nothing is cut away, inner products and norms are kept. */
static void
test_orthonormal(void)
{
	static const int dimensions[] = {1, 2, 15, 16, 17, 100, 112, 128, 784, 1000,
	1536};
	size_t		k;

	for (k = 0; k < sizeof(dimensions) / sizeof(dimensions[0]); k++)
	{
		int			d = dimensions[k];
		int			s = AnnoySketchDimensions(d);
		float	   *a = allocate_floats((size_t) d);
		float	   *b = allocate_floats((size_t) d);
		Bench		bench;
		AnnoyRandom random;
		int			trial;

		open_bench(&bench, ANNOY_METRIC_L2, d, 42, NULL, 0.0f);
		AnnoySeedRandom(&random, (uint64_t) d);
		for (trial = 0; trial < 20; trial++)
		{
			double		scale;
			double		wanted;
			double		got;
			int			i;

			for (i = 0; i < d; i++)
			{
				a[i] = gaussian(&random);
				b[i] = trial % 2 ? gaussian(&random) : (float) (i == trial % d);
			}
			scale = sqrt(product(d, a, a) * product(d, b, b));
			wanted = product(d, a, b);
			sketch_of(&bench, a, bench.sketch);
			sketch_of(&bench, b, bench.other);
			got = product(s, bench.sketch, bench.other);
			CHECK_THAT(fabs(got - wanted) <= 1e-5 * scale,
					   "d = %d: product %g instead of %g", d, got, wanted);
			got = product(s, bench.sketch, bench.sketch);
			wanted = product(d, a, a);
			CHECK_THAT(fabs(got - wanted) <= 1e-5 * wanted,
					   "d = %d: square %g instead of %g", d, got, wanted);
		}
		close_bench(&bench);
		free(a);
		free(b);
	}
}

typedef enum Sparsity
{
	ONE_HOT, RUN_OF_16, RUN_OF_29, TEN_OF_ALL, DENSE, SPARSITIES
} Sparsity;

static void
draw_sparse(float *vector, int d, Sparsity sparsity, AnnoyRandom *random)
{
	int			length = sparsity == RUN_OF_29 ? 29 : 16;
	int			start = (int) AnnoyRandomBelow(random, (uint32_t) (d - length));
	int			i;

	memset(vector, 0, (size_t) d * sizeof(float));
	switch (sparsity)
	{
		case ONE_HOT:
			vector[AnnoyRandomBelow(random, (uint32_t) d)] = 1.0f;
			break;
		case RUN_OF_16:
		case RUN_OF_29:
			for (i = start; i < start + length; i++)
				vector[i] = 1.0f;
			break;
		case TEN_OF_ALL:
			for (i = 0; i < 10; i++)
				vector[AnnoyRandomBelow(random, (uint32_t) d)] =
					gaussian(random);
			break;
		default:
			for (i = 0; i < d; i++)
				vector[i] = gaussian(random);
	}
}

/*
 * Where dimensions are cut away, the energy kept is that of a random rotation
 * however sparse the vector: unbiased, relative deviation
 * sqrt(2 / s * (1 - s / p)), which AnnoyBoundToDistance assumes.
 */
static void
test_even_when_cut(void)
{
	static const int dimensions[] = {1537, 1600, 2000, 3000, 3072, 4096, 16000};
	size_t		k;

	for (k = 0; k < sizeof(dimensions) / sizeof(dimensions[0]); k++)
	{
		int			d = dimensions[k];
		int			trials = d > 8000 ? 300 : 800;
		float	   *vector = allocate_floats((size_t) d);
		int			sparsity;

		for (sparsity = 0; sparsity < SPARSITIES; sparsity++)
		{
			AnnoyRandom random;
			double		sum = 0.0;
			double		squares = 0.0;
			double		mean;
			double		deviation;
			double		claimed = 0.0;
			int			trial;

			AnnoySeedRandom(&random, 7);
			for (trial = 0; trial < trials; trial++)
			{
				static Bench bench;
				double		kept;

				/* several rotations: one alone is one sample of its kind */
				if (trial % 100 == 0)
					open_bench(&bench, ANNOY_METRIC_L2, d, (uint64_t) trial,
							   NULL, 0.0f);
				draw_sparse(vector, d, sparsity, &random);
				sketch_of(&bench, vector, bench.sketch);
				kept = product(1536, bench.sketch, bench.sketch) /
					product(d, vector, vector);
				sum += kept;
				squares += kept * kept;
				claimed = sqrt(2.0 * (1.0 / 1536 -
									  1.0 / bench.sketcher.padded));
				if (trial % 100 == 99)
					close_bench(&bench);
			}
			mean = sum / trials;
			deviation = sqrt(squares / trials - mean * mean);
			CHECK_THAT(fabs(mean - 1.0) < 5.0 * claimed / sqrt(trials) + 1e-5,
					   "d = %d, sparsity %d: kept %g", d, sparsity, mean);
			CHECK_THAT(deviation > 0.85 * claimed &&
					   deviation < 1.15 * claimed,
					   "d = %d, sparsity %d: deviation %g instead of %g",
					   d, sparsity, deviation, claimed);
		}
		free(vector);
	}
}

/*
 * Where dimensions are cut away, inner products err like those of random
 * projections, in the tails as well: the bounds' epsilon counts deviations.
 */
static void
test_products_when_cut(void)
{
	static const int dimensions[] = {1600, 2000, 3072};
	const int	rotations = 600;
	size_t		k;

	for (k = 0; k < sizeof(dimensions) / sizeof(dimensions[0]); k++)
	{
		int			d = dimensions[k];
		float	   *a = allocate_floats((size_t) d);
		float	   *b = allocate_floats((size_t) d);
		int			sparsity;

		for (sparsity = 0; sparsity < SPARSITIES; sparsity++)
		{
			AnnoyRandom random;
			double		squares = 0.0;
			int			beyond = 0;
			int			rotation;

			AnnoySeedRandom(&random, 8);
			for (rotation = 0; rotation < rotations; rotation++)
			{
				Bench		bench;
				double		norms;
				double		wanted;
				double		error;

				open_bench(&bench, ANNOY_METRIC_L2, d, (uint64_t) rotation,
						   NULL, 0.0f);
				draw_sparse(a, d, sparsity, &random);
				draw_sparse(b, d, DENSE, &random);
				sketch_of(&bench, a, bench.sketch);
				sketch_of(&bench, b, bench.other);
				norms = product(d, a, a) * product(d, b, b);
				wanted = product(d, a, b);
				error = product(1536, bench.sketch, bench.other) - wanted;
				error /= sqrt((norms + wanted * wanted) *
							  (1.0 / 1536 - 1.0 / bench.sketcher.padded));
				squares += error * error;
				beyond += fabs(error) > 3.0;
				close_bench(&bench);
			}
			CHECK_THAT(fabs(sqrt(squares / rotations) - 1.0) < 0.1,
					   "d = %d, sparsity %d: deviation %g", d, sparsity,
					   sqrt(squares / rotations));
			CHECK_THAT(beyond < rotations / 100,
					   "d = %d, sparsity %d: %d of %d beyond 3", d, sparsity,
					   beyond, rotations);
		}
		free(a);
		free(b);
	}
}

/* The sketcher's own sketch of its centre, for every number of rounds. */
static void
test_rotated_centre(void)
{
	static const int dimensions[] = {10, 48, 100, 300, 784, 2000};
	size_t		k;

	for (k = 0; k < sizeof(dimensions) / sizeof(dimensions[0]); k++)
	{
		int			d = dimensions[k];
		float	   *centre = allocate_floats((size_t) d);
		Bench		bench;
		Bench		centred;
		AnnoyRandom random;
		int			i;

		AnnoySeedRandom(&random, 4);
		for (i = 0; i < d; i++)
			centre[i] = gaussian(&random);
		open_bench(&bench, ANNOY_METRIC_L2, d, 6, NULL, 0.0f);
		open_bench(&centred, ANNOY_METRIC_L2, d, 6, centre, 0.0f);
		CHECK(sketch_of(&bench, centre, bench.sketch));
		CHECK_THAT(memcmp(bench.sketch, centred.sketcher.rotated_centre,
						  (size_t) AnnoySketchDimensions(d) * sizeof(float)) == 0,
				   "centre of d = %d", d);
		close_bench(&bench);
		close_bench(&centred);
		free(centre);
	}
}

/*
 * Vectors far from the origin, ten thousand times as far as from each other,
 * lose no more than their own last places, although they are rotated before
 * they are centred: 4 to 8 times what rounding them to float has lost.  And a centre that comes later changes nothing.
 */
static void
test_far_from_origin(void)
{
	static const int dimensions[] = {10, 100, 784, 1536, 3072};
	const float distance = 1e4f;
	const int	trials = 20;
	size_t		k;

	for (k = 0; k < sizeof(dimensions) / sizeof(dimensions[0]); k++)
	{
		int			d = dimensions[k];
		int			s = AnnoySketchDimensions(d);
		/* of half a last place, evenly distributed */
		double		input = sqrt(d / 12.0) *
			(nextafterf(distance, 2.0f * distance) - distance);
		double		squares = 0.0;
		float	   *centre = allocate_floats((size_t) d);
		float	   *vector = allocate_floats((size_t) d);
		float	   *residual = allocate_floats((size_t) d);
		Bench		bench;
		Bench		centred;
		AnnoyRandom random;
		int			trial;
		int			i;

		AnnoySeedRandom(&random, 14);
		for (i = 0; i < d; i++)
			centre[i] = distance * (i % 3 ? 1.0f : -0.7f);
		open_bench(&bench, ANNOY_METRIC_L2, d, 6, NULL, 0.0f);
		open_bench(&centred, ANNOY_METRIC_L2, d, 6, centre, 0.0f);
		for (trial = 0; trial < trials; trial++)
		{
			double		square = 0.0;

			for (i = 0; i < d; i++)
			{
				vector[i] = centre[i] + gaussian(&random);
				residual[i] = vector[i] - centre[i];
			}
			CHECK(sketch_of(&centred, vector, centred.sketch));
			CHECK(sketch_of(&bench, vector, bench.sketch));
			AnnoyCentreSketch(&centred.sketcher, bench.sketch);
			CHECK_THAT(memcmp(bench.sketch, centred.sketch,
							  (size_t) s * sizeof(float)) == 0,
					   "centred later, d = %d", d);

			/* the difference is exact, and small numbers are rotated well */
			CHECK(sketch_of(&bench, residual, bench.sketch));
			for (i = 0; i < s; i++)
				square += ((double) centred.sketch[i] - bench.sketch[i]) *
					((double) centred.sketch[i] - bench.sketch[i]);
			squares += square;
		}
		CHECK_THAT(sqrt(squares / trials) < 9.0 * input,
				   "d = %d: sketches are off by %g times the input's rounding",
				   d, sqrt(squares / trials) / input);
		close_bench(&bench);
		close_bench(&centred);
		free(centre);
		free(vector);
		free(residual);
	}
}

/*
 * Where nothing is cut away, the code of a sparse vector is worth as much as
 * that of a dense one: the part of its signs along it is 2 / pi of all,
 * squared, and varies as little over rotations.
 */
static void
test_codes_of_sparse_vectors(void)
{
	static const int dimensions[] = {30, 48, 100, 112, 200, 300, 528, 784, 1536};
	const int	trials = 1000;
	size_t		k;

	for (k = 0; k < sizeof(dimensions) / sizeof(dimensions[0]); k++)
	{
		int			d = dimensions[k];
		int			s = AnnoySketchDimensions(d);
		float	   *vector = allocate_floats((size_t) d);
		double		deviation[SPARSITIES];
		double		mean[SPARSITIES];
		int			sparsity;

		for (sparsity = 0; sparsity < SPARSITIES; sparsity++)
		{
			AnnoyRandom random;
			double		sum = 0.0;
			double		squares = 0.0;
			int			trial;

			AnnoySeedRandom(&random, 5);
			for (trial = 0; trial < trials; trial++)
			{
				static Bench bench;
				double		sizes = 0.0;
				double		share;
				int			i;

				if (trial % 5 == 0)
					open_bench(&bench, ANNOY_METRIC_L2, d, (uint64_t) trial,
							   NULL, 0.0f);
				draw_sparse(vector, d, sparsity, &random);
				sketch_of(&bench, vector, bench.sketch);
				for (i = 0; i < s; i++)
					sizes += fabs(bench.sketch[i]);
				share = sizes * sizes / s /
					product(s, bench.sketch, bench.sketch);
				sum += share;
				squares += share * share;
				if (trial % 5 == 4)
					close_bench(&bench);
			}
			mean[sparsity] = sum / trials;
			deviation[sparsity] = sqrt(squares / trials -
									   mean[sparsity] * mean[sparsity]);
		}
		for (sparsity = 0; sparsity < SPARSITIES; sparsity++)
		{
			CHECK_THAT(fabs(mean[sparsity] - mean[DENSE]) < 0.01,
					   "d = %d, sparsity %d: %g along it", d, sparsity,
					   mean[sparsity]);
			CHECK_THAT(deviation[sparsity] < 1.2 * deviation[DENSE],
					   "d = %d, sparsity %d: deviation %g instead of %g",
					   d, sparsity, deviation[sparsity], deviation[DENSE]);
		}
		free(vector);
	}
}

static void
test_quantisation(void)
{
	float		sketch[32];
	int16_t		wide[32];
	int8_t		narrow[32];
	AnnoyRandom random;
	float		scale;
	int			trial;
	int			i;

	AnnoySeedRandom(&random, 3);
	for (trial = 0; trial < 200; trial++)
	{
		float		size = powf(10.0f, (float) (trial % 60 - 28));

		for (i = 0; i < 32; i++)
			sketch[i] = gaussian(&random) * size;
		scale = AnnoyQuantiseSketch(32, sketch, wide);
		for (i = 0; i < 32; i++)
			CHECK(fabs((double) sketch[i] - (double) scale * wide[i]) <=
				  0.501 * scale && abs(wide[i]) <= ANNOY_QUANTISED_MAX);
		scale = AnnoyQuantiseDirection(32, sketch, narrow);
		for (i = 0; i < 32; i++)
			CHECK(fabs((double) sketch[i] - (double) scale * narrow[i]) <=
				  0.501 * scale && abs(narrow[i]) <= 127);
	}

	for (i = 0; i < 32; i++)
		sketch[i] = i == 5 ? -0.99e-30f : 0.0f;
	memset(wide, 1, sizeof(wide));
	memset(narrow, 1, sizeof(narrow));
	CHECK(AnnoyQuantiseSketch(32, sketch, wide) == 0.0f && wide[5] == 0);
	CHECK(AnnoyQuantiseDirection(32, sketch, narrow) == 0.0f && narrow[5] == 0);
	memset(narrow, -127, sizeof(narrow));
	CHECK(AnnoyQuantisedNorm(32, narrow) == 32 * 127 * 127);
}

/*
 * Lower bound of one item for one query, relative to a centroid that is the
 * item's own sketch, halved.
 */
static double
bound_of(Bench *bench, const float *item, const float *query_vector,
		 float epsilon)
{
	const AnnoySketcher *sketcher = &bench->sketcher;
	int			s = sketcher->sketch_dimensions;
	int8_t		centroid[ANNOY_MAX_SKETCH_DIMENSIONS];
	uint8_t		code[ANNOY_MAX_SKETCH_DIMENSIONS / 8];
	uint8_t    *block = allocate((size_t) s / 8 * 16 + 32 * sizeof(float));
	float	   *factors = (float *) (block + s / 8 * 16);
	float		lower[16];
	float		scale;
	float		extra;
	float		distance;
	bool		unbounded;
	AnnoyQuery	query;
	uint32_t	survivors;
	int			i;

	memset(block, 0, (size_t) s / 8 * 16 + 32 * sizeof(float));
	CHECK(AnnoyMakeSketch(sketcher, item, bench->scratch, bench->sketch,
						  &extra, &unbounded));
	CHECK(isfinite(extra) && extra >= 0.0f);
	for (i = 0; i < s; i++)
		CHECK(isfinite(bench->sketch[i]));
	scale = 0.5f * AnnoyQuantiseDirection(s, bench->sketch, centroid);
	AnnoyEncodeItem(sketcher, bench->sketch, unbounded, centroid, scale, code,
					&factors[0], &factors[16]);
	CHECK(isfinite(factors[0]) && isfinite(factors[16]) && factors[0] >= 0.0f);
	for (i = 0; i < s / 8; i++)
		block[i * 16] = code[i];

	AnnoyInitQuery(&query, bench->query_memory, sketcher, query_vector,
				   bench->scratch, epsilon);
	distance = scale * scale * (float) AnnoyQuantisedNorm(s, centroid);
	CHECK(isfinite(AnnoyCentroidDistance(sketcher, &query, centroid, scale,
										 distance, extra)));
	CHECK(isfinite(AnnoyQueryMargin(sketcher, &query, centroid, 0.01f, 0.5f,
									0.0f)));
	AnnoyBeginLeaf(sketcher, &query, centroid, scale, distance, FLT_MAX);
	survivors = annoy_kernels.rank_block(&query.rank, block, lower);
	CHECK_THAT(survivors == 0xFFFF, "%x survive", (unsigned) survivors);
	CHECK(!isnan(lower[0]));
	if (!isfinite(epsilon) || query.unbounded || query.undefined)
		for (i = 0; i < 16; i++)
			CHECK(query.rank.linear ? lower[i] <= -0.99f * FLT_MAX :
				  lower[i] == 0.0f);
	free(block);

	return AnnoyBoundToDistance(sketcher, &query, lower[0]);
}

/* Zero, denormal, huge and not finite vectors; bits are none of these. */
static void
test_extremes(void)
{
	static const float sizes[] = {0.0f, 1e-45f, 1e-38f, 1e-25f, 1e-12f, 1.0f,
	1e12f, 3e14f, 1e20f, FLT_MAX};
	static const AnnoyMetric metrics[] = {ANNOY_METRIC_L2, ANNOY_METRIC_COSINE,
	ANNOY_METRIC_INNER_PRODUCT};
	static const int dimensions[] = {1, 3, 100, 2000};
	size_t		m;
	size_t		k;
	size_t		a;
	size_t		b;

	for (m = 0; m < sizeof(metrics) / sizeof(metrics[0]); m++)
		for (k = 0; k < sizeof(dimensions) / sizeof(dimensions[0]); k++)
		{
			int			d = dimensions[k];
			AnnoyMetric metric = metrics[m];
			bool		linear = metric == ANNOY_METRIC_INNER_PRODUCT;
			float	   *item = allocate_floats((size_t) d);
			float	   *query = allocate_floats((size_t) d);
			float	   *centre = allocate_floats((size_t) d);
			Bench		bench;

			for (a = 0; a < 4; a++)
				centre[a % (size_t) d] = 0.25f;
			open_bench(&bench, metric, d, 1, centre,
					   a % 2 ? 1.0f : ANNOY_NORM_LIMIT);
			for (a = 0; a < sizeof(sizes) / sizeof(sizes[0]); a++)
				for (b = 0; b < sizeof(sizes) / sizeof(sizes[0]); b++)
				{
					double		exact;
					double		bound;
					int			i;

					for (i = 0; i < d; i++)
					{
						item[i] = i % 3 ? sizes[a] : -sizes[a];
						query[i] = i % 5 ? sizes[b] : -sizes[b];
					}
					if (metric == ANNOY_METRIC_COSINE &&
						(sizes[a] == 0.0f || sizes[b] == 0.0f))
					{
						CHECK(sizes[a] != 0.0f ||
							  !sketch_of(&bench, item, bench.sketch));
						continue;
					}
					exact = exact_distance(metric, d, query, item);
					bound = bound_of(&bench, item, query, 10.0f);
					CHECK_THAT(bound <= exact,
							   "metric %d, d = %d, item %g, query %g: "
							   "bound %g, exact %g", metric, d, sizes[a],
							   sizes[b], bound, exact);
					bound = bound_of(&bench, item, query, INFINITY);
					CHECK(linear ? bound == -INFINITY : bound == 0.0);
				}

			/* no direction: a query is undefined, an item refused */
			query[0] = INFINITY;
			item[0] = NAN;
			CHECK(!sketch_of(&bench, query, bench.sketch));
			CHECK(!sketch_of(&bench, item, bench.sketch));
			item[0] = 1.0f;
			CHECK(bound_of(&bench, item, query, 1.0f) <= 0.0);
			close_bench(&bench);
			free(item);
			free(query);
			free(centre);
		}
}

/*
 * The same bits from every set of kernels, compiler and machine: an index is
 * searched by other binaries than the one that built it.  A change of the
 * pinned hash is a change of the on-disk format.
 */
#define PINNED_HASH UINT64_C(0xE0B007A673C91C86)

static void
test_same_everywhere(void)
{
	static const char *const sets[] = {"plain", "avx2", "avx512", "neon"};
	const int	d = 2000;
	float	   *vectors = allocate_floats(51 * (size_t) d);
	AnnoyRandom random;
	size_t		k;
	int			i;

	/* no function of the C library but sqrt has its last bit defined */
	AnnoySeedRandom(&random, 9);
	for (i = 0; i < 51 * d; i++)
		vectors[i] = (float) (uniform(&random) - 0.25);

	for (k = 0; k < sizeof(sets) / sizeof(sets[0]); k++)
	{
		uint64_t	hash = 0;
		Bench		bench;
		int			item;

		if (!AnnoyChooseKernels(sets[k]))
			continue;
		open_bench(&bench, ANNOY_METRIC_INNER_PRODUCT, d, 8, vectors, 30.0f);
		for (item = 1; item < 50; item++)
		{
			double		bound = bound_of(&bench, vectors + item * d,
										 vectors + (item + 1) * d, 2.0f);
			uint64_t	bits;

			memcpy(&bits, &bound, sizeof(bits));
			hash = AnnoyHash(hash, bits);
			for (i = 0; i < bench.sketcher.sketch_dimensions; i++)
			{
				uint32_t	element;

				memcpy(&element, bench.sketch + i, sizeof(element));
				hash = AnnoyHash(hash, element);
			}
		}
		CHECK_THAT(hash == PINNED_HASH, "%s: %016" PRIX64, sets[k], hash);
		close_bench(&bench);
	}
	AnnoyChooseKernels(NULL);
	free(vectors);
}

static double
microseconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double) now.tv_sec * 1e6 + (double) now.tv_nsec * 1e-3;
}

static void
print_times(void)
{
	static const int dimensions[] = {100, 112, 784, 1536, 3072, 16000};
	size_t		k;

	for (k = 0; k < sizeof(dimensions) / sizeof(dimensions[0]); k++)
	{
		int			d = dimensions[k];
		int			s = AnnoySketchDimensions(d);
		int			repeats = 20000000 / d / 20;
		uint8_t		code[ANNOY_MAX_SKETCH_DIMENSIONS / 8];
		int8_t		centroid[ANNOY_MAX_SKETCH_DIMENSIONS];
		double		best[3] = {1e9, 1e9, 1e9};
		float		f1;
		float		f2;
		DataSet		data;
		Bench		bench;
		AnnoyQuery	query;
		int			round;
		int			i;

		make_gaussian(&data, 3, d);
		open_bench(&bench, ANNOY_METRIC_L2, d, 1, vector_of(&data, 2), 0.0f);
		for (round = 0; round < 5; round++)
		{
			double		times[4];

			times[0] = microseconds();
			for (i = 0; i < repeats; i++)
				sketch_of(&bench, vector_of(&data, i % 2), bench.sketch);
			times[1] = microseconds();
			AnnoyQuantiseDirection(s, bench.sketch, centroid);
			for (i = 0; i < repeats; i++)
				AnnoyEncodeItem(&bench.sketcher, bench.sketch, false, centroid,
								0.001f * (float) i, code, &f1, &f2);
			times[2] = microseconds();
			for (i = 0; i < repeats; i++)
				AnnoyInitQuery(&query, bench.query_memory, &bench.sketcher,
							   vector_of(&data, i % 2), bench.scratch, 2.0f);
			times[3] = microseconds();
			for (i = 0; i < 3; i++)
				if ((times[i + 1] - times[i]) / repeats < best[i])
					best[i] = (times[i + 1] - times[i]) / repeats;
		}
		printf("%s d=%d s=%d: sketch %.3f us, code %.3f us, query %.3f us\n",
			   annoy_kernels.name, d, s, best[0], best[1], best[2]);
		close_bench(&bench);
		free(data.vectors);
	}
}

int
main(int argc, char **argv)
{
	AnnoyChooseKernels(NULL);
	if (argc > 1 && strcmp(argv[1], "time") == 0)
	{
		print_times();
		return 0;
	}

	test_shapes();
	test_orthonormal();
	test_even_when_cut();
	test_products_when_cut();
	test_rotated_centre();
	test_far_from_origin();
	test_codes_of_sparse_vectors();
	test_quantisation();
	test_extremes();
	test_same_everywhere();
	return check_report();
}

/*-------------------------------------------------------------------------
 *
 * test_split.c
 *	  Proves that splits are balanced, part what can be parted, put the wanted
 *	  share on the left, come out the same for the same seed, and that each
 *	  item's margin has the sign of its side.  "test_split time" prints what a
 *	  split costs instead.
 *
 *-------------------------------------------------------------------------
 */
#define _POSIX_C_SOURCE 200809L

#include <math.h>
#include <time.h>

#include "bench.h"
#include "arith/split.h"
#include "check.h"

/* Items in the form of a split, with everything that a call needs. */
typedef struct SplitBench
{
	AnnoySketchSet set;
	int			count;
	int32_t    *items;
	int32_t    *order;
	float	   *margins;
	float	   *scratch;
	AnnoyHyperplane plane;
} SplitBench;

static void
open_split(SplitBench *bench, int count, int s)
{
	bench->count = count;
	bench->set.sketch_dimensions = s;
	bench->set.quantised = allocate((size_t) count * s * sizeof(int16_t));
	bench->set.scale = allocate_floats((size_t) count);
	bench->set.extra = allocate_floats((size_t) count);
	bench->items = allocate((size_t) count * sizeof(int32_t));
	bench->order = allocate((size_t) count * sizeof(int32_t));
	bench->margins = allocate_floats((size_t) count);
	bench->scratch = allocate_floats((size_t) AnnoySplitScratch(s));
	bench->plane.normal = allocate((size_t) s);
}

static void
close_split(SplitBench *bench)
{
	free(bench->set.quantised);
	free(bench->set.scale);
	free(bench->set.extra);
	free(bench->items);
	free(bench->order);
	free(bench->margins);
	free(bench->scratch);
	free(bench->plane.normal);
}

/* The data as they are: vectors serve as sketches. */
static void
load_data(SplitBench *bench, const DataSet *data)
{
	int			k;

	open_split(bench, data->count, data->dimensions);
	for (k = 0; k < data->count; k++)
		AnnoyPutSketch(&bench->set, k, vector_of(data, k));
}

/* Splits all items, in descending order before, and checks every promise. */
static int
split(SplitBench *bench, AnnoySplitRule rule, int wanted, uint64_t seed)
{
	int			count = bench->count;
	uint8_t    *seen = calloc((size_t) count, 1);
	AnnoyRandom random;
	int			left;
	int			k;

	AnnoySeedRandom(&random, seed);
	for (k = 0; k < count; k++)
		bench->items[k] = count - 1 - k;
	left = AnnoySplitItems(&bench->set, bench->items, count, rule, wanted,
						   &random, &bench->plane, bench->scratch,
						   bench->margins, bench->order);

	if (seen == NULL)
		abort();
	CHECK_THAT(left >= 0 && left < count, "%d of %d on the left", left, count);
	for (k = 0; k < count; k++)
	{
		seen[bench->items[k]]++;
		if (left == 0)
			CHECK(bench->items[k] == count - 1 - k);
		else
		{
			float		margin = AnnoyItemMargin(&bench->set, bench->items[k],
												 &bench->plane);

			CHECK_THAT((margin <= 0.0f) == (k < left),
					   "item %d of %d (%d left) has margin %g", k, count, left,
					   margin);
			CHECK(k == 0 || k == left ||
				  bench->items[k] < bench->items[k - 1]);
		}
	}
	for (k = 0; k < count; k++)
		CHECK(seen[k] == 1);
	if (left > 0)
	{
		double		norm = (double) bench->plane.scale * bench->plane.scale *
			AnnoyQuantisedNorm(bench->set.sketch_dimensions,
							   bench->plane.normal) +
			(double) bench->plane.extra_weight * bench->plane.extra_weight;

		CHECK_THAT(fabs(norm - 1.0) < 1e-5, "normal of square %g", norm);
	}
	free(seen);
	return left;
}

static void
test_balance(void)
{
	static const int counts[] = {2, 3, 20, 300, 3000};
	size_t		c;
	int			clustered;
	int			seed;

	for (c = 0; c < sizeof(counts) / sizeof(counts[0]); c++)
		for (clustered = 0; clustered < 2; clustered++)
		{
			int			count = counts[c];
			DataSet		data;
			SplitBench	bench;

			if (clustered)
				make_clustered(&data, count, 112);
			else
				make_gaussian(&data, count, 112);
			load_data(&bench, &data);
			for (seed = 0; seed < 10; seed++)
			{
				int			left = split(&bench, ANNOY_SPLIT_MIDDLE, 0,
										 (uint64_t) seed);
				int			larger = left > count - left ? left : count - left;

				CHECK_THAT(left > 0 && larger * 100 < count * 95,
						   "%s: %d of %d", data.name, left, count);
			}
			close_split(&bench);
			free(data.vectors);
		}
}

/* An outlier far away must not make every split a split of one. */
static void
test_outlier(void)
{
	DataSet		data;
	SplitBench	bench;
	int			seed;

	make_gaussian(&data, 1000, 32);
	data.vectors[0] = 1e6f;
	load_data(&bench, &data);
	for (seed = 0; seed < 20; seed++)
	{
		int			left = split(&bench, ANNOY_SPLIT_MIDDLE, 0, (uint64_t) seed);

		CHECK_THAT(left > 50 && left < 950, "%d of 1000", left);
	}
	close_split(&bench);
	free(data.vectors);
}

static void
test_quantile(void)
{
	DataSet		data;
	SplitBench	bench;
	int			wanted;

	make_gaussian(&data, 500, 64);
	load_data(&bench, &data);
	for (wanted = 1; wanted < 500; wanted += 3)
	{
		int			left = split(&bench, ANNOY_SPLIT_QUANTILE, wanted,
								 (uint64_t) wanted);

		CHECK_THAT(left == wanted, "%d instead of %d", left, wanted);
	}
	close_split(&bench);
	free(data.vectors);
}

/* "groups" distinct sketches, item k has that of group[k]. */
static void
load_groups(SplitBench *bench, int count, int s, const int *group)
{
	float	   *sketch = allocate_floats((size_t) s);
	int			k;
	int			i;

	open_split(bench, count, s);
	for (k = 0; k < count; k++)
	{
		for (i = 0; i < s; i++)
			sketch[i] = 1.0f + (float) ((i * 7 + group[k] * (i % 3)) % 11);
		AnnoyPutSketch(&bench->set, k, sketch);
	}
	free(sketch);
}

static void
test_duplicates(void)
{
	static const int others[] = {1, 2, 3, 30, 100};
	int			group[200] = {0};
	SplitBench	bench;
	size_t		n;
	int			seed;

	load_groups(&bench, 200, 48, group);
	CHECK(split(&bench, ANNOY_SPLIT_MIDDLE, 0, 1) == 0);
	CHECK(split(&bench, ANNOY_SPLIT_QUANTILE, 70, 1) == 0);

	/* equal but for the extra coordinate, or for the scale */
	bench.set.extra[17] = 0.5f;
	for (seed = 0; seed < 10; seed++)
	{
		int			left = split(&bench, ANNOY_SPLIT_MIDDLE, 0, (uint64_t) seed);

		CHECK(left == 1 || left == 199);
	}
	bench.set.extra[17] = 0.0f;
	bench.set.scale[17] *= 1.0f + 1e-5f;
	for (seed = 0; seed < 10; seed++)
	{
		int			left = split(&bench, ANNOY_SPLIT_MIDDLE, 0, (uint64_t) seed);

		CHECK(left == 1 || left == 199);
	}
	bench.set.scale[17] = bench.set.scale[16];

	/* one quantum of one coordinate */
	bench.set.quantised[17 * 48 + 5]++;
	for (seed = 0; seed < 10; seed++)
	{
		int			left = split(&bench, ANNOY_SPLIT_MIDDLE, 0, (uint64_t) seed);

		CHECK_THAT(left == 1 || left == 199, "%d on the left", left);
	}
	close_split(&bench);

	for (n = 0; n < sizeof(others) / sizeof(others[0]); n++)
	{
		int			k;

		for (k = 0; k < 200; k++)
			group[k] = k * 13 % 200 < others[n];
		load_groups(&bench, 200, 48, group);
		for (seed = 0; seed < 10; seed++)
		{
			int			left = split(&bench, seed % 2 ? ANNOY_SPLIT_QUANTILE :
									 ANNOY_SPLIT_MIDDLE, 90, (uint64_t) seed);

			CHECK_THAT(left == others[n] || left == 200 - others[n],
					   "%d on the left, %d others", left, others[n]);
		}
		close_split(&bench);
	}

	/* all zero */
	open_split(&bench, 10, 16);
	memset(bench.set.quantised, 0, 10 * 16 * sizeof(int16_t));
	CHECK(split(&bench, ANNOY_SPLIT_MIDDLE, 0, 3) == 0);
	close_split(&bench);
}

/* The wanted number is met as nearly as equal margins allow. */
static void
test_ties(void)
{
	int			group[100];
	SplitBench	bench;
	int			k;
	int			wanted;

	/* 10 groups of 10 */
	for (k = 0; k < 100; k++)
		group[k] = k % 10;
	load_groups(&bench, 100, 32, group);
	for (wanted = 1; wanted < 100; wanted++)
	{
		int			left = split(&bench, ANNOY_SPLIT_QUANTILE, wanted, 5);
		int			nearest = wanted < 10 ? 10 : wanted > 90 ? 90 :
			(wanted + 4) / 10 * 10;

		CHECK_THAT(left == nearest, "%d on the left, %d wanted", left, wanted);
	}
	close_split(&bench);
}

static void
test_determinism(void)
{
	static const char *const sets[] = {"plain", "avx2", "avx512", "neon"};
	DataSet		data;
	SplitBench	first;
	SplitBench	bench;
	size_t		k;

	make_clustered(&data, 700, 208);
	load_data(&first, &data);
	load_data(&bench, &data);
	for (k = 0; k < 700; k++)
		first.set.extra[k] = bench.set.extra[k] = (float) (k % 5);
	CHECK(AnnoyChooseKernels("plain"));
	split(&first, ANNOY_SPLIT_MIDDLE, 0, 77);
	for (k = 0; k < sizeof(sets) / sizeof(sets[0]); k++)
	{
		if (!AnnoyChooseKernels(sets[k]))
			continue;
		split(&bench, ANNOY_SPLIT_MIDDLE, 0, 77);
		CHECK_THAT(memcmp(first.items, bench.items, 700 * 4) == 0 &&
				   memcmp(first.plane.normal, bench.plane.normal, 208) == 0 &&
				   memcmp(&first.plane, &bench.plane, 3 * sizeof(float)) == 0,
				   "%s splits differently", sets[k]);
	}
	AnnoyChooseKernels(NULL);
	split(&bench, ANNOY_SPLIT_MIDDLE, 0, 78);
	CHECK(memcmp(&first.plane, &bench.plane, 3 * sizeof(float)) != 0);
	close_split(&first);
	close_split(&bench);
	free(data.vectors);
}

static void
test_mean(void)
{
	DataSet		data;
	SplitBench	bench;
	int32_t		items[3] = {5, 0, 9};
	float		mean[48];
	float		extra;
	int			i;

	make_gaussian(&data, 10, 48);
	load_data(&bench, &data);
	bench.set.extra[5] = 3.0f;
	AnnoyMeanSketch(&bench.set, items, 3, mean, &extra);
	CHECK(extra == 1.0f);
	for (i = 0; i < 48; i++)
		CHECK(fabsf(mean[i] - (vector_of(&data, 5)[i] + vector_of(&data, 0)[i] +
							   vector_of(&data, 9)[i]) / 3.0f) < 1e-3f);
	close_split(&bench);
	free(data.vectors);
}

/*
 * A query that is a stored vector gets that item's margin to the bit, and so
 * walks to its leaf.
 */
static void
test_query_margin(void)
{
	DataSet		data;
	Bench		bench;
	SplitBench	items;
	int			k;

	make_clustered(&data, 200, 100);
	open_bench(&bench, ANNOY_METRIC_L2, 100, 4, vector_of(&data, 0), 0.0f);
	open_split(&items, 200, 112);
	for (k = 0; k < 200; k++)
	{
		CHECK(sketch_of(&bench, vector_of(&data, k), bench.sketch));
		AnnoyPutSketch(&items.set, k, bench.sketch);
	}
	CHECK(split(&items, ANNOY_SPLIT_MIDDLE, 0, 6) > 0);
	for (k = 0; k < 200; k++)
	{
		AnnoyQuery	query;
		float		margin = AnnoyItemMargin(&items.set, k, &items.plane);

		AnnoyInitQuery(&query, bench.query_memory, &bench.sketcher,
					   vector_of(&data, k), bench.scratch, 2.0f);
		CHECK(margin == AnnoyQueryMargin(&bench.sketcher, &query,
										 items.plane.normal, items.plane.scale,
										 items.plane.extra_weight,
										 items.plane.offset));
	}
	close_split(&items);
	close_bench(&bench);
	free(data.vectors);
}

static void
print_times(void)
{
	static const int shapes[][2] = {{112, 300}, {112, 20000}, {784, 64},
	{784, 5000}, {1536, 32}, {1536, 5000}};
	size_t		k;

	for (k = 0; k < sizeof(shapes) / sizeof(shapes[0]); k++)
	{
		DataSet		data;
		SplitBench	bench;
		struct timespec start;
		struct timespec end;
		int			repeats = 20;
		int			i;

		make_gaussian(&data, shapes[k][1], shapes[k][0]);
		load_data(&bench, &data);
		clock_gettime(CLOCK_MONOTONIC, &start);
		for (i = 0; i < repeats; i++)
		{
			AnnoyRandom random;
			int			item;

			AnnoySeedRandom(&random, (uint64_t) i);
			for (item = 0; item < bench.count; item++)
				bench.items[item] = item;
			AnnoySplitItems(&bench.set, bench.items, bench.count,
							ANNOY_SPLIT_MIDDLE, 0, &random, &bench.plane,
							bench.scratch, bench.margins, bench.order);
		}
		clock_gettime(CLOCK_MONOTONIC, &end);
		printf("%s s=%d, %d items: %.1f us\n", annoy_kernels.name,
			   shapes[k][0], shapes[k][1],
			   ((double) (end.tv_sec - start.tv_sec) * 1e6 +
				(double) (end.tv_nsec - start.tv_nsec) * 1e-3) / repeats);
		close_split(&bench);
		free(data.vectors);
	}
}

/*
 * The nearest of a set of centroids: no other is nearer by more than rounding,
 * and the first of equal ones is found, for all numbers of them.
 */
static void
test_nearest(void)
{
	enum
	{
		S = 48,
		MOST = 70
	};
	int8_t		centroids[MOST * S];
	float		scale[MOST];
	float		norm_squared[MOST];
	float		extra[MOST];
	int32_t		products[MOST + ANNOY_RUN];
	float		distances[MOST + ANNOY_RUN];
	int16_t		quantised[S];
	AnnoyCentroidSet set = {S, 0, centroids, scale, norm_squared, extra};
	AnnoyRandom random;

	AnnoySeedRandom(&random, 17);
	for (set.count = 1; set.count <= MOST; set.count++)
	{
		float		item_scale = 0.001f;
		float		item_extra = (float) AnnoyRandomBelow(&random, 3);
		float		distance;
		double		best = INFINITY;
		int			nearest;

		for (int i = 0; i < S; i++)
			quantised[i] = (int16_t) ((int) AnnoyRandomBelow(&random, 16383) - 8191);
		for (int i = 0; i < set.count; i++)
		{
			for (int j = 0; j < S; j++)
				centroids[i * S + j] = (int8_t) ((int) AnnoyRandomBelow(&random, 255) - 127);
			scale[i] = 0.02f + 0.01f * (float) (i % 3);
			norm_squared[i] = scale[i] * scale[i] *
				(float) AnnoyQuantisedNorm(S, centroids + i * S);
			extra[i] = (float) AnnoyRandomBelow(&random, 3);
		}
		/* the last one again, as the first: never found then */
		if (set.count > 1)
		{
			memcpy(centroids + (set.count - 1) * S, centroids, S);
			scale[set.count - 1] = scale[0];
			norm_squared[set.count - 1] = norm_squared[0];
			extra[set.count - 1] = extra[0];
		}
		nearest = AnnoyFindNearestCentroid(&set, quantised, item_scale,
										   item_extra, products, distances,
										   &distance);
		CHECK(nearest >= 0 && nearest < set.count);
		CHECK(set.count == 1 || nearest < set.count - 1);
		for (int i = 0; i < set.count; i++)
		{
			double		square = (double) norm_squared[i] +
				((double) item_extra - extra[i]) * ((double) item_extra - extra[i]);

			for (int j = 0; j < S; j++)
				square -= 2.0 * item_scale * quantised[j] * (double) scale[i] *
					centroids[i * S + j];
			if (i == nearest)
				CHECK(fabs(square - distance) < 1e-3);
			best = square < best ? square : best;
		}
		CHECK(distance < best + 1e-3);
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

	test_balance();
	test_outlier();
	test_quantile();
	test_duplicates();
	test_ties();
	test_determinism();
	test_mean();
	test_query_margin();
	test_nearest();
	return check_report();
}

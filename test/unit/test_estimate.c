/*-------------------------------------------------------------------------
 *
 * test_estimate.c
 *	  Proves that estimates are unbiased with the deviation the bounds assume,
 *	  and that bounds hold at their stated rate.
 *
 * Also on real data: the images of Fashion-MNIST, an idx file compressed with
 * gzip, named by ANNOY_TEST_FASHION_MNIST or found where the package
 * dataset-fashion-mnist puts it.
 *
 *-------------------------------------------------------------------------
 */
#define _POSIX_C_SOURCE 200809L

#include <float.h>

#include "bench.h"
#include "check.h"

#define FASHION_MNIST_PATH \
	"/usr/share/datasets/fashion-mnist/train-images-idx3-ubyte.gz"
#define IMAGE_HEADER 16
#define IMAGE_DIMENSIONS 784
#define IMAGES 12000

#define LEAF_ITEMS 64

/* Bits as numbers, in groups that agree in most of them. */
static void
make_bits(DataSet *data, int count, int dimensions)
{
	size_t		i;

	make_clustered(data, count, dimensions);
	data->name = "bits";
	for (i = 0; i < (size_t) count * dimensions; i++)
		data->vectors[i] = data->vectors[i] > 1.0f;
}

static bool
load_images(DataSet *data)
{
	const char *path = getenv("ANNOY_TEST_FASHION_MNIST");
	size_t		size = (size_t) IMAGES * IMAGE_DIMENSIONS;
	char		command[1100];
	uint8_t    *bytes;
	FILE	   *file;
	size_t		got;
	size_t		i;

	if (path == NULL)
		path = FASHION_MNIST_PATH;
	file = fopen(path, "rb");
	if (file == NULL || strchr(path, '\'') != NULL || strlen(path) > 1000)
	{
		printf("(no Fashion-MNIST at \"%s\": real data skipped) ", path);
		if (file != NULL)
			fclose(file);
		return false;
	}
	fclose(file);

	snprintf(command, sizeof(command), "gzip -dc '%s' 2>/dev/null", path);
	file = popen(command, "r");
	if (file == NULL)
		return false;
	bytes = allocate(IMAGE_HEADER + size);
	got = fread(bytes, 1, IMAGE_HEADER + size, file);
	pclose(file);

	CHECK_THAT(got == IMAGE_HEADER + size, "\"%s\" is too short", path);
	if (got != IMAGE_HEADER + size)
	{
		free(bytes);
		return false;
	}
	data->name = "Fashion-MNIST";
	data->count = IMAGES;
	data->dimensions = IMAGE_DIMENSIONS;
	data->vectors = allocate_floats(size);
	for (i = 0; i < size; i++)
		data->vectors[i] = bytes[IMAGE_HEADER + i];
	free(bytes);
	return true;
}

/* A leaf: items near each other, coded relative to their centroid. */
typedef struct Leaf
{
	int			item[LEAF_ITEMS];
	int8_t	   *centroid;
	float		scale;
	float		norm_squared;
	uint8_t    *blocks[LEAF_ITEMS / 16];
} Leaf;

static float *
block_factors(const Leaf *leaf, int block, int s)
{
	return (float *) (leaf->blocks[block] + s / 8 * 16);
}

typedef struct Neighbour
{
	float		distance;
	int			item;
} Neighbour;

static int
compare_neighbours(const void *a, const void *b)
{
	const Neighbour *x = a;
	const Neighbour *y = b;

	return x->distance < y->distance ? -1 : x->distance > y->distance;
}

/* The given range of items by their distance of sketches from a point. */
static void
sort_neighbours(const float *sketches, int s, const float *point, int first,
				int count, Neighbour *neighbours)
{
	int			k;

	for (k = 0; k < count; k++)
	{
		neighbours[k].item = first + k;
		neighbours[k].distance =
			annoy_kernels.l2_squared(s, point,
									 sketches + (size_t) (first + k) * s);
	}
	qsort(neighbours, (size_t) count, sizeof(Neighbour), compare_neighbours);
}

static void
fill_leaf(Leaf *leaf, Bench *bench, const float *sketches,
		  const Neighbour *neighbours)
{
	int			s = bench->sketcher.sketch_dimensions;
	float	   *mean = bench->sketch;
	int			k;
	int			i;

	memset(mean, 0, (size_t) s * sizeof(float));
	for (k = 0; k < LEAF_ITEMS; k++)
	{
		leaf->item[k] = neighbours[k].item;
		for (i = 0; i < s; i++)
			mean[i] += sketches[(size_t) leaf->item[k] * s + i] / LEAF_ITEMS;
	}
	leaf->scale = AnnoyQuantiseDirection(s, mean, leaf->centroid);
	leaf->norm_squared = leaf->scale * leaf->scale *
		(float) AnnoyQuantisedNorm(s, leaf->centroid);

	for (k = 0; k < LEAF_ITEMS; k++)
	{
		uint8_t		code[ANNOY_MAX_SKETCH_DIMENSIONS / 8];
		float	   *factors = block_factors(leaf, k / 16, s);

		AnnoyEncodeItem(&bench->sketcher, sketches + (size_t) leaf->item[k] * s,
						false, leaf->centroid, leaf->scale, code,
						&factors[k % 16], &factors[16 + k % 16]);
		for (i = 0; i < s / 8; i++)
			leaf->blocks[k / 16][i * 16 + k % 16] = code[i];
	}
}

/* Of all estimates of a data set. */
typedef struct Findings
{
	double		errors;			/* number of them */
	double		error;			/* their sum, and that of their squares */
	double		error_squared;
	double		assumed;		/* ratios of |q - o|^2 to its part that errs */
	double		bounds;			/* number of them */
	double		violations[3];	/* by epsilon */
	double		tightness;		/* sum of bound / exact at the first epsilon */
	int			rotations;		/* number of independent ones, if few: else 0 */
} Findings;

static const float epsilons[3] = {2.0f, 3.0f, 8.0f};

/*
 * The error of an estimate in units of f1 times the part of q - o across the
 * residual o - c.  That is where its deviation of 0.6 is exact; the bounds of
 * squared distances take all of |q - o| for it, those of products |q - c|, which
 * are both no smaller.
 */
static void
note_error(const AnnoyQuery *query, const AnnoySketcher *sketcher,
		   const Leaf *leaf, const float *sketch, float estimate, float f1,
		   Findings *findings)
{
	const float *centre = sketcher->rotated_centre;
	double		square = 0.0;	/* |q - o|^2 */
	double		residual = 0.0; /* |o - c|^2 */
	double		along = 0.0;	/* <q - o, o - c> */
	double		dot = 0.0;		/* <o, q + m> */
	double		error;
	int			i;

	for (i = 0; i < sketcher->sketch_dimensions; i++)
	{
		double		c = (double) leaf->scale * leaf->centroid[i];
		double		to_query = (double) query->sketch[i] - sketch[i];

		square += to_query * to_query;
		residual += (sketch[i] - c) * (sketch[i] - c);
		along += to_query * (sketch[i] - c);
		dot += sketch[i] * ((double) query->sketch[i] +
							(centre != NULL ? centre[i] : 0.0));
	}
	/* a copy of the query errs by the table's rounding alone */
	if (square < 1e-4 * residual)
		return;
	error = (estimate - (query->rank.linear ? -2.0 * dot : square)) /
		(f1 * sqrt(square - along * along / residual));
	findings->error += error;
	findings->error_squared += error * error;
	findings->assumed += square / (square - along * along / residual);
	findings->errors++;
}

/* Ranks the leaf for one query and compares with exact distances. */
static void
rank_leaf(const DataSet *data, Bench *bench, const Leaf *leaf, int query_item,
		  const float *sketches, Findings *findings)
{
	const AnnoySketcher *sketcher = &bench->sketcher;
	int			s = sketcher->sketch_dimensions;
	int			d = data->dimensions;
	const float *vector = vector_of(data, query_item);
	AnnoyQuery	query;
	float		lower[16];
	int			level;
	int			k;

	for (level = -1; level < 3; level++)
	{
		float		epsilon = level < 0 ? 0.0f : epsilons[level];

		AnnoyInitQuery(&query, bench->query_memory, sketcher, vector,
					   bench->scratch, epsilon);
		AnnoyBeginLeaf(sketcher, &query, leaf->centroid, leaf->scale,
					   leaf->norm_squared, FLT_MAX);
		for (k = 0; k < LEAF_ITEMS; k++)
		{
			int			item = leaf->item[k];
			double		exact;
			double		bound;

			if (k % 16 == 0)
				annoy_kernels.rank_block(&query.rank, leaf->blocks[k / 16],
										 lower);
			if (level < 0)
			{
				/* without a width the bound is the estimate */
				if (item != query_item)
					note_error(&query, sketcher, leaf,
							   sketches + (size_t) item * s, lower[k % 16],
							   block_factors(leaf, k / 16, s)[k % 16],
							   findings);
				continue;
			}

			bound = AnnoyBoundToDistance(sketcher, &query, lower[k % 16]);
			exact = exact_distance(sketcher->metric, d, vector,
								   vector_of(data, item));
			/* the rounding of this exact distance itself */
			findings->violations[level] += bound > exact + 1e-12;
			findings->bounds += level == 0;
			if (level == 0 && exact != 0.0)
				findings->tightness += bound / exact;
		}
	}
}

static void
check_findings(const DataSet *data, AnnoyMetric kind,
			   const Findings *findings, const char *metric)
{
	double		n = findings->errors;
	double		bias = findings->error / n;
	double		deviation = sqrt(findings->error_squared / n - bias * bias);
	double		rate[3];
	double		sampling[2] = {0.0, 0.0};
	int			level;

	/* two deviations of the share of rotations beyond 2 and 3 deviations */
	if (findings->rotations > 0)
	{
		sampling[0] = 2.0 * sqrt(0.023 / findings->rotations);
		sampling[1] = 2.0 * sqrt(0.00135 / findings->rotations);
	}
	for (level = 0; level < 3; level++)
		rate[level] = findings->violations[level] / findings->bounds;

	printf("\n  %s d=%d %s: deviation %.3f, bias %+.3f, |q-o| is %.2f of what "
		   "errs, below bound %.2f %% at 2, %.3f %% at 3",
		   data->name, data->dimensions, metric, deviation, bias,
		   sqrt(findings->assumed / n), 100.0 * rate[0], 100.0 * rate[1]);
	if (kind != ANNOY_METRIC_INNER_PRODUCT)
		printf(", bound/exact %.3f", findings->tightness / findings->bounds);

	CHECK_THAT(deviation > 0.54 && deviation < 0.66, "%s %s: deviation %g",
			   data->name, metric, deviation);
	CHECK_THAT(fabs(bias) < 0.05, "%s %s: bias %g", data->name, metric, bias);
	CHECK_THAT(rate[0] < 0.028 + sampling[0], "%s %s: %g below the bound at 2", data->name,
			   metric, rate[0]);
	CHECK_THAT(rate[1] < 0.004 + sampling[1], "%s %s: %g below the bound at 3", data->name,
			   metric, rate[1]);
	CHECK_THAT(rate[2] == 0.0, "%s %s: %g below the bound at 8", data->name,
			   metric, rate[2]);
}

/* Fills leaves with the surroundings of random items, and ranks them. */
static void
rank_leaves(const DataSet *data, Bench *bench, const float *sketches,
			int leaves, AnnoyRandom *random, Findings *findings)
{
	int			s = bench->sketcher.sketch_dimensions;
	Neighbour  *neighbours = allocate((size_t) data->count * sizeof(Neighbour));
	Leaf		leaf;
	int			k;

	leaf.centroid = allocate((size_t) s);
	for (k = 0; k < LEAF_ITEMS / 16; k++)
		leaf.blocks[k] = allocate((size_t) s / 8 * 16 + 32 * sizeof(float));

	for (k = 0; k < leaves; k++)
	{
		int			seed = HELD_OUT +
			(int) AnnoyRandomBelow(random, (uint32_t) (data->count - HELD_OUT));
		const float *point = sketches + (size_t) seed * s;
		int			query;

		sort_neighbours(sketches, s, point, HELD_OUT, data->count - HELD_OUT,
						neighbours);
		fill_leaf(&leaf, bench, sketches, neighbours);

		/* near queries, some anywhere, and one that is in the leaf */
		sort_neighbours(sketches, s, point, 0, HELD_OUT, neighbours);
		for (query = 0; query < 15; query++)
			rank_leaf(data, bench, &leaf, neighbours[query].item, sketches,
					  findings);
		for (query = 0; query < 10; query++)
			rank_leaf(data, bench, &leaf,
					  (int) AnnoyRandomBelow(random, HELD_OUT), sketches,
					  findings);
		rank_leaf(data, bench, &leaf, leaf.item[k % LEAF_ITEMS], sketches,
				  findings);
	}

	free(leaf.centroid);
	for (k = 0; k < LEAF_ITEMS / 16; k++)
		free(leaf.blocks[k]);
	free(neighbours);
}

/*
 * leaves: of each rotation.  Where dimensions are cut away, all products of one
 * rotation err by what was cut of the centre, so that rotations are what there
 * must be many of for a rate (test_sketch: test_products_when_cut).
 */
static void
test_estimates(const DataSet *data, AnnoyMetric metric, const char *name,
			   bool centred, int rotations, int leaves)
{
	int			d = data->dimensions;
	int			s = AnnoySketchDimensions(d);
	float	   *centre = allocate_floats((size_t) d);
	float	   *sketches = allocate_floats((size_t) data->count * s);
	Findings	findings = {0};
	float		max_norm;
	AnnoyRandom random;
	Bench		bench;
	int			rotation;
	int			k;

	measure_data(data, metric, centre, &max_norm);
	AnnoySeedRandom(&random, 5);
	for (rotation = 0; rotation < rotations; rotation++)
	{
		open_bench(&bench, metric, d, 99 + (uint64_t) rotation,
				   centred ? centre : NULL, max_norm);
		for (k = 0; k < data->count; k++)
			CHECK(sketch_of(&bench, vector_of(data, k),
							sketches + (size_t) k * s));
		rank_leaves(data, &bench, sketches, leaves, &random, &findings);
		close_bench(&bench);
	}
	if (metric == ANNOY_METRIC_INNER_PRODUCT && s < d)
		findings.rotations = rotations;
	check_findings(data, metric, &findings, name);

	free(centre);
	free(sketches);
}

static void
test_all_estimates(void)
{
	DataSet		data;

	make_gaussian(&data, 3000, 100);
	test_estimates(&data, ANNOY_METRIC_L2, "L2", true, 5, 8);
	test_estimates(&data, ANNOY_METRIC_COSINE, "cosine", true, 5, 8);
	test_estimates(&data, ANNOY_METRIC_INNER_PRODUCT, "product", true, 5, 8);
	free(data.vectors);

	make_clustered(&data, 3000, 200);
	test_estimates(&data, ANNOY_METRIC_L2, "L2", true, 5, 8);
	test_estimates(&data, ANNOY_METRIC_L2, "L2, no centre", false, 5, 8);
	test_estimates(&data, ANNOY_METRIC_COSINE, "cosine", true, 5, 8);
	test_estimates(&data, ANNOY_METRIC_INNER_PRODUCT, "product", true, 5, 8);
	test_estimates(&data, ANNOY_METRIC_INNER_PRODUCT, "product, no centre",
				   false, 5, 8);
	free(data.vectors);

	/* short ones are exact: test_bits */
	make_bits(&data, 1500, 2400);
	test_estimates(&data, ANNOY_METRIC_HAMMING, "Hamming, folded", true, 45, 1);
	free(data.vectors);

	make_clustered(&data, 1500, 3072);
	test_estimates(&data, ANNOY_METRIC_L2, "L2, cut", true, 45, 1);
	test_estimates(&data, ANNOY_METRIC_COSINE, "cosine, cut", true, 45, 1);
	test_estimates(&data, ANNOY_METRIC_INNER_PRODUCT, "product, cut", true, 45, 1);
	free(data.vectors);

	if (load_images(&data))
	{
		test_estimates(&data, ANNOY_METRIC_L2, "L2", true, 3, 10);
		test_estimates(&data, ANNOY_METRIC_L1, "L1", true, 2, 5);
		test_estimates(&data, ANNOY_METRIC_COSINE, "cosine", true, 3, 10);
		test_estimates(&data, ANNOY_METRIC_INNER_PRODUCT, "product", true, 3, 10);
		free(data.vectors);
	}
}

/*
 * Distances to centroids by their codes: unbiased, and off by 1.5 / sqrt(s) of
 * the product of the distances from the reference, which is
 * 2 sqrt((pi / 2 - 1) / s) of them.
 */
static void
test_coded_centroids(int s, double radius)
{
	enum
	{
		TRIALS = 2000
	};
	float	   *values = allocate(sizeof(float) * (size_t) s);
	int8_t	   *reference = allocate((size_t) s);
	int16_t    *quantised = allocate(sizeof(int16_t) * (size_t) s);
	uint8_t    *code = allocate((size_t) s / 8);
	double		sum = 0;
	double		squares = 0;
	AnnoySketcher sketcher;
	AnnoyRandom random;
	int			trial;
	int			i;

	memset(&sketcher, 0, sizeof(sketcher));
	sketcher.metric = ANNOY_METRIC_L2;
	sketcher.sketch_dimensions = s;
	AnnoySeedRandom(&random, (uint64_t) s);
	for (trial = 0; trial < TRIALS; trial++)
	{
		AnnoyQuery	query;
		double		exact = 0;
		double		from_reference = 0;
		double		residual = 0;
		float		scale;
		float		base;
		float		f1;
		float		f2;
		int32_t		selected;
		double		error;

		for (i = 0; i < s; i++)
			values[i] = gaussian(&random);
		scale = AnnoyQuantiseDirection(s, values, reference);
		for (i = 0; i < s; i++)
			values[i] = 3.0f * gaussian(&random);
		AnnoyInitItemQuery(&query, quantised, &sketcher, values, 0.0f);
		for (i = 0; i < s; i++)
		{
			double		c = (double) scale * reference[i];
			double		q = (double) query.scale * quantised[i];

			values[i] = (float) (c + radius * (double) gaussian(&random));
			exact += (q - values[i]) * (q - values[i]);
			from_reference += (q - c) * (q - c);
			residual += (values[i] - c) * (values[i] - c);
		}

		AnnoyEncodeCentroid(s, values, reference, scale, code, &f1, &f2);
		base = AnnoyCentroidDistance(&sketcher, &query, reference, scale,
									 scale * scale * (float) AnnoyQuantisedNorm(s, reference),
									 0.0f);
		annoy_kernels.sum_selected_many(s, 1, code, (size_t) s / 8, quantised,
										&selected);
		error = AnnoyDistanceOfCode(&query, base, selected, f1, f2, 0.0f) -
			exact;
		error /= sqrt(from_reference * residual);
		sum += error;
		squares += error * error;
	}
	squares = sqrt(squares / TRIALS) * sqrt(s);
	sum = sum / TRIALS * sqrt(s);
	printf("\n  centroids by codes, s=%d, radius %.1f: deviation %.3f / sqrt(s), bias %+.3f",
		   s, radius, squares, sum);
	CHECK_THAT(squares > 1.4 && squares < 1.6, "deviation %f", squares);
	CHECK_THAT(fabs(sum) < 0.15, "bias %f", sum);

	/* the extra coordinate, and a centroid that is the reference */
	{
		AnnoyQuery	query;
		float		f1;
		float		f2;
		int32_t		selected;
		float		scale = AnnoyQuantiseDirection(s, values, reference);

		AnnoyInitItemQuery(&query, quantised, &sketcher, values, 2.0f);
		for (i = 0; i < s; i++)
			values[i] = scale * reference[i];
		AnnoyEncodeCentroid(s, values, reference, scale, code, &f1, &f2);
		annoy_kernels.sum_selected_many(s, 1, code, (size_t) s / 8, quantised,
										&selected);
		CHECK_THAT(f1 == 0.0f && f2 == 0.0f, "of the reference: %g, %g",
				   (double) f1, (double) f2);
		CHECK_THAT(AnnoyDistanceOfCode(&query, 7.0f, selected, f1, f2, 5.0f) == 16.0f,
				   "extra coordinate");
		query.extra = -2.0f;
		CHECK_THAT(AnnoyDistanceOfCode(&query, 7.0f, selected, f1, f2, 5.0f) == FLT_MAX,
				   "an outsized item has no leaf there");
	}
	free(values);
	free(reference);
	free(quantised);
	free(code);
}

int
main(void)
{
	AnnoyChooseKernels(NULL);
	test_all_estimates();
	test_coded_centroids(384, 0.5);
	test_coded_centroids(784, 1.0);
	test_coded_centroids(1536, 0.1);
	printf("\n");
	return check_report();
}

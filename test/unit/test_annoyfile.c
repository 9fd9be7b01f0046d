/*-------------------------------------------------------------------------
 *
 * test_annoyfile.c
 *	  Proves that Annoy files and blobs of every layout come back as they were
 *	  written; that their trees hold every item once; that hyperplanes mean the
 *	  same in the vectors' space as in that of sketches; that no damaged input,
 *	  mutated at random, does harm: it is refused or read; and that neither
 *	  depth nor bytes read get out of hand.
 *
 *-------------------------------------------------------------------------
 */
#define _POSIX_C_SOURCE 200809L

#include "bench.h"
#include "check.h"

#include "blob.h"

#define MUTATIONS 120000

static const AnnoyFileMetric metrics[] = {
	ANNOY_FILE_ANGULAR, ANNOY_FILE_EUCLIDEAN, ANNOY_FILE_MANHATTAN,
	ANNOY_FILE_DOT, ANNOY_FILE_HAMMING
};

#define N_METRICS ((int) (sizeof(metrics) / sizeof(metrics[0])))

static AnnoyRandom random_state;

/* Large: has a window.  One for all tests. */
static AnnoyFile file;

static int
below(int bound)
{
	return (int) AnnoyRandomBelow(&random_state, (uint32_t) bound);
}

/* ---------------------------------------------------------------------
 * Hyperplanes
 * ---------------------------------------------------------------------
 */

/* The same margin, whether of the sketch or of the vector. */
static void
test_plane(AnnoyMetric metric, int d)
{
	int			s = AnnoySketchDimensions(d);
	float	   *centre = allocate_floats((size_t) d);
	float	   *normal = allocate_floats((size_t) d);
	float	   *transformed = allocate_floats((size_t) d);
	AnnoyHyperplane plane = {.scale = 0.01f, .extra_weight = 0.5f,
	.offset = 0.25f};
	DataSet		data;
	Bench		bench;
	float		max_norm;
	double		offset;
	int			i;
	int			k;

	make_gaussian(&data, HELD_OUT + 20, d);
	measure_data(&data, metric, centre, &max_norm);
	open_bench(&bench, metric, d, 77, centre, max_norm);
	plane.normal = allocate((size_t) s);
	for (i = 0; i < s; i++)
		plane.normal[i] = (int8_t) (below(255) - 127);
	AnnoyMapHyperplane(&bench.sketcher, &plane, bench.scratch, normal, &offset);

	for (k = 0; k < data.count; k++)
	{
		double		expected = -plane.offset;
		double		margin = -offset;
		double		norm;
		float		extra;
		bool		unbounded;

		AnnoyMakeSketch(&bench.sketcher, vector_of(&data, k), bench.scratch,
						bench.sketch, &extra, &unbounded);
		for (i = 0; i < s; i++)
			expected += (double) plane.scale * plane.normal[i] *
				(double) bench.sketch[i];
		AnnoyTransformVector(&bench.sketcher, vector_of(&data, k), transformed,
							 &norm, &unbounded);
		margin += product(d, normal, transformed);
		CHECK_THAT(fabs(margin - expected) < 1e-3 * (1.0 + fabs(expected)),
				   "metric %d, %d dimensions: margin %g, not %g",
				   (int) metric, d, margin, expected);
	}
	close_bench(&bench);
	free(data.vectors);
	free(centre);
	free(normal);
	free(transformed);
	free(plane.normal);
}

/* ---------------------------------------------------------------------
 * Round trips
 * ---------------------------------------------------------------------
 */

/* Vectors of a few clusters; with duplicates; Hamming: bits. */
static float *
make_vectors(const FileItems *items)
{
	size_t		f = (size_t) items->dimensions;
	float	   *vectors = allocate_floats(f * (size_t) items->count);
	size_t		i;

	for (i = 0; i < f * (size_t) items->count; i++)
	{
		vectors[i] = gaussian(&random_state) +
			(float) (i / f % 3 * (i % 2));
		if (items->metric == ANNOY_FILE_HAMMING)
			vectors[i] = vectors[i] > 0.5f ? 1.0f : 0.0f;
	}
	for (i = 3; i < (size_t) items->count; i += 5)
		memcpy(vectors + i * f, vectors + 3 * f, f * sizeof(float));
	return vectors;
}

/* Ids with holes: every third is missing. */
static int32_t *
make_ids(int count, bool holes)
{
	int32_t    *ids = allocate((size_t) count * sizeof(int32_t));
	int			i;

	for (i = 0; i < count; i++)
		ids[count - 1 - i] = holes ? i + i / 2 + 1 : i;
	return ids;
}

static int32_t
node_int(const Blob *blob, int64_t node, size_t offset)
{
	int32_t		value;

	memcpy(&value, blob->data + AnnoyFileNodeOffset(file.start, &file.layout,
													node) + offset,
		   sizeof(value));
	return value;
}

/*
 * Counts the items below a node, as the library walks.  The list of a root may
 * be shorter than it says.
 */
static void
count_items(const Blob *blob, int64_t node, int root_items, int *seen)
{
	int32_t		descendants = node_int(blob, node, 0);
	size_t		children = file.layout.children_offset;
	int			i;

	if (node < file.n_items)
	{
		seen[node]++;
		return;
	}
	if (descendants <= file.layout.capacity)
	{
		if (root_items > 0)
			descendants = root_items;
		for (i = 0; i < descendants; i++)
			seen[node_int(blob, node, children + 4 * (size_t) i)]++;
		return;
	}
	count_items(blob, node_int(blob, node, children), 0, seen);
	count_items(blob, node_int(blob, node, children + 4), 0, seen);
}

static void
check_file(const Blob *blob, const FileItems *items, AnnoyFileFormat format,
		   int n_trees)
{
	size_t		f = (size_t) items->dimensions;
	float	   *vector = allocate_floats(f);
	int		   *seen;
	AnnoyFileError error = {ANNOY_FILE_IO, ""};
	int			present_count = 0;
	int			i;

	if (!CHECK_THAT(AnnoyOpenFile(&file, &blob->source, items->metric,
								  items->dimensions, &error),
					"metric %d, %d items, format %d: %s",
					(int) items->metric, items->count, (int) format,
					error.message))
		return;
	CHECK(file.format == format);
	CHECK(file.layout.late == items->late || format == ANNOY_FILE_CANONICAL);
	CHECK(file.layout.dimensions == items->dimensions);
	seen = allocate((size_t) file.n_items * sizeof(int));
	for (i = 0; i < items->count; i++)
	{
		bool		present;

		CHECK(items->ids[i] < file.n_items);
		CHECK(AnnoyReadFileItem(&file, items->ids[i], vector, &present, &error));
		CHECK(present);
		CHECK(memcmp(vector, items->vectors + (size_t) i * f,
					 f * sizeof(float)) == 0);
	}
	for (i = 0; i < file.n_items; i++)
	{
		bool		present;

		CHECK(AnnoyReadFileItem(&file, i, vector, &present, &error));
		present_count += present;
	}
	CHECK(present_count == (format == ANNOY_FILE_CANONICAL ?
							file.n_items : items->count));
	if (format == ANNOY_FILE_NATIVE)
	{
		/* where all fits a list, roots look like their copies */
		if (file.n_items > file.layout.capacity)
			CHECK_THAT(file.n_trees == n_trees, "%d trees, not %d",
					   (int) file.n_trees, n_trees);
		memset(seen, 0, (size_t) file.n_items * sizeof(int));
		count_items(blob, file.n_nodes - 1, items->count, seen);
		for (i = 0; i < items->count && items->count > 1; i++)
			CHECK_THAT(seen[items->ids[i]] == 1, "item %d is there %d times",
					   (int) items->ids[i], seen[items->ids[i]]);
	}
	free(seen);
	free(vector);
}

static void
test_round_trip(AnnoyFileMetric metric, bool late, int f, int count, bool holes)
{
	static const AnnoyFileFormat formats[] = {
		ANNOY_FILE_NATIVE, ANNOY_FILE_PORTABLE, ANNOY_FILE_CANONICAL
	};
	FileItems	items = {.metric = metric, .late = late, .dimensions = f,
	.count = count};
	float	   *vectors = make_vectors(&items);
	Bench		bench;
	int			i;

	items.vectors = vectors;
	items.ids = make_ids(count, holes);
	open_bench(&bench, index_metric(metric), f, 3, NULL, 4.0f * sqrtf((float) f));
	for (i = 0; i < 3; i++)
	{
		Blob		blob;

		make_file(&blob, formats[i], &items, 3, &bench.sketcher, NULL);
		check_file(&blob, &items, formats[i], 3);
		free(blob.data);
	}
	close_bench(&bench);
	free(vectors);
	free(items.ids);
}

/* A guide of one hyperplane above two directories. */
typedef struct SmallIndex
{
	AnnoyHyperplane plane;
	AnnoySketchSet sets[2];
	int32_t    *order;
	int			count;
} SmallIndex;

static bool
read_small_index(void *context, AnnoyFilePlace place, AnnoyGuidePost *post)
{
	SmallIndex *index = context;
	int			s = index->sets[0].sketch_dimensions;

	post->directory = place.a > 0;
	if (!post->directory)
	{
		int8_t	   *normal = post->plane.normal;

		memcpy(normal, index->plane.normal, (size_t) s);
		post->plane = index->plane;
		post->plane.normal = normal;
		post->children[0].a = 1;
		post->children[1].a = 2;
		return true;
	}
	post->centroids = index->sets[place.a - 1];
	post->order = index->order;
	post->count = index->count;
	return true;
}

/* Trees along a guide hold every item once, too. */
static void
test_guided(AnnoyFileMetric metric, int f, int count)
{
	int			s = AnnoySketchDimensions(f);
	FileItems	items = {.metric = metric, .dimensions = f, .count = count};
	float	   *vectors = make_vectors(&items);
	SmallIndex	index = {.count = 20};
	AnnoyFileGuide guide = {&index, read_small_index};
	Bench		bench;
	Blob		blob;
	int			side;
	int			i;

	items.vectors = vectors;
	items.ids = make_ids(count, false);
	open_bench(&bench, index_metric(metric), f, 3, NULL, 4.0f * sqrtf((float) f));
	index.plane.normal = allocate((size_t) s);
	memset(index.plane.normal, 1, (size_t) s);
	index.plane.scale = 1.0f / sqrtf((float) s);
	index.order = allocate((size_t) index.count * sizeof(int32_t));
	for (side = 0; side < 2; side++)
	{
		AnnoySketchSet *set = &index.sets[side];

		set->sketch_dimensions = s;
		set->quantised = allocate((size_t) (index.count * s) * sizeof(int16_t));
		set->scale = allocate_floats((size_t) index.count);
		set->extra = allocate_floats((size_t) index.count);
		for (i = 0; i < index.count; i++)
		{
			sketch_of(&bench, vectors + (size_t) (i * f), bench.sketch);
			AnnoyPutSketch(set, i, bench.sketch);
		}
	}
	make_file(&blob, ANNOY_FILE_NATIVE, &items, 2, &bench.sketcher, &guide);
	check_file(&blob, &items, ANNOY_FILE_NATIVE, 2);
	free(blob.data);
	for (side = 0; side < 2; side++)
	{
		free(index.sets[side].quantised);
		free(index.sets[side].scale);
		free(index.sets[side].extra);
	}
	free(index.plane.normal);
	free(index.order);
	close_bench(&bench);
	free(vectors);
	free(items.ids);
}

#define STEEP_DEPTH 4000

/*
 * An index as no build makes it: of what is left, every hyperplane separates
 * about one item.
 */
static bool
read_steep_index(void *context, AnnoyFilePlace place, AnnoyGuidePost *post)
{
	const AnnoyHyperplane *plane = context;

	post->directory = place.a == STEEP_DEPTH;
	post->count = 0;
	post->plane.normal[0] = 1;
	memset(post->plane.normal + 1, 0, (size_t) AnnoySketchDimensions(3) - 1);
	post->plane.scale = plane->scale;
	post->plane.extra_weight = 0.0f;
	post->plane.offset = plane->offset + 0.002f * (float) place.a;
	post->children[0].a = place.a + 1;
	post->children[1].a = place.a + 1;
	return true;
}

static int
tree_depth(const Blob *blob, int64_t node)
{
	size_t		children = file.layout.children_offset;
	int			left;
	int			right;

	if (node < file.n_items || node_int(blob, node, 0) <= file.layout.capacity)
		return 0;
	left = tree_depth(blob, node_int(blob, node, children));
	right = tree_depth(blob, node_int(blob, node, children + 4));
	return 1 + (left > right ? left : right);
}

/* Trees are never so deep that recursion would be a danger. */
static void
test_depth(AnnoyFileMetric metric)
{
	FileItems	items = {.metric = metric, .dimensions = 3, .count = 4000};
	float	   *vectors = make_vectors(&items);
	AnnoyHyperplane plane = {.scale = 1.0f, .offset = -4.0f};
	AnnoyFileGuide guide = {&plane, read_steep_index};
	Bench		bench;
	Blob		blob;

	items.vectors = vectors;
	items.ids = make_ids(items.count, false);
	open_bench(&bench, index_metric(metric), 3, 3, NULL, 4.0f);
	make_file(&blob, ANNOY_FILE_NATIVE, &items, 1, &bench.sketcher, &guide);
	check_file(&blob, &items, ANNOY_FILE_NATIVE, 1);
	CHECK_THAT(tree_depth(&blob, file.n_nodes - 1) < 350,
			   "metric %d: depth %d", (int) metric,
			   tree_depth(&blob, file.n_nodes - 1));
	free(blob.data);
	close_bench(&bench);
	free(vectors);
	free(items.ids);
}

/*
 * Nodes that all say they are roots are looked at from the last one on; that
 * shall not read the file again for each of them.
 */
static void
test_roots(void)
{
	int32_t		node[4] = {1, 0, 0, 0};
	AnnoyFileError error = {ANNOY_FILE_IO, ""};
	Blob		blob;
	int			i;

	open_blob(&blob);
	for (i = 0; i < 50000; i++)
		write_blob(&blob, sizeof(node) * (size_t) i, node, sizeof(node));
	seal_blob(&blob);
	CHECK_THAT(AnnoyOpenFile(&file, &blob.source, ANNOY_FILE_ANGULAR, 1, &error),
			   "%s", error.message);
	CHECK(file.n_items == 1 && file.n_trees == 49998);
	CHECK_THAT(blob.bytes_read < 4 * blob.size, "%zu bytes read of %zu",
			   blob.bytes_read, blob.size);
	free(blob.data);
}

/* Dimensions are found where only one number fits. */
static void
test_guess(AnnoyFileMetric metric, bool late)
{
	FileItems	items = {.metric = metric, .late = late, .dimensions = 11,
	.count = 200};
	float	   *vectors = make_vectors(&items);
	AnnoyFileError error = {ANNOY_FILE_IO, ""};
	Bench		bench;
	Blob		blob;

	items.vectors = vectors;
	items.ids = make_ids(items.count, false);
	open_bench(&bench, index_metric(metric), 11, 3, NULL, 20.0f);
	make_file(&blob, ANNOY_FILE_NATIVE, &items, 2, &bench.sketcher, NULL);
	CHECK_THAT(AnnoyOpenFile(&file, &blob.source, metric, 0, &error), "%s",
			   error.message);
	CHECK_THAT(file.layout.dimensions ==
			   (metric == ANNOY_FILE_HAMMING ? 64 : 11),
			   "metric %d: %d dimensions", (int) metric, file.layout.dimensions);
	CHECK(file.layout.late == late);
	CHECK(!AnnoyOpenFile(&file, &blob.source, metric, 170, &error));
	free(blob.data);
	close_bench(&bench);
	free(vectors);
	free(items.ids);
}

/* ---------------------------------------------------------------------
 * Mutations
 * ---------------------------------------------------------------------
 */

#define N_SEEDS 24

typedef struct Seed
{
	Blob		blob;
	AnnoyFileMetric metric;
	int			dimensions;
} Seed;

static Seed seeds[N_SEEDS];

static void
make_seeds(void)
{
	int			i;

	for (i = 0; i < N_SEEDS; i++)
	{
		FileItems	items = {.metric = metrics[i % N_METRICS],
			.late = i % 10 == 3, .dimensions = i % 3 == 0 ? 70 : 3 + i % 4,
			.count = 8 + i * 5
		};
		float	   *vectors = make_vectors(&items);
		Bench		bench;

		items.vectors = vectors;
		items.ids = make_ids(items.count, i % 2 == 1);
		open_bench(&bench, index_metric(items.metric), items.dimensions, 3,
				   NULL, 40.0f);
		make_file(&seeds[i].blob, i < N_METRICS ? ANNOY_FILE_CANONICAL :
				  i % 2 == 0 ? ANNOY_FILE_NATIVE : ANNOY_FILE_PORTABLE,
				  &items, 1 + i % 3, &bench.sketcher, NULL);
		seeds[i].metric = items.metric;
		seeds[i].dimensions = items.dimensions;
		close_bench(&bench);
		free(vectors);
		free(items.ids);
	}
}

static void
mutate_once(Blob *blob, int kind)
{
	static const int32_t extremes[] = {
		0, 1, -1, 2, 3, INT32_MAX, INT32_MIN, INT32_MAX - 1, 0x7F800000,
		0x7FC00000, 64, 65536, 0x01000000, -2
	};
	const Blob *other = &seeds[below(N_SEEDS)].blob;
	size_t		at = blob->size > 0 ? (size_t) below((int) blob->size) : 0;
	size_t		length;

	switch (kind)
	{
		case 0:					/* a bit */
			if (blob->size > 0)
				blob->data[at] ^= (char) (1 << below(8));
			break;
		case 1:					/* an extreme integer, mostly in a header */
			if (below(2) == 0)
				at %= 96;
			at = at / 4 * 4;
			if (at + 4 <= blob->size)
				memcpy(blob->data + at, &extremes[below(14)], 4);
			break;
		case 2:					/* truncated */
			blob->size = below(2) == 0 ? at : blob->size - blob->size / 10;
			break;
		case 3:					/* a piece of another file */
			length = other->size - (size_t) below((int) other->size);
			if (length > blob->size - at)
				length = blob->size - at;
			memcpy(blob->data + at, other->data + other->size - length, length);
			break;
		case 4:					/* a piece moved, by whole words */
			at = at / 4 * 4;
			length = (blob->size - at) / 2;
			memmove(blob->data + at, blob->data + at + length / 4 * 4,
					length);
			break;
		default:				/* a small change of an integer */
			at = at / 4 * 4;
			if (at + 4 <= blob->size)
			{
				int32_t		value;

				memcpy(&value, blob->data + at, 4);
				value = (int32_t) ((uint32_t) value + (uint32_t) below(5) - 2u);
				memcpy(blob->data + at, &value, 4);
			}
			break;
	}
}

/* Reads what the file is said to hold; false if that fails. */
static bool
read_all(float *vector, AnnoyFileError *error)
{
	int64_t		i;

	for (i = 0; i < file.n_items; i++)
	{
		bool		present;

		if (!AnnoyReadFileItem(&file, i, vector, &present, error))
			return false;
	}
	return true;
}

static void
test_mutations(void)
{
	long		refused = 0;
	long		read = 0;
	int			round;

	make_seeds();
	for (round = 0; round < MUTATIONS; round++)
	{
		const Seed *seed = &seeds[below(N_SEEDS)];
		int			changes = 1 + below(3);
		AnnoyFileError error = {ANNOY_FILE_IO, ""};
		Blob		work;
		Blob		blob;

		copy_blob(&work, seed->blob.data, seed->blob.size);
		while (changes-- > 0)
			mutate_once(&work, below(6));
		copy_blob(&blob, work.data, work.size);
		if (AnnoyOpenFile(&file, &blob.source,
						  below(8) == 0 ? metrics[below(N_METRICS)] : seed->metric,
						  below(8) == 0 ? 0 : seed->dimensions, &error))
		{
			/* a buffer of just the right size */
			float	   *vector = malloc(sizeof(float) *
										(size_t) file.layout.dimensions);

			if (vector == NULL)
				abort();
			CHECK_THAT(read_all(vector, &error), "%s", error.message);
			free(vector);
			read++;
		}
		else
		{
			CHECK(error.message[0] != '\0' && error.kind != ANNOY_FILE_IO);
			refused++;
		}
		free(work.data);
		free(blob.data);
	}
	/* both must happen, or the test tests nothing */
	CHECK(refused > MUTATIONS / 10);
	CHECK(read > MUTATIONS / 20);
	printf("%ld mutations refused, %ld read, ", refused, read);
	for (round = 0; round < N_SEEDS; round++)
		free(seeds[round].blob.data);
}

int
main(void)
{
	static const int plane_dimensions[] = {3, 16, 100, 784, 1536, 2500};
	static const int counts[] = {1, 2, 3, 12, 13, 400};
	int			i;
	int			k;

	AnnoySeedRandom(&random_state, 2024);
	AnnoyChooseKernels(NULL);
	for (i = 0; i < 6; i++)
	{
		test_plane(ANNOY_METRIC_L2, plane_dimensions[i]);
		test_plane(ANNOY_METRIC_COSINE, plane_dimensions[i]);
	}
	for (i = 0; i < N_METRICS; i++)
	{
		for (k = 0; k < 6; k++)
		{
			test_round_trip(metrics[i], false, 10, counts[k], false);
			test_round_trip(metrics[i], false, 100, counts[k], true);
		}
		test_round_trip(metrics[i], false, 5000, 20, true);
		test_guided(metrics[i], 20, 1500);
		test_guess(metrics[i], false);
		if (metrics[i] != ANNOY_FILE_HAMMING)
			test_depth(metrics[i]);
	}
	test_roots();
	test_round_trip(ANNOY_FILE_DOT, true, 10, 400, true);
	test_round_trip(ANNOY_FILE_DOT, true, 10, 5, false);
	test_guess(ANNOY_FILE_DOT, true);
	test_mutations();
	return check_report();
}

/*-------------------------------------------------------------------------
 *
 * annoyfiletree.c
 *	  Trees of an Annoy file, grown along those of an index.
 *
 * The index says by which hyperplanes items are split: those of its inner
 * nodes; below them hyperplanes between the centroids of a directory; inside
 * leaves, where the file's lists are still too long, 2-means of the items.
 * Each is then given the form that the metric's nodes have, and items go to the
 * side on which the library will look for a query that is equal to them.
 *
 *	euclidean, manhattan	the same hyperplane
 *	angular		has no offset: a hyperplane through the origin, between what the
 *				index's has on its two sides, see bisect_sides()
 *	dot			the same, of vectors lifted to equal norms, as the index has
 *				them; queries are not lifted
 *	hamming		tests one bit: that which tells most about the side
 *
 *-------------------------------------------------------------------------
 */
#include <math.h>
#include <string.h>

#include "exchange/annoyfiletree.h"

/* Items that are looked at to choose a split, and floats they may take. */
#define SAMPLE_ITEMS 1024
#define SAMPLE_FLOATS (4 * 1024 * 1024)
#define LEAST_SAMPLE 64

/* Sketches that are split in one call: of a sample, or of a directory. */
#define LARGEST_SET \
	(SAMPLE_ITEMS > ANNOY_MAX_GUIDE_CENTROIDS ? \
	 SAMPLE_ITEMS : ANNOY_MAX_GUIDE_CENTROIDS)

/* As the library: tries, and when items are dealt out instead. */
#define SPLIT_ATTEMPTS 3
#define UNBALANCED_PERCENT 95
#define HOPELESS_PERCENT 99

/* Steps down without a split; only a damaged index has a cycle. */
#define MAX_STEPS 100000

/*
 * Splits above one another: about ten times those of a balanced tree of all ids
 * that there can be.  Uneven ones, or a damaged index, could lead deeper than
 * the stack allows; from there on items are dealt out, which halves them.
 */
#define MAX_DEPTH 300

#define DOT_FACTOR_OFFSET 12

/* By what the next split is chosen. */
typedef enum GuidanceKind
{
	BY_INDEX,
	BY_CENTROIDS,
	BY_ITEMS
} GuidanceKind;

typedef struct Guidance
{
	GuidanceKind kind;
	AnnoyFilePlace place;		/* by index */
	const AnnoySketchSet *centroids;	/* by centroids: a set, */
	int32_t    *order;			/* and which of it */
	int			count;
} Guidance;

/* A split in the form of the file. */
typedef struct FilePlane
{
	const float *normal;
	float		offset;			/* euclidean, manhattan: a */
	float		lift;			/* dot: weight of an item's factor */
	int			bit;			/* Hamming */
} FilePlane;

/* Items that are to become a subtree; their order changes. */
typedef struct Subtree
{
	int32_t    *ids;
	int32_t		count;
	int			depth;			/* 0: the root */
	Guidance	guidance;
} Subtree;

/* Items in two parts, and what guides the growth of either. */
typedef struct Parting
{
	FilePlane	plane;
	int32_t		left;			/* items on the left */
	Guidance	sides[2];
} Parting;

/* ---------------------------------------------------------------------
 * Memory
 * ---------------------------------------------------------------------
 */

static int
sample_limit(int dimensions)
{
	int			limit = SAMPLE_FLOATS / dimensions;

	if (limit > SAMPLE_ITEMS)
		return SAMPLE_ITEMS;
	return limit < LEAST_SAMPLE ? LEAST_SAMPLE : limit;
}

/* A part of the grower's memory; base NULL: only counts. */
static void *
take(char *base, size_t *used, size_t size)
{
	void	   *part = base == NULL ? NULL : base + *used;

	*used += (size + 7) / 8 * 8;
	return part;
}

static size_t
lay_out(AnnoyFileGrower *grower, char *base, const AnnoyFileLayout *layout)
{
	size_t		f = (size_t) layout->dimensions;
	size_t		s = (size_t) AnnoySketchDimensions(layout->dimensions);
	size_t		n = (size_t) sample_limit(layout->dimensions);
	size_t		scratch = (size_t) AnnoySketchScratch(layout->dimensions);
	size_t		split = (size_t) AnnoySplitScratch((int) s);
	size_t		used = 0;

	grower->sample_limit = (int) n;
	grower->mean = take(base, &used, f * sizeof(double));
	grower->other_mean = take(base, &used, f * sizeof(double));
	grower->node = take(base, &used, layout->node_size);
	grower->sample = take(base, &used, n * f * sizeof(float));
	grower->lifts = take(base, &used, n * sizeof(float));
	grower->sides = take(base, &used, n * sizeof(bool));
	grower->order = take(base, &used, 2 * LARGEST_SET * sizeof(int32_t));
	grower->margins = take(base, &used, LARGEST_SET * sizeof(float));
	grower->normal = take(base, &used, f * sizeof(float));
	grower->bits = take(base, &used, 2 * f * sizeof(int32_t));
	grower->scratch = take(base, &used, sizeof(float) *
						   (s + (scratch > split ? scratch : split)));
	grower->quantised = take(base, &used, s);
	grower->sketches.sketch_dimensions = (int) s;
	grower->sketches.quantised = take(base, &used, n * s * sizeof(int16_t));
	grower->sketches.scale = take(base, &used, n * sizeof(float));
	grower->sketches.extra = take(base, &used, n * sizeof(float));
	return used;
}

size_t
AnnoyFileGrowerMemory(const AnnoyFileLayout *layout)
{
	AnnoyFileGrower none;

	return lay_out(&none, NULL, layout);
}

void
AnnoyInitFileGrower(AnnoyFileGrower *grower, void *memory)
{
	lay_out(grower, memory, &grower->writer->layout);
	grower->sample_count = 0;
}

/* ---------------------------------------------------------------------
 * Samples
 * ---------------------------------------------------------------------
 */

static bool
read_item(AnnoyFileGrower *grower, int32_t id, AnnoyFileError *error)
{
	const AnnoyFileWriter *writer = grower->writer;

	if (!grower->written->read(grower->written->context,
							   AnnoyFileNodeOffset(writer->start,
												   &writer->layout, id),
							   grower->node, writer->layout.node_size))
		return AnnoyFileFailed(error, ANNOY_FILE_IO, "data could not be read");
	return true;
}

static const char *
item_vector(const AnnoyFileGrower *grower)
{
	return grower->node + grower->writer->layout.vector_offset;
}

static float
item_lift(const AnnoyFileGrower *grower)
{
	float		lift = 0.0f;

	if (grower->writer->layout.metric == ANNOY_FILE_DOT)
		memcpy(&lift, grower->node + DOT_FACTOR_OFFSET, sizeof(lift));
	return lift;
}

/* Reads a sample of the items, evenly spaced, with their sketches. */
static bool
draw_sample(AnnoyFileGrower *grower, const int32_t *ids, int32_t count,
			AnnoyFileError *error)
{
	const AnnoyFileLayout *layout = &grower->writer->layout;
	int			f = layout->dimensions;
	int			s = grower->sketches.sketch_dimensions;
	float	   *sketch = grower->scratch;
	int			wanted = count < grower->sample_limit ?
		count : grower->sample_limit;
	int			n = 0;
	int			i;

	for (i = 0; i < wanted; i++)
	{
		float	   *vector = grower->sample + (size_t) n * (size_t) f;
		bool		unbounded;

		if (!read_item(grower, ids[(int64_t) i * count / wanted], error))
			return false;
		if (layout->metric == ANNOY_FILE_HAMMING)
			AnnoyUnpackFileBits(f, (const uint64_t *) (const void *) item_vector(grower),
								vector);
		else
			memcpy(vector, item_vector(grower), layout->vector_size);
		if (!AnnoyMakeSketch(grower->sketcher, vector, sketch + s, sketch,
							 &grower->sketches.extra[n], &unbounded))
			continue;			/* without direction, on no side */
		AnnoyPutSketch(&grower->sketches, n, sketch);
		grower->lifts[n] = item_lift(grower);
		n++;
	}
	grower->sample_count = n;
	return true;
}

/* On which side of an index's hyperplane the sample is. */
static void
find_sides(AnnoyFileGrower *grower, const AnnoyHyperplane *plane)
{
	int			i;

	for (i = 0; i < grower->sample_count; i++)
		grower->sides[i] = AnnoyItemMargin(&grower->sketches, i, plane) > 0.0f;
}

/* ---------------------------------------------------------------------
 * The form of a split
 * ---------------------------------------------------------------------
 */

/* Adds a transformed vector of the sample (angular: of unit length) to a sum. */
static void
add_sample(const AnnoyFileGrower *grower, int i, double *sum)
{
	int			f = grower->writer->layout.dimensions;
	const float *vector = grower->sample + (size_t) i * (size_t) f;
	double		factor = 1.0;
	int			k;

	if (grower->writer->layout.metric == ANNOY_FILE_ANGULAR)
		factor = 1.0 / sqrt(annoy_kernels.square_sum(f, vector));
	for (k = 0; k < f; k++)
		sum[k] += factor * (double) vector[k];
}

/*
 * The hyperplane through the origin between the directions of two means: those
 * of the sample's vectors on either side of the index's hyperplane.  For dot,
 * with one more coordinate, the lift.
 *
 * Measured on 60,000 words of GloVe with 5 trees, recall@10 at search_k 200,
 * 1000, 4000: 0.300, 0.569, 0.769; the library's own forest 0.258, 0.500,
 * 0.753; the index's hyperplane, moved to the origin along the mean of all
 * vectors, 0.265, 0.508, 0.718.
 */
static void
bisect_sides(AnnoyFileGrower *grower, const AnnoyHyperplane *index_plane,
			 double *lift)
{
	int			f = grower->writer->layout.dimensions;
	double	   *sums[2] = {grower->mean, grower->other_mean};
	double		lifts[2] = {0.0, 0.0};
	double		squares[2];
	int			i;
	int			side;

	find_sides(grower, index_plane);
	memset(sums[0], 0, sizeof(double) * (size_t) f);
	memset(sums[1], 0, sizeof(double) * (size_t) f);
	for (i = 0; i < grower->sample_count; i++)
	{
		side = grower->sides[i] ? 1 : 0;
		add_sample(grower, i, sums[side]);
		lifts[side] += (double) grower->lifts[i];
	}
	for (side = 0; side < 2; side++)
	{
		squares[side] = lifts[side] * lifts[side];
		for (i = 0; i < f; i++)
			squares[side] += sums[side][i] * sums[side][i];

		/* nothing there: the index's normal is as good as any */
		if (!(squares[side] > 0.0) || !isfinite(squares[side]))
			return;
	}
	for (i = 0; i < f; i++)
		grower->normal[i] = (float) (sums[1][i] / sqrt(squares[1]) -
									 sums[0][i] / sqrt(squares[0]));
	*lift = lifts[1] / sqrt(squares[1]) - lifts[0] / sqrt(squares[0]);
}

/* A normal of unit length, lift included, so that margins can be compared. */
static void
normalise_plane(AnnoyFileGrower *grower, double *offset, double *lift)
{
	int			f = grower->writer->layout.dimensions;
	double		length = sqrt(annoy_kernels.square_sum(f, grower->normal) +
							  *lift * *lift);
	int			i;

	if (!(length > 0.0) || !isfinite(length))
		return;
	for (i = 0; i < f; i++)
		grower->normal[i] = (float) ((double) grower->normal[i] / length);
	*offset /= length;
	*lift /= length;
}

/* x log x of a share of the sample; 0 at 0. */
static double
entropy_term(double count, double total)
{
	return count > 0.0 ? count / total * log(count / total) : 0.0;
}

/* The bit with the largest mutual information with the side. */
static int
choose_bit(AnnoyFileGrower *grower)
{
	int			f = grower->writer->layout.dimensions;
	double		n = grower->sample_count;
	double		right = 0.0;
	double		best = -1.0;
	int			best_bit = 0;
	int			i;
	int			k;

	memset(grower->bits, 0, 2 * sizeof(int32_t) * (size_t) f);
	for (i = 0; i < grower->sample_count; i++)
	{
		const float *vector = grower->sample + (size_t) i * (size_t) f;
		int32_t    *counts = grower->bits + (grower->sides[i] ? f : 0);

		for (k = 0; k < f; k++)
			counts[k] += vector[k] > 0.5f;
		right += grower->sides[i];
	}
	for (k = 0; k < f; k++)
	{
		double		set_left = grower->bits[k];
		double		set_right = grower->bits[f + k];
		double		set = set_left + set_right;
		double		information;

		if (set == 0.0 || set == n)
			continue;
		information = entropy_term(set_left, n) + entropy_term(set_right, n) +
			entropy_term(n - right - set_left, n) +
			entropy_term(right - set_right, n) -
			entropy_term(set, n) - entropy_term(n - set, n);
		if (information > best)
		{
			best = information;
			best_bit = k;
		}
	}
	return best_bit;
}

/* Gives a hyperplane of the index the form that the file has. */
static void
shape_plane(AnnoyFileGrower *grower, const AnnoyHyperplane *index_plane,
			FilePlane *plane)
{
	double		offset;
	double		lift = 0.0;

	plane->normal = grower->normal;
	plane->offset = 0.0f;
	plane->lift = 0.0f;
	plane->bit = 0;
	if (grower->writer->layout.metric == ANNOY_FILE_HAMMING)
	{
		find_sides(grower, index_plane);
		plane->bit = choose_bit(grower);
		return;
	}

	AnnoyMapHyperplane(grower->sketcher, index_plane, grower->scratch,
					   grower->normal, &offset);
	if (grower->writer->layout.metric == ANNOY_FILE_ANGULAR ||
		grower->writer->layout.metric == ANNOY_FILE_DOT)
	{
		lift = index_plane->extra_weight;
		bisect_sides(grower, index_plane, &lift);
		offset = 0.0;
	}
	normalise_plane(grower, &offset, &lift);
	plane->offset = (float) -offset;
	plane->lift = (float) lift;
}

/* A split that separates nothing: items are dealt out. */
static void
make_no_plane(AnnoyFileGrower *grower, FilePlane *plane)
{
	memset(grower->normal, 0,
		   sizeof(float) * (size_t) grower->writer->layout.dimensions);
	memset(plane, 0, sizeof(FilePlane));
	plane->normal = grower->normal;
}

/* ---------------------------------------------------------------------
 * Sides
 * ---------------------------------------------------------------------
 */

/* Margin of the item that was read last, as the library computes it. */
static float
file_margin(const AnnoyFileGrower *grower, const FilePlane *plane)
{
	const AnnoyFileLayout *layout = &grower->writer->layout;

	if (layout->metric == ANNOY_FILE_HAMMING)
		return AnnoyFileBit((const uint64_t *) (const void *) item_vector(grower),
							plane->bit) ? 1.0f : -1.0f;
	return annoy_kernels.inner_product(layout->dimensions, plane->normal,
									   (const float *) (const void *)
									   item_vector(grower)) +
		plane->offset + plane->lift * item_lift(grower);
}

/* Left side first, each side in its former order; -1: reading failed. */
static int32_t
part_items(AnnoyFileGrower *grower, const FilePlane *plane, int32_t *ids,
		   int32_t count, AnnoyFileError *error)
{
	int32_t		left = 0;
	int32_t		right = 0;
	int32_t		i;

	for (i = 0; i < count; i++)
	{
		float		margin;

		if (!read_item(grower, ids[i], error))
			return -1;
		margin = file_margin(grower, plane);
		/* neither side: where the library tosses a coin */
		if (margin > 0.0f || (!(margin < 0.0f) && i % 2 == 1))
			grower->other[right++] = ids[i];
		else
			ids[left++] = ids[i];
	}
	memcpy(ids + left, grower->other, sizeof(int32_t) * (size_t) right);
	return left;
}

static bool
is_uneven(int32_t left, int32_t count, int percent)
{
	int32_t		larger = left > count - left ? left : count - left;

	return (int64_t) larger * 100 > (int64_t) count * percent;
}

/* Splits by 2-means of the items, or deals them out if that fails. */
static int32_t
split_by_items(AnnoyFileGrower *grower, int32_t *ids, int32_t count,
			   FilePlane *plane, AnnoyFileError *error)
{
	int32_t		left = 0;
	int			attempt;

	for (attempt = 0; attempt < SPLIT_ATTEMPTS; attempt++)
	{
		AnnoyHyperplane found = {.normal = grower->quantised};
		int			n = grower->sample_count;
		int			i;

		for (i = 0; i < n; i++)
			grower->order[i] = i;
		if (n < 2 || AnnoySplitItems(&grower->sketches, grower->order, n,
									 ANNOY_SPLIT_MIDDLE, 0, &grower->random,
									 &found, grower->scratch, grower->margins,
									 grower->order + LARGEST_SET) == 0)
			break;
		shape_plane(grower, &found, plane);
		left = part_items(grower, plane, ids, count, error);
		if (left < 0 || !is_uneven(left, count, UNBALANCED_PERCENT))
			return left;
	}
	if (left > 0 && left < count && !is_uneven(left, count, HOPELESS_PERCENT))
		return left;
	make_no_plane(grower, plane);
	return count / 2;
}

/* ---------------------------------------------------------------------
 * Trees
 * ---------------------------------------------------------------------
 */

/* Guidance by a subset of a directory's centroids. */
static Guidance
guide_by_centroids(const AnnoySketchSet *centroids, int32_t *order, int count)
{
	Guidance	guidance = {.kind = count > 1 ? BY_CENTROIDS : BY_ITEMS,
		.centroids = centroids, .order = order, .count = count
	};

	return guidance;
}

/*
 * The hyperplane that the index has here, and what it says of both sides.
 * *found: false if it has none, but the guidance has changed.
 */
static bool
consult_index(AnnoyFileGrower *grower, AnnoyGuidePost *post, Guidance *guidance,
			  Guidance sides[2], bool *found, AnnoyFileError *error)
{
	int			left;
	int			i;

	*found = false;
	if (guidance->kind == BY_INDEX)
	{
		post->plane.normal = grower->quantised;
		if (!grower->guide->read(grower->guide->context, guidance->place, post))
			return AnnoyFileFailed(error, ANNOY_FILE_IO,
								   "index could not be read");
		if (post->directory)
		{
			for (i = 0; i < post->count; i++)
				post->order[i] = i;
			*guidance = guide_by_centroids(&post->centroids, post->order,
										   post->count);
			return true;
		}
		for (i = 0; i < 2; i++)
		{
			sides[i].kind = BY_INDEX;
			sides[i].place = post->children[i];
		}
		*found = true;
		return true;
	}

	post->plane.normal = grower->quantised;
	left = AnnoySplitItems(guidance->centroids, guidance->order,
						   guidance->count, ANNOY_SPLIT_MIDDLE, 0,
						   &grower->random, &post->plane, grower->scratch,
						   grower->margins,
						   grower->order);
	if (left == 0)
	{
		guidance->kind = BY_ITEMS;
		return true;
	}
	sides[0] = guide_by_centroids(guidance->centroids, guidance->order, left);
	sides[1] = guide_by_centroids(guidance->centroids, guidance->order + left,
								  guidance->count - left);
	*found = true;
	return true;
}

/* Splits the items, with the index's help as long as it has any. */
static bool
split_items(AnnoyFileGrower *grower, AnnoyGuidePost *post, Subtree *subtree,
			Parting *parting, AnnoyFileError *error)
{
	AnnoyFileMetric metric = grower->writer->layout.metric;
	Guidance   *guidance = &subtree->guidance;
	int32_t    *ids = subtree->ids;
	int32_t		count = subtree->count;
	int			steps = 0;

	parting->sides[0].kind = BY_ITEMS;
	parting->sides[1].kind = BY_ITEMS;
	if (subtree->depth >= MAX_DEPTH)
	{
		make_no_plane(grower, &parting->plane);
		parting->left = count / 2;
		return true;
	}

	/* the others take the index's hyperplanes as they are */
	grower->sample_count = 0;
	if ((guidance->kind == BY_ITEMS || metric == ANNOY_FILE_ANGULAR ||
		 metric == ANNOY_FILE_DOT || metric == ANNOY_FILE_HAMMING) &&
		!draw_sample(grower, ids, count, error))
		return false;
	while (guidance->kind != BY_ITEMS)
	{
		bool		found;

		if (!consult_index(grower, post, guidance, parting->sides, &found, error))
			return false;
		if (!found)
			continue;
		shape_plane(grower, &post->plane, &parting->plane);
		parting->left = part_items(grower, &parting->plane, ids, count, error);
		if (parting->left < 0)
			return false;
		if (parting->left > 0 && parting->left < count)
			return true;

		/* all on one side */
		*guidance = parting->sides[parting->left == 0 ? 1 : 0];
		if (++steps > MAX_STEPS)
			return AnnoyFileFailed(error, ANNOY_FILE_IO,
								   "tree of the index has no end");
	}
	if (grower->sample_count == 0 && !draw_sample(grower, ids, count, error))
		return false;
	parting->sides[0].kind = BY_ITEMS;
	parting->sides[1].kind = BY_ITEMS;
	parting->left = split_by_items(grower, ids, count, &parting->plane, error);
	return parting->left >= 0;
}

static bool grow(AnnoyFileGrower *grower, AnnoyGuidePost *post,
				 Subtree *subtree, int32_t *node, AnnoyFileError *error);

/*
 * Both sides of a split, then the split itself: children come before parents.
 * Its normal is kept meanwhile.
 */
static bool
grow_sides(AnnoyFileGrower *grower, AnnoyGuidePost *post,
		   const Subtree *subtree, const Parting *parting, int32_t *node,
		   AnnoyFileError *error)
{
	const AnnoyFileLayout *layout = &grower->writer->layout;
	size_t		size = sizeof(float) * (size_t) layout->dimensions;
	AnnoyFileSplit split = {
		.root = subtree->depth == 0,
		.descendants = subtree->count,
		/* the late dot has a weight for the lift, others have an offset */
		.offset = layout->late ? parting->plane.lift : parting->plane.offset,
		.bit = parting->plane.bit
	};
	Subtree		left = {
		.ids = subtree->ids,
		.count = parting->left,
		.depth = subtree->depth + 1,
		.guidance = parting->sides[0]
	};
	Subtree		right = {
		.ids = subtree->ids + parting->left,
		.count = subtree->count - parting->left,
		.depth = subtree->depth + 1,
		.guidance = parting->sides[1]
	};
	float	   *normal = NULL;
	bool		done;

	if (layout->metric != ANNOY_FILE_HAMMING)
	{
		normal = grower->memory->allocate(size);
		memcpy(normal, parting->plane.normal, size);
	}
	split.normal = normal;
	done = grow(grower, post, &left, &split.children[0], error) &&
		grow(grower, post, &right, &split.children[1], error) &&
		AnnoyWriteFileSplit(grower->writer, &split, node, error);
	if (normal != NULL)
		grower->memory->release(normal);
	return done;
}

/* Writes a subtree: an item, a list, or a split and what is below it. */
static bool
grow(AnnoyFileGrower *grower, AnnoyGuidePost *post, Subtree *subtree,
	 int32_t *node, AnnoyFileError *error)
{
	AnnoyFileWriter *writer = grower->writer;
	int32_t		capacity = writer->layout.capacity;
	int32_t		count = subtree->count;
	bool		root = subtree->depth == 0;
	Parting		parting;

	if (count == 1 && !root)
	{
		*node = subtree->ids[0];
		return true;
	}

	/*
	 * A root says that it has as many descendants as there are ids, and is
	 * taken for a split if these are too many for a list.  With one item, the
	 * library takes the rest of that list for its other child, item 0.
	 */
	if (count == 1 || (count <= capacity &&
					   (!root || writer->n_items <= capacity)))
		return AnnoyWriteFileList(writer, subtree->ids, count, root, node,
								  error);

	return split_items(grower, post, subtree, &parting, error) &&
		grow_sides(grower, post, subtree, &parting, node, error);
}

bool
AnnoyGrowFileTree(AnnoyFileGrower *grower, int32_t *ids, int32_t count,
				  const AnnoyFilePlace *place, int32_t *root,
				  AnnoyFileError *error)
{
	AnnoyGuidePost post;
	Subtree		tree = {.ids = ids, .count = count, .depth = 0,
		.guidance = {.kind = BY_ITEMS}
	};

	if (place != NULL)
	{
		tree.guidance.kind = BY_INDEX;
		tree.guidance.place = *place;
	}
	if (!grow(grower, &post, &tree, root, error))
		return false;
	grower->writer->n_trees++;
	return true;
}

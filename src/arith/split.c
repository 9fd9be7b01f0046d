/*-------------------------------------------------------------------------
 *
 * split.c
 *	  Splitting a set of sketches by a hyperplane.
 *
 * The hyperplane that is stored (int8 normal, float scales) decides who is on
 * which side, never the one it was rounded from: a side found here is the side
 * that AnnoyItemMargin finds later.
 *
 *-------------------------------------------------------------------------
 */
#include <float.h>
#include <math.h>
#include <string.h>

#include "arith/split.h"

/* Items that join a mean in 2-means, and tries to split evenly: as Annoy's. */
#define TWO_MEANS_ROUNDS 200
#define SPLIT_ATTEMPTS 3

/* An attempt fails that leaves this share of the items on one side. */
#define UNBALANCED_PERCENT 95

/* Random pairs of which the farthest gives a direction if means do not. */
#define FALLBACK_PAIRS 8

/* Seed of the choice of pivots, which has no influence on results. */
#define PIVOT_SEED 1

/* A point of the space of hyperplanes: a sketch and its extra coordinate. */
typedef struct Point
{
	float	   *sketch;			/* float[s] */
	float		extra;
} Point;

/* Everything that one call of AnnoySplitItems works with. */
typedef struct SplitState
{
	const AnnoySketchSet *set;
	const int32_t *items;
	int			count;
	AnnoyRandom *random;
	AnnoyHyperplane *plane;
	Point		left;			/* scratch: mean of either side ... */
	Point		right;
	Point		item;			/* ... and an item, then the direction */
	float	   *margins;		/* of all items, without offset */
	int32_t    *order;			/* int32[count]: for selection and parting */
} SplitState;

void
AnnoyPutSketch(AnnoySketchSet *set, int place, const float *sketch)
{
	int			s = set->sketch_dimensions;

	set->scale[place] =
		AnnoyQuantiseSketch(s, sketch, set->quantised + (size_t) place * s);
}

/* Two means and an item. */
int
AnnoySplitScratch(int sketch_dimensions)
{
	return 3 * sketch_dimensions;
}

static const int16_t *
item_quantised(const AnnoySketchSet *set, int32_t item)
{
	return set->quantised + (size_t) item * set->sketch_dimensions;
}

static void
load_item(const AnnoySketchSet *set, int32_t item, Point *point)
{
	annoy_kernels.dequantise(set->sketch_dimensions,
							 item_quantised(set, item), set->scale[item],
							 point->sketch);
	point->extra = set->extra[item];
}

static float
squared_distance(int s, const Point *a, const Point *b)
{
	float		extra = a->extra - b->extra;

	return annoy_kernels.l2_squared(s, a->sketch, b->sketch) + extra * extra;
}

/* Margin before the offset is subtracted. */
static float
unshifted_margin(const AnnoySketchSet *set, int32_t item,
				 const AnnoyHyperplane *plane)
{
	int32_t		product;

	product = annoy_kernels.dot_quantised(set->sketch_dimensions,
										  plane->normal,
										  item_quantised(set, item));

	/*
	 * In double, in the order of AnnoyQueryMargin.  The offset is subtracted
	 * from the rounded sum: the difference of two floats is zero only if they
	 * are equal, so that "margin <= 0" is the same as "sum <= offset", which
	 * is how thresholds are chosen here.
	 */
	return (float) ((double) plane->scale * (double) set->scale[item] *
					(double) product +
					(double) plane->extra_weight * (double) set->extra[item]);
}

float
AnnoyItemMargin(const AnnoySketchSet *set, int32_t item,
				const AnnoyHyperplane *plane)
{
	return unshifted_margin(set, item, plane) - plane->offset;
}

void
AnnoyMeanSketch(const AnnoySketchSet *set, const int32_t *items, int count,
				float *mean, float *mean_extra)
{
	int			s = set->sketch_dimensions;
	float		share = 1.0f / (float) count;
	double		extra = 0.0;
	int			k;
	int			i;

	memset(mean, 0, (size_t) s * sizeof(float));
	for (k = 0; k < count; k++)
	{
		annoy_kernels.add_dequantised(s, item_quantised(set, items[k]),
									  set->scale[items[k]], mean);
		extra += (double) set->extra[items[k]];
	}

	for (i = 0; i < s; i++)
		mean[i] *= share;
	*mean_extra = (float) (extra / count);
}

int
AnnoyFindNearestCentroid(const AnnoyCentroidSet *set, const int16_t *quantised,
						 float scale, float extra, int32_t *products,
						 float *distances, float *distance)
{
	int			s = set->sketch_dimensions;
	int			count = set->count;
	float		factor = -2.0f * scale;
	float		least[ANNOY_RUN];
	float		nearest = FLT_MAX;
	int			i;
	int			j;

	annoy_kernels.dot_quantised_many(s, count, set->centroids, (size_t) s,
									 quantised, products);
	for (i = 0; i < count; i++)
	{
		float		further = extra - set->extra[i];

		distances[i] = set->norm_squared[i] + further * further +
			factor * set->scale[i] * (float) products[i];
	}

	/* a run at a time, without a branch that cannot be foreseen */
	for (i = count; i < count + ANNOY_RUN; i++)
		distances[i] = FLT_MAX;
	for (j = 0; j < ANNOY_RUN; j++)
		least[j] = FLT_MAX;
	for (i = 0; i < count; i += ANNOY_RUN)
		for (j = 0; j < ANNOY_RUN; j++)
			least[j] = distances[i + j] < least[j] ? distances[i + j] : least[j];
	for (j = 0; j < ANNOY_RUN; j++)
		nearest = least[j] < nearest ? least[j] : nearest;
	*distance = nearest;
	for (i = 0; i < count - 1 && distances[i] != nearest; i++)
		;
	return i;
}

static int32_t
draw_item(SplitState *state)
{
	return state->items[AnnoyRandomBelow(state->random,
										 (uint32_t) state->count)];
}

/* Two different places among the items (the items may be equal). */
static void
draw_pair(SplitState *state, int32_t *first, int32_t *second)
{
	uint32_t	i = AnnoyRandomBelow(state->random, (uint32_t) state->count);
	uint32_t	j = AnnoyRandomBelow(state->random,
									 (uint32_t) state->count - 1);

	if (j >= i)
		j++;
	*first = state->items[i];
	*second = state->items[j];
}

/* Moves a mean of "members" items to where it is with one more. */
static void
join_mean(int s, Point *mean, int members, const Point *item)
{
	float		share = 1.0f / (float) (members + 1);

	annoy_kernels.join_mean(s, item->sketch, share, mean->sketch);
	mean->extra += (item->extra - mean->extra) * share;
}

/*
 * Annoy's 2-means: the smaller mean attracts more, by its count, which keeps
 * the sides balanced.  Leaves the means in left and right.
 */
static void
find_two_means(SplitState *state)
{
	int			s = state->set->sketch_dimensions;
	int			left_members = 1;
	int			right_members = 1;
	int32_t		first;
	int32_t		second;
	int			round;

	draw_pair(state, &first, &second);
	load_item(state->set, first, &state->left);
	load_item(state->set, second, &state->right);

	for (round = 0; round < TWO_MEANS_ROUNDS; round++)
	{
		float		left_cost;
		float		right_cost;

		load_item(state->set, draw_item(state), &state->item);
		left_cost = left_members *
			squared_distance(s, &state->left, &state->item);
		right_cost = right_members *
			squared_distance(s, &state->right, &state->item);
		if (left_cost < right_cost)
			join_mean(s, &state->left, left_members++, &state->item);
		else if (right_cost < left_cost)
			join_mean(s, &state->right, right_members++, &state->item);
	}
}

/*
 * Sets the plane's normal to the direction from left to right, of unit length
 * as it is after rounding.  Returns false if there is no such direction; the
 * plane is unchanged then.
 */
static bool
set_normal(SplitState *state)
{
	AnnoyHyperplane *plane = state->plane;
	int			s = state->set->sketch_dimensions;
	float	   *direction = state->item.sketch;
	double		extra = (double) state->right.extra - (double) state->left.extra;
	double		length = extra * extra;
	float		scale;
	int			i;

	for (i = 0; i < s; i++)
	{
		direction[i] = state->right.sketch[i] - state->left.sketch[i];
		length += (double) direction[i] * (double) direction[i];
	}
	if (!(length > 0.0))
		return false;

	/* to unit length first, or the smallest directions would count as none */
	length = sqrt(length);
	for (i = 0; i < s; i++)
		direction[i] = (float) (direction[i] / length);
	extra /= length;

	scale = AnnoyQuantiseDirection(s, direction, plane->normal);
	length = sqrt((double) scale * (double) scale *
				  AnnoyQuantisedNorm(s, plane->normal) + extra * extra);
	plane->scale = (float) (scale / length);
	plane->extra_weight = (float) (extra / length);
	plane->offset = 0.0f;
	return true;
}

static void
compute_margins(SplitState *state)
{
	int			k;

	for (k = 0; k < state->count; k++)
		state->margins[k] = unshifted_margin(state->set, state->items[k],
											 state->plane);
}

/* Margin, without offset, of the point half-way between the means. */
static float
middle_margin(const SplitState *state)
{
	const AnnoyHyperplane *plane = state->plane;
	int			s = state->set->sketch_dimensions;
	double		sum = 0.0;
	int			i;

	for (i = 0; i < s; i++)
		sum += (double) plane->normal[i] *
			((double) state->left.sketch[i] + (double) state->right.sketch[i]);
	return (float) (0.5 * (sum * (double) plane->scale +
						   (double) plane->extra_weight *
						   ((double) state->left.extra +
							(double) state->right.extra)));
}

static int
count_left(const SplitState *state, float offset)
{
	int			left = 0;
	int			k;

	for (k = 0; k < state->count; k++)
		left += state->margins[k] <= offset;
	return left;
}

static bool
is_unbalanced(int left, int count)
{
	int			larger = left > count - left ? left : count - left;

	return (int64_t) larger * 100 >= (int64_t) count * UNBALANCED_PERCENT;
}

/*
 * The margin of rank "rank" (from 0) in ascending order: quickselect on a
 * list of items, parted in three so that equal margins cost nothing.
 */
static float
select_margin(const SplitState *state, int rank)
{
	const float *margins = state->margins;
	int32_t    *order = state->order;
	int			low = 0;
	int			high = state->count;	/* order[low .. high - 1] holds it */
	AnnoyRandom random;
	int			k;

	AnnoySeedRandom(&random, PIVOT_SEED);
	for (k = 0; k < state->count; k++)
		order[k] = k;

	for (;;)
	{
		uint32_t	choice = AnnoyRandomBelow(&random, (uint32_t) (high - low));
		float		pivot = margins[order[low + (int) choice]];
		int			less = low;
		int			greater = high;

		/* below less: smaller; from greater on: larger; less .. k - 1: equal */
		for (k = low; k < greater;)
		{
			int32_t		current = order[k];

			if (margins[current] < pivot)
			{
				order[k++] = order[less];
				order[less++] = current;
			}
			else if (margins[current] > pivot)
			{
				order[k] = order[--greater];
				order[greater] = current;
			}
			else
				k++;
		}

		if (rank < less)
			high = less;
		else if (rank >= greater)
			low = greater;
		else
			return pivot;
	}
}

/* A float t, below <= t < above, as near the middle as there is one. */
static float
between(float below, float above)
{
	float		middle = 0.5f * below + 0.5f * above;

	return middle >= below && middle < above ? middle : below;
}

/*
 * Sets the offset so that the left side gets the wanted number of items, or
 * the nearest number that a gap between margins allows (of two equally near
 * ones the smaller).  Returns that number, 0 if all margins are equal.
 */
static int
set_quantile(SplitState *state, int wanted)
{
	const float *margins = state->margins;
	int			count = state->count;
	float		value = select_margin(state, wanted - 1);
	float		below = -INFINITY;	/* the largest margin less than value */
	float		above = INFINITY;	/* the smallest one greater */
	int			less = 0;
	int			not_greater = 0;
	int			k;

	for (k = 0; k < count; k++)
	{
		if (margins[k] < value)
		{
			less++;
			if (margins[k] > below)
				below = margins[k];
		}
		else if (margins[k] > value && margins[k] < above)
			above = margins[k];
		not_greater += margins[k] <= value;
	}

	/* less < wanted <= not_greater */
	if (less == 0 && not_greater == count)
		return 0;
	if (not_greater == count ||
		(less > 0 && wanted - less <= not_greater - wanted))
	{
		state->plane->offset = between(below, value);
		return less;
	}
	state->plane->offset = between(value, above);
	return not_greater;
}

/* Direction of the farthest of a few random pairs. */
static bool
direct_by_pairs(SplitState *state)
{
	int			s = state->set->sketch_dimensions;
	int32_t		best_first = 0;
	int32_t		best_second = 0;
	float		best = 0.0f;
	int			pair;

	for (pair = 0; pair < FALLBACK_PAIRS; pair++)
	{
		int32_t		first;
		int32_t		second;
		float		distance;

		draw_pair(state, &first, &second);
		load_item(state->set, first, &state->left);
		load_item(state->set, second, &state->right);
		distance = squared_distance(s, &state->left, &state->right);
		if (distance > best)
		{
			best = distance;
			best_first = first;
			best_second = second;
		}
	}
	if (best == 0.0f)
		return false;

	load_item(state->set, best_first, &state->left);
	load_item(state->set, best_second, &state->right);
	return set_normal(state);
}

/* Direction from the first item to the farthest one from it. */
static bool
direct_from_first(SplitState *state)
{
	int			s = state->set->sketch_dimensions;
	int32_t		farthest = 0;
	float		best = 0.0f;
	int			k;

	load_item(state->set, state->items[0], &state->left);
	for (k = 1; k < state->count; k++)
	{
		float		distance;

		load_item(state->set, state->items[k], &state->right);
		distance = squared_distance(s, &state->left, &state->right);
		if (distance > best)
		{
			best = distance;
			farthest = state->items[k];
		}
	}
	if (best == 0.0f)
		return false;

	load_item(state->set, farthest, &state->right);
	return set_normal(state);
}

/*
 * The one coordinate (or the extra one) in which the two points that
 * direct_from_first left differ most: where the others would round their
 * difference away.
 */
static void
direct_by_coordinate(SplitState *state)
{
	AnnoyHyperplane *plane = state->plane;
	int			s = state->set->sketch_dimensions;
	float		best = fabsf(state->right.extra - state->left.extra);
	int			coordinate = -1;
	int			i;

	for (i = 0; i < s; i++)
	{
		float		difference = fabsf(state->right.sketch[i] -
									   state->left.sketch[i]);

		plane->normal[i] = 0;
		if (difference > best)
		{
			best = difference;
			coordinate = i;
		}
	}

	plane->scale = 0.0f;
	plane->extra_weight = 0.0f;
	if (coordinate < 0)
		plane->extra_weight = 1.0f;
	else
	{
		plane->normal[coordinate] = 1;
		plane->scale = 1.0f;
	}
}

/* 2-means, again if it fails; returns the items on the left or 0. */
static int
split_by_means(SplitState *state, AnnoySplitRule rule, int left_wanted)
{
	bool		found = false;
	int			attempt;

	for (attempt = 0; attempt < SPLIT_ATTEMPTS; attempt++)
	{
		int			left;

		find_two_means(state);
		if (!set_normal(state))
			continue;
		compute_margins(state);
		found = true;

		if (rule == ANNOY_SPLIT_QUANTILE)
		{
			left = set_quantile(state, left_wanted);
			if (left > 0)
				return left;
		}
		else
		{
			state->plane->offset = middle_margin(state);
			left = count_left(state, state->plane->offset);
			if (!is_unbalanced(left, state->count))
				return left;
		}
	}

	/* the last direction is still in the plane */
	return found ? set_quantile(state, left_wanted) : 0;
}

/* Where means coincide: few distinct items, or all but all equal. */
static int
split_by_differences(SplitState *state, int left_wanted)
{
	int			left;

	if (direct_by_pairs(state))
	{
		compute_margins(state);
		left = set_quantile(state, left_wanted);
		if (left > 0)
			return left;
	}

	if (!direct_from_first(state))
		return 0;
	compute_margins(state);
	left = set_quantile(state, left_wanted);
	if (left > 0)
		return left;

	direct_by_coordinate(state);
	compute_margins(state);
	return set_quantile(state, left_wanted);
}

/* Left side first, each side in its former order. */
static void
part_items(int32_t *items, int count, const float *margins, float offset,
		   int32_t *right)
{
	int			left_count = 0;
	int			right_count = 0;
	int			k;

	for (k = 0; k < count; k++)
	{
		if (margins[k] <= offset)
			items[left_count++] = items[k];
		else
			right[right_count++] = items[k];
	}
	memcpy(items + left_count, right, (size_t) right_count * sizeof(int32_t));
}

int
AnnoySplitItems(const AnnoySketchSet *set, int32_t *items, int count,
				AnnoySplitRule rule, int left_wanted, AnnoyRandom *random,
				AnnoyHyperplane *plane, float *scratch, float *margins,
				int32_t *order)
{
	int			s = set->sketch_dimensions;
	SplitState	state = {
		.set = set,
		.items = items,
		.count = count,
		.random = random,
		.plane = plane,
		.left = {scratch, 0.0f},
		.right = {scratch + s, 0.0f},
		.item = {scratch + 2 * s, 0.0f},
		.margins = margins,
		.order = order
	};
	int			left;

	if (rule == ANNOY_SPLIT_MIDDLE)
		left_wanted = count / 2;

	left = split_by_means(&state, rule, left_wanted);
	if (left == 0)
		left = split_by_differences(&state, left_wanted);
	if (left > 0)
		part_items(items, count, margins, plane->offset, order);

	return left;
}

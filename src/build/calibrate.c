/*-------------------------------------------------------------------------
 *
 * calibrate.c
 *	  Finding the automatic search_k of an index that has just been built.
 *
 * Sampled members are searched for through the index with a budget that sees
 * (almost) all of it.  For each of their nearest neighbours the walk tells
 * after how many inspected items it was reached, or another row as near; the
 * budget is the number that reaches the wanted share of them.  A member is no
 * part of its own answer; its duplicates are.  With workers, each process takes
 * some of the members.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "build/buildsteps.h"
#include "forest/search.h"
#include "table/rowvalue.h"

/*
 * The aim is a recall of 0.95.  A hundred members tell it with a standard
 * error of one percent; a member, having shaped the cell it lies in, is easier
 * to place than a vector that comes from outside; and lower bounds that fail
 * cost a little besides.
 */
#define CALIBRATION_RECALL (0.95 + 0.02)
/* Bounds leave so many standard deviations in an exact search. */
#define CALIBRATION_EPSILON 3.0f

/*
 * Items inspected for one member at the most; what lies behind counts as
 * reached with the last of them.
 */
#define CALIBRATION_ITEMS 1000000

static int
compare_positions(const void *a, const void *b)
{
	int64		x = *(const int64 *) a;
	int64		y = *(const int64 *) b;

	return x < y ? -1 : x > y ? 1 : 0;
}

/* Positions of one member's neighbours; returns how many there are. */
static int
locate_neighbors(AnnoySearch *search, struct varlena *value, ItemPointer self,
				 int64 *positions)
{
	AnnoySearchLimits limits;
	AnnoySearchResult neighbors[ANNOY_CALIBRATION_NEIGHBORS + 1];
	AnnoySearchResult *next = neighbors;
	int			count = 0;

	limits.search_k = CALIBRATION_ITEMS;
	limits.max_items = CALIBRATION_ITEMS;
	limits.resume = false;
	limits.order = ANNOY_ORDER_SORTED;
	limits.epsilon = CALIBRATION_EPSILON;
	limits.rows = ANNOY_CALIBRATION_NEIGHBORS + 1;
	limits.snapshot = GetActiveSnapshot();
	AnnoyStartSearch(search, value, &limits);
	while (count < ANNOY_CALIBRATION_NEIGHBORS &&
		   AnnoyNextResult(search, INFINITY, next) &&
		   next->kind == ANNOY_DISTANCE_NUMBER)
		if (!ItemPointerEquals(&next->heap_tid, self))
			next = &neighbors[++count];
	AnnoyLocateNeighbors(search, self, neighbors, count, positions,
						 CALIBRATION_ITEMS);
	return count;
}

/* Searches for members as long as there are any that nobody has taken. */
void
AnnoyLocateMembers(AnnoyBuild *build)
{
	AnnoyBuildShared *shared = build->shared;
	AnnoySearch *search = AnnoyBeginSearch(build->heap, build->index);
	AnnoyRowReader reader;
	uint64		member;

	AnnoyBeginRowReader(&reader, build->heap, build->index);
	while ((member = AnnoyTakeWork(build)) < build->space->member_count)
	{
		struct varlena *value;
		ItemPointerData tid;

		CHECK_FOR_INTERRUPTS();
		AnnoyUnpackTid(build->space->members[member], &tid);
		/* it may have been deleted meanwhile */
		if (AnnoyReadLiveRow(&reader, &tid, &value) == ANNOY_ROW_LIVE)
			shared->neighbors[member] =
				locate_neighbors(search, value, &tid,
								 shared->positions[member]);
	}
	AnnoyEndRowReader(&reader);
	AnnoyEndSearch(search);
}

/* The budget, at least 1, once all members were searched for. */
int64
AnnoyCalibrate(AnnoyBuild *build)
{
	AnnoyBuildShared *shared = build->shared;
	int64	   *positions = palloc(sizeof(shared->positions));
	int			count = 0;
	int64		budget = 1;

	for (int i = 0; i < build->space->member_count; i++)
		for (int j = 0; j < shared->neighbors[i]; j++)
			positions[count++] = shared->positions[i][j];
	if (count > 0)
	{
		qsort(positions, count, sizeof(int64), compare_positions);
		budget = positions[(int) ceil(CALIBRATION_RECALL * count) - 1];
	}
	pfree(positions);
	return Min(budget, CALIBRATION_ITEMS);
}

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

/*
 * So many members are searched for in as much.  For the others so many times the
 * items have to do after which the last neighbour of those was reached: beyond
 * them lies next to nothing, and most of an index need not be read for each
 * (Fashion-MNIST: a quarter of the build).
 */
#define FIRST_MEMBERS 10
#define ITEMS_FACTOR 4

/* At least so many of all, should the first ones be easier than others. */
#define LEAST_ITEMS_SHARE 8

static int
compare_positions(const void *a, const void *b)
{
	int64		x = *(const int64 *) a;
	int64		y = *(const int64 *) b;

	return x < y ? -1 : x > y ? 1 : 0;
}

/*
 * Rows that members are compared with: all that live.  The transaction's own
 * snapshot does not tell them where the command that builds has written them
 * itself (ALTER TABLE), or where it is older than some (REPEATABLE READ).  Nobody
 * changes the table meanwhile, so no snapshot is needed, unless the build is a
 * concurrent one.
 */
static Snapshot
choose_snapshot(const AnnoyBuild *build)
{
	return build->shared->concurrent ? GetActiveSnapshot() : SnapshotSelf;
}

/* Positions of one member's neighbours; returns how many there are. */
static int
locate_neighbors(AnnoySearch *search, struct varlena *value, ItemPointer self,
				 Snapshot snapshot, int64 items, int64 *positions)
{
	AnnoySearchLimits limits;
	AnnoySearchResult neighbors[ANNOY_CALIBRATION_NEIGHBORS + 1];
	AnnoySearchResult *next = neighbors;
	int			count = 0;

	limits.search_k = items;
	limits.max_items = items;
	limits.resume = false;
	limits.order = ANNOY_ORDER_SORTED;
	limits.epsilon = CALIBRATION_EPSILON;
	limits.rows = ANNOY_CALIBRATION_NEIGHBORS + 1;
	limits.snapshot = snapshot;
	AnnoyStartSearch(search, value, &limits);
	while (count < ANNOY_CALIBRATION_NEIGHBORS &&
		   AnnoyNextResult(search, INFINITY, next) &&
		   next->kind == ANNOY_DISTANCE_NUMBER)
		if (!ItemPointerEquals(&next->heap_tid, self))
			next = &neighbors[++count];
	AnnoyLocateNeighbors(search, self, neighbors, count, positions,
						 items);
	return count;
}

/* Searches for members before "end" that nobody has taken. */
static void
locate_members(AnnoyBuild *build, AnnoySearch *search, AnnoyRowReader *reader,
			   int first, int end, int64 items)
{
	AnnoyBuildShared *shared = build->shared;
	uint64		member;

	while ((member = first + AnnoyTakeWork(build)) < end)
	{
		struct varlena *value;
		ItemPointerData tid;

		CHECK_FOR_INTERRUPTS();
		AnnoyUnpackTid(build->space->members[member], &tid);
		/* it may have been deleted meanwhile */
		if (AnnoyReadLiveRow(reader, &tid, &value) == ANNOY_ROW_LIVE)
			shared->neighbors[member] =
				locate_neighbors(search, value, &tid, choose_snapshot(build),
								 items, shared->positions[member]);
	}
}

/* Items that have to do for all but the first members. */
static int64
limit_items(const AnnoyBuildShared *shared, int members)
{
	int64		least = shared->items / LEAST_ITEMS_SHARE;
	int64		last = 1;

	for (int i = 0; i < members; i++)
		for (int j = 0; j < shared->neighbors[i]; j++)
			last = Max(last, Min(shared->positions[i][j], CALIBRATION_ITEMS));
	return Min(Max(last * ITEMS_FACTOR, least), CALIBRATION_ITEMS);
}

void
AnnoyLocateMembers(AnnoyBuild *build)
{
	AnnoySearch *search = AnnoyBeginSearch(build->heap, build->index);
	int			count = build->space->member_count;
	int			first = Min(count, FIRST_MEMBERS);
	AnnoyRowReader reader;

	AnnoyBeginRowReader(&reader, build->heap, build->index);
	locate_members(build, search, &reader, 0, first, CALIBRATION_ITEMS);
	AnnoyNextPhase(build, 0);
	locate_members(build, search, &reader, first, count,
				   limit_items(build->shared, first));
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

/*-------------------------------------------------------------------------
 *
 * search.c
 *	  Nearest-neighbour search of a forest: candidates from leaves, exact
 *	  distances only where the bounds ask for them, rows in order.
 *
 * inspect.c turns leaves into candidates; here they are ranked and given out.
 * exhaustive.c does without codes.  searchrows.c reads rows.  searchstate.h says
 * where an entry can be meanwhile.
 *
 * The next row is the top of "ranked" once no lower bound of "candidates" (or
 * the threshold, if something lies aside) is below its distance.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <float.h>
#include <math.h>

#include "access/genam.h"
#include "access/htup_details.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/memutils.h"

#include "arith/random.h"
#include "arith/refine.h"
#include "forest/searchstate.h"

/*
 * A search resumes, though rows are left, once it has given out more rows
 * than ROWS_PER_BUDGET * rounds^2: the farther a row, the larger the part of
 * the index that has to be seen to be sure of its place, but less than in
 * proportion.
 */
#define ROWS_PER_BUDGET 20

/*
 * Candidates whose rows are asked for before the first of them is read: what a
 * search waits for is memory, or disk.
 */
#define ROWS_ASKED_FOR 8

/*
 * Where there are no upper bounds, the threshold is so manieth of the lower ones,
 * or twice as many as rows are wanted.
 */
#define LEAST_LOWER_BOUNDS 2048
#define LOWER_BOUNDS_PER_ROW 2

/*
 * Set of heap TIDs: bitmaps of 64 offsets, so that a search of the whole index
 * needs a few bytes a page of the table.
 */
typedef struct VisitedEntry
{
	uint64		key;			/* block * VISITED_WORDS + offset / 64 */
	uint64		bits;
	char		status;
} VisitedEntry;

#define VISITED_WORDS ((MaxHeapTuplesPerPage + 64) / 64 + 1)

#define SH_PREFIX visited
#define SH_ELEMENT_TYPE VisitedEntry
#define SH_KEY_TYPE uint64
#define SH_KEY key
#define SH_HASH_KEY(tb, key) ((uint32) AnnoyMix(key))
#define SH_EQUAL(tb, a, b) ((a) == (b))
#define SH_SCOPE static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

#define VISITED_INITIAL 512

/* Queues larger than this are made anew for the next query. */
#define QUEUES_REUSED (1024 * 1024)

/* Elements of the queues at first. */
#define RANKED_INITIAL 64
#define NAN_INITIAL 16
#define LEAVES_INITIAL 64

/* Allocates what grows with a search, in its first size. */
static void
make_queues(AnnoySearch *search)
{
	MemoryContext old;

	MemoryContextReset(search->queues);
	old = MemoryContextSwitchTo(search->queues);
	AnnoyInitWalk(&search->walk, search->index, search->forest);
	search->walk.use_copies = true;
	AnnoyInitCandidates(&search->candidates);
	Ranked_init(&search->ranked, RANKED_INITIAL);
	Ranked_init(&search->nan, NAN_INITIAL);
	search->leaves.count = 0;
	search->leaves.allocated = LEAVES_INITIAL;
	search->leaves.visits = palloc(sizeof(LeafVisit) * LEAVES_INITIAL);
	search->visited = visited_create(search->queues, VISITED_INITIAL, NULL);
	MemoryContextSwitchTo(old);
	search->queues_size = MemoryContextMemAllocated(search->queues, false);
}

AnnoySearch *
AnnoyBeginSearch(Relation heap, Relation index)
{
	AnnoySearch *search = palloc0(sizeof(AnnoySearch));
	int			dimensions;

	search->index = index;
	search->context = CurrentMemoryContext;
	search->forest = AnnoyLoadForest(index, CurrentMemoryContext);
	search->element = AnnoyGetOpclassInfo(index)->element;
	fmgr_info_copy(&search->distance,
				   index_getprocinfo(index, 1, ANNOY_DISTANCE_PROC),
				   CurrentMemoryContext);
	search->collation = index->rd_indcollation[0];
	dimensions = search->forest->meta.dimensions;
	if (dimensions > 0)
	{
		search->scratch = palloc(sizeof(float) * AnnoySketchScratch(dimensions));
		search->query_memory = (void *)
			TYPEALIGN(64, palloc(AnnoyQueryMemory(dimensions) + 64));
		/* zeroes: all 16 entries of an open block are ranked, used or not */
		search->block_scratch =
			palloc0(search->forest->leaf.block_size);
	}
	AnnoyBeginRowReader(&search->reader, heap, index);
	search->queues = AllocSetContextCreate(CurrentMemoryContext,
										   "annoy search queues",
										   ALLOCSET_DEFAULT_SIZES);
	make_queues(search);
	search->tail_tids = palloc(sizeof(ItemPointerData) * AnnoyTailCapacity);
	search->phase = PHASE_END;
	return search;
}

/* Forgets lists of rows of the query before. */
static void
end_lists(AnnoySearch *search)
{
	AnnoyEndSort(search);
	if (search->all)
		AnnoyEndRowList(search->all);
	search->all = NULL;
}

void
AnnoyEndSearch(AnnoySearch *search)
{
	end_lists(search);
	AnnoyEndRowReader(&search->reader);
}

const AnnoyForest *
AnnoyGetSearchForest(AnnoySearch *search)
{
	return search->forest;
}

const AnnoySearchStatistics *
AnnoyGetSearchStatistics(AnnoySearch *search)
{
	search->statistics.hyperplanes = search->walk.hyperplanes;
	search->statistics.blocks = search->leaf_pages +
		search->walk.pages_read + search->tail_pages;
	return &search->statistics;
}

bool
AnnoySearchIsLarge(const AnnoySearch *search)
{
	return search->rest ||
		MemoryContextMemAllocated(search->queues, false) >
		search->queues_size + work_mem * (Size) 1024;
}

/* Empties the queues for another query. */
static void
clear_queues(AnnoySearch *search)
{
	if (search->rest ||
		MemoryContextMemAllocated(search->queues, false) > QUEUES_REUSED)
	{
		make_queues(search);
		return;
	}
	AnnoyClearCandidates(&search->candidates);
	search->ranked.count = 0;
	search->nan.count = 0;
	search->leaves.count = 0;
	search->walk.nodes.count = 0;
	search->walk.leaves.count = 0;
	visited_reset(search->visited);
}

/* The entry of a TID in the set of visited ones, and the bit in it. */
static uint64
visited_key(const ItemPointerData *tid, uint64 *bit)
{
	OffsetNumber offset = ItemPointerGetOffsetNumberNoCheck(tid);

	*bit = UINT64CONST(1) << (offset % 64);
	return (uint64) ItemPointerGetBlockNumberNoCheck(tid) *
		VISITED_WORDS + Min(offset / 64, VISITED_WORDS - 1);
}

static bool
is_visited(const AnnoySearch *search, const ItemPointerData *tid)
{
	uint64		bit;
	uint64		key = visited_key(tid, &bit);
	VisitedEntry *entry = visited_lookup(search->visited, key);

	return entry != NULL && (entry->bits & bit) != 0;
}

/* Adds a TID to the set; false if it was there. */
static bool
visit(AnnoySearch *search, const ItemPointerData *tid)
{
	uint64		bit;
	uint64		key = visited_key(tid, &bit);
	bool		found;
	VisitedEntry *entry = visited_insert(search->visited, key, &found);

	if (!found)
		entry->bits = 0;
	if (entry->bits & bit)
		return false;
	entry->bits |= bit;
	return true;
}

/* The threshold of candidates, for the rows that will probably be taken. */
static void
want_rows(AnnoySearch *search)
{
	int64		wanted = Max(search->limits.rows, 1) * search->forest->meta.n_trees;

	if (!AnnoyHasUpperBounds(&search->forest->sketcher))
		wanted = Max(wanted * LOWER_BOUNDS_PER_ROW, LEAST_LOWER_BOUNDS);
	AnnoyWantCandidates(&search->candidates, wanted);
}

static void
reset_search(AnnoySearch *search)
{
	clear_queues(search);
	end_lists(search);
	search->undefined_kind = ANNOY_DISTANCE_NUMBER;
	search->aside = false;
	search->finished = false;
	search->rest = false;
	search->rows = 0;
	search->last_distance = -INFINITY;
	search->leaf_pages = 0;
	search->next_tail = InvalidBlockNumber;
	search->tail_count = 0;
	search->tail_next = 0;
	search->tail_pages = 0;
	memset(&search->statistics, 0, sizeof(AnnoySearchStatistics));
	search->walk.hyperplanes = 0;
	search->walk.pages_read = 0;
}

/* Prepares the search of all rows, whose distance is nothing that sorts. */
static void
start_undefined(AnnoySearch *search, AnnoyDistanceKind kind)
{
	search->undefined_kind = kind;
	search->all = AnnoyListSearchedRows(search, work_mem);
	search->phase = PHASE_ROWS;
}

void
AnnoyStartSearch(AnnoySearch *search, struct varlena *query,
				 const AnnoySearchLimits *limits)
{
	const AnnoyMetaPageData *meta = &search->forest->meta;

	search->value = query;
	search->limits = *limits;
	reset_search(search);
	search->phase = PHASE_NUMBERS;
	if (query == NULL)
		start_undefined(search, ANNOY_DISTANCE_NULL);
	else if (meta->dimensions > 0)
	{
		int			dimensions = search->element->dimensions(query);
		float	   *floats;

		if (dimensions != meta->dimensions)
			AnnoyReportDimensions(search->index, search->element,
								  meta->dimensions, dimensions);
		floats = palloc(sizeof(float) * dimensions);
		AnnoyInitQuery(&search->query, search->query_memory,
					   &search->forest->sketcher,
					   search->element->floats(query, floats),
					   search->scratch, limits->epsilon);
		pfree(floats);
		if (search->query.undefined)
			start_undefined(search, ANNOY_DISTANCE_NAN);
		else if (limits->order == ANNOY_ORDER_EXACT)
		{
			AnnoySortRows(search);
			search->phase = PHASE_SORTED;
		}
		else
		{
			want_rows(search);
			AnnoyReadRoots(search->index, search->forest);
			AnnoyStartWalk(&search->walk, &search->query);
		}
	}
}

static inline double
bound(AnnoySearch *search, float lower)
{
	return AnnoyBoundToDistance(&search->forest->sketcher, &search->query,
								lower);
}

/* Ranks a candidate by its exact distance. */
static void
rank_row(AnnoySearch *search, const AnnoyCandidate *candidate)
{
	RankedRow	row = {.tid = candidate->tid};

	/* where a code is the value, so is a bound the distance */
	if (search->forest->sketcher.codes_are_bits && !search->query.similarity)
	{
		if (!ItemPointerIsValid(&row.tid) ||
			!BlockNumberIsValid(ItemPointerGetBlockNumberNoCheck(&row.tid)))
			AnnoyReportRow(search->index, &row.tid, "there is no such row");
		row.distance = candidate->lower;
	}
	else if (!AnnoyMeasureRow(search, &row))
		return;
	AnnoyObserveDistance(&search->query, candidate->lower, row.distance);
	if (isnan(row.distance))
	{
		row.distance = 0;
		Ranked_push(&search->nan, row);
	}
	else if (row.distance >= search->last_distance ||
			 search->limits.order == ANNOY_ORDER_ANY)
		Ranked_push(&search->ranked, row);
}

/*
 * Whether something with a lower bound may be nearer than the nearest ranked
 * item, and than the ceiling.
 */
static inline bool
may_be_next(AnnoySearch *search, float lower, double ceiling)
{
	if (search->ranked.count > 0)
		ceiling = Min(ceiling, search->ranked.elements[0].distance);
	else if (ceiling == INFINITY)
		return true;			/* also if the bound is infinite */
	return bound(search, lower) < ceiling;
}

/*
 * Ranks candidates until none of them may be next: the one with the smallest
 * bound first.  (Bounds may fall by what a query learns from the rows that it
 * ranks, AnnoyObserveDistance.)  Some steps ahead, rows that may have to be read
 * are asked for.
 */
static void
rank_rows(AnnoySearch *search, double ceiling)
{
	AnnoyCandidateQueue *queue = &search->candidates.queue;
	AnnoyCandidate asked[ROWS_ASKED_FOR];	/* a ring, smallest bound first */
	int			first = 0;
	int			count = 0;

	for (;;)
	{
		AnnoyCandidate *candidate = &asked[first];

		CHECK_FOR_INTERRUPTS();
		while (count < ROWS_ASKED_FOR && queue->count > 0 &&
			   may_be_next(search, queue->elements[0].lower, ceiling))
		{
			AnnoyCandidate next = AnnoyCandidate_pop(queue);

			/* it may have come through another tree, or another page, before */
			if (is_visited(search, &next.tid))
				continue;
			AnnoyAnticipateRow(&search->reader, &next.tid);
			asked[(first + count++) % ROWS_ASKED_FOR] = next;
		}
		if (count == 0 || !may_be_next(search, candidate->lower, ceiling))
			break;
		if (visit(search, &candidate->tid))
			rank_row(search, candidate);
		first = (first + 1) % ROWS_ASKED_FOR;
		count--;
	}
	for (; count > 0; count--)
	{
		AnnoyCandidate_push(queue, asked[first]);
		first = (first + 1) % ROWS_ASKED_FOR;
	}
}

/*
 * Ceases to inspect if the search has grown too large, and keeps only what is
 * ranked already; everything else that was not visited comes in PHASE_REST.
 * Not where the items to inspect are limited: the rest may be all of the index.
 */
static bool
leave_rest(AnnoySearch *search)
{
	if (search->limits.order != ANNOY_ORDER_ANY || !search->limits.resume ||
		search->limits.max_items != PG_INT64_MAX || !AnnoySearchIsLarge(search))
		return false;
	search->finished = true;
	search->rest = true;
	search->aside = false;
	AnnoyClearCandidates(&search->candidates);
	pfree(search->candidates.queue.elements);
	pfree(search->candidates.bounds.elements);
	pfree(search->leaves.visits);
	pfree(search->walk.nodes.elements);
	pfree(search->walk.leaves.elements);
	return true;
}

/*
 * Ranks what has been inspected until the nearest ranked item is the next one,
 * or nothing is nearer than the ceiling.
 */
static void
rank_next(AnnoySearch *search, double ceiling)
{
	for (;;)
	{
		CHECK_FOR_INTERRUPTS();
		rank_rows(search, ceiling);
		if (!search->aside ||
			!may_be_next(search, search->candidates.threshold, ceiling) ||
			leave_rest(search))
			return;
		AnnoyFetchAside(search);
	}
}

/*
 * Next row of PHASE_NUMBERS; false when there is none left, or none below the
 * ceiling.
 */
static bool
next_number(AnnoySearch *search, double ceiling, RankedRow *row)
{
	if (search->forest->meta.dimensions == 0)
		return false;
	if (search->statistics.items_inspected == 0 && !search->finished)
		AnnoyInspect(search);

	for (;;)
	{
		double		rounds = search->statistics.resumptions + 1;

		rank_next(search, ceiling);
		if (ceiling == INFINITY && !search->finished &&
			(search->ranked.count == 0 ||
			 search->rows >= ROWS_PER_BUDGET * rounds * rounds))
		{
			if (!leave_rest(search))
			{
				search->statistics.resumptions++;
				AnnoyInspect(search);
			}
			continue;
		}
		if (search->ranked.count == 0 ||
			!(search->ranked.elements[0].distance < ceiling ||
			  ceiling == INFINITY))
			return false;
		*row = Ranked_pop(&search->ranked);
		/* a bound has failed */
		if (row->distance < search->last_distance &&
			search->limits.order == ANNOY_ORDER_SORTED)
			continue;
		search->last_distance = Max(search->last_distance, row->distance);
		search->rows++;
		return true;
	}
}

static void
next_phase(AnnoySearch *search)
{
	bool		incomplete = !search->limits.resume ||
		search->statistics.items_inspected >= search->limits.max_items;

	switch (search->phase)
	{
		case PHASE_NUMBERS:
			search->phase = PHASE_NAN;
			return;
		case PHASE_NAN:
			if (search->rest)
			{
				search->all = AnnoyListSearchedRows(search, work_mem);
				search->phase = PHASE_REST;
				return;
			}
			/* what lies behind rows not inspected is not given out */
			search->phase = incomplete ? PHASE_END : PHASE_TAIL_NAN;
			break;
		case PHASE_REST:
		case PHASE_SORTED:
		case PHASE_ROWS:
			search->phase = PHASE_TAIL_NAN;
			break;
		default:
			search->phase++;
			break;
	}
	search->tail_count = 0;
	search->tail_next = 0;
	search->next_tail = search->forest->meta.tail;
}

static void
set_result(AnnoySearchResult *result, const RankedRow *row,
		   AnnoyDistanceKind kind)
{
	result->heap_tid = row->tid;
	result->kind = kind;
	result->distance = kind == ANNOY_DISTANCE_NUMBER ? row->distance :
		kind == ANNOY_DISTANCE_NAN ? NAN : 0.0;
	result->no_value = false;
}

/* A result whose distance may be NaN. */
static void
set_measured(AnnoySearchResult *result, const RankedRow *row)
{
	set_result(result, row, isnan(row->distance) ? ANNOY_DISTANCE_NAN :
			   ANNOY_DISTANCE_NUMBER);
}

/* Next row of PHASE_REST; false at the end. */
static bool
next_of_rest(AnnoySearch *search, RankedRow *row)
{
	while (AnnoyNextListedRow(search->all, &row->tid))
	{
		CHECK_FOR_INTERRUPTS();
		if (!is_visited(search, &row->tid) && AnnoyMeasureRow(search, row))
			return true;
	}
	return false;
}

/* Next row of the tail, with or without a value; false at the end. */
static bool
next_of_tail(AnnoySearch *search, RankedRow *row)
{
	while (search->tail_next >= search->tail_count)
	{
		CHECK_FOR_INTERRUPTS();
		if (!BlockNumberIsValid(search->next_tail))
			return false;
		AnnoyLoadTailPage(search, search->phase == PHASE_TAIL_NULL);
	}
	row->tid = search->tail_tids[search->tail_next++];
	return true;
}

/* Next row of the phase at hand; false when there are no more. */
static bool
next_of_phase(AnnoySearch *search, double ceiling, AnnoySearchResult *result)
{
	RankedRow	row = {0};
	bool		found;

	switch (search->phase)
	{
		case PHASE_NUMBERS:
			found = next_number(search, ceiling, &row);
			set_result(result, &row, ANNOY_DISTANCE_NUMBER);
			return found;
		case PHASE_NAN:
			if (search->nan.count == 0)
				return false;
			row = Ranked_pop(&search->nan);
			set_result(result, &row, ANNOY_DISTANCE_NAN);
			return true;
		case PHASE_REST:
			found = next_of_rest(search, &row);
			set_measured(result, &row);
			return found;
		case PHASE_SORTED:
			found = AnnoyNextSorted(search, &row);
			set_measured(result, &row);
			return found;
		case PHASE_ROWS:
			found = AnnoyNextListedRow(search->all, &row.tid);
			set_result(result, &row, search->undefined_kind);
			return found;
		case PHASE_TAIL_NAN:
		case PHASE_TAIL_NULL:
			found = next_of_tail(search, &row);
			set_result(result, &row,
					   search->phase == PHASE_TAIL_NULL || search->value == NULL ?
					   ANNOY_DISTANCE_NULL : ANNOY_DISTANCE_NAN);
			result->no_value = search->phase == PHASE_TAIL_NULL;
			return found;
		case PHASE_END:
			break;
	}
	return false;
}

bool
AnnoyNextResult(AnnoySearch *search, double ceiling, AnnoySearchResult *result)
{
	while (search->phase != PHASE_END)
	{
		CHECK_FOR_INTERRUPTS();
		/* behind the numbers nothing is nearer */
		if (ceiling != INFINITY && search->phase != PHASE_NUMBERS)
			return false;
		if (next_of_phase(search, ceiling, result))
			return true;
		if (ceiling != INFINITY)
			return false;
		next_phase(search);
	}
	return false;
}

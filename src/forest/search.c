/*-------------------------------------------------------------------------
 *
 * search.c
 *	  Nearest-neighbour search of a forest: candidates from leaves, exact
 *	  distances only where the bounds ask for them, rows in order.
 *
 * inspect.c turns leaves into candidates; here they are ranked and given out.
 * exhaustive.c does without leaves.  searchitems.c reads items.
 * searchstate.h says where an entry can be meanwhile.
 *
 * The next row is the top of "ranked" once no lower bound of "unranked" (or
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
#include "forest/searchstate.h"

/*
 * A search resumes, though rows are left, once it has given out more rows
 * than ROWS_PER_BUDGET * rounds^2: the farther a row, the larger the part of
 * the index that has to be seen to be sure of its place, but less than in
 * proportion.
 */
#define ROWS_PER_BUDGET 20

/* Items are ranked so many at a time. */
#define ITEM_BATCH 16

/*
 * Set of item addresses: bitmaps of 64 offsets, so that a search of the whole
 * index needs a few bytes an item page.
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
	AnnoyInitCandidates(&search->unranked, INITIAL_KEEP * 2);
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
AnnoyBeginSearch(Relation index)
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
			palloc0(AnnoyBlockSize(search->forest->meta.sketch_dimensions));
	}
	AnnoyBeginItems(&search->items, index);
	search->queues = AllocSetContextCreate(CurrentMemoryContext,
										   "annoy search queues",
										   ALLOCSET_DEFAULT_SIZES);
	make_queues(search);
	search->page_tids =
		palloc(sizeof(ItemPointerData) * Max(ANNOY_ITEMS_PER_PAGE, AnnoyTailCapacity));
	search->page_addresses =
		palloc(sizeof(ItemPointerData) * Max(ANNOY_ITEMS_PER_PAGE, AnnoyTailCapacity));
	search->phase = PHASE_END;
	return search;
}

void
AnnoyEndSearch(AnnoySearch *search)
{
	AnnoyEndSort(search);
	AnnoyEndItems(&search->items);
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
	search->statistics.blocks = search->statistics.leaves +
		search->walk.pages_read + search->items.pages_read + search->tail_pages;
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
	AnnoyClearCandidates(&search->unranked);
	search->ranked.count = 0;
	search->nan.count = 0;
	search->leaves.count = 0;
	search->walk.nodes.count = 0;
	search->walk.leaves.count = 0;
	visited_reset(search->visited);
}

/* The entry of an address in the set of visited ones, and the bit in it. */
static uint64
visited_key(const ItemPointerData *address, uint64 *bit)
{
	OffsetNumber offset = ItemPointerGetOffsetNumberNoCheck(address);

	*bit = UINT64CONST(1) << (offset % 64);
	return (uint64) ItemPointerGetBlockNumberNoCheck(address) *
		VISITED_WORDS + Min(offset / 64, VISITED_WORDS - 1);
}

static bool
is_visited(const AnnoySearch *search, const ItemPointerData *address)
{
	uint64		bit;
	uint64		key = visited_key(address, &bit);
	VisitedEntry *entry = visited_lookup(search->visited, key);

	return entry != NULL && (entry->bits & bit) != 0;
}

/* Adds an address to the set; false if it was there. */
static bool
visit(AnnoySearch *search, const ItemPointerData *address)
{
	uint64		bit;
	uint64		key = visited_key(address, &bit);
	bool		found;
	VisitedEntry *entry = visited_insert(search->visited, key, &found);

	if (!found)
		entry->bits = 0;
	if (entry->bits & bit)
		return false;
	entry->bits |= bit;
	return true;
}

void
AnnoyStartSearch(AnnoySearch *search, struct varlena *query,
				 const AnnoySearchLimits *limits)
{
	const AnnoyMetaPageData *meta = &search->forest->meta;

	search->value = query;
	search->limits = *limits;
	search->undefined_kind = ANNOY_DISTANCE_NUMBER;
	clear_queues(search);
	AnnoyEndSort(search);
	search->keep = INITIAL_KEEP;
	search->threshold = FLT_MAX;
	search->aside = false;
	search->finished = false;
	search->rest = false;
	search->rows = 0;
	search->last_distance = -INFINITY;
	search->page_count = 0;
	search->page_next = 0;
	search->next_block = 0;
	search->block_count = 0;
	search->items.pages_read = 0;
	search->items.snapshot = limits->snapshot;
	search->tail_pages = 0;
	memset(&search->statistics, 0, sizeof(AnnoySearchStatistics));
	search->walk.hyperplanes = 0;
	search->walk.pages_read = 0;

	if (query == NULL)
	{
		search->undefined_kind = ANNOY_DISTANCE_NULL;
		search->phase = PHASE_ITEMS;
		return;
	}
	if (meta->dimensions > 0)
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
		{
			search->undefined_kind = ANNOY_DISTANCE_NAN;
			search->phase = PHASE_ITEMS;
			return;
		}
		if (limits->order == ANNOY_ORDER_EXACT)
		{
			AnnoySortItems(search);
			search->phase = PHASE_SORTED;
			return;
		}
		AnnoyReadRoots(search->index, search->forest);
		AnnoyStartWalk(&search->walk, &search->query);
	}
	search->phase = PHASE_NUMBERS;
}

static inline double
bound(AnnoySearch *search, float lower)
{
	return AnnoyBoundToDistance(&search->forest->sketcher, &search->query,
								lower);
}

/* Ranks a candidate by its exact distance. */
static void
rank_item(AnnoySearch *search, const AnnoyCandidate *candidate)
{
	RankedItem	item;

	if (!AnnoyMeasureItem(search, candidate->address, &item))
		return;
	AnnoyObserveDistance(&search->query, candidate->lower, item.distance);
	if (isnan(item.distance))
	{
		item.distance = 0;
		Ranked_push(&search->nan, item);
	}
	else if (item.distance >= search->last_distance ||
			 search->limits.order == ANNOY_ORDER_ANY)
		Ranked_push(&search->ranked, item);
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

/* Takes a batch of candidates that may be next. */
static int
take_batch(AnnoySearch *search, double ceiling, AnnoyCandidate *batch)
{
	int			count = 0;

	while (count < ITEM_BATCH && search->unranked.count > 0 &&
		   may_be_next(search, AnnoyFirstCandidate(&search->unranked)->lower,
					   ceiling))
	{
		batch[count] = AnnoyTakeCandidate(&search->unranked);

		/* it may have come through another tree before */
		if (visit(search, &batch[count].address))
			count++;
	}
	return count;
}

/*
 * Ranks candidates until none of them may be next.  (A batch that is not full is
 * no sign of that: bounds may fall by what a query learns from the items that it
 * ranks, AnnoyObserveDistance.)  Of a batch the last ones may turn out not to have
 * been needed yet; that costs less than waiting for each.  Meanwhile the next batch
 * is asked for: first its pages, later the places on them.
 */
static void
rank_items(AnnoySearch *search, double ceiling)
{
	AnnoyCandidate batch[ITEM_BATCH];
	int			count;
	bool		asked = false;

	while ((count = take_batch(search, ceiling, batch)) > 0)
	{
		const AnnoyCandidate *next;
		int			next_count = ITEM_BATCH;

		CHECK_FOR_INTERRUPTS();
		if (!asked)
		{
			AnnoyAnticipateItems(&search->items, batch, count);
			AnnoyPrefetchItems(&search->items, batch, count);
		}
		next = AnnoyPeekCandidates(&search->unranked, &next_count);
		asked = next_count > 0;
		AnnoyAnticipateItems(&search->items, next, next_count);
		for (int i = 0; i < count; i++)
		{
			if (i == count / 2)
				AnnoyPrefetchItems(&search->items, next, next_count);
			rank_item(search, &batch[i]);
		}
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
	AnnoyClearCandidates(&search->unranked);
	pfree(search->unranked.elements);
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
		rank_items(search, ceiling);
		if (!search->aside || !may_be_next(search, search->threshold, ceiling) ||
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
next_number(AnnoySearch *search, double ceiling, RankedItem *item)
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
		*item = Ranked_pop(&search->ranked);
		/* a bound has failed */
		if (item->distance < search->last_distance &&
			search->limits.order == ANNOY_ORDER_SORTED)
			continue;
		search->last_distance = Max(search->last_distance, item->distance);
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
				search->phase = PHASE_REST;
				return;
			}
			/* what lies behind rows not inspected is not given out */
			search->phase = incomplete ? PHASE_END : PHASE_TAIL_NAN;
			break;
		case PHASE_REST:
		case PHASE_SORTED:
		case PHASE_ITEMS:
			search->phase = PHASE_TAIL_NAN;
			break;
		default:
			search->phase++;
			break;
	}
	search->page_count = 0;
	search->page_next = 0;
	search->next_block = search->forest->meta.tail;
}

static void
set_result(AnnoySearchResult *result, const RankedItem *item,
		   AnnoyDistanceKind kind)
{
	result->heap_tid = item->heap_tid;
	result->address = item->address;
	result->kind = kind;
	result->distance = kind == ANNOY_DISTANCE_NUMBER ? item->distance :
		kind == ANNOY_DISTANCE_NAN ? NAN : 0.0;
	result->no_value = false;
}

/* A result whose distance may be NaN. */
static void
set_measured(AnnoySearchResult *result, const RankedItem *item)
{
	set_result(result, item, isnan(item->distance) ? ANNOY_DISTANCE_NAN :
			   ANNOY_DISTANCE_NUMBER);
}

/* Next row of the page at hand; false when it is used up. */
static bool
next_of_page(AnnoySearch *search, RankedItem *item)
{
	if (search->page_next >= search->page_count)
		return false;
	item->heap_tid = search->page_tids[search->page_next];
	item->address = search->page_addresses[search->page_next];
	search->page_next++;
	return true;
}

/* Next row of PHASE_REST; false at the end. */
static bool
next_of_rest(AnnoySearch *search, RankedItem *item)
{
	do
	{
		while (next_of_page(search, item))
			if (!is_visited(search, &item->address) &&
				AnnoyMeasureItem(search, item->address, item))
				return true;
		CHECK_FOR_INTERRUPTS();
	} while (AnnoyLoadItemPage(search));
	return false;
}

/* Next row of the phase at hand; false when there are no more. */
static bool
next_of_phase(AnnoySearch *search, double ceiling, AnnoySearchResult *result)
{
	RankedItem	item = {0};
	bool		found;

	switch (search->phase)
	{
		case PHASE_NUMBERS:
			found = next_number(search, ceiling, &item);
			set_result(result, &item, ANNOY_DISTANCE_NUMBER);
			return found;
		case PHASE_NAN:
			if (search->nan.count == 0)
				return false;
			item = Ranked_pop(&search->nan);
			set_result(result, &item, ANNOY_DISTANCE_NAN);
			return true;
		case PHASE_REST:
			found = next_of_rest(search, &item);
			set_measured(result, &item);
			return found;
		case PHASE_SORTED:
			found = AnnoyNextSorted(search, &item);
			set_measured(result, &item);
			return found;
		case PHASE_ITEMS:
			while (!(found = next_of_page(search, &item)) &&
				   AnnoyLoadItemPage(search))
				CHECK_FOR_INTERRUPTS();
			set_result(result, &item, search->undefined_kind);
			return found;
		case PHASE_TAIL_NAN:
		case PHASE_TAIL_NULL:
			while (!(found = next_of_page(search, &item)) &&
				   BlockNumberIsValid(search->next_block))
			{
				CHECK_FOR_INTERRUPTS();
				AnnoyLoadTailPage(search, search->phase == PHASE_TAIL_NULL);
			}
			set_result(result, &item,
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

/*-------------------------------------------------------------------------
 *
 * search.c
 *	  Nearest-neighbour search of a forest: candidates from leaves, exact
 *	  distances only where the bounds ask for them, rows in order.
 *
 * inspect.c turns leaves into candidates; here they are ranked and given out.
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

#include "random.h"
#include "searchstate.h"
#include "tail.h"

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
/* A set larger than this is made anew for the next query, not cleared. */
#define VISITED_REUSED 65536

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
	AnnoyInitWalk(&search->walk, index, search->forest);
	search->walk.use_copies = true;
	AnnoyBeginItems(&search->items, index);
	AnnoyInitCandidates(&search->unranked, INITIAL_KEEP * 2);
	Ranked_init(&search->ranked, 64);
	Ranked_init(&search->late, 16);
	Ranked_init(&search->nan, 16);
	search->leaves.allocated = 64;
	search->leaves.visits = palloc(sizeof(LeafVisit) * search->leaves.allocated);
	search->visited = visited_create(CurrentMemoryContext, VISITED_INITIAL,
									 NULL);
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

static void
clear_visited(AnnoySearch *search)
{
	if (search->visited->size > VISITED_REUSED)
	{
		MemoryContext old = MemoryContextSwitchTo(search->context);

		visited_destroy(search->visited);
		search->visited = visited_create(search->context, VISITED_INITIAL, NULL);
		MemoryContextSwitchTo(old);
	}
	else
		visited_reset(search->visited);
}

/* Adds an address to the set; false if it was there. */
static bool
visit(AnnoySearch *search, const ItemPointerData *address)
{
	OffsetNumber offset = ItemPointerGetOffsetNumberNoCheck(address);
	uint64		key = (uint64) ItemPointerGetBlockNumberNoCheck(address) *
		VISITED_WORDS + Min(offset / 64, VISITED_WORDS - 1);
	uint64		bit = UINT64CONST(1) << (offset % 64);
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
	AnnoyClearCandidates(&search->unranked);
	search->ranked.count = 0;
	search->late.count = 0;
	search->nan.count = 0;
	search->leaves.count = 0;
	search->keep = INITIAL_KEEP;
	search->threshold = FLT_MAX;
	search->aside = false;
	search->finished = false;
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
	clear_visited(search);
	search->walk.nodes.count = 0;
	search->walk.leaves.count = 0;
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

bool
AnnoyMeasureItem(AnnoySearch *search, ItemPointer address,
				 ItemPointer heap_tid, double *distance)
{
	struct varlena *value = AnnoyReadItem(&search->items, address, heap_tid);

	if (value == NULL)
		return false;
	if (search->element->dimensions(value) != search->forest->meta.dimensions)
		AnnoyReportCorruption(search->index,
							  ItemPointerGetBlockNumberNoCheck(address),
							  "item of another number of dimensions");
	*distance = DatumGetFloat8(FunctionCall2Coll(&search->distance,
												 search->collation,
												 PointerGetDatum(value),
												 PointerGetDatum(search->value)));
	AnnoyReleaseItem(&search->items);
	return true;
}

/* Reads a candidate's vector and finds its distance. */
static void
rank_item(AnnoySearch *search, const AnnoyCandidate *candidate)
{
	RankedItem	item;

	item.address = candidate->address;
	if (!AnnoyMeasureItem(search, &item.address, &item.heap_tid,
						  &item.distance))
		return;					/* dead */
	search->statistics.exact_distances++;
	AnnoyObserveDistance(&search->query, candidate->lower, item.distance);
	if (isnan(item.distance))
	{
		item.distance = 0;
		Ranked_push(&search->nan, item);
	}
	else if (item.distance < search->last_distance &&
			 search->limits.order != ANNOY_ORDER_RELAXED)
		Ranked_push(&search->late, item);
	else
		Ranked_push(&search->ranked, item);
}

/*
 * Takes a batch of candidates that may be nearer than the nearest ranked item.
 */
static int
take_batch(AnnoySearch *search, AnnoyCandidate *batch)
{
	int			count = 0;

	while (count < ITEM_BATCH && search->unranked.count > 0 &&
		   (search->ranked.count == 0 ||
			bound(search, AnnoyFirstCandidate(&search->unranked)->lower) <
			search->ranked.elements[0].distance))
	{
		batch[count] = AnnoyTakeCandidate(&search->unranked);

		/* it may have come through another tree before */
		if (visit(search, &batch[count].address))
			count++;
	}
	return count;
}

/*
 * Ranks candidates until none of them may be nearer than the nearest ranked
 * item.  (A batch that is not full is no sign of that: bounds may fall by what
 * a query learns from the items that it ranks, AnnoyObserveDistance.)  Of a
 * batch the last ones may turn out not to have been needed yet; that costs less
 * than waiting for each.  Meanwhile the next batch is asked for: first its
 * pages, later the places on them.
 */
static void
rank_items(AnnoySearch *search)
{
	AnnoyCandidate batch[ITEM_BATCH];
	int			count;
	bool		asked = false;

	while ((count = take_batch(search, batch)) > 0)
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

/* Next row of PHASE_NUMBERS; false when there is none left. */
static bool
next_number(AnnoySearch *search, RankedItem *item)
{
	if (search->forest->meta.dimensions == 0)
		return false;
	if (search->statistics.items_inspected == 0 && !search->finished)
		AnnoyInspect(search);

	for (;;)
	{
		double		rounds = search->statistics.resumptions + 1;
		bool		may_resume = !search->finished;

		CHECK_FOR_INTERRUPTS();
		rank_items(search);
		if (search->aside &&
			(search->ranked.count == 0 ||
			 bound(search, search->threshold) <
			 search->ranked.elements[0].distance))
		{
			AnnoyFetchAside(search);
			continue;
		}
		if (may_resume &&
			(search->ranked.count == 0 ||
			 search->rows >= ROWS_PER_BUDGET * rounds * rounds))
		{
			search->statistics.resumptions++;
			AnnoyInspect(search);
			continue;
		}
		if (search->ranked.count == 0)
			return false;
		*item = Ranked_pop(&search->ranked);
		if (item->distance > search->last_distance)
			search->last_distance = item->distance;
		search->rows++;
		return true;
	}
}

/* Loads the rows of the next tail page with or without ANNOY_TAIL_NULL. */
static void
load_tail_page(AnnoySearch *search, bool want_null)
{
	Buffer		buffer = AnnoyReadPage(search->index, search->next_block,
									   ANNOY_PAGE_TAIL, BUFFER_LOCK_SHARE);
	Page		page = BufferGetPage(buffer);
	AnnoyTailEntry *entries = AnnoyPageGetTailEntries(page);
	int			count = AnnoyCheckTail(search->index, buffer);

	AnnoyTestForOldSnapshot(search->limits.snapshot, search->index, page);
	search->page_count = 0;
	search->page_next = 0;
	for (int i = 0; i < count; i++)
	{
		if (((entries[i].flags & ANNOY_TAIL_NULL) != 0) != want_null)
			continue;
		search->page_tids[search->page_count] = entries[i].heap_tid;
		ItemPointerSetInvalid(&search->page_addresses[search->page_count]);
		search->page_count++;
	}
	search->next_block = AnnoyPageGetOpaque(page)->rightlink;
	search->tail_pages++;
	UnlockReleaseBuffer(buffer);
	AnnoyCheckSteps(search->index, search->next_block, search->tail_pages / 2);
}

/*
 * Loads rows of the next page of PHASE_ITEMS; false after the last.  Blocks
 * may be added while we look.
 */
static bool
load_item_page(AnnoySearch *search)
{
	if (search->next_block >= search->block_count)
		search->block_count = RelationGetNumberOfBlocks(search->index);
	if (search->next_block >= search->block_count)
		return false;
	search->page_count = AnnoyListItems(search->index, search->next_block,
										search->limits.snapshot,
										search->page_tids,
										search->page_addresses);
	search->page_next = 0;
	search->next_block++;
	search->items.pages_read++;
	return true;
}

static void
next_phase(AnnoySearch *search)
{
	bool		incomplete = search->limits.order == ANNOY_ORDER_OFF ||
		search->statistics.items_inspected >= search->limits.max_items;

	search->phase++;
	if (search->phase == PHASE_ITEMS)	/* only entered from the start */
		search->phase++;
	switch (search->phase)
	{
		case PHASE_TAIL_NAN:
		case PHASE_TAIL_NULL:
			/* what lies behind rows not inspected is not given out */
			if (incomplete && search->undefined_kind == ANNOY_DISTANCE_NUMBER)
				search->phase = PHASE_END;
			search->next_block = search->forest->meta.tail;
			break;
		default:
			break;
	}
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
}

/* Next row of the page at hand; false when it is used up. */
static bool
next_of_page(AnnoySearch *search, AnnoySearchResult *result,
			 AnnoyDistanceKind kind)
{
	RankedItem	item = {0};

	if (search->page_next >= search->page_count)
		return false;
	item.heap_tid = search->page_tids[search->page_next];
	item.address = search->page_addresses[search->page_next];
	search->page_next++;
	set_result(result, &item, kind);
	return true;
}

bool
AnnoyNextResult(AnnoySearch *search, AnnoySearchResult *result)
{
	RankedItem	item;

	for (;;)
	{
		AnnoyDistanceKind kind;

		CHECK_FOR_INTERRUPTS();
		switch (search->phase)
		{
			case PHASE_NUMBERS:
				if (next_number(search, &item))
				{
					set_result(result, &item, ANNOY_DISTANCE_NUMBER);
					return true;
				}
				next_phase(search);
				break;
			case PHASE_LATE:
				if (search->late.count > 0)
				{
					item = Ranked_pop(&search->late);
					set_result(result, &item, ANNOY_DISTANCE_NUMBER);
					return true;
				}
				next_phase(search);
				break;
			case PHASE_NAN:
				if (search->nan.count > 0)
				{
					item = Ranked_pop(&search->nan);
					set_result(result, &item, ANNOY_DISTANCE_NAN);
					return true;
				}
				next_phase(search);
				break;
			case PHASE_ITEMS:
				if (next_of_page(search, result, search->undefined_kind))
					return true;
				if (!load_item_page(search))
					next_phase(search);
				break;
			case PHASE_TAIL_NAN:
			case PHASE_TAIL_NULL:
				kind = search->phase == PHASE_TAIL_NULL ||
					(search->value == NULL) ? ANNOY_DISTANCE_NULL :
					ANNOY_DISTANCE_NAN;
				if (next_of_page(search, result, kind))
					return true;
				if (BlockNumberIsValid(search->next_block))
					load_tail_page(search, search->phase == PHASE_TAIL_NULL);
				else
					next_phase(search);
				break;
			case PHASE_END:
				return false;
		}
	}
}

/*-------------------------------------------------------------------------
 *
 * search.c
 *	  Nearest-neighbour search of a forest: candidates from leaves, exact
 *	  distances only where the bounds ask for them, rows in order.
 *
 * Entries of the leaves that were read are in one of these places:
 *
 *	unranked	lower bound below the threshold, heap by lower bound
 *	ranked		exact distance known, heap by distance
 *	late		exact distance smaller than one already given out; strict
 *				order keeps them back until everything has been inspected
 *	nan			exact distance is NaN
 *	given out	or found to be dead
 *	aside		lower bound not below the threshold: not stored at all, but
 *				found again in the leaves, which are remembered
 *
 * The threshold keeps "unranked" short: when it has grown to twice "keep"
 * entries the threshold falls to the keep-th of their lower bounds.  When a
 * row is wanted that may lie aside, the leaves are ranked again with a higher
 * threshold and "keep" doubled.
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

#include "item.h"
#include "leaf.h"
#include "opclass.h"
#include "random.h"
#include "search.h"

/*
 * Candidates kept before the threshold falls for the first time.  Twice what
 * a query of k = 10 ranks exactly on the harder data sets (README, "Search").
 */
#define INITIAL_KEEP 1024

/*
 * A search resumes, though rows are left, once it has given out more rows
 * than ROWS_PER_BUDGET * rounds^2: the farther a row, the larger the part of
 * the index that has to be seen to be sure of its place, but less than in
 * proportion.
 */
#define ROWS_PER_BUDGET 20

/*
 * Leaves, and items to be ranked exactly, are taken so many at a time, and all
 * their pages asked for before the first is read: what a search waits for is
 * memory.
 */
#define LEAF_BATCH 4
#define ITEM_BATCH 8

/* Bytes of a leaf page to prefetch; the processor goes on by itself. */
#define PREFETCHED_LEAF 1024

/* Rows whose exact distance is known. */
typedef struct RankedItem
{
	double		distance;
	ItemPointerData heap_tid;
	ItemPointerData address;
} RankedItem;

#define QUEUE_PREFIX Ranked
#define QUEUE_ELEMENT RankedItem
#define QUEUE_KEY(e) ((e).distance)
#include "queue.h"

/* Leaves that were read: enough to find them again after splits. */
typedef struct LeafList
{
	AnnoyLink  *links;
	int64		count;
	int64		allocated;
} LeafList;

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

typedef enum SearchPhase
{
	PHASE_NUMBERS,				/* rows in order of distance */
	PHASE_LATE,					/* then those kept back */
	PHASE_NAN,					/* then distances that are not numbers ... */
	PHASE_ITEMS,				/* (all items, if the query has no distance) */
	PHASE_TAIL_NAN,				/* ... of the tail */
	PHASE_TAIL_NULL,			/* and NULLs */
	PHASE_END
} SearchPhase;

struct AnnoySearch
{
	/* for the life of the search */
	Relation	index;
	MemoryContext context;
	AnnoyForest *forest;
	const AnnoyElementType *element;
	FmgrInfo	distance;
	Oid			collation;
	float	   *scratch;		/* of AnnoyMakeSketch */
	void	   *query_memory;
	char	   *block_scratch;
	AnnoyWalk	walk;
	AnnoyItemReader items;

	/* of the present query */
	struct varlena *value;
	AnnoySearchLimits limits;
	AnnoyQuery	query;
	SearchPhase phase;
	AnnoyCandidateQueue unranked;
	RankedQueue ranked;
	RankedQueue late;
	RankedQueue nan;
	LeafList	leaves;
	visited_hash *visited;
	int64		keep;
	float		threshold;
	bool		aside;			/* entries were left aside */
	bool		finished;		/* nothing more may be inspected */
	int64		rows;			/* given out with a number as distance */
	double		last_distance;
	AnnoyDistanceKind undefined_kind;	/* of PHASE_ITEMS; NUMBER: not entered */
	BlockNumber next_block;		/* PHASE_ITEMS and the tail */
	BlockNumber block_count;
	ItemPointerData *page_tids; /* rows of one page, PHASE_ITEMS and tail */
	ItemPointerData *page_addresses;
	int			page_count;
	int			page_next;
	AnnoySearchStatistics statistics;
};

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
		search->block_scratch =
			palloc(AnnoyBlockSize(search->forest->meta.sketch_dimensions));
	}
	AnnoyInitWalk(&search->walk, index, search->forest);
	AnnoyBeginItems(&search->items, index);
	AnnoyCandidate_init(&search->unranked, INITIAL_KEEP * 2);
	Ranked_init(&search->ranked, 64);
	Ranked_init(&search->late, 16);
	Ranked_init(&search->nan, 16);
	search->leaves.allocated = 64;
	search->leaves.links = palloc(sizeof(AnnoyLink) * search->leaves.allocated);
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
		search->walk.pages_read + search->items.pages_read;
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
	search->unranked.count = 0;
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
		float	   *floats = palloc(sizeof(float) * dimensions);

		if (dimensions != meta->dimensions)
			ereport(ERROR,
					(errcode(ERRCODE_DATA_EXCEPTION),
					 errmsg("different vector dimensions %d and %d",
							meta->dimensions, dimensions),
					 errdetail("Index \"%s\" holds vectors of %d dimensions.",
							   RelationGetRelationName(search->index),
							   meta->dimensions)));
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

static void
remember_leaf(AnnoySearch *search, BlockNumber block, uint32 version)
{
	LeafList   *list = &search->leaves;

	if (list->count == list->allocated)
	{
		list->allocated *= 2;
		list->links = repalloc_huge(list->links,
									sizeof(AnnoyLink) * list->allocated);
	}
	list->links[list->count].block = block;
	list->links[list->count].version = version;
	list->count++;
}

/*
 * Lowers the threshold to the keep-th smallest lower bound and drops what is
 * not below it (quickselect: Hoare, CACM 4, 1961, algorithm 65).
 */
static void
trim_unranked(AnnoySearch *search)
{
	AnnoyCandidate *e = search->unranked.elements;
	int64		low = 0;
	int64		high = search->unranked.count - 1;
	int64		wanted = search->keep;
	int64		kept = 0;

	while (low < high)
	{
		float		pivot = e[low + (high - low) / 2].lower;
		int64		i = low;
		int64		j = high;

		while (i <= j)
		{
			while (e[i].lower < pivot)
				i++;
			while (pivot < e[j].lower)
				j--;
			if (i <= j)
			{
				AnnoyCandidate swap = e[i];

				e[i++] = e[j];
				e[j--] = swap;
			}
		}
		if (wanted <= j)
			high = j;
		else if (wanted >= i)
			low = i;
		else
			break;
	}

	/*
	 * If all lower bounds up to the wanted one are equal (duplicates, or
	 * bounds of zero), nothing can be dropped by value.
	 */
	for (int64 i = 0; i < search->unranked.count; i++)
		if (e[i].lower < e[wanted].lower)
			kept++;
	if (kept == 0)
	{
		search->keep *= 2;
		return;
	}
	search->threshold = e[wanted].lower;
	kept = 0;
	for (int64 i = 0; i < search->unranked.count; i++)
		if (e[i].lower < search->threshold)
			e[kept++] = e[i];
	search->unranked.count = kept;
	search->aside = true;
}

/*
 * Reads a leaf page (pinned, released here), and the right siblings that hold
 * what it had when the link was made; ranks entries from "from" on.  With
 * "first" the entries count as inspected, the leaf is remembered, and the rest
 * of a chain goes back to the queue.
 */
static void
inspect_leaf(AnnoySearch *search, AnnoyLeafCandidate leaf, Buffer buffer,
			 float from, bool first)
{
	int			s = search->forest->sketcher.sketch_dimensions;
	BlockNumber block = leaf.link.block;

	for (;;)
	{
		Page		page = BufferGetPage(buffer);
		AnnoyLeafHeader header = AnnoyPageGetLeafHeader(page);
		uint32		version;
		BlockNumber right;
		BlockNumber chain;
		bool		complete;

		LockBuffer(buffer, BUFFER_LOCK_SHARE);
		AnnoyCheckPage(search->index, buffer, ANNOY_PAGE_LEAF);
		AnnoyCheckLeaf(search->index, page, block, s);
		version = header->version;
		right = AnnoyPageGetOpaque(page)->rightlink;
		chain = AnnoyPageGetOpaque(page)->chainlink;
		complete = leaf.link.version == ANNOY_ANY_VERSION ||
			leaf.link.version == version;
		if (AnnoyRankLeaf(&search->forest->sketcher, &search->query, page,
						  from, search->threshold, search->block_scratch,
						  &search->unranked) > 0)
			search->aside = true;
		search->statistics.leaves++;
		if (first)
			search->statistics.items_inspected += header->count;
		UnlockReleaseBuffer(buffer);

		if (first)
		{
			remember_leaf(search, block, version);
			if (BlockNumberIsValid(chain))
			{
				AnnoyLeafCandidate rest = {leaf.distance,
					{chain, ANNOY_ANY_VERSION}, leaf.directory
				};

				AnnoyReturnLeaf(&search->walk, rest);
			}
		}
		if (search->unranked.count > 2 * search->keep)
			trim_unranked(search);
		if (complete)
			break;
		if (!BlockNumberIsValid(right))
			AnnoyReportCorruption(search->index, block,
								  "leaf version not found");
		block = right;
		buffer = ReadBuffer(search->index, block);
	}
}

/* Pins a leaf's page and asks for its first bytes. */
static Buffer
pin_leaf(AnnoySearch *search, const AnnoyLeafCandidate *leaf)
{
	Buffer		buffer = ReadBuffer(search->index, leaf->link.block);
	Page		page = BufferGetPage(buffer);

	AnnoyPrefetchPage(page);
	AnnoyPrefetchRange(PageGetContents(page), PREFETCHED_LEAF);
	return buffer;
}

/* Inspects search_k items more. */
static void
inspect(AnnoySearch *search)
{
	int64		target = search->statistics.items_inspected;
	AnnoyLeafCandidate leaves[LEAF_BATCH];
	Buffer		buffers[LEAF_BATCH];

	if (search->limits.max_items - target > search->limits.search_k)
		target += search->limits.search_k;
	else
	{
		target = search->limits.max_items;
		search->finished = true;
	}
	while (search->statistics.items_inspected < target)
	{
		int			count = 0;

		CHECK_FOR_INTERRUPTS();
		while (count < LEAF_BATCH &&
			   AnnoyTakeLeaf(&search->walk, &leaves[count]))
		{
			buffers[count] = pin_leaf(search, &leaves[count]);
			count++;
		}
		if (count == 0)
		{
			search->finished = true;
			break;
		}
		for (int i = 0; i < count; i++)
		{
			if (search->statistics.items_inspected < target)
				inspect_leaf(search, leaves[i], buffers[i], -FLT_MAX, true);
			else
			{
				ReleaseBuffer(buffers[i]);
				AnnoyReturnLeaf(&search->walk, leaves[i]);
			}
		}
	}
	if (search->limits.order == ANNOY_ORDER_OFF)
		search->finished = true;
	AnnoyCandidate_heapify(&search->unranked);
}

/* Ranks the leaves again for what was left aside. */
static void
fetch_aside(AnnoySearch *search)
{
	float		from = search->threshold;
	int64		count = search->leaves.count;

	Assert(search->unranked.count == 0);
	search->keep = Min(search->keep, PG_INT32_MAX) * 2;
	search->threshold = FLT_MAX;
	search->aside = false;
	for (int64 i = 0; i < count; i++)
	{
		AnnoyLeafCandidate leaf = {0.0f, search->leaves.links[i],
		InvalidBlockNumber};

		CHECK_FOR_INTERRUPTS();
		inspect_leaf(search, leaf, pin_leaf(search, &leaf), from, false);
	}
	AnnoyCandidate_heapify(&search->unranked);
}

static inline double
bound(AnnoySearch *search, float lower)
{
	return AnnoyBoundToDistance(&search->forest->sketcher, &search->query,
								lower);
}

/* Reads a candidate's vector, its page pinned, and finds its distance. */
static void
rank_item(AnnoySearch *search, Buffer buffer, ItemPointer address)
{
	RankedItem	item;
	struct varlena *value = AnnoyReadPinnedItem(&search->items, buffer,
												address, &item.heap_tid);

	if (value == NULL)
		return;					/* dead */
	if (search->element->dimensions(value) != search->forest->meta.dimensions)
		AnnoyReportCorruption(search->index,
							  ItemPointerGetBlockNumberNoCheck(address),
							  "item of another number of dimensions");
	item.distance = DatumGetFloat8(FunctionCall2Coll(&search->distance,
													 search->collation,
													 PointerGetDatum(value),
													 PointerGetDatum(search->value)));
	AnnoyReleaseItem(&search->items);
	item.address = *address;
	search->statistics.exact_distances++;
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
 * Ranks candidates as long as one of them may be nearer than the nearest
 * ranked item.  Of a batch the last ones may turn out not to have been needed
 * yet; that costs less than waiting for each.
 */
static void
rank_items(AnnoySearch *search)
{
	ItemPointerData addresses[ITEM_BATCH];
	Buffer		buffers[ITEM_BATCH];
	int			count;

	do
	{
		count = 0;
		while (count < ITEM_BATCH && search->unranked.count > 0 &&
			   (search->ranked.count == 0 ||
				bound(search, search->unranked.elements[0].lower) <
				search->ranked.elements[0].distance))
		{
			AnnoyCandidate candidate = AnnoyCandidate_pop(&search->unranked);

			/* it may have come through another tree before */
			if (visit(search, &candidate.address))
				addresses[count++] = candidate.address;
		}
		AnnoyPinItems(&search->items, addresses, count, buffers);
		for (int i = 0; i < count; i++)
			rank_item(search, buffers[i], &addresses[i]);
	} while (count == ITEM_BATCH);
}

/* Next row of PHASE_NUMBERS; false when there is none left. */
static bool
next_number(AnnoySearch *search, RankedItem *item)
{
	if (search->forest->meta.dimensions == 0)
		return false;
	if (search->statistics.items_inspected == 0 && !search->finished)
		inspect(search);

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
			fetch_aside(search);
			continue;
		}
		if (may_resume &&
			(search->ranked.count == 0 ||
			 search->rows >= ROWS_PER_BUDGET * rounds * rounds))
		{
			search->statistics.resumptions++;
			inspect(search);
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
	int			count = AnnoyPageGetTailHeader(page)->count;

	if (count > AnnoyTailCapacity)
		AnnoyReportCorruption(search->index, search->next_block,
							  "too many tail entries");
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
	search->statistics.blocks++;
	UnlockReleaseBuffer(buffer);
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

void
AnnoyLocateItems(AnnoySearch *search, const ItemPointerData *addresses,
				 int count, int64 *positions, int64 max_items)
{
	int			s = search->forest->sketcher.sketch_dimensions;
	ItemPointerData *entries =
		palloc(sizeof(ItemPointerData) * AnnoyLeafCapacity(s));
	int64		inspected = 0;
	int			missing = count;
	AnnoyLeafCandidate leaf;

	for (int i = 0; i < count; i++)
		positions[i] = PG_INT64_MAX;
	AnnoyStartWalk(&search->walk, &search->query);
	while (missing > 0 && inspected < max_items &&
		   AnnoyTakeLeaf(&search->walk, &leaf))
	{
		Buffer		buffer = AnnoyReadPage(search->index, leaf.link.block,
										   ANNOY_PAGE_LEAF, BUFFER_LOCK_SHARE);
		Page		page = BufferGetPage(buffer);
		BlockNumber chain = AnnoyPageGetOpaque(page)->chainlink;
		int			n;

		CHECK_FOR_INTERRUPTS();
		AnnoyCheckLeaf(search->index, page, leaf.link.block, s);
		n = AnnoyListLeaf(page, s, entries);
		UnlockReleaseBuffer(buffer);
		if (BlockNumberIsValid(chain))
		{
			AnnoyLeafCandidate rest = {leaf.distance,
				{chain, ANNOY_ANY_VERSION}, leaf.directory
			};

			AnnoyReturnLeaf(&search->walk, rest);
		}
		inspected += n;
		for (int e = 0; e < n; e++)
			for (int i = 0; i < count; i++)
				if (positions[i] == PG_INT64_MAX &&
					ItemPointerEquals(&entries[e],
									  unconstify(ItemPointerData *, &addresses[i])))
				{
					positions[i] = inspected;
					missing--;
				}
	}
	pfree(entries);
}

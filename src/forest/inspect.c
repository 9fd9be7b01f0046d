/*-------------------------------------------------------------------------
 *
 * inspect.c
 *	  Leaves to candidates: the part of a search that reads codes.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <float.h>

#include "miscadmin.h"
#include "utils/memutils.h"

#include "forest/searchstate.h"
#include "page/buffer.h"

/*
 * So many leaves are taken from the queue, and their pages asked for, before
 * the first of them is ranked: what a search waits for is memory, or disk.
 */
#define LEAVES_ASKED_FOR 4

/* More rows that are looked for when leaves have to be ranked again. */
#define AGAIN 16

/* Bytes of a leaf page to prefetch; the processor goes on by itself. */
#define PREFETCHED_LEAF 1024

/* What a leaf page says of itself. */
typedef struct LeafLinks
{
	uint32		version;
	int			count;
	BlockNumber right;
	BlockNumber chain;
	bool		chained;
} LeafLinks;

static void
remember_leaf(AnnoySearch *search, BlockNumber block, const LeafLinks *links)
{
	LeafList   *list = &search->leaves;
	LeafVisit  *visit;

	if (list->count == list->allocated)
	{
		list->allocated *= 2;
		list->visits = repalloc_huge(list->visits,
									 sizeof(LeafVisit) * list->allocated);
	}
	visit = &list->visits[list->count++];
	visit->link.block = block;
	visit->link.version = links->version;
	visit->chain = links->chain;
}

/*
 * Ranks the entries of a leaf page (pinned, released here) from a lower bound
 * on.
 */
static LeafLinks
rank_page(AnnoySearch *search, Buffer buffer, float from)
{
	Page		page = BufferGetPage(buffer);
	LeafLinks	links;

	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	AnnoyCheckPage(search->index, buffer, ANNOY_PAGE_LEAF);
	AnnoyTestForOldSnapshot(search->limits.snapshot, search->index, page);
	AnnoyCheckLeaf(search->index, page, BufferGetBlockNumber(buffer),
				   &search->forest->leaf);
	links.version = AnnoyPageGetLeafHeader(page)->version;
	links.count = AnnoyPageGetLeafHeader(page)->count;
	links.right = AnnoyPageGetOpaque(page)->rightlink;
	links.chain = AnnoyPageGetOpaque(page)->chainlink;
	links.chained = (AnnoyPageGetOpaque(page)->flags & ANNOY_LEAF_CHAINED) != 0;
	if (AnnoyRankLeaf(search->forest, &search->query, page, from,
					  search->block_scratch, &search->candidates) > 0)
		search->aside = true;
	search->leaf_pages++;
	UnlockReleaseBuffer(buffer);
	return links;
}

/* The page to the right, which must be there because a version is missing. */
static Buffer
step_right(AnnoySearch *search, BlockNumber block, BlockNumber right,
		   uint64 steps)
{
	if (!BlockNumberIsValid(right))
		AnnoyReportCorruption(search->index, block, "leaf version not found");
	CHECK_FOR_INTERRUPTS();
	AnnoyCheckSteps(search->index, block, steps);
	return AnnoyReadBuffer(search->index, right);
}

/*
 * Reads a leaf (its page pinned) and the right siblings that hold what it had
 * when the link was made.  The pages are remembered; the rest of a chain goes
 * back to the queue.
 */
static void
inspect_leaf(AnnoySearch *search, AnnoyLeafCandidate leaf, Buffer buffer)
{
	BlockNumber block = leaf.link.block;
	uint64		steps = 0;

	for (;;)
	{
		LeafLinks	links = rank_page(search, buffer, -FLT_MAX);

		search->statistics.leaves++;
		search->statistics.items_inspected += links.count;
		remember_leaf(search, block, &links);
		if (BlockNumberIsValid(links.chain))
		{
			AnnoyLeafCandidate rest = {leaf.distance,
				{links.chain, ANNOY_ANY_VERSION}, leaf.directory
			};

			AnnoyCheckSteps(search->index, block, search->leaves.count);
			AnnoyReturnLeaf(&search->walk, rest);
		}
		if (leaf.link.version == ANNOY_ANY_VERSION ||
			leaf.link.version == links.version)
			break;
		AnnoyForgetTreePage(&search->walk, leaf.directory);
		buffer = step_right(search, block, links.right, ++steps);
		block = links.right;
	}
}

/*
 * Ranks a leaf page again, from a lower bound on.  What a split or an
 * overflowing chain has moved meanwhile has other bounds than before and is
 * ranked whole; rows that come twice are recognised by their TIDs.
 */
static void
inspect_again(AnnoySearch *search, LeafVisit visit, Buffer buffer, float from)
{
	BlockNumber block = visit.link.block;
	uint64		steps = 0;
	LeafLinks	links = rank_page(search, buffer, from);

	if (visit.link.version == links.version && visit.chain == links.chain)
		return;

	/* it has changed since */
	links = rank_page(search, AnnoyReadBuffer(search->index, block), -FLT_MAX);
	for (;;)
	{
		BlockNumber chain = links.chain;

		while (BlockNumberIsValid(chain) && chain != visit.chain)
		{
			BlockNumber here = chain;

			CHECK_FOR_INTERRUPTS();
			AnnoyCheckSteps(search->index, here, ++steps);
			chain = rank_page(search, AnnoyReadBuffer(search->index, here),
							  -FLT_MAX).chain;
		}
		/* a chained page's version only tells that entries have come */
		if (visit.link.version == links.version || links.chained)
			return;
		buffer = step_right(search, block, links.right, ++steps);
		block = links.right;
		links = rank_page(search, buffer, -FLT_MAX);
	}
}

/* Asks for a leaf's page. */
static void
anticipate_leaf(AnnoySearch *search, BlockNumber block)
{
	Page		page = AnnoyAnticipatePage(search->index, block);

	if (page)
		AnnoyPrefetchRange(PageGetContents(page), PREFETCHED_LEAF);
}

/* Inspects search_k items more. */
void
AnnoyInspect(AnnoySearch *search)
{
	int64		target = search->statistics.items_inspected;
	AnnoyLeafCandidate leaves[LEAVES_ASKED_FOR];	/* a ring */
	int			first = 0;
	int			count = 0;

	if (search->limits.max_items - target > search->limits.search_k)
		target += search->limits.search_k;
	else
	{
		target = search->limits.max_items;
		search->finished = true;
	}
	while (search->statistics.items_inspected < target)
	{
		AnnoyLeafCandidate leaf;

		CHECK_FOR_INTERRUPTS();
		while (count < LEAVES_ASKED_FOR && AnnoyTakeLeaf(&search->walk, &leaf))
		{
			anticipate_leaf(search, leaf.link.block);
			leaves[(first + count++) % LEAVES_ASKED_FOR] = leaf;
		}
		if (count == 0)
		{
			search->finished = true;
			break;
		}
		leaf = leaves[first];
		first = (first + 1) % LEAVES_ASKED_FOR;
		count--;
		inspect_leaf(search, leaf,
					 AnnoyReadBuffer(search->index, leaf.link.block));
	}
	for (; count > 0; count--)
	{
		AnnoyReturnLeaf(&search->walk, leaves[first]);
		first = (first + 1) % LEAVES_ASKED_FOR;
	}
	if (!search->limits.resume)
		search->finished = true;
}

/*
 * Ranks the leaves again for what was left aside, on behalf of AGAIN times as
 * many rows.
 */
void
AnnoyFetchAside(AnnoySearch *search)
{
	float		from = search->candidates.threshold;
	int64		count = search->leaves.count;

	AnnoyWantCandidates(&search->candidates,
						Min(search->candidates.wanted, PG_INT32_MAX) * AGAIN);
	search->aside = false;
	for (int64 i = 0; i < count; i++)
	{
		LeafVisit	visit = search->leaves.visits[i];

		CHECK_FOR_INTERRUPTS();
		if (i + LEAVES_ASKED_FOR < count)
			anticipate_leaf(search,
							search->leaves.visits[i + LEAVES_ASKED_FOR].link.block);
		inspect_again(search, visit,
					  AnnoyReadBuffer(search->index, visit.link.block), from);
	}
}

/* ---------------------------------------------------------------------
 * Calibration
 * ---------------------------------------------------------------------
 */

/* What a walk has met of a member's neighbours. */
typedef struct Location
{
	AnnoySearch *search;
	const AnnoySearchResult *neighbors; /* [count], by distance */
	int			count;
	ItemPointer self;
	double		farthest;		/* distance of the last one */
	int			wanted_there;	/* neighbours at that distance, not met yet */
	ItemPointerData *met;		/* [count], heap TIDs */
	int			met_count;
	int64	   *positions;		/* [met_count] */
	int64		inspected;
} Location;

/* Whether a row is one of the neighbours, or may be as near as one. */
static bool
may_be_near(const Location *location, const AnnoyCandidate *entry)
{
	const AnnoySearch *search = location->search;

	for (int i = 0; i < location->count; i++)
		if (AnnoyPackTid(&location->neighbors[i].heap_tid) ==
			AnnoyPackTid(&entry->tid))
			return true;
	return AnnoyBoundToDistance(&search->forest->sketcher, &search->query,
								entry->lower) <= location->farthest;
}

/*
 * Counts a row.  All that are nearer than the farthest neighbour are neighbours;
 * of those as far as that any will do, up to the number of neighbours there.
 */
static void
meet_row(Location *location, RankedRow *row)
{
	double		distance = row->distance;

	if (!(distance <= location->farthest) ||
		(distance == location->farthest && location->wanted_there == 0) ||
		ItemPointerEquals(&row->tid, location->self))
		return;
	for (int i = 0; i < location->met_count; i++)
		if (ItemPointerEquals(&location->met[i], &row->tid))
			return;				/* through another tree */
	location->wanted_there -= distance == location->farthest;
	location->met[location->met_count] = row->tid;
	location->positions[location->met_count++] = location->inspected;
}

/* The entries of a leaf page. */
static void
locate_on_leaf(Location *location, const AnnoyCandidateQueue *entries)
{
	AnnoySearch *search = location->search;

	for (int64 i = 0;
		 i < entries->count && location->met_count < location->count; i++)
	{
		const AnnoyCandidate *entry = &entries->elements[i];
		RankedRow	row = {.tid = entry->tid};

		CHECK_FOR_INTERRUPTS();
		if (may_be_near(location, entry) && AnnoyMeasureRow(search, &row))
			meet_row(location, &row);
	}
}

void
AnnoyLocateNeighbors(AnnoySearch *search, ItemPointer self,
					 const AnnoySearchResult *neighbors, int count,
					 int64 *positions, int64 max_items)
{
	AnnoyCandidates *entries = &search->candidates;
	AnnoyLeafCandidate leaf;
	Location	location = {.search = search,.neighbors = neighbors,
		.count = count,.self = self,.positions = positions};

	if (count == 0)
		return;
	location.farthest = neighbors[count - 1].distance;
	location.met = palloc(sizeof(ItemPointerData) * count);
	for (int i = 0; i < count; i++)
	{
		location.wanted_there += neighbors[i].distance == location.farthest;
		positions[i] = PG_INT64_MAX;
	}
	AnnoyStartWalk(&search->walk, &search->query);
	while (location.met_count < count && location.inspected < max_items &&
		   AnnoyTakeLeaf(&search->walk, &leaf))
	{
		Buffer		buffer = AnnoyReadPage(search->index, leaf.link.block,
										   ANNOY_PAGE_LEAF, BUFFER_LOCK_SHARE);
		Page		page = BufferGetPage(buffer);
		AnnoyLeafCandidate rest = {leaf.distance,
			{AnnoyPageGetOpaque(page)->chainlink, ANNOY_ANY_VERSION},
			leaf.directory
		};

		AnnoyCheckLeaf(search->index, page, leaf.link.block,
					   &search->forest->leaf);
		AnnoyClearCandidates(entries);
		AnnoyWantCandidates(entries, PG_INT64_MAX);
		(void) AnnoyRankLeaf(search->forest, &search->query, page, -FLT_MAX,
							 search->block_scratch, entries);
		UnlockReleaseBuffer(buffer);
		CHECK_FOR_INTERRUPTS();
		if (BlockNumberIsValid(rest.link.block))
			AnnoyReturnLeaf(&search->walk, rest);
		location.inspected += entries->queue.count;
		locate_on_leaf(&location, &entries->queue);
	}
	pfree(location.met);
}

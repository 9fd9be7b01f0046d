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

#include "searchstate.h"

/*
 * Leaves are taken so many at a time, and all their pages asked for before the
 * first is read: what a search waits for is memory.
 */
#define LEAF_BATCH 4

/* Bytes of a leaf page to prefetch; the processor goes on by itself. */
#define PREFETCHED_LEAF 1024

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
void
AnnoyInspect(AnnoySearch *search)
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
void
AnnoyFetchAside(AnnoySearch *search)
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

/*-------------------------------------------------------------------------
 *
 * searchitems.c
 *	  What a search reads of items and tail: an item, or a page of rows.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"

#include "annoycompat.h"
#include "forest/searchstate.h"
#include "page/tail.h"

bool
AnnoyMeasureItem(AnnoySearch *search, ItemPointerData address, RankedItem *item)
{
	struct varlena *value = AnnoyReadItem(&search->items, &address,
										  &item->heap_tid);

	if (value == NULL)
		return false;
	if (search->element->dimensions(value) != search->forest->meta.dimensions)
		AnnoyReportCorruption(search->index,
							  ItemPointerGetBlockNumberNoCheck(&address),
							  "item of another number of dimensions");
	item->distance = DatumGetFloat8(FunctionCall2Coll(&search->distance,
													  search->collation,
													  PointerGetDatum(value),
													  PointerGetDatum(search->value)));
	AnnoyReleaseItem(&search->items);
	item->address = address;
	search->statistics.exact_distances++;
	return true;
}

/* Blocks may be added while we look. */
bool
AnnoyLoadItemPage(AnnoySearch *search)
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

void
AnnoyLoadTailPage(AnnoySearch *search, bool want_null)
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

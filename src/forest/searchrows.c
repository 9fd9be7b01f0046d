/*-------------------------------------------------------------------------
 *
 * searchrows.c
 *	  What a search reads of rows: their values, all of them, those of the tail.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"

#include "annoycompat.h"
#include "forest/searchstate.h"
#include "page/tail.h"

bool
AnnoyMeasureRow(AnnoySearch *search, RankedRow *row)
{
	struct varlena *value = AnnoyReadRow(&search->reader, &row->tid,
										 search->limits.snapshot);

	if (value == NULL)
		return false;
	if (search->element->dimensions(value) != search->forest->meta.dimensions)
		AnnoyReportRow(search->index, &row->tid, "another number of dimensions");
	row->distance = DatumGetFloat8(FunctionCall2Coll(&search->distance,
													 search->collation,
													 PointerGetDatum(value),
													 PointerGetDatum(search->value)));
	search->statistics.exact_distances++;
	return true;
}

AnnoyRowList *
AnnoyListSearchedRows(AnnoySearch *search, int memory)
{
	return AnnoyListRows(search->index, search->forest, search->limits.snapshot,
						 memory, &search->leaf_pages);
}

void
AnnoyLoadTailPage(AnnoySearch *search, bool want_null)
{
	Buffer		buffer = AnnoyReadPage(search->index, search->next_tail,
									   ANNOY_PAGE_TAIL, BUFFER_LOCK_SHARE);
	Page		page = BufferGetPage(buffer);
	AnnoyTailEntry *entries = AnnoyPageGetTailEntries(page);
	int			count = AnnoyCheckTail(search->index, buffer);

	AnnoyTestForOldSnapshot(search->limits.snapshot, search->index, page);
	search->tail_count = 0;
	search->tail_next = 0;
	for (int i = 0; i < count; i++)
		if (((entries[i].flags & ANNOY_TAIL_NULL) != 0) == want_null)
			search->tail_tids[search->tail_count++] = entries[i].heap_tid;
	search->next_tail = AnnoyPageGetOpaque(page)->rightlink;
	search->tail_pages++;
	UnlockReleaseBuffer(buffer);
	AnnoyCheckSteps(search->index, search->next_tail, search->tail_pages / 2);
}

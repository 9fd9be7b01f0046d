/*-------------------------------------------------------------------------
 *
 * estimatorpages.c
 *	  Number of leaves and entries of an index.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/bufmgr.h"

#include "estimator/estimator.h"
#include "page/leaf.h"
#include "page/tail.h"

static void
count_leaf(Relation index, Buffer buffer, const AnnoyLeafLayout *layout,
		   AnnoyPageCounts *counts)
{
	Page		page = BufferGetPage(buffer);

	counts->leaves++;
	if (layout->sketch_dimensions == 0)
		return;					/* without entries when we began */
	AnnoyCheckLeaf(index, page, BufferGetBlockNumber(buffer), layout);
	counts->entries += AnnoyPageGetLeafHeader(page)->count;
	counts->places += layout->capacity;
}

void
AnnoyCountEntries(Relation index, const AnnoyMetaPageData *meta,
				  AnnoyPageCounts *counts)
{
	BlockNumber blocks = RelationGetNumberOfBlocks(index);
	BufferAccessStrategy strategy = GetAccessStrategy(BAS_BULKREAD);
	AnnoyLeafLayout layout;

	memset(counts, 0, sizeof(AnnoyPageCounts));
	AnnoyGetLeafLayout(meta, &layout);
	for (BlockNumber block = ANNOY_META_BLOCK + 1; block < blocks; block++)
	{
		Buffer		buffer;
		int			kind;

		CHECK_FOR_INTERRUPTS();
		buffer = ReadBufferExtended(index, MAIN_FORKNUM, block, RBM_NORMAL,
									strategy);
		LockBuffer(buffer, BUFFER_LOCK_SHARE);
		kind = AnnoyGetPageKind(index, buffer);
		if (kind == ANNOY_PAGE_TAIL)
			counts->tail_entries += AnnoyCheckTail(index, buffer);
		else if (kind == ANNOY_PAGE_LEAF && block >= meta->former_end)
			count_leaf(index, buffer, &layout, counts);
		UnlockReleaseBuffer(buffer);
	}
	FreeAccessStrategy(strategy);
}

/*-------------------------------------------------------------------------
 *
 * allrows.c
 *	  All rows that the leaves of an index name, each once, in the order of the
 *	  table.
 *
 * Leaves are read in the order of blocks.  A split meanwhile may move entries to
 * a page that was passed by: AnnoyMovedBackwards leads there.  What is met twice
 * lies side by side when TIDs are sorted, as they are because reading a table
 * row by row in the order of leaves would be reading it at random.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_operator_d.h"
#include "catalog/pg_type_d.h"
#include "miscadmin.h"
#include "utils/tuplesort.h"

#include "annoycompat.h"
#include "forest/allrows.h"
#include "page/buffer.h"
#include "page/leaf.h"

struct AnnoyRowList
{
	Tuplesortstate *sort;
	int64		last;			/* packed TID; 0: none yet */
};

/* Puts the entries of a page, if it is a leaf of the first tree, into the sort. */
static BlockNumber
list_page(Relation index, const AnnoyForest *forest, Snapshot snapshot,
		  AnnoyBlockPass *pass, BlockNumber scanned, BlockNumber block,
		  Tuplesortstate *sort, ItemPointerData *tids)
{
	Buffer		buffer = AnnoyReadBuffer(index, block);
	Page		page = BufferGetPage(buffer);
	BlockNumber next = InvalidBlockNumber;
	int			count = 0;
	int			kind;

	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	kind = AnnoyGetPageKind(index, buffer);
	if (kind == 0 || kind == ANNOY_PAGE_FREE)
		AnnoyNoteUnused(pass, block);
	else if (kind == ANNOY_PAGE_LEAF && AnnoyPageGetOpaque(page)->tree == 0)
	{
		AnnoyTestForOldSnapshot(snapshot, index, page);
		AnnoyCheckLeaf(index, page, block, &forest->leaf);
		count = AnnoyListLeaf(page, &forest->leaf, tids);
		AnnoyCheckTids(index, block, tids, count);
		next = AnnoyMovedBackwards(pass, page, scanned);
	}
	UnlockReleaseBuffer(buffer);
	for (int i = 0; i < count; i++)
		tuplesort_putdatum(sort, Int64GetDatum(AnnoyPackTid(&tids[i])), false);
	return next;
}

/* Blocks may be added while we look. */
AnnoyRowList *
AnnoyListRows(Relation index, const AnnoyForest *forest, Snapshot snapshot,
			  int memory, int64 *pages)
{
	AnnoyRowList *list = palloc0(sizeof(AnnoyRowList));
	ItemPointerData *tids = palloc(sizeof(ItemPointerData) *
								   forest->leaf.capacity);
	BlockNumber scanned = Max(ANNOY_META_BLOCK + 1, forest->meta.former_end);
	BlockNumber count;
	AnnoyBlockPass pass;

	AnnoyBeginPass(&pass, scanned);
	list->sort = tuplesort_begin_datum(INT8OID, Int8LessOperator, InvalidOid,
									   false, memory, NULL, TUPLESORT_NONE);
	/* if the geometry is not known to us, there are none */
	while (forest->meta.dimensions > 0 &&
		   scanned < (count = RelationGetNumberOfBlocks(index)))
		for (; scanned < count; scanned++)
		{
			BlockNumber block = scanned;
			uint64		steps = 0;

			while (BlockNumberIsValid(block))
			{
				CHECK_FOR_INTERRUPTS();
				AnnoyCheckSteps(index, block, steps++);
				block = list_page(index, forest, snapshot, &pass, scanned,
								  block, list->sort, tids);
				(*pages)++;
			}
		}
	AnnoyEndPass(&pass);
	pfree(tids);
	tuplesort_performsort(list->sort);
	return list;
}

bool
AnnoyNextListedRow(AnnoyRowList *list, ItemPointer tid)
{
	Datum		value;

	do
	{
		if (!AnnoyGetSortedDatum(list->sort, &value))
			return false;
	} while (DatumGetInt64(value) == list->last);
	list->last = DatumGetInt64(value);
	AnnoyUnpackTid(list->last, tid);
	return true;
}

void
AnnoyEndRowList(AnnoyRowList *list)
{
	tuplesort_end(list->sort);
	pfree(list);
}

/*-------------------------------------------------------------------------
 *
 * vacuum.c
 *	  Removing the entries of dead rows.
 *
 * Pass 1 asks for each row of the item and tail pages whether it is dead.  Tail
 * entries go at once.  Items are marked dead, which hides them from scans and
 * keeps splits from moving their entries, and their addresses are collected.
 * Pass 2 removes the entries that name them from the leaves, pass 3 frees
 * their slots.  If the addresses do not fit into maintenance_work_mem, passes 2
 * and 3 come several times.
 *
 * A slot must not be used again before no leaf names it.  Pass 2 sees all
 * entries: a split meanwhile moves entries from a page to one that was added to
 * the end of the index after that page was read (treeinsert.c), and pass 2 goes
 * from the first page to the end, as it is when it gets there.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/generic_xlog.h"
#include "commands/vacuum.h"
#include "miscadmin.h"
#include "storage/freespace.h"
#include "storage/indexfsm.h"
#include "utils/memutils.h"

#include "annoy.h"
#include "annoycompat.h"
#include "item.h"
#include "leaf.h"
#include "meta.h"
#include "tail.h"

typedef struct VacuumState
{
	IndexVacuumInfo *info;
	IndexBulkDeleteResult *stats;
	IndexBulkDeleteCallback callback;	/* NULL: count only */
	void	   *callback_state;
	AnnoyMetaPageData meta;

	/* addresses of dead items, in ascending order */
	ItemPointerData *dead;
	int64		dead_count;
	int64		dead_allocated;
	int64		dead_limit;
} VacuumState;

/* ---------------------------------------------------------------------
 * Pass 2: leaves
 * ---------------------------------------------------------------------
 */

static bool
is_dead(const VacuumState *state, ItemPointer address)
{
	return bsearch(address, state->dead, state->dead_count,
				   sizeof(ItemPointerData),
				   (int (*) (const void *, const void *)) ItemPointerCompare) != NULL;
}

/* Removes entries of dead items from a page, if it is a leaf. */
static void
clean_leaf(VacuumState *state, BlockNumber block, ItemPointerData *addresses,
		   bool *drop)
{
	Relation	index = state->info->index;
	int			s = state->meta.sketch_dimensions;
	Buffer		buffer = ReadBufferExtended(index, MAIN_FORKNUM, block,
											RBM_NORMAL, state->info->strategy);
	Page		page = BufferGetPage(buffer);
	int			count;
	int			dropped = 0;

	LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
	if (!PageIsNew(page) &&
		PageGetSpecialSize(page) == MAXALIGN(sizeof(AnnoyPageOpaqueData)) &&
		AnnoyPageGetOpaque(page)->kind == ANNOY_PAGE_LEAF)
	{
		AnnoyCheckLeaf(index, page, block, s);
		count = AnnoyListLeaf(page, s, addresses);
		for (int i = 0; i < count; i++)
		{
			drop[i] = is_dead(state, &addresses[i]);
			dropped += drop[i];
		}
	}
	if (dropped > 0)
	{
		GenericXLogState *xlog = GenericXLogStart(index);

		(void) AnnoyFilterLeaf(GenericXLogRegisterBuffer(xlog, buffer, 0), s,
							   drop);
		GenericXLogFinish(xlog);
	}
	UnlockReleaseBuffer(buffer);
}

static void
clean_leaves(VacuumState *state)
{
	int			capacity = AnnoyLeafCapacity(state->meta.sketch_dimensions);
	ItemPointerData *addresses = palloc(sizeof(ItemPointerData) * capacity);
	bool	   *drop = palloc(sizeof(bool) * capacity);
	BlockNumber block = ANNOY_META_BLOCK + 1;
	BlockNumber count;

	while (block < (count = RelationGetNumberOfBlocks(state->info->index)))
		for (; block < count; block++)
		{
			AnnoyVacuumDelayPoint();
			clean_leaf(state, block, addresses, drop);
		}
	pfree(addresses);
	pfree(drop);
}

/* ---------------------------------------------------------------------
 * Pass 3: slots
 * ---------------------------------------------------------------------
 */

static void
remove_dead_items(VacuumState *state)
{
	OffsetNumber offsets[ANNOY_ITEMS_PER_PAGE];
	int64		i = 0;

	while (i < state->dead_count)
	{
		BlockNumber block = ItemPointerGetBlockNumber(&state->dead[i]);
		int			count = 0;

		AnnoyVacuumDelayPoint();
		while (i < state->dead_count &&
			   ItemPointerGetBlockNumber(&state->dead[i]) == block)
			offsets[count++] = ItemPointerGetOffsetNumber(&state->dead[i++]);
		AnnoyRemoveItems(state->info->index, block, offsets, count);
	}
}

/* Passes 2 and 3 for the addresses collected so far. */
static void
remove_dead(VacuumState *state)
{
	if (state->dead_count == 0)
		return;
	clean_leaves(state);
	remove_dead_items(state);
	state->dead_count = 0;
}

/* ---------------------------------------------------------------------
 * Pass 1: rows
 * ---------------------------------------------------------------------
 */

/*
 * Counts the live items of a locked page and collects the dead ones, those of
 * an interrupted VACUUM included; marks those that were not marked yet.
 */
static void
mark_dead_items(VacuumState *state, Buffer buffer)
{
	Relation	index = state->info->index;
	Page		page = BufferGetPage(buffer);
	OffsetNumber last = PageGetMaxOffsetNumber(page);
	OffsetNumber marked[ANNOY_ITEMS_PER_PAGE];
	int			count = 0;

	if (last > ANNOY_ITEMS_PER_PAGE)
		AnnoyReportCorruption(index, BufferGetBlockNumber(buffer),
							  "too many line pointers");
	for (OffsetNumber offset = FirstOffsetNumber; offset <= last; offset++)
	{
		AnnoyItem	item = AnnoyGetItem(index, buffer, offset);
		bool		dead;

		if (item == NULL || (item->flags & ANNOY_ITEM_CONTINUED))
			continue;
		dead = (item->flags & ANNOY_ITEM_DEAD) != 0;
		if (!dead && state->callback &&
			state->callback(&item->heap_tid, state->callback_state))
		{
			dead = true;
			marked[count++] = offset;
			state->stats->tuples_removed += 1;
		}
		if (dead)
		{
			ItemPointerSet(&state->dead[state->dead_count],
						   BufferGetBlockNumber(buffer), offset);
			state->dead_count++;
		}
		else
			state->stats->num_index_tuples += 1;
	}

	if (count > 0)
	{
		GenericXLogState *xlog = GenericXLogStart(index);
		Page		copy = GenericXLogRegisterBuffer(xlog, buffer, 0);

		for (int i = 0; i < count; i++)
			((AnnoyItem) PageGetItem(copy, PageGetItemId(copy, marked[i])))->flags |=
				ANNOY_ITEM_DEAD;
		GenericXLogFinish(xlog);
	}
}

static void
vacuum_page(VacuumState *state, BlockNumber block)
{
	Relation	index = state->info->index;
	Buffer		buffer;
	Page		page;
	int			kind;
	int			left;

	buffer = ReadBufferExtended(index, MAIN_FORKNUM, block, RBM_NORMAL,
								state->info->strategy);
	LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
	page = BufferGetPage(buffer);
	if (PageIsNew(page))
	{
		/* of an insert that did not come to its end: item pages take it */
		RecordPageWithFreeSpace(index, block,
								BLCKSZ - MAXALIGN(SizeOfPageHeaderData) -
								sizeof(AnnoyPageOpaqueData));
		UnlockReleaseBuffer(buffer);
		return;
	}
	if (PageGetSpecialSize(page) != MAXALIGN(sizeof(AnnoyPageOpaqueData)))
		AnnoyReportCorruption(index, block, "wrong size of the special area");
	kind = AnnoyPageGetOpaque(page)->kind;
	if (kind == ANNOY_PAGE_ITEM)
	{
		mark_dead_items(state, buffer);
		RecordPageWithFreeSpace(index, block, PageGetFreeSpace(page));
	}
	else if (kind == ANNOY_PAGE_TAIL)
	{
		state->stats->tuples_removed +=
			AnnoyVacuumTailPage(index, buffer, state->callback,
								state->callback_state, &left);
		state->stats->num_index_tuples += left;
	}
	UnlockReleaseBuffer(buffer);
}

/* Room for the dead of one more page. */
static void
reserve_dead(VacuumState *state)
{
	if (state->dead_count + ANNOY_ITEMS_PER_PAGE <= state->dead_allocated)
		return;
	state->dead_allocated = Max(state->dead_allocated * 2,
								16 * ANNOY_ITEMS_PER_PAGE);
	if (state->dead == NULL)
		state->dead = palloc(sizeof(ItemPointerData) * state->dead_allocated);
	else
		state->dead = repalloc_huge(state->dead, sizeof(ItemPointerData) *
									state->dead_allocated);
}

static void
vacuum_pages(VacuumState *state)
{
	Relation	index = state->info->index;
	BlockNumber block = ANNOY_META_BLOCK + 1;
	BlockNumber count;

	AnnoyReadMeta(index, &state->meta);
	state->dead = NULL;
	state->dead_count = 0;
	state->dead_allocated = 0;
	state->dead_limit = Max((int64) maintenance_work_mem * 1024 /
							(int64) sizeof(ItemPointerData) / 2,
							16 * ANNOY_ITEMS_PER_PAGE);
	state->stats->num_index_tuples = 0;
	while (block < (count = RelationGetNumberOfBlocks(index)))
		for (; block < count; block++)
		{
			AnnoyVacuumDelayPoint();
			reserve_dead(state);
			vacuum_page(state, block);
			if (state->dead_count + ANNOY_ITEMS_PER_PAGE > state->dead_limit)
				remove_dead(state);
		}
	remove_dead(state);
	AnnoyListFreeTailPages(index, state->meta.tail);
	IndexFreeSpaceMapVacuum(index);
	state->stats->num_pages = count;
	state->stats->estimated_count = false;
	if (state->dead)
		pfree(state->dead);
}

IndexBulkDeleteResult *
annoybulkdelete(IndexVacuumInfo *info, IndexBulkDeleteResult *stats,
				IndexBulkDeleteCallback callback, void *callback_state)
{
	VacuumState state;

	if (stats == NULL)
		stats = palloc0(sizeof(IndexBulkDeleteResult));
	state.info = info;
	state.stats = stats;
	state.callback = callback;
	state.callback_state = callback_state;
	vacuum_pages(&state);
	return stats;
}

IndexBulkDeleteResult *
annoyvacuumcleanup(IndexVacuumInfo *info, IndexBulkDeleteResult *stats)
{
	VacuumState state;

	/* after a bulk deletion everything is known */
	if (info->analyze_only || stats != NULL)
		return stats;
	stats = palloc0(sizeof(IndexBulkDeleteResult));
	state.info = info;
	state.stats = stats;
	state.callback = NULL;
	state.callback_state = NULL;
	vacuum_pages(&state);
	return stats;
}

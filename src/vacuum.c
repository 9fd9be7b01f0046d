/*-------------------------------------------------------------------------
 *
 * vacuum.c
 *	  Removing the entries of dead rows.
 *
 * An item of a removed row is marked dead, which hides it from scans: they
 * read an item before they give out its row.  A tail entry likewise.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/generic_xlog.h"
#include "commands/vacuum.h"
#include "miscadmin.h"
#include "storage/lmgr.h"

#include "annoy.h"
#include "annoycompat.h"
#include "item.h"
#include "meta.h"

/* What one pass over the index counts. */
typedef struct VacuumState
{
	IndexVacuumInfo *info;
	IndexBulkDeleteResult *stats;
	IndexBulkDeleteCallback callback;	/* NULL: count only */
	void	   *callback_state;
} VacuumState;

/*
 * The places on an item page whose rows are dead (or, without a callback,
 * none); counts the live ones.
 */
static int
find_dead_items(VacuumState *state, Page page, OffsetNumber *dead)
{
	int			count = 0;
	OffsetNumber last = PageGetMaxOffsetNumber(page);

	for (OffsetNumber offset = FirstOffsetNumber; offset <= last; offset++)
	{
		ItemId		id = PageGetItemId(page, offset);
		AnnoyItem	item;

		if (!ItemIdIsNormal(id))
			continue;
		item = (AnnoyItem) PageGetItem(page, id);
		if (item->flags & (ANNOY_ITEM_CONTINUED | ANNOY_ITEM_DEAD))
			continue;
		if (state->callback &&
			state->callback(&item->heap_tid, state->callback_state))
			dead[count++] = offset;
		else
			state->stats->num_index_tuples += 1;
	}
	state->stats->tuples_removed += count;
	return count;
}

static int
find_dead_tail_entries(VacuumState *state, Page page, OffsetNumber *dead)
{
	AnnoyTailEntry *entries = AnnoyPageGetTailEntries(page);
	int			entry_count = Min(AnnoyPageGetTailHeader(page)->count,
								  AnnoyTailCapacity);
	int			count = 0;

	for (int i = 0; i < entry_count; i++)
	{
		if (entries[i].flags & ANNOY_TAIL_DEAD)
			continue;
		if (state->callback &&
			state->callback(&entries[i].heap_tid, state->callback_state))
			dead[count++] = i;
		else
			state->stats->num_index_tuples += 1;
	}
	state->stats->tuples_removed += count;
	return count;
}

/* Marks dead what the callback names on one page. */
static void
vacuum_page(VacuumState *state, BlockNumber block)
{
	Relation	index = state->info->index;
	OffsetNumber dead[BLCKSZ / sizeof(AnnoyTailEntry)];
	Buffer		buffer;
	Page		page;
	int			kind;
	int			count = 0;

	buffer = ReadBufferExtended(index, MAIN_FORKNUM, block, RBM_NORMAL,
								state->info->strategy);
	LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
	page = BufferGetPage(buffer);
	kind = PageIsNew(page) ? 0 : AnnoyPageGetOpaque(page)->kind;
	if (kind == ANNOY_PAGE_ITEM)
		count = find_dead_items(state, page, dead);
	else if (kind == ANNOY_PAGE_TAIL)
		count = find_dead_tail_entries(state, page, dead);

	if (count > 0)
	{
		GenericXLogState *xlog = GenericXLogStart(index);
		Page		copy = GenericXLogRegisterBuffer(xlog, buffer, 0);

		for (int i = 0; i < count; i++)
		{
			if (kind == ANNOY_PAGE_ITEM)
				((AnnoyItem) PageGetItem(copy, PageGetItemId(copy, dead[i])))->flags |=
					ANNOY_ITEM_DEAD;
			else
				AnnoyPageGetTailEntries(copy)[dead[i]].flags |= ANNOY_TAIL_DEAD;
		}
		GenericXLogFinish(xlog);
	}
	UnlockReleaseBuffer(buffer);
}

/* Visits every page, those included that are added meanwhile. */
static void
vacuum_pages(VacuumState *state)
{
	BlockNumber block = ANNOY_META_BLOCK + 1;
	BlockNumber count;

	state->stats->num_index_tuples = 0;
	while (block < (count = RelationGetNumberOfBlocks(state->info->index)))
		for (; block < count; block++)
		{
			AnnoyVacuumDelayPoint();
			vacuum_page(state, block);
		}
	state->stats->num_pages = count;
	state->stats->estimated_count = false;
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

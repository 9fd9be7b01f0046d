/*-------------------------------------------------------------------------
 *
 * vacuumpages.c
 *	  Removing the entries of dead rows: one pass over all pages.
 *
 * The server is asked of each entry of leaves and tail whether its row is dead,
 * and the page is written anew without the dead ones.  With several trees it is
 * asked of a row once for each, but rows are counted in the first tree only.
 *
 * A split meanwhile moves entries to a page behind the one at hand, or to one
 * that was passed by and is seen again (AnnoyMovedBackwards); or it has copied
 * the page before, and finds it changed (treesplit.c).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/generic_xlog.h"
#include "commands/vacuum.h"
#include "miscadmin.h"
#include "storage/indexfsm.h"
#include "utils/memutils.h"

#include "am/vacuumpages.h"
#include "annoycompat.h"
#include "page/leaf.h"
#include "page/meta.h"
#include "page/tail.h"

/* A chained page is listed for inserts when it is filled less than that. */
#define SPARSE_SHARE 0.75

typedef struct VacuumState
{
	IndexVacuumInfo *info;
	IndexBulkDeleteResult *stats;
	IndexBulkDeleteCallback callback;	/* NULL: count only */
	void	   *callback_state;
	AnnoyMetaPageData meta;
	AnnoyLeafLayout layout;
	ItemPointerData *tids;		/* of one leaf page */
	bool	   *drop;
	AnnoyBlockPass pass;
	bool		chains_changed; /* entries of chained pages were removed */
	int64		entries;		/* left, of all trees */
} VacuumState;

/* ---------------------------------------------------------------------
 * Pages
 * ---------------------------------------------------------------------
 */

/* Notes in drop[] which entries of a leaf page are dead; returns how many. */
static int
find_dead_entries(VacuumState *state, Page page, BlockNumber block, int *count)
{
	int			dead = 0;

	AnnoyCheckLeaf(state->info->index, page, block, &state->layout);
	*count = AnnoyListLeaf(page, &state->layout, state->tids);
	AnnoyCheckTids(state->info->index, block, state->tids, *count);
	for (int i = 0; i < *count; i++)
	{
		state->drop[i] = state->callback != NULL &&
			state->callback(&state->tids[i], state->callback_state);
		dead += state->drop[i];
	}
	return dead;
}

/*
 * A leaf page, share-locked by us.  again: it was seen before.  Most pages have
 * nothing dead and are not locked exclusively.
 */
static void
vacuum_leaf(VacuumState *state, Buffer buffer, bool again)
{
	Relation	index = state->info->index;
	Page		page = BufferGetPage(buffer);
	BlockNumber block = BufferGetBlockNumber(buffer);
	int			count;
	int			dead;

	/* it was empty when we began: what has come since lives */
	if (state->layout.sketch_dimensions == 0)
		return;
	dead = find_dead_entries(state, page, block, &count);
	if (dead > 0)
	{
		GenericXLogState *xlog;

		LockBuffer(buffer, BUFFER_LOCK_UNLOCK);
		LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
		dead = find_dead_entries(state, page, block, &count);
		if (AnnoyPageGetOpaque(page)->flags & ANNOY_LEAF_CHAINED)
			state->chains_changed = true;
		xlog = GenericXLogStart(index);
		(void) AnnoyFilterLeaf(GenericXLogRegisterBuffer(xlog, buffer, 0),
							   &state->layout, state->drop);
		GenericXLogFinish(xlog);
	}
	if (!again)
		state->entries += count - dead;
	if (AnnoyPageGetOpaque(page)->tree == 0)
	{
		state->stats->tuples_removed += dead;
		state->stats->num_index_tuples += again ? 0 : count - dead;
	}
}

static void
vacuum_tail(VacuumState *state, Buffer buffer)
{
	int			left;

	LockBuffer(buffer, BUFFER_LOCK_UNLOCK);
	LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
	state->stats->tuples_removed +=
		AnnoyVacuumTailPage(state->info->index, buffer, state->callback,
							state->callback_state, &left);
	state->stats->num_index_tuples += left;
}

void
AnnoyFreeFormerPage(Relation index, Buffer buffer)
{
	int			kind;

	LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
	kind = AnnoyGetPageKind(index, buffer);
	if (kind != 0 && kind != ANNOY_PAGE_FREE && kind != ANNOY_PAGE_TAIL)
		AnnoyFreePage(index, buffer);
	LockBuffer(buffer, BUFFER_LOCK_UNLOCK);
}

/*
 * A page, which is "scanned" or was moved there from it.  Returns where to go on
 * before the next block, or an invalid block.  Kinds of pages in use do not
 * change.
 */
static BlockNumber
vacuum_page(VacuumState *state, BlockNumber scanned, BlockNumber block)
{
	Relation	index = state->info->index;
	Buffer		buffer = ReadBufferExtended(index, MAIN_FORKNUM, block,
											RBM_NORMAL, state->info->strategy);
	BlockNumber next = InvalidBlockNumber;
	int			kind;

	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	kind = AnnoyGetPageKind(index, buffer);
	if (kind == 0 || kind == ANNOY_PAGE_FREE)
	{
		RecordFreeIndexPage(index, block);
		AnnoyNoteUnused(&state->pass, block);
		state->stats->pages_free++;
	}
	else if (kind == ANNOY_PAGE_TAIL)
		vacuum_tail(state, buffer);
	else if (block < state->meta.former_end)
	{
		LockBuffer(buffer, BUFFER_LOCK_UNLOCK);
		AnnoyFreeFormerPage(index, buffer);
		AnnoyNoteUnused(&state->pass, block);
		LockBuffer(buffer, BUFFER_LOCK_SHARE);
	}
	else if (kind == ANNOY_PAGE_LEAF)
	{
		vacuum_leaf(state, buffer, block != scanned);
		next = AnnoyMovedBackwards(&state->pass, BufferGetPage(buffer), scanned);
	}
	UnlockReleaseBuffer(buffer);
	return next;
}

/* ---------------------------------------------------------------------
 * Chains
 * ---------------------------------------------------------------------
 */

/* Sets a leaf page's "sparse", if it is not that already. */
static void
set_sparse(VacuumState *state, BlockNumber block, BlockNumber sparse)
{
	Relation	index = state->info->index;
	Buffer		buffer = AnnoyReadPage(index, block, ANNOY_PAGE_LEAF,
									   BUFFER_LOCK_EXCLUSIVE);

	if (AnnoyPageGetLeafHeader(BufferGetPage(buffer))->sparse != sparse)
	{
		GenericXLogState *xlog = GenericXLogStart(index);
		Page		page = GenericXLogRegisterBuffer(xlog, buffer, 0);

		AnnoyPageGetLeafHeader(page)->sparse = sparse;
		GenericXLogFinish(xlog);
	}
	UnlockReleaseBuffer(buffer);
}

/*
 * Lists the pages with room of the chain that begins at a leaf.  The list is
 * cut at the head first, so that inserts meanwhile see a shorter one, never a
 * wrong one.
 */
static void
list_sparse_pages(VacuumState *state, BlockNumber head, BlockNumber block)
{
	Relation	index = state->info->index;
	BlockNumber sparse = ANNOY_NO_SPARSE_PAGE;
	uint64		steps = 0;

	set_sparse(state, head, ANNOY_NO_SPARSE_PAGE);
	while (BlockNumberIsValid(block))
	{
		Buffer		buffer = AnnoyReadPage(index, block, ANNOY_PAGE_LEAF,
										   BUFFER_LOCK_SHARE);
		Page		page = BufferGetPage(buffer);
		int			count = AnnoyPageGetLeafHeader(page)->count;
		BlockNumber next = AnnoyPageGetOpaque(page)->chainlink;

		UnlockReleaseBuffer(buffer);
		AnnoyVacuumDelayPoint();
		AnnoyCheckSteps(index, block, ++steps);
		if (count < state->layout.capacity * SPARSE_SHARE)
		{
			set_sparse(state, block, sparse);
			sparse = block;
		}
		else
			set_sparse(state, block, ANNOY_NO_SPARSE_PAGE);
		block = next;
	}
	if (sparse != ANNOY_NO_SPARSE_PAGE)
		set_sparse(state, head, sparse);
}

static void
tidy_chains(VacuumState *state)
{
	Relation	index = state->info->index;
	BlockNumber count = RelationGetNumberOfBlocks(index);

	for (BlockNumber head = Max(ANNOY_META_BLOCK + 1, state->meta.former_end);
		 head < count; head++)
	{
		Buffer		buffer = ReadBufferExtended(index, MAIN_FORKNUM, head,
												RBM_NORMAL,
												state->info->strategy);
		Page		page = BufferGetPage(buffer);
		BlockNumber chain = InvalidBlockNumber;

		LockBuffer(buffer, BUFFER_LOCK_SHARE);
		if (AnnoyGetPageKind(index, buffer) == ANNOY_PAGE_LEAF &&
			!(AnnoyPageGetOpaque(page)->flags & ANNOY_LEAF_CHAINED))
			chain = AnnoyPageGetOpaque(page)->chainlink;
		UnlockReleaseBuffer(buffer);
		AnnoyVacuumDelayPoint();
		if (BlockNumberIsValid(chain))
			list_sparse_pages(state, head, chain);
	}
}

/* ---------------------------------------------------------------------
 * The whole index
 * ---------------------------------------------------------------------
 */

int64
AnnoyVacuumPages(IndexVacuumInfo *info, IndexBulkDeleteResult *stats,
				 IndexBulkDeleteCallback callback, void *callback_state)
{
	VacuumState state = {.info = info,.stats = stats,.callback = callback,
	.callback_state = callback_state};
	Relation	index = info->index;
	BlockNumber scanned = ANNOY_META_BLOCK + 1;
	BlockNumber count;

	AnnoyReadMeta(index, &state.meta);
	AnnoyGetLeafLayout(&state.meta, &state.layout);
	state.tids = palloc(sizeof(ItemPointerData) * state.layout.capacity);
	state.drop = palloc(sizeof(bool) * state.layout.capacity);
	AnnoyBeginPass(&state.pass, scanned);
	stats->num_index_tuples = 0;
	stats->pages_free = 0;
	while (scanned < (count = RelationGetNumberOfBlocks(index)))
		for (; scanned < count; scanned++)
		{
			BlockNumber block = scanned;
			uint64		steps = 0;

			while (BlockNumberIsValid(block))
			{
				AnnoyVacuumDelayPoint();
				AnnoyCheckSteps(index, block, steps++);
				block = vacuum_page(&state, scanned, block);
			}
		}
	if (state.meta.former_end > 0)
		AnnoyForgetFormerPages(index);
	if (state.chains_changed)
		tidy_chains(&state);
	AnnoyListFreeTailPages(index, state.meta.tail);
	IndexFreeSpaceMapVacuum(index);
	stats->num_pages = count;
	stats->estimated_count = false;
	AnnoyEndPass(&state.pass);
	pfree(state.tids);
	pfree(state.drop);
	return state.entries;
}

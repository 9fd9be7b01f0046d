/*-------------------------------------------------------------------------
 *
 * vacuumpages.c
 *	  Removing the entries of dead rows: the three passes.
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
#include "postmaster/autovacuum.h"
#include "storage/freespace.h"
#include "storage/indexfsm.h"
#include "utils/memutils.h"

#include "am/vacuumpages.h"
#include "annoycompat.h"
#include "page/item.h"
#include "page/leaf.h"
#include "page/meta.h"
#include "page/tail.h"

/* Dead items that are always collected before passes 2 and 3. */
#define LEAST_DEAD (16 * ANNOY_ITEMS_PER_PAGE)

/* A chained page is listed for inserts when it is filled less than that. */
#define SPARSE_SHARE 0.75

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
	bool		chains_changed; /* entries of chained pages were removed */
	int64		items;			/* live ones */
} VacuumState;

/* ---------------------------------------------------------------------
 * Pass 2: leaves
 * ---------------------------------------------------------------------
 */

static int
compare_addresses(const void *a, const void *b)
{
	return ItemPointerCompare((ItemPointer) a, (ItemPointer) b);
}

static bool
is_dead(const VacuumState *state, ItemPointer address)
{
	return bsearch(address, state->dead, state->dead_count,
				   sizeof(ItemPointerData), compare_addresses) != NULL;
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

	/* pages of other kinds need no exclusive lock; kinds do not change */
	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	if (AnnoyGetPageKind(index, buffer) == ANNOY_PAGE_LEAF)
	{
		LockBuffer(buffer, BUFFER_LOCK_UNLOCK);
		LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
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

		if (AnnoyPageGetOpaque(page)->flags & ANNOY_LEAF_CHAINED)
			state->chains_changed = true;
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
	BlockNumber block = Max(ANNOY_META_BLOCK + 1, state->meta.former_end);
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
	int			s = state->meta.sketch_dimensions;
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
		if (count < AnnoyLeafCapacity(s) * SPARSE_SHARE)
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
		for (; i < state->dead_count &&
			 ItemPointerGetBlockNumber(&state->dead[i]) == block; i++)
			offsets[count++] = ItemPointerGetOffsetNumber(&state->dead[i]);
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
 * Looks at the items of a locked page: counts the live ones, collects the dead
 * ones (those of an interrupted VACUUM included), and notes in marked[] those
 * that are to be marked; returns how many.  Nothing is changed, so that it can
 * be done again.
 */
static int
find_dead_items(VacuumState *state, Buffer buffer, OffsetNumber *marked,
				int64 *live, int64 *dead)
{
	Relation	index = state->info->index;
	OffsetNumber last = PageGetMaxOffsetNumber(BufferGetPage(buffer));
	int			count = 0;

	if (last > ANNOY_ITEMS_PER_PAGE)
		AnnoyReportCorruption(index, BufferGetBlockNumber(buffer),
							  "too many line pointers");
	*live = 0;
	*dead = 0;
	for (OffsetNumber offset = FirstOffsetNumber; offset <= last; offset++)
	{
		AnnoyItem	item = AnnoyGetItem(index, buffer, offset);

		if (item == NULL || (item->flags & ANNOY_ITEM_CONTINUED))
			continue;
		if (!(item->flags & ANNOY_ITEM_DEAD))
		{
			if (state->callback == NULL ||
				!state->callback(&item->heap_tid, state->callback_state))
			{
				(*live)++;
				continue;
			}
			marked[count++] = offset;
		}
		ItemPointerSet(&state->dead[state->dead_count + *dead],
					   BufferGetBlockNumber(buffer), offset);
		(*dead)++;
	}
	return count;
}

/* Pass 1 for an item page, locked by us; it is unlocked here. */
static void
vacuum_item_page(VacuumState *state, Buffer buffer)
{
	OffsetNumber marked[ANNOY_ITEMS_PER_PAGE];
	int64		live;
	int64		dead;
	int			count = find_dead_items(state, buffer, marked, &live, &dead);
	Size		room;

	if (count > 0)
	{
		GenericXLogState *xlog;
		Page		copy;

		/* most pages have nothing to mark and are not locked exclusively */
		LockBuffer(buffer, BUFFER_LOCK_UNLOCK);
		LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
		count = find_dead_items(state, buffer, marked, &live, &dead);
		xlog = GenericXLogStart(state->info->index);
		copy = GenericXLogRegisterBuffer(xlog, buffer, 0);
		for (int i = 0; i < count; i++)
			((AnnoyItem) PageGetItem(copy, PageGetItemId(copy, marked[i])))->flags |=
				ANNOY_ITEM_DEAD;
		GenericXLogFinish(xlog);
	}
	room = PageGetFreeSpace(BufferGetPage(buffer));
	LockBuffer(buffer, BUFFER_LOCK_UNLOCK);
	state->dead_count += dead;
	state->stats->num_index_tuples += live;
	state->items += live;
	state->stats->tuples_removed += count;
	RecordPageWithFreeSpace(state->info->index, BufferGetBlockNumber(buffer),
							room);
}

void
AnnoyRecycleFormerPage(Relation index, Buffer buffer)
{
	int			kind;

	LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
	kind = AnnoyGetPageKind(index, buffer);
	if (kind != 0 && kind != ANNOY_PAGE_ITEM && kind != ANNOY_PAGE_TAIL)
		AnnoyRecyclePage(index, buffer);
	LockBuffer(buffer, BUFFER_LOCK_UNLOCK);
}

static void
vacuum_page(VacuumState *state, BlockNumber block)
{
	Relation	index = state->info->index;
	Buffer		buffer = ReadBufferExtended(index, MAIN_FORKNUM, block,
											RBM_NORMAL, state->info->strategy);
	int			left;

	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	switch (AnnoyGetPageKind(index, buffer))
	{
		case 0:
			/* of an insert that did not come to its end: item pages take it */
			LockBuffer(buffer, BUFFER_LOCK_UNLOCK);
			RecordPageWithFreeSpace(index, block, ANNOY_PAGE_CONTENT);
			break;
		case ANNOY_PAGE_ITEM:
			vacuum_item_page(state, buffer);
			break;
		case ANNOY_PAGE_TAIL:
			LockBuffer(buffer, BUFFER_LOCK_UNLOCK);
			LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
			state->stats->tuples_removed +=
				AnnoyVacuumTailPage(index, buffer, state->callback,
									state->callback_state, &left);
			state->stats->num_index_tuples += left;
			LockBuffer(buffer, BUFFER_LOCK_UNLOCK);
			break;
		default:
			LockBuffer(buffer, BUFFER_LOCK_UNLOCK);
			if (block < state->meta.former_end)
				AnnoyRecycleFormerPage(index, buffer);
			break;
	}
	ReleaseBuffer(buffer);
}

/* Room for the dead of one more page. */
static void
reserve_dead(VacuumState *state)
{
	if (state->dead_count + ANNOY_ITEMS_PER_PAGE <= state->dead_allocated)
		return;
	state->dead_allocated = Max(Min(state->dead_allocated * 2, state->dead_limit),
								LEAST_DEAD);
	if (state->dead == NULL)
		state->dead = palloc(sizeof(ItemPointerData) * state->dead_allocated);
	else
		state->dead = repalloc_huge(state->dead, sizeof(ItemPointerData) *
									state->dead_allocated);
}

int64
AnnoyVacuumPages(IndexVacuumInfo *info, IndexBulkDeleteResult *stats,
				 IndexBulkDeleteCallback callback, void *callback_state)
{
	VacuumState state = {.info = info,.stats = stats,.callback = callback,
	.callback_state = callback_state};
	Relation	index = info->index;
	BlockNumber block = ANNOY_META_BLOCK + 1;
	BlockNumber count;
	int			memory;

	AnnoyReadMeta(index, &state.meta);
	memory = AmAutoVacuumWorkerProcess() && autovacuum_work_mem != -1 ?
		autovacuum_work_mem : maintenance_work_mem;
	state.dead_limit = Max((int64) memory * 1024 /
						   (int64) sizeof(ItemPointerData), LEAST_DEAD);
	stats->num_index_tuples = 0;
	while (block < (count = RelationGetNumberOfBlocks(index)))
		for (; block < count; block++)
		{
			AnnoyVacuumDelayPoint();
			reserve_dead(&state);
			vacuum_page(&state, block);
			if (state.dead_count + ANNOY_ITEMS_PER_PAGE > state.dead_limit)
				remove_dead(&state);
		}
	remove_dead(&state);
	if (state.chains_changed)
		tidy_chains(&state);
	AnnoyListFreeTailPages(index, state.meta.tail);
	IndexFreeSpaceMapVacuum(index);
	stats->num_pages = count;
	stats->estimated_count = false;
	if (state.dead)
		pfree(state.dead);
	return state.items;
}

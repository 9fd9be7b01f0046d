/*-------------------------------------------------------------------------
 *
 * renew.c
 *	  Indexes that have lost all rows: their sketch space is fixed anew.
 *
 * The number of dimensions, the centre and M are physical facts that come of
 * the first rows, and stay when these are rolled back or deleted.  Once no item
 * is left whose row anybody could see they mean nothing, and the index can
 * become again what it is when it is built without rows:
 *
 *	1. entries of dead rows are removed, as by VACUUM, with a record that cancels
 *	   what sees these rows on standbys;
 *	2. new, empty trees and their roots are added;
 *	3. one record makes the metapage name these roots, no geometry, and
 *	   (former_end) the block before which trees and lists are of no use now;
 *	4. those pages are freed, and then the metapage forgets former_end, which
 *	   keeps them from being taken before all of them are free.
 *
 * The tail stays: NULLs have no dimensions.  A crash before step 3 leaves an
 * index that is as it was, and some pages without use; one before the end of
 * step 4, pages that VACUUM frees.
 *
 * All of that happens with AccessExclusiveLock on the index, for those who use
 * it hold copies of its description and links into its trees: statements that
 * insert, and transactions that have read.  (Rows of the former that are not
 * committed yet count as alive.)  The lock is let go of as soon as the geometry
 * is fixed anew, since nothing here depends on the transaction's outcome; a
 * standby, which gets the lock too, keeps it until the transaction ends.  Other
 * sessions' copies in the relation cache are compared with the metapage when
 * they are used (AnnoyLoadForest).
 *
 * Two statements that want it at the same time would each wait for the lock that
 * the other has as one that inserts; so there is a second lock, for which nobody
 * waits.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/tableam.h"
#include "access/transam.h"
#include "access/xact.h"
#include "access/xloginsert.h"
#include "catalog/pg_am_d.h"
#include "miscadmin.h"
#include "storage/indexfsm.h"
#include "storage/lmgr.h"
#include "storage/procarray.h"
#include "utils/snapmgr.h"

#include "am/renew.h"
#include "am/vacuumpages.h"
#include "annoycompat.h"
#include "build/buildsteps.h"
#include "page/leaf.h"

/*
 * An index of fewer blocks is looked through by each statement that inserts,
 * up to the first entry of a living row.
 */
#define YOUNG_BLOCKS 32

/*
 * Whether nobody will ever see a row: not even by an old snapshot.  Also
 * IndexBulkDeleteCallback.
 */
static bool
row_is_dead(ItemPointer heap_tid, void *state)
{
	Relation	heap = state;
	ItemPointerData tid = *heap_tid;	/* moves along a HOT chain */
	SnapshotData dirty;
	bool		all_dead = false;

	/* vacuumed away: what is behind the end of a table was not needed */
	if (heap->rd_rel->relam == HEAP_TABLE_AM_OID &&
		ItemPointerGetBlockNumberNoCheck(&tid) >= RelationGetNumberOfBlocks(heap))
		return true;
	InitDirtySnapshot(dirty);
	return !table_index_fetch_tuple_check(heap, &tid, &dirty, &all_dead) &&
		all_dead;
}

/* What the leaves are looked through for. */
typedef struct EntrySearch
{
	Relation	index;
	Relation	heap;			/* NULL: any entry */
	AnnoyLeafLayout layout;
	ItemPointerData *tids;		/* of one page */
} EntrySearch;

/* Whether a page is a leaf with an entry that is looked for. */
static bool
page_has_entries(EntrySearch *search, BlockNumber block)
{
	Buffer		buffer = ReadBuffer(search->index, block);
	Page		page = BufferGetPage(buffer);
	int			count = 0;

	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	if (AnnoyGetPageKind(search->index, buffer) == ANNOY_PAGE_LEAF)
	{
		AnnoyCheckLeaf(search->index, page, block, &search->layout);
		count = AnnoyListLeaf(page, &search->layout, search->tids);
		AnnoyCheckTids(search->index, block, search->tids, count);
	}
	UnlockReleaseBuffer(buffer);
	for (int i = 0; i < count; i++)
		if (search->heap == NULL || !row_is_dead(&search->tids[i], search->heap))
			return true;
	return false;
}

/* Whether an entry is left; heap given: whether one of a living row is. */
static bool
has_entries(Relation index, Relation heap, const AnnoyMetaPageData *meta)
{
	BlockNumber blocks = RelationGetNumberOfBlocks(index);
	EntrySearch search = {.index = index,.heap = heap};
	bool		found = false;

	AnnoyGetLeafLayout(meta, &search.layout);
	search.tids = palloc(sizeof(ItemPointerData) * search.layout.capacity);
	for (BlockNumber block = Max(ANNOY_META_BLOCK + 1, meta->former_end);
		 block < blocks && !found; block++)
	{
		CHECK_FOR_INTERRUPTS();
		found = page_has_entries(&search, block);
	}
	pfree(search.tids);
	return found;
}

/*
 * Step 1.  Rows that nobody sees here may be seen by a snapshot of a standby.  When VACUUM
 * removes them from an index, pruning the table has told the standbys so before.
 * Here nobody has; a page that is used again is how GiST tells it, and nothing
 * else comes of that record.
 */
static void
remove_dead_rows(Relation index, Relation heap)
{
	IndexVacuumInfo info = {.index = index};
	IndexBulkDeleteResult stats = {0};

	if (RelationNeedsWAL(index) && XLogStandbyInfoActive())
	{
		FullTransactionId next = ReadNextFullTransactionId();
		uint32		age = XidFromFullTransactionId(next) -
			GetOldestNonRemovableTransactionId(heap);
		FullTransactionId last = {U64FromFullTransactionId(next) - age - 1};

		gistXLogPageReuse(index, heap, ANNOY_META_BLOCK, last);
	}
	(void) AnnoyVacuumPages(&info, &stats, row_is_dead, heap);
}

/* Steps 2 to 4, for an index without entries that nobody else uses. */
static void
renew(Relation index)
{
	AnnoyMetaPageData meta;
	BlockNumber end = RelationGetNumberOfBlocks(index);
	BlockNumber new_roots;
	AnnoyChild *roots;

	AnnoyReadMeta(index, &meta);
	roots = palloc(sizeof(AnnoyChild) * meta.n_trees);
	for (int tree = 0; tree < meta.n_trees; tree++)
		AnnoyWriteEmptyTree(index, MAIN_FORKNUM, tree, 0, &roots[tree]);
	new_roots = AnnoyWriteRoots(index, MAIN_FORKNUM, roots, meta.n_trees);
	pfree(roots);
	if (RelationNeedsWAL(index))
		log_newpage_range(index, MAIN_FORKNUM, end,
						  RelationGetNumberOfBlocks(index), true);
	AnnoyUnfixGeometry(index, new_roots, end);
	for (BlockNumber block = ANNOY_META_BLOCK + 1; block < end; block++)
	{
		Buffer		buffer = ReadBuffer(index, block);

		CHECK_FOR_INTERRUPTS();
		AnnoyFreeFormerPage(index, buffer);
		ReleaseBuffer(buffer);
	}
	AnnoyForgetFormerPages(index);
	IndexFreeSpaceMapVacuum(index);
}

/*
 * Whether this session may ask for the lock: a scan of our own, or a statement
 * that this one is inside of, has copies and links, too; and a parallel
 * operation cannot get a transaction id, which the lock needs for standbys.
 */
static bool
may_renew(Relation index)
{
	return index->rd_refcnt == 1 && !IsInParallelMode();
}

/*
 * With the lock, the index is looked at again.  dimensions: of the value that
 * waits, or 0.
 */
static bool
renew_locked(Relation index, Relation heap, int dimensions)
{
	AnnoyMetaPageData meta;

	AnnoyReadMeta(index, &meta);
	if (meta.dimensions == 0 || meta.dimensions == dimensions)
		return true;			/* somebody else was faster */
	if (has_entries(index, heap, &meta))
		return false;
	if (heap)
		remove_dead_rows(index, heap);
	if (has_entries(index, NULL, &meta))
		return false;
	renew(index);
	return true;
}

bool
AnnoyRenewIndex(Relation index, Relation heap, int dimensions)
{
	AnnoyMetaPageData meta;

	AnnoyReadMeta(index, &meta);
	if (!may_renew(index) || has_entries(index, heap, &meta) ||
		!ConditionalLockRelation(index, ShareUpdateExclusiveLock))
		return false;
	LockRelation(index, AccessExclusiveLock);
	if (renew_locked(index, heap, dimensions))
		return true;
	AnnoyUnlockRenewed(index);
	return false;
}

void
AnnoyUnlockRenewed(Relation index)
{
	UnlockRelation(index, AccessExclusiveLock);
	UnlockRelation(index, ShareUpdateExclusiveLock);
}

void
AnnoyRenewYoungIndex(Relation index, Relation heap)
{
	AnnoyMetaPageData meta;

	AnnoyReadMeta(index, &meta);
	if (meta.dimensions == 0 || meta.items > 0 || !may_renew(index) ||
		RelationGetNumberOfBlocks(index) > YOUNG_BLOCKS ||
		has_entries(index, heap, &meta) ||
		!ConditionalLockRelation(index, AccessExclusiveLock))
		return;
	(void) renew_locked(index, heap, 0);
	UnlockRelation(index, AccessExclusiveLock);
}

void
AnnoyRenewVacuumedIndex(Relation index)
{
	AnnoyMetaPageData meta;

	AnnoyReadMeta(index, &meta);
	if (meta.dimensions == 0 || meta.items > 0 || !may_renew(index) ||
		!ConditionalLockRelation(index, AccessExclusiveLock))
		return;
	(void) renew_locked(index, NULL, 0);
	UnlockRelation(index, AccessExclusiveLock);
}

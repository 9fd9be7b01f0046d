/*-------------------------------------------------------------------------
 *
 * checktree.c
 *	  Check of an index: the trees.
 *
 * Each tree is walked as a search walks it, one page locked at a time, right
 * links being followed until versions match, but to all sides.  So every page
 * is met exactly once, whatever splits meanwhile; page by page:
 *
 *	nodes		are never moved or unlinked, and their links to nodes never
 *				change.
 *	directories	A link of version w leads to what the directory was at w: to
 *				itself and the pages to its right as far as that of version w.
 *				Those that are split off later are not met, nor need they be:
 *				what they have was still in its old place.
 *	leaves		The same, for the link that the directory had when it was read.
 *	chains		New pages come directly behind the head, when their entries
 *				have been seen in the head.
 *
 * So a page that is met twice, or an old page that is not met, is damage.
 * Entries are met once too, but for those that move from the head of a chain
 * to a page behind it, between our visits of the two.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "miscadmin.h"
#include "utils/memutils.h"

#include "check/check.h"

/* A link that is to be followed, and where it was found. */
typedef struct PendingLink
{
	AnnoyChild	child;
	AnnoyParent from;			/* block invalid: the root */
} PendingLink;

typedef struct TreeCheck
{
	AnnoyCheck *check;
	int			tree;
	PendingLink *pending;		/* a stack: subtrees are finished one by one */
	int			pending_count;
	int			pending_allocated;
	uint64		new_nodes;		/* met, and younger than the check */

	/* the leaf whose chain is being followed, and what it had */
	BlockNumber head;
	ItemPointerData *head_tids; /* sorted */
	int			head_count;
} TreeCheck;

/* ---------------------------------------------------------------------
 * Entries
 * ---------------------------------------------------------------------
 */

static int
compare_tids(const void *a, const void *b)
{
	return ItemPointerCompare(unconstify(void *, a), unconstify(void *, b));
}

/* The rows that a leaf names, sorted; returns their number. */
static int
list_sorted(AnnoyCheck *check, Page leaf, ItemPointerData *tids)
{
	int			count = AnnoyListLeaf(leaf, &check->forest->leaf, tids);

	qsort(tids, count, sizeof(ItemPointerData), compare_tids);
	return count;
}

static bool
find_tid(const ItemPointerData *tid, const ItemPointerData *tids, int count)
{
	return bsearch(tid, tids, count, sizeof(ItemPointerData), compare_tids) != NULL;
}

/*
 * Whether an entry on a chained page has moved there from the head since that
 * was read: it was there, and is not any more.
 */
static bool
has_moved_from_head(TreeCheck *state, const ItemPointerData *tid)
{
	AnnoyCheck *check = state->check;
	PGAlignedBlock head;
	ItemPointerData *tids;

	if (!find_tid(tid, state->head_tids, state->head_count))
		return false;
	AnnoyCopyVerifiedPage(check, state->head, ANNOY_PAGE_LEAF, state->tree,
						  &head);
	tids = palloc(sizeof(ItemPointerData) * check->forest->leaf.capacity);
	return !find_tid(tid, tids, list_sorted(check, (Page) head.data, tids));
}

/* The entries of a copied leaf page, and their rows for AnnoyVerifyRows. */
static void
verify_entries(TreeCheck *state, BlockNumber block, Page leaf)
{
	AnnoyCheck *check = state->check;
	int			count = AnnoyPageGetLeafHeader(leaf)->count;
	MemoryContext old;
	ItemPointerData *tids;
	bool	   *visible;

	/* it may be a leaf that was made before its centroid was known */
	if (count == 0)
		return;
	old = MemoryContextSwitchTo(check->page_context);
	tids = palloc(sizeof(ItemPointerData) * count);
	visible = palloc(sizeof(bool) * count);
	AnnoyVerifyEntries(check, block, leaf, tids, visible);
	for (int i = 0; i < count; i++)
		if (visible[i] &&
			(block == state->head || !has_moved_from_head(state, &tids[i])))
			AnnoyNotePlace(check, &tids[i], state->tree);
	MemoryContextSwitchTo(old);
	MemoryContextReset(check->page_context);
}

/* ---------------------------------------------------------------------
 * Leaves
 * ---------------------------------------------------------------------
 */

/* The centroid of a leaf and what the entry of a directory's page says of it. */
static void
compare_header(AnnoyCheck *check, BlockNumber block, Page leaf, Page directory,
			   int place)
{
	AnnoyLeafHeader header = AnnoyPageGetLeafHeader(leaf);
	AnnoyCentroid centroid;

	centroid.scale = header->scale;
	centroid.norm_squared = header->norm_squared;
	centroid.extra = header->extra;
	centroid.centroid = header->centroid;
	if (!AnnoyMatchDirectoryEntry(directory, &check->forest->sketcher, place,
								  &centroid))
		AnnoyReportCorruption(check->index, block,
							  "centroid differs from that in the directory");
	if (!isfinite(header->scale) || header->scale < 0 ||
		!isfinite(header->extra) ||
		header->norm_squared != header->scale * header->scale *
		(float) AnnoyQuantisedNorm(check->s, header->centroid))
		AnnoyReportCorruption(check->index, block, "centroid out of range");
}

/*
 * The leaf has another version than the link that led to it, or was found to
 * the right of such a one.  Then its entry, which is now in that directory or
 * to the right of it, has changed with it.
 */
static void
verify_changed_leaf(TreeCheck *state, BlockNumber directory, BlockNumber block,
					Page leaf)
{
	AnnoyCheck *check = state->check;
	uint32		version = AnnoyPageGetLeafHeader(leaf)->version;

	while (BlockNumberIsValid(directory))
	{
		PGAlignedBlock copy;
		Page		page = (Page) copy.data;

		AnnoyCopyVerifiedPage(check, directory, ANNOY_PAGE_DIRECTORY,
							  state->tree, &copy);
		for (int i = 0; i < AnnoyPageGetDirectoryHeader(page)->count; i++)
		{
			AnnoyDirectoryEntry entry = AnnoyPageGetDirectoryEntry(page, check->s, i);

			if (entry->leaf.block != block)
				continue;
			if (entry->leaf.version < version)
				AnnoyReportCorruption(check->index, directory,
									  psprintf("version %u of leaf %u is %u there",
											   entry->leaf.version, block, version));
			if (entry->leaf.version == version)
				compare_header(check, block, leaf, page, i);
			return;
		}
		directory = AnnoyPageGetOpaque(page)->rightlink;
	}
	AnnoyReportCorruption(check->index, block, "leaf is in no directory");
}

/*
 * The list of a chain's pages with room, as the head had it.  VACUUM makes it
 * anew and inserts shorten it; every link, old or new, names a page of the
 * chain that is nearer to the head.
 */
static void
verify_sparse_pages(TreeCheck *state, BlockNumber block, uint64 chained)
{
	AnnoyCheck *check = state->check;
	uint64		steps = 0;

	while (block != ANNOY_NO_SPARSE_PAGE)
	{
		PGAlignedBlock copy;
		const AnnoyCheckedPage *page;

		AnnoyCopyVerifiedPage(check, block, ANNOY_PAGE_LEAF, state->tree,
							  &copy);
		if (!(AnnoyPageGetOpaque((Page) copy.data)->flags & ANNOY_LEAF_CHAINED))
			AnnoyReportCorruption(check->index, block,
								  "leaf in a list of chained pages");
		page = &check->pages[block];
		if (block < check->page_count && page->kind == ANNOY_PAGE_LEAF &&
			page->first != state->head)
			AnnoyReportCorruption(check->index, block,
								  "page in the list of another chain");
		if (++steps > chained &&
			steps > chained +
			(RelationGetNumberOfBlocks(check->index) - check->page_count))
			AnnoyReportCorruption(check->index, block,
								  "sparse pages of a chain form a cycle");
		block = AnnoyPageGetLeafHeader(copy.data)->sparse;
	}
}

/* The pages chained to a leaf, which was verified just before. */
static void
verify_chain(TreeCheck *state, BlockNumber block, BlockNumber sparse)
{
	AnnoyCheck *check = state->check;
	uint64		chained = 0;

	while (BlockNumberIsValid(block))
	{
		PGAlignedBlock copy;
		Page		page = (Page) copy.data;

		AnnoyCopyVerifiedPage(check, block, ANNOY_PAGE_LEAF, state->tree,
							  &copy);
		if (!(AnnoyPageGetOpaque(page)->flags & ANNOY_LEAF_CHAINED))
			AnnoyReportCorruption(check->index, block,
								  "leaf is in the chain of another");
		AnnoyReachPage(check, block);
		check->pages[block].first = state->head;
		chained++;
		verify_entries(state, block, page);
		block = AnnoyPageGetOpaque(page)->chainlink;
	}
	verify_sparse_pages(state, sparse, chained);
}

/* What a directory's link leads to. */
static void
verify_leaf(TreeCheck *state, BlockNumber directory,
			Page listing, int place)
{
	AnnoyCheck *check = state->check;
	AnnoyDirectoryEntry entry = AnnoyPageGetDirectoryEntry(listing, check->s,
														   place);
	BlockNumber block = entry->leaf.block;
	uint32		version;

	do
	{
		PGAlignedBlock copy;
		Page		page = (Page) copy.data;
		BlockNumber next;
		BlockNumber chain;
		BlockNumber sparse;

		if (!BlockNumberIsValid(block))
			AnnoyReportCorruption(check->index, directory,
								  psprintf("version %u of leaf %u is not found",
										   entry->leaf.version,
										   entry->leaf.block));
		AnnoyCopyVerifiedPage(check, block, ANNOY_PAGE_LEAF, state->tree,
							  &copy);
		if (AnnoyPageGetOpaque(page)->flags & ANNOY_LEAF_CHAINED)
			AnnoyReportCorruption(check->index, block,
								  "chained leaf is in a directory");
		AnnoyReachPage(check, block);
		version = AnnoyPageGetLeafHeader(page)->version;
		if (version < entry->leaf.version)
			AnnoyReportCorruption(check->index, block,
								  "leaf is older than the link to it");
		next = AnnoyPageGetOpaque(page)->rightlink;
		chain = AnnoyPageGetOpaque(page)->chainlink;
		if (version == entry->leaf.version && block == entry->leaf.block)
			compare_header(check, block, page, listing, place);
		else
			verify_changed_leaf(state, directory, block, page);
		sparse = AnnoyPageGetLeafHeader(page)->sparse;
		state->head = block;
		state->head_count = BlockNumberIsValid(chain) ?
			list_sorted(check, page, state->head_tids) : 0;
		verify_entries(state, block, page);
		verify_chain(state, chain, sparse);
		block = next;
	} while (version != entry->leaf.version);
}

/* ---------------------------------------------------------------------
 * Directories and nodes
 * ---------------------------------------------------------------------
 */

static void
push_link(TreeCheck *state, AnnoyChild child, AnnoyParent from)
{
	if (state->pending_count == state->pending_allocated)
	{
		state->pending_allocated *= 2;
		state->pending = repalloc_huge(state->pending,
									   sizeof(PendingLink) *
									   (Size) state->pending_allocated);
	}
	state->pending[state->pending_count].child = child;
	state->pending[state->pending_count].from = from;
	state->pending_count++;
}

/* The link at a place of the tree that some page has named, as it is now. */
static AnnoyChild
read_link(TreeCheck *state, AnnoyParent place, BlockNumber named_by)
{
	AnnoyCheck *check = state->check;
	PGAlignedBlock copy;

	if (!BlockNumberIsValid(place.block))
	{
		AnnoyReadRoots(check->index, check->forest);
		return check->forest->roots[state->tree];
	}
	AnnoyCopyVerifiedPage(check, place.block, ANNOY_PAGE_INNER, state->tree,
						  &copy);
	if (place.slot >= AnnoyPageGetInnerHeader(copy.data)->count ||
		place.side > 1)
		AnnoyReportCorruption(check->index, named_by, "parent out of range");
	return AnnoyPageGetNode(copy.data, check->s, place.slot)->child[place.side];
}

/*
 * The page names its parent.  If it has the version of the link that led to it
 * that is where the link is; else it was split, perhaps again since, and the
 * link that its parent has now is to it or to the node that took its place.
 */
static void
verify_parent(TreeCheck *state, const PendingLink *link, BlockNumber block,
			  Page page)
{
	AnnoyCheck *check = state->check;
	AnnoyDirectoryHeader *header = AnnoyPageGetDirectoryHeader(page);
	AnnoyChild	now;

	if (block == link->child.block && header->version == link->child.version)
	{
		if (header->parent.block != link->from.block ||
			(BlockNumberIsValid(link->from.block) &&
			 (header->parent.slot != link->from.slot ||
			  header->parent.side != link->from.side)))
			AnnoyReportCorruption(check->index, block,
								  "directory names another parent");
		return;
	}

	if (block == link->child.block)
	{
		now = read_link(state, link->from, block);
		if (now.kind == ANNOY_PAGE_DIRECTORY && now.block == block &&
			now.version < header->version)
			AnnoyReportCorruption(check->index, block,
								  "directory's version is newer than its link");
	}
	now = read_link(state, header->parent, block);
	if (now.kind == ANNOY_PAGE_DIRECTORY &&
		(now.block != block || now.version < header->version))
		AnnoyReportCorruption(check->index, block,
							  "directory's parent does not lead to it");
}

static void
verify_reference(AnnoyCheck *check, BlockNumber block, Page page)
{
	AnnoyDirectoryReference reference = AnnoyPageGetDirectoryReference(page);

	if (AnnoyPageGetDirectoryHeader(page)->form != ANNOY_DIRECTORY_CODES)
		return;
	if (!isfinite(reference->scale) || reference->scale < 0 ||
		reference->norm_squared != reference->scale * reference->scale *
		(float) AnnoyQuantisedNorm(check->s, reference->centroid))
		AnnoyReportCorruption(check->index, block, "reference out of range");
}

static void
verify_directory(TreeCheck *state, const PendingLink *link)
{
	AnnoyCheck *check = state->check;
	BlockNumber block = link->child.block;
	uint32		version;

	if (link->child.slot != 0)
		AnnoyReportCorruption(check->index, block, "slot of a directory");
	do
	{
		PGAlignedBlock copy;
		Page		page = (Page) copy.data;

		if (!BlockNumberIsValid(block))
			AnnoyReportCorruption(check->index, link->child.block,
								  psprintf("version %u of the directory is not found",
										   link->child.version));
		AnnoyCopyVerifiedPage(check, block, ANNOY_PAGE_DIRECTORY, state->tree,
							  &copy);
		AnnoyReachPage(check, block);
		version = AnnoyPageGetDirectoryHeader(page)->version;
		if (version < link->child.version)
			AnnoyReportCorruption(check->index, block,
								  "directory is older than the link to it");
		verify_parent(state, link, block, page);
		verify_reference(check, block, page);
		for (int i = 0; i < AnnoyPageGetDirectoryHeader(page)->count; i++)
			verify_leaf(state, block, page, i);
		block = AnnoyPageGetOpaque(page)->rightlink;
	} while (version != link->child.version);
}

/* Errors out if a node is reached for the second time. */
static void
reach_node(TreeCheck *state, BlockNumber block, int slot)
{
	AnnoyCheck *check = state->check;
	const AnnoyCheckedPage *page = &check->pages[block];

	if (block < check->page_count && page->kind == ANNOY_PAGE_INNER &&
		slot < page->count)
	{
		if (check->nodes[page->first + slot])
			AnnoyReportCorruption(check->index, block,
								  psprintf("node %d is reached in two ways", slot));
		check->nodes[page->first + slot] = true;
		return;
	}

	/* among the new nodes a cycle is found by their number */
	if (++state->new_nodes > (uint64) AnnoyInnerCapacity(check->s) *
		RelationGetNumberOfBlocks(check->index))
		AnnoyReportCorruption(check->index, block, "nodes form a cycle");
}

static void
verify_node(TreeCheck *state, AnnoyChild child)
{
	AnnoyCheck *check = state->check;
	PGAlignedBlock copy;
	AnnoyNode	node;

	AnnoyCopyVerifiedPage(check, child.block, ANNOY_PAGE_INNER, state->tree,
						  &copy);
	AnnoyCheckNode(check->index, child.block, copy.data, check->s, child.slot);
	reach_node(state, child.block, child.slot);
	node = AnnoyPageGetNode(copy.data, check->s, child.slot);
	if (!isfinite(node->offset) || !isfinite(node->scale) ||
		!isfinite(node->extra_weight))
		AnnoyReportCorruption(check->index, child.block,
							  "hyperplane is not finite");
	for (int side = 1; side >= 0; side--)
	{
		AnnoyParent from = {child.block, child.slot, side};

		push_link(state, node->child[side], from);
	}
}

void
AnnoyVerifyTree(AnnoyCheck *check, int tree)
{
	AnnoyParent root = {InvalidBlockNumber, 0, 0};
	TreeCheck	state;

	state.check = check;
	state.tree = tree;
	state.pending_allocated = 64;
	state.pending = palloc(sizeof(PendingLink) * state.pending_allocated);
	state.pending_count = 0;
	state.new_nodes = 0;
	state.head_tids = palloc(sizeof(ItemPointerData) *
							 check->forest->leaf.capacity);

	/* a new link, so that all nodes seen so far are below it */
	push_link(&state, read_link(&state, root, ANNOY_META_BLOCK), root);
	while (state.pending_count > 0)
	{
		PendingLink link = state.pending[--state.pending_count];

		if (link.child.kind == ANNOY_PAGE_INNER)
			verify_node(&state, link.child);
		else if (link.child.kind == ANNOY_PAGE_DIRECTORY)
			verify_directory(&state, &link);
		else
			AnnoyReportCorruption(check->index,
								  BlockNumberIsValid(link.from.block) ?
								  link.from.block : check->forest->meta.roots,
								  "link to a page of an impossible kind");
	}
	pfree(state.pending);
	pfree(state.head_tids);
}

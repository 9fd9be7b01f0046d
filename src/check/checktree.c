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

/* Times that a wrong entry is looked at again before it is reported. */
#define ATTEMPTS 3

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
	ItemPointerData *head_addresses;
	int			head_count;
} TreeCheck;

/* ---------------------------------------------------------------------
 * Entries
 * ---------------------------------------------------------------------
 */

/* Makes "page" an empty leaf with the centroid of another. */
static void
start_expected_leaf(AnnoyCheck *check, Page page, Page leaf)
{
	AnnoyLeafHeader header = AnnoyPageGetLeafHeader(leaf);

	AnnoyInitPage(page, ANNOY_PAGE_LEAF, 0);
	AnnoyStartLeaf(page, &check->forest->sketcher, header->centroid,
				   header->scale, header->norm_squared, header->extra);
}

/* Adds the entry that the item loaded last should have; false if it has none. */
static bool
add_expected_entry(AnnoyCheck *check, Page page, ItemPointer address)
{
	float		extra;
	bool		unbounded;

	if (!AnnoyMakeSketch(&check->forest->sketcher,
						 check->element->floats(check->value, check->floats),
						 check->scratch, check->sketch, &extra, &unbounded))
		return false;
	AnnoyAddLeafEntry(page, &check->forest->sketcher, check->sketch, unbounded,
					  address);
	return true;
}

/* Whether two leaves have the same entries, to the last bit. */
static bool
same_entries(AnnoyCheck *check, Page a, Page b)
{
	Size		start = AnnoyPageGetLeafBlock(a, check->s, 0) - (char *) a;

	return ((PageHeader) a)->pd_lower == ((PageHeader) b)->pd_lower &&
		((PageHeader) a)->pd_lower >= start &&
		memcmp((char *) a + start, (char *) b + start,
			   ((PageHeader) a)->pd_lower - start) == 0;
}

/*
 * Addresses are compared by ItemPointerCompare: on a damaged leaf they may be
 * invalid, of which ItemPointerEquals thinks as an error.
 */

/* A copy of a leaf with the entries of an address only; returns their number. */
static int
filter_address(AnnoyCheck *check, Page leaf, ItemPointer address,
			   PGAlignedBlock *filtered)
{
	int			count = AnnoyPageGetLeafHeader(leaf)->count;
	ItemPointerData *addresses = palloc(sizeof(ItemPointerData) * Max(count, 1));
	bool	   *drop = palloc(sizeof(bool) * Max(count, 1));
	int			found = 0;

	AnnoyListLeaf(leaf, check->s, addresses);
	for (int i = 0; i < count; i++)
	{
		drop[i] = ItemPointerCompare(&addresses[i], address) != 0;
		found += !drop[i];
	}
	memcpy(filtered->data, leaf, BLCKSZ);
	if (found > 0)
		AnnoyFilterLeaf((Page) filtered->data, check->s, drop);
	return found;
}

/*
 * What is wrong with the entries of an address on a leaf page that is read
 * now, or on one to the right, where a split may have moved them; NULL if
 * nothing is, or if they are gone.
 */
static const char *
find_fault(AnnoyCheck *check, int tree, BlockNumber block, ItemPointer address)
{
	while (BlockNumberIsValid(block))
	{
		PGAlignedBlock leaf;
		PGAlignedBlock found;
		PGAlignedBlock expected;
		ItemPointerData heap_tid;
		int			count;

		AnnoyCopyVerifiedPage(check, block, ANNOY_PAGE_LEAF, tree, &leaf);
		count = filter_address(check, (Page) leaf.data, address, &found);
		if (count == 0)
		{
			block = AnnoyPageGetOpaque((Page) leaf.data)->rightlink;
			continue;
		}
		switch (AnnoyLoadItem(check, address, &heap_tid))
		{
			case ANNOY_ITEM_IS_DEAD:
				return NULL;
			case ANNOY_ITEM_IS_NONE:
				return "names no item";
			case ANNOY_ITEM_IS_LIVE:
				break;
		}
		if (count > 1)
			return "is there twice";
		start_expected_leaf(check, (Page) expected.data, (Page) leaf.data);
		if (!add_expected_entry(check, (Page) expected.data, address))
			return "names an item without direction";
		if (!same_entries(check, (Page) found.data, (Page) expected.data))
			return "does not fit its item";
		return NULL;
	}
	return NULL;
}

/*
 * An entry did not make sense: that is damage if it goes on like that.  VACUUM
 * removes entries before it frees their item, so an entry that was read before
 * its item may by now name nothing, or another one; but one that is read
 * again, and is still there, does not.
 */
static void
verify_suspicious_entry(AnnoyCheck *check, int tree, BlockNumber block,
						ItemPointer address)
{
	for (int attempt = 1;; attempt++)
	{
		const char *fault = find_fault(check, tree, block, address);

		if (fault == NULL)
			return;
		if (attempt == ATTEMPTS)
			AnnoyReportCorruption(check->index, block,
								  psprintf("entry of item (%u,%u) %s",
										   ItemPointerGetBlockNumberNoCheck(address),
										   ItemPointerGetOffsetNumberNoCheck(address),
										   fault));
	}
}

/*
 * Whether an entry that was seen before, and now on a chained page, has moved
 * there from the head: it was there, and is not any more.  Only once.
 */
static bool
has_moved_from_head(TreeCheck *state, BlockNumber block, ItemPointer address)
{
	AnnoyCheck *check = state->check;

	if (block == state->head)
		return false;
	for (int i = 0; i < state->head_count; i++)
	{
		PGAlignedBlock head;
		PGAlignedBlock found;

		if (ItemPointerCompare(&state->head_addresses[i], address) != 0)
			continue;
		AnnoyCopyVerifiedPage(check, state->head, ANNOY_PAGE_LEAF,
							  state->tree, &head);
		ItemPointerSetInvalid(&state->head_addresses[i]);
		return filter_address(check, (Page) head.data, address, &found) == 0;
	}
	return false;
}

/* Counts an item of the tree. */
static void
mark_item(TreeCheck *state, BlockNumber block, ItemPointer address,
		  ItemPointer heap_tid)
{
	AnnoyCheck *check = state->check;
	uint64		number;

	if (!AnnoyFindSlot(check, address, &number))
		return;

	/* the slot may have got another item meanwhile, of a younger row */
	if (AnnoyTestBit(&check->seen, number) &&
		AnnoyRowIsVisible(check, heap_tid) &&
		!has_moved_from_head(state, block, address))
		AnnoyReportCorruption(check->index, block,
							  psprintf("item (%u,%u) is in tree %d twice",
									   ItemPointerGetBlockNumber(address),
									   ItemPointerGetOffsetNumber(address),
									   state->tree));
	AnnoySetBit(&check->seen, number);
}

/*
 * Verifies the entries of a copied leaf page against a page of entries that
 * are made anew; those of items that are gone are left out of both.
 */
static void
verify_entries(TreeCheck *state, BlockNumber block, Page leaf)
{
	AnnoyCheck *check = state->check;
	int			count = AnnoyPageGetLeafHeader(leaf)->count;
	MemoryContext old;
	ItemPointerData *addresses;
	bool	   *drop;
	bool		same;
	PGAlignedBlock expected;

	/* it may be a leaf that was made before its centroid was known */
	if (count == 0)
		return;
	old = MemoryContextSwitchTo(check->row_context);
	MemoryContextReset(check->row_context);
	addresses = palloc(sizeof(ItemPointerData) * count);
	drop = palloc0(sizeof(bool) * count);
	AnnoyListLeaf(leaf, check->s, addresses);
	start_expected_leaf(check, (Page) expected.data, leaf);
	for (int i = 0; i < count; i++)
	{
		ItemPointerData heap_tid;
		AnnoyItemState item = AnnoyLoadItem(check, &addresses[i], &heap_tid);

		if (item == ANNOY_ITEM_IS_LIVE &&
			add_expected_entry(check, (Page) expected.data, &addresses[i]))
		{
			mark_item(state, block, &addresses[i], &heap_tid);
			continue;
		}
		drop[i] = true;
		if (item != ANNOY_ITEM_IS_DEAD)
			verify_suspicious_entry(check, state->tree, block, &addresses[i]);
	}
	(void) AnnoyFilterLeaf(leaf, check->s, drop);
	same = same_entries(check, leaf, (Page) expected.data);
	for (int i = 0; i < count && !same; i++)
		if (!drop[i])
			verify_suspicious_entry(check, state->tree, block, &addresses[i]);
	MemoryContextSwitchTo(old);
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
		state->head_count = AnnoyListLeaf(page, check->s,
										  state->head_addresses);
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
		if (AnnoyTestBit(&check->nodes, page->first + slot))
			AnnoyReportCorruption(check->index, block,
								  psprintf("node %d is reached in two ways", slot));
		AnnoySetBit(&check->nodes, page->first + slot);
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
	state.head_addresses = palloc(sizeof(ItemPointerData) *
								  AnnoyLeafCapacity(check->s));
	memset(check->seen.words, 0, check->seen.size / 8);

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
	AnnoyVerifyTreeComplete(check, tree);
	pfree(state.pending);
	pfree(state.head_addresses);
}

/*-------------------------------------------------------------------------
 *
 * leafsplit.c
 *	  Splitting a full leaf, or making room in it otherwise; see treeinsert.c.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/generic_xlog.h"
#include "miscadmin.h"

#include "arith/random.h"
#include "forest/sketchset.h"
#include "forest/treesplit.h"
#include "page/item.h"
#include "page/leaf.h"

/*
 * A full leaf that has this share of dead entries is cleaned rather than
 * split.
 */
#define CLEANED_SHARE 0.1

/* A leaf on its way to be split: its items and where they go. */
typedef struct LeafSplit
{
	AnnoyLeafCandidate leaf;
	int			tree;
	PGAlignedBlock before;		/* the page as it was */
	AnnoyItemSet live;			/* its items that are not dead */
	int32	   *items;			/* positions of these, left ones first */
	int			left;
	AnnoyHyperplane plane;
	int			stays;			/* side that keeps the page, and its chain */
} LeafSplit;

/*
 * Locks the directory page that lists a leaf: the one where it was seen last,
 * or one to the right of it.  *place: its entry.  InvalidBuffer if the leaf is
 * in none of them.
 */
static Buffer
lock_directory(AnnoyTreeInserter *inserter, const AnnoyLeafCandidate *leaf,
			   int *place)
{
	BlockNumber block = leaf->directory;

	while (BlockNumberIsValid(block))
	{
		Buffer		buffer = AnnoyReadPage(inserter->index, block,
										   ANNOY_PAGE_DIRECTORY,
										   BUFFER_LOCK_EXCLUSIVE);
		Page		page = BufferGetPage(buffer);
		int			count = AnnoyCountDirectory(inserter->index, block, page,
													inserter->s);

		for (*place = 0; *place < count; (*place)++)
			if (AnnoyPageGetDirectoryEntry(page, inserter->s, *place)->leaf.block ==
				leaf->link.block)
				return buffer;
		block = AnnoyPageGetOpaque(page)->rightlink;
		UnlockReleaseBuffer(buffer);
		CHECK_FOR_INTERRUPTS();
	}
	return InvalidBuffer;
}

/* Sketches an item into a place of the set; false if it is dead. */
static bool
load_item(AnnoyTreeInserter *inserter, AnnoyItemSet *items,
		  AnnoyItemReader *reader, ItemPointer address, float *floats,
		  float *scratch)
{
	AnnoyForest *forest = inserter->forest;
	int			i = items->count;
	float	   *sketch = items->sketches + (Size) i * inserter->s;
	ItemPointerData heap_tid;
	struct varlena *value = AnnoyReadItem(reader, address, &heap_tid);
	bool		found;

	if (value == NULL)
		return false;

	/* a slot that was used again holds a vector of the same kind */
	if (inserter->element->dimensions(value) != forest->meta.dimensions)
		AnnoyReportCorruption(inserter->index,
							  ItemPointerGetBlockNumberNoCheck(address),
							  "item of another number of dimensions");
	found = AnnoyMakeSketch(&forest->sketcher,
							inserter->element->floats(value, floats), scratch,
							sketch, &items->set.extra[i], &items->unbounded[i]);
	AnnoyReleaseItem(reader);
	if (!found)
		return false;
	AnnoyPlaceSketch(&forest->sketcher, sketch, inserter->placed);
	AnnoyPutSketch(&items->set, i, inserter->placed);
	items->addresses[i] = *address;
	items->count++;
	return true;
}

/*
 * Reads items of a leaf, at most so many that live; the result says which of
 * those looked at are dead.
 */
static bool *
load_leaf(AnnoyTreeInserter *inserter, AnnoyItemSet *items,
		  const PGAlignedBlock *leaf, int most)
{
	int			dimensions = inserter->forest->meta.dimensions;
	int			capacity = AnnoyLeafCapacity(inserter->s);
	ItemPointerData *addresses = palloc(sizeof(ItemPointerData) * capacity);
	bool	   *dead = palloc0(sizeof(bool) * capacity);
	float	   *floats = palloc(sizeof(float) * dimensions);
	float	   *scratch = palloc(sizeof(float) * AnnoySketchScratch(dimensions));
	int			count = AnnoyListLeaf((Page) leaf->data, inserter->s, addresses);
	AnnoyItemReader reader;

	most += items->count;
	AnnoyBeginItems(&reader, inserter->index);
	for (int i = 0; i < count && items->count < most; i++)
	{
		CHECK_FOR_INTERRUPTS();
		dead[i] = !load_item(inserter, items, &reader, &addresses[i], floats,
							 scratch);
	}
	AnnoyEndItems(&reader);
	return dead;
}

/* Takes dead entries off a leaf, if it is unchanged. */
static void
clean_leaf(AnnoyTreeInserter *inserter, LeafSplit *split, const bool *drop)
{
	Buffer		buffer = AnnoyLockUnchanged(inserter, split->leaf.link.block,
										ANNOY_PAGE_LEAF, &split->before);
	GenericXLogState *xlog;

	if (!BufferIsValid(buffer))
		return;
	xlog = GenericXLogStart(inserter->index);
	(void) AnnoyFilterLeaf(GenericXLogRegisterBuffer(xlog, buffer, 0),
						   inserter->s, drop);
	GenericXLogFinish(xlog);
	UnlockReleaseBuffer(buffer);
}

/*
 * Moves the entries of a leaf that cannot be split to a new page of its chain,
 * directly behind the head, which is then empty.
 */
static void
chain_leaf(AnnoyTreeInserter *inserter, LeafSplit *split)
{
	Relation	index = inserter->index;
	Buffer		chained = AnnoyExtendLocked(index);
	Buffer		head = AnnoyLockUnchanged(inserter, split->leaf.link.block,
									  ANNOY_PAGE_LEAF, &split->before);
	GenericXLogState *xlog;
	Page		head_page;
	Page		page;
	AnnoyLeafHeader header;

	if (!BufferIsValid(head))
	{
		AnnoyGiveBackPage(index, chained);
		return;
	}
	xlog = GenericXLogStart(index);
	head_page = GenericXLogRegisterBuffer(xlog, head, 0);
	page = GenericXLogRegisterBuffer(xlog, chained, GENERIC_XLOG_FULL_IMAGE);
	AnnoyInitPage(page, ANNOY_PAGE_LEAF, split->tree);
	memcpy(PageGetContents(page), PageGetContents(head_page),
		   ((PageHeader) head_page)->pd_lower - MAXALIGN(SizeOfPageHeaderData));
	((PageHeader) page)->pd_lower = ((PageHeader) head_page)->pd_lower;
	AnnoyPageGetLeafHeader(page)->sparse = ANNOY_NO_SPARSE_PAGE;
	AnnoyPageGetOpaque(page)->flags |= ANNOY_LEAF_CHAINED;
	AnnoyPageGetOpaque(page)->chainlink = AnnoyPageGetOpaque(head_page)->chainlink;

	header = AnnoyPageGetLeafHeader(head_page);
	header->count = 0;
	((PageHeader) head_page)->pd_lower =
		(char *) AnnoyPageGetLeafBlock(head_page, inserter->s, 0) - head_page;
	AnnoyPageGetOpaque(head_page)->chainlink = BufferGetBlockNumber(chained);
	GenericXLogFinish(xlog);
	UnlockReleaseBuffer(head);
	UnlockReleaseBuffer(chained);
}

/*
 * Moves entries of a leaf that cannot be split to the first page of its chain
 * on which VACUUM made room.  They are encoded anew, relative to that page's
 * centroid, and it gets a new version, so that a search that wants to find
 * again what it had left aside there (inspect.c) looks at all of it.
 */
static void
fill_sparse_page(AnnoyTreeInserter *inserter, LeafSplit *split, bool *drop)
{
	Relation	index = inserter->index;
	int			s = inserter->s;
	int			capacity = AnnoyLeafCapacity(s);
	BlockNumber sparse = AnnoyPageGetLeafHeader(split->before.data)->sparse;
	int			entries = AnnoyPageGetLeafHeader(split->before.data)->count;
	Buffer		head = AnnoyLockUnchanged(inserter, split->leaf.link.block,
										  ANNOY_PAGE_LEAF, &split->before);
	Buffer		buffer;
	GenericXLogState *xlog;
	Page		head_page;
	Page		page;
	int			item = 0;

	if (!BufferIsValid(head))
		return;
	if (sparse == split->leaf.link.block)
		AnnoyReportCorruption(index, sparse, "leaf in its own list of pages");
	buffer = AnnoyReadPage(index, sparse, ANNOY_PAGE_LEAF,
						   BUFFER_LOCK_EXCLUSIVE);
	AnnoyCheckLeaf(index, BufferGetPage(buffer), sparse, s);
	if (!(AnnoyPageGetOpaque(BufferGetPage(buffer))->flags & ANNOY_LEAF_CHAINED))
		AnnoyReportCorruption(index, sparse, "leaf in a list of chained pages");

	xlog = GenericXLogStart(index);
	head_page = GenericXLogRegisterBuffer(xlog, head, 0);
	page = GenericXLogRegisterBuffer(xlog, buffer, 0);
	for (int i = 0; i < entries; i++)
	{
		if (drop[i])
			continue;			/* dead */
		if (AnnoyPageGetLeafHeader(page)->count < capacity)
		{
			AnnoyAddItemEntry(page, &inserter->forest->sketcher, &split->live,
							  item);
			drop[i] = true;
		}
		item++;
	}
	(void) AnnoyFilterLeaf(head_page, s, drop);
	AnnoyPageGetLeafHeader(page)->version++;
	if (AnnoyPageGetLeafHeader(page)->count == capacity)
	{
		AnnoyPageGetLeafHeader(head_page)->sparse =
			AnnoyPageGetLeafHeader(page)->sparse;
		AnnoyPageGetLeafHeader(page)->sparse = ANNOY_NO_SPARSE_PAGE;
	}
	GenericXLogFinish(xlog);
	UnlockReleaseBuffer(buffer);
	UnlockReleaseBuffer(head);
}

/*
 * The side of the hyperplane on which a chain's items lie (they are alike);
 * the left one if none of them is left.
 */
static int
find_chain_side(AnnoyTreeInserter *inserter, LeafSplit *split)
{
	BlockNumber block =
		AnnoyPageGetOpaque((Page) split->before.data)->chainlink;
	AnnoyItemSet *items = &split->live;
	int			spare = items->count;	/* a place behind the items */
	PGAlignedBlock page;
	int			side = 0;

	if (!BlockNumberIsValid(block))
		return 0;
	AnnoyCopyPage(inserter, block, ANNOY_PAGE_LEAF, &page);
	AnnoyCheckLeaf(inserter->index, page.data, block, inserter->s);
	(void) load_leaf(inserter, items, &page, 1);
	if (items->count > spare)
		side = AnnoyItemMargin(&items->set, spare, &split->plane) > 0;
	items->count = spare;
	return side;
}

/* Fills a page with a leaf of one side's items. */
static void
fill_leaf(AnnoyTreeInserter *inserter, LeafSplit *split, Page page, int side,
		  AnnoyCentroid *centroid)
{
	const int32 *items = side == 0 ? split->items : split->items + split->left;
	int			count = side == 0 ? split->left :
		split->live.count - split->left;

	centroid->centroid = palloc(inserter->s);
	AnnoyMeasureCentroid(&split->live.set, items, count, centroid);
	AnnoyStartLeaf(page, &inserter->forest->sketcher, centroid->centroid,
				   centroid->scale, centroid->norm_squared, centroid->extra);
	for (int i = 0; i < count; i++)
		AnnoyAddItemEntry(page, &inserter->forest->sketcher, &split->live,
						  items[i]);
}

/*
 * Writes both halves and their entries in the directory, by one record; does
 * nothing if something has changed meanwhile.  The pages' contents are made
 * beforehand, so that no lock is held for longer than copying takes.
 */
static void
write_split(AnnoyTreeInserter *inserter, LeafSplit *split)
{
	Relation	index = inserter->index;
	int			s = inserter->s;
	BlockNumber block = split->leaf.link.block;
	PGAlignedBlock halves[2];	/* that stays, that moves */
	AnnoyCentroid centroids[2];
	float	   *scratch = palloc(sizeof(float) * s);
	Buffer		new_buffer;
	Buffer		directory;
	Buffer		leaf = InvalidBuffer;
	int			place = 0;

	for (int i = 0; i < 2; i++)
	{
		AnnoyInitPage((Page) halves[i].data, ANNOY_PAGE_LEAF, split->tree);
		fill_leaf(inserter, split, (Page) halves[i].data,
				  i == 0 ? split->stays : 1 - split->stays, &centroids[i]);
	}

	new_buffer = AnnoyExtendLocked(index);
	directory = lock_directory(inserter, &split->leaf, &place);
	if (BufferIsValid(directory) &&
		AnnoyPageGetDirectoryHeader(BufferGetPage(directory))->count <
		AnnoyGetDirectoryCapacity(BufferGetPage(directory), s))
		leaf = AnnoyLockUnchanged(inserter, block, ANNOY_PAGE_LEAF, &split->before);

	if (BufferIsValid(leaf))
	{
		GenericXLogState *xlog = GenericXLogStart(index);
		Page		above = GenericXLogRegisterBuffer(xlog, directory, 0);
		Page		page = GenericXLogRegisterBuffer(xlog, leaf,
													 GENERIC_XLOG_FULL_IMAGE);
		Page		new_page = GenericXLogRegisterBuffer(xlog, new_buffer,
														 GENERIC_XLOG_FULL_IMAGE);
		int			count = AnnoyPageGetDirectoryHeader(above)->count;
		uint32		version = AnnoyPageGetLeafHeader(page)->version;
		BlockNumber sparse = AnnoyPageGetLeafHeader(page)->sparse;
		AnnoyPageOpaqueData links = *AnnoyPageGetOpaque(page);

		/* the new leaf takes the old version and link */
		memcpy(new_page, halves[1].data, BLCKSZ);
		AnnoyPageGetLeafHeader(new_page)->version = version;
		AnnoyPageGetOpaque(new_page)->rightlink = links.rightlink;
		centroids[1].link.block = BufferGetBlockNumber(new_buffer);
		centroids[1].link.version = version;

		memcpy(page, halves[0].data, BLCKSZ);
		AnnoyPageGetLeafHeader(page)->version = version + 1;
		AnnoyPageGetLeafHeader(page)->sparse = sparse;
		AnnoyPageGetOpaque(page)->rightlink = BufferGetBlockNumber(new_buffer);
		AnnoyPageGetOpaque(page)->chainlink = links.chainlink;
		centroids[0].link.block = block;
		centroids[0].link.version = version + 1;

		AnnoySetDirectoryEntry(above, &inserter->forest->sketcher, place,
							   &centroids[0], scratch);
		AnnoySetDirectoryEntry(above, &inserter->forest->sketcher, count,
							   &centroids[1], scratch);
		AnnoySetDirectoryCount(above, s, count + 1);
		GenericXLogFinish(xlog);
		UnlockReleaseBuffer(leaf);
		UnlockReleaseBuffer(new_buffer);
	}
	else
		AnnoyGiveBackPage(index, new_buffer);
	if (BufferIsValid(directory))
		UnlockReleaseBuffer(directory);
}

/* Whether the directory that lists a leaf has room for one more. */
static bool
directory_has_room(AnnoyTreeInserter *inserter, const AnnoyLeafCandidate *leaf)
{
	Buffer		buffer = AnnoyReadPage(inserter->index, leaf->directory,
									   ANNOY_PAGE_DIRECTORY, BUFFER_LOCK_SHARE);
	Page		page = BufferGetPage(buffer);
	bool		room = AnnoyPageGetDirectoryHeader(page)->count <
		AnnoyGetDirectoryCapacity(page, inserter->s);

	UnlockReleaseBuffer(buffer);
	return room;
}

void
AnnoyMakeRoom(AnnoyTreeInserter *inserter, int tree, const AnnoyLeafCandidate *leaf)
{
	LeafSplit  *split;
	bool	   *drop;
	int			before;

	if (!directory_has_room(inserter, leaf))
	{
		AnnoyMakeDirectoryRoom(inserter, tree, leaf->directory);
		return;
	}

	split = palloc0(sizeof(LeafSplit));
	split->leaf = *leaf;
	split->tree = tree;
	AnnoyCopyPage(inserter, leaf->link.block, ANNOY_PAGE_LEAF, &split->before);
	AnnoyCheckLeaf(inserter->index, split->before.data, leaf->link.block,
				   inserter->s);
	before = AnnoyPageGetLeafHeader(split->before.data)->count;
	if (before < AnnoyLeafCapacity(inserter->s) ||
		AnnoyPageGetLeafHeader(split->before.data)->version != leaf->link.version)
		return;
	/* one more place for find_chain_side */
	AnnoyAllocateItems(&split->live, inserter->s, before + 1);
	drop = load_leaf(inserter, &split->live, &split->before, before);
	if (split->live.count < 2 ||
		before - split->live.count >= before * CLEANED_SHARE)
	{
		clean_leaf(inserter, split, drop);
		return;
	}

	split->items = AnnoyListPositions(split->live.count);
	split->left = AnnoySplitSet(&split->live.set, split->items,
								split->live.count, ANNOY_SPLIT_QUANTILE,
								split->live.count / 2,
								AnnoyHash(AnnoyHash(inserter->forest->meta.seed, tree),
										  leaf->link.version),
								&split->plane);
	if (split->left == 0 &&
		AnnoyPageGetLeafHeader(split->before.data)->sparse != ANNOY_NO_SPARSE_PAGE)
		fill_sparse_page(inserter, split, drop);
	else if (split->left == 0)
		chain_leaf(inserter, split);
	else
	{
		split->stays = find_chain_side(inserter, split);
		write_split(inserter, split);
	}
}

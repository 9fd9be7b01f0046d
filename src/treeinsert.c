/*-------------------------------------------------------------------------
 *
 * treeinsert.c
 *	  Adding items to the trees of an existing index.
 *
 * A leaf is chosen by a walk that locks one page at a time.  If it was split
 * since, the walk is repeated.  A full leaf is split in three steps: its page
 * is copied; the vectors of its items are read and a hyperplane is looked for,
 * without a lock; then directory and leaf are locked, and if the leaf is still
 * what it was, both halves and the directory's entries are written by one
 * record.  A full directory is split in the same manner before.
 *
 * See README, "Locks", for the order of locks and why it is safe.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/generic_xlog.h"
#include "miscadmin.h"
#include "storage/freespace.h"
#include "utils/memutils.h"

#include "item.h"
#include "leaf.h"
#include "random.h"
#include "split.h"
#include "treeinsert.h"

/*
 * A full leaf that has this share of dead entries is cleaned rather than
 * split.
 */
#define CLEANED_SHARE 0.1

struct AnnoyTreeInserter
{
	Relation	index;
	AnnoyForest *forest;
	const AnnoyElementType *element;
	int			s;
	AnnoyWalk	walk;
	int16	   *quantised;		/* of the item on its way */
	MemoryContext split_context;	/* reset after each split */
};

/* A leaf on its way to be split: its items and where they go. */
typedef struct LeafSplit
{
	AnnoyLeafCandidate leaf;
	int			tree;
	PGAlignedBlock before;		/* the page as it was */
	int			count;			/* live items */
	ItemPointerData *addresses;
	AnnoySketchSet set;
	float	   *sketches;		/* [count][s] */
	bool	   *unbounded;
	float	   *scratch;		/* of AnnoySplitItems */
	int32	   *items;			/* left ones first */
	int			left;
	AnnoyHyperplane plane;
	int			stays;			/* side that keeps the page, and its chain */
} LeafSplit;

/* What became of an attempt to add an entry. */
typedef enum AddResult
{
	ADD_DONE,
	ADD_FULL,					/* the leaf has no room */
	ADD_MOVED					/* the leaf was split meanwhile */
} AddResult;

AnnoyTreeInserter *
AnnoyBeginTreeInsert(Relation index, AnnoyForest *forest,
					 const AnnoyElementType *element)
{
	AnnoyTreeInserter *inserter = palloc0(sizeof(AnnoyTreeInserter));

	inserter->index = index;
	inserter->forest = forest;
	inserter->element = element;
	inserter->s = forest->sketcher.sketch_dimensions;
	AnnoyInitWalk(&inserter->walk, index, forest);
	inserter->quantised = palloc(sizeof(int16) * inserter->s);
	inserter->split_context = AllocSetContextCreate(CurrentMemoryContext,
													"annoy split",
													ALLOCSET_DEFAULT_SIZES);
	return inserter;
}

void
AnnoyEndTreeInsert(AnnoyTreeInserter *inserter)
{
	MemoryContextDelete(inserter->split_context);
}

/* Adds the entry if the leaf is the one that the link meant and has room. */
static AddResult
add_entry(AnnoyTreeInserter *inserter, const AnnoyLeafCandidate *leaf,
		  const float *sketch, bool unbounded, ItemPointer address)
{
	Buffer		buffer = AnnoyReadPage(inserter->index, leaf->link.block,
									   ANNOY_PAGE_LEAF, BUFFER_LOCK_EXCLUSIVE);
	Page		page = BufferGetPage(buffer);
	AnnoyLeafHeader header = AnnoyPageGetLeafHeader(page);
	AddResult	result = ADD_DONE;

	AnnoyCheckLeaf(inserter->index, page, leaf->link.block, inserter->s);
	if (header->version != leaf->link.version)
		result = ADD_MOVED;
	else if (header->count >= AnnoyLeafCapacity(inserter->s))
		result = ADD_FULL;
	else
	{
		GenericXLogState *xlog = GenericXLogStart(inserter->index);

		AnnoyAddLeafEntry(GenericXLogRegisterBuffer(xlog, buffer, 0),
						  &inserter->forest->sketcher, sketch, unbounded,
						  address);
		GenericXLogFinish(xlog);
	}
	UnlockReleaseBuffer(buffer);
	return result;
}

/* ---------------------------------------------------------------------
 * Pages that are locked together
 * ---------------------------------------------------------------------
 */

/* Locks a page of the kind if it is still the same as a copy; else nothing. */
static Buffer
lock_unchanged(AnnoyTreeInserter *inserter, BlockNumber block,
			   AnnoyPageKind kind, const PGAlignedBlock *before)
{
	Buffer		buffer = AnnoyReadPage(inserter->index, block, kind,
									   BUFFER_LOCK_EXCLUSIVE);
	Page		page = BufferGetPage(buffer);

	/* all but the LSN and hint bits, which are at the head of the page */
	if (((PageHeader) page)->pd_lower == ((const PageHeaderData *) before)->pd_lower &&
		memcmp(PageGetContents(page),
			   before->data + MAXALIGN(SizeOfPageHeaderData),
			   BLCKSZ - MAXALIGN(SizeOfPageHeaderData)) == 0)
		return buffer;
	UnlockReleaseBuffer(buffer);
	return InvalidBuffer;
}

/*
 * A page that was added but not used in the end: item pages take it.  It must
 * not be kept for a later split: VACUUM relies on leaf pages being behind the
 * pages they were split from.
 */
static void
give_back_page(Relation index, Buffer buffer)
{
	RecordPageWithFreeSpace(index, BufferGetBlockNumber(buffer),
							BLCKSZ - MAXALIGN(SizeOfPageHeaderData) -
							sizeof(AnnoyPageOpaqueData));
	UnlockReleaseBuffer(buffer);
}

static void
copy_page(AnnoyTreeInserter *inserter, BlockNumber block, AnnoyPageKind kind,
		  PGAlignedBlock *copy)
{
	Buffer		buffer = AnnoyReadPage(inserter->index, block, kind,
									   BUFFER_LOCK_SHARE);

	memcpy(copy->data, BufferGetPage(buffer), BLCKSZ);
	UnlockReleaseBuffer(buffer);
}

/* ---------------------------------------------------------------------
 * Directories
 * ---------------------------------------------------------------------
 */

/* Number of entries of a directory page, after a check. */
static int
count_directory(AnnoyTreeInserter *inserter, Page page, BlockNumber block)
{
	int			count = AnnoyPageGetDirectoryHeader(page)->count;

	if (count > AnnoyDirectoryCapacity(inserter->s))
		AnnoyReportCorruption(inserter->index, block,
							  "too many directory entries");
	return count;
}

static void
set_directory_count(Page page, int s, int count)
{
	AnnoyPageGetDirectoryHeader(page)->count = count;
	((PageHeader) page)->pd_lower =
		(char *) AnnoyPageGetDirectoryEntry(page, s, count) - (char *) page;
}

/*
 * Locks the page that holds the link to a directory: an inner page, or the
 * page of the tree's root.  *link points to the link.  Returns InvalidBuffer
 * if the link is not there any more.
 */
static Buffer
lock_parent(AnnoyTreeInserter *inserter, int tree, AnnoyParent parent,
			BlockNumber directory, Size *link_offset)
{
	BlockNumber block = parent.block;
	Buffer		buffer;
	Page		page;
	AnnoyChild *link;

	if (BlockNumberIsValid(block))
	{
		buffer = AnnoyReadPage(inserter->index, block, ANNOY_PAGE_INNER,
							   BUFFER_LOCK_EXCLUSIVE);
		page = BufferGetPage(buffer);
		if (parent.slot >= AnnoyPageGetInnerHeader(page)->count ||
			parent.slot >= AnnoyInnerCapacity(inserter->s) || parent.side > 1)
			AnnoyReportCorruption(inserter->index, block, "no such node");
		link = &AnnoyPageGetNode(page, inserter->s, parent.slot)->child[parent.side];
	}
	else
	{
		block = inserter->forest->meta.roots;
		for (; tree >= ANNOY_ROOTS_PER_PAGE; tree -= ANNOY_ROOTS_PER_PAGE)
		{
			buffer = AnnoyReadPage(inserter->index, block, ANNOY_PAGE_ROOTS,
								   BUFFER_LOCK_SHARE);
			block = AnnoyPageGetOpaque(BufferGetPage(buffer))->rightlink;
			UnlockReleaseBuffer(buffer);
		}
		buffer = AnnoyReadPage(inserter->index, block, ANNOY_PAGE_ROOTS,
							   BUFFER_LOCK_EXCLUSIVE);
		page = BufferGetPage(buffer);
		link = &((AnnoyChild *) PageGetContents(page))[tree];
	}
	if (link->kind != ANNOY_PAGE_DIRECTORY || link->block != directory)
	{
		UnlockReleaseBuffer(buffer);
		return InvalidBuffer;
	}
	*link_offset = (char *) link - (char *) page;
	return buffer;
}

/* Whether the parent's page is an inner one that has room for one more node. */
static bool
parent_has_room(AnnoyTreeInserter *inserter, AnnoyParent parent)
{
	Buffer		buffer;
	int			count;

	if (!BlockNumberIsValid(parent.block))
		return false;
	buffer = AnnoyReadPage(inserter->index, parent.block, ANNOY_PAGE_INNER,
						   BUFFER_LOCK_SHARE);
	count = AnnoyPageGetInnerHeader(BufferGetPage(buffer))->count;
	UnlockReleaseBuffer(buffer);
	return count < AnnoyInnerCapacity(inserter->s);
}

/*
 * A hyperplane between the entries of a directory; items[] is put in order,
 * returns the number on the left.
 */
static int
divide_directory(AnnoyTreeInserter *inserter, Page page, int count,
				 int32 *items, AnnoyHyperplane *plane)
{
	int			s = inserter->s;
	AnnoySketchSet set;
	AnnoyRandom random;
	int			left;

	set.sketch_dimensions = s;
	set.quantised = palloc(sizeof(int16) * s * count);
	set.scale = palloc(sizeof(float) * count);
	set.extra = palloc(sizeof(float) * count);
	for (int i = 0; i < count; i++)
	{
		AnnoyDirectoryEntry entry = AnnoyPageGetDirectoryEntry(page, s, i);

		for (int j = 0; j < s; j++)
			set.quantised[i * s + j] = entry->centroid[j];
		set.scale[i] = entry->scale;
		set.extra[i] = entry->extra;
		items[i] = i;
	}
	plane->normal = palloc0(s);
	AnnoySeedRandom(&random, AnnoyHash(inserter->forest->meta.seed,
									   AnnoyPageGetDirectoryHeader(page)->version));
	left = AnnoySplitItems(&set, items, count, ANNOY_SPLIT_QUANTILE, count / 2,
						   &random, plane,
						   palloc(sizeof(float) * AnnoySplitScratch(s)),
						   palloc(sizeof(float) * count),
						   palloc(sizeof(int32) * count));
	if (left > 0)
		return left;

	/* equal centroids: a hyperplane that everything is on */
	memset(plane->normal, 0, s);
	plane->scale = plane->extra_weight = plane->offset = 0.0f;
	return count / 2;
}

/* Copies some entries of a directory into a page and sets its count. */
static void
fill_directory(Page page, int s, Page from, const int32 *items, int count)
{
	for (int i = 0; i < count; i++)
		memcpy(AnnoyPageGetDirectoryEntry(page, s, i),
			   AnnoyPageGetDirectoryEntry(from, s, items[i]),
			   AnnoyDirectoryEntrySize(s));
	set_directory_count(page, s, count);
}

/* Appends a node to an inner page; returns its slot. */
static uint16
append_node(Page page, int s, const AnnoyHyperplane *plane,
			const AnnoyChild *children)
{
	AnnoyInnerHeader *header = AnnoyPageGetInnerHeader(page);
	uint16		slot = header->count++;
	AnnoyNode	node = AnnoyPageGetNode(page, s, slot);

	memcpy(node->child, children, sizeof(node->child));
	node->offset = plane->offset;
	node->scale = plane->scale;
	node->extra_weight = plane->extra_weight;
	memcpy(node->normal, plane->normal, s);
	((PageHeader) page)->pd_lower =
		(char *) AnnoyPageGetNode(page, s, slot + 1) - (char *) page;
	return slot;
}

/*
 * Splits a full directory: the left half stays, the right half goes to a new
 * page, and a new node above both replaces the link.  If something has changed
 * meanwhile nothing happens, and the caller tries again.
 */
static void
split_directory(AnnoyTreeInserter *inserter, int tree, BlockNumber block)
{
	Relation	index = inserter->index;
	int			s = inserter->s;
	PGAlignedBlock before;
	AnnoyDirectoryHeader *header;
	int			count;
	int32	   *items;
	int			left;
	AnnoyHyperplane plane;
	AnnoyChild	children[2];
	AnnoyParent parent;
	Buffer		right = InvalidBuffer;
	Buffer		node_page = InvalidBuffer;
	Buffer		parent_page;
	Buffer		directory = InvalidBuffer;
	Size		link_offset;

	copy_page(inserter, block, ANNOY_PAGE_DIRECTORY, &before);
	header = AnnoyPageGetDirectoryHeader(before.data);
	count = count_directory(inserter, before.data, block);
	if (count < AnnoyDirectoryCapacity(s))
		return;
	parent = header->parent;
	items = palloc(sizeof(int32) * count);
	left = divide_directory(inserter, before.data, count, items, &plane);

	right = AnnoyExtendLocked(index);
	if (!parent_has_room(inserter, parent))
		node_page = AnnoyExtendLocked(index);
	parent_page = lock_parent(inserter, tree, parent, block, &link_offset);
	if (BufferIsValid(parent_page) &&
		(BufferIsValid(node_page) ||
		 AnnoyPageGetInnerHeader(BufferGetPage(parent_page))->count <
		 AnnoyInnerCapacity(s)))
		directory = lock_unchanged(inserter, block, ANNOY_PAGE_DIRECTORY, &before);

	if (BufferIsValid(directory))
	{
		GenericXLogState *xlog = GenericXLogStart(index);
		Page		above = GenericXLogRegisterBuffer(xlog, parent_page, 0);
		Page		node = above;
		Page		page = GenericXLogRegisterBuffer(xlog, directory, 0);
		Page		new_page = GenericXLogRegisterBuffer(xlog, right,
														 GENERIC_XLOG_FULL_IMAGE);
		AnnoyChild *link = (AnnoyChild *) (above + link_offset);

		if (BufferIsValid(node_page))
		{
			node = GenericXLogRegisterBuffer(xlog, node_page,
											 GENERIC_XLOG_FULL_IMAGE);
			AnnoyInitPage(node, ANNOY_PAGE_INNER, tree);
		}
		AnnoyInitPage(new_page, ANNOY_PAGE_DIRECTORY, tree);

		children[0].block = block;
		children[0].version = header->version + 1;
		children[1].block = BufferGetBlockNumber(right);
		children[1].version = header->version;
		children[0].slot = children[1].slot = 0;
		children[0].kind = children[1].kind = ANNOY_PAGE_DIRECTORY;
		parent.block = BufferGetBlockNumber(BufferIsValid(node_page) ?
											node_page : parent_page);
		parent.slot = append_node(node, s, &plane, children);
		link->block = parent.block;
		link->version = ANNOY_ANY_VERSION;
		link->slot = parent.slot;
		link->kind = ANNOY_PAGE_INNER;

		AnnoyPageGetOpaque(new_page)->rightlink =
			AnnoyPageGetOpaque(page)->rightlink;
		AnnoyPageGetOpaque(page)->rightlink = children[1].block;
		fill_directory(page, s, before.data, items, left);
		fill_directory(new_page, s, before.data, items + left, count - left);
		AnnoyPageGetDirectoryHeader(page)->version = children[0].version;
		AnnoyPageGetDirectoryHeader(new_page)->version = children[1].version;
		parent.side = 0;
		AnnoyPageGetDirectoryHeader(page)->parent = parent;
		parent.side = 1;
		AnnoyPageGetDirectoryHeader(new_page)->parent = parent;
		GenericXLogFinish(xlog);

		UnlockReleaseBuffer(directory);
		UnlockReleaseBuffer(right);
		if (BufferIsValid(node_page))
			UnlockReleaseBuffer(node_page);
	}
	else
	{
		give_back_page(index, right);
		if (BufferIsValid(node_page))
			give_back_page(index, node_page);
	}
	if (BufferIsValid(parent_page))
		UnlockReleaseBuffer(parent_page);
}

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
		int			count = count_directory(inserter, page, block);

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

/* ---------------------------------------------------------------------
 * Leaves
 * ---------------------------------------------------------------------
 */

/* Sketches an item into a place of the set; false if it is dead. */
static bool
load_item(AnnoyTreeInserter *inserter, LeafSplit *split,
		  AnnoyItemReader *reader, ItemPointer address, float *floats,
		  float *scratch)
{
	AnnoyForest *forest = inserter->forest;
	int			i = split->count;
	float	   *sketch = split->sketches + (Size) i * inserter->s;
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
							sketch, &split->set.extra[i], &split->unbounded[i]);
	AnnoyReleaseItem(reader);
	if (!found)
		return false;
	split->set.scale[i] =
		AnnoyQuantiseSketch(inserter->s, sketch,
							split->set.quantised + (Size) i * inserter->s);
	split->addresses[i] = *address;
	split->count++;
	return true;
}

/* Reads the items of the copied leaf; drop[] marks those that are dead. */
static void
load_items(AnnoyTreeInserter *inserter, LeafSplit *split, bool *drop)
{
	int			s = inserter->s;
	int			dimensions = inserter->forest->meta.dimensions;
	int			capacity = AnnoyLeafCapacity(s) + 1; /* find_chain_side */
	ItemPointerData *addresses = palloc(sizeof(ItemPointerData) * capacity);
	float	   *floats = palloc(sizeof(float) * dimensions);
	float	   *scratch = palloc(sizeof(float) * AnnoySketchScratch(dimensions));
	AnnoyItemReader reader;
	int			count = AnnoyListLeaf(split->before.data, s, addresses);

	split->count = 0;
	split->addresses = palloc(sizeof(ItemPointerData) * capacity);
	split->set.sketch_dimensions = s;
	split->set.quantised = palloc(sizeof(int16) * s * (Size) capacity);
	split->set.scale = palloc(sizeof(float) * capacity);
	split->set.extra = palloc(sizeof(float) * capacity);
	split->sketches = palloc(sizeof(float) * s * (Size) capacity);
	split->unbounded = palloc(sizeof(bool) * capacity);
	split->scratch = palloc(sizeof(float) * AnnoySplitScratch(s));
	AnnoyBeginItems(&reader, inserter->index);
	for (int i = 0; i < count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		drop[i] = !load_item(inserter, split, &reader, &addresses[i], floats,
							 scratch);
	}
	AnnoyEndItems(&reader);
}

/* Takes dead entries off a leaf, if it is unchanged. */
static void
clean_leaf(AnnoyTreeInserter *inserter, LeafSplit *split, const bool *drop)
{
	Buffer		buffer = lock_unchanged(inserter, split->leaf.link.block,
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
	Buffer		head = lock_unchanged(inserter, split->leaf.link.block,
									  ANNOY_PAGE_LEAF, &split->before);
	GenericXLogState *xlog;
	Page		head_page;
	Page		page;
	AnnoyLeafHeader header;

	if (!BufferIsValid(head))
	{
		give_back_page(index, chained);
		return;
	}
	xlog = GenericXLogStart(index);
	head_page = GenericXLogRegisterBuffer(xlog, head, 0);
	page = GenericXLogRegisterBuffer(xlog, chained, GENERIC_XLOG_FULL_IMAGE);
	AnnoyInitPage(page, ANNOY_PAGE_LEAF, split->tree);
	memcpy(PageGetContents(page), PageGetContents(head_page),
		   ((PageHeader) head_page)->pd_lower - MAXALIGN(SizeOfPageHeaderData));
	((PageHeader) page)->pd_lower = ((PageHeader) head_page)->pd_lower;
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
 * The side of the hyperplane on which a chain's items lie (they are alike);
 * the left one if none of them is left.
 */
static int
find_chain_side(AnnoyTreeInserter *inserter, LeafSplit *split)
{
	BlockNumber block =
		AnnoyPageGetOpaque((Page) split->before.data)->chainlink;
	int			dimensions = inserter->forest->meta.dimensions;
	int			spare = split->count;	/* a place behind the items */
	PGAlignedBlock page;
	ItemPointerData *addresses;
	AnnoyItemReader reader;
	int			side = 0;
	int			count;

	if (!BlockNumberIsValid(block))
		return 0;
	copy_page(inserter, block, ANNOY_PAGE_LEAF, &page);
	AnnoyCheckLeaf(inserter->index, page.data, block, inserter->s);
	addresses = palloc(sizeof(ItemPointerData) * AnnoyLeafCapacity(inserter->s));
	count = AnnoyListLeaf(page.data, inserter->s, addresses);
	AnnoyBeginItems(&reader, inserter->index);
	for (int i = 0; i < count; i++)
		if (load_item(inserter, split, &reader, &addresses[i],
					  palloc(sizeof(float) * dimensions),
					  palloc(sizeof(float) * AnnoySketchScratch(dimensions))))
		{
			side = AnnoyItemMargin(&split->set, spare, &split->plane) > 0;
			break;
		}
	AnnoyEndItems(&reader);
	split->count = spare;
	return side;
}

/* Fills a page with a leaf of one side's items; returns its directory entry. */
static AnnoyDirectoryEntry
fill_leaf(AnnoyTreeInserter *inserter, LeafSplit *split, Page page, int side)
{
	int			s = inserter->s;
	const int32 *items = side == 0 ? split->items : split->items + split->left;
	int			count = side == 0 ? split->left : split->count - split->left;
	AnnoyDirectoryEntry entry = palloc0(AnnoyDirectoryEntrySize(s));
	float	   *mean = split->scratch;

	AnnoyMeanSketch(&split->set, items, count, mean, &entry->extra, mean + s);
	entry->scale = AnnoyQuantiseDirection(s, mean, entry->centroid);
	entry->norm_squared = entry->scale * entry->scale *
		(float) AnnoyQuantisedNorm(s, entry->centroid);
	AnnoyStartLeaf(page, &inserter->forest->sketcher, entry->centroid,
				   entry->scale, entry->norm_squared, entry->extra);
	for (int i = 0; i < count; i++)
		AnnoyAddLeafEntry(page, &inserter->forest->sketcher,
						  split->sketches + (Size) items[i] * s,
						  split->unbounded[items[i]],
						  &split->addresses[items[i]]);
	return entry;
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
	AnnoyDirectoryEntry entries[2];
	Buffer		new_buffer;
	Buffer		directory;
	Buffer		leaf = InvalidBuffer;
	int			place;

	for (int i = 0; i < 2; i++)
	{
		AnnoyInitPage((Page) halves[i].data, ANNOY_PAGE_LEAF, split->tree);
		entries[i] = fill_leaf(inserter, split, (Page) halves[i].data,
							   i == 0 ? split->stays : 1 - split->stays);
	}

	new_buffer = AnnoyExtendLocked(index);
	directory = lock_directory(inserter, &split->leaf, &place);
	if (BufferIsValid(directory) &&
		AnnoyPageGetDirectoryHeader(BufferGetPage(directory))->count <
		AnnoyDirectoryCapacity(s))
		leaf = lock_unchanged(inserter, block, ANNOY_PAGE_LEAF, &split->before);

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
		AnnoyPageOpaqueData links = *AnnoyPageGetOpaque(page);

		/* the new leaf takes the old version and link */
		memcpy(new_page, halves[1].data, BLCKSZ);
		AnnoyPageGetLeafHeader(new_page)->version = version;
		AnnoyPageGetOpaque(new_page)->rightlink = links.rightlink;
		entries[1]->leaf.block = BufferGetBlockNumber(new_buffer);
		entries[1]->leaf.version = version;

		memcpy(page, halves[0].data, BLCKSZ);
		AnnoyPageGetLeafHeader(page)->version = version + 1;
		AnnoyPageGetOpaque(page)->rightlink = BufferGetBlockNumber(new_buffer);
		AnnoyPageGetOpaque(page)->chainlink = links.chainlink;
		entries[0]->leaf.block = block;
		entries[0]->leaf.version = version + 1;

		memcpy(AnnoyPageGetDirectoryEntry(above, s, place), entries[0],
			   AnnoyDirectoryEntrySize(s));
		memcpy(AnnoyPageGetDirectoryEntry(above, s, count), entries[1],
			   AnnoyDirectoryEntrySize(s));
		set_directory_count(above, s, count + 1);
		GenericXLogFinish(xlog);
		UnlockReleaseBuffer(leaf);
		UnlockReleaseBuffer(new_buffer);
	}
	else
		give_back_page(index, new_buffer);
	if (BufferIsValid(directory))
		UnlockReleaseBuffer(directory);
}

/* Whether the directory that lists a leaf has room for one more. */
static bool
directory_has_room(AnnoyTreeInserter *inserter, const AnnoyLeafCandidate *leaf)
{
	Buffer		buffer = AnnoyReadPage(inserter->index, leaf->directory,
									   ANNOY_PAGE_DIRECTORY, BUFFER_LOCK_SHARE);
	int			count = AnnoyPageGetDirectoryHeader(BufferGetPage(buffer))->count;

	UnlockReleaseBuffer(buffer);
	return count < AnnoyDirectoryCapacity(inserter->s);
}

/*
 * Makes room where a leaf is full: cleans, chains or splits it, or splits its
 * directory first.  The caller looks for the item's leaf again in any case.
 */
static void
make_room(AnnoyTreeInserter *inserter, int tree, const AnnoyLeafCandidate *leaf)
{
	LeafSplit  *split;
	AnnoyRandom random;
	bool	   *drop;
	int			before;

	if (!directory_has_room(inserter, leaf))
	{
		split_directory(inserter, tree, leaf->directory);
		return;
	}

	split = palloc0(sizeof(LeafSplit));
	split->leaf = *leaf;
	split->tree = tree;
	copy_page(inserter, leaf->link.block, ANNOY_PAGE_LEAF, &split->before);
	AnnoyCheckLeaf(inserter->index, split->before.data, leaf->link.block,
				   inserter->s);
	before = AnnoyPageGetLeafHeader(split->before.data)->count;
	if (before < AnnoyLeafCapacity(inserter->s) ||
		AnnoyPageGetLeafHeader(split->before.data)->version != leaf->link.version)
		return;
	drop = palloc0(sizeof(bool) * before);
	load_items(inserter, split, drop);
	if (split->count < 2 || before - split->count >= before * CLEANED_SHARE)
	{
		clean_leaf(inserter, split, drop);
		return;
	}

	split->items = palloc(sizeof(int32) * split->count);
	for (int i = 0; i < split->count; i++)
		split->items[i] = i;
	split->plane.normal = palloc(inserter->s);
	AnnoySeedRandom(&random, AnnoyHash(AnnoyHash(inserter->forest->meta.seed, tree),
									   leaf->link.version));
	split->left = AnnoySplitItems(&split->set, split->items, split->count,
								  ANNOY_SPLIT_QUANTILE, split->count / 2,
								  &random, &split->plane, split->scratch,
								  palloc(sizeof(float) * split->count),
								  palloc(sizeof(int32) * split->count));
	if (split->left == 0)
		chain_leaf(inserter, split);
	else
	{
		split->stays = find_chain_side(inserter, split);
		write_split(inserter, split);
	}
}

void
AnnoyInsertIntoTree(AnnoyTreeInserter *inserter, int tree,
					const float *sketch, float extra, bool unbounded,
					ItemPointer address)
{
	AnnoyQuery	query;

	AnnoyInitItemQuery(&query, inserter->quantised,
					   &inserter->forest->sketcher, sketch, extra);
	for (;;)
	{
		AnnoyLeafCandidate leaf = AnnoyChooseLeaf(&inserter->walk, &query, tree);
		AddResult	result = add_entry(inserter, &leaf, sketch, unbounded,
									   address);

		if (result == ADD_DONE)
			return;
		CHECK_FOR_INTERRUPTS();
		if (result == ADD_FULL)
		{
			MemoryContext old = MemoryContextSwitchTo(inserter->split_context);

			make_room(inserter, tree, &leaf);
			MemoryContextSwitchTo(old);
			MemoryContextReset(inserter->split_context);
		}
	}
}

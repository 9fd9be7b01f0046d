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
#include "page/leaf.h"
#include "table/owner.h"
#include "table/rowvalue.h"

/*
 * A full leaf of which this share of the rows is gone is cleaned rather than
 * split.
 */
#define CLEANED_SHARE 0.1

/* A leaf on its way to be split: its rows and where they go. */
typedef struct LeafSplit
{
	AnnoyLeafCandidate leaf;
	int			tree;
	PGAlignedBlock before;		/* the page as it was */
	AnnoyItemSet rows;			/* those that are not gone */
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

/*
 * What a split needs to know of a leaf's rows.  An index expression is evaluated
 * for rows that the user who inserts might not read, so it is the owner's code.
 */
typedef struct LeafRows
{
	AnnoyTreeInserter *inserter;
	AnnoyRowReader reader;
	AnnoyCaller caller;
	float	   *floats;
	float	   *scratch;
} LeafRows;

/*
 * A row that the leaf should not have.  Not an error yet: VACUUM may have taken
 * the entry off the leaf meanwhile, and another row has got the TID.
 */
typedef struct RowFault
{
	ItemPointerData tid;
	const char *what;			/* NULL: there is none */
} RowFault;

static void
begin_rows(LeafRows *rows, AnnoyTreeInserter *inserter)
{
	int			dimensions = inserter->forest->meta.dimensions;

	rows->inserter = inserter;
	rows->floats = palloc(sizeof(float) * dimensions);
	rows->scratch = palloc(sizeof(float) * AnnoySketchScratch(dimensions));
	AnnoyBeginRowReader(&rows->reader, inserter->heap, inserter->index);
	if (rows->reader.column == InvalidAttrNumber)
		AnnoyBecomeOwner(&rows->caller, inserter->heap, inserter->index);
}

static void
end_rows(LeafRows *rows)
{
	if (rows->reader.column == InvalidAttrNumber)
		AnnoyBecomeCaller(&rows->caller);
	AnnoyEndRowReader(&rows->reader);
}

/* The sketch of a row that lives.  The result: what is wrong, or NULL. */
static const char *
sketch_row(LeafRows *rows, struct varlena *value, float *sketch, float *extra,
		   bool *unbounded)
{
	AnnoyTreeInserter *inserter = rows->inserter;
	AnnoyForest *forest = inserter->forest;

	if (value == NULL)
		return "its value is NULL";
	if (inserter->element->dimensions(value) != forest->meta.dimensions)
		return "another number of dimensions";
	if (!AnnoyMakeStoredSketch(&forest->sketcher,
							   inserter->element->floats(value, rows->floats),
							   rows->scratch, sketch, extra, unbounded))
		return "its value has no direction";
	return NULL;
}

/*
 * Sketches the row of an entry into a place of the set; false if the table has
 * nothing of it.  Of a row that is dead to new snapshots, and whose value may be
 * gone, the place is what its code tells; it gets a code that says nothing.
 */
static bool
load_row(LeafRows *rows, AnnoyItemSet *items, Page leaf, int entry,
		 const ItemPointerData *tid, RowFault *fault)
{
	AnnoyTreeInserter *inserter = rows->inserter;
	int			i = items->count;
	float	   *sketch = items->sketches + (Size) i * inserter->s;
	struct varlena *value;

	switch (AnnoyReadLiveRow(&rows->reader, tid, &value))
	{
		case ANNOY_ROW_NONE:
			return false;
		case ANNOY_ROW_DEAD:
			AnnoyDecodeLeafEntry(leaf, inserter->forest, entry, sketch);
			items->set.extra[i] = AnnoyPageGetLeafHeader(leaf)->extra;
			items->unbounded[i] = true;
			break;
		case ANNOY_ROW_LIVE:
			fault->tid = *tid;
			fault->what = sketch_row(rows, value, sketch, &items->set.extra[i],
									 &items->unbounded[i]);
			if (fault->what != NULL)
				return true;
			break;
	}
	AnnoyPlaceSketch(&inserter->forest->sketcher, sketch, inserter->placed);
	AnnoyPutSketch(&items->set, i, inserter->placed);
	items->tids[i] = *tid;
	items->count++;
	return true;
}

/*
 * Reads rows of a leaf, at most so many that there are, up to one that should not
 * be there; the result says of which of those looked at there is nothing.
 */
static bool *
load_leaf(AnnoyTreeInserter *inserter, AnnoyItemSet *items,
		  const PGAlignedBlock *leaf, int most, RowFault *fault)
{
	int			capacity = inserter->forest->leaf.capacity;
	ItemPointerData *tids = palloc(sizeof(ItemPointerData) * capacity);
	bool	   *gone = palloc0(sizeof(bool) * capacity);
	int			count = AnnoyListLeaf((Page) leaf->data, &inserter->forest->leaf,
									  tids);
	LeafRows	rows;

	most += items->count;
	fault->what = NULL;
	begin_rows(&rows, inserter);
	for (int i = 0; i < count && items->count < most && fault->what == NULL; i++)
	{
		CHECK_FOR_INTERRUPTS();
		gone[i] = !load_row(&rows, items, (Page) leaf->data, i, &tids[i], fault);
	}
	end_rows(&rows);
	return gone;
}

/* Errors out if the leaf still names that row. */
static void
report_fault(AnnoyTreeInserter *inserter, LeafSplit *split,
			 const RowFault *fault)
{
	Buffer		buffer = AnnoyLockUnchanged(inserter, split->leaf.link.block,
										ANNOY_PAGE_LEAF, &split->before);

	if (!BufferIsValid(buffer))
		return;
	UnlockReleaseBuffer(buffer);
	AnnoyReportRow(inserter->index, &fault->tid, fault->what);
}

/*
 * Takes entries of rows that are gone off a leaf, if it is unchanged.  The record
 * that took the row from the table has sent away from standbys who saw it.
 */
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
						   &inserter->forest->leaf, drop);
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
	bool		all[BLCKSZ / sizeof(ItemPointerData)];

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
		   ANNOY_PAGE_CONTENT);
	((PageHeader) page)->pd_lower = ((PageHeader) head_page)->pd_lower;
	((PageHeader) page)->pd_upper = ((PageHeader) head_page)->pd_upper;
	AnnoyPageGetLeafHeader(page)->sparse = ANNOY_NO_SPARSE_PAGE;
	AnnoyPageGetOpaque(page)->flags |= ANNOY_LEAF_CHAINED;
	AnnoyPageGetOpaque(page)->chainlink = AnnoyPageGetOpaque(head_page)->chainlink;

	memset(all, true, sizeof(all));
	(void) AnnoyFilterLeaf(head_page, &inserter->forest->leaf, all);
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
	const AnnoyLeafLayout *layout = &inserter->forest->leaf;
	int			capacity = layout->capacity;
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
	AnnoyCheckLeaf(index, BufferGetPage(buffer), sparse, layout);
	if (!(AnnoyPageGetOpaque(BufferGetPage(buffer))->flags & ANNOY_LEAF_CHAINED))
		AnnoyReportCorruption(index, sparse, "leaf in a list of chained pages");

	xlog = GenericXLogStart(index);
	head_page = GenericXLogRegisterBuffer(xlog, head, 0);
	page = GenericXLogRegisterBuffer(xlog, buffer, 0);
	for (int i = 0; i < entries; i++)
	{
		if (drop[i])
			continue;			/* gone */
		if (AnnoyPageGetLeafHeader(page)->count < capacity)
		{
			AnnoyAddItemEntry(page, inserter->forest, &split->rows, item);
			drop[i] = true;
		}
		item++;
	}
	(void) AnnoyFilterLeaf(head_page, layout, drop);
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
	AnnoyItemSet *items = &split->rows;
	int			spare = items->count;	/* a place behind the items */
	PGAlignedBlock page;
	RowFault	fault;
	int			side = 0;

	if (!BlockNumberIsValid(block))
		return 0;
	AnnoyCopyPage(inserter, block, ANNOY_PAGE_LEAF, &page);
	AnnoyCheckLeaf(inserter->index, page.data, block, &inserter->forest->leaf);
	(void) load_leaf(inserter, items, &page, 1, &fault);
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
		split->rows.count - split->left;

	centroid->centroid = palloc(inserter->s);
	AnnoyMeasureCentroid(&split->rows.set, items, count, centroid);
	AnnoyStartLeaf(page, &inserter->forest->leaf, centroid->centroid,
				   centroid->scale, centroid->norm_squared, centroid->extra);
	for (int i = 0; i < count; i++)
		AnnoyAddItemEntry(page, inserter->forest, &split->rows, items[i]);
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

	new_buffer = AnnoyTakePage(index, inserter->forest->meta.former_end);
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
	RowFault	fault;
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
				   &inserter->forest->leaf);
	before = AnnoyPageGetLeafHeader(split->before.data)->count;
	if (before < inserter->forest->leaf.capacity ||
		AnnoyPageGetLeafHeader(split->before.data)->version != leaf->link.version)
		return;
	/* one more place for find_chain_side */
	AnnoyAllocateItems(&split->rows, inserter->s, before + 1);
	split->rows.sketches = palloc(sizeof(float) * inserter->s * (before + 1));
	drop = load_leaf(inserter, &split->rows, &split->before, before, &fault);
	if (fault.what != NULL)
	{
		report_fault(inserter, split, &fault);
		return;
	}
	if (split->rows.count < 2 ||
		before - split->rows.count >= before * CLEANED_SHARE)
	{
		clean_leaf(inserter, split, drop);
		return;
	}

	split->items = AnnoyListPositions(split->rows.count);
	split->left = AnnoySplitSet(&split->rows.set, split->items,
								split->rows.count, ANNOY_SPLIT_QUANTILE,
								split->rows.count / 2,
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

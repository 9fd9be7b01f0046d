/*-------------------------------------------------------------------------
 *
 * directorysplit.c
 *	  Making room in a full directory; see treeinsert.c.
 *
 * One that takes more entries in another form gets that (directory.c); else it
 * is split.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/generic_xlog.h"
#include "miscadmin.h"

#include "arith/random.h"
#include "forest/sketchset.h"
#include "forest/treesplit.h"

/* A directory on its way to more room. */
typedef struct DirectorySplit
{
	int			tree;
	BlockNumber block;
	PGAlignedBlock before;		/* copy of the page */
	int			count;			/* entries */
	const AnnoyCentroid **leaves;	/* [count], those of the left side first */
	int			left;
	AnnoyHyperplane plane;
	AnnoyDirectoryForm form;	/* of what will be written */
	PGAlignedBlock halves[2];	/* that */

	/* the pages, locked */
	Buffer		directory;
	Buffer		right;
	Buffer		node_page;		/* new one, or invalid: the node goes to the
								 * parent's page */
	Buffer		parent_page;
	Size		link_offset;	/* of the link to the directory there */
} DirectorySplit;

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
		AnnoyCheckNode(inserter->index, block, page, inserter->s, parent.slot);
		if (parent.side > 1)
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
 * The centroid of a leaf: from its page where the directory has only a code.
 * If the leaf was split since the directory was copied, the directory has
 * changed, too, and what is made of this will not be written.
 */
static void
load_centroid(AnnoyTreeInserter *inserter, DirectorySplit *split, int place,
			  AnnoyCentroid *centroid)
{
	int			s = inserter->s;
	Page		page = (Page) split->before.data;
	AnnoyDirectoryEntry entry = AnnoyPageGetDirectoryEntry(page, s, place);
	AnnoyLeafHeader leaf;
	Buffer		buffer;

	centroid->link = entry->leaf;
	centroid->centroid = palloc(s);
	if (AnnoyPageGetDirectoryHeader(page)->form == ANNOY_DIRECTORY_CENTROIDS)
	{
		centroid->scale = entry->scale;
		centroid->norm_squared = entry->norm_squared;
		centroid->extra = entry->extra;
		memcpy(centroid->centroid, entry->data.centroid, s);
		return;
	}
	buffer = AnnoyReadPage(inserter->index, entry->leaf.block, ANNOY_PAGE_LEAF,
						   BUFFER_LOCK_SHARE);
	leaf = AnnoyPageGetLeafHeader(BufferGetPage(buffer));
	centroid->scale = leaf->scale;
	centroid->norm_squared = leaf->norm_squared;
	centroid->extra = leaf->extra;
	memcpy(centroid->centroid, leaf->centroid, s);
	UnlockReleaseBuffer(buffer);
}

static void
load_centroids(AnnoyTreeInserter *inserter, DirectorySplit *split)
{
	AnnoyCentroid *centroids = palloc(sizeof(AnnoyCentroid) * split->count);

	split->leaves = palloc(sizeof(AnnoyCentroid *) * split->count);
	for (int i = 0; i < split->count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		load_centroid(inserter, split, i, &centroids[i]);
		split->leaves[i] = &centroids[i];
	}
}

/* A hyperplane between the leaves; puts those of its left side first. */
static void
divide_leaves(AnnoyTreeInserter *inserter, DirectorySplit *split)
{
	int			count = split->count;
	uint32		version =
		AnnoyPageGetDirectoryHeader(split->before.data)->version;
	int32	   *order = AnnoyListPositions(count);
	const AnnoyCentroid **leaves = palloc(sizeof(AnnoyCentroid *) * count);
	AnnoySketchSet set;

	AnnoyAllocateSet(&set, inserter->s, count);
	for (int i = 0; i < count; i++)
		AnnoyPutCentroid(&set, i, split->leaves[i]);
	split->left = AnnoySplitCentroids(&set, order, count,
									  AnnoyHash(inserter->forest->meta.seed, version),
									  &split->plane);
	for (int i = 0; i < count; i++)
		leaves[i] = split->leaves[order[i]];
	split->leaves = leaves;
}

/* Makes a directory of some of the leaves; links are set later. */
static void
prepare_directory(AnnoyTreeInserter *inserter, const DirectorySplit *split,
				  PGAlignedBlock *page, int first, int count)
{
	AnnoyInitPage((Page) page->data, ANNOY_PAGE_DIRECTORY, split->tree);
	AnnoyFillDirectory((Page) page->data, &inserter->forest->sketcher,
					   split->form, split->leaves + first, count);
}

/* Puts what was prepared into a page, but for the links of its special area. */
static void
replace_directory(Page page, const PGAlignedBlock *prepared, uint32 version,
				  AnnoyParent parent)
{
	Size		begin = MAXALIGN(SizeOfPageHeaderData);

	memcpy((char *) page + begin, prepared->data + begin, ANNOY_PAGE_CONTENT);
	((PageHeader) page)->pd_lower = ((const PageHeaderData *) prepared)->pd_lower;
	AnnoyPageGetDirectoryHeader(page)->version = version;
	AnnoyPageGetDirectoryHeader(page)->parent = parent;
}

/* Gives a directory another form, in which it has room. */
static void
convert_directory(AnnoyTreeInserter *inserter, DirectorySplit *split)
{
	AnnoyDirectoryHeader *header =
		AnnoyPageGetDirectoryHeader(split->before.data);
	Buffer		buffer;
	GenericXLogState *xlog;

	prepare_directory(inserter, split, &split->halves[0], 0, split->count);
	buffer = AnnoyLockUnchanged(inserter, split->block, ANNOY_PAGE_DIRECTORY,
								&split->before);
	if (!BufferIsValid(buffer))
		return;
	xlog = GenericXLogStart(inserter->index);
	replace_directory(GenericXLogRegisterBuffer(xlog, buffer, 0),
					  &split->halves[0], header->version, header->parent);
	GenericXLogFinish(xlog);
	UnlockReleaseBuffer(buffer);
}

/* Writes both halves, the node above them and the link to it by one record. */
static void
write_halves(AnnoyTreeInserter *inserter, DirectorySplit *split)
{
	GenericXLogState *xlog = GenericXLogStart(inserter->index);
	Page		above = GenericXLogRegisterBuffer(xlog, split->parent_page, 0);
	Page		node = above;
	Page		page = GenericXLogRegisterBuffer(xlog, split->directory, 0);
	Page		new_page = GenericXLogRegisterBuffer(xlog, split->right,
													 GENERIC_XLOG_FULL_IMAGE);
	AnnoyChild *link = (AnnoyChild *) (above + split->link_offset);
	uint32		version = AnnoyPageGetDirectoryHeader(page)->version;
	BlockNumber right = BufferGetBlockNumber(split->right);
	AnnoyChild *children;
	AnnoyParent parent;

	parent.block = BufferGetBlockNumber(split->parent_page);
	if (BufferIsValid(split->node_page))
	{
		node = GenericXLogRegisterBuffer(xlog, split->node_page,
										 GENERIC_XLOG_FULL_IMAGE);
		AnnoyInitPage(node, ANNOY_PAGE_INNER, split->tree);
		parent.block = BufferGetBlockNumber(split->node_page);
	}
	AnnoyInitPage(new_page, ANNOY_PAGE_DIRECTORY, split->tree);

	/* the new page takes the old version and link */
	parent.slot = AnnoyAppendNode(node, inserter->s, &split->plane);
	children = AnnoyPageGetNode(node, inserter->s, parent.slot)->child;
	children[0] = AnnoyDirectoryLink(split->block, version + 1);
	children[1] = AnnoyDirectoryLink(right, version);
	*link = AnnoyNodeLink(parent.block, parent.slot);

	AnnoyPageGetOpaque(new_page)->rightlink = AnnoyPageGetOpaque(page)->rightlink;
	AnnoyPageGetOpaque(page)->rightlink = right;
	parent.side = 0;
	replace_directory(page, &split->halves[0], version + 1, parent);
	parent.side = 1;
	replace_directory(new_page, &split->halves[1], version, parent);
	GenericXLogFinish(xlog);
}

/* Splits a directory whose halves are prepared, if nothing has changed. */
static void
split_directory(AnnoyTreeInserter *inserter, DirectorySplit *split)
{
	Relation	index = inserter->index;
	BlockNumber least = inserter->forest->meta.former_end;
	AnnoyParent parent =
		AnnoyPageGetDirectoryHeader(split->before.data)->parent;

	split->right = AnnoyTakePage(index, least);
	split->node_page = split->directory = InvalidBuffer;
	if (!parent_has_room(inserter, parent))
		split->node_page = AnnoyTakePage(index, least);
	split->parent_page = lock_parent(inserter, split->tree, parent,
									 split->block, &split->link_offset);
	if (BufferIsValid(split->parent_page) &&
		(BufferIsValid(split->node_page) ||
		 AnnoyPageGetInnerHeader(BufferGetPage(split->parent_page))->count <
		 AnnoyInnerCapacity(inserter->s)))
		split->directory = AnnoyLockUnchanged(inserter, split->block,
											  ANNOY_PAGE_DIRECTORY,
											  &split->before);

	if (BufferIsValid(split->directory))
	{
		write_halves(inserter, split);
		UnlockReleaseBuffer(split->directory);
		UnlockReleaseBuffer(split->right);
		if (BufferIsValid(split->node_page))
			UnlockReleaseBuffer(split->node_page);
	}
	else
	{
		AnnoyGiveBackPage(index, split->right);
		if (BufferIsValid(split->node_page))
			AnnoyGiveBackPage(index, split->node_page);
	}
	if (BufferIsValid(split->parent_page))
		UnlockReleaseBuffer(split->parent_page);
}

void
AnnoyMakeDirectoryRoom(AnnoyTreeInserter *inserter, int tree, BlockNumber block)
{
	DirectorySplit *split = palloc(sizeof(DirectorySplit));
	Page		before = (Page) split->before.data;
	int			s = inserter->s;

	split->tree = tree;
	split->block = block;
	AnnoyCopyPage(inserter, block, ANNOY_PAGE_DIRECTORY, &split->before);
	split->count = AnnoyCountDirectory(inserter->index, block, before, s);
	if (split->count < AnnoyGetDirectoryCapacity(before, s))
		return;
	load_centroids(inserter, split);
	/* what has codes keeps them, so that each half has room for its leaves */
	split->form = AnnoyPageGetDirectoryHeader(before)->form;
	if (split->form == ANNOY_DIRECTORY_CENTROIDS)
		split->form = AnnoyChooseDirectoryForm(&inserter->forest->sketcher,
											   split->leaves[0]->extra);
	if (split->count < AnnoyDirectoryCapacity(split->form, s))
	{
		convert_directory(inserter, split);
		return;
	}
	divide_leaves(inserter, split);
	prepare_directory(inserter, split, &split->halves[0], 0, split->left);
	prepare_directory(inserter, split, &split->halves[1], split->left,
					  split->count - split->left);
	split_directory(inserter, split);
}

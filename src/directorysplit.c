/*-------------------------------------------------------------------------
 *
 * directorysplit.c
 *	  Splitting a full directory; see treeinsert.c.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/generic_xlog.h"

#include "random.h"
#include "split.h"
#include "treesplit.h"

int
AnnoyCountDirectory(AnnoyTreeInserter *inserter, Page page, BlockNumber block)
{
	int			count = AnnoyPageGetDirectoryHeader(page)->count;

	if (count > AnnoyDirectoryCapacity(inserter->s))
		AnnoyReportCorruption(inserter->index, block,
							  "too many directory entries");
	return count;
}

void
AnnoySetDirectoryCount(Page page, int s, int count)
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
	AnnoySetDirectoryCount(page, s, count);
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

void
AnnoySplitDirectory(AnnoyTreeInserter *inserter, int tree, BlockNumber block)
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
	Size		link_offset = 0;

	AnnoyCopyPage(inserter, block, ANNOY_PAGE_DIRECTORY, &before);
	header = AnnoyPageGetDirectoryHeader(before.data);
	count = AnnoyCountDirectory(inserter, before.data, block);
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
		directory = AnnoyLockUnchanged(inserter, block, ANNOY_PAGE_DIRECTORY, &before);

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
		AnnoyGiveBackPage(index, right);
		if (BufferIsValid(node_page))
			AnnoyGiveBackPage(index, node_page);
	}
	if (BufferIsValid(parent_page))
		UnlockReleaseBuffer(parent_page);
}

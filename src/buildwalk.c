/*-------------------------------------------------------------------------
 *
 * buildwalk.c
 *	  Finding the cells of items in a private copy of a tree.
 *
 * The assignment visits the same few inner pages and directories for every
 * item.  Pinning and locking them took a third of its time, and more with
 * workers, which do so at the same time.  Nobody changes them meanwhile, so a
 * process that has the memory copies them first.  The walk is the one of
 * AnnoyChooseLeaf, and makes the same choices.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "build.h"
#include "tree.h"

struct AnnoyTreeCopy
{
	AnnoyBuild *build;
	int			tree;
	BlockNumber first;			/* of the tree's pages */
	BlockNumber last;
	Page	   *pages;			/* [last - first + 1]: up to pd_lower, or NULL */
	int32	   *directories;	/* likewise: number of the directory */
	Size		size;
	Size		limit;
	bool		complete;		/* else the walk is AnnoyChooseLeaf's own */
	AnnoyNodeQueue nodes;
	AnnoyWalk	walk;
};

/* Extends the range of the tree's blocks. */
static void
include_block(AnnoyTreeCopy *copy, BlockNumber block)
{
	copy->first = Min(copy->first, block);
	copy->last = Max(copy->last, block);
}

/* Copies a page; false if that takes too much memory. */
static bool
copy_page(AnnoyTreeCopy *copy, BlockNumber block, AnnoyPageKind kind)
{
	Buffer		buffer;
	Size		size;

	if (copy->pages[block - copy->first] != NULL)
		return true;
	buffer = AnnoyReadPage(copy->build->index, block, kind, BUFFER_LOCK_SHARE);
	size = ((PageHeader) BufferGetPage(buffer))->pd_lower;
	copy->size += size;
	if (copy->size <= copy->limit)
		copy->pages[block - copy->first] =
			memcpy(palloc(size), BufferGetPage(buffer), size);
	UnlockReleaseBuffer(buffer);
	return copy->size <= copy->limit;
}

/* Copies the pages below a link; false if they take too much memory. */
static bool
copy_subtree(AnnoyTreeCopy *copy, const AnnoyChild *link)
{
	AnnoyNode	node;

	CHECK_FOR_INTERRUPTS();
	check_stack_depth();
	if (link->block < copy->first || link->block > copy->last)
		elog(ERROR, "link from a tree to block %u outside of it", link->block);
	if (link->kind == ANNOY_PAGE_DIRECTORY)
		return copy_page(copy, link->block, ANNOY_PAGE_DIRECTORY);
	if (!copy_page(copy, link->block, ANNOY_PAGE_INNER))
		return false;
	node = AnnoyPageGetNode(copy->pages[link->block - copy->first],
							copy->build->forest->sketcher.sketch_dimensions,
							link->slot);
	return copy_subtree(copy, &node->child[0]) &&
		copy_subtree(copy, &node->child[1]);
}

/*
 * Copies a tree whose leaves are cells, in the current memory context, as far
 * as "memory" bytes allow.
 */
AnnoyTreeCopy *
AnnoyCopyTree(AnnoyBuild *build, int tree, const AnnoyCells *cells, Size memory)
{
	AnnoyTreeCopy *copy = palloc0(sizeof(AnnoyTreeCopy));
	AnnoyChild *root = &build->forest->roots[tree];
	Size		blocks;

	copy->build = build;
	copy->tree = tree;
	copy->first = build->shared->tree_block;
	copy->last = RelationGetNumberOfBlocks(build->index) - 1;
	include_block(copy, root->block);
	for (int i = 0; i < cells->directory_count; i++)
		include_block(copy, cells->directories[i].block);
	blocks = copy->last - copy->first + 1;
	copy->pages = palloc_extended(sizeof(Page) * blocks,
								  MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	copy->directories = palloc_extended(sizeof(int32) * blocks,
										MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	for (int i = 0; i < cells->directory_count; i++)
		copy->directories[cells->directories[i].block - copy->first] = i;
	copy->limit = memory;
	copy->complete = copy_subtree(copy, root);
	AnnoyNode_init(&copy->nodes, 64);
	AnnoyInitWalk(&copy->walk, build->index, build->forest);
	return copy;
}

/* From a link down to a directory; the other sides go to the queue. */
static BlockNumber
descend(AnnoyTreeCopy *copy, const AnnoyQuery *item, AnnoyNodeCandidate from)
{
	const AnnoySketcher *sketcher = &copy->build->forest->sketcher;
	AnnoyChild	child = from.child;

	while (child.kind == ANNOY_PAGE_INNER)
	{
		AnnoyNode	node = AnnoyPageGetNode(copy->pages[child.block - copy->first],
											sketcher->sketch_dimensions,
											child.slot);
		float		margin = AnnoyQueryMargin(sketcher, item, node->normal,
											  node->scale, node->extra_weight,
											  node->offset);
		int			side = margin > 0.0f ? 1 : 0;
		AnnoyNodeCandidate other;

		other.priority = from.priority + margin * margin;
		other.child = node->child[1 - side];
		AnnoyNode_push(&copy->nodes, other);
		child = node->child[side];
	}
	return child.block;
}

/* Into which cell of which directory an item belongs. */
void
AnnoyChooseCell(AnnoyTreeCopy *copy, const AnnoyQuery *item, int *directory,
				uint32 *cell)
{
	const AnnoySketcher *sketcher = &copy->build->forest->sketcher;
	int			s = sketcher->sketch_dimensions;
	AnnoyNodeCandidate root = {0.0f, copy->build->forest->roots[copy->tree]};
	float		nearest = 0.0f;
	int64		known = 0;
	int			opened = 0;

	if (!copy->complete)
	{
		AnnoyLeafCandidate leaf = AnnoyChooseLeaf(&copy->walk, item,
												  copy->tree);

		*directory = copy->directories[leaf.directory - copy->first];
		*cell = leaf.link.block;
		return;
	}
	copy->nodes.count = 0;
	AnnoyNode_push(&copy->nodes, root);
	while (copy->nodes.count > 0 &&
		   (known < ANNOY_ASSIGNMENT_LEAVES ||
			opened < ANNOY_ASSIGNMENT_DIRECTORIES))
	{
		BlockNumber block = descend(copy, item, AnnoyNode_pop(&copy->nodes));
		Page		page = copy->pages[block - copy->first];
		int			count = AnnoyPageGetDirectoryHeader(page)->count;

		for (int i = 0; i < count; i++)
		{
			AnnoyDirectoryEntry entry = AnnoyPageGetDirectoryEntry(page, s, i);
			float		distance = AnnoyCentroidDistance(sketcher, item,
														 entry->centroid,
														 entry->scale,
														 entry->norm_squared,
														 entry->extra);

			/* the first one of equal ones, as on top of a queue */
			if ((known == 0 && i == 0) || distance < nearest)
			{
				nearest = distance;
				*directory = copy->directories[block - copy->first];
				*cell = entry->leaf.block;
			}
		}
		known += count;
		opened++;
	}
	if (known == 0)
		elog(ERROR, "tree without cells");
}

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

#include "build/buildwalk.h"
#include "forest/tree.h"

#define INITIAL_QUEUE 64

/* A link within a copy: its "block" is a place in nodes[] or directories[]. */
typedef struct CopiedNode
{
	AnnoyNode	node;
	AnnoyChild	child[2];
} CopiedNode;

/* Where a directory of the tree is in the list of cells; by block. */
typedef struct DirectoryPlace
{
	BlockNumber block;
	int			number;
} DirectoryPlace;

struct AnnoyTreeCopy
{
	AnnoyBuild *build;
	int			tree;
	DirectoryPlace *places;		/* [directory_count] */
	int			directory_count;
	Page	   *directories;	/* likewise by number: up to pd_lower */
	CopiedNode *nodes;			/* one less than there are directories */
	int			node_count;
	AnnoyChild	root;
	Size		size;
	Size		limit;
	bool		complete;		/* else the walk is AnnoyChooseLeaf's own */
	AnnoyNodeQueue queue;
	AnnoyWalk	walk;
};

static int
compare_places(const void *a, const void *b)
{
	BlockNumber x = ((const DirectoryPlace *) a)->block;
	BlockNumber y = ((const DirectoryPlace *) b)->block;

	return x < y ? -1 : x > y ? 1 : 0;
}

/* The number of a directory. */
static int
find_directory(const AnnoyTreeCopy *copy, BlockNumber block)
{
	DirectoryPlace wanted = {block, 0};
	DirectoryPlace *found = bsearch(&wanted, copy->places,
									copy->directory_count,
									sizeof(DirectoryPlace), compare_places);

	if (found == NULL)
		elog(ERROR, "block %u is no directory of tree %d", block, copy->tree);
	return found->number;
}

/*
 * Copies what is below a link; *link is one within the copy then.  False if it
 * takes too much memory.
 */
static bool
copy_subtree(AnnoyTreeCopy *copy, AnnoyChild *link)
{
	bool		inner = link->kind == ANNOY_PAGE_INNER;
	Buffer		buffer = AnnoyReadPage(copy->build->index, link->block,
									   link->kind, BUFFER_LOCK_SHARE);
	Page		page = BufferGetPage(buffer);
	int			s = copy->build->forest->sketcher.sketch_dimensions;
	char	   *source = inner ?
		(char *) AnnoyPageGetNode(page, s, link->slot) : (char *) page;
	Size		size = AnnoyNodeSize(s);
	char	   *data = NULL;
	CopiedNode *node;
	bool		complete;

	if (!inner)
	{
		int			count = AnnoyCountDirectory(copy->build->index, link->block,
												page, s);

		size = (char *) AnnoyPageGetDirectoryEntry(page, s, count) - source;
	}
	if (copy->size + size <= copy->limit)
	{
		data = memcpy(palloc(size), source, size);
		copy->size += GetMemoryChunkSpace(data);
	}
	UnlockReleaseBuffer(buffer);
	if (data == NULL)
		return false;
	if (!inner)
	{
		link->block = find_directory(copy, link->block);
		copy->directories[link->block] = data;
		return true;
	}

	CHECK_FOR_INTERRUPTS();
	check_stack_depth();
	if (copy->node_count >= copy->directory_count)
		elog(ERROR, "more nodes than directories in tree %d", copy->tree);
	link->block = copy->node_count++;
	node = &copy->nodes[link->block];
	node->node = (AnnoyNode) data;
	memcpy(node->child, node->node->child, sizeof(node->child));
	complete = copy_subtree(copy, &node->child[0]);
	return complete && copy_subtree(copy, &node->child[1]);
}

/*
 * Copies a tree whose leaves are cells, in the current memory context, if
 * "memory" bytes are enough.
 */
AnnoyTreeCopy *
AnnoyCopyTree(AnnoyBuild *build, int tree, const AnnoyCells *cells, Size memory)
{
	AnnoyTreeCopy *copy = palloc0(sizeof(AnnoyTreeCopy));
	int			count = cells->directory_count;

	copy->build = build;
	copy->tree = tree;
	copy->directory_count = count;
	copy->places = palloc_extended(sizeof(DirectoryPlace) * count,
								   MCXT_ALLOC_HUGE);
	for (int i = 0; i < count; i++)
	{
		copy->places[i].block = cells->directories[i].block;
		copy->places[i].number = i;
	}
	qsort(copy->places, count, sizeof(DirectoryPlace), compare_places);
	copy->directories = palloc_extended(sizeof(Page) * count, MCXT_ALLOC_HUGE);
	copy->nodes = palloc_extended(sizeof(CopiedNode) * count, MCXT_ALLOC_HUGE);
	copy->limit = memory;
	copy->size = (sizeof(DirectoryPlace) + sizeof(Page) + sizeof(CopiedNode)) *
		(Size) count;
	copy->root = build->forest->roots[tree];
	copy->complete = copy_subtree(copy, &copy->root);
	AnnoyNode_init(&copy->queue, INITIAL_QUEUE);
	AnnoyInitWalk(&copy->walk, build->index, build->forest);
	return copy;
}

/* From a link down to a directory; the other sides go to the queue. */
static int
descend(AnnoyTreeCopy *copy, const AnnoyQuery *item, AnnoyNodeCandidate from)
{
	const AnnoySketcher *sketcher = &copy->build->forest->sketcher;
	AnnoyChild	child = from.child;

	while (child.kind == ANNOY_PAGE_INNER)
	{
		const CopiedNode *here = &copy->nodes[child.block];
		AnnoyNode	node = here->node;
		float		margin = AnnoyQueryMargin(sketcher, item, node->normal,
											  node->scale, node->extra_weight,
											  node->offset);
		int			side = margin > 0.0f ? 1 : 0;
		AnnoyNodeCandidate other;

		other.priority = from.priority + margin * margin;
		other.child = here->child[1 - side];
		AnnoyNode_push(&copy->queue, other);
		child = here->child[side];
	}
	return (int) child.block;
}

/* Into which cell of which directory an item belongs. */
void
AnnoyChooseCell(AnnoyTreeCopy *copy, const AnnoyQuery *item, int *directory,
				uint32 *cell)
{
	const AnnoySketcher *sketcher = &copy->build->forest->sketcher;
	int			s = sketcher->sketch_dimensions;
	int64		wanted = AnnoyCountAssignmentLeaves(sketcher);
	float		distances[ANNOY_MAX_DIRECTORY_ENTRIES];
	AnnoyNodeCandidate root = {0.0f, copy->root};
	float		nearest = 0.0f;
	int64		known = 0;
	int			opened = 0;

	if (!copy->complete)
	{
		AnnoyLeafCandidate leaf = AnnoyChooseLeaf(&copy->walk, item,
												  copy->tree);

		*directory = find_directory(copy, leaf.directory);
		*cell = leaf.link.block;
		return;
	}
	copy->queue.count = 0;
	AnnoyNode_push(&copy->queue, root);
	while (copy->queue.count > 0 &&
		   (known < wanted ||
			opened < ANNOY_ASSIGNMENT_DIRECTORIES))
	{
		int			number = descend(copy, item, AnnoyNode_pop(&copy->queue));
		Page		page = copy->directories[number];
		int			count = AnnoyPageGetDirectoryHeader(page)->count;
		int			best = 0;

		/* the first one of equal ones, as on top of a queue */
		AnnoyRankDirectory(page, sketcher, item, distances);
		for (int i = 1; i < count; i++)
			best = distances[i] < distances[best] ? i : best;
		if (count > 0 && (known == 0 || distances[best] < nearest))
		{
			nearest = distances[best];
			*directory = number;
			*cell = AnnoyPageGetDirectoryEntry(page, s, best)->leaf.block;
		}
		known += count;
		opened++;
	}
	if (known == 0)
		elog(ERROR, "tree without cells");
}

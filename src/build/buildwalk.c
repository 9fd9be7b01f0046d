/*-------------------------------------------------------------------------
 *
 * buildwalk.c
 *	  Finding the cells of items in a private copy of a tree.
 *
 * The assignment visits the same few inner pages and directories for every
 * item.  Pinning and locking them took a third of its time, and more with
 * workers, which do so at the same time.  Nobody changes them meanwhile, so a
 * process that has the memory copies them first.  The walk is the one of
 * AnnoyChooseLeaf.
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

/*
 * Links within a copy: of version COPIED, their "block" is a place in nodes[] or
 * directories[]; what else there is has found no room.
 */
#define COPIED 1
#define NOT_COPIED 0

typedef struct CopiedNode
{
	AnnoyNode	node;
	AnnoyChild	child[2];
} CopiedNode;

/*
 * A directory within a copy.  Of one of centroids, these side by side, whose
 * numbers are their places; else the page up to pd_lower.
 */
typedef struct CopiedDirectory
{
	AnnoyCentroidSet set;
	Page		page;			/* or NULL */
} CopiedDirectory;

/* Where a directory of the tree is in the list of cells; by block. */
typedef struct DirectoryPlace
{
	BlockNumber block;
	int			number;
} DirectoryPlace;

struct AnnoyTreeCopy
{
	AnnoyBuild *build;
	const AnnoyCells *cells;
	int			tree;
	DirectoryPlace *places;		/* [directory_count] */
	int			directory_count;
	CopiedDirectory *directories;	/* likewise by number */
	CopiedNode *nodes;			/* one less than there are directories */
	int			node_count;
	AnnoyChild	root;
	Size		size;
	Size		limit;
	CopiedDirectory directory;	/* one that is not copied */
	PGAlignedBlock page;		/* its memory */
	AnnoyNodeQueue queue;
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

/* Memory within the limit, or NULL. */
static void *
allocate(AnnoyTreeCopy *copy, Size size)
{
	void	   *memory;

	if (copy->size + size > copy->limit)
		return NULL;
	memory = palloc(size);
	copy->size += GetMemoryChunkSpace(memory);
	return memory;
}

/* Copies a directory's contents into memory that it fits. */
static void
fill_directory(AnnoyTreeCopy *copy, CopiedDirectory *directory, Page page,
			   Size size, void *memory)
{
	int			s = copy->build->forest->sketcher.sketch_dimensions;
	int			count = AnnoyPageGetDirectoryHeader(page)->count;
	AnnoyCentroidSet *set = &directory->set;

	directory->page = NULL;
	if (AnnoyPageGetDirectoryHeader(page)->form == ANNOY_DIRECTORY_CODES)
	{
		directory->page = memcpy(memory, page, size);
		return;
	}
	set->sketch_dimensions = s;
	set->count = count;
	set->scale = memory;
	set->norm_squared = set->scale + count;
	set->extra = set->norm_squared + count;
	set->centroids = (int8 *) (set->extra + count);
	for (int i = 0; i < count; i++)
	{
		AnnoyDirectoryEntry entry = AnnoyPageGetDirectoryEntry(page, s, i);

		set->scale[i] = entry->scale;
		set->norm_squared[i] = entry->norm_squared;
		set->extra[i] = entry->extra;
		memcpy(set->centroids + (Size) i * s, entry->data.centroid, s);
	}
}

/*
 * Reads a directory: into the memory of the copy, if there is room and it is to
 * stay, or into the one place for others.
 */
static CopiedDirectory *
read_directory(AnnoyTreeCopy *copy, BlockNumber block, int number, bool stays)
{
	int			s = copy->build->forest->sketcher.sketch_dimensions;
	Buffer		buffer = AnnoyReadPage(copy->build->index, block,
									   ANNOY_PAGE_DIRECTORY, BUFFER_LOCK_SHARE);
	Page		page = BufferGetPage(buffer);
	int			count = AnnoyCountDirectory(copy->build->index, block, page, s);
	/* the numbers of an entry take less without their link */
	Size		size = (char *) AnnoyPageGetDirectoryEntry(page, s, count) -
		(char *) page;
	CopiedDirectory *directory = stays ? &copy->directories[number] :
		&copy->directory;
	void	   *memory = stays ? allocate(copy, size) : copy->page.data;

	if (memory)
		fill_directory(copy, directory, page, size, memory);
	UnlockReleaseBuffer(buffer);
	return memory ? directory : NULL;
}

/* Reads a node of the tree: its margin to an item, and its links. */
static float
read_node(AnnoyTreeCopy *copy, const AnnoyQuery *item, AnnoyChild link,
		  AnnoyChild *children)
{
	const AnnoySketcher *sketcher = &copy->build->forest->sketcher;
	Buffer		buffer = AnnoyReadPage(copy->build->index, link.block,
									   ANNOY_PAGE_INNER, BUFFER_LOCK_SHARE);
	AnnoyNode	node = AnnoyPageGetNode(BufferGetPage(buffer),
										sketcher->sketch_dimensions, link.slot);
	float		margin = AnnoyQueryMargin(sketcher, item, node->normal,
										  node->scale, node->extra_weight,
										  node->offset);

	memcpy(children, node->child, sizeof(AnnoyChild) * 2);
	children[0].version = children[1].version = NOT_COPIED;
	UnlockReleaseBuffer(buffer);
	return margin;
}

static void
copy_node(AnnoyTreeCopy *copy, AnnoyChild *link)
{
	Size		size = AnnoyNodeSize(copy->build->forest->sketcher.sketch_dimensions);
	CopiedNode *node = &copy->nodes[copy->node_count];
	Buffer		buffer;

	if (copy->node_count >= copy->directory_count)
		elog(ERROR, "more nodes than directories in tree %d", copy->tree);
	node->node = allocate(copy, size);
	if (node->node == NULL)
		return;
	buffer = AnnoyReadPage(copy->build->index, link->block, ANNOY_PAGE_INNER,
						   BUFFER_LOCK_SHARE);
	memcpy(node->node, AnnoyPageGetNode(BufferGetPage(buffer),
										copy->build->forest->sketcher.sketch_dimensions,
										link->slot), size);
	UnlockReleaseBuffer(buffer);
	memcpy(node->child, node->node->child, sizeof(node->child));
	link->block = copy->node_count++;
	link->version = COPIED;
}

/* Copies what is below a link, which is one within the copy then, if it fits. */
static void
copy_subtree(AnnoyTreeCopy *copy, AnnoyChild *link)
{
	CHECK_FOR_INTERRUPTS();
	check_stack_depth();
	link->version = NOT_COPIED;
	if (link->kind == ANNOY_PAGE_INNER)
	{
		copy_node(copy, link);
		for (int side = 0; link->version == COPIED && side < 2; side++)
			copy_subtree(copy, &copy->nodes[link->block].child[side]);
	}
	else
	{
		int			number = find_directory(copy, link->block);

		if (read_directory(copy, link->block, number, true))
		{
			link->block = number;
			link->version = COPIED;
		}
	}
}

/*
 * Copies a tree whose leaves are cells, in the current memory context, as far as
 * "memory" bytes are enough.
 */
AnnoyTreeCopy *
AnnoyCopyTree(AnnoyBuild *build, int tree, const AnnoyCells *cells, Size memory)
{
	AnnoyTreeCopy *copy = palloc0(sizeof(AnnoyTreeCopy));
	int			count = cells->directory_count;

	copy->build = build;
	copy->cells = cells;
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
	copy->directories = palloc_extended(sizeof(CopiedDirectory) * count,
										MCXT_ALLOC_HUGE);
	copy->nodes = palloc_extended(sizeof(CopiedNode) * count, MCXT_ALLOC_HUGE);
	copy->limit = memory;
	copy->size = (sizeof(DirectoryPlace) + sizeof(CopiedDirectory) +
				  sizeof(CopiedNode)) * (Size) count;
	copy->root = build->forest->roots[tree];
	copy_subtree(copy, &copy->root);
	AnnoyNode_init(&copy->queue, INITIAL_QUEUE);
	return copy;
}

/* From a link down to a directory; the other sides go to the queue. */
static AnnoyChild
descend(AnnoyTreeCopy *copy, const AnnoyQuery *item, AnnoyNodeCandidate from)
{
	const AnnoySketcher *sketcher = &copy->build->forest->sketcher;
	AnnoyChild	link = from.child;

	while (link.kind == ANNOY_PAGE_INNER)
	{
		AnnoyChild	children[2];
		AnnoyNodeCandidate other;
		float		margin;
		int			side;

		if (link.version == COPIED)
		{
			const CopiedNode *here = &copy->nodes[link.block];
			AnnoyNode	node = here->node;

			margin = AnnoyQueryMargin(sketcher, item, node->normal, node->scale,
									  node->extra_weight, node->offset);
			memcpy(children, here->child, sizeof(children));
		}
		else
			margin = read_node(copy, item, link, children);
		side = margin > 0.0f ? 1 : 0;
		other.priority = from.priority + margin * margin;
		other.child = children[1 - side];
		AnnoyNode_push(&copy->queue, other);
		link = children[side];
	}
	return link;
}

/*
 * The nearest cell of a directory that has some; *distance: what it is away, less
 * the same for all.
 */
static int
find_nearest(const CopiedDirectory *directory, const AnnoySketcher *sketcher,
			 const AnnoyQuery *item, float *distance)
{
	float		distances[ANNOY_MAX_DIRECTORY_ENTRIES + ANNOY_RUN];
	int32		products[ANNOY_MAX_DIRECTORY_ENTRIES + ANNOY_RUN];
	int			count;
	int			best = 0;

	if (directory->page == NULL)
		return AnnoyFindNearestCentroid(&directory->set, item->quantised,
										item->scale, item->extra, products,
										distances, distance);
	count = AnnoyPageGetDirectoryHeader(directory->page)->count;
	AnnoyRankDirectory(directory->page, sketcher, item, distances);
	for (int i = 1; i < count; i++)
		best = distances[i] < distances[best] ? i : best;
	*distance = distances[best];
	return best;
}

/* Into which cell of which directory an item belongs. */
void
AnnoyChooseCell(AnnoyTreeCopy *copy, const AnnoyQuery *item, int *directory,
				uint32 *cell)
{
	const AnnoySketcher *sketcher = &copy->build->forest->sketcher;
	int64		wanted = AnnoyCountAssignmentLeaves(sketcher);
	AnnoyNodeCandidate root = {0.0f, copy->root};
	float		nearest = 0.0f;
	int64		known = 0;
	int			opened = 0;

	copy->queue.count = 0;
	AnnoyNode_push(&copy->queue, root);
	while (copy->queue.count > 0 &&
		   (known < wanted ||
			opened < ANNOY_ASSIGNMENT_DIRECTORIES))
	{
		AnnoyChild	link = descend(copy, item, AnnoyNode_pop(&copy->queue));
		bool		copied = link.version == COPIED;
		int			number = copied ? (int) link.block :
			find_directory(copy, link.block);
		float		distance;
		int			best = find_nearest(copied ? &copy->directories[number] :
										read_directory(copy, link.block, number, false),
										sketcher, item, &distance);

		/* the first one of equal ones, as on top of a queue */
		if (known == 0 || distance < nearest)
		{
			nearest = distance;
			*directory = number;
			*cell = best;
		}
		known += copy->cells->directories[number].cell_count;
		opened++;
	}
}

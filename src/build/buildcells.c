/*-------------------------------------------------------------------------
 *
 * buildcells.c
 *	  Subtrees in memory: growing them down to cells, and writing them.
 *
 * A cell is what becomes a leaf, give or take.  The cells of a subtree are
 * listed in directories, with provisional links: the number of the cell within
 * its directory in place of a block.  buildleaves.c replaces them.  A directory
 * may have the cells of several small sets.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/memutils.h"

#include "build/buildcells.h"
#include "build/buildpages.h"

/*
 * Items of a cell, as a share of what a leaf holds: below 1 because the
 * assignment that follows makes cells uneven, and one that overflows becomes
 * two leaves.
 */
#define CELL_FILL 0.85

/* Cells of a directory, as a share of what it holds; room for the same reason. */
#define DIRECTORY_FILL 0.70

/* Sets that make up to so many cells are split in even shares. */
#define EVEN_SPLIT_CELLS 16

/* Children take 1 and 2 of the numbers that make paths. */
#define PATH_OF_PARTITIONS 3

/* What growing needs beside the subtree. */
typedef struct GrowState
{
	CellBuilder *builder;
	Subtree    *subtree;
	const AnnoySketchSet *set;
	int			partition_items;	/* 0: down to cells */
} GrowState;

void
AnnoyInitCellBuilder(CellBuilder *builder, AnnoyBuild *build, int tree)
{
	builder->build = build;
	builder->cells = NULL;
	builder->tree = tree;
	builder->s = build->forest->sketcher.sketch_dimensions;
	builder->cell_items = Max(1, (int) (build->forest->leaf.capacity * CELL_FILL));
	builder->set_items = build->sizes.set_items;
}

void
AnnoyInitCells(AnnoyCells *cells)
{
	memset(cells, 0, sizeof(AnnoyCells));
	cells->directories_allocated = 64;
	cells->directories = palloc(sizeof(AnnoyCellDirectory) *
								cells->directories_allocated);
}

void
AnnoyChooseCellSizes(CellBuilder *builder, bool outsized)
{
	AnnoyDirectoryForm form =
		AnnoyChooseDirectoryForm(&builder->build->forest->sketcher,
								 outsized ? -1.0f : 0.0f);

	builder->directory_cells =
		Max(2, (int) (DIRECTORY_FILL *
					  AnnoyDirectoryCapacity(form, builder->s)));
}

/* ---------------------------------------------------------------------
 * Growing
 * ---------------------------------------------------------------------
 */

uint64
AnnoyChildPath(uint64 path, int side)
{
	return AnnoyHash(path, side + 1);
}

uint64
AnnoyPartitionPath(uint64 path, int number)
{
	return AnnoyHash(AnnoyHash(path, PATH_OF_PARTITIONS), number);
}

static int
new_node(Subtree *subtree, uint64 path)
{
	if (subtree->count == subtree->allocated)
	{
		subtree->allocated = Max(64, subtree->allocated * 2);
		subtree->nodes = subtree->nodes ?
			repalloc(subtree->nodes, sizeof(MemoryNode) * subtree->allocated) :
			palloc(sizeof(MemoryNode) * subtree->allocated);
	}
	memset(&subtree->nodes[subtree->count], 0, sizeof(MemoryNode));
	subtree->nodes[subtree->count].path = path;
	return subtree->count++;
}

/* Makes a cell of some items. */
static int
add_cell(CellBuilder *builder, Subtree *subtree, const AnnoySketchSet *set,
		 const int32 *items, int count, uint64 path)
{
	int			node = new_node(subtree, path);
	MemoryNode *n = &subtree->nodes[node];

	n->centroid.centroid = palloc(builder->s);
	AnnoyMeasureCentroid(set, items, count, &n->centroid);
	return node;
}

/* Returns the node. */
static int
grow(GrowState *state, int32 *items, int count, uint64 path)
{
	CellBuilder *builder = state->builder;
	Subtree    *subtree = state->subtree;
	bool		partition = state->partition_items > 0;
	int			most = partition ? state->partition_items : builder->cell_items;
	int			parts = (count + most - 1) / most;
	AnnoyHyperplane plane;
	int			left = 0;
	int			node;
	int			children[2];

	CHECK_FOR_INTERRUPTS();
	check_stack_depth();
	if (parts > 1)
	{
		bool		even = !partition && parts <= EVEN_SPLIT_CELLS;

		left = AnnoySplitSet(state->set, items, count,
							 even ? ANNOY_SPLIT_QUANTILE : ANNOY_SPLIT_MIDDLE,
							 even ? (int) ((int64) count * (parts / 2) / parts) : 0,
							 path, &plane);
	}
	if (left == 0)
	{
		return partition ? new_node(subtree, path) :
			add_cell(builder, subtree, state->set, items, count, path);
	}
	node = new_node(subtree, path);
	children[0] = grow(state, items, left, AnnoyChildPath(path, 0));
	children[1] = grow(state, items + left, count - left,
					   AnnoyChildPath(path, 1));
	subtree->nodes[node].plane = plane;
	subtree->nodes[node].child[0] = children[0];
	subtree->nodes[node].child[1] = children[1];
	return node;
}

void
AnnoyGrowSubtree(CellBuilder *builder, Subtree *subtree,
				 const AnnoySketchSet *set, int32 *items, int count,
				 int partition_items, uint64 path)
{
	GrowState	state = {builder, subtree, set, partition_items};

	memset(subtree, 0, sizeof(Subtree));
	(void) grow(&state, items, count, path);
}

void
AnnoyGrowSingleCell(CellBuilder *builder, Subtree *subtree,
					const AnnoySketchSet *set, int count, uint64 path)
{
	int32	   *items = AnnoyListPositions(count);

	memset(subtree, 0, sizeof(Subtree));
	(void) add_cell(builder, subtree, set, items, count, path);
	pfree(items);
}

/* ---------------------------------------------------------------------
 * Writing
 * ---------------------------------------------------------------------
 */

void
AnnoyWriteCells(CellBuilder *builder, CellList *list)
{
	AnnoyCells *cells = builder->cells;
	AnnoyParent parent = {InvalidBlockNumber, 0, 0};
	const AnnoyCentroid **entries;
	AnnoyCellDirectory *directory;

	if (list->count == 0)
		return;
	entries = palloc(sizeof(AnnoyCentroid *) * list->count);
	for (int i = 0; i < list->count; i++)
	{
		list->cells[i].link.block = i;
		list->cells[i].link.version = ANNOY_ANY_VERSION;
		entries[i] = &list->cells[i];
	}
	list->link = AnnoyWriteDirectory(builder->build, builder->tree,
									 InvalidBlockNumber, parent, entries,
									 list->count);
	pfree(entries);
	if (cells->directory_count == cells->directories_allocated)
	{
		cells->directories_allocated *= 2;
		cells->directories =
			repalloc_huge(cells->directories, sizeof(AnnoyCellDirectory) *
						  (Size) cells->directories_allocated);
	}
	directory = &cells->directories[cells->directory_count++];
	directory->block = list->link.block;
	directory->first_cell = cells->cell_count;
	directory->cell_count = list->count;
	directory->partition = list->partition;
	directory->batch = 0;
	directory->parent = parent;
	directory->path = list->path;
	cells->cell_count += list->count;
	list->count = 0;
}

/*
 * A directory remembers where it is linked from.  That is known when its
 * parent is written, most often soon after itself.
 */
static void
set_parent(CellBuilder *builder, const AnnoyChild *child, AnnoyParent parent)
{
	if (child->kind != ANNOY_PAGE_DIRECTORY)
		return;
	for (int i = builder->cells->directory_count - 1; i >= 0; i--)
	{
		AnnoyCellDirectory *directory = &builder->cells->directories[i];

		if (directory->block == child->block)
		{
			directory->parent = parent;
			return;
		}
	}
}

static void
link_children(CellBuilder *builder, const AnnoyChild *node,
			  const AnnoyChild *children)
{
	for (int side = 0; side < 2; side++)
	{
		AnnoyParent parent = {node->block, node->slot, side};

		AnnoySetChild(builder->build, parent, &children[side]);
		set_parent(builder, &children[side], parent);
	}
}

void
AnnoyJoinCells(CellBuilder *builder, const MemoryNode *node, CellList *left,
			   CellList *right, CellList *list)
{
	AnnoyChild	children[2];

	if (AnnoyAreCellsEmpty(left) || AnnoyAreCellsEmpty(right))
	{
		*list = AnnoyAreCellsEmpty(left) ? *right : *left;
		return;
	}
	*list = *left;
	list->path = node->path;
	if (left->count > 0 && right->count > 0 &&
		left->count + right->count <= builder->directory_cells)
	{
		list->count = left->count + right->count;
		list->cells = palloc(sizeof(AnnoyCentroid) * list->count);
		memcpy(list->cells, left->cells, sizeof(AnnoyCentroid) * left->count);
		memcpy(list->cells + left->count, right->cells,
			   sizeof(AnnoyCentroid) * right->count);
		return;
	}
	AnnoyWriteCells(builder, left);
	AnnoyWriteCells(builder, right);
	children[0] = left->link;
	children[1] = right->link;
	list->link = AnnoyAddNode(builder->build, builder->tree, &node->plane);
	list->count = 0;
	link_children(builder, &list->link, children);
}

static void
list_cells(CellBuilder *builder, const Subtree *subtree, int node,
		   CellList *list)
{
	MemoryNode *n = &subtree->nodes[node];
	CellList	sides[2];

	if (n->plane.normal == NULL)
	{
		memset(list, 0, sizeof(CellList));
		list->link.block = InvalidBlockNumber;
		list->cells = &n->centroid;
		list->count = 1;
		list->path = n->path;
		return;
	}
	for (int side = 0; side < 2; side++)
		list_cells(builder, subtree, n->child[side], &sides[side]);
	AnnoyJoinCells(builder, n, &sides[0], &sides[1], list);
}

void
AnnoyListCells(CellBuilder *builder, const Subtree *subtree, CellList *list)
{
	list_cells(builder, subtree, 0, list);
}

void
AnnoyCopyCells(CellBuilder *builder, CellList *list)
{
	AnnoyCentroid *cells = list->cells;
	int			s = builder->s;
	int8	   *centroids;

	if (list->count == 0)
		return;
	list->cells = palloc(sizeof(AnnoyCentroid) * list->count);
	centroids = palloc((Size) s * list->count);
	for (int i = 0; i < list->count; i++)
	{
		list->cells[i] = cells[i];
		list->cells[i].centroid = memcpy(centroids + (Size) i * s,
										 cells[i].centroid, s);
	}
}

void
AnnoySetRoot(CellBuilder *builder, int side, const AnnoyChild *root)
{
	AnnoyParent parent = {InvalidBlockNumber, 0, side};

	builder->build->shared->roots[side] = *root;
	if (BlockNumberIsValid(root->block))
		set_parent(builder, root, parent);
}

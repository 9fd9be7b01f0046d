/*-------------------------------------------------------------------------
 *
 * buildcells.h
 *	  Subtrees in memory: what buildpartition.c and buildcells.c share.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ANNOY_BUILDCELLS_H
#define ANNOY_BUILDCELLS_H

#include "build/build.h"

/*
 * The cells of a subtree: listed, as long as one directory has room for all of
 * them, which then need not be written; else below a link.
 */
typedef struct CellList
{
	AnnoyChild	link;			/* without a block: listed */
	AnnoyCentroid *cells;		/* [count], with provisional links */
	int			count;			/* 0: no rows, or not listed */
	int			partition;		/* the first one that they are of */
	uint64		path;
} CellList;

/* A node of a subtree in memory: an inner one, or a cell / a partition. */
typedef struct MemoryNode
{
	AnnoyHyperplane plane;		/* normal is NULL: no inner node */
	int			child[2];
	int			number;			/* of the partition */
	uint64		path;
	AnnoyCentroid centroid;		/* of a cell */
} MemoryNode;

typedef struct Subtree
{
	MemoryNode *nodes;			/* the first one is its root */
	int			count;
	int			allocated;
} Subtree;

typedef struct CellBuilder
{
	AnnoyBuild *build;
	AnnoyCells *cells;			/* that this process has made */
	int			tree;
	int			s;
	int			cell_items;		/* items that a cell may have */
	int			directory_cells;	/* cells that a directory may have */
	int64		set_items;		/* items of a set split in memory */
} CellBuilder;

extern void AnnoyInitCellBuilder(CellBuilder *builder, AnnoyBuild *build,
								 int tree);
extern void AnnoyInitCells(AnnoyCells *cells);

/* For cells of a partition to come: of outsized rows, or of others. */
extern void AnnoyChooseCellSizes(CellBuilder *builder, bool outsized);

/* Paths to the children of a node, and to partitions below it. */
extern uint64 AnnoyChildPath(uint64 path, int side);
extern uint64 AnnoyPartitionPath(uint64 path, int number);

/*
 * Splits items down to cells, or, with partition_items > 0, a sample down to
 * parts of that many.  items: all positions of the set, by TID; reordered.
 */
extern void AnnoyGrowSubtree(CellBuilder *builder, Subtree *subtree,
							 const AnnoySketchSet *set, int32 *items,
							 int count, int partition_items, uint64 path);

/*
 * buildrefine.c: moves the cells' centroids nearer to the items.  items: all
 * positions of the set, by TID.
 */
extern void AnnoyRefineCells(CellBuilder *builder, Subtree *subtree,
							 const AnnoySketchSet *set, const int32 *items,
							 int count);

/* One cell of all items, as a subtree. */
extern void AnnoyGrowSingleCell(CellBuilder *builder, Subtree *subtree,
								const AnnoySketchSet *set, int count,
								uint64 path);

/* The cells of a subtree in memory. */
extern void AnnoyListCells(CellBuilder *builder, const Subtree *subtree,
						   CellList *list);

/*
 * Puts the cells on both sides of a hyperplane together: in one list, or below a
 * new node.
 */
extern void AnnoyJoinCells(CellBuilder *builder, const MemoryNode *node,
						   CellList *left, CellList *right, CellList *list);

/* Copies listed cells into the current memory context. */
extern void AnnoyCopyCells(CellBuilder *builder, CellList *list);

/* Writes listed cells as a directory, which builder->cells lists. */
extern void AnnoyWriteCells(CellBuilder *builder, CellList *list);

static inline bool
AnnoyAreCellsEmpty(const CellList *list)
{
	return list->count == 0 && !BlockNumberIsValid(list->link.block);
}

/* A tree has such a root; side 1: its outsized rows have. */
extern void AnnoySetRoot(CellBuilder *builder, int side,
						 const AnnoyChild *root);

#endif							/* ANNOY_BUILDCELLS_H */

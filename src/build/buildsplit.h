/*-------------------------------------------------------------------------
 *
 * buildsplit.h
 *	  Hyperplanes above partitions, and splitting a partition into cells.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ANNOY_BUILDSPLIT_H
#define ANNOY_BUILDSPLIT_H

#include "build/buildcells.h"

/* Splits a sample of "total" rows; returns the number of partitions. */
extern int	AnnoyGrowTop(CellBuilder *builder, Subtree *top,
						 const AnnoySketchSet *sample, int sample_count,
						 double total, uint64 path);

/* The partition on whose side of every hyperplane a sketch lies. */
extern int	AnnoyFindPartition(int sketch_dimensions, const Subtree *top,
							   const AnnoyItemSketch *item);

/* The cells of a partition.  level: of divisions, from 1 on. */
extern void AnnoySplitPartition(CellBuilder *builder, AnnoySpoolReader *reader,
								int partition, uint64 path, int level,
								CellList *list);

/* What joins the cells of the partitions below a top. */
typedef struct TopJoin
{
	CellBuilder *builder;
	const Subtree *top;
	CellList   *lists;			/* [partitions]; or NULL: to be made of */
	AnnoySpoolReader *reader;
	uint64		path;
	int			level;
} TopJoin;

extern void AnnoyJoinTop(const TopJoin *join, int node, CellList *list);

#endif							/* ANNOY_BUILDSPLIT_H */

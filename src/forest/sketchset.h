/*-------------------------------------------------------------------------
 *
 * sketchset.h
 *	  Items, or leaves, in memory, from which nodes and leaves are made.
 *
 * Everything is allocated in the current memory context.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ANNOY_SKETCHSET_H
#define ANNOY_SKETCHSET_H

#include "arith/split.h"
#include "page/directory.h"
#include "page/meta.h"

/* Items with all that an entry of a leaf is made of. */
typedef struct AnnoyItemSet
{
	AnnoySketchSet set;
	float	   *sketches;		/* [allocated][s], or NULL: those of the set */
	bool	   *unbounded;
	ItemPointerData *tids;
	int			count;
} AnnoyItemSet;

extern void AnnoyAllocateSet(AnnoySketchSet *set, int sketch_dimensions,
							 int count);
extern void AnnoyFreeSet(AnnoySketchSet *set);
extern void AnnoyAllocateItems(AnnoyItemSet *items, int sketch_dimensions,
							   int count);

/* Puts the centroid of a leaf into a place of a set. */
extern void AnnoyPutCentroid(AnnoySketchSet *set, int place,
							 const AnnoyCentroid *leaf);

/* The positions 0 .. count - 1. */
extern int32 *AnnoyListPositions(int count);

/*
 * AnnoySplitItems with a random stream and scratch memory of its own.  The
 * hyperplane's normal is allocated, unless it returns 0.
 */
extern int	AnnoySplitSet(const AnnoySketchSet *set, int32 *items, int count,
						  AnnoySplitRule rule, int left_wanted, uint64 seed,
						  AnnoyHyperplane *plane);

/*
 * Splits leaves, named by positions in a set of their centroids, in two halves;
 * equal ones by a hyperplane that everything is on.
 */
extern int	AnnoySplitCentroids(const AnnoySketchSet *set, int32 *leaves,
								int count, uint64 seed, AnnoyHyperplane *plane);

/* Quantised mean of some items; centroid->centroid, int8[s], is the caller's. */
extern void AnnoyMeasureCentroid(const AnnoySketchSet *set, const int32 *items,
								 int count, AnnoyCentroid *centroid);

/* Adds a node without links to an inner page with room; returns its slot. */
extern uint16 AnnoyAppendNode(Page page, int sketch_dimensions,
							  const AnnoyHyperplane *plane);

/* Adds an entry for an item to a leaf page that has room for it. */
extern void AnnoyAddItemEntry(Page page, const AnnoyForest *forest,
							  const AnnoyItemSet *items, int item);

#endif							/* ANNOY_SKETCHSET_H */

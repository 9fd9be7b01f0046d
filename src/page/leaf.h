/*-------------------------------------------------------------------------
 *
 * leaf.h
 *	  Entries of leaf pages: reading, ranking and filling them.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ANNOY_LEAF_H
#define ANNOY_LEAF_H

#include "page/candidate.h"
#include "page/meta.h"

/* Errors out unless the leaf's counts are possible. */
extern void AnnoyCheckLeaf(Relation index, Page page, BlockNumber block,
						   int sketch_dimensions);

/*
 * Appends to "candidates" (in no order) the entries of a leaf page whose
 * lower bound is at least "from" and below "threshold" (FLT_MAX: any); returns
 * how many entries were at least "threshold".  scratch: AnnoyBlockSize(s) bytes,
 * 8-byte aligned.
 */
extern int	AnnoyRankLeaf(const AnnoySketcher *sketcher, AnnoyQuery *query,
						  Page page, float from, float threshold,
						  char *scratch, AnnoyCandidates *candidates);

/* Addresses of all entries of a leaf page, in their order. */
extern int	AnnoyListLeaf(Page page, int sketch_dimensions,
						  ItemPointerData *addresses);

/* Starts an empty leaf with a centroid; pd_lower covers it. */
extern void AnnoyStartLeaf(Page page, const AnnoySketcher *sketcher,
						   const int8 *centroid, float scale,
						   float norm_squared, float extra);

/* Adds an entry to a leaf page that has room for it. */
extern void AnnoyAddLeafEntry(Page page, const AnnoySketcher *sketcher,
							  const float *sketch, bool unbounded,
							  ItemPointer address);

/*
 * Removes the entries for which drop[] is set; returns how many remain.  For a
 * copy of a page, as generic WAL gives it.
 */
extern int	AnnoyFilterLeaf(Page page, int sketch_dimensions, const bool *drop);

#endif							/* ANNOY_LEAF_H */

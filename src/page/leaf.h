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
						   const AnnoyLeafLayout *layout);

/*
 * Adds to "candidates" the entries of a leaf page whose lower bound is at least
 * "from" and below the threshold of the candidates, which falls meanwhile;
 * returns how many entries were at least that.  scratch: layout->block_size
 * bytes, 8-byte aligned.
 */
extern int	AnnoyRankLeaf(const AnnoyForest *forest, AnnoyQuery *query,
						  Page page, float from, char *scratch,
						  AnnoyCandidates *candidates);

/* Heap TIDs of all entries of a leaf page, in their order. */
extern int	AnnoyListLeaf(Page page, const AnnoyLeafLayout *layout,
						  ItemPointerData *tids);

/*
 * Errors out unless they can be TIDs of rows: for those who hand them to the
 * server, which does not check them (an invalid block would extend the table).
 */
extern void AnnoyCheckTids(Relation index, BlockNumber block,
						   const ItemPointerData *tids, int count);

/* Starts an empty leaf with a centroid; pd_lower covers it. */
extern void AnnoyStartLeaf(Page page, const AnnoyLeafLayout *layout,
						   const int8 *centroid, float scale,
						   float norm_squared, float extra);

/* Adds an entry to a leaf page that has room for it. */
extern void AnnoyAddLeafEntry(Page page, const AnnoyForest *forest,
							  const float *sketch, bool unbounded,
							  const ItemPointerData *tid);

/*
 * The sketch that an entry's code tells, float[s]: a guess, but where codes are
 * bits, which it gives again.
 */
extern void AnnoyDecodeLeafEntry(Page page, const AnnoyForest *forest,
								 int entry, float *sketch);

/* Whether an entry's code says nothing of the row's distance. */
extern bool AnnoyLeafEntryIsUnbounded(Page page, const AnnoyLeafLayout *layout,
									  int entry);

/*
 * Removes the entries for which drop[] is set; returns how many remain.  For a
 * copy of a page, as generic WAL gives it.
 */
extern int	AnnoyFilterLeaf(Page page, const AnnoyLeafLayout *layout,
							const bool *drop);

#endif							/* ANNOY_LEAF_H */

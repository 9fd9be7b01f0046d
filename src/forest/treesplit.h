/*-------------------------------------------------------------------------
 *
 * treesplit.h
 *	  What treeinsert.c and the files that split pages share.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ANNOY_TREESPLIT_H
#define ANNOY_TREESPLIT_H

#include "forest/treeinsert.h"

struct AnnoyTreeInserter
{
	Relation	heap;
	Relation	index;
	AnnoyForest *forest;
	const AnnoyElementType *element;
	int			s;
	AnnoyWalk	walk;
	int16	   *quantised;		/* of the item on its way */
	float	   *placed;			/* the same, see AnnoyPlaceSketch */
	MemoryContext split_context;	/* reset after each split */
};

/* treesplit.c: a consistent copy of a page. */
extern void AnnoyCopyPage(AnnoyTreeInserter *inserter, BlockNumber block,
						  AnnoyPageKind kind, PGAlignedBlock *copy);

/* Locks a page if it is still the same as a copy; else InvalidBuffer. */
extern Buffer AnnoyLockUnchanged(AnnoyTreeInserter *inserter, BlockNumber block,
								 AnnoyPageKind kind, const PGAlignedBlock *before);

/*
 * leafsplit.c: makes room where a leaf is full: cleans, chains or splits it, or
 * makes room in its directory first.  The caller looks for the item's leaf again
 * in any case.
 */
extern void AnnoyMakeRoom(AnnoyTreeInserter *inserter, int tree,
						  const AnnoyLeafCandidate *leaf);

/*
 * directorysplit.c: makes room in a full directory, if it still is.  One that
 * takes more entries in another form gets that.  Else the left half stays, the
 * right half goes to a new page, and a new node above both replaces the link.  If
 * something has changed meanwhile nothing happens, and the caller tries again.
 */
extern void AnnoyMakeDirectoryRoom(AnnoyTreeInserter *inserter, int tree,
								   BlockNumber block);

#endif							/* ANNOY_TREESPLIT_H */

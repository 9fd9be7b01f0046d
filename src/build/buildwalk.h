/*-------------------------------------------------------------------------
 *
 * buildwalk.h
 *	  A private copy of a tree, in which a build finds the cells of items.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ANNOY_BUILDWALK_H
#define ANNOY_BUILDWALK_H

#include "build/build.h"

typedef struct AnnoyTreeCopy AnnoyTreeCopy;

extern AnnoyTreeCopy *AnnoyCopyTree(AnnoyBuild *build, int tree,
									const AnnoyCells *cells, Size memory);
extern void AnnoyChooseCell(AnnoyTreeCopy *copy, const AnnoyQuery *item,
							int *directory, uint32 *cell);

#endif							/* ANNOY_BUILDWALK_H */

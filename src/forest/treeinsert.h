/*-------------------------------------------------------------------------
 *
 * treeinsert.h
 *	  Adding items to the trees of an existing index.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ANNOY_TREEINSERT_H
#define ANNOY_TREEINSERT_H

#include "definition/opclass.h"
#include "forest/tree.h"

typedef struct AnnoyTreeInserter AnnoyTreeInserter;

/* Lives in the current memory context, as long as the forest. */
extern AnnoyTreeInserter *AnnoyBeginTreeInsert(Relation heap, Relation index,
											   AnnoyForest *forest,
											   const AnnoyElementType *element);

/*
 * Adds a row (its heap TID, and its sketch as AnnoyMakeStoredSketch gives it) to a leaf
 * of the tree, splitting what is full.  WAL-logged.
 */
extern void AnnoyInsertIntoTree(AnnoyTreeInserter *inserter, int tree,
								const float *sketch, float extra,
								bool unbounded, ItemPointer tid);

#endif							/* ANNOY_TREEINSERT_H */

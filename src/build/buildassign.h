/*-------------------------------------------------------------------------
 *
 * buildassign.h
 *	  The rows of a batch, in the order of cells and TIDs.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ANNOY_BUILDASSIGN_H
#define ANNOY_BUILDASSIGN_H

#include "build/buildpartition.h"

typedef struct AnnoyBatchReader AnnoyBatchReader;

/* Assigns the rows of this process's partitions, and makes the reader of its
 * batches; all have to do this before any goes on. */
extern AnnoyBatchReader *AnnoyBeginBatches(AnnoyPartitions *partitions,
										   int tree, AnnoyCells *cells);
extern void AnnoyOpenBatches(AnnoyBatchReader *reader);

/* The next batch of this process; false if there is none. */
extern bool AnnoyTakeBatch(AnnoyBatchReader *reader, int *batch);

/* Its next row, valid until the next call; NULL at the end. */
extern const AnnoySketchRecord *AnnoyNextBatchRecord(AnnoyBatchReader *reader);
extern void AnnoyEndBatches(AnnoyBatchReader *reader);

#endif							/* ANNOY_BUILDASSIGN_H */

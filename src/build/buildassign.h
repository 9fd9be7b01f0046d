/*-------------------------------------------------------------------------
 *
 * buildassign.h
 *	  The items of a batch, in the order of cells and TIDs.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ANNOY_BUILDASSIGN_H
#define ANNOY_BUILDASSIGN_H

#include "build/build.h"

typedef struct AnnoyItemRecord
{
	int32		vl_len_;		/* so that it can be a bytea (do not touch) */
	uint32		cell;
	int64		tid;
	char		value[FLEXIBLE_ARRAY_MEMBER];	/* a varlena */
} AnnoyItemRecord;

typedef struct AnnoyBatchReader AnnoyBatchReader;

extern AnnoyBatchReader *AnnoyBeginBatches(AnnoyBuild *build, int tree,
										   AnnoyCells *cells);
extern void AnnoyOpenBatches(AnnoyBatchReader *reader);
extern bool AnnoyTakeBatch(AnnoyBatchReader *reader, int *batch);
extern bool AnnoyNextBatchItem(AnnoyBatchReader *reader, uint32 *cell,
							   AnnoyBuildItem *item);
extern void AnnoyEndBatches(AnnoyBatchReader *reader);
extern void AnnoyDeleteItemFiles(AnnoyBuild *build);

#endif							/* ANNOY_BUILDASSIGN_H */

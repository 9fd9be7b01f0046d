/*-------------------------------------------------------------------------
 *
 * buildpartition.h
 *	  The rows of a tree in partitions, and the cells of these.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ANNOY_BUILDPARTITION_H
#define ANNOY_BUILDPARTITION_H

#include "build/build.h"

typedef struct AnnoyPartitions AnnoyPartitions;

/* The partitions of a tree, without rows yet. */
extern AnnoyPartitions *AnnoyBeginPartitions(AnnoyBuild *build, int tree);

/* Sends a row to its partition. */
extern void AnnoySendRecord(AnnoyPartitions *partitions,
							const AnnoySketchRecord *record);

/* No more come from this process.  All have to do this before any goes on. */
extern void AnnoyFinishSending(AnnoyPartitions *partitions);

/*
 * Splits all rows of the tree into cells; fills "cells" and sets shared->roots.
 * All processes return with the same.
 */
extern void AnnoySplitCells(AnnoyPartitions *partitions, AnnoyCells *cells);

extern AnnoyBuild *AnnoyGetPartitionBuild(const AnnoyPartitions *partitions);

/* How many there are, and a reader of them; the last one may be of outsized rows. */
extern int	AnnoyCountPartitions(const AnnoyPartitions *partitions);
extern AnnoySpoolReader *AnnoyGetPartitionReader(AnnoyPartitions *partitions);
extern bool AnnoyIsOutsizedPartition(const AnnoyPartitions *partitions,
									 int partition);

/* Nobody reads the partitions any more. */
extern void AnnoyEndPartitions(AnnoyPartitions *partitions);

#endif							/* ANNOY_BUILDPARTITION_H */

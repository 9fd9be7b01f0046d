/*-------------------------------------------------------------------------
 *
 * buildparallel.h
 *	  Workers of an index build.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ANNOY_BUILDPARALLEL_H
#define ANNOY_BUILDPARALLEL_H

#include "build/build.h"

typedef struct AnnoyWorkers AnnoyWorkers;

/*
 * Starts workers, if there are to be any and if they can be had.  Returns NULL
 * if not; else *shared and *scan are what the processes share, and the leader
 * is attached to the barrier.
 */
extern AnnoyWorkers *AnnoyStartWorkers(Relation heap, Relation index,
									   struct IndexInfo *index_info,
									   const AnnoySpace *space,
									   AnnoyBuildShared **shared,
									   struct TableScanDescData **scan);

/* Waits for the workers' ends. */
extern void AnnoyEndWorkers(AnnoyWorkers *workers);

#endif							/* ANNOY_BUILDPARALLEL_H */

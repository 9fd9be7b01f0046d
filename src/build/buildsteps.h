/*-------------------------------------------------------------------------
 *
 * buildsteps.h
 *	  The steps of a build, in their order, by the file that has them.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ANNOY_BUILDSTEPS_H
#define ANNOY_BUILDSTEPS_H

#include "build/buildassign.h"
#include "build/buildpartition.h"

/*
 * buildload.c: sketches the table's rows, or this process's share of them, and
 * sends them to partitions; or, without these, to build->records.
 */
extern void AnnoyLoadRows(AnnoyBuild *build, AnnoyPartitions *partitions,
						  struct IndexInfo *index_info,
						  struct TableScanDescData *scan);

/* then what all processes have loaded is known */
extern void AnnoyFinishLoad(AnnoyBuild *build);

/* buildpartition.h, buildassign.h, buildmove.c, buildleaves.c */
extern void AnnoyMoveCentroids(AnnoyBuild *build, int tree,
							   const AnnoyCells *cells,
							   AnnoyBatchReader *reader);
extern void AnnoyWriteLeaves(AnnoyBuild *build, int tree,
							 const AnnoyCells *cells,
							 AnnoyBatchReader *reader);
extern void AnnoyWriteEmptyTree(Relation index, ForkNumber fork, int tree,
								int sketch_dimensions, AnnoyChild *root);

/* outsized.c: puts the tree below a new root; see there */
extern void AnnoyAddOutsizedSubtree(AnnoyBuild *build, int tree);

/* calibrate.c */
extern void AnnoyLocateMembers(AnnoyBuild *build);
extern int64 AnnoyCalibrate(AnnoyBuild *build);

/*
 * buildforest.c: all of this, which all processes do, from the first row to a
 * calibrated index.  scan: its part of the table, or NULL for all of it.
 */
extern void AnnoyBuildForest(AnnoyBuild *build, struct IndexInfo *index_info,
							 struct TableScanDescData *scan);

#endif							/* ANNOY_BUILDSTEPS_H */

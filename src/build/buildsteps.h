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

/* buildload.c: memory in kB that each process needs at least */
extern int	AnnoyLeastWorkMem(int dimensions, int element_bits);

/* the table's rows, or this process's share of them, into build->rows */
extern void AnnoyLoadRows(AnnoyBuild *build, int work_mem,
						  struct IndexInfo *index_info,
						  struct TableScanDescData *scan);

/*
 * then the sketch space: the leader fixes it by its sample, the workers by what
 * it has written
 */
extern void AnnoyFixSpace(AnnoyBuild *build, int work_mem);

/* buildpartition.c; items are then assigned, see buildassign.h */
extern void AnnoySplitCells(AnnoyBuild *build, int tree, AnnoyCells *cells);

/* buildleaves.c */
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
 * calibrated index.  work_mem: kB that this process may take.  scan: its part of
 * the table, or NULL for all of it.
 */
extern void AnnoyBuildForest(AnnoyBuild *build, int work_mem,
							 struct IndexInfo *index_info,
							 struct TableScanDescData *scan);

#endif							/* ANNOY_BUILDSTEPS_H */

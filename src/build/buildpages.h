/*-------------------------------------------------------------------------
 *
 * buildpages.h
 *	  The pages of a build: inner nodes and directories, and the WAL of all.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ANNOY_BUILDPAGES_H
#define ANNOY_BUILDPAGES_H

#include "build/build.h"

extern AnnoyChild AnnoyAddNode(AnnoyBuild *build, int tree,
							   const AnnoyHyperplane *plane);
extern void AnnoySetChild(AnnoyBuild *build, AnnoyParent parent,
						  const AnnoyChild *child);
extern AnnoyChild AnnoyWriteDirectory(AnnoyBuild *build, int tree,
									  BlockNumber block, AnnoyParent parent,
									  const AnnoyCentroid *const *entries,
									  int count);
extern void AnnoyLogPage(Relation index, Buffer buffer);
extern void AnnoyLogOpenPages(AnnoyBuild *build);
extern void AnnoyEndPages(AnnoyBuild *build);
extern void AnnoyLogPageList(AnnoyBuild *build, BlockNumber block);

#endif							/* ANNOY_BUILDPAGES_H */

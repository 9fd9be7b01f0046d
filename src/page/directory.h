/*-------------------------------------------------------------------------
 *
 * directory.h
 *	  Directories: pages that list the centroids of leaves.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ANNOY_DIRECTORY_H
#define ANNOY_DIRECTORY_H

#include "arith/sketch.h"
#include "page/page.h"

/* A leaf, or what is to become one. */
typedef struct AnnoyCentroid
{
	AnnoyLink	link;
	float		scale;
	float		norm_squared;
	float		extra;
	int8	   *centroid;		/* int8[s] */
} AnnoyCentroid;

/* Quantises a centroid: int8[s], its scale and squared norm. */
extern void AnnoyQuantiseCentroid(int sketch_dimensions, const float *mean,
								  int8 *centroid, float *scale,
								  float *norm_squared);

/* The form of a directory that is made now, of leaves with such an extra. */
extern AnnoyDirectoryForm AnnoyChooseDirectoryForm(const AnnoySketcher *sketcher,
												   float extra);

/* How many entries of a page can be; how many there are, after a check. */
extern int	AnnoyGetDirectoryCapacity(Page page, int sketch_dimensions);
extern int	AnnoyCountDirectory(Relation index, BlockNumber block, Page page,
								int sketch_dimensions);

/* Sets the number of entries, and pd_lower with it. */
extern void AnnoySetDirectoryCount(Page page, int sketch_dimensions, int count);

/*
 * Lists leaves in an empty directory page, which gets that form and, for codes,
 * a reference.  There may be no more of them than the form has room for.
 */
extern void AnnoyFillDirectory(Page page, const AnnoySketcher *sketcher,
							   AnnoyDirectoryForm form,
							   const AnnoyCentroid *const *leaves, int count);

/*
 * Writes the entry at a place, of which the page's form and reference are
 * given.  scratch: float[s].
 */
extern void AnnoySetDirectoryEntry(Page page, const AnnoySketcher *sketcher,
								   int place, const AnnoyCentroid *leaf,
								   float *scratch);

/* Whether an entry is what AnnoySetDirectoryEntry would write. */
extern bool AnnoyMatchDirectoryEntry(Page page, const AnnoySketcher *sketcher,
									 int place, const AnnoyCentroid *leaf);

/*
 * The centroid of an entry, or, in a directory of codes, what the code tells
 * of it; quantised: int16[s].  Returns its scale.
 */
extern float AnnoyReadDirectoryCentroid(Page page, const AnnoySketcher *sketcher,
										int place, int16 *quantised);

/*
 * Squared distances from the query to all leaves of a directory, in the walk's
 * space; estimates, in a directory of codes.  distances: float[count].
 */
extern void AnnoyRankDirectory(Page page, const AnnoySketcher *sketcher,
							   const AnnoyQuery *query, float *distances);

#endif							/* ANNOY_DIRECTORY_H */

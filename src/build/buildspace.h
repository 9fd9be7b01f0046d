/*-------------------------------------------------------------------------
 *
 * buildspace.h
 *	  What a build knows of its table before it loads the rows.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ANNOY_BUILDSPACE_H
#define ANNOY_BUILDSPACE_H

#include "nodes/execnodes.h"
#include "utils/relcache.h"

/* Members searched for to calibrate search_k. */
#define ANNOY_CALIBRATION_MEMBERS 100

/* Flat, so that it can be copied to workers. */
typedef struct AnnoySpace
{
	Size		size;			/* of all of it */
	int			dimensions;		/* 0: no live row has a value */
	double		rows;			/* live ones with a value; may be an estimate */
	float		max_norm;		/* of the sample */
	int			sample_count;	/* rows whose sketches are here ... */
	int			sample_room;	/* ... and for how many there is room */
	int			member_count;
	int64		members[ANNOY_CALIBRATION_MEMBERS]; /* TIDs of sampled rows */
	float		centre[FLEXIBLE_ARRAY_MEMBER];	/* [dimensions]; behind it the
												 * sample, see AnnoyGetSample */
} AnnoySpace;

/*
 * Sizes that shape the forest: functions of the number of dimensions, and of
 * whether the table is small, never of the memory that the session has.
 */
typedef struct AnnoyBuildSizes
{
	bool		small;			/* a table of few rows */
	int			sample_rows;	/* of which sketches are kept */
	int			set_items;		/* split in memory at once; larger sets are
								 * divided by a sample first */
	Size		set_bytes;		/* that these take */
	int			group_leaves;	/* turned into leaves together, in leaves */
	int			least_memory;	/* kB that a process needs */
} AnnoyBuildSizes;

extern void AnnoyGetBuildSizes(AnnoyBuildSizes *sizes, int dimensions,
							   double rows);

/*
 * Takes a sample of the table and derives the sketch space from it; in the
 * current memory context.
 */
extern AnnoySpace *AnnoyFindSpace(Relation heap, Relation index,
								  struct IndexInfo *index_info, uint64 seed);

/* The sample's sketches, by TID, within the space. */
struct AnnoySketchSet;
extern void AnnoyGetSample(AnnoySpace *space, struct AnnoySketchSet *set);

#endif							/* ANNOY_BUILDSPACE_H */

/*-------------------------------------------------------------------------
 *
 * annoyfiletree.h
 *	  Trees of an Annoy file, grown along those of an index.
 *
 * Like the arithmetic, this knows no PostgreSQL; memory comes from the caller.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ANNOY_ANNOYFILETREE_H
#define ANNOY_ANNOYFILETREE_H

#include "arith/split.h"
#include "exchange/annoyfile.h"

/* A node of the index's tree; what is in it only the guide knows. */
typedef struct AnnoyFilePlace
{
	uint64_t	a;
	uint64_t	b;
} AnnoyFilePlace;

/* What the guide finds at a place: a hyperplane, or a directory. */
typedef struct AnnoyGuidePost
{
	bool		directory;
	AnnoyHyperplane plane;		/* normal: memory of the caller, int8[s] */
	AnnoyFilePlace children[2];
	AnnoySketchSet centroids;	/* directory: good until the next one */
	int32_t    *order;			/* int32[count], for the caller to use */
	int			count;
} AnnoyGuidePost;

/* A guide may give no more centroids of a directory than this. */
#define ANNOY_MAX_GUIDE_CENTROIDS 1024

/* Reads the index. */
typedef struct AnnoyFileGuide
{
	void	   *context;
	bool		(*read) (void *context, AnnoyFilePlace place,
						 AnnoyGuidePost *post);
} AnnoyFileGuide;

/*
 * Memory for hyperplanes on the way down a tree, whose depth nobody knows
 * before.  allocate never returns NULL.
 */
typedef struct AnnoyFileMemory
{
	void	   *(*allocate) (size_t size);
	void		(*release) (void *memory);
} AnnoyFileMemory;

/*
 * All that growing needs.  The caller sets the first part.
 */
typedef struct AnnoyFileGrower
{
	AnnoyFileWriter *writer;
	const AnnoyFileSource *written;	/* what the writer has written */
	const AnnoySketcher *sketcher;
	const AnnoyFileGuide *guide;
	const AnnoyFileMemory *memory;
	int32_t    *other;			/* int32[items]: scratch */
	AnnoyRandom random;

	/* set by AnnoyInitFileGrower */
	int			sample_limit;
	int			sample_count;
	float	   *sample;			/* float[sample_limit][f]: items, as stored */
	float	   *lifts;			/* dot: their factors */
	bool	   *sides;			/* of a plane on which they are */
	AnnoySketchSet sketches;	/* of the sample */
	int32_t    *order;
	float	   *margins;
	float	   *normal;			/* float[f]: the plane, in the vectors' space */
	double	   *mean;			/* double[f]: of the sample's left ... */
	double	   *other_mean;		/* ... and right side */
	int32_t    *bits;			/* Hamming: int32[2f], counts */
	float	   *scratch;
	int8_t	   *quantised;		/* int8[s]: normal of the index's plane */
	char	   *node;			/* a node, 8 bytes aligned */
} AnnoyFileGrower;

/* Bytes that AnnoyInitFileGrower needs, aligned to 8. */
extern size_t AnnoyFileGrowerMemory(const AnnoyFileLayout *layout);
extern void AnnoyInitFileGrower(AnnoyFileGrower *grower, void *memory);

/*
 * Grows a tree of all items (ids in any order, which changes) along the
 * index's tree whose root is at "place"; without one (NULL) by 2-means alone.
 */
extern bool AnnoyGrowFileTree(AnnoyFileGrower *grower, int32_t *ids,
							  int32_t count, const AnnoyFilePlace *place,
							  int32_t *root, AnnoyFileError *error);

/*
 * annoyfileplane.c: a hyperplane of the sketches' space in that of transformed
 * vectors: margin(x) = <normal, t(x)> + extra_weight * extra(x) - offset.
 * normal: float[d].  scratch: AnnoySketchScratch floats.
 */
extern void AnnoyMapHyperplane(const AnnoySketcher *sketcher,
							   const AnnoyHyperplane *plane, float *scratch,
							   float *normal, double *offset);

#endif							/* ANNOY_ANNOYFILETREE_H */

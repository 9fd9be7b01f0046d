/*-------------------------------------------------------------------------
 *
 * tree.h
 *	  Walking the trees of a forest towards a query.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ANNOY_TREE_H
#define ANNOY_TREE_H

#include "page/directory.h"
#include "page/meta.h"

/* A subtree that has not been entered yet. */
typedef struct AnnoyNodeCandidate
{
	float		priority;		/* sum of squared margins crossed */
	AnnoyChild	child;
} AnnoyNodeCandidate;

/* A leaf that a directory has named. */
typedef struct AnnoyLeafCandidate
{
	float		distance;		/* squared, query to centroid */
	AnnoyLink	link;
	BlockNumber directory;		/* that named it */
} AnnoyLeafCandidate;

#define QUEUE_PREFIX AnnoyNode
#define QUEUE_ELEMENT AnnoyNodeCandidate
#define QUEUE_KEY(e) ((e).priority)
#include "page/queue.h"

#define QUEUE_PREFIX AnnoyLeaf
#define QUEUE_ELEMENT AnnoyLeafCandidate
#define QUEUE_KEY(e) ((e).distance)
#include "page/queue.h"

/*
 * The two queues of a search: subtrees by the sum of squared margins crossed
 * (best bin first: Beis & Lowe, CVPR 1997), leaves by the distance of their
 * centroids.  Directories are opened until "ahead" times as many leaves are
 * known as were taken.
 */
typedef struct AnnoyWalk
{
	Relation	index;
	const AnnoyForest *forest;
	const AnnoyQuery *query;
	bool		use_copies;		/* of inner pages and directories; for searches:
								 * who means to change a page has to see it */
	int			ahead;
	AnnoyNodeQueue nodes;
	AnnoyLeafQueue leaves;
	int64		leaves_known;
	int64		leaves_taken;
	int64		directories;	/* opened */
	int64		hyperplanes;	/* margins computed */
	int64		pages_read;		/* inner and directory pages; not copies */
} AnnoyWalk;

/* Allocates the queues in the current memory context. */
extern void AnnoyInitWalk(AnnoyWalk *walk, Relation index,
						  const AnnoyForest *forest);

/*
 * Begins at the roots: of all trees, or of one.  The forest's roots have to be
 * fresh: see AnnoyReadRoots.
 */
extern void AnnoyStartWalk(AnnoyWalk *walk, const AnnoyQuery *query);
extern void AnnoyStartTreeWalk(AnnoyWalk *walk, const AnnoyQuery *query,
							   int tree);

/*
 * Takes the nearest known leaf, after opening directories until enough are
 * known.  Returns false when all leaves were taken.
 */
extern bool AnnoyTakeLeaf(AnnoyWalk *walk, AnnoyLeafCandidate *leaf);

/*
 * An item belongs into the leaf with the nearest centroid among those of so
 * many leaves, and of so many directories, as a walk of the tree finds first.
 */
extern int	AnnoyCountAssignmentLeaves(const AnnoySketcher *sketcher);
#define ANNOY_ASSIGNMENT_DIRECTORIES 3

/* The leaf of one tree into which an item belongs. */
extern AnnoyLeafCandidate AnnoyChooseLeaf(AnnoyWalk *walk,
										  const AnnoyQuery *item, int tree);

/* Opens directories until "leaves" leaves are known or no subtree is left. */
extern void AnnoyExploreLeaves(AnnoyWalk *walk, int64 leaves);

/* Gives back a leaf, or the rest of its chain, to be taken again later. */
extern void AnnoyReturnLeaf(AnnoyWalk *walk, AnnoyLeafCandidate leaf);

/*
 * treecache.c: a copy of an inner page or directory, possibly an old one, or
 * NULL; valid until the next of these calls, or the next time that invalidations are
 * accepted.
 */
extern Page AnnoyFindTreePage(const AnnoyWalk *walk, BlockNumber block);

/* Offers a locked page to be copied. */
extern void AnnoyKeepTreePage(const AnnoyWalk *walk, BlockNumber block,
							  Page page);

/* The copy has turned out to be old. */
extern void AnnoyForgetTreePage(const AnnoyWalk *walk, BlockNumber block);

#endif							/* ANNOY_TREE_H */

/*-------------------------------------------------------------------------
 *
 * candidate.h
 *	  Rows by lower bound: what leaves have named and no exact distance has
 *	  ranked yet.
 *
 * Of the rows that a search looks for, "wanted", none is farther than the
 * wanted-th smallest upper bound that it has met.  That is the threshold: entries
 * with larger lower bounds are not kept.  Bounds may fail, and rows may turn out
 * to be dead, so that it is a guess in the end: who needs what lies behind the
 * threshold ranks the leaves again.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ANNOY_CANDIDATE_H
#define ANNOY_CANDIDATE_H

#include "storage/itemptr.h"

/* A row that a leaf has named: its lower bound and where it is. */
typedef struct AnnoyCandidate
{
	float		lower;			/* see AnnoyBoundToDistance */
	ItemPointerData tid;
} AnnoyCandidate;

#define QUEUE_PREFIX AnnoyCandidate
#define QUEUE_ELEMENT AnnoyCandidate
#define QUEUE_KEY(e) ((e).lower)
#include "page/queue.h"

/* Bounds with the largest on top. */
#define QUEUE_PREFIX AnnoyBound
#define QUEUE_ELEMENT float
#define QUEUE_KEY(e) (-(e))
#include "page/queue.h"

typedef struct AnnoyCandidates
{
	AnnoyCandidateQueue queue;
	AnnoyBoundQueue bounds;		/* the smallest upper ones, "wanted" at most */
	int64		wanted;
	float		threshold;		/* FLT_MAX: none yet */
} AnnoyCandidates;

/* Allocates room in the current memory context, with which it stays. */
extern void AnnoyInitCandidates(AnnoyCandidates *candidates);

/* Forgets all candidates. */
extern void AnnoyClearCandidates(AnnoyCandidates *candidates);

/* Begins with another threshold, for so many rows. */
extern void AnnoyWantCandidates(AnnoyCandidates *candidates, int64 wanted);

/* A bound that a row of the leaves was found to keep: lowers the threshold. */
static inline void
AnnoyNoteBound(AnnoyCandidates *candidates, float upper)
{
	AnnoyBoundQueue *bounds = &candidates->bounds;

	if (!(upper < candidates->threshold))
		return;
	if (bounds->count >= candidates->wanted)
		AnnoyBound_sift_down(bounds, 0, upper);
	else
		AnnoyBound_push(bounds, upper);
	if (bounds->count >= candidates->wanted)
		candidates->threshold = bounds->elements[0];
}

#endif							/* ANNOY_CANDIDATE_H */

/*-------------------------------------------------------------------------
 *
 * candidate.h
 *	  Items by lower bound: what leaves have named and no exact distance has
 *	  ranked yet.
 *
 * Thousands come, in no order, and some hundreds of the smallest are taken.
 * So they are neither kept as a heap nor sorted: a pivot from a sample divides
 * them, and only the smallest, which are about to be taken, are sorted.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ANNOY_CANDIDATE_H
#define ANNOY_CANDIDATE_H

#include "storage/itemptr.h"

/* An item that a leaf has named: its lower bound and where it is. */
typedef struct AnnoyCandidate
{
	float		lower;			/* see AnnoyBoundToDistance */
	ItemPointerData address;	/* of the item */
} AnnoyCandidate;

/*
 *	elements	[0 ... count - sorted)		in no order, none smaller than
 *				[count - sorted ... count)	these, which descend
 */
typedef struct AnnoyCandidates
{
	AnnoyCandidate *elements;
	int64		count;
	int64		sorted;
	int64		allocated;
} AnnoyCandidates;

/* Allocates room in the current memory context, with which it stays. */
extern void AnnoyInitCandidates(AnnoyCandidates *candidates, int64 capacity);

/*
 * Makes room for "more" elements behind the last one, for the caller to fill
 * and count.
 */
extern AnnoyCandidate *AnnoyReserveCandidates(AnnoyCandidates *candidates,
											  int64 more);

/*
 * Drops all but about "keep" of the smallest, and sets *threshold to a value
 * that all of these, and none of the others, are below.  Returns false, and does
 * nothing, if too many are equal.
 */
extern bool AnnoyTrimCandidates(AnnoyCandidates *candidates, int64 keep,
								float *threshold);

/* Sorts some of the smallest; there has to be an element. */
extern void AnnoySortCandidates(AnnoyCandidates *candidates);

static inline void
AnnoyClearCandidates(AnnoyCandidates *candidates)
{
	candidates->count = 0;
	candidates->sorted = 0;
}

/* The smallest; valid until the next call.  There has to be one. */
static inline const AnnoyCandidate *
AnnoyFirstCandidate(AnnoyCandidates *candidates)
{
	if (candidates->sorted == 0)
		AnnoySortCandidates(candidates);
	return &candidates->elements[candidates->count - 1];
}

/*
 * The *count smallest, or as many as are sorted already; sets *count.  In no
 * particular order; valid until the next call.
 */
static inline const AnnoyCandidate *
AnnoyPeekCandidates(const AnnoyCandidates *candidates, int *count)
{
	*count = (int) Min(*count, candidates->sorted);
	return candidates->elements + candidates->count - *count;
}

/* Removes and returns the smallest. */
static inline AnnoyCandidate
AnnoyTakeCandidate(AnnoyCandidates *candidates)
{
	AnnoyCandidate first = *AnnoyFirstCandidate(candidates);

	candidates->count--;
	candidates->sorted--;
	return first;
}

#endif							/* ANNOY_CANDIDATE_H */

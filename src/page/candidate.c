/*-------------------------------------------------------------------------
 *
 * candidate.c
 *	  Rows by lower bound.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <float.h>

#include "page/candidate.h"

/* Elements for which there is room at first. */
#define CANDIDATES_INITIAL 1024
#define BOUNDS_INITIAL 64

void
AnnoyInitCandidates(AnnoyCandidates *candidates)
{
	AnnoyCandidate_init(&candidates->queue, CANDIDATES_INITIAL);
	AnnoyBound_init(&candidates->bounds, BOUNDS_INITIAL);
	candidates->wanted = 1;
	candidates->threshold = FLT_MAX;
}

void
AnnoyClearCandidates(AnnoyCandidates *candidates)
{
	candidates->queue.count = 0;
}

void
AnnoyWantCandidates(AnnoyCandidates *candidates, int64 wanted)
{
	candidates->wanted = wanted;
	candidates->bounds.count = 0;
	candidates->threshold = FLT_MAX;
}

/*-------------------------------------------------------------------------
 *
 * candidate.c
 *	  Items by lower bound.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <float.h>

#include "page/candidate.h"

/*
 * Elements that a pivot is chosen from: the share of all that is below it is
 * then right but for 6 % of the elements at most (standard deviation).
 */
#define SAMPLE 64

/* Elements sorted at a time, about. */
#define FRONT 256

/*
 * They are dealt out to so many buckets of equal width before they are sorted
 * by insertion, unless one bucket gets more than MAX_BUCKET of them.
 */
#define BUCKETS 512
#define MAX_BUCKET 24

#define ST_SORT sort_descending
#define ST_ELEMENT_TYPE AnnoyCandidate
#define ST_COMPARE(a, b) ((a)->lower > (b)->lower ? -1 : (a)->lower < (b)->lower)
#define ST_SCOPE static
#define ST_DEFINE
#include "lib/sort_template.h"

void
AnnoyInitCandidates(AnnoyCandidates *candidates, int64 capacity)
{
	candidates->elements = palloc(sizeof(AnnoyCandidate) * capacity);
	candidates->allocated = capacity;
	AnnoyClearCandidates(candidates);
}

AnnoyCandidate *
AnnoyReserveCandidates(AnnoyCandidates *candidates, int64 more)
{
	candidates->sorted = 0;
	if (candidates->count + more > candidates->allocated)
	{
		candidates->allocated = Max(candidates->allocated * 2,
									candidates->count + more);
		candidates->elements =
			repalloc_huge(candidates->elements,
						  sizeof(AnnoyCandidate) * candidates->allocated);
	}
	return candidates->elements + candidates->count;
}

static int64
count_below(const AnnoyCandidates *candidates, float pivot)
{
	int64		below = 0;

	for (int64 i = 0; i < candidates->count; i++)
		below += candidates->elements[i].lower < pivot;
	return below;
}

/*
 * The element of a sample that "rank" others are below, or the nearest rank
 * above that ties leave.  All pairs are compared, without a branch.
 */
static float
select_sample(const float *sample, int rank)
{
	float		selected = FLT_MAX;

	for (int i = 0; i < SAMPLE; i++)
	{
		int			below = 0;

		for (int j = 0; j < SAMPLE; j++)
			below += sample[j] < sample[i];
		if (below >= rank && sample[i] < selected)
			selected = sample[i];
	}
	return selected;
}

/*
 * A pivot that about "wanted" elements are below, half as many at the least,
 * but not all; false if ties prevent that.
 */
static bool
choose_pivot(const AnnoyCandidates *candidates, int64 wanted, float *pivot)
{
	float		sample[SAMPLE];
	int64		count = candidates->count;
	int			rank = Max(SAMPLE * wanted / count, 1);

	for (int i = 0; i < SAMPLE; i++)
		sample[i] = candidates->elements[count * i / SAMPLE].lower;
	for (;;)
	{
		int64		below;

		*pivot = select_sample(sample, rank);
		below = count_below(candidates, *pivot);
		if (below >= wanted / 2)
			return below < count;
		if (rank >= SAMPLE)
			return false;
		rank += SAMPLE / 8;
	}
}

bool
AnnoyTrimCandidates(AnnoyCandidates *candidates, int64 keep, float *threshold)
{
	AnnoyCandidate *e = candidates->elements;
	int64		kept = 0;
	float		pivot;

	if (candidates->count <= keep || !choose_pivot(candidates, keep, &pivot))
		return false;
	/* half of them stay: no branch, which would be foreseen half the time */
	for (int64 i = 0; i < candidates->count; i++)
	{
		AnnoyCandidate element = e[i];

		e[kept] = element;
		kept += element.lower < pivot;
	}
	candidates->count = kept;
	candidates->sorted = 0;
	*threshold = pivot;
	return true;
}

/*
 * Deals elements out to buckets by value, larger ones first; false, and
 * nothing done, if they do not spread.
 */
static bool
deal_out(AnnoyCandidate *elements, int count)
{
	AnnoyCandidate copy[2 * FRONT];
	uint16		bucket[2 * FRONT];
	uint16		start[BUCKETS + 1] = {0};
	float		least = elements[0].lower;
	float		most = elements[0].lower;
	float		scale;

	for (int i = 1; i < count; i++)
	{
		least = Min(least, elements[i].lower);
		most = Max(most, elements[i].lower);
	}
	scale = (BUCKETS - 1) / (most - least);
	/* all equal, or so far apart that the difference is no number */
	if (!(scale > 0.0f) || !(scale < FLT_MAX))
		return false;
	for (int i = 0; i < count; i++)
	{
		bucket[i] = (uint16) ((most - elements[i].lower) * scale);
		copy[i] = elements[i];
		if (++start[bucket[i] + 1] > MAX_BUCKET)
			return false;
	}
	for (int b = 0; b < BUCKETS; b++)
		start[b + 1] += start[b];
	for (int i = 0; i < count; i++)
		elements[start[bucket[i]]++] = copy[i];
	return true;
}

static void
sort_front(AnnoyCandidate *elements, int64 count)
{
	if (count > 2 * FRONT || !deal_out(elements, count))
	{
		sort_descending(elements, count);
		return;
	}
	for (int64 i = 1; i < count; i++)
	{
		AnnoyCandidate element = elements[i];
		int64		place = i;

		for (; place > 0 && elements[place - 1].lower < element.lower; place--)
			elements[place] = elements[place - 1];
		elements[place] = element;
	}
}

void
AnnoySortCandidates(AnnoyCandidates *candidates)
{
	AnnoyCandidate *e = candidates->elements;
	int64		others = 0;
	float		pivot;

	Assert(candidates->count > 0);
	if (candidates->count > 2 * FRONT && choose_pivot(candidates, FRONT, &pivot))
	{
		int64		end = candidates->count;

		while (others < end)
		{
			AnnoyCandidate element = e[others];

			if (element.lower < pivot)
			{
				e[others] = e[--end];
				e[end] = element;
			}
			else
				others++;
		}
	}
	candidates->sorted = candidates->count - others;
	sort_front(e + others, candidates->sorted);
}

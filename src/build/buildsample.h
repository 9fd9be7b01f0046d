/*-------------------------------------------------------------------------
 *
 * buildsample.h
 *	  Samples: the rows with the smallest hashes of seed and TID.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ANNOY_BUILDSAMPLE_H
#define ANNOY_BUILDSAMPLE_H

#include "arith/random.h"

typedef struct AnnoySampleRow
{
	uint64		hash;
	int64		tid;			/* AnnoyPackTid */
} AnnoySampleRow;

/* The largest hash is on top: the keys are complements. */
#define QUEUE_PREFIX AnnoySample
#define QUEUE_ELEMENT AnnoySampleRow
#define QUEUE_KEY(e) (~(e).hash)
#include "page/queue.h"

typedef struct AnnoySampler
{
	AnnoySampleQueue rows;		/* those with the smallest hashes so far */
	int			wanted;
	uint64		seed;
} AnnoySampler;

static inline void
AnnoyBeginSampler(AnnoySampler *sampler, int wanted, uint64 seed)
{
	AnnoySample_init(&sampler->rows, Max(wanted, 1));
	sampler->wanted = wanted;
	sampler->seed = seed;
}

static inline void
AnnoySample(AnnoySampler *sampler, int64 tid)
{
	AnnoySampleRow row = {AnnoyHash(sampler->seed, (uint64) tid), tid};

	if (sampler->rows.count == sampler->wanted)
	{
		if (sampler->wanted == 0 || row.hash >= sampler->rows.elements[0].hash)
			return;
		(void) AnnoySample_pop(&sampler->rows);
	}
	AnnoySample_push(&sampler->rows, row);
}

#endif							/* ANNOY_BUILDSAMPLE_H */

/*-------------------------------------------------------------------------
 *
 * buildsample.h
 *	  Samples of the rows with the smallest hashes.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ANNOY_BUILDSAMPLE_H
#define ANNOY_BUILDSAMPLE_H

/* A sampled row, or sketch of one. */
typedef struct AnnoySampleRow
{
	uint64		hash;			/* of seed and TID: the smallest are kept */
	int64		tid;
	char	   *value;			/* of the sampler's size */
} AnnoySampleRow;

/* The largest hash is on top: the keys are complements. */
#define QUEUE_PREFIX AnnoySample
#define QUEUE_ELEMENT AnnoySampleRow
#define QUEUE_KEY(e) (~(e).hash)
#include "page/queue.h"

/* Keeps the rows with the smallest hashes. */
typedef struct AnnoySampler
{
	AnnoySampleQueue rows;
	int			wanted;
	Size		value_size;
	MemoryContext context;
	char	   *chunk;			/* where values of new rows go */
	int			chunk_used;
} AnnoySampler;

extern void AnnoyBeginSampler(AnnoySampler *sampler, int wanted,
							  Size value_size);

/* Keeps a row if its hash is among the smallest so far. */
extern void AnnoySample(AnnoySampler *sampler, uint64 hash, int64 tid,
						const void *value);

/* For qsort. */
extern int	AnnoyCompareSampleTids(const void *a, const void *b);
extern int	AnnoyCompareSampleHashes(const void *a, const void *b);

#endif							/* ANNOY_BUILDSAMPLE_H */

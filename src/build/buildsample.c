/*-------------------------------------------------------------------------
 *
 * buildsample.c
 *	  Samples: the rows with the smallest hashes.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "build/buildsample.h"

/* Sampled rows whose values are allocated together. */
#define SAMPLE_CHUNK 32

void
AnnoyBeginSampler(AnnoySampler *sampler, int wanted, Size value_size)
{
	MemoryContext old;

	sampler->context = AllocSetContextCreate(CurrentMemoryContext,
											 "annoy sample",
											 ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(sampler->context);
	AnnoySample_init(&sampler->rows, Max(wanted, 1));
	MemoryContextSwitchTo(old);
	sampler->wanted = wanted;
	sampler->value_size = value_size;
	sampler->chunk = NULL;
	sampler->chunk_used = SAMPLE_CHUNK;
}

/*
 * Room for the value of one more row.  In chunks: values allocated one by one
 * would be rounded up to powers of two.
 */
static char *
new_sample_slot(AnnoySampler *sampler)
{
	Size		size = MAXALIGN(sampler->value_size);

	if (sampler->chunk_used == SAMPLE_CHUNK)
	{
		sampler->chunk = MemoryContextAlloc(sampler->context,
											SAMPLE_CHUNK * size);
		sampler->chunk_used = 0;
	}
	return sampler->chunk + sampler->chunk_used++ * size;
}

void
AnnoySample(AnnoySampler *sampler, uint64 hash, int64 tid, const void *value)
{
	AnnoySampleRow row = {hash, tid, NULL};

	if (sampler->rows.count < sampler->wanted)
		row.value = new_sample_slot(sampler);
	else
	{
		if (sampler->wanted == 0 || hash >= sampler->rows.elements[0].hash)
			return;
		row.value = AnnoySample_pop(&sampler->rows).value;
	}
	memcpy(row.value, value, sampler->value_size);
	AnnoySample_push(&sampler->rows, row);
}

int
AnnoyCompareSampleTids(const void *a, const void *b)
{
	int64		x = ((const AnnoySampleRow *) a)->tid;
	int64		y = ((const AnnoySampleRow *) b)->tid;

	return x < y ? -1 : x > y ? 1 : 0;
}

int
AnnoyCompareSampleHashes(const void *a, const void *b)
{
	uint64		x = ((const AnnoySampleRow *) a)->hash;
	uint64		y = ((const AnnoySampleRow *) b)->hash;

	return x < y ? -1 : x > y ? 1 : 0;
}

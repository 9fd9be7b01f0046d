/*-------------------------------------------------------------------------
 *
 * random.c
 *	  Seeded random numbers of the forest: SplitMix64.
 *
 * The outputs are part of the on-disk format (see random.h): the rotation of
 * an index is recomputed from its seed.  Nothing here may ever change its
 * values; test/unit/test_random.c pins them.
 *
 *-------------------------------------------------------------------------
 */
#include "arith/random.h"

/*
 * Increment of the state, 2^64 divided by the golden ratio, and multipliers of
 * the finaliser: Steele, Lea, Flood, OOPSLA 2014, figures 15 and 16 (with
 * "variant 13" of the mixing constants, as in java.util.SplittableRandom).
 */
#define SPLITMIX_GAMMA	UINT64_C(0x9E3779B97F4A7C15)
#define SPLITMIX_FACTOR1 UINT64_C(0xBF58476D1CE4E5B9)
#define SPLITMIX_FACTOR2 UINT64_C(0x94D049BB133111EB)

uint64_t
AnnoyMix(uint64_t x)
{
	x = (x ^ (x >> 30)) * SPLITMIX_FACTOR1;
	x = (x ^ (x >> 27)) * SPLITMIX_FACTOR2;
	return x ^ (x >> 31);
}

/*
 * The b-th number of the sequence that starts at the mixed a: neighbouring
 * values of either argument are as unrelated as successive random numbers,
 * and for each a the map from b is one to one.
 */
uint64_t
AnnoyHash(uint64_t a, uint64_t b)
{
	return AnnoyMix(AnnoyMix(a + SPLITMIX_GAMMA) + (b + 1) * SPLITMIX_GAMMA);
}

void
AnnoySeedRandom(AnnoyRandom *random, uint64_t seed)
{
	random->state = seed;
}

uint64_t
AnnoyNextRandom(AnnoyRandom *random)
{
	random->state += SPLITMIX_GAMMA;
	return AnnoyMix(random->state);
}

/*
 * Multiplies a random 32-bit fraction by the bound, and rejects the few
 * fractions that would make some results likelier than others (Lemire: "Fast
 * random integer generation in an interval", ACM TOMACS 2019, algorithm 5).
 */
uint32_t
AnnoyRandomBelow(AnnoyRandom *random, uint32_t bound)
{
	uint64_t	product = (AnnoyNextRandom(random) >> 32) * bound;

	if ((uint32_t) product < bound)
	{
		/* 2^32 modulo the bound: that many fractions are too many */
		uint32_t	excess = (UINT32_MAX - bound + 1) % bound;

		while ((uint32_t) product < excess)
			product = (AnnoyNextRandom(random) >> 32) * bound;
	}

	return (uint32_t) (product >> 32);
}

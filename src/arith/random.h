/*-------------------------------------------------------------------------
 *
 * random.h
 *	  Seeded random numbers of the forest.
 *
 * An index outlives the server binary that built it (pg_upgrade, standbys),
 * and its rotation is recomputed from the seed each time a backend opens it.
 * PostgreSQL's own generator (common/pg_prng.h) may change between major
 * versions, so the forest has one whose output is fixed for ever: SplitMix64
 * (Steele, Lea, Flood: "Fast splittable pseudorandom number generators",
 * OOPSLA 2014).
 *
 *-------------------------------------------------------------------------
 */
#ifndef ANNOY_RANDOM_H
#define ANNOY_RANDOM_H

#include <stdint.h>

typedef struct AnnoyRandom
{
	uint64_t	state;
} AnnoyRandom;

/* Finaliser of SplitMix64: a bijective mix of 64 bits. */
extern uint64_t AnnoyMix(uint64_t x);

/* Order-dependent combination of two 64-bit values into a hash. */
extern uint64_t AnnoyHash(uint64_t a, uint64_t b);

extern void AnnoySeedRandom(AnnoyRandom *random, uint64_t seed);

/* Next 64 random bits. */
extern uint64_t AnnoyNextRandom(AnnoyRandom *random);

/* Uniform integer in [0, bound), bound >= 1, without modulo bias. */
extern uint32_t AnnoyRandomBelow(AnnoyRandom *random, uint32_t bound);

#endif							/* ANNOY_RANDOM_H */

/*-------------------------------------------------------------------------
 *
 * sets.h
 *	  The sets of kernels that run here, and input for them.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SETS_H
#define SETS_H

#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "arith/kernel.h"
#include "arith/random.h"
#include "check.h"

#define MAX_SETS 4

static AnnoyRandom random_state;

/* The sets that run here; the first is the plain one. */
static AnnoyKernels sets[MAX_SETS];
static int	set_count = 0;

static inline void *
allocate(size_t size)
{
	void	   *memory = calloc(1, size);

	if (memory == NULL)
		abort();
	return memory;
}

static inline float
random_float(float low, float high)
{
	double		fraction = (double) (AnnoyNextRandom(&random_state) >> 11) / 9007199254740992.0;

	return (float) (low + (high - low) * fraction);
}

/* Numbers of very different size, so that rounding shows the order of sums. */
static inline float *
random_floats(int n)
{
	float	   *x = allocate(sizeof(float) * (size_t) n);
	int			i;

	for (i = 0; i < n; i++)
		x[i] = ldexpf(random_float(-1.0f, 1.0f),
					  (int) AnnoyRandomBelow(&random_state, 12) - 6);
	return x;
}

static inline uint32_t
bits_of(float x)
{
	uint32_t	bits;

	memcpy(&bits, &x, sizeof(bits));
	return bits;
}

static inline int
same_floats(int n, const float *a, const float *b)
{
	return memcmp(a, b, sizeof(float) * (size_t) n) == 0;
}

/* Finds the sets, which is a test of the choice among them. */
static inline void
choose_sets(void)
{
	static const char *const names[] = {"plain", "neon", "avx2", "avx512"};
	size_t		i;

	/* before any choice */
	CHECK(strcmp(annoy_kernels.name, "plain") == 0);

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
	{
		if (AnnoyChooseKernels(names[i]))
		{
			CHECK(strcmp(annoy_kernels.name, names[i]) == 0);
			sets[set_count++] = annoy_kernels;
		}
	}
	CHECK(strcmp(sets[0].name, "plain") == 0);

	/* an unknown name changes nothing */
	CHECK(!AnnoyChooseKernels("abacus"));
	CHECK(strcmp(annoy_kernels.name, sets[set_count - 1].name) == 0);

	/* the best one is the last in our list */
	CHECK(AnnoyChooseKernels(NULL));
	CHECK(strcmp(annoy_kernels.name, sets[set_count - 1].name) == 0);

	for (i = 0; i < (size_t) set_count; i++)
		printf("%s%s", sets[i].name, i + 1 < (size_t) set_count ? ", " : ": ");
}

#endif							/* SETS_H */

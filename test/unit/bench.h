/*-------------------------------------------------------------------------
 *
 * bench.h
 *	  Data, and a sketcher with its memory, for tests of the arithmetic.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BENCH_H
#define BENCH_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arith/random.h"
#include "arith/sketch.h"

#define HELD_OUT 400			/* first vectors of a data set: queries only */
#define PI 3.14159265358979323846

typedef struct DataSet
{
	const char *name;
	int			count;
	int			dimensions;
	float	   *vectors;		/* [count][dimensions] */
} DataSet;

static inline void *
allocate(size_t size)
{
	void	   *memory = aligned_alloc(64, (size + 63) / 64 * 64);

	if (memory == NULL)
		abort();
	return memory;
}

static inline float *
allocate_floats(size_t count)
{
	float	   *floats = allocate(count * sizeof(float));

	memset(floats, 0, count * sizeof(float));
	return floats;
}

static inline double
uniform(AnnoyRandom *random)
{
	return ((double) (AnnoyNextRandom(random) >> 11) + 0.5) * 0x1p-53;
}

static inline float
gaussian(AnnoyRandom *random)
{
	double		radius = sqrt(-2.0 * log(uniform(random)));

	return (float) (radius * cos(2.0 * PI * uniform(random)));
}

static inline double
product(int n, const float *a, const float *b)
{
	double		sum = 0.0;
	int			i;

	for (i = 0; i < n; i++)
		sum += (double) a[i] * (double) b[i];
	return sum;
}

/* Sketcher and everything that goes with it, in memory of its own. */
typedef struct Bench
{
	AnnoySketcher sketcher;
	void	   *memory;
	float	   *scratch;
	float	   *sketch;
	float	   *other;
	void	   *query_memory;
} Bench;

static inline void
open_bench(Bench *bench, AnnoyMetric metric, int dimensions, uint64_t seed,
		   const float *centre, float max_norm)
{
	size_t		s = (size_t) AnnoySketchDimensions(dimensions);

	bench->memory = allocate(AnnoySketcherMemory(dimensions));
	bench->scratch = allocate_floats((size_t) AnnoySketchScratch(dimensions));
	bench->sketch = allocate_floats(s);
	bench->other = allocate_floats(s);
	bench->query_memory = allocate(AnnoyQueryMemory(dimensions));
	AnnoyInitSketcher(&bench->sketcher, bench->memory, metric, dimensions,
					  seed, centre, max_norm);
}

static inline void
close_bench(Bench *bench)
{
	free(bench->memory);
	free(bench->scratch);
	free(bench->sketch);
	free(bench->other);
	free(bench->query_memory);
}

static inline bool
sketch_of(Bench *bench, const float *vector, float *sketch)
{
	float		extra;
	bool		unbounded;

	return AnnoyMakeSketch(&bench->sketcher, vector, bench->scratch, sketch,
						   &extra, &unbounded);
}

static inline void
make_gaussian(DataSet *data, int count, int dimensions)
{
	AnnoyRandom random;
	size_t		i;

	data->name = "gaussian";
	data->count = count;
	data->dimensions = dimensions;
	data->vectors = allocate_floats((size_t) count * dimensions);
	AnnoySeedRandom(&random, 11);
	for (i = 0; i < (size_t) count * dimensions; i++)
		data->vectors[i] = gaussian(&random);
}

/* Clusters far from the origin, of different sizes, coordinates uneven. */
static inline void
make_clustered(DataSet *data, int count, int dimensions)
{
	AnnoyRandom random;
	float	   *means = allocate_floats(20 * (size_t) dimensions);
	int			k;
	int			i;

	make_gaussian(data, count, dimensions);
	data->name = "clustered";
	AnnoySeedRandom(&random, 12);
	for (i = 0; i < 20 * dimensions; i++)
		means[i] = 1.0f + 2.0f * gaussian(&random);
	for (k = 0; k < count; k++)
	{
		int			cluster = (int) AnnoyRandomBelow(&random, 20);
		float		width = 0.2f + 0.1f * (float) cluster;

		for (i = 0; i < dimensions; i++)
		{
			float	   *x = &data->vectors[(size_t) k * dimensions + i];

			*x = means[cluster * dimensions + i] +
				width * *x / (float) (1 + i % 7);
		}
	}
	free(means);
}

static inline const float *
vector_of(const DataSet *data, int item)
{
	return data->vectors + (size_t) item * data->dimensions;
}

/* The operator's distance, but in double. */
static inline double
exact_distance(AnnoyMetric metric, int d, const float *a, const float *b)
{
	double		sum = 0.0;
	int			i;

	if (metric == ANNOY_METRIC_INNER_PRODUCT)
		return -product(d, a, b);
	if (metric == ANNOY_METRIC_COSINE)
		return 1.0 - product(d, a, b) /
			sqrt(product(d, a, a) * product(d, b, b));
	for (i = 0; i < d; i++)
	{
		double		difference = (double) a[i] - (double) b[i];

		sum += metric == ANNOY_METRIC_L1 ? fabs(difference) :
			difference * difference;
	}
	return metric == ANNOY_METRIC_L2 ? sqrt(sum) : sum;
}

/* Centre and largest norm, as a build finds them. */
static inline void
measure_data(const DataSet *data, AnnoyMetric metric, float *centre,
			 float *max_norm)
{
	int			d = data->dimensions;
	float	   *transformed = allocate_floats((size_t) d);
	Bench		bench;
	int			k;
	int			i;

	open_bench(&bench, metric, d, 1, NULL, 0.0f);
	memset(centre, 0, (size_t) d * sizeof(float));
	*max_norm = 0.0f;
	for (k = HELD_OUT; k < data->count; k++)
	{
		double		norm;
		bool		unbounded;

		AnnoyTransformVector(&bench.sketcher, vector_of(data, k), transformed,
							 &norm, &unbounded);
		for (i = 0; i < d; i++)
			centre[i] += transformed[i] / (float) (data->count - HELD_OUT);
		if (norm > *max_norm)
			*max_norm = (float) norm;
	}
	close_bench(&bench);
	free(transformed);
}

#endif							/* BENCH_H */

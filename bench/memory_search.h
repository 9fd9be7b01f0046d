/*-------------------------------------------------------------------------
 *
 * memory_search.h
 *	  The extension's search over a forest in plain memory.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BENCH_MEMORY_SEARCH_H
#define BENCH_MEMORY_SEARCH_H

#include "memory_forest.h"

typedef struct MemorySearch MemorySearch;

/* As annoy_last_scan() has them. */
typedef struct MemoryStatistics
{
	int64_t		items_inspected;
	int64_t		leaves;
	int64_t		hyperplanes;
	int64_t		exact_distances;
} MemoryStatistics;

extern MemorySearch *begin_memory_search(const MemoryForest *forest);

/*
 * Writes the rows nearest to a query, at most k, nearest first, and returns
 * how many.  search_k 0: what the index was calibrated for.
 */
extern int	search_memory(MemorySearch *search, const float *query,
						  int64_t search_k, int k, int64_t *rows);

/* Of the last search. */
extern const MemoryStatistics *get_memory_statistics(const MemorySearch *search);

#endif							/* BENCH_MEMORY_SEARCH_H */

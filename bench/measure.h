/*-------------------------------------------------------------------------
 *
 * measure.h
 *	  Recall and time of searches inside the program, printed in the columns
 *	  of the query client.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BENCH_MEASURE_H
#define BENCH_MEASURE_H

#include <stdint.h>

#include "dataset.h"

#ifdef __cplusplus
extern "C"
{
#endif

#define MAX_MEASURED_SETTINGS 64

/*
 * Answers a query under a setting: writes at most k row numbers, nearest
 * first, and returns how many.
 */
typedef int (*AnswerQuery) (void *context, int setting, int query,
							int64_t *ids);

typedef struct Measurements
{
	int			k;
	int			repetitions;
	int			num_queries;
	const GroundTruth *truth;
	AnswerQuery answer;
	void	   *context;
	int			num_settings;
	const char *settings[MAX_MEASURED_SETTINGS];
} Measurements;

/*
 * Each setting has a warm-up pass over all queries, from which recall is
 * taken, then come the timed passes, the settings taking turns.  Prints a line
 * for each, ended by "rest" (further columns with their tabs, or "").
 */
extern void print_measurement_heading(const char *rest);
extern void measure_searches(const Measurements *measurements,
							 const char *rest);

/* Seconds of a clock that only runs forward. */
extern double read_clock(void);

/* For qsort. */
extern int	compare_doubles(const void *a, const void *b);

/* The value that the given part of an ordered array does not exceed. */
extern double quantile(const double *ordered, int count, double part);

/* A number of 1 to 2^31 - 1, or the end of the program. */
extern int	parse_number(const char *text, const char *name);

#ifdef __cplusplus
}
#endif

#endif							/* BENCH_MEASURE_H */

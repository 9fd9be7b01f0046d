/*-------------------------------------------------------------------------
 *
 * measure.c
 *	  Recall and time of searches inside the program, printed in the columns
 *	  of the query client.
 *
 *-------------------------------------------------------------------------
 */
#define _GNU_SOURCE				/* clock_gettime */

#include "measure.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* What is known of one setting. */
typedef struct Result
{
	double		recall;
	double	   *latencies;		/* seconds, [repetitions * num_queries] */
	double	   *rates;			/* queries per second, [repetitions] */
} Result;

double
read_clock(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double) now.tv_sec + (double) now.tv_nsec / 1e9;
}

int
parse_number(const char *text, const char *name)
{
	char	   *end;
	long		value = strtol(text, &end, 10);

	if (*text == '\0' || *end != '\0' || value < 1 || value > INT_MAX)
		die("%s must be a positive number, not \"%s\"", name, text);
	return (int) value;
}

static double *
allocate_doubles(int count)
{
	double	   *array = malloc(sizeof(double) * (size_t) count);

	if (array == NULL)
		die("out of memory");
	return array;
}

static double
measure_recall(const Measurements *m, int setting, int64_t *ids)
{
	double		sum = 0;

	for (int i = 0; i < m->num_queries; i++)
	{
		int			count = m->answer(m->context, setting, i, ids);

		sum += compute_recall(m->truth, i, m->k, ids, count);
	}
	return sum / m->num_queries;
}

/* One timed pass; returns queries per second. */
static double
measure_pass(const Measurements *m, int setting, int64_t *ids,
			 double *latencies)
{
	double		sum = 0;

	for (int i = 0; i < m->num_queries; i++)
	{
		double		start = read_clock();

		m->answer(m->context, setting, i, ids);
		latencies[i] = read_clock() - start;
		sum += latencies[i];
	}
	return m->num_queries / sum;
}

int
compare_doubles(const void *a, const void *b)
{
	double		x = *(const double *) a;
	double		y = *(const double *) b;

	return (x > y) - (x < y);
}

double
quantile(const double *ordered, int count, double part)
{
	int			position = (int) (part * count);

	return ordered[position < count ? position : count - 1];
}

void
print_measurement_heading(const char *rest)
{
	printf("setting\trecall\tqps\tqps_min\tqps_max\tmean_ms\tp50_ms\tp99_ms%s\n",
		   rest);
}

/* Puts a setting's numbers into order. */
static void
print_result(const Measurements *m, const char *setting, Result *result,
			 const char *rest)
{
	int			count = m->repetitions * m->num_queries;
	double		mean = 0;

	for (int i = 0; i < count; i++)
		mean += result->latencies[i] / count;
	qsort(result->latencies, (size_t) count, sizeof(double), compare_doubles);
	qsort(result->rates, (size_t) m->repetitions, sizeof(double),
		  compare_doubles);
	printf("%s\t%.4f\t%.2f\t%.2f\t%.2f\t%.4f\t%.4f\t%.4f%s\n", setting,
		   result->recall, quantile(result->rates, m->repetitions, 0.5),
		   result->rates[0], result->rates[m->repetitions - 1], mean * 1e3,
		   quantile(result->latencies, count, 0.5) * 1e3,
		   quantile(result->latencies, count, 0.99) * 1e3, rest);
	fflush(stdout);
}

void
measure_searches(const Measurements *m, const char *rest)
{
	Result		results[MAX_MEASURED_SETTINGS];
	int64_t    *ids = malloc(sizeof(int64_t) * (size_t) m->k);

	if (ids == NULL)
		die("out of memory");
	for (int i = 0; i < m->num_settings; i++)
	{
		results[i].recall = measure_recall(m, i, ids);
		results[i].latencies = allocate_doubles(m->repetitions *
												m->num_queries);
		results[i].rates = allocate_doubles(m->repetitions);
	}
	for (int pass = 0; pass < m->repetitions; pass++)
		for (int i = 0; i < m->num_settings; i++)
			results[i].rates[pass] =
				measure_pass(m, i, ids, results[i].latencies +
							 (size_t) pass * (size_t) m->num_queries);
	for (int i = 0; i < m->num_settings; i++)
	{
		print_result(m, m->settings[i], &results[i], rest);
		free(results[i].latencies);
		free(results[i].rates);
	}
	free(ids);
}

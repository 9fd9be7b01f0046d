/*-------------------------------------------------------------------------
 *
 * dataset.c
 *	  The query vectors and the ground truth that bench/dataset wrote.
 *
 * The files are arrays in the machine's own byte order without any header.
 *
 *-------------------------------------------------------------------------
 */
#define _GNU_SOURCE				/* strdup */

#include "dataset.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *program_name = "client";

/* Print a message and end the program. */
void
die(const char *format,...)
{
	va_list		arguments;

	fflush(stdout);
	fprintf(stderr, "%s: ", program_name);
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
	exit(1);
}

/*
 * Read a whole file of elements of four bytes.  Returns malloc'ed memory and
 * sets *count to the number of elements.  A file that cannot be opened gives
 * NULL if it may be missing.
 */
static void *
read_array(const char *path, size_t *count, bool may_be_missing)
{
	FILE	   *file = fopen(path, "rb");
	long		size;
	void	   *array;

	if (file == NULL)
	{
		if (may_be_missing)
			return NULL;
		die("could not open \"%s\" (bench/dataset writes it)", path);
	}
	if (fseek(file, 0, SEEK_END) != 0 || (size = ftell(file)) < 0)
		die("could not find out the size of \"%s\"", path);
	rewind(file);
	*count = (size_t) size / 4;
	array = malloc(size > 0 ? (size_t) size : 1);
	if (array == NULL)
		die("out of memory for \"%s\"", path);
	if (fread(array, 4, *count, file) != *count)
		die("could not read \"%s\"", path);
	fclose(file);
	return array;
}

/* Read query vectors of dim dimensions. */
void
read_queries(QuerySet *queries, const char *path, int dim)
{
	size_t		count;

	queries->vectors = read_array(path, &count, false);
	if (count == 0 || count % (size_t) dim != 0)
		die("\"%s\" does not hold vectors of %d dimensions", path, dim);
	queries->dim = dim;
	queries->count = (int) (count / (size_t) dim);
}

/*
 * Read the neighbours of num_queries queries, and their distances from the
 * file beside it whose name ends in ".f32" instead of ".i32", if it exists.
 */
void
read_ground_truth(GroundTruth *truth, const char *path, int num_queries)
{
	static const char suffix[] = ".i32";
	size_t		count;
	size_t		num_distances;
	size_t		stem_length = strlen(path);
	char	   *distance_path;

	truth->ids = read_array(path, &count, false);
	truth->distances = NULL;
	if (count == 0 || count % (size_t) num_queries != 0)
		die("\"%s\" does not belong to %d queries", path, num_queries);
	truth->count = num_queries;
	truth->depth = (int) (count / (size_t) num_queries);

	if (stem_length < strlen(suffix) ||
		strcmp(path + stem_length - strlen(suffix), suffix) != 0)
		return;
	distance_path = strdup(path);
	if (distance_path == NULL)
		die("out of memory");
	memcpy(distance_path + stem_length - strlen(suffix), ".f32",
		   strlen(suffix));
	truth->distances = read_array(distance_path, &num_distances, true);
	if (truth->distances != NULL && num_distances != count)
		die("\"%s\" and \"%s\" do not belong together", path, distance_path);
	free(distance_path);
}

/*
 * The part of a query's k nearest rows that an answer of num_ids rows holds.
 *
 * Rows as near as the k-th count as well as it does, as far as the ground
 * truth knows of them, since either may stand in an exact answer.  A row that
 * the answer holds twice counts once.
 */
double
compute_recall(const GroundTruth *truth, int query, int k,
			   const int64_t *ids, int num_ids)
{
	size_t		offset = (size_t) query * (size_t) truth->depth;
	const int32_t *nearest = truth->ids + offset;
	int			num_nearest = k;
	int			hits = 0;

	if (truth->distances != NULL)
	{
		const float *distances = truth->distances + offset;

		while (num_nearest < truth->depth &&
			   distances[num_nearest] <= distances[k - 1])
			num_nearest++;
	}
	for (int i = 0; i < num_nearest; i++)
	{
		for (int j = 0; j < num_ids; j++)
		{
			if (ids[j] == nearest[i])
			{
				hits++;
				break;
			}
		}
	}
	return (double) (hits < k ? hits : k) / k;
}

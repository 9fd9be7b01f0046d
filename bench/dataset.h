/*-------------------------------------------------------------------------
 *
 * dataset.h
 *	  The query vectors and the ground truth that bench/dataset wrote.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BENCH_DATASET_H
#define BENCH_DATASET_H

#include <stdint.h>

#ifdef __cplusplus
extern "C"
{
#endif

/* Row-major query vectors. */
typedef struct QuerySet
{
	int			count;
	int			dim;
	float	   *vectors;		/* count x dim */
} QuerySet;

/* For every query its nearest rows, nearest first. */
typedef struct GroundTruth
{
	int			count;			/* queries */
	int			depth;			/* neighbours per query */
	int32_t    *ids;			/* count x depth */
	float	   *distances;		/* likewise, or NULL if not known */
} GroundTruth;

/* All of these print what is wrong and exit. */
extern void read_queries(QuerySet *queries, const char *path, int dim);
extern void read_ground_truth(GroundTruth *truth, const char *path,
							  int num_queries);

extern double compute_recall(const GroundTruth *truth, int query, int k,
							 const int64_t *ids, int num_ids);

/* What messages begin with. */
extern const char *program_name;

extern void die(const char *format,...)
			__attribute__((format(printf, 1, 2), noreturn));

#ifdef __cplusplus
}
#endif

#endif							/* BENCH_DATASET_H */

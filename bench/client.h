/*-------------------------------------------------------------------------
 *
 * client.h
 *	  What the query client was asked to do.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BENCH_CLIENT_H
#define BENCH_CLIENT_H

#include <stdbool.h>

#include "dataset.h"
#include "target.h"

#define MAX_TARGETS 16
#define MAX_SETTINGS 128

/* Parameters to be set before queries on a target. */
typedef struct Setting
{
	Target	   *target;
	const char *text;
	bool		exact;			/* no index may be used */
	int			num_queries;	/* 0: as many as there are */
} Setting;

typedef struct Options
{
	const char *conninfo;
	const char *data;			/* FOLDER/NAME of bench/dataset, or NULL */
	const char *table;
	const char *column;
	const char *id_column;
	const char *operator;
	const char *query_path;
	const char *truth_path;		/* NULL if there is no ground truth */
	const char *insert_path;	/* NULL: queries are measured */
	int			k;
	int			num_queries;	/* 0: all */
	int			pass_queries;	/* of a timed pass; 0: all */
	int			repetitions;
	int			connections;	/* per target, at the same time */
	int			core;			/* that client and server share, or -1 */
	bool		cold;			/* no warm-up */
	bool		exact;
	bool		tabs;			/* for programs instead of people */
	int			num_targets;
	Target		targets[MAX_TARGETS];
	int			num_settings;
	Setting		settings[MAX_SETTINGS];
} Options;

/* queries.c; the targets are open */
extern void measure_settings(const Options *options, const QuerySet *queries,
							 const GroundTruth *truth);

/* inserts.c */
extern void measure_inserts(const Options *options);

#endif							/* BENCH_CLIENT_H */

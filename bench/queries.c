/*-------------------------------------------------------------------------
 *
 * queries.c
 *	  Time and recall of queries, under settings that take turns.
 *
 * Each setting has a warm-up pass over its queries, in which recall is
 * measured; then come the timed passes, in each of which all settings of all
 * targets take turns, so that a slow spell of the machine meets all of them.
 * Time is that from handing the query to libpq until the last row is here.
 *
 * Blocks touched are the differences of the cumulative statistics of the
 * table and its indexes, so they are known of any access method; others' use
 * of the same table at the same time would be counted, too.
 *
 *-------------------------------------------------------------------------
 */
#define _GNU_SOURCE				/* asprintf */

#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "measure.h"

/*
 * PostgreSQL plans the first five executions of a prepared statement each on
 * its own.  So many queries go before those that are timed.
 */
#define SETTLING_QUERIES 6

/* An exact answer takes long; so many queries tell enough of its time. */
#define DEFAULT_EXACT_QUERIES 100

/* What is measured of one setting. */
typedef struct Measurement
{
	const Setting *setting;
	int			num_queries;
	int			pass_queries;
	double		recall;			/* mean; negative if not known */
	double		rows;			/* mean number returned */
	double	   *latencies;		/* milliseconds; of all timed passes */
	double	   *rates;			/* queries per second; per timed pass */
	BlockCounts blocks;			/* sum of all timed passes */
} Measurement;

/* All that a pass over the queries needs */
typedef struct Bench
{
	const Options *options;
	const QuerySet *queries;
	const GroundTruth *truth;
	char	   *parameters;		/* all queries in vector's binary form */
	int			parameter_size;
} Bench;

/* One connection's part of a pass: every step-th query. */
typedef struct Worker
{
	const Bench *bench;
	const Target *target;
	PGconn	   *conn;
	int			first;
	int			step;
	int			num_queries;
	double	   *latencies;		/* of the whole pass */
	pthread_barrier_t *start;	/* NULL if alone */
	double		recall;			/* sums */
	double		rows;
} Worker;

/* Run one query: by the prepared statement, or by sql if that is given. */
static PGresult *
send_query(const Bench *bench, const Target *target, PGconn *conn, int query,
		   const char *sql)
{
	const char *value = bench->parameters +
		(size_t) bench->parameter_size * (size_t) query;
	const int	binary = 1;

	if (sql != NULL)
		return PQexecParams(conn, sql, 1, &target->column.type, &value,
							&bench->parameter_size, &binary, 1);
	return PQexecPrepared(conn, STATEMENT_NAME, 1, &value,
						  &bench->parameter_size, &binary, 1);
}

/*
 * Warn if the plan is not the one that was to be measured.  This also makes
 * the server load the access method, and so know its parameters' names.
 */
static void
check_plan(const Bench *bench, const Setting *setting)
{
	const Target *target = setting->target;
	PGconn	   *conn = target->connections[0];
	char	   *sql;
	PGresult   *result;
	bool		uses_index = false;

	if (asprintf(&sql, "EXPLAIN (COSTS off) %s", target->statement) < 0)
		die("out of memory");
	result = check_result(conn, send_query(bench, target, conn, 0, sql));
	for (int i = 0; i < PQntuples(result); i++)
	{
		if (strstr(PQgetvalue(result, i, 0), "Index Scan") != NULL)
			uses_index = true;
	}
	if (uses_index == setting->exact)
	{
		fprintf(stderr, "client: WARNING: %s with setting \"%s\": the plan "
				"%s\n", target->label, setting->text,
				uses_index ? "uses an index" : "uses no index");
		for (int i = 0; i < PQntuples(result); i++)
			fprintf(stderr, "\t%.72s\n", PQgetvalue(result, i, 0));
	}
	PQclear(result);
	free(sql);
}

/* Decode the identifiers of an answer; returns their number. */
static int
read_answer(const Target *target, const PGresult *result, int64_t *ids)
{
	int			num_rows = PQntuples(result);

	for (int i = 0; i < num_rows; i++)
	{
		const unsigned char *bytes = (unsigned char *) PQgetvalue(result, i, 0);
		int			length = PQgetlength(result, i, 0);
		uint64_t	value = 0;

		if (length != 4 && length != 8)
			die("column \"%s\" must be of type integer or bigint",
				target->column.id);
		for (int j = 0; j < length; j++)
			value = value << 8 | bytes[j];
		ids[i] = length == 4 ? (int32_t) value : (int64_t) value;
	}
	return num_rows;
}

/* A thread's function: run the worker's queries. */
static void *
run_worker(void *argument)
{
	Worker	   *worker = argument;
	const Bench *bench = worker->bench;
	int			k = bench->options->k;
	int64_t    *ids = allocate(sizeof(int64_t) * (size_t) k);

	if (worker->start != NULL)
		pthread_barrier_wait(worker->start);
	for (int i = worker->first; i < worker->num_queries; i += worker->step)
	{
		double		start = read_clock();
		PGresult   *result = send_query(bench, worker->target, worker->conn,
										i, NULL);
		int			num_rows;

		worker->latencies[i] = (read_clock() - start) * 1e3;
		check_result(worker->conn, result);
		num_rows = read_answer(worker->target, result, ids);
		worker->rows += num_rows;
		if (bench->truth != NULL)
			worker->recall += compute_recall(bench->truth, i, k, ids,
											 num_rows);
		PQclear(result);
	}
	free(ids);
	return NULL;
}

/*
 * One pass over the first queries by all connections of the target.  Times go
 * to latencies, one per query.  Recall and the number of rows are kept in the
 * measurement if that is asked for.  Returns queries per second: of one
 * connection, by the sum of the queries' times; of several, by the time until
 * the last has ended.
 */
static double
run_pass(const Bench *bench, Measurement *measurement, int num_queries,
		 double *latencies, bool keep)
{
	const Target *target = measurement->setting->target;
	int			count = target->num_connections;
	Worker	   *workers = allocate(sizeof(Worker) * (size_t) count);
	pthread_t  *threads = allocate(sizeof(pthread_t) * (size_t) count);
	pthread_barrier_t barrier;
	double		seconds = 0;
	double		recall = 0;
	double		rows = 0;

	pthread_barrier_init(&barrier, NULL, (unsigned) count + 1);
	for (int i = 0; i < count; i++)
		workers[i] = (Worker) {.bench = bench, .target = target,
			.conn = target->connections[i], .first = i, .step = count,
			.num_queries = num_queries, .latencies = latencies,
			.start = count > 1 ? &barrier : NULL};
	if (count == 1)
	{
		run_worker(&workers[0]);
		for (int i = 0; i < num_queries; i++)
			seconds += latencies[i] / 1e3;
	}
	else
	{
		for (int i = 0; i < count; i++)
			if (pthread_create(&threads[i], NULL, run_worker,
							   &workers[i]) != 0)
				die("could not start a thread");
		pthread_barrier_wait(&barrier);
		seconds = -read_clock();
		for (int i = 0; i < count; i++)
			pthread_join(threads[i], NULL);
		seconds += read_clock();
	}
	pthread_barrier_destroy(&barrier);

	for (int i = 0; i < count; i++)
	{
		recall += workers[i].recall;
		rows += workers[i].rows;
	}
	free(workers);
	free(threads);
	if (keep)
	{
		measurement->recall = bench->truth != NULL ? recall / num_queries : -1;
		measurement->rows = rows / num_queries;
		if (measurement->rows < bench->options->k)
			fprintf(stderr, "client: WARNING: %s with setting \"%s\": only "
					"%.2f rows came on average\n", target->label,
					measurement->setting->text, measurement->rows);
	}
	return num_queries / seconds;
}

/* One timed pass. */
static void
measure_pass(const Bench *bench, Measurement *measurement, int repetition)
{
	const Target *target = measurement->setting->target;
	int			count = measurement->pass_queries;
	double	   *latencies = measurement->latencies +
		(size_t) repetition * (size_t) count;
	BlockCounts before;
	BlockCounts after;

	apply_setting(target, measurement->setting->text);
	if (!bench->options->cold)
	{
		for (int i = 0; i < target->num_connections; i++)
			for (int j = 0; j < SETTLING_QUERIES && !measurement->setting->exact; j++)
				PQclear(check_result(target->connections[i],
									 send_query(bench, target,
												target->connections[i],
												j % count, NULL)));
	}
	before = count_blocks(target);
	measurement->rates[repetition] = run_pass(bench, measurement, count,
											  latencies,
											  bench->options->cold);
	after = count_blocks(target);
	measurement->blocks.index += after.index - before.index;
	measurement->blocks.table += after.table - before.table;
	measurement->blocks.index_reads += after.index_reads - before.index_reads;
	measurement->blocks.table_reads += after.table_reads - before.table_reads;
}

/* Tell people about a target. */
static void
describe_target(const Options *options, const Target *target)
{
	const char *values[] = {target->column.table_oid, options->column};
	PGconn	   *conn = target->connections[0];
	PGresult   *result;

	result = run_statement(conn, "SELECT current_setting('server_version'), "
						   "reltuples::bigint, "
						   "pg_size_pretty(pg_table_size(oid)) "
						   "FROM pg_class WHERE oid = $1::oid", 1, values);
	printf("%s: PostgreSQL %s; table %s: about %s rows, %d dimensions, %s\n",
		   target->label, PQgetvalue(result, 0, 0), target->column.table,
		   PQgetvalue(result, 0, 1), target->column.dim,
		   PQgetvalue(result, 0, 2));
	PQclear(result);
	result = run_statement(conn, "SELECT i.indexrelid::regclass, m.amname, "
						   "pg_size_pretty(pg_relation_size(i.indexrelid)), "
						   "coalesce(array_to_string(c.reloptions, ', '), '') "
						   "FROM pg_index i "
						   "JOIN pg_class c ON c.oid = i.indexrelid "
						   "JOIN pg_am m ON m.oid = c.relam "
						   "JOIN pg_attribute a ON a.attrelid = i.indrelid "
						   "AND a.attnum = i.indkey[0] "
						   "WHERE i.indrelid = $1::oid AND a.attname = $2 "
						   "ORDER BY 1", 2, values);
	for (int i = 0; i < PQntuples(result); i++)
		printf("\tindex %s: %s (%s), %s\n", PQgetvalue(result, i, 0),
			   PQgetvalue(result, i, 1), PQgetvalue(result, i, 3),
			   PQgetvalue(result, i, 2));
	PQclear(result);
	printf("\t%s\n", target->statement);
}

static void
print_heading(const Options *options)
{
	if (options->tabs)
	{
		printf("target\tsetting\trecall\tqps\tqps_min\tqps_max\tmean_ms\t"
			   "p50_ms\tp99_ms\tindex_blocks\ttable_blocks\tindex_reads\t"
			   "table_reads\trows\tqueries\n");
		return;
	}
	for (int i = 0; i < options->num_targets; i++)
		describe_target(options, &options->targets[i]);
	printf("%d connection%s, median of %d pass%s%s\n\n",
		   options->connections, options->connections > 1 ? "s" : "",
		   options->repetitions, options->repetitions > 1 ? "es" : "",
		   options->cold ? ", cold" : "");
	printf("recall@%-4d      q/s  (min ... max)      mean ms   p50 ms   p99 ms"
		   "   blocks of index   of table   setting\n", options->k);
}

/* Print a setting's line.  Puts its times into order. */
static void
print_measurement(const Options *options, Measurement *measurement)
{
	int			repetitions = options->repetitions;
	int			count = repetitions * measurement->pass_queries;
	const char *label = measurement->setting->target->label;
	const char *text = measurement->setting->text;
	BlockCounts *blocks = &measurement->blocks;
	double	   *latencies = measurement->latencies;
	double	   *rates = measurement->rates;
	double		mean = 0;
	char		recall[16] = "";

	for (int i = 0; i < count; i++)
		mean += latencies[i] / count;
	qsort(latencies, (size_t) count, sizeof(double), compare_doubles);
	qsort(rates, (size_t) repetitions, sizeof(double), compare_doubles);
	if (measurement->recall >= 0)
		snprintf(recall, sizeof(recall), "%.4f", measurement->recall);

	if (options->tabs)
		printf("%s\t%s\t%s\t%.2f\t%.2f\t%.2f\t%.4f\t%.4f\t%.4f\t%.2f\t%.2f\t"
			   "%.2f\t%.2f\t%.2f\t%d\n", label, text, recall,
			   quantile(rates, repetitions, 0.5), rates[0],
			   rates[repetitions - 1], mean, quantile(latencies, count, 0.5),
			   quantile(latencies, count, 0.99), blocks->index / count,
			   blocks->table / count, blocks->index_reads / count,
			   blocks->table_reads / count, measurement->rows,
			   measurement->num_queries);
	else
		printf("%-11s %8.1f  (%6.0f ... %6.0f) %8.3f %8.3f %8.3f"
			   " %17.1f %10.1f   %s%s%s\n", recall,
			   quantile(rates, repetitions, 0.5), rates[0],
			   rates[repetitions - 1], mean, quantile(latencies, count, 0.5),
			   quantile(latencies, count, 0.99), blocks->index / count,
			   blocks->table / count, options->num_targets > 1 ? label : "",
			   options->num_targets > 1 ? " " : "",
			   text[0] != '\0' ? text : "(defaults)");
	fflush(stdout);
}

static int
smaller_of(int a, int b)
{
	return a < b ? a : b;
}

/* Decide how many queries a setting gets, and warm it up. */
static void
begin_measurement(const Bench *bench, const Setting *setting,
				  Measurement *measurement)
{
	const Options *options = bench->options;
	int			count = bench->queries->count;

	if (options->num_queries > 0)
		count = smaller_of(count, options->num_queries);
	else if (setting->exact)
		count = smaller_of(count, DEFAULT_EXACT_QUERIES);
	if (setting->num_queries > 0)
		count = smaller_of(count, setting->num_queries);
	measurement->setting = setting;
	measurement->num_queries = count;
	measurement->pass_queries = options->pass_queries > 0 && !options->cold ?
		smaller_of(count, options->pass_queries) : count;
	measurement->latencies = allocate(sizeof(double) *
									  (size_t) (options->repetitions * count));
	measurement->rates = allocate(sizeof(double) *
								  (size_t) options->repetitions);

	apply_setting(setting->target, setting->text);
	check_plan(bench, setting);
	if (!options->cold)
	{
		run_pass(bench, measurement, count, measurement->latencies, true);

		/* The server shall not count the last ones in another one's pass. */
		count_blocks(setting->target);
	}
}

/* Bring every query into binary form beforehand. */
static void
encode_queries(Bench *bench)
{
	const QuerySet *queries = bench->queries;

	bench->parameter_size = vector_size(queries->dim);
	bench->parameters = allocate((size_t) bench->parameter_size *
								 (size_t) queries->count);
	for (int i = 0; i < queries->count; i++)
		encode_vector(bench->parameters +
					  (size_t) bench->parameter_size * (size_t) i,
					  queries->vectors + (size_t) i * (size_t) queries->dim,
					  queries->dim);
}

/* Measure all settings, which take turns, and print them. */
void
measure_settings(const Options *options, const QuerySet *queries,
				 const GroundTruth *truth)
{
	Bench		bench = {.options = options, .queries = queries,
	.truth = truth};
	Measurement *measurements = allocate(sizeof(Measurement) *
										 (size_t) options->num_settings);

	encode_queries(&bench);
	for (int i = 0; i < options->num_settings; i++)
		begin_measurement(&bench, &options->settings[i], &measurements[i]);
	for (int repetition = 0; repetition < options->repetitions; repetition++)
		for (int i = 0; i < options->num_settings; i++)
			measure_pass(&bench, &measurements[i], repetition);

	print_heading(options);
	for (int i = 0; i < options->num_settings; i++)
	{
		print_measurement(options, &measurements[i]);
		free(measurements[i].latencies);
		free(measurements[i].rates);
	}
	free(measurements);
	free(bench.parameters);
}

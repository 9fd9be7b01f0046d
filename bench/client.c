/*-------------------------------------------------------------------------
 *
 * client.c
 *	  Measure nearest-neighbour queries through libpq.
 *
 * One connection runs
 *
 *		SELECT id FROM table ORDER BY embedding <-> $1 LIMIT k
 *
 * as a prepared statement, with its parameter and its result in binary form,
 * for every query vector, under every setting asked for.  Each setting has a
 * warm-up pass over all queries, in which recall is measured; then come the
 * timed repetitions, the settings taking turns so that a slow spell of the
 * machine meets all of them.  Time is that from handing the query to libpq
 * until the last row is here.
 *
 * Blocks touched are the differences of the cumulative statistics of the
 * table and its index, so they are known of any access method; others' use
 * of the same table at the same time would be counted, too.
 *
 *-------------------------------------------------------------------------
 */
#define _GNU_SOURCE				/* getopt_long, asprintf, clock_gettime */

#include <arpa/inet.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <libpq-fe.h>

#include "dataset.h"

#define MAX_SETTINGS 64
#define STATEMENT_NAME "nearest"

/* An exact answer takes long; so many queries tell enough of its time. */
#define DEFAULT_EXACT_QUERIES 100

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
	int			k;
	int			num_queries;	/* 0: all */
	int			repetitions;
	bool		exact;
	bool		tabs;			/* for programs instead of people */
	int			num_settings;
	const char *settings[MAX_SETTINGS];
} Options;

/* The column that is searched. */
typedef struct Column
{
	char	   *table;			/* names, quoted where necessary */
	char	   *name;
	char	   *id;
	char	   *table_oid;		/* as text */
	Oid			type;
	int			dim;
} Column;

/* Blocks touched so far, as the server counted them. */
typedef struct BlockCounts
{
	double		index;			/* of all the table's indexes */
	double		table;			/* with TOAST */
} BlockCounts;

/* What is measured of one setting. */
typedef struct Measurement
{
	const char *setting;
	double		recall;			/* mean; negative if not known */
	double		rows;			/* mean number returned */
	double	   *latencies;		/* milliseconds; of all repetitions */
	double	   *rates;			/* queries per second; per repetition */
	BlockCounts blocks;			/* sum of all repetitions */
} Measurement;

/* All that a pass over the queries needs */
typedef struct Bench
{
	PGconn	   *conn;
	const Options *options;
	Column		column;
	QuerySet	queries;
	GroundTruth truth;
	char	   *statement;
	char	   *parameters;		/* all queries in vector's binary form */
	int			parameter_size;
	int64_t    *ids;			/* the last answer */
} Bench;

static void *
allocate(size_t size)
{
	void	   *memory = calloc(1, size > 0 ? size : 1);

	if (memory == NULL)
		die("out of memory");
	return memory;
}

/* End the program with the first line of the server's message. */
static void
die_of_server(PGconn *conn)
{
	const char *message = PQerrorMessage(conn);

	die("%.*s", (int) strcspn(message, "\n"), message);
}

/* Hand back a result, or die with the server's message. */
static PGresult *
check_result(PGconn *conn, PGresult *result)
{
	ExecStatusType status = PQresultStatus(result);

	if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK)
		die_of_server(conn);
	return result;
}

/* Run a statement with parameters as text; the result is text, too. */
static PGresult *
run(PGconn *conn, const char *sql, int num_values, const char *const *values)
{
	return check_result(conn, PQexecParams(conn, sql, num_values, NULL, values,
										   NULL, NULL, 0));
}

/* Look up the column that is to be searched. */
static void
find_column(Bench *bench)
{
	const Options *options = bench->options;
	const char *values[] = {options->table, options->column,
	options->id_column};
	PGresult   *result;
	const char *type_name;

	result = run(bench->conn,
				 "SELECT v.attrelid::regclass, quote_ident(v.attname), "
				 "quote_ident($3), v.attrelid, v.atttypid, v.atttypmod, "
				 "t.typname "
				 "FROM pg_attribute v JOIN pg_type t ON t.oid = v.atttypid "
				 "WHERE v.attrelid = $1::regclass AND v.attname = $2",
				 3, values);
	if (PQntuples(result) != 1)
		die("table \"%s\" has no column \"%s\"", options->table,
			options->column);
	type_name = PQgetvalue(result, 0, 6);
	if (strcmp(type_name, "vector") != 0)
		die("column \"%s\" is of type %s; only vector is supported",
			options->column, type_name);
	bench->column.table = strdup(PQgetvalue(result, 0, 0));
	bench->column.name = strdup(PQgetvalue(result, 0, 1));
	bench->column.id = strdup(PQgetvalue(result, 0, 2));
	bench->column.table_oid = strdup(PQgetvalue(result, 0, 3));
	bench->column.type = (Oid) strtoul(PQgetvalue(result, 0, 4), NULL, 10);
	bench->column.dim = atoi(PQgetvalue(result, 0, 5));
	PQclear(result);
	if (bench->column.dim < 1)
		die("column \"%s\" must be declared with its number of dimensions",
			options->column);
}

/*
 * Bring every query into vector's binary form beforehand: int16 dimension,
 * int16 zero, then float4s, all in network byte order.
 */
static void
encode_queries(Bench *bench)
{
	const QuerySet *queries = &bench->queries;
	char	   *target;

	bench->parameter_size = 4 + 4 * queries->dim;
	bench->parameters = allocate((size_t) bench->parameter_size *
								 (size_t) queries->count);
	target = bench->parameters;
	for (int i = 0; i < queries->count; i++)
	{
		const float *vector = queries->vectors +
			(size_t) i * (size_t) queries->dim;
		uint16_t	dim = htons((uint16_t) queries->dim);

		memcpy(target, &dim, sizeof(dim));
		target += 4;
		for (int j = 0; j < queries->dim; j++)
		{
			uint32_t	bits;

			memcpy(&bits, &vector[j], sizeof(bits));
			bits = htonl(bits);
			memcpy(target, &bits, sizeof(bits));
			target += sizeof(bits);
		}
	}
}

/* Run one query: by the prepared statement, or by sql if that is given. */
static PGresult *
send_query(const Bench *bench, int query, const char *sql)
{
	const char *value = bench->parameters +
		(size_t) bench->parameter_size * (size_t) query;
	const int	binary = 1;

	if (sql != NULL)
		return PQexecParams(bench->conn, sql, 1, &bench->column.type, &value,
							&bench->parameter_size, &binary, 1);
	return PQexecPrepared(bench->conn, STATEMENT_NAME, 1, &value,
						  &bench->parameter_size, &binary, 1);
}

/* Cut spaces off both ends, in place. */
static char *
trim(char *text)
{
	size_t		length;

	text += strspn(text, " ");
	length = strlen(text);
	while (length > 0 && text[length - 1] == ' ')
		length--;
	text[length] = '\0';
	return text;
}

/* Set one name=value, of whose text a copy is given. */
static void
set_parameter(PGconn *conn, char *assignment)
{
	char	   *equals = strchr(assignment, '=');
	const char *values[2];

	if (equals == NULL)
		die("setting \"%s\" is not of the form name=value", assignment);
	*equals = '\0';
	values[0] = trim(assignment);
	values[1] = trim(equals + 1);
	PQclear(run(conn, "SELECT set_config($1, $2, false)", 2, values));
}

/*
 * Put a setting into force, which is a list of name=value divided by
 * semicolons, and nothing that an earlier one set.  The statement is prepared
 * anew, lest it keep an earlier setting's plan.
 */
static void
apply_setting(const Bench *bench, const char *setting)
{
	PGconn	   *conn = bench->conn;
	char	   *copy = strdup(setting);
	char	   *rest = NULL;

	PQclear(check_result(conn, PQexec(conn, "RESET ALL; DEALLOCATE ALL")));
	if (bench->options->exact)
		PQclear(check_result(conn,
							 PQexec(conn, "SET enable_indexscan = off")));
	for (char *part = strtok_r(copy, ";", &rest); part != NULL;
		 part = strtok_r(NULL, ";", &rest))
		set_parameter(conn, part);
	free(copy);
	PQclear(check_result(conn, PQprepare(conn, STATEMENT_NAME,
										 bench->statement, 1,
										 &bench->column.type)));
}

/*
 * Warn if the plan is not the one that was to be measured.  This also makes
 * the server load the access method, and so know its parameters' names.
 */
static void
check_plan(const Bench *bench, const char *setting)
{
	char	   *sql;
	PGresult   *result;
	bool		uses_index = false;

	if (asprintf(&sql, "EXPLAIN (COSTS off) %s", bench->statement) < 0)
		die("out of memory");
	result = check_result(bench->conn, send_query(bench, 0, sql));
	for (int i = 0; i < PQntuples(result); i++)
	{
		if (strstr(PQgetvalue(result, i, 0), "Index Scan") != NULL)
			uses_index = true;
	}
	if (uses_index == bench->options->exact)
	{
		fprintf(stderr, "client: WARNING: with setting \"%s\", the plan %s\n",
				setting, uses_index ? "uses an index" : "uses no index");
		for (int i = 0; i < PQntuples(result); i++)
			fprintf(stderr, "\t%.72s\n", PQgetvalue(result, i, 0));
	}
	PQclear(result);
	free(sql);
}

/* Find out how many blocks the server has counted until now. */
static BlockCounts
count_blocks(const Bench *bench)
{
	const char *values[] = {bench->column.table_oid};
	BlockCounts counts;
	PGresult   *result;

	/* Otherwise a backend reports once a second only. */
	PQclear(run(bench->conn, "SELECT pg_stat_force_next_flush()", 0, NULL));
	result = run(bench->conn,
				 "SELECT (SELECT coalesce(sum(idx_blks_read + idx_blks_hit), 0) "
				 "FROM pg_statio_all_indexes WHERE relid = $1::oid), "
				 "coalesce(heap_blks_read + heap_blks_hit, 0) + "
				 "coalesce(toast_blks_read + toast_blks_hit, 0) + "
				 "coalesce(tidx_blks_read + tidx_blks_hit, 0) "
				 "FROM pg_statio_all_tables WHERE relid = $1::oid",
				 1, values);
	if (PQntuples(result) != 1)
		die("there are no statistics of table %s", bench->column.table);
	counts.index = atof(PQgetvalue(result, 0, 0));
	counts.table = atof(PQgetvalue(result, 0, 1));
	PQclear(result);
	return counts;
}

/* Decode the identifiers of an answer into bench->ids. */
static int
read_answer(const Bench *bench, const PGresult *result)
{
	int			num_rows = PQntuples(result);

	for (int i = 0; i < num_rows; i++)
	{
		const unsigned char *bytes = (unsigned char *) PQgetvalue(result, i, 0);
		int			length = PQgetlength(result, i, 0);
		uint64_t	value = 0;

		if (length != 4 && length != 8)
			die("column \"%s\" must be of type integer or bigint",
				bench->column.id);
		for (int j = 0; j < length; j++)
			value = value << 8 | bytes[j];
		bench->ids[i] = length == 4 ? (int32_t) value : (int64_t) value;
	}
	return num_rows;
}

static double
milliseconds_since(const struct timespec *start)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double) (now.tv_sec - start->tv_sec) * 1e3 +
		(double) (now.tv_nsec - start->tv_nsec) / 1e6;
}

/*
 * Run all queries once.  Times go to latencies, one per query.  Recall and
 * the number of rows, which repetitions do not change, go to measurement if
 * it is given.
 */
static void
run_queries(const Bench *bench, double *latencies, Measurement *measurement)
{
	int			num_queries = bench->options->num_queries;
	int			k = bench->options->k;
	double		recall = 0;
	double		rows = 0;

	for (int i = 0; i < num_queries; i++)
	{
		struct timespec start;
		PGresult   *result;
		int			num_rows;

		clock_gettime(CLOCK_MONOTONIC, &start);
		result = send_query(bench, i, NULL);
		latencies[i] = milliseconds_since(&start);

		check_result(bench->conn, result);
		num_rows = read_answer(bench, result);
		rows += num_rows;
		if (bench->options->truth_path != NULL)
			recall += compute_recall(&bench->truth, i, k, bench->ids,
									 num_rows);
		PQclear(result);
	}
	if (measurement == NULL)
		return;
	measurement->recall = bench->options->truth_path != NULL ?
		recall / num_queries : -1;
	measurement->rows = rows / num_queries;
	if (measurement->rows < k)
		fprintf(stderr, "client: WARNING: with setting \"%s\", only %.2f "
				"rows came on average\n", measurement->setting,
				measurement->rows);
}

/* One timed pass over all queries. */
static void
measure_repetition(const Bench *bench, Measurement *measurement,
				   int repetition)
{
	int			num_queries = bench->options->num_queries;
	double	   *latencies = measurement->latencies +
		(size_t) repetition * (size_t) num_queries;
	double		sum = 0;
	BlockCounts before;
	BlockCounts after;

	before = count_blocks(bench);
	run_queries(bench, latencies, NULL);
	after = count_blocks(bench);

	for (int i = 0; i < num_queries; i++)
		sum += latencies[i];
	measurement->rates[repetition] = num_queries / sum * 1e3;
	measurement->blocks.index += after.index - before.index;
	measurement->blocks.table += after.table - before.table;
}

static int
compare_doubles(const void *a, const void *b)
{
	double		x = *(const double *) a;
	double		y = *(const double *) b;

	return (x > y) - (x < y);
}

/* The value that the given part of an ordered array does not exceed. */
static double
quantile(const double *ordered, int count, double part)
{
	int			position = (int) (part * count);

	return ordered[position < count ? position : count - 1];
}

static void
print_heading(const Bench *bench)
{
	const Options *options = bench->options;
	const char *values[] = {bench->column.table_oid, options->column};
	PGresult   *result;

	if (options->tabs)
	{
		printf("setting\trecall\tqps\tqps_min\tqps_max\tmean_ms\tp50_ms\t"
			   "p99_ms\tindex_blocks\ttable_blocks\trows\n");
		return;
	}
	result = run(bench->conn,
				 "SELECT current_setting('server_version'), "
				 "reltuples::bigint, pg_size_pretty(pg_table_size(oid)) "
				 "FROM pg_class WHERE oid = $1::oid", 1, values);
	printf("PostgreSQL %s; table %s: about %s rows, %d dimensions, %s\n",
		   PQgetvalue(result, 0, 0), bench->column.table,
		   PQgetvalue(result, 0, 1), bench->column.dim,
		   PQgetvalue(result, 0, 2));
	PQclear(result);
	result = run(bench->conn,
				 "SELECT i.indexrelid::regclass, m.amname, "
				 "pg_size_pretty(pg_relation_size(i.indexrelid)), "
				 "coalesce(array_to_string(c.reloptions, ', '), '') "
				 "FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid "
				 "JOIN pg_am m ON m.oid = c.relam "
				 "JOIN pg_attribute a ON a.attrelid = i.indrelid "
				 "AND a.attnum = i.indkey[0] "
				 "WHERE i.indrelid = $1::oid AND a.attname = $2 ORDER BY 1",
				 2, values);
	for (int i = 0; i < PQntuples(result); i++)
		printf("index %s: %s (%s), %s\n", PQgetvalue(result, i, 0),
			   PQgetvalue(result, i, 1), PQgetvalue(result, i, 3),
			   PQgetvalue(result, i, 2));
	PQclear(result);
	printf("%d queries, %s%s, median of %d repetitions\n\n",
		   options->num_queries, bench->statement,
		   options->exact ? " without index" : "", options->repetitions);
	printf("recall@%-4d      q/s  (min ... max)      mean ms   p50 ms   p99 ms"
		   "   blocks of index   of table   setting\n", options->k);
}

/* Print a setting's line.  Puts its times into order. */
static void
print_measurement(const Bench *bench, Measurement *measurement)
{
	int			repetitions = bench->options->repetitions;
	int			count = repetitions * bench->options->num_queries;
	double		mean = 0;
	char		recall[16] = "";

	for (int i = 0; i < count; i++)
		mean += measurement->latencies[i] / count;
	qsort(measurement->latencies, (size_t) count, sizeof(double),
		  compare_doubles);
	qsort(measurement->rates, (size_t) repetitions, sizeof(double),
		  compare_doubles);
	if (measurement->recall >= 0)
		snprintf(recall, sizeof(recall), "%.4f", measurement->recall);

	if (bench->options->tabs)
		printf("%s\t%s\t%.2f\t%.2f\t%.2f\t%.4f\t%.4f\t%.4f\t%.2f\t%.2f\t%.2f\n",
			   measurement->setting, recall,
			   quantile(measurement->rates, repetitions, 0.5),
			   measurement->rates[0], measurement->rates[repetitions - 1],
			   mean, quantile(measurement->latencies, count, 0.5),
			   quantile(measurement->latencies, count, 0.99),
			   measurement->blocks.index / count,
			   measurement->blocks.table / count, measurement->rows);
	else
		printf("%-11s %8.1f  (%6.0f ... %6.0f) %8.3f %8.3f %8.3f"
			   " %17.1f %10.1f   %s\n",
			   recall, quantile(measurement->rates, repetitions, 0.5),
			   measurement->rates[0], measurement->rates[repetitions - 1],
			   mean, quantile(measurement->latencies, count, 0.5),
			   quantile(measurement->latencies, count, 0.99),
			   measurement->blocks.index / count,
			   measurement->blocks.table / count,
			   measurement->setting[0] != '\0' ? measurement->setting :
			   "(defaults)");
}

/* Measure all settings, which take turns, and print them. */
static void
measure_settings(const Bench *bench)
{
	const Options *options = bench->options;
	Measurement *measurements = allocate(sizeof(Measurement) *
										 (size_t) options->num_settings);

	for (int i = 0; i < options->num_settings; i++)
	{
		Measurement *measurement = &measurements[i];

		measurement->setting = options->settings[i];
		measurement->latencies = allocate(sizeof(double) *
										  (size_t) options->repetitions *
										  (size_t) options->num_queries);
		measurement->rates = allocate(sizeof(double) *
									  (size_t) options->repetitions);
		apply_setting(bench, measurement->setting);
		check_plan(bench, measurement->setting);
		run_queries(bench, measurement->latencies, measurement);
	}
	for (int repetition = 0; repetition < options->repetitions; repetition++)
	{
		for (int i = 0; i < options->num_settings; i++)
		{
			apply_setting(bench, measurements[i].setting);
			measure_repetition(bench, &measurements[i], repetition);
		}
	}

	print_heading(bench);
	for (int i = 0; i < options->num_settings; i++)
	{
		print_measurement(bench, &measurements[i]);
		free(measurements[i].latencies);
		free(measurements[i].rates);
	}
	free(measurements);
}

static void
print_usage(void)
{
	puts("usage: client [option ...] [setting ...]\n"
		 "\n"
		 "A setting is a list of parameters that are set before a run, such as\n"
		 "\"annoy.search_k=1000\" or \"annoy.search_k=1000;jit=off\"; \"\" stands for\n"
		 "the defaults, which are measured if no setting is given.\n"
		 "\n"
		 "  -d CONNINFO      libpq's connection string (default: PGHOST etc.)\n"
		 "  -D FOLDER/NAME   use NAME_test.f32, NAME_gt.i32, and table NAME\n"
		 "  -q FILE          query vectors, float32\n"
		 "  -g FILE          ground truth, int32; \"\" if there is none\n"
		 "  -t TABLE         table\n"
		 "  -c COLUMN        vector column (embedding)\n"
		 "  -i COLUMN        identifier (id)\n"
		 "  -o OPERATOR      distance (<->)\n"
		 "  -k K             LIMIT (10)\n"
		 "  -n N             number of queries (all; 100 with --exact)\n"
		 "  -r N             timed repetitions (3)\n"
		 "  --exact          sort the whole table instead of using an index\n"
		 "  --tabs           print values divided by tabs");
}

static int
parse_count(const char *text, const char *name)
{
	char	   *end;
	long		value = strtol(text, &end, 10);

	if (*text == '\0' || *end != '\0' || value < 1 || value > 1000000)
		die("%s must be a positive number, not \"%s\"", name, text);
	return (int) value;
}

/* Fill in what -D stands for where nothing more special was given. */
static void
complete_options(Options *options)
{
	if (options->data != NULL)
	{
		const char *slash = strrchr(options->data, '/');
		char	   *query_path;
		char	   *truth_path;

		if (asprintf(&query_path, "%s_test.f32", options->data) < 0 ||
			asprintf(&truth_path, "%s_gt.i32", options->data) < 0)
			die("out of memory");
		if (options->table == NULL)
			options->table = slash != NULL ? slash + 1 : options->data;
		if (options->query_path == NULL)
			options->query_path = query_path;
		if (options->truth_path == NULL)
			options->truth_path = truth_path;
	}
	if (options->truth_path != NULL && options->truth_path[0] == '\0')
		options->truth_path = NULL;
	if (options->table == NULL || options->query_path == NULL)
		die("a table and query vectors are needed: see --help");
	if (options->num_settings == 0)
		options->settings[options->num_settings++] = "";
}

static void
parse_options(Options *options, int argc, char **argv)
{
	static const struct option long_options[] = {
		{"exact", no_argument, NULL, 'x'},
		{"tabs", no_argument, NULL, 'T'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0}
	};
	int			letter;

	*options = (Options) {.conninfo = "", .column = "embedding",
		.id_column = "id", .operator = "<->", .k = 10, .repetitions = 3};
	while ((letter = getopt_long(argc, argv, "d:D:q:g:t:c:i:o:k:n:r:h",
								 long_options, NULL)) != -1)
	{
		switch (letter)
		{
			case 'd':
				options->conninfo = optarg;
				break;
			case 'D':
				options->data = optarg;
				break;
			case 'q':
				options->query_path = optarg;
				break;
			case 'g':
				options->truth_path = optarg;
				break;
			case 't':
				options->table = optarg;
				break;
			case 'c':
				options->column = optarg;
				break;
			case 'i':
				options->id_column = optarg;
				break;
			case 'o':
				options->operator = optarg;
				break;
			case 'k':
				options->k = parse_count(optarg, "-k");
				break;
			case 'n':
				options->num_queries = parse_count(optarg, "-n");
				break;
			case 'r':
				options->repetitions = parse_count(optarg, "-r");
				break;
			case 'x':
				options->exact = true;
				break;
			case 'T':
				options->tabs = true;
				break;
			case 'h':
				print_usage();
				exit(0);
			default:
				die("try --help");
		}
	}
	if (argc - optind > MAX_SETTINGS)
		die("no more than %d settings can be given", MAX_SETTINGS);
	for (int i = optind; i < argc; i++)
		options->settings[options->num_settings++] = argv[i];
	complete_options(options);
}

/* Read the queries and the ground truth, if any. */
static void
read_data(Bench *bench, Options *options)
{
	read_queries(&bench->queries, options->query_path, bench->column.dim);
	if (options->truth_path != NULL)
	{
		read_ground_truth(&bench->truth, options->truth_path,
						  bench->queries.count);
		if (options->k > bench->truth.depth)
			die("the ground truth knows %d neighbours, fewer than %d",
				bench->truth.depth, options->k);
	}
	if (options->num_queries == 0 && options->exact)
		options->num_queries = DEFAULT_EXACT_QUERIES;
	if (options->num_queries == 0 ||
		options->num_queries > bench->queries.count)
		options->num_queries = bench->queries.count;
	encode_queries(bench);
}

int
main(int argc, char **argv)
{
	Options		options;
	Bench		bench = {.options = &options};

	parse_options(&options, argc, argv);
	bench.conn = PQconnectdb(options.conninfo);
	if (PQstatus(bench.conn) != CONNECTION_OK)
		die_of_server(bench.conn);
	find_column(&bench);
	read_data(&bench, &options);
	bench.ids = allocate(sizeof(int64_t) * (size_t) options.k);
	if (asprintf(&bench.statement, "SELECT %s FROM %s ORDER BY %s %s $1 LIMIT %d",
				 bench.column.id, bench.column.table, bench.column.name,
				 options.operator, options.k) < 0)
		die("out of memory");

	measure_settings(&bench);
	PQfinish(bench.conn);
	return 0;
}

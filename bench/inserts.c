/*-------------------------------------------------------------------------
 *
 * inserts.c
 *	  Time and WAL of inserting single rows.
 *
 * The vectors of a file are divided into as many parts as there are
 * repetitions.  In each, the targets take turns at inserting that part, row by
 * row, by a prepared statement with binary parameters, in one transaction.
 * The WAL is that of the whole server meanwhile, so nothing else should run.
 *
 *-------------------------------------------------------------------------
 */
#define _GNU_SOURCE				/* asprintf */

#include <arpa/inet.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "client.h"
#include "measure.h"

#define INT4OID 23				/* catalog/pg_type_d.h */
#define INSERT_NAME "insert_row"

/* What is measured of one target. */
typedef struct InsertMeasurement
{
	double	   *rates;			/* rows per second, per repetition */
	double		wal;			/* bytes, of all repetitions */
} InsertMeasurement;

static double
read_number(PGconn *conn, const char *sql)
{
	PGresult   *result = run_statement(conn, sql, 0, NULL);
	double		value = atof(PQgetvalue(result, 0, 0));

	PQclear(result);
	return value;
}

static double
read_wal_position(PGconn *conn)
{
	return read_number(conn,
					   "SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn");
}

static void
insert_rows(const Target *target, const QuerySet *rows, int first, int count,
			int first_id)
{
	PGconn	   *conn = target->connections[0];
	int			size = vector_size(rows->dim);
	char	   *vector = allocate((size_t) size);

	PQclear(check_result(conn, PQexec(conn, "BEGIN")));
	for (int i = 0; i < count; i++)
	{
		uint32_t	id = htonl((uint32_t) (first_id + i));
		const char *values[] = {(const char *) &id, vector};
		const int	lengths[] = {sizeof(id), size};
		const int	formats[] = {1, 1};

		encode_vector(vector, rows->vectors +
					  (size_t) (first + i) * (size_t) rows->dim, rows->dim);
		PQclear(check_result(conn, PQexecPrepared(conn, INSERT_NAME, 2, values,
												  lengths, formats, 1)));
	}
	PQclear(check_result(conn, PQexec(conn, "COMMIT")));
	free(vector);
}

static void
measure_target(const Target *target, const QuerySet *rows, int first,
			   int count, InsertMeasurement *measurement, int repetition)
{
	PGconn	   *conn = target->connections[0];
	char	   *sql;
	double		wal;
	double		start;
	int			next_id;

	if (asprintf(&sql, "SELECT coalesce(max(%s), 0) + 1 FROM %s",
				 target->column.id, target->column.table) < 0)
		die("out of memory");
	next_id = (int) read_number(conn, sql);
	free(sql);
	wal = read_wal_position(conn);
	start = read_clock();
	insert_rows(target, rows, first, count, next_id);
	measurement->rates[repetition] = count / (read_clock() - start);
	measurement->wal += read_wal_position(conn) - wal;
}

static void
prepare_insert(const Target *target)
{
	const Oid	types[] = {INT4OID, target->column.type};
	char	   *sql;

	if (asprintf(&sql, "INSERT INTO %s (%s, %s) VALUES ($1, $2)",
				 target->column.table, target->column.id,
				 target->column.name) < 0)
		die("out of memory");
	PQclear(check_result(target->connections[0],
						 PQprepare(target->connections[0], INSERT_NAME, sql, 2,
								   types)));
	free(sql);
}

void
measure_inserts(const Options *options)
{
	InsertMeasurement measurements[MAX_TARGETS] = {{0}};
	int			repetitions = options->repetitions;
	QuerySet	rows;
	int			part;

	read_queries(&rows, options->insert_path, options->targets[0].column.dim);
	part = rows.count / repetitions;
	if (part == 0)
		die("there are fewer rows than repetitions");
	for (int i = 0; i < options->num_targets; i++)
	{
		if (options->targets[i].column.dim != rows.dim)
			die("all targets must have the same number of dimensions");
		prepare_insert(&options->targets[i]);
		measurements[i].rates = allocate(sizeof(double) *
										 (size_t) repetitions);
	}
	for (int repetition = 0; repetition < repetitions; repetition++)
		for (int i = 0; i < options->num_targets; i++)
			measure_target(&options->targets[i], &rows, repetition * part,
						   part, &measurements[i], repetition);

	printf(options->tabs ? "target\trows_s\trows_s_min\trows_s_max\t"
		   "wal_bytes\trows\n" :
		   "     rows/s  (min ... max)        bytes of WAL   target\n");
	for (int i = 0; i < options->num_targets; i++)
	{
		double	   *rates = measurements[i].rates;

		qsort(rates, (size_t) repetitions, sizeof(double), compare_doubles);
		if (options->tabs)
			printf("%s\t%.2f\t%.2f\t%.2f\t%.1f\t%d\n",
				   options->targets[i].label, rates[repetitions / 2], rates[0],
				   rates[repetitions - 1],
				   measurements[i].wal / (repetitions * part),
				   repetitions * part);
		else
			printf("%11.1f  (%7.0f ... %7.0f) %12.1f   %s\n",
				   rates[repetitions / 2], rates[0], rates[repetitions - 1],
				   measurements[i].wal / (repetitions * part),
				   options->targets[i].label);
		free(rates);
	}
}

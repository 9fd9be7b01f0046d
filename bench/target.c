/*-------------------------------------------------------------------------
 *
 * target.c
 *	  A table on a server that the client measures.
 *
 *-------------------------------------------------------------------------
 */
#define _GNU_SOURCE				/* strdup, cpu_set_t */

#include "target.h"

#include <arpa/inet.h>
#include <errno.h>
#include <sched.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "dataset.h"

void *
allocate(size_t size)
{
	void	   *memory = calloc(1, size > 0 ? size : 1);

	if (memory == NULL)
		die("out of memory");
	return memory;
}

/* End the program with the first line of the server's message. */
void
die_of_server(PGconn *conn)
{
	const char *message = PQerrorMessage(conn);

	die("%.*s", (int) strcspn(message, "\n"), message);
}

/* Hand back a result, or die with the server's message. */
PGresult *
check_result(PGconn *conn, PGresult *result)
{
	ExecStatusType status = PQresultStatus(result);

	if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK)
		die_of_server(conn);
	return result;
}

/* Run a statement with parameters as text; the result is text, too. */
PGresult *
run_statement(PGconn *conn, const char *sql, int num_values,
			  const char *const *values)
{
	return check_result(conn, PQexecParams(conn, sql, num_values, NULL, values,
										   NULL, NULL, 0));
}

/* Look up the column that is to be searched. */
static void
find_column(Target *target, const char *column, const char *id_column)
{
	const char *values[] = {target->table, column, id_column};
	Column	   *found = &target->column;
	PGresult   *result;
	const char *type_name;

	result = run_statement(target->connections[0],
						   "SELECT v.attrelid::regclass, "
						   "quote_ident(v.attname), quote_ident($3), "
						   "v.attrelid, v.atttypid, v.atttypmod, t.typname "
						   "FROM pg_attribute v "
						   "JOIN pg_type t ON t.oid = v.atttypid "
						   "WHERE v.attrelid = $1::regclass "
						   "AND v.attname = $2", 3, values);
	if (PQntuples(result) != 1)
		die("table \"%s\" has no column \"%s\"", target->table, column);
	type_name = PQgetvalue(result, 0, 6);
	if (strcmp(type_name, "vector") != 0)
		die("column \"%s\" is of type %s; only vector is supported",
			column, type_name);
	found->table = strdup(PQgetvalue(result, 0, 0));
	found->name = strdup(PQgetvalue(result, 0, 1));
	found->id = strdup(PQgetvalue(result, 0, 2));
	found->table_oid = strdup(PQgetvalue(result, 0, 3));
	found->type = (Oid) strtoul(PQgetvalue(result, 0, 4), NULL, 10);
	found->dim = atoi(PQgetvalue(result, 0, 5));
	PQclear(result);
	if (found->dim < 1)
		die("column \"%s\" must be declared with its number of dimensions",
			column);
}

void
open_target(Target *target, int num_connections, const char *column,
			const char *id_column)
{
	target->num_connections = num_connections;
	target->connections = allocate(sizeof(PGconn *) *
								   (size_t) num_connections);
	for (int i = 0; i < num_connections; i++)
	{
		target->connections[i] = PQconnectdb(target->conninfo);
		if (PQstatus(target->connections[i]) != CONNECTION_OK)
			die_of_server(target->connections[i]);
	}
	find_column(target, column, id_column);
}

void
bind_target(const Target *target, int core)
{
	cpu_set_t	cores;

	CPU_ZERO(&cores);
	CPU_SET(core, &cores);
	for (int i = 0; i < target->num_connections; i++)
	{
		PGconn	   *conn = target->connections[i];
		const char *host = PQhost(conn);

		if (host == NULL || host[0] != '/')
			die("--core needs a server on this machine, by a Unix socket");
		if (sched_setaffinity(PQbackendPID(conn), sizeof(cores), &cores) != 0)
			die("could not bind the server's process %d to core %d: %s",
				PQbackendPID(conn), core, strerror(errno));
	}
}

void
close_target(Target *target)
{
	for (int i = 0; i < target->num_connections; i++)
		PQfinish(target->connections[i]);
	free(target->connections);
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
	if (strcmp(values[0], QUERIES_PARAMETER) != 0)
		PQclear(run_statement(conn, "SELECT set_config($1, $2, false)", 2,
							  values));
}

/*
 * Put a setting into force on all connections, which is a list of name=value
 * divided by semicolons, and nothing that an earlier one set.  The query is
 * prepared anew, lest it keep an earlier setting's plan.
 */
void
apply_setting(const Target *target, const char *setting)
{
	for (int i = 0; i < target->num_connections; i++)
	{
		PGconn	   *conn = target->connections[i];
		char	   *copy = strdup(setting);
		char	   *rest = NULL;

		PQclear(check_result(conn, PQexec(conn,
										  "RESET ALL; DEALLOCATE ALL")));
		for (char *part = strtok_r(copy, ";", &rest); part != NULL;
			 part = strtok_r(NULL, ";", &rest))
			set_parameter(conn, part);
		free(copy);
		PQclear(check_result(conn, PQprepare(conn, STATEMENT_NAME,
											 target->statement, 1,
											 &target->column.type)));
	}
}

/* Find out how many blocks the server has counted until now. */
BlockCounts
count_blocks(const Target *target)
{
	const char *values[] = {target->column.table_oid};
	BlockCounts counts;
	PGresult   *result;

	/* Otherwise a backend reports once a second only. */
	for (int i = 0; i < target->num_connections; i++)
		PQclear(run_statement(target->connections[i],
							  "SELECT pg_stat_force_next_flush()", 0, NULL));
	result = run_statement(target->connections[0],
						   "SELECT i.hits + i.reads, "
						   "coalesce(heap_blks_hit, 0) + "
						   "coalesce(toast_blks_hit, 0) + "
						   "coalesce(tidx_blks_hit, 0) + t.reads, "
						   "i.reads, t.reads "
						   "FROM pg_statio_all_tables, LATERAL (SELECT "
						   "coalesce(sum(idx_blks_hit), 0) AS hits, "
						   "coalesce(sum(idx_blks_read), 0) AS reads "
						   "FROM pg_statio_all_indexes "
						   "WHERE relid = $1::oid) i, LATERAL (SELECT "
						   "coalesce(heap_blks_read, 0) + "
						   "coalesce(toast_blks_read, 0) + "
						   "coalesce(tidx_blks_read, 0) AS reads) t "
						   "WHERE relid = $1::oid", 1, values);
	if (PQntuples(result) != 1)
		die("there are no statistics of table %s", target->column.table);
	counts.index = atof(PQgetvalue(result, 0, 0));
	counts.table = atof(PQgetvalue(result, 0, 1));
	counts.index_reads = atof(PQgetvalue(result, 0, 2));
	counts.table_reads = atof(PQgetvalue(result, 0, 3));
	PQclear(result);
	return counts;
}

int
vector_size(int dim)
{
	return 4 + 4 * dim;
}

/*
 * The binary form of type vector: int16 dimension, int16 zero, then float4s,
 * all in network byte order.
 */
void
encode_vector(char *bytes, const float *vector, int dim)
{
	uint16_t	head[2] = {htons((uint16_t) dim), 0};

	memcpy(bytes, head, sizeof(head));
	bytes += sizeof(head);
	for (int j = 0; j < dim; j++)
	{
		uint32_t	bits;

		memcpy(&bits, &vector[j], sizeof(bits));
		bits = htonl(bits);
		memcpy(bytes, &bits, sizeof(bits));
		bytes += sizeof(bits);
	}
}

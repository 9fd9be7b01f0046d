/*-------------------------------------------------------------------------
 *
 * target.h
 *	  A table on a server that the client measures.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BENCH_TARGET_H
#define BENCH_TARGET_H

#include <stdbool.h>
#include <stddef.h>

#include <libpq-fe.h>

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

typedef struct Target
{
	const char *label;
	const char *table;			/* as given */
	const char *conninfo;
	int			num_connections;
	PGconn	  **connections;
	Column		column;
	char	   *statement;		/* the query */
} Target;

/* Blocks touched so far, as the server counted them; reads are part of them. */
typedef struct BlockCounts
{
	double		index;			/* of all the table's indexes */
	double		table;			/* with TOAST */
	double		index_reads;
	double		table_reads;
} BlockCounts;

/* Zeroed memory, or the end of the program. */
extern void *allocate(size_t size);

extern void die_of_server(PGconn *conn) __attribute__((noreturn));
extern PGresult *check_result(PGconn *conn, PGresult *result);
extern PGresult *run_statement(PGconn *conn, const char *sql, int num_values,
							   const char *const *values);

extern void open_target(Target *target, int num_connections,
						const char *column, const char *id_column);
extern void close_target(Target *target);

/*
 * Binds the server's processes of a target to a core.  For a server on this
 * machine, with the rights of root.
 */
extern void bind_target(const Target *target, int core);

extern void apply_setting(const Target *target, const char *setting);
extern BlockCounts count_blocks(const Target *target);

/* A vector in the binary form of type vector, which has this many bytes. */
extern int	vector_size(int dim);
extern void encode_vector(char *bytes, const float *vector, int dim);

/* The name under which apply_setting() prepares target->statement. */
#define STATEMENT_NAME "nearest"

/* In a setting, this is no parameter but the client's: how many queries. */
#define QUERIES_PARAMETER "queries"

#endif							/* BENCH_TARGET_H */

/*-------------------------------------------------------------------------
 *
 * rows.h
 *	  Rows of a table as an index has them: whether a row is in the index, and
 *	  its value there, which may be that of an expression.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ANNOY_ROWS_H
#define ANNOY_ROWS_H

#include "access/relscan.h"
#include "executor/tuptable.h"
#include "nodes/execnodes.h"
#include "storage/itemptr.h"
#include "utils/rel.h"
#include "utils/snapshot.h"

typedef struct AnnoyRows
{
	Relation	heap;
	Relation	index;
	Snapshot	snapshot;		/* registered until the end */
	TupleTableSlot *slot;		/* the row that was read last */
	TableScanDesc by_tid;		/* to see whether a TID is possible */

	/* the index's expression and condition */
	struct IndexInfo *info;
	EState	   *estate;
	ExprState  *condition;

	/* of the caller, while the table's owner is in force */
	Oid			user;
	int			security_context;
	int			nest_level;
} AnnoyRows;

/*
 * Between Begin and End index expressions and conditions run as the table's
 * owner, whose code they are, and without the caller's search path; so nothing
 * else that depends on the user or on settings may be done there.  The active
 * snapshot says which rows there are.
 */
extern void AnnoyBeginRows(AnnoyRows *rows, Relation heap, Relation index);
extern void AnnoyEndRows(AnnoyRows *rows);

/*
 * The value of one row, by its TID (ctid), detoasted, in the current memory
 * context.  Errors out if there is no such visible row, if it does not fulfil
 * the condition of a partial index, or if its value is NULL.
 */
extern Datum AnnoyGetRowValue(AnnoyRows *rows, ItemPointer tid);

/* Number of visible rows in the index whose value is not NULL. */
extern int64 AnnoyCountRows(AnnoyRows *rows);

#endif							/* ANNOY_ROWS_H */

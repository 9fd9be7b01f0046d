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

#include "table/owner.h"

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
	bool		as_owner;		/* there is something to evaluate */
	AnnoyCaller caller;
} AnnoyRows;

/*
 * Between Begin and End the table's owner may be in force (owner.h).  The
 * active snapshot says which rows there are.
 */
extern void AnnoyBeginRows(AnnoyRows *rows, Relation heap, Relation index);
extern void AnnoyEndRows(AnnoyRows *rows);

/*
 * The value of one row, by its TID (ctid), detoasted, in the current memory
 * context.  Errors out if there is no such visible row, if it does not fulfil
 * the condition of a partial index, or if its value is NULL.
 */
extern Datum AnnoyGetRowValue(AnnoyRows *rows, ItemPointer tid);

/* Whether all rows are in the index, each with the value of a column. */
extern bool AnnoyIsPlainColumn(Relation index);

#endif							/* ANNOY_ROWS_H */

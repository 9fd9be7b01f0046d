/*-------------------------------------------------------------------------
 *
 * rows.c
 *	  Rows of a table as an index has them: whether a row is in the index, and
 *	  its value there, which may be that of an expression.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/tableam.h"
#include "catalog/index.h"
#include "catalog/pg_index.h"
#include "executor/executor.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/snapmgr.h"

#include "annoycompat.h"
#include "table/rows.h"

bool
AnnoyIsPlainColumn(Relation index)
{
	return index->rd_index->indkey.values[0] != InvalidAttrNumber &&
		heap_attisnull(index->rd_indextuple, Anum_pg_index_indpred, NULL);
}

void
AnnoyBeginRows(AnnoyRows *rows, Relation heap, Relation index)
{
	memset(rows, 0, sizeof(AnnoyRows));
	rows->heap = heap;
	rows->index = index;

	rows->as_owner = !AnnoyIsPlainColumn(index);
	if (rows->as_owner)
		AnnoyBecomeOwner(&rows->caller, heap, index);
	rows->snapshot = RegisterSnapshot(GetActiveSnapshot());
	rows->slot = table_slot_create(heap, NULL);
	rows->by_tid = table_beginscan_tid(heap, rows->snapshot);
	rows->info = AnnoyBuildIndexInfo(index);
	rows->estate = CreateExecutorState();
	GetPerTupleExprContext(rows->estate)->ecxt_scantuple = rows->slot;
	rows->condition = ExecPrepareQual(rows->info->ii_Predicate, rows->estate);
}

void
AnnoyEndRows(AnnoyRows *rows)
{
	/* these point into the executor state */
	rows->info->ii_ExpressionsState = NIL;
	rows->info->ii_PredicateState = NULL;

	ExecDropSingleTupleTableSlot(rows->slot);
	FreeExecutorState(rows->estate);
	table_endscan(rows->by_tid);
	UnregisterSnapshot(rows->snapshot);
	if (rows->as_owner)
		AnnoyBecomeCaller(&rows->caller);
}

/*
 * Whether the row in the slot is in the index with a value.  That lives until
 * the next row.
 */
static bool
is_item(AnnoyRows *rows, Datum *value)
{
	bool		isnull;

	ResetPerTupleExprContext(rows->estate);
	if (!ExecQual(rows->condition, GetPerTupleExprContext(rows->estate)))
		return false;
	FormIndexDatum(rows->info, rows->slot, rows->estate, value, &isnull);
	return !isnull;
}

Datum
AnnoyGetRowValue(AnnoyRows *rows, ItemPointer tid)
{
	Datum		value;

	CHECK_FOR_INTERRUPTS();
	if (!ItemPointerIsValid(tid) ||
		!table_tuple_tid_valid(rows->by_tid, tid) ||
		!table_tuple_fetch_row_version(rows->heap, tid, rows->snapshot,
									   rows->slot) ||
		!is_item(rows, &value))
		ereport(ERROR,
				(errcode(ERRCODE_NO_DATA_FOUND),
				 errmsg("no item (%u,%u) in index \"%s\"",
						ItemPointerGetBlockNumberNoCheck(tid),
						ItemPointerGetOffsetNumberNoCheck(tid),
						RelationGetRelationName(rows->index)),
				 errdetail("An item is the ctid of a visible row of table \"%s\" whose indexed value is not null.",
						   RelationGetRelationName(rows->heap))));
	return PointerGetDatum(PG_DETOAST_DATUM_COPY(value));
}

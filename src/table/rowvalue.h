/*-------------------------------------------------------------------------
 *
 * rowvalue.h
 *	  The value that an index has for a row: from the table, by heap TID.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ANNOY_ROWVALUE_H
#define ANNOY_ROWVALUE_H

#include "access/relscan.h"
#include "executor/tuptable.h"
#include "nodes/execnodes.h"
#include "storage/itemptr.h"
#include "utils/rel.h"
#include "utils/snapshot.h"

#include "table/toastvalue.h"

/*
 * Reads rows one after another; keeps the page of the last one pinned.  Lives in
 * the memory context that is current in AnnoyBeginRowReader.
 */
typedef struct AnnoyRowReader
{
	Relation	heap;
	Relation	index;
	IndexFetchTableData *fetch;
	TupleTableSlot *slot;
	BlockNumber blocks;			/* of the table, as seen last */
	AttrNumber	column;			/* 0: an expression */
	struct IndexInfo *info;		/* of an expression */
	EState	   *estate;
	AnnoyToastReader toast;
	struct varlena *detoasted;	/* the value returned last, if it is ours */
	MemoryContext context;		/* of that */
} AnnoyRowReader;

/* What the table has of a row. */
typedef enum AnnoyRowState
{
	ANNOY_ROW_LIVE,				/* a version that is not deleted, or not yet */
	ANNOY_ROW_DEAD,				/* versions that only older snapshots see, if any */
	ANNOY_ROW_NONE				/* nothing: its line pointer is dead, or free */
} AnnoyRowState;

/*
 * Expressions are evaluated as the current user: who is not the query's should
 * be the table's owner (owner.h).
 */
extern void AnnoyBeginRowReader(AnnoyRowReader *reader, Relation heap,
								Relation index);
extern void AnnoyEndRowReader(AnnoyRowReader *reader);

/*
 * The detoasted value of the version of a row that the snapshot sees, valid until
 * the next call; NULL if it sees none.  An MVCC snapshot; or SnapshotSelf, where
 * nobody else can change the table.
 */
extern struct varlena *AnnoyReadRow(AnnoyRowReader *reader,
									const ItemPointerData *tid,
									Snapshot snapshot);

/* The same of a row that may be NULL (*value); false if the snapshot sees none. */
extern bool AnnoyReadNullableRow(AnnoyRowReader *reader,
								 const ItemPointerData *tid, Snapshot snapshot,
								 struct varlena **value);

/*
 * The value of a version that lives, or is about to, or to be deleted, or was
 * deleted by this transaction, which may be rolled back: all of them have the
 * value that the index has.  (What this transaction has made and deleted is dead,
 * though a savepoint may bring it back.)  *value: only of ANNOY_ROW_LIVE; NULL if it
 * is that, as it may be of a row that has got the TID of another.  A dead version's
 * value is not told: TOAST may not have it any more.
 */
extern AnnoyRowState AnnoyReadLiveRow(AnnoyRowReader *reader,
									  const ItemPointerData *tid,
									  struct varlena **value);

/*
 * Asks for the pages of rows that will be read soon, if they are not in shared
 * buffers.
 */
extern void AnnoyAnticipateRow(AnnoyRowReader *reader,
							   const ItemPointerData *tid);

/* Errors out: what the table has for an entry of the index cannot be. */
pg_noreturn extern void AnnoyReportRow(Relation index,
									   const ItemPointerData *tid,
									   const char *what);

#endif							/* ANNOY_ROWVALUE_H */

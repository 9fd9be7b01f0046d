/*-------------------------------------------------------------------------
 *
 * rowvalue.c
 *	  The value that an index has for a row: from the table, by heap TID.
 *
 * An entry of the index names a row by the heap TID that the table gave it: with
 * heap that of the first version of a HOT chain.  Everything goes through the
 * table access method's index fetch, as in an index scan of the server.
 *
 * All versions of a chain that have come since the index was made agree in what
 * is indexed, or they would not be in one chain.  Older ones may have other
 * values, but are deleted: so a version that lives has the right value, and an
 * MVCC snapshot that may use the index sees none of the others (indcheckxmin).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/tableam.h"
#include "catalog/index.h"
#include "catalog/pg_am_d.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "annoycompat.h"
#include "table/owner.h"
#include "table/rowvalue.h"

/* See AnnoyAnticipateRow. */
#define ROWS_DOUBTED 32
#define ROWS_TRUSTED 16

/* Rows, of all readers, since one was not in shared buffers. */
static uint32 asked_for = 0;

void
AnnoyReportRow(Relation index, const ItemPointerData *tid, const char *what)
{
	ereport(ERROR,
			(errcode(ERRCODE_INDEX_CORRUPTED),
			 errmsg("index \"%s\" does not match its table at row (%u,%u): %s",
					RelationGetRelationName(index),
					ItemPointerGetBlockNumberNoCheck(tid),
					ItemPointerGetOffsetNumberNoCheck(tid), what),
			 errhint("Please REINDEX it.")));
}

void
AnnoyBeginRowReader(AnnoyRowReader *reader, Relation heap, Relation index)
{
	memset(reader, 0, sizeof(AnnoyRowReader));
	reader->heap = heap;
	reader->index = index;
	reader->fetch = AnnoyBeginIndexFetch(heap);
	reader->slot = table_slot_create(heap, NULL);
	reader->column = index->rd_index->indkey.values[0];
	reader->context = CurrentMemoryContext;
	AnnoyBeginToastReader(&reader->toast, heap);
	if (reader->column == InvalidAttrNumber)
	{
		reader->info = AnnoyBuildIndexInfo(index);
		reader->estate = CreateExecutorState();
		GetPerTupleExprContext(reader->estate)->ecxt_scantuple = reader->slot;
	}
}

void
AnnoyEndRowReader(AnnoyRowReader *reader)
{
	table_index_fetch_end(reader->fetch);
	AnnoyEndToastReader(&reader->toast);
	ExecDropSingleTupleTableSlot(reader->slot);
	if (reader->estate)
		FreeExecutorState(reader->estate);
	if (reader->detoasted)
		pfree(reader->detoasted);
	reader->detoasted = NULL;
}

/* Whether the TIDs of the table are those of blocks in shared buffers. */
static bool
has_blocks(const AnnoyRowReader *reader)
{
	return reader->heap->rd_rel->relam == HEAP_TABLE_AM_OID;
}

/*
 * The server does not check heap TIDs: an invalid block would extend the table
 * (ReadBuffer).  Rows vanish from the end of a table when no index knows them any
 * more and nobody else has it open.
 */
static void
check_tid(AnnoyRowReader *reader, const ItemPointerData *tid)
{
	BlockNumber block = ItemPointerGetBlockNumberNoCheck(tid);

	if (ItemPointerIsValid(tid) && block < reader->blocks)
		return;
	if (has_blocks(reader))
		reader->blocks = RelationGetNumberOfBlocks(reader->heap);
	if (!ItemPointerIsValid(tid) || !BlockNumberIsValid(block) ||
		(has_blocks(reader) && block >= reader->blocks))
		AnnoyReportRow(reader->index, tid, "there is no such row");
}

/* Puts the first version of a row that the snapshot sees into the slot. */
static bool
fetch_version(AnnoyRowReader *reader, const ItemPointerData *tid,
			  Snapshot snapshot)
{
	ItemPointerData version = *tid; /* moves along a HOT chain */
	bool		call_again = false;

	return table_index_fetch_tuple(reader->fetch, &version, snapshot,
								   reader->slot, &call_again, NULL);
}

/* The value of the row in the slot; NULL if it is that. */
static struct varlena *
get_value(AnnoyRowReader *reader)
{
	Datum		datum;
	bool		isnull;
	struct varlena *value;

	if (reader->detoasted)
		pfree(reader->detoasted);
	reader->detoasted = NULL;
	if (reader->column != InvalidAttrNumber)
		datum = slot_getattr(reader->slot, reader->column, &isnull);
	else
	{
		ResetPerTupleExprContext(reader->estate);
		FormIndexDatum(reader->info, reader->slot, reader->estate, &datum,
					   &isnull);
	}
	if (isnull)
		return NULL;
	value = (struct varlena *) DatumGetPointer(datum);
	if (!VARATT_IS_4B_U(value))
	{
		MemoryContext old = MemoryContextSwitchTo(reader->context);

		struct varlena *fetched = AnnoyReadToast(&reader->toast, value);

		value = fetched ? fetched :
			(reader->detoasted = pg_detoast_datum(value));
		MemoryContextSwitchTo(old);
	}
	return value;
}

struct varlena *
AnnoyReadRow(AnnoyRowReader *reader, const ItemPointerData *tid,
			 Snapshot snapshot)
{
	struct varlena *value;

	check_tid(reader, tid);
	if (!fetch_version(reader, tid, snapshot))
		return NULL;
	value = get_value(reader);
	if (value == NULL)
		AnnoyReportRow(reader->index, tid, "its value is NULL");
	return value;
}

bool
AnnoyReadNullableRow(AnnoyRowReader *reader, const ItemPointerData *tid,
					 Snapshot snapshot, struct varlena **value)
{
	check_tid(reader, tid);
	if (!fetch_version(reader, tid, snapshot))
		return false;
	*value = get_value(reader);
	return true;
}

/*
 * Puts the version of a row that others see into the slot: nobody's work that is
 * not committed, nor our own transaction's, so that what this has deleted is still
 * there.  *exists: whether there is any version.
 */
static bool
fetch_others_version(AnnoyRowReader *reader, const ItemPointerData *tid,
					 bool *exists)
{
	ItemPointerData version = *tid; /* moves along a HOT chain */
	Snapshot	others = NULL;
	bool		call_again = false;
	bool		found = false;

	*exists = false;
	while (!found &&
		   table_index_fetch_tuple(reader->fetch, &version, SnapshotAny,
								   reader->slot, &call_again, NULL))
	{
		if (others == NULL)
		{
			others = RegisterSnapshot(GetLatestSnapshot());
			others->curcid = FirstCommandId;
		}
		found = table_tuple_satisfies_snapshot(reader->heap, reader->slot,
											   others);
		*exists = true;
		if (!call_again)
			break;
	}
	if (others)
		UnregisterSnapshot(others);
	return found;
}

AnnoyRowState
AnnoyReadLiveRow(AnnoyRowReader *reader, const ItemPointerData *tid,
				 struct varlena **value)
{
	SnapshotData dirty;
	bool		exists;

	check_tid(reader, tid);
	InitDirtySnapshot(dirty);
	if (fetch_version(reader, tid, &dirty) ||
		fetch_others_version(reader, tid, &exists))
	{
		*value = get_value(reader);
		return ANNOY_ROW_LIVE;
	}
	return exists ? ANNOY_ROW_DEAD : ANNOY_ROW_NONE;
}

/*
 * Whether a page is in shared buffers costs as much to find out as it takes to
 * read a row from one that is.  So if they all are, only every so manieth is
 * asked for.
 */
void
AnnoyAnticipateRow(AnnoyRowReader *reader, const ItemPointerData *tid)
{
	PrefetchBufferResult result;

	if (!has_blocks(reader) || RelationUsesLocalBuffers(reader->heap) ||
		(asked_for++ >= ROWS_DOUBTED && asked_for % ROWS_TRUSTED != 0))
		return;
	check_tid(reader, tid);
	result = PrefetchBuffer(reader->heap, MAIN_FORKNUM,
							ItemPointerGetBlockNumberNoCheck(tid));
	if (!BufferIsValid(result.recent_buffer))
		asked_for = 0;
}

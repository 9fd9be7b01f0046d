/*-------------------------------------------------------------------------
 *
 * toastvalue.c
 *	  Values that are stored out of line, one after another.
 *
 * Does what detoast_attr does for a value in a TOAST table, but keeps the table,
 * its index and the scan open from one value to the next.  Opening them takes
 * longer than reading the two chunks of a vector of 784 dimensions.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/detoast.h"
#include "access/heaptoast.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/toast_internals.h"
#include "catalog/pg_am_d.h"
#include "utils/fmgroids.h"
#include "utils/memutils.h"

#include "annoycompat.h"
#include "table/toastvalue.h"

/* Columns of a TOAST table. */
#define CHUNK_ID 1
#define CHUNK_SEQ 2
#define CHUNK_DATA 3

void
AnnoyBeginToastReader(AnnoyToastReader *reader, Relation heap)
{
	memset(reader, 0, sizeof(AnnoyToastReader));
	reader->heap = heap;
}

void
AnnoyEndToastReader(AnnoyToastReader *reader)
{
	if (reader->toast)
	{
		index_endscan(reader->scan);
		ExecDropSingleTupleTableSlot(reader->slot);
		index_close(reader->index, AccessShareLock);
		table_close(reader->toast, AccessShareLock);
	}
	if (reader->value)
		pfree(reader->value);
	memset(reader, 0, sizeof(AnnoyToastReader));
}

/* Opens the TOAST table; false if its rows are not those of heap. */
static bool
open_toast(AnnoyToastReader *reader, Oid oid)
{
	Relation	toast = table_open(oid, AccessShareLock);
	Relation   *indexes;
	int			count;
	int			valid;

	if (toast->rd_rel->relam != HEAP_TABLE_AM_OID)
	{
		table_close(toast, AccessShareLock);
		return false;
	}
	reader->toast = toast;
	valid = toast_open_indexes(reader->toast, AccessShareLock, &indexes, &count);
	reader->index = indexes[valid];
	for (int i = 0; i < count; i++)
		if (i != valid)
			index_close(indexes[i], AccessShareLock);
	pfree(indexes);
	reader->slot = table_slot_create(reader->toast, NULL);
	reader->scan = AnnoyBeginScanOfKeys(reader->toast, reader->index,
										AnnoyGetToastSnapshot(), 1);
	return true;
}

/* Copies the chunk in the slot to its place; returns its size. */
static Size
copy_chunk(AnnoyToastReader *reader, Size expected, Size place, Oid id)
{
	bool		isnull;
	struct varlena *chunk = (struct varlena *)
		DatumGetPointer(slot_getattr(reader->slot, CHUNK_DATA, &isnull));
	Size		size;

	if (isnull || VARATT_IS_EXTENDED(chunk))
	{
		if (isnull || !VARATT_IS_SHORT(chunk))
			ereport(ERROR,
					(errcode(ERRCODE_DATA_CORRUPTED),
					 errmsg("found toasted toast chunk for toast value %u in %s",
							id, RelationGetRelationName(reader->toast))));
	}
	size = VARSIZE_ANY_EXHDR(chunk);
	if (place + size > expected)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("unexpected size of toast value %u in %s", id,
						RelationGetRelationName(reader->toast))));
	memcpy(VARDATA(reader->value) + place, VARDATA_ANY(chunk), size);
	return size;
}

/*
 * Up to the end of the index scan, which then lets go of its pages: VACUUM of a
 * btree waits for who has one pinned, and the next value may be wanted much later,
 * or never (a cursor).
 */
struct varlena *
AnnoyReadToast(AnnoyToastReader *reader, struct varlena *pointer)
{
	struct varatt_external external;
	ScanKeyData key;
	Size		wanted;
	Size		size = 0;
	int32		sequence = 0;

	if (!VARATT_IS_EXTERNAL_ONDISK(pointer))
		return NULL;
	VARATT_EXTERNAL_GET_POINTER(external, pointer);
	if (VARATT_EXTERNAL_IS_COMPRESSED(external))
		return NULL;
	if (reader->toast && RelationGetRelid(reader->toast) != external.va_toastrelid)
		return NULL;
	if (reader->toast == NULL && !open_toast(reader, external.va_toastrelid))
		return NULL;
	wanted = VARATT_EXTERNAL_GET_EXTSIZE(external);
	if (wanted + VARHDRSZ > reader->size)
	{
		if (reader->value)
			pfree(reader->value);
		reader->value = palloc(wanted + VARHDRSZ);
		reader->size = wanted + VARHDRSZ;
	}
	SET_VARSIZE(reader->value, wanted + VARHDRSZ);
	ScanKeyInit(&key, CHUNK_ID, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(external.va_valueid));
	index_rescan(reader->scan, &key, 1, NULL, 0);
	while (index_getnext_slot(reader->scan, ForwardScanDirection, reader->slot))
	{
		bool		isnull;

		if (DatumGetInt32(slot_getattr(reader->slot, CHUNK_SEQ, &isnull)) !=
			sequence)
			break;
		sequence++;
		size += copy_chunk(reader, wanted, size, external.va_valueid);
	}
	ExecClearTuple(reader->slot);
	if (size != wanted)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("missing chunk number %d for toast value %u in %s",
						sequence, external.va_valueid,
						RelationGetRelationName(reader->toast))));
	return reader->value;
}

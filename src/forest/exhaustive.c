/*-------------------------------------------------------------------------
 *
 * exhaustive.c
 *	  Exhaustive search: all rows of an index by their exact distance.
 *
 * A scan that is wanted whole has to rank every row anyhow.  So codes are of no
 * use: all rows are read in the order of the table and sorted within work_mem, on
 * disk if need be.  That costs what a sequential scan and a sort do, and gives the
 * same order, but for rows at equal distance, which come in the order of their
 * heap TIDs.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_operator_d.h"
#include "catalog/pg_type_d.h"
#include "miscadmin.h"

#include "annoycompat.h"
#include "forest/searchstate.h"

/* Columns of what is sorted. */
#define DISTANCE 1				/* float8: NaN is the largest */
#define HEAP_TID 2				/* int8 */
#define COLUMNS 2

/* The list of rows and the sort share work_mem. */
#define MEMORY_PARTS 2

static void
begin_sort(AnnoySearch *search)
{
	static AttrNumber columns[COLUMNS] = {DISTANCE, HEAP_TID};
	static Oid	operators[COLUMNS] = {Float8LessOperator, Int8LessOperator};
	static Oid	collations[COLUMNS] = {InvalidOid, InvalidOid};
	static bool nulls_first[COLUMNS] = {false, false};

	if (search->sort_slot == NULL)
	{
		TupleDesc	desc = CreateTemplateTupleDesc(COLUMNS);

		TupleDescInitEntry(desc, DISTANCE, "distance", FLOAT8OID, -1, 0);
		TupleDescInitEntry(desc, HEAP_TID, "heap_tid", INT8OID, -1, 0);
		TupleDescFinalize(desc);
		search->sort_slot = MakeSingleTupleTableSlot(desc, &TTSOpsMinimalTuple);
	}
	search->sort = tuplesort_begin_heap(search->sort_slot->tts_tupleDescriptor,
										COLUMNS, columns, operators, collations,
										nulls_first, work_mem / MEMORY_PARTS, NULL,
										TUPLESORT_NONE);
}

void
AnnoySortRows(AnnoySearch *search)
{
	AnnoyRowList *list = AnnoyListSearchedRows(search, work_mem / MEMORY_PARTS);
	TupleTableSlot *slot;
	RankedRow	row;

	begin_sort(search);
	slot = MakeSingleTupleTableSlot(search->sort_slot->tts_tupleDescriptor,
									&TTSOpsVirtual);
	while (AnnoyNextListedRow(list, &row.tid))
	{
		CHECK_FOR_INTERRUPTS();
		search->statistics.items_inspected++;
		if (!AnnoyMeasureRow(search, &row))
			continue;
		ExecClearTuple(slot);
		slot->tts_values[DISTANCE - 1] = Float8GetDatum(row.distance);
		slot->tts_values[HEAP_TID - 1] = Int64GetDatum(AnnoyPackTid(&row.tid));
		slot->tts_isnull[DISTANCE - 1] = false;
		slot->tts_isnull[HEAP_TID - 1] = false;
		ExecStoreVirtualTuple(slot);
		tuplesort_puttupleslot(search->sort, slot);
	}
	ExecDropSingleTupleTableSlot(slot);
	AnnoyEndRowList(list);
	tuplesort_performsort(search->sort);
}

bool
AnnoyNextSorted(AnnoySearch *search, RankedRow *row)
{
	TupleTableSlot *slot = search->sort_slot;
	bool		isnull;

	if (!tuplesort_gettupleslot(search->sort, true, false, slot, NULL))
		return false;
	row->distance = DatumGetFloat8(slot_getattr(slot, DISTANCE, &isnull));
	AnnoyUnpackTid(DatumGetInt64(slot_getattr(slot, HEAP_TID, &isnull)),
				   &row->tid);
	return true;
}

void
AnnoyEndSort(AnnoySearch *search)
{
	if (search->sort == NULL)
		return;
	ExecClearTuple(search->sort_slot);
	tuplesort_end(search->sort);
	search->sort = NULL;
}

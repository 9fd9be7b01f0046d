/*-------------------------------------------------------------------------
 *
 * checkitems.c
 *	  Check of an index: items by themselves, and rows of index and table.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/tableam.h"
#include "catalog/index.h"
#include "catalog/pg_am_d.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "nodes/execnodes.h"
#include "storage/bufmgr.h"
#include "utils/memutils.h"

#include "annoycompat.h"
#include "check/check.h"
#include "table/owner.h"

/* More parts than the longest value can have. */
#define MAX_PARTS 1024

/*
 * An item that does not make sense and has not changed is read so many times
 * before it is reported: it may have been removed and made anew in between.
 */
#define ATTEMPTS 3

/* A part of an item as it was read, and where its next part is. */
typedef struct Part
{
	AnnoyItemData header;
	Size		size;			/* of its data */
} Part;

typedef struct Parts
{
	int			count;			/* without the first */
	ItemPointerData addresses[MAX_PARTS];
} Parts;

/* ---------------------------------------------------------------------
 * One item
 * ---------------------------------------------------------------------
 */

/*
 * Reads a part and appends what fits of its data to the value; false if there
 * is none.
 */
static bool
read_part(AnnoyCheck *check, const ItemPointerData *address, Part *part)
{
	OffsetNumber offset = ItemPointerGetOffsetNumberNoCheck(address);
	Buffer		buffer = AnnoyReadPage(check->index,
									   ItemPointerGetBlockNumberNoCheck(address),
									   ANNOY_PAGE_ITEM, BUFFER_LOCK_SHARE);
	AnnoyItem	item = AnnoyGetItem(check->index, buffer, offset);

	if (item != NULL)
	{
		ItemId		id = PageGetItemId(BufferGetPage(buffer), offset);
		Size		room = check->value_room - check->value_size;

		part->header = *item;
		part->size = ItemIdGetLength(id) - item->data_offset;
		memcpy(check->value + check->value_size,
			   (char *) item + item->data_offset, Min(part->size, room));
		check->value_size += Min(part->size, room);
	}
	UnlockReleaseBuffer(buffer);
	return item != NULL;
}

/* Reads the parts behind the first; returns what is wrong, or NULL. */
static const char *
read_next_parts(AnnoyCheck *check, const Part *head, Parts *parts)
{
	Part		part = *head;
	Size		total;

	parts->count = 0;
	if (head->size < VARHDRSZ || !VARATT_IS_4B_U(check->value))
		return "item without a value";
	total = VARSIZE(check->value);
	if (total > check->value_room)
		return "length of an item out of range";
	while (check->value_size < total)
	{
		ItemPointerData next = part.header.next;

		if (part.size == 0 || parts->count == MAX_PARTS)
			return "item of too many parts";
		if (!ItemPointerIsValid(&next))
			return "item ends before its last part";
		parts->addresses[parts->count++] = next;
		if (!read_part(check, &next, &part))
			return "item names a part that is not there";
		if (part.header.flags != ANNOY_ITEM_CONTINUED ||
			!ItemPointerEquals(&part.header.heap_tid,
							   (ItemPointer) &head->header.heap_tid))
			return "item names a part that is not its own";
	}
	if (check->value_size > total || ItemPointerIsValid(&part.header.next))
		return "item is longer than its value";
	return NULL;
}

/*
 * The number of dimensions; a malformed value is damage here.  No error is
 * survived, so there is nothing to be rolled back.
 */
static int
count_dimensions(AnnoyCheck *check, BlockNumber block)
{
	MemoryContext context = CurrentMemoryContext;
	volatile int dimensions = 0;

	PG_TRY();
	{
		dimensions = check->element->dimensions(check->value);
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		if (error->sqlerrcode != ERRCODE_DATA_CORRUPTED)
			PG_RE_THROW();
		FlushErrorState();
		AnnoyReportCorruption(check->index, block, error->message);
	}
	PG_END_TRY();
	return dimensions;
}

static AnnoyItemState
load_item(AnnoyCheck *check, const ItemPointerData *address,
		  ItemPointer heap_tid, Parts *parts)
{
	BlockNumber block = ItemPointerGetBlockNumberNoCheck(address);
	const char *what = NULL;
	Part		head;
	Part		again;

	for (int attempt = 0; attempt < ATTEMPTS; attempt++)
	{
		CHECK_FOR_INTERRUPTS();
		check->value_size = 0;
		if (!read_part(check, address, &head) ||
			(head.header.flags & ANNOY_ITEM_CONTINUED))
			return ANNOY_ITEM_IS_NONE;
		if (head.header.flags & ANNOY_ITEM_DEAD)
			return ANNOY_ITEM_IS_DEAD;
		what = read_next_parts(check, &head, parts);
		if (what == NULL)
			break;

		/* VACUUM marks the first part dead before it takes others away */
		check->value_size = 0;
		if (!read_part(check, address, &again) ||
			memcmp(&again.header, &head.header, sizeof(AnnoyItemData)) != 0)
			attempt--;
	}
	if (what != NULL)
		AnnoyReportCorruption(check->index, block, what);
	if (check->s > 0 &&
		count_dimensions(check, block) != check->forest->meta.dimensions)
		AnnoyReportCorruption(check->index, block,
							  "item of another number of dimensions");
	*heap_tid = head.header.heap_tid;
	return ANNOY_ITEM_IS_LIVE;
}

AnnoyItemState
AnnoyLoadItem(AnnoyCheck *check, const ItemPointerData *address,
			  ItemPointer heap_tid)
{
	Parts		parts;

	return load_item(check, address, heap_tid, &parts);
}

/* ---------------------------------------------------------------------
 * All items
 * ---------------------------------------------------------------------
 */

bool
AnnoyRowIsVisible(AnnoyCheck *check, ItemPointer heap_tid)
{
	ItemPointerData tid = *heap_tid;	/* moves along a HOT chain */
	bool		all_dead;

	if (check->heap->rd_rel->relam == HEAP_TABLE_AM_OID &&
		ItemPointerGetBlockNumberNoCheck(&tid) >=
		RelationGetNumberOfBlocks(check->heap))
		return false;
	return table_index_fetch_tuple_check(check->heap, &tid, check->snapshot,
										 &all_dead);
}

/* Rows vanish from the end of a table when no index knows them any more. */
static void
verify_heap_tid(AnnoyCheck *check, const ItemPointerData *address,
				ItemPointer heap_tid)
{
	ItemPointerData again;

	if (check->heap->rd_rel->relam != HEAP_TABLE_AM_OID ||
		ItemPointerGetBlockNumber(heap_tid) <
		RelationGetNumberOfBlocks(check->heap))
		return;
	if (AnnoyLoadItem(check, address, &again) == ANNOY_ITEM_IS_LIVE &&
		ItemPointerEquals(heap_tid, &again))
		AnnoyReportCorruption(check->index,
							  ItemPointerGetBlockNumberNoCheck(address),
							  psprintf("item of row (%u,%u) behind the end of the table",
									   ItemPointerGetBlockNumber(heap_tid),
									   ItemPointerGetOffsetNumber(heap_tid)));
}

/*
 * A part belongs to one item.  It may have come to another one meanwhile, but
 * not if that is of a row that was there all the time.
 */
static void
mark_parts(AnnoyCheck *check, const Parts *parts, ItemPointer heap_tid)
{
	for (int i = 0; i < parts->count; i++)
	{
		uint64		number;

		if (!AnnoyFindSlot(check, &parts->addresses[i], &number))
			continue;
		if (AnnoyTestBit(&check->seen, number) &&
			AnnoyRowIsVisible(check, heap_tid))
			AnnoyReportCorruption(check->index,
								  ItemPointerGetBlockNumber(&parts->addresses[i]),
								  "part of two items");
		AnnoySetBit(&check->seen, number);
	}
}

static uint16
hash_value(const char *value)
{
	return hash_bytes((const unsigned char *) value, VARSIZE(value)) &
		ANNOY_ROW_HASH;
}

static void
verify_item(AnnoyCheck *check, const ItemPointerData *address, uint64 number)
{
	ItemPointerData heap_tid;
	Parts		parts;

	if (load_item(check, address, &heap_tid, &parts) != ANNOY_ITEM_IS_LIVE)
	{
		AnnoyClearBit(&check->heads, number);
		return;
	}
	mark_parts(check, &parts, &heap_tid);
	tuplesort_putdatum(check->index_rows,
					   Int64GetDatum(AnnoyPackRow(&heap_tid,
												  hash_value(check->value))),
					   false);
	verify_heap_tid(check, address, &heap_tid);
}

/*
 * Calls a function for each slot of the item pages that is in one set and not
 * in another.
 */
static void
visit_slots(AnnoyCheck *check, const AnnoyBits *in, const AnnoyBits *not_in,
			void (*visit) (AnnoyCheck *check, const ItemPointerData *address,
						   uint64 number, int tree),
			int tree)
{
	for (BlockNumber block = 0; block < check->page_count; block++)
	{
		const AnnoyCheckedPage *page = &check->pages[block];

		if (page->kind != ANNOY_PAGE_ITEM)
			continue;
		for (int i = 0; i < page->count; i++)
		{
			uint64		number = page->first + i;
			ItemPointerData address;

			if (!AnnoyTestBit(in, number) ||
				(not_in != NULL && AnnoyTestBit(not_in, number)))
				continue;
			ItemPointerSet(&address, block, FirstOffsetNumber + i);
			CHECK_FOR_INTERRUPTS();
			MemoryContextReset(check->row_context);
			visit(check, &address, number, tree);
		}
	}
}

static void
visit_item(AnnoyCheck *check, const ItemPointerData *address, uint64 number,
		   int tree)
{
	verify_item(check, address, number);
}

static void
visit_orphan(AnnoyCheck *check, const ItemPointerData *address, uint64 number,
			 int tree)
{
	check->orphans++;
}

/*
 * Long values are written from their end, so an insert that is on its way or
 * was cut short has parts without a first one: these are counted only.
 */
void
AnnoyVerifyItems(AnnoyCheck *check)
{
	MemoryContext old = MemoryContextSwitchTo(check->row_context);

	visit_slots(check, &check->heads, NULL, visit_item, 0);
	visit_slots(check, &check->continued, &check->seen, visit_orphan, 0);
	MemoryContextSwitchTo(old);
}

/*
 * An item is named by each tree before its row is committed.  So it may be
 * missing if its row is not visible to a snapshot that is older than all that
 * we have read.
 */
static void
visit_missing(AnnoyCheck *check, const ItemPointerData *address,
			  uint64 number, int tree)
{
	ItemPointerData heap_tid;

	if (AnnoyLoadItem(check, address, &heap_tid) == ANNOY_ITEM_IS_LIVE &&
		AnnoyRowIsVisible(check, &heap_tid))
		AnnoyReportCorruption(check->index,
							  ItemPointerGetBlockNumber(address),
							  psprintf("item %u is missing from tree %d",
									   ItemPointerGetOffsetNumber(address),
									   tree));
}

void
AnnoyVerifyTreeComplete(AnnoyCheck *check, int tree)
{
	MemoryContext old = MemoryContextSwitchTo(check->row_context);

	visit_slots(check, &check->heads, &check->seen, visit_missing, tree);
	MemoryContextSwitchTo(old);
}

/* ---------------------------------------------------------------------
 * Rows
 * ---------------------------------------------------------------------
 */

static void
report_row(AnnoyCheck *check, int64 row, const char *what)
{
	ItemPointerData heap_tid = AnnoyRowTid(row);

	ereport(ERROR,
			(errcode(ERRCODE_INDEX_CORRUPTED),
			 errmsg("index \"%s\" does not match table \"%s\" at row (%u,%u): %s",
					RelationGetRelationName(check->index),
					RelationGetRelationName(check->heap),
					ItemPointerGetBlockNumberNoCheck(&heap_tid),
					ItemPointerGetOffsetNumberNoCheck(&heap_tid), what),
			 errhint("Please REINDEX it.")));
}

/* table_index_build_scan: what the index has to have of a visible row. */
static void
expect_row(Relation index, ItemPointer heap_tid, Datum *values, bool *isnull,
		   bool tuple_is_alive, void *state)
{
	AnnoyCheck *check = state;
	MemoryContext old = MemoryContextSwitchTo(check->row_context);
	uint16		payload = ANNOY_ROW_TAIL;

	MemoryContextReset(check->row_context);
	if (isnull[0])
		payload |= ANNOY_TAIL_NULL;
	else
	{
		char	   *value = (char *) PG_DETOAST_DATUM(values[0]);
		float		extra;
		bool		unbounded;

		if (check->s > 0 &&
			check->element->dimensions(value) != check->forest->meta.dimensions)
			report_row(check, AnnoyPackRow(heap_tid, 0),
					   "another number of dimensions");
		if (check->s > 0 &&
			AnnoyMakeSketch(&check->forest->sketcher,
							check->element->floats(value, check->floats),
							check->scratch, check->sketch, &extra, &unbounded))
			payload = hash_value(value);
	}
	MemoryContextSwitchTo(old);
	tuplesort_putdatum(check->heap_rows,
					   Int64GetDatum(AnnoyPackRow(heap_tid, payload)), false);
	check->heap_row_count++;
}

static void
scan_heap(AnnoyCheck *check)
{
	IndexInfo  *index_info = AnnoyBuildIndexInfo(check->index);
	TableScanDesc scan = table_beginscan_strat(check->heap, check->snapshot, 0,
											   NULL, true, true);

	/*
	 * As for CREATE INDEX CONCURRENTLY: rows that the snapshot sees, none in
	 * progress.  Constraints are not ours to verify.
	 */
	index_info->ii_Concurrent = true;
	index_info->ii_Unique = false;
	index_info->ii_ExclusionOps = NULL;
	(void) table_index_build_scan(check->heap, check->index, index_info, true,
								  false, expect_row, check, scan);
}

/*
 * The next row of the index.  Two for one heap TID are wrong if the row is
 * visible: it has had its place in the index all the time.
 */
static bool
next_index_row(AnnoyCheck *check, int64 *row)
{
	int64		previous = *row;
	ItemPointerData heap_tid;
	Datum		value;

	if (!AnnoyGetSortedDatum(check->index_rows, &value))
		return false;
	*row = DatumGetInt64(value);
	if (*row >> 16 == previous >> 16)
	{
		heap_tid = AnnoyRowTid(*row);
		if (AnnoyRowIsVisible(check, &heap_tid))
			report_row(check, *row, "it is in the index twice");
	}
	return true;
}

/* Both are in the order of their heap TIDs. */
static void
compare_rows(AnnoyCheck *check)
{
	int64		indexed = 0;	/* no row has TID (0,0) */
	bool		more = next_index_row(check, &indexed);
	Datum		value;

	while (check->heap_rows && AnnoyGetSortedDatum(check->heap_rows, &value))
	{
		int64		row = DatumGetInt64(value);

		CHECK_FOR_INTERRUPTS();
		while (more && indexed >> 16 < row >> 16)
			more = next_index_row(check, &indexed);
		if (!more || indexed >> 16 != row >> 16)
			report_row(check, row, "it is not in the index");
		if ((indexed ^ row) & ANNOY_ROW_TAIL)
			report_row(check, row,
					   (row & ANNOY_ROW_TAIL) ?
					   "it has an item, though its distance is never a number" :
					   "it is in the tail, though it has distances");
		if ((uint16) indexed != (uint16) row)
			report_row(check, row,
					   (row & ANNOY_ROW_TAIL) ?
					   "NULL and undefined distances are mixed up" :
					   "its item has another value");
	}
	while (more)
	{
		CHECK_FOR_INTERRUPTS();
		more = next_index_row(check, &indexed);
	}
}

void
AnnoyVerifyRows(AnnoyCheck *check)
{
	if (check->heap_all_indexed)
	{
		scan_heap(check);
		tuplesort_performsort(check->heap_rows);
	}
	tuplesort_performsort(check->index_rows);
	compare_rows(check);
}

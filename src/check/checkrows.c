/*-------------------------------------------------------------------------
 *
 * checkrows.c
 *	  Check of an index: entries against rows of the table, and where each row
 *	  has to be.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/tableam.h"
#include "catalog/index.h"
#include "miscadmin.h"
#include "nodes/execnodes.h"
#include "utils/memutils.h"

#include "annoycompat.h"
#include "check/check.h"
#include "table/owner.h"

/* ---------------------------------------------------------------------
 * Entries
 * ---------------------------------------------------------------------
 */

/* Sketches a row's value; false if it has no direction. */
static bool
sketch_value(AnnoyCheck *check, const ItemPointerData *tid,
			 struct varlena *value, bool *unbounded)
{
	float		extra;

	if (check->element->dimensions(value) != check->forest->meta.dimensions)
		AnnoyReportRow(check->index, tid, "another number of dimensions");
	return AnnoyMakeStoredSketch(&check->forest->sketcher,
								 check->element->floats(value, check->floats),
								 check->scratch, check->sketch, &extra,
								 unbounded);
}

/*
 * Adds the entry that a row should have to a page; false if the snapshot does
 * not see the row.
 */
static bool
add_expected_entry(AnnoyCheck *check, Page page, const ItemPointerData *tid)
{
	struct varlena *value = AnnoyReadRow(&check->reader, tid, check->snapshot);
	bool		unbounded;

	if (value == NULL)
		return false;
	if (!sketch_value(check, tid, value, &unbounded))
		AnnoyReportRow(check->index, tid, "its value has no direction");
	AnnoyAddLeafEntry(page, check->forest, check->sketch, unbounded, tid);
	return true;
}

/* Whether two leaves have the same entries, to the last bit. */
static bool
same_entries(AnnoyCheck *check, Page a, Page b)
{
	PageHeader	header = (PageHeader) a;
	Size		start = AnnoyPageGetLeafBlock(a, &check->forest->leaf, 0) - a;

	return header->pd_lower == ((PageHeader) b)->pd_lower &&
		header->pd_upper == ((PageHeader) b)->pd_upper &&
		memcmp(a + start, b + start, header->pd_lower - start) == 0 &&
		memcmp(a + header->pd_upper, b + header->pd_upper,
			   header->pd_special - header->pd_upper) == 0;
}

/* Whether one entry of two leaves is the same. */
static bool
same_entry(AnnoyCheck *check, Page a, Page b, int entry)
{
	const AnnoyLeafLayout *layout = &check->forest->leaf;
	int			count = AnnoyPageGetLeafHeader(a)->count;
	bool	   *drop = palloc(sizeof(bool) * count);
	PGAlignedBlock one;
	PGAlignedBlock other;
	bool		same;

	for (int i = 0; i < count; i++)
		drop[i] = i != entry;
	memcpy(one.data, a, BLCKSZ);
	memcpy(other.data, b, BLCKSZ);
	(void) AnnoyFilterLeaf((Page) one.data, layout, drop);
	(void) AnnoyFilterLeaf((Page) other.data, layout, drop);
	same = same_entries(check, (Page) one.data, (Page) other.data);
	pfree(drop);
	return same;
}

/*
 * Finds the entry that is not as expected.  One that says nothing is right for any
 * row: it may have been dead when its leaf was split (leafsplit.c), to all but our
 * snapshot, or until a rollback to a savepoint.
 */
static void
report_difference(AnnoyCheck *check, BlockNumber block, Page leaf,
				  Page expected)
{
	ItemPointerData *tids = palloc(sizeof(ItemPointerData) *
								   check->forest->leaf.capacity);
	int			count = AnnoyListLeaf(leaf, &check->forest->leaf, tids);

	for (int i = 0; i < count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (!same_entry(check, leaf, expected, i) &&
			!AnnoyLeafEntryIsUnbounded(leaf, &check->forest->leaf, i))
			AnnoyReportCorruption(check->index, block,
								  psprintf("entry of row (%u,%u) does not fit its value",
										   ItemPointerGetBlockNumber(&tids[i]),
										   ItemPointerGetOffsetNumber(&tids[i])));
	}
}

/*
 * The entries are compared with a page of entries made anew; those of rows that
 * the snapshot does not see are left out of both.
 */
void
AnnoyVerifyEntries(AnnoyCheck *check, BlockNumber block, Page leaf,
				   ItemPointerData *tids, bool *visible)
{
	const AnnoyLeafLayout *layout = &check->forest->leaf;
	AnnoyLeafHeader header = AnnoyPageGetLeafHeader(leaf);
	int			count = AnnoyListLeaf(leaf, layout, tids);
	bool	   *drop = palloc(sizeof(bool) * Max(count, 1));
	PGAlignedBlock expected;
	PGAlignedBlock found;

	AnnoyInitPage((Page) expected.data, ANNOY_PAGE_LEAF, 0);
	AnnoyStartLeaf((Page) expected.data, layout, header->centroid,
				   header->scale, header->norm_squared, header->extra);
	for (int i = 0; i < count; i++)
		AnnoyAnticipateRow(&check->reader, &tids[i]);
	for (int i = 0; i < count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		visible[i] = add_expected_entry(check, (Page) expected.data, &tids[i]);
		drop[i] = !visible[i];
	}
	memcpy(found.data, leaf, BLCKSZ);
	(void) AnnoyFilterLeaf((Page) found.data, layout, drop);
	if (!same_entries(check, (Page) found.data, (Page) expected.data))
		report_difference(check, block, (Page) found.data,
						  (Page) expected.data);
}

/* Before the first row with a distance it is not known which have none. */
void
AnnoyVerifyTailEntry(AnnoyCheck *check, const AnnoyTailEntry *entry)
{
	struct varlena *value;
	bool		unbounded;

	if (!AnnoyReadNullableRow(&check->reader, &entry->heap_tid,
							  check->snapshot, &value))
		return;
	if (value != NULL && check->s > 0 &&
		sketch_value(check, &entry->heap_tid, value, &unbounded))
		AnnoyReportRow(check->index, &entry->heap_tid,
					   "it is in the tail, though it has distances");
	if ((value == NULL) != ((entry->flags & ANNOY_TAIL_NULL) != 0))
		AnnoyReportRow(check->index, &entry->heap_tid,
					   "NULL and undefined distances are mixed up");
	AnnoyNotePlace(check, &entry->heap_tid, ANNOY_PLACE_TAIL);
}

/* ---------------------------------------------------------------------
 * Places
 * ---------------------------------------------------------------------
 */

/* Sorted by their TIDs: the trees by number, the tail, the table. */
void
AnnoyNotePlace(AnnoyCheck *check, const ItemPointerData *tid, uint16 place)
{
	tuplesort_putdatum(check->places,
					   Int64GetDatum((int64) ((uint64) AnnoyPackTid(tid) << 16 |
											  place)),
					   false);
}

/* table_index_build_scan: a row that has to be in the index. */
static void
note_table_row(Relation index, ItemPointer tid, Datum *values, bool *isnull,
			   bool tuple_is_alive, void *state)
{
	AnnoyCheck *check = state;

	AnnoyNotePlace(check, tid, ANNOY_PLACE_TABLE);
	check->heap_row_count++;
}

static void
scan_table(AnnoyCheck *check)
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
								  false, note_table_row, check, scan);
}

/* The places of one row. */
typedef struct RowPlaces
{
	ItemPointerData tid;
	int			trees;			/* 0 up to this one, without a gap */
	bool		in_tail;
	bool		in_table;
	const char *fault;			/* the first one; NULL: none yet */
} RowPlaces;

static void
add_place(RowPlaces *row, uint16 place)
{
	if (row->fault != NULL)
		return;
	if (place == ANNOY_PLACE_TABLE)
		row->in_table = true;
	else if (place == ANNOY_PLACE_TAIL)
	{
		if (row->in_tail)
			row->fault = "it is in the tail twice";
		row->in_tail = true;
	}
	else if (place < row->trees)
		row->fault = psprintf("it is in tree %d twice", place);
	else if (place > row->trees)
		row->fault = psprintf("it is missing from tree %d", row->trees);
	else
		row->trees++;
}

/*
 * All places of a row are known.  A row that is still visible has been so all
 * the time, which old_snapshot_threshold might have ended.
 */
static void
verify_row(AnnoyCheck *check, const RowPlaces *row)
{
	int			trees = check->s > 0 ? check->forest->meta.n_trees : 0;
	const char *fault = row->fault;
	struct varlena *value;

	if (fault == NULL && row->in_tail && row->trees > 0)
		fault = "it is in trees and in the tail";
	if (fault == NULL && !row->in_tail && row->trees == 0)
		fault = "it is not in the index";
	if (fault == NULL && !row->in_tail && row->trees < trees)
		fault = psprintf("it is missing from tree %d", row->trees);
	if (fault == NULL && check->heap_all_indexed && !row->in_table)
		fault = "it is in the index, but should not be";
	if (fault != NULL &&
		AnnoyReadNullableRow(&check->reader, &row->tid, check->snapshot, &value))
		AnnoyReportRow(check->index, &row->tid, fault);
}

void
AnnoyVerifyRows(AnnoyCheck *check)
{
	RowPlaces	row = {0};
	int64		last = 0;		/* no row has TID (0,0) */
	Datum		datum;

	if (check->heap_all_indexed)
		scan_table(check);
	tuplesort_performsort(check->places);
	while (AnnoyGetSortedDatum(check->places, &datum))
	{
		uint64		place = (uint64) DatumGetInt64(datum);
		int64		packed = (int64) (place >> 16);

		CHECK_FOR_INTERRUPTS();
		if (packed != last)
		{
			if (last != 0)
				verify_row(check, &row);
			memset(&row, 0, sizeof(row));
			AnnoyUnpackTid(packed, &row.tid);
			last = packed;
		}
		add_place(&row, (uint16) place);
	}
	if (last != 0)
		verify_row(check, &row);
}

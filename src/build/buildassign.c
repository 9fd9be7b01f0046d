/*-------------------------------------------------------------------------
 *
 * buildassign.c
 *	  Second step of a tree: sending its rows to cells.
 *
 * Each row goes to the cell with the nearest centroid among those that a
 * short walk of the tree finds: one step of Lloyd's algorithm (IEEE Trans.
 * Inf. Theory 28, 1982).  The rows of neighbouring directories are a batch,
 * small enough to be put in order in memory; that of a cell with very many
 * rows (of duplicates, say) is not, and is sorted by a tuplesort.
 *
 * Batches belong to the process whose partition they are of, so that most rows
 * stay where they are.  Records that are in memory do, and are listed; the
 * others are written again.
 *
 * Files of a build with workers:
 *
 *	items.N		process N's rows of others' batches, and what it has no room for
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_operator_d.h"
#include "catalog/pg_type_d.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "storage/buffile.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/tuplesort.h"

#include "annoycompat.h"
#include "build/buildassign.h"
#include "build/buildwalk.h"

/* Rows that are asked for ahead, and bytes of them. */
#define ITEMS_AHEAD 4
#define BYTES_AHEAD 512

/* What the copy of a tree is allocated in: little is left over at the end. */
#define COPY_BLOCK_BYTES (64 * 1024)

#define ITEM_FILE "items"

#define INT4_LESS 97			/* operator <(int4,int4) */
#define INT8_LESS 412			/* operator <(int8,int8) */

typedef struct BatchOrder
{
	uint32		cell;
	int64		tid;
	AnnoySketchRecord *record;
} BatchOrder;

/* A record as a bytea, for a tuplesort. */
typedef struct SortedRecord
{
	int32		vl_len_;
	int32		unused;
	AnnoySketchRecord record;
} SortedRecord;

struct AnnoyBatchReader
{
	AnnoyBuild *build;
	AnnoyCells *cells;

	/* rows of this process's batches: records that stay in memory ... */
	AnnoySpool *listed;			/* pointers to them */
	AnnoySpoolReader *listed_reader;

	/* ... and records that were written again, by all processes */
	AnnoySpool *moved;			/* with workers only until it is finished */
	AnnoySpoolReader *moved_reader;

	/* the batch at hand: in memory, or sorted */
	int			batch;			/* -1: none yet */
	MemoryContext context;
	BatchOrder *order;
	int64		count;
	int64		next;
	Tuplesortstate *sort;
	TupleTableSlot *slot;
};

/* ---------------------------------------------------------------------
 * Assignment
 * ---------------------------------------------------------------------
 */

/* Sends a row to the batch of its directory. */
static void
send_record(AnnoyBatchReader *reader, int batch, AnnoySketchRecord *record,
			bool stays)
{
	AnnoyBuild *build = reader->build;

	if (stays && AnnoyIsOwnPart(build, reader->cells->batch_partitions[batch]))
		memcpy(AnnoyPutRecord(reader->listed, batch), &record,
			   sizeof(AnnoySketchRecord *));
	else
		memcpy(AnnoyPutRecord(reader->moved, batch), record,
			   build->record_size);
}

/* Sends the rows of a partition to their cells. */
static void
assign_partition(AnnoyBatchReader *reader, AnnoySpoolReader *rows,
				 AnnoyTreeCopy *copy, int64 *count)
{
	AnnoyBuild *build = reader->build;
	AnnoySketchRecord *record;
	bool		stays;

	while ((record = AnnoyNextRecord(rows, &stays)) != NULL)
	{
		AnnoyItemSketch item;
		AnnoyQuery	query;
		int			number;
		uint32		cell;
		const AnnoyCellDirectory *directory;

		CHECK_FOR_INTERRUPTS();
		AnnoyReadRecord(build, record, &item);
		AnnoyInitStoredItemQuery(&query, &build->forest->sketcher, &item);
		AnnoyChooseCell(copy, &query, &number, &cell);
		directory = &reader->cells->directories[number];
		record->cell = directory->first_cell + cell;
		send_record(reader, directory->batch, record, stays);
		AnnoyCountRow(build, count);
	}
}

/* Sends every row of this process's partitions to its cell. */
static void
assign_rows(AnnoyBatchReader *reader, AnnoyPartitions *partitions, int tree)
{
	AnnoyBuild *build = reader->build;
	AnnoySpoolReader *rows = AnnoyGetPartitionReader(partitions);
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "annoy assignment",
												  ALLOCSET_DEFAULT_MINSIZE,
												  ALLOCSET_DEFAULT_INITSIZE,
												  COPY_BLOCK_BYTES);
	MemoryContext old = MemoryContextSwitchTo(context);
	AnnoyTreeCopy *copies[2] = {NULL, NULL};	/* of items, of outsized ones */
	int64		count = 0;

	for (int i = 0; i < AnnoyCountPartitions(partitions); i++)
	{
		int			side = AnnoyIsOutsizedPartition(partitions, i) ? 1 : 0;

		if (!AnnoyIsOwnPart(build, i) || AnnoyCountRecords(rows, i) == 0)
			continue;
		build->forest->roots[tree] = build->shared->roots[side];
		/* a half of what sets of sketches had; records have the other */
		if (copies[side] == NULL)
			copies[side] = AnnoyCopyTree(build, tree, reader->cells,
										 AnnoyBorrowedMemory(build) +
										 AnnoyShareMemory(build, ANNOY_MOVED_SHARE));
		AnnoySeekPartition(rows, i);
		assign_partition(reader, rows, copies[side], &count);
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
}

AnnoyBatchReader *
AnnoyBeginBatches(AnnoyPartitions *partitions, int tree, AnnoyCells *cells)
{
	AnnoyBuild *build = AnnoyGetPartitionBuild(partitions);
	AnnoyBatchReader *reader = palloc0(sizeof(AnnoyBatchReader));
	Size		memory = AnnoyShareMemory(build, ANNOY_MOVED_SHARE);
	char		name[ANNOY_SPOOL_NAME];

	reader->build = build;
	reader->cells = cells;
	reader->batch = -1;
	reader->context = AllocSetContextCreate(CurrentMemoryContext,
											"annoy batch",
											ALLOCSET_DEFAULT_SIZES);
	reader->listed = AnnoyBeginSpool(sizeof(AnnoySketchRecord *),
									 cells->batch_count, memory, 0, NULL, NULL);
	AnnoyNameSpool(name, ITEM_FILE, build->process);
	reader->moved = AnnoyBeginSpool(build->record_size, cells->batch_count,
									memory, AnnoyBorrowedMemory(build),
									build->files, name);
	assign_rows(reader, partitions, tree);
	AnnoyFinishSpool(reader->listed, NULL);
	AnnoyFinishSpool(reader->moved, &build->part->moved);
	return reader;
}

/* The rows of all processes can be read: they have all assigned theirs. */
void
AnnoyOpenBatches(AnnoyBatchReader *reader)
{
	AnnoyBuild *build = reader->build;
	AnnoySpoolSummary *summaries;

	reader->listed_reader = AnnoyReadSpool(reader->listed);
	if (!build->parallel)
	{
		reader->moved_reader = AnnoyReadSpool(reader->moved);
		return;
	}
	AnnoyEndSpool(reader->moved);
	reader->moved = NULL;
	summaries = palloc(sizeof(AnnoySpoolSummary) *
					   build->shared->process_count);
	for (int i = 0; i < build->shared->process_count; i++)
		summaries[i] = build->shared->parts[i].moved;
	reader->moved_reader = AnnoyReadSharedSpools(build->record_size,
												 reader->cells->batch_count,
												 build->files, ITEM_FILE,
												 summaries,
												 build->shared->process_count);
}

/* ---------------------------------------------------------------------
 * Batches
 * ---------------------------------------------------------------------
 */

static int
compare_batch_order(const void *a, const void *b)
{
	const BatchOrder *x = a;
	const BatchOrder *y = b;

	if (x->cell != y->cell)
		return x->cell < y->cell ? -1 : 1;
	return x->tid < y->tid ? -1 : x->tid > y->tid ? 1 : 0;
}

/* What a batch may take: sets of sketches are not in memory now, a group is. */
static Size
batch_memory(const AnnoyBatchReader *reader)
{
	const AnnoyBuild *build = reader->build;

	return AnnoyBorrowedMemory(build) +
		AnnoyShareMemory(build, ANNOY_MOVED_SHARE) / 2;
}

/* The next record of the batch at hand, wherever it is; NULL at the end. */
static AnnoySketchRecord *
next_record(AnnoyBatchReader *reader, bool *stays)
{
	bool		unused;
	AnnoySketchRecord **listed = AnnoyNextRecord(reader->listed_reader, &unused);

	*stays = true;
	return listed ? *listed : AnnoyNextRecord(reader->moved_reader, stays);
}

/* Puts a batch in order in memory. */
static void
order_batch(AnnoyBatchReader *reader, int64 count)
{
	MemoryContext old = MemoryContextSwitchTo(reader->context);
	Size		size = reader->build->record_size;
	AnnoySketchRecord *record;
	char	   *room = NULL;	/* for records that do not stay */
	bool		stays;

	reader->order = palloc_extended(sizeof(BatchOrder) * count,
									MCXT_ALLOC_HUGE);
	while ((record = next_record(reader, &stays)) != NULL)
	{
		BatchOrder *place = &reader->order[reader->count++];

		if (!stays)
		{
			if (room == NULL)
				room = palloc_extended(size * AnnoyCountRecords(reader->moved_reader,
																reader->batch),
									   MCXT_ALLOC_HUGE);
			record = memcpy(room, record, size);
			room += size;
		}
		place->cell = record->cell;
		place->tid = AnnoyPackTid(&record->tid);
		place->record = record;
	}
	qsort(reader->order, reader->count, sizeof(BatchOrder),
		  compare_batch_order);
	MemoryContextSwitchTo(old);
}

/* Puts the records of a batch into the tuplesort. */
static void
sort_records(AnnoyBatchReader *reader, TupleTableSlot *slot)
{
	Size		size = reader->build->record_size;
	SortedRecord *sorted = palloc0(offsetof(SortedRecord, record) + size);
	AnnoySketchRecord *record;
	bool		stays;

	SET_VARSIZE(sorted, offsetof(SortedRecord, record) + size);
	while ((record = next_record(reader, &stays)) != NULL)
	{
		CHECK_FOR_INTERRUPTS();
		memcpy(&sorted->record, record, size);
		ExecClearTuple(slot);
		slot->tts_values[0] = Int32GetDatum((int32) record->cell);
		slot->tts_values[1] = Int64GetDatum(AnnoyPackTid(&record->tid));
		slot->tts_values[2] = PointerGetDatum(sorted);
		memset(slot->tts_isnull, false, 3);
		ExecStoreVirtualTuple(slot);
		tuplesort_puttupleslot(reader->sort, slot);
	}
}

/* Puts a batch in order that is too large for that. */
static void
sort_batch(AnnoyBatchReader *reader)
{
	MemoryContext old = MemoryContextSwitchTo(reader->context);
	TupleDesc	desc = CreateTemplateTupleDesc(3);
	AttrNumber	keys[2] = {1, 2};
	Oid			operators[2] = {INT4_LESS, INT8_LESS};
	Oid			collations[2] = {InvalidOid, InvalidOid};
	bool		nulls_first[2] = {false, false};
	TupleTableSlot *slot;

	TupleDescInitEntry(desc, 1, "cell", INT4OID, -1, 0);
	TupleDescInitEntry(desc, 2, "tid", INT8OID, -1, 0);
	TupleDescInitEntry(desc, 3, "record", BYTEAOID, -1, 0);
	AnnoySetPlainStorage(desc, 3);
	TupleDescFinalize(desc);
	reader->sort = tuplesort_begin_heap(desc, 2, keys, operators, collations,
										nulls_first,
										batch_memory(reader) / 1024, NULL,
										TUPLESORT_NONE);
	slot = MakeSingleTupleTableSlot(desc, &TTSOpsVirtual);
	sort_records(reader, slot);
	ExecDropSingleTupleTableSlot(slot);
	tuplesort_performsort(reader->sort);
	reader->slot = MakeSingleTupleTableSlot(desc, &TTSOpsMinimalTuple);
	MemoryContextSwitchTo(old);
}

static void
end_batch(AnnoyBatchReader *reader)
{
	if (reader->sort)
	{
		ExecDropSingleTupleTableSlot(reader->slot);
		tuplesort_end(reader->sort);
	}
	reader->sort = NULL;
	reader->slot = NULL;
	reader->order = NULL;
	reader->count = reader->next = 0;
	MemoryContextReset(reader->context);
}

bool
AnnoyTakeBatch(AnnoyBatchReader *reader, int *batch)
{
	int64		listed;
	int64		moved;
	Size		size;

	end_batch(reader);
	do
	{
		if (++reader->batch >= reader->cells->batch_count)
			return false;
	} while (!AnnoyIsOwnPart(reader->build,
							 reader->cells->batch_partitions[reader->batch]));
	*batch = reader->batch;
	AnnoySeekPartition(reader->listed_reader, *batch);
	AnnoySeekPartition(reader->moved_reader, *batch);
	listed = AnnoyCountRecords(reader->listed_reader, *batch);
	moved = AnnoyCountRecords(reader->moved_reader, *batch);
	size = sizeof(BatchOrder) * (listed + moved) +
		reader->build->record_size * moved;
	if (size > batch_memory(reader))
		sort_batch(reader);
	else if (size > 0)
		order_batch(reader, listed + moved);
	return true;
}

const AnnoySketchRecord *
AnnoyNextBatchRecord(AnnoyBatchReader *reader)
{
	if (reader->sort)
	{
		bool		isnull;

		if (!tuplesort_gettupleslot(reader->sort, true, false, reader->slot,
									NULL))
			return NULL;
		return &((SortedRecord *)
				 DatumGetPointer(slot_getattr(reader->slot, 3, &isnull)))->record;
	}
	if (reader->next == reader->count)
		return NULL;
	if (reader->next + ITEMS_AHEAD < reader->count)
		AnnoyPrefetchRange((char *) reader->order[reader->next + ITEMS_AHEAD].record,
						   Min(BYTES_AHEAD, reader->build->record_size));
	return reader->order[reader->next++].record;
}

void
AnnoyEndBatches(AnnoyBatchReader *reader)
{
	end_batch(reader);
	AnnoyEndSpoolReader(reader->listed_reader);
	AnnoyEndSpool(reader->listed);
	AnnoyEndSpoolReader(reader->moved_reader);
	if (reader->moved)
		AnnoyEndSpool(reader->moved);
	if (reader->build->parallel)
	{
		char		name[ANNOY_SPOOL_NAME];

		AnnoyNameSpool(name, ITEM_FILE, reader->build->process);
		BufFileDeleteFileSet(reader->build->files, name, true);
	}
	MemoryContextDelete(reader->context);
	pfree(reader);
}

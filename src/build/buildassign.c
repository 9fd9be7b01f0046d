/*-------------------------------------------------------------------------
 *
 * buildassign.c
 *	  Second step of a tree: sending its items to cells.
 *
 * Each item goes to the cell with the nearest centroid among those that a
 * short walk of the tree finds: one step of Lloyd's algorithm (IEEE Trans.
 * Inf. Theory 28, 1982).  The items of neighbouring directories are a batch,
 * small enough to be put in order in memory; that of a cell with very many
 * items (of duplicates, say) is not, and is sorted by a tuplesort.
 *
 * Each batch belongs to a process, in turns, so that a process can keep what it
 * has of its own ones.  If all its rows are in memory, they stay where they
 * are, and what is kept are pointers to them.
 *
 * Files of a build with workers:
 *
 *	items.N		process N's items of others' batches
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
#include "build/buildstream.h"
#include "build/buildwalk.h"

/* Items whose values are asked for ahead, and bytes of them. */
#define ITEMS_AHEAD 4
#define BYTES_AHEAD 512

#define ITEM_FILE "items"

#define INT4_LESS 97			/* operator <(int4,int4) */
#define INT8_LESS 412			/* operator <(int8,int8) */

typedef struct BatchOrder
{
	uint32		cell;
	int64		tid;
	struct varlena *value;
} BatchOrder;

struct AnnoyBatchReader
{
	AnnoyBuild *build;
	AnnoyCells *cells;

	/* items of this process's batches: what it has found itself ... */
	bool		by_reference;	/* records have pointers */
	Size		kept_size;		/* of a record */
	AnnoySpool *kept;
	AnnoySpoolReader *kept_reader;

	/* ... and what others have sent */
	Size		sent_size;
	AnnoySpool *sent;			/* to them; NULL without workers */
	AnnoySpoolReader *sent_reader;

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

/* A record with the value itself. */
static void
fill_record(AnnoyItemRecord *record, Size size, uint32 cell,
			const BatchOrder *item, Size value_size)
{
	SET_VARSIZE(record, size);
	record->cell = cell;
	record->tid = item->tid;
	memcpy(record->value, item->value, value_size);
}

/* Sends an item to the batch of its directory. */
static void
send_item(AnnoyBatchReader *reader, const AnnoyCellDirectory *directory,
		  uint32 cell, const AnnoyBuildItem *item)
{
	BatchOrder	place = {directory->first_cell + cell, item->tid,
	item->value};

	if (!AnnoyIsOwnPart(reader->build, directory->batch))
		fill_record(AnnoyPutRecord(reader->sent, directory->batch),
					reader->sent_size, place.cell, &place,
					reader->build->value_size);
	else if (reader->by_reference)
		memcpy(AnnoyPutRecord(reader->kept, directory->batch), &place,
			   sizeof(BatchOrder));
	else
		fill_record(AnnoyPutRecord(reader->kept, directory->batch),
					reader->kept_size, place.cell, &place,
					reader->build->value_size);
}

/* Sends every item of this process to its cell. */
static void
assign_items(AnnoyBatchReader *reader, int tree)
{
	AnnoyBuild *build = reader->build;
	int			s = build->forest->sketcher.sketch_dimensions;
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "annoy assignment",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	int16	   *quantised = palloc(sizeof(int16) * s);
	AnnoyTreeCopy *copy;
	AnnoyItemStream stream;
	AnnoyBuildItem item;
	AnnoyQuery	query;
	int64		rows = 0;

	/* no sketches are in memory now */
	copy = AnnoyCopyTree(build, tree, reader->cells, ANNOY_CELL_SET_BYTES +
						 AnnoyShareMemory(build, ANNOY_SKETCHES_SHARE));
	AnnoyBeginStream(&stream, build);
	while (AnnoyNextStreamItem(&stream, &item))
	{
		float		extra;
		bool		unbounded;
		int			directory;
		uint32		cell;

		AnnoySketchValue(build, item.value, &extra, &unbounded);
		AnnoyInitItemQuery(&query, quantised, &build->forest->sketcher,
						   build->sketch, extra);
		AnnoyChooseCell(copy, &query, &directory, &cell);
		send_item(reader, &reader->cells->directories[directory], cell, &item);
		AnnoyCountRow(build, &rows);
	}
	AnnoyEndStream(&stream);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
}

/*
 * Assigns this process's items, and makes the reader of its batches.  The rows
 * are freed after the last tree, as soon as they are not needed any more.
 */
AnnoyBatchReader *
AnnoyBeginBatches(AnnoyBuild *build, int tree, AnnoyCells *cells)
{
	AnnoyBatchReader *reader = palloc0(sizeof(AnnoyBatchReader));
	Size		memory = AnnoyShareMemory(build, ANNOY_ITEMS_SHARE);
	Size		sent_memory = AnnoyShareMemory(build, ANNOY_SENT_SHARE);

	reader->build = build;
	reader->cells = cells;
	reader->batch = -1;
	reader->by_reference = build->rows == NULL ||
		AnnoySpoolIsInMemory(build->rows);
	reader->sent_size = MAXALIGN(offsetof(AnnoyItemRecord, value) +
								 build->value_size);
	reader->kept_size = reader->by_reference ? sizeof(BatchOrder) :
		reader->sent_size;
	reader->context = AllocSetContextCreate(CurrentMemoryContext,
											"annoy batch",
											ALLOCSET_DEFAULT_SIZES);
	reader->kept = AnnoyBeginSpool(reader->kept_size, cells->batch_count,
								   build->parallel ? memory :
								   memory + sent_memory, NULL, NULL);
	if (build->parallel)
	{
		char		name[ANNOY_SPOOL_NAME];

		AnnoyNameSpool(name, ITEM_FILE, build->process);
		reader->sent = AnnoyBeginSpool(reader->sent_size, cells->batch_count,
									   sent_memory, build->files, name);
	}
	assign_items(reader, tree);
	AnnoyFinishSpool(reader->kept, NULL);
	if (reader->sent)
	{
		AnnoyFinishSpool(reader->sent, &build->part->spool);
		AnnoyEndSpool(reader->sent);
		reader->sent = NULL;
	}
	if (build->rows && !reader->by_reference && tree == build->n_trees - 1)
	{
		AnnoyEndSpool(build->rows);
		build->rows = NULL;
	}
	return reader;
}

/* The items of all processes can be read: they have all assigned theirs. */
void
AnnoyOpenBatches(AnnoyBatchReader *reader)
{
	AnnoyBuild *build = reader->build;
	AnnoySpoolSummary *summaries;

	reader->kept_reader = AnnoyReadSpool(reader->kept);
	if (!build->parallel)
		return;
	summaries = palloc(sizeof(AnnoySpoolSummary) *
					   build->shared->process_count);
	for (int i = 0; i < build->shared->process_count; i++)
		summaries[i] = build->shared->parts[i].spool;
	reader->sent_reader = AnnoyReadSharedSpools(reader->sent_size,
												reader->cells->batch_count,
												build->files, ITEM_FILE,
												summaries,
												build->shared->process_count,
												NULL);
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

/* The next record of a batch as what is put in order; false at its end. */
static bool
next_place(AnnoyBatchReader *reader, AnnoySpoolReader *spool, BatchOrder *place,
		   bool *stays)
{
	void	   *record = AnnoyNextRecord(spool, stays);

	if (record == NULL)
		return false;
	if (spool == reader->kept_reader && reader->by_reference)
	{
		memcpy(place, record, sizeof(BatchOrder));
		*stays = true;
	}
	else
	{
		AnnoyItemRecord *item = record;

		place->cell = item->cell;
		place->tid = item->tid;
		place->value = (struct varlena *) item->value;
	}
	return true;
}

/* Adds the records of one spool; copies values that do not stay. */
static void
collect_batch(AnnoyBatchReader *reader, AnnoySpoolReader *spool)
{
	Size		size = MAXALIGN(reader->build->value_size);
	char	   *room = NULL;
	BatchOrder	place;
	bool		stays;

	while (next_place(reader, spool, &place, &stays))
	{
		if (!stays)
		{
			if (room == NULL)
				room = palloc_extended(size *
									   AnnoyCountRecords(spool, reader->batch),
									   MCXT_ALLOC_HUGE);
			place.value = memcpy(room, place.value, reader->build->value_size);
			room += size;
		}
		reader->order[reader->count++] = place;
	}
}

/* Puts a batch in order in memory. */
static void
order_batch(AnnoyBatchReader *reader, int64 count)
{
	MemoryContext old = MemoryContextSwitchTo(reader->context);

	reader->order = palloc_extended(sizeof(BatchOrder) * count,
									MCXT_ALLOC_HUGE);
	collect_batch(reader, reader->kept_reader);
	if (reader->sent_reader)
		collect_batch(reader, reader->sent_reader);
	qsort(reader->order, reader->count, sizeof(BatchOrder),
		  compare_batch_order);
	MemoryContextSwitchTo(old);
}

/* Puts the records of one spool into the tuplesort. */
static void
sort_records(AnnoyBatchReader *reader, AnnoySpoolReader *spool,
			 TupleTableSlot *slot, AnnoyItemRecord *record)
{
	BatchOrder	place;
	bool		stays;

	while (next_place(reader, spool, &place, &stays))
	{
		CHECK_FOR_INTERRUPTS();
		fill_record(record, reader->sent_size, place.cell, &place,
					reader->build->value_size);
		ExecClearTuple(slot);
		slot->tts_values[0] = Int32GetDatum((int32) place.cell);
		slot->tts_values[1] = Int64GetDatum(place.tid);
		slot->tts_values[2] = PointerGetDatum(record);
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
	int			memory = (int) (reader->build->spare_mem * ANNOY_SKETCHES_SHARE);
	TupleTableSlot *slot;
	AnnoyItemRecord *record = palloc0(reader->sent_size);

	TupleDescInitEntry(desc, 1, "cell", INT4OID, -1, 0);
	TupleDescInitEntry(desc, 2, "tid", INT8OID, -1, 0);
	TupleDescInitEntry(desc, 3, "record", BYTEAOID, -1, 0);
	AnnoySetPlainStorage(desc, 3);
	TupleDescFinalize(desc);
	reader->sort = tuplesort_begin_heap(desc, 2, keys, operators, collations,
										nulls_first, Max(memory, 64), NULL,
										TUPLESORT_NONE);
	slot = MakeSingleTupleTableSlot(desc, &TTSOpsVirtual);
	sort_records(reader, reader->kept_reader, slot, record);
	if (reader->sent_reader)
		sort_records(reader, reader->sent_reader, slot, record);
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

/* The next batch of this process; false if there is none. */
bool
AnnoyTakeBatch(AnnoyBatchReader *reader, int *batch)
{
	int64		kept;
	int64		sent = 0;
	Size		size;

	end_batch(reader);
	do
	{
		if (++reader->batch >= reader->cells->batch_count)
			return false;
	} while (!AnnoyIsOwnPart(reader->build, reader->batch));
	*batch = reader->batch;

	AnnoySeekPartition(reader->kept_reader, *batch);
	kept = AnnoyCountRecords(reader->kept_reader, *batch);
	if (reader->sent_reader)
	{
		AnnoySeekPartition(reader->sent_reader, *batch);
		sent = AnnoyCountRecords(reader->sent_reader, *batch);
	}
	size = sizeof(BatchOrder) * (kept + sent) + reader->sent_size * sent;
	if (!reader->by_reference && !AnnoySpoolIsInMemory(reader->kept))
		size += reader->kept_size * kept;
	/* no sketches are in memory now */
	if (size > ANNOY_CELL_SET_BYTES +
		AnnoyShareMemory(reader->build, ANNOY_SKETCHES_SHARE))
		sort_batch(reader);
	else if (kept + sent > 0)
		order_batch(reader, kept + sent);
	return true;
}

/* Its next item, in the order of cells and TIDs; false at the end. */
bool
AnnoyNextBatchItem(AnnoyBatchReader *reader, uint32 *cell,
				   AnnoyBuildItem *item)
{
	const BatchOrder *place;

	if (reader->sort)
	{
		AnnoyItemRecord *record;
		bool		isnull;

		if (!tuplesort_gettupleslot(reader->sort, true, false, reader->slot,
									NULL))
			return false;
		record = (AnnoyItemRecord *)
			DatumGetPointer(slot_getattr(reader->slot, 3, &isnull));
		*cell = record->cell;
		item->tid = record->tid;
		item->value = (struct varlena *) record->value;
		item->stays = false;
		return true;
	}
	if (reader->next == reader->count)
		return false;
	place = &reader->order[reader->next++];
	if (reader->next + ITEMS_AHEAD < reader->count)
		AnnoyPrefetchRange((char *) reader->order[reader->next + ITEMS_AHEAD].value,
						   Min(BYTES_AHEAD, reader->build->value_size));
	*cell = place->cell;
	item->tid = place->tid;
	item->value = place->value;
	item->stays = true;
	return true;
}

void
AnnoyEndBatches(AnnoyBatchReader *reader)
{
	end_batch(reader);
	AnnoyEndSpoolReader(reader->kept_reader);
	AnnoyEndSpool(reader->kept);
	if (reader->sent_reader)
		AnnoyEndSpoolReader(reader->sent_reader);
	MemoryContextDelete(reader->context);
	pfree(reader);
}

/* The files of a tree are not needed any more, by anybody. */
void
AnnoyDeleteItemFiles(AnnoyBuild *build)
{
	char		name[ANNOY_SPOOL_NAME];

	if (!build->parallel)
		return;
	AnnoyNameSpool(name, ITEM_FILE, build->process);
	BufFileDeleteFileSet(build->files, name, true);
}

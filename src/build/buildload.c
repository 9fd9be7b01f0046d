/*-------------------------------------------------------------------------
 *
 * buildload.c
 *	  First step of a build: reading the table.
 *
 * Each row is sketched, once, and what is kept of it is the sketch.  It goes
 * straight to its partition of the first tree, or waits for the trees if there
 * are several.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/tableam.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "annoycompat.h"
#include "build/buildsteps.h"

typedef struct LoadState
{
	AnnoyBuild *build;
	AnnoyPartitions *partitions;	/* or NULL */
	bool		concurrent;
	bool		rows_left_out;
	int64		rows;			/* for progress */
	float	   *floats;			/* one vector */
	float	   *scratch;		/* of AnnoyMakeItemSketch */
	int16	   *quantised;
	AnnoySketchRecord *record;
} LoadState;

/* Adds a row whose distance is never a number. */
static void
add_tail_row(AnnoyBuild *build, ItemPointer tid, uint16 flags)
{
	Page		page;
	AnnoyTailHeader *header = NULL;
	AnnoyTailEntry *entry;

	if (BufferIsValid(build->tail))
	{
		LockBuffer(build->tail, BUFFER_LOCK_EXCLUSIVE);
		header = AnnoyPageGetTailHeader(BufferGetPage(build->tail));
	}
	if (header == NULL || header->count >= AnnoyTailCapacity)
	{
		Buffer		next = AnnoyExtend(build->index, MAIN_FORKNUM,
									   ANNOY_PAGE_TAIL, 0);

		build->part->tail_last = BufferGetBlockNumber(next);
		if (header)
		{
			AnnoyPageGetOpaque(BufferGetPage(build->tail))->rightlink =
				build->part->tail_last;
			MarkBufferDirty(build->tail);
			UnlockReleaseBuffer(build->tail);
		}
		else
			build->part->tail_first = build->part->tail_last;
		build->tail = next;
	}
	page = BufferGetPage(build->tail);
	header = AnnoyPageGetTailHeader(page);
	entry = &AnnoyPageGetTailEntries(page)[header->count++];
	entry->heap_tid = *tid;
	entry->flags = flags;
	((PageHeader) page)->pd_lower += sizeof(AnnoyTailEntry);
	MarkBufferDirty(build->tail);
	LockBuffer(build->tail, BUFFER_LOCK_UNLOCK);
	build->tail_items++;
}

/*
 * Rows that are deleted or replaced but that some old snapshot may still see
 * have fixed nothing: neither the number of dimensions nor centre nor M.  Those
 * that do not fit are left out, and the index is marked as one that old
 * snapshots may not use, as it is for broken HOT chains (see
 * heapam_index_build_range_scan; build.c for REINDEX).
 *
 * Live rows fit if the sample, which had none, has seen all of them.  A row that
 * a concurrent build finds beyond those is added when the index is validated.
 */
static bool
must_fit(LoadState *state, bool alive)
{
	if (!alive)
		state->rows_left_out = true;
	else if (state->build->space->dimensions == 0 && !state->concurrent)
		elog(ERROR, "table \"%s\" has got a row during an index build",
			 RelationGetRelationName(state->build->heap));
	return alive && state->build->space->dimensions > 0;
}

/* A row that has a distance: a record of it. */
static void
put_record(LoadState *state, ItemPointer tid, const AnnoyItemSketch *item)
{
	AnnoyBuild *build = state->build;
	AnnoySketchRecord *record = state->partitions ? state->record :
		AnnoyPutRecord(build->records, 0);

	record->tid = *tid;
	record->unbounded = item->unbounded;
	record->scale = item->scale;
	record->norm_squared = item->norm_squared;
	record->extra = item->extra;
	AnnoyPackSketch(&build->forest->sketcher, item->quantised, record->sketch);
	if (state->partitions)
		AnnoySendRecord(state->partitions, record);
	build->items++;
}

static void
load_value(LoadState *state, ItemPointer tid, struct varlena *value, bool alive)
{
	AnnoyBuild *build = state->build;
	const AnnoyElementType *element = build->opclass->element;
	int			dimensions = element->dimensions(value);
	AnnoyItemSketch item;

	if (dimensions != build->space->dimensions)
	{
		if (must_fit(state, alive))
			AnnoyReportDimensions(build->index, element,
								  build->space->dimensions, dimensions);
		return;
	}
	if (AnnoyMakeItemSketch(&build->forest->sketcher,
							element->floats(value, state->floats),
							state->scratch, state->quantised, &item))
		put_record(state, tid, &item);
	else
		add_tail_row(build, tid, 0);
}

static void
load_row(Relation index, ItemPointer tid, Datum *values, bool *isnull,
		 bool tuple_is_alive, void *callback_state)
{
	LoadState  *state = callback_state;
	AnnoyBuild *build = state->build;
	MemoryContext old = MemoryContextSwitchTo(build->row_context);

	if (isnull[0])
		add_tail_row(build, tid, ANNOY_TAIL_NULL);
	else
		load_value(state, tid, (struct varlena *) PG_DETOAST_DATUM(values[0]),
				   tuple_is_alive);
	AnnoyCountRow(build, &state->rows);
	MemoryContextSwitchTo(old);
	MemoryContextReset(build->row_context);
}

void
AnnoyLoadRows(AnnoyBuild *build, AnnoyPartitions *partitions,
			  struct IndexInfo *index_info, struct TableScanDescData *scan)
{
	AnnoyBuildShared *shared = build->shared;
	int			dimensions = Max(build->space->dimensions, 1);
	LoadState	state = {build, partitions, index_info->ii_Concurrent};
	double		heap_tuples;

	build->part->joined = true;
	state.floats = palloc(sizeof(float) * dimensions);
	state.scratch = palloc(sizeof(float) * AnnoySketchScratch(dimensions));
	state.quantised = palloc(sizeof(int16) *
							 build->forest->sketcher.sketch_dimensions);
	state.record = palloc0(build->record_size);
	heap_tuples = table_index_build_scan(build->heap, build->index, index_info,
										 true, build->process == 0, load_row,
										 &state, scan);
	if (BufferIsValid(build->tail))
		ReleaseBuffer(build->tail);
	build->tail = InvalidBuffer;
	pfree(state.floats);
	pfree(state.scratch);
	pfree(state.quantised);
	pfree(state.record);

	SpinLockAcquire(&shared->mutex);
	shared->items += build->items;
	shared->tail_items += build->tail_items;
	shared->heap_tuples += heap_tuples;
	shared->broken_hot_chain |= index_info->ii_BrokenHotChain;
	shared->rows_left_out |= state.rows_left_out;
	SpinLockRelease(&shared->mutex);
}

/* Links the tail pages of all processes behind the first one. */
static void
link_tails(AnnoyBuild *build)
{
	BlockNumber last = build->shared->parts[0].tail_last;

	for (int i = 1; i < build->shared->process_count; i++)
	{
		AnnoyBuildPart *part = &build->shared->parts[i];
		Buffer		buffer;

		if (!BlockNumberIsValid(part->tail_first))
			continue;
		buffer = AnnoyReadPage(build->index, last, ANNOY_PAGE_TAIL,
							   BUFFER_LOCK_EXCLUSIVE);
		AnnoyPageGetOpaque(BufferGetPage(buffer))->rightlink = part->tail_first;
		MarkBufferDirty(buffer);
		UnlockReleaseBuffer(buffer);
		last = part->tail_last;
	}
}

/* The parts of those who have come too late are done by the next process. */
static void
take_seats(AnnoyBuild *build)
{
	int			count = build->shared->process_count;

	for (int i = 0; i < count; i++)
	{
		int			process = i;

		/* the leader always is there */
		while (!build->shared->parts[process].joined)
			process = (process + 1) % count;
		build->seats[i] = process;
	}
}

void
AnnoyFinishLoad(AnnoyBuild *build)
{
	AnnoyMetaPageData *meta = &build->forest->meta;

	take_seats(build);
	build->items = meta->items = build->shared->items;
	build->tail_items = meta->tail_items = build->shared->tail_items;
	meta->tail = build->shared->parts[0].tail_first;
	if (build->process == 0)
		link_tails(build);
}

/*-------------------------------------------------------------------------
 *
 * buildload.c
 *	  First step of a build: reading the table, and the sketch space.
 *
 * Each process puts its rows into a spool of its own and keeps, as a sample,
 * those with the smallest hash(seed, TID).  The leader chooses the sample of
 * the whole table from theirs; its mean is the centre of the sketch space.
 *
 * Files of a build with workers:
 *
 *	sample.N	hash, TID and value of each row that process N has sampled
 *	space		centre, the sample's sketches, members to calibrate with
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <fcntl.h>

#include "access/tableam.h"
#include "miscadmin.h"
#include "storage/buffile.h"
#include "storage/bufmgr.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "annoycompat.h"
#include "build/buildcells.h"
#include "build/buildsteps.h"

/* Bytes of a sampled row beside its value and sketch. */
#define SAMPLE_OVERHEAD (sizeof(AnnoySampleRow) + 32)

/* kB for rows and spools at the least: then they live on disk. */
#define SPOOL_RESERVE 1024

#define SAMPLE_FILE "sample"
#define SPACE_FILE "space"

/* Rows of a sample. */
static int
sample_size(int dimensions)
{
	int			rows = ANNOY_SAMPLE_BYTES / (sizeof(float) * dimensions);

	return Min(Max(rows, ANNOY_MIN_SAMPLE), ANNOY_MAX_SAMPLE);
}

int
AnnoyLeastWorkMem(int dimensions, int element_bits)
{
	int			s = AnnoySketchDimensions(dimensions);
	Size		value = (Size) dimensions * element_bits / 8;
	Size		rows = sample_size(dimensions);
	Size		sample = rows * (value + SAMPLE_OVERHEAD);
	Size		sketches = rows * (sizeof(int16) * s + SAMPLE_OVERHEAD);
	Size		group;
	AnnoyLeafLayout leaf;

	AnnoyInitLeafLayout(&leaf, s, 1);
	group = (Size) ANNOY_GROUP_LEAVES * leaf.capacity *
		(value + (sizeof(float) + sizeof(int16)) * s);

	/* the sampled values are freed before sets are split */
	return (Max(ANNOY_CELL_SET_BYTES, sample) + sketches + group) / 1024 +
		SPOOL_RESERVE;
}

/* ---------------------------------------------------------------------
 * Loading
 * ---------------------------------------------------------------------
 */

typedef struct LoadState
{
	AnnoyBuild *build;
	int			work_mem;		/* kB of this process */
	bool		rows_left_out;
	int64		rows;			/* for progress */
} LoadState;

/* All processes have to find the same number of dimensions. */
static void
agree_on_dimensions(AnnoyBuild *build, int dimensions, Size value_size)
{
	AnnoyBuildShared *shared = build->shared;

	SpinLockAcquire(&shared->mutex);
	if (shared->dimensions == 0)
	{
		shared->dimensions = dimensions;
		shared->value_size = value_size;
	}
	build->dimensions = shared->dimensions;
	build->value_size = shared->value_size;
	SpinLockRelease(&shared->mutex);
}

/* What the first row tells. */
static void
begin_load(AnnoyBuild *build, int work_mem, int dimensions, Size value_size)
{
	int			least;

	if (dimensions < 1 || dimensions > build->opclass->element->max_dimensions)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("cannot index values of %d dimensions", dimensions),
				 errdetail("The limit is %d.",
						   build->opclass->element->max_dimensions)));
	least = AnnoyLeastWorkMem(dimensions,
							  build->opclass->element->element_bits);
	if (work_mem < least)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_RESOURCES),
				 errmsg("maintenance_work_mem is too small to build annoy index \"%s\"",
						RelationGetRelationName(build->index)),
				 errdetail("Vectors of %d dimensions need at least %d kB, and %d kB are set.",
						   dimensions, least, work_mem)));
	build->spare_mem = work_mem - least + SPOOL_RESERVE;
	agree_on_dimensions(build, dimensions, value_size);

	build->floats = palloc(sizeof(float) * build->dimensions);
	build->scratch = palloc(sizeof(float) * AnnoySketchScratch(build->dimensions));
	AnnoyInitSketcher(&build->raw_sketcher,
					  palloc(AnnoySketcherMemory(build->dimensions)),
					  build->opclass->metric, build->dimensions, build->seed,
					  NULL, 0);
	AnnoyBeginSampler(&build->sampler, sample_size(build->dimensions),
					  build->value_size);
	build->rows = AnnoyBeginSpool(MAXALIGN(offsetof(AnnoyRowRecord, value) +
										   build->value_size), 1,
								  AnnoyShareMemory(build, ANNOY_ROWS_SHARE),
								  NULL, NULL);
}

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
 * fix nothing: neither the number of dimensions nor centre nor M.  Those that do
 * not fit what live rows have fixed so far are left out, and the index is marked
 * as one that old snapshots may not use, as it is for broken HOT chains (see
 * heapam_index_build_range_scan; build.c for REINDEX).
 */
static void
leave_out_row(LoadState *state)
{
	state->rows_left_out = true;
}

static void
load_value(LoadState *state, ItemPointer tid, struct varlena *value, bool alive)
{
	AnnoyBuild *build = state->build;
	int			dimensions = build->opclass->element->dimensions(value);
	AnnoyRowRecord *record;
	double		norm;
	bool		unbounded;

	if (!alive && (build->items == 0 || dimensions != build->dimensions))
	{
		leave_out_row(state);
		return;
	}
	if (build->dimensions == 0)
	{
		MemoryContext old = MemoryContextSwitchTo(build->context);

		begin_load(build, state->work_mem, dimensions, VARSIZE(value));
		MemoryContextSwitchTo(old);
	}
	if (dimensions != build->dimensions)
		AnnoyReportDimensions(build->index, build->opclass->element,
							  build->dimensions, dimensions);
	if (VARSIZE(value) != build->value_size)
		elog(ERROR, "value of %zu bytes where %zu were expected",
			 (Size) VARSIZE(value), build->value_size);
	if (!AnnoyTransformVector(&build->raw_sketcher,
							  build->opclass->element->floats(value, build->floats),
							  build->scratch, &norm, &unbounded))
	{
		add_tail_row(build, tid, 0);
		return;
	}
	if (norm > build->max_norm)
	{
		if (!alive && build->opclass->metric == ANNOY_METRIC_INNER_PRODUCT)
		{
			leave_out_row(state);
			return;
		}
		build->max_norm = Min(norm, ANNOY_NORM_LIMIT);
	}
	record = AnnoyPutRecord(build->rows, 0);
	record->tid = AnnoyPackTid(tid);
	memcpy(record->value, value, build->value_size);
	if (alive)
		AnnoySample(&build->sampler,
					AnnoyHash(build->seed, (uint64) record->tid), record->tid,
					value);
	build->items++;
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

/* Shares the sample of this process with the leader. */
static void
write_sample(AnnoyBuild *build)
{
	char		name[ANNOY_SPOOL_NAME];
	BufFile    *file;

	build->part->sample_count = build->dimensions > 0 ? build->sampler.rows.count : 0;
	if (build->process == 0 || build->part->sample_count == 0)
		return;
	AnnoyNameSpool(name, SAMPLE_FILE, build->process);
	file = BufFileCreateFileSet(build->files, name);
	for (int i = 0; i < build->part->sample_count; i++)
	{
		AnnoySampleRow *row = &build->sampler.rows.elements[i];

		BufFileWrite(file, row, sizeof(AnnoySampleRow));
		BufFileWrite(file, row->value, build->value_size);
	}
	BufFileExportFileSet(file);
	BufFileClose(file);
}

void
AnnoyLoadRows(AnnoyBuild *build, int work_mem, struct IndexInfo *index_info,
			  struct TableScanDescData *scan)
{
	LoadState	state = {.build = build,.work_mem = work_mem};
	AnnoyBuildShared *shared = build->shared;
	double		heap_tuples;

	build->part->joined = true;
	heap_tuples = table_index_build_scan(build->heap, build->index, index_info,
										 true, build->process == 0, load_row,
										 &state, scan);
	if (BufferIsValid(build->tail))
		ReleaseBuffer(build->tail);
	build->tail = InvalidBuffer;
	if (build->rows)
		AnnoyFinishSpool(build->rows, NULL);
	if (build->parallel)
		write_sample(build);

	SpinLockAcquire(&shared->mutex);
	shared->items += build->items;
	shared->tail_items += build->tail_items;
	shared->heap_tuples += heap_tuples;
	shared->max_norm = Max(shared->max_norm, build->max_norm);
	shared->broken_hot_chain |= index_info->ii_BrokenHotChain;
	shared->rows_left_out |= state.rows_left_out;
	SpinLockRelease(&shared->mutex);
}

/* ---------------------------------------------------------------------
 * The sketch space
 * ---------------------------------------------------------------------
 */

/* Joins the samples of all processes. */
static void
merge_samples(AnnoyBuild *build)
{
	for (int i = 1; i < build->shared->process_count; i++)
	{
		AnnoyBuildPart *part = &build->shared->parts[i];
		char		name[ANNOY_SPOOL_NAME];
		BufFile    *file;
		char	   *value;

		if (part->sample_count == 0)
			continue;
		AnnoyNameSpool(name, SAMPLE_FILE, i);
		file = BufFileOpenFileSet(build->files, name, O_RDONLY, false);
		value = palloc(build->value_size);
		for (int j = 0; j < part->sample_count; j++)
		{
			AnnoySampleRow row;

			AnnoyReadFile(file, &row, sizeof(AnnoySampleRow));
			AnnoyReadFile(file, value, build->value_size);
			AnnoySample(&build->sampler, row.hash, row.tid, value);
		}
		pfree(value);
		BufFileClose(file);
		BufFileDeleteFileSet(build->files, name, true);
	}
	build->sample_count = build->sampler.rows.count;
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

/* Mean of the transformed sample. */
static void
find_centre(AnnoyBuild *build, float *centre)
{
	double	   *sums = palloc0(sizeof(double) * build->dimensions);
	float	   *transformed = palloc(sizeof(float) * build->dimensions);

	for (int i = 0; i < build->sample_count; i++)
	{
		double		norm;
		bool		unbounded;

		(void) AnnoyTransformVector(&build->raw_sketcher,
									build->opclass->element->floats(build->sampler.rows.elements[i].value,
																	build->floats),
									transformed, &norm, &unbounded);
		for (int j = 0; j < build->dimensions; j++)
			sums[j] += transformed[j];
	}
	for (int j = 0; j < build->dimensions; j++)
		centre[j] = sums[j] / build->sample_count;
	pfree(sums);
	pfree(transformed);
}

static void
sketch_sample(AnnoyBuild *build)
{
	AnnoySketchSet *set = &build->sample_set;

	for (int i = 0; i < build->sample_count; i++)
	{
		bool		unbounded;

		AnnoySketchValue(build,
						 (struct varlena *) build->sampler.rows.elements[i].value,
						 &set->extra[i], &unbounded);
		AnnoyPutSketch(set, i, build->sketch);
	}
}

/* Copies the sampled rows with the smallest hashes of all, to calibrate with. */
static void
choose_members(AnnoyBuild *build)
{
	AnnoySampleRow *rows = build->sampler.rows.elements;

	qsort(rows, build->sample_count, sizeof(AnnoySampleRow),
		  AnnoyCompareSampleHashes);
	for (int i = 0; i < build->shared->member_count; i++)
	{
		build->members[i] = rows[i];
		build->members[i].value = memcpy(palloc(build->value_size),
										 rows[i].value, build->value_size);
	}
}

/* Reads or writes what the file of the sketch space holds. */
static void
transfer(BufFile *file, bool write, void *data, Size size)
{
	if (write)
		BufFileWrite(file, data, size);
	else
		AnnoyReadFile(file, data, size);
}

/* The centre, the sample's sketches and the members, from or to the file. */
static void
transfer_space(AnnoyBuild *build, bool write, float *centre)
{
	AnnoySketchSet *set = &build->sample_set;
	Size		count = build->sample_count;
	BufFile    *file = write ?
		BufFileCreateFileSet(build->files, SPACE_FILE) :
		BufFileOpenFileSet(build->files, SPACE_FILE, O_RDONLY, false);

	transfer(file, write, centre, sizeof(float) * build->dimensions);
	transfer(file, write, set->quantised,
			 sizeof(int16) * set->sketch_dimensions * count);
	transfer(file, write, set->scale, sizeof(float) * count);
	transfer(file, write, set->extra, sizeof(float) * count);
	for (int i = 0; i < build->shared->member_count; i++)
	{
		if (!write)
			build->members[i].value = palloc(build->value_size);
		transfer(file, write, &build->members[i].tid, sizeof(int64));
		transfer(file, write, build->members[i].value, build->value_size);
	}
	if (write)
		BufFileExportFileSet(file);
	BufFileClose(file);
}

static void
set_meta(AnnoyBuild *build)
{
	AnnoyMetaPageData *meta = &build->forest->meta;

	meta->magic = ANNOY_MAGIC;
	meta->format_version = ANNOY_FORMAT_VERSION;
	meta->metric = build->opclass->metric;
	meta->element = build->opclass->element->kind;
	meta->dimensions = build->dimensions;
	meta->sketch_dimensions = build->dimensions > 0 ?
		AnnoySketchDimensions(build->dimensions) : 0;
	meta->code_bits = build->dimensions > 0 ?
		AnnoyGetBuiltCodeBits(build->index, build->dimensions) : 0;
	meta->n_trees = build->n_trees;
	meta->seed = build->seed;
	meta->items = build->items;
	meta->tail_items = build->tail_items;
	meta->max_norm = build->max_norm;
	meta->epsilon = ANNOY_DEFAULT_EPSILON;
	meta->centre = InvalidBlockNumber;
	meta->roots = InvalidBlockNumber;
	meta->tail = build->shared->parts[0].tail_first;
}

/* What a process that has seen no row lacks, if others have seen some. */
static void
catch_up(AnnoyBuild *build, int work_mem)
{
	if (build->dimensions == 0 && build->shared->dimensions > 0)
		begin_load(build, work_mem, build->shared->dimensions,
				   build->shared->value_size);
}

void
AnnoyFixSpace(AnnoyBuild *build, int work_mem)
{
	AnnoyBuildShared *shared = build->shared;
	bool		leader = build->process == 0;
	AnnoySketchSet *set = &build->sample_set;
	float	   *centre;
	int			s;

	catch_up(build, work_mem);
	build->items = shared->items;
	build->tail_items = shared->tail_items;
	build->max_norm = shared->max_norm;
	build->forest = palloc0(sizeof(AnnoyForest));
	build->forest->roots = palloc0(sizeof(AnnoyChild) * build->n_trees);
	set_meta(build);
	AnnoyGetLeafLayout(&build->forest->meta, &build->forest->leaf);
	if (leader)
		link_tails(build);
	if (build->items == 0)
	{
		AnnoySynchronise(build);
		return;
	}

	s = build->forest->meta.sketch_dimensions;
	build->sketch = palloc(sizeof(float) * s);
	centre = palloc(sizeof(float) * build->dimensions);
	build->members = palloc(sizeof(AnnoySampleRow) * ANNOY_CALIBRATION_MEMBERS);
	if (leader)
	{
		merge_samples(build);
		shared->sample_count = build->sample_count;
		shared->member_count = Min(build->sample_count,
								   ANNOY_CALIBRATION_MEMBERS);
		qsort(build->sampler.rows.elements, build->sample_count,
			  sizeof(AnnoySampleRow), AnnoyCompareSampleTids);
		find_centre(build, centre);
		build->forest->meta.centre = AnnoyWriteCentre(build->index, centre,
													  build->dimensions);
	}
	else
	{
		AnnoySynchronise(build);
		build->sample_count = shared->sample_count;
		MemoryContextDelete(build->sampler.context);
	}
	AnnoyAllocateSet(set, s, build->sample_count);
	if (!leader)
		transfer_space(build, false, centre);
	AnnoyInitSketcher(&build->forest->sketcher,
					  palloc(AnnoySketcherMemory(build->dimensions)),
					  build->opclass->metric, build->dimensions, build->seed,
					  centre, build->max_norm);
	if (leader)
	{
		sketch_sample(build);
		choose_members(build);
		if (build->parallel)
			transfer_space(build, true, centre);
		MemoryContextDelete(build->sampler.context);
		AnnoySynchronise(build);
	}
}

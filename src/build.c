/*-------------------------------------------------------------------------
 *
 * build.c
 *	  Building an index: loading rows, running the steps.
 *
 * The table is read once.  Rows go to a tuplestore, which spills to disk when
 * maintenance_work_mem asks for it; those with the smallest hash(seed, TID)
 * are kept as a sample besides.  The mean of the sample is the centre of the
 * sketch space.  For each tree then
 *
 *	1. all items are split into cells (buildcells.c), which gives hyperplanes,
 *	   directories and the cells' centroids;
 *	2. each item is assigned to the cell with the nearest centroid that the
 *	   walk finds, and the cells become leaves (buildleaves.c).  For the first
 *	   tree the items themselves are written, in the order of its leaves;
 *	   further trees read them from there.
 *
 * Nothing depends on the order in which rows come, nor on the memory: sets
 * are ordered by TID before they are split, random streams are seeded by
 * hash(seed, tree, path to the node), and sizes are constants.
 *
 * Pages are written through shared buffers without WAL; the finished index is
 * logged page by page at the end (log_newpage_range).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "access/tableam.h"
#include "access/xloginsert.h"
#include "catalog/index.h"
#include "catalog/pg_operator_d.h"
#include "catalog/pg_type_d.h"
#include "commands/progress.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/bufmgr.h"
#include "storage/smgr.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "annoy.h"
#include "annoycompat.h"
#include "build.h"
#include "leaf.h"
#include "options.h"

/*
 * n_trees = -1.  Measured on GloVe-100, Fashion-MNIST and MNIST: at equal
 * numbers of inspected items a second tree adds nothing to recall, and it
 * doubles the time of the build.
 */
#define AUTOMATIC_TREES 1

/* Share of the spare memory for the loaded rows. */
#define ROWS_SHARE 0.4

/* Bytes of a sampled row beside its value and sketch. */
#define SAMPLE_OVERHEAD (sizeof(AnnoySampleRow) + 32)

/* kB for rows and sorts at the least: then they live on disk. */
#define SORT_RESERVE 1024

/* Sampled rows whose values are allocated together. */
#define SAMPLE_CHUNK 32

#define INT4_LESS 97			/* operator <(int4,int4) */
#define INT8_LESS 412			/* operator <(int8,int8) */

/* ---------------------------------------------------------------------
 * Pieces that the steps share
 * ---------------------------------------------------------------------
 */

Tuplesortstate *
AnnoyBeginSort(TupleDesc desc, int work_mem)
{
	AttrNumber	keys[2] = {1, 2};
	Oid			operators[2] = {INT4_LESS, INT8_LESS};
	Oid			collations[2] = {InvalidOid, InvalidOid};
	bool		nulls_first[2] = {false, false};

	return tuplesort_begin_heap(desc, 2, keys, operators, collations,
								nulls_first, Max(work_mem, 64), NULL,
								TUPLESORT_NONE);
}

void
AnnoyInitValueColumn(TupleDesc desc, AttrNumber attribute, const char *name)
{
	TupleDescInitEntry(desc, attribute, name, BYTEAOID, -1, 0);
	AnnoySetPlainStorage(desc, attribute);
}

void
AnnoyAllocateSet(AnnoySketchSet *set, int sketch_dimensions, int count)
{
	set->sketch_dimensions = sketch_dimensions;
	set->quantised = palloc_extended(sizeof(int16) * sketch_dimensions *
									 (Size) Max(count, 1), MCXT_ALLOC_HUGE);
	set->scale = palloc(sizeof(float) * Max(count, 1));
	set->extra = palloc(sizeof(float) * Max(count, 1));
}

void
AnnoyFreeSet(AnnoySketchSet *set)
{
	pfree(set->quantised);
	pfree(set->scale);
	pfree(set->extra);
}

void
AnnoySketchValue(AnnoyBuild *build, const struct varlena *value, float *extra,
				 bool *unbounded)
{
	if (!AnnoyMakeSketch(&build->forest->sketcher,
						 build->opclass->element->floats(value, build->floats),
						 build->scratch, build->sketch, extra, unbounded))
		elog(ERROR, "vector without a direction among the items of index \"%s\"",
			 RelationGetRelationName(build->index));
}

AnnoyChild
AnnoyAddNode(AnnoyBuild *build, int tree, const AnnoyHyperplane *plane)
{
	int			s = build->forest->sketcher.sketch_dimensions;
	Buffer		buffer = InvalidBuffer;
	Page		page;
	AnnoyInnerHeader *header;
	AnnoyNode	node;
	AnnoyChild	child;

	if (BlockNumberIsValid(build->inner_block))
	{
		buffer = AnnoyReadPage(build->index, build->inner_block,
							   ANNOY_PAGE_INNER, BUFFER_LOCK_EXCLUSIVE);
		if (AnnoyPageGetInnerHeader(BufferGetPage(buffer))->count >=
			AnnoyInnerCapacity(s))
		{
			UnlockReleaseBuffer(buffer);
			buffer = InvalidBuffer;
		}
	}
	if (!BufferIsValid(buffer))
	{
		buffer = AnnoyExtend(build->index, MAIN_FORKNUM, ANNOY_PAGE_INNER,
							 tree);
		build->inner_block = BufferGetBlockNumber(buffer);
	}
	page = BufferGetPage(buffer);
	header = AnnoyPageGetInnerHeader(page);
	child.block = build->inner_block;
	child.slot = header->count++;
	child.kind = ANNOY_PAGE_INNER;
	child.version = ANNOY_ANY_VERSION;
	node = AnnoyPageGetNode(page, s, child.slot);
	memset(node, 0, offsetof(AnnoyNodeData, normal));
	node->offset = plane->offset;
	node->scale = plane->scale;
	node->extra_weight = plane->extra_weight;
	memcpy(node->normal, plane->normal, s);
	((PageHeader) page)->pd_lower += AnnoyNodeSize(s);
	MarkBufferDirty(buffer);
	UnlockReleaseBuffer(buffer);
	return child;
}

void
AnnoySetChild(AnnoyBuild *build, int tree, AnnoyParent parent,
			  const AnnoyChild *child)
{
	Buffer		buffer;

	if (!BlockNumberIsValid(parent.block))
	{
		build->forest->roots[tree] = *child;
		return;
	}
	buffer = AnnoyReadPage(build->index, parent.block, ANNOY_PAGE_INNER,
						   BUFFER_LOCK_EXCLUSIVE);
	AnnoyPageGetNode(BufferGetPage(buffer),
					 build->forest->sketcher.sketch_dimensions,
					 parent.slot)->child[parent.side] = *child;
	MarkBufferDirty(buffer);
	UnlockReleaseBuffer(buffer);
}

/* ---------------------------------------------------------------------
 * Streams of items
 * ---------------------------------------------------------------------
 */

void
AnnoyBeginStream(AnnoyItemStream *stream, AnnoyBuild *build, bool from_items)
{
	memset(stream, 0, sizeof(AnnoyItemStream));
	stream->build = build;
	stream->from_items = from_items;
	if (from_items)
	{
		AnnoyBeginItems(&stream->reader, build->index);
		stream->block_count = RelationGetNumberOfBlocks(build->index);
		stream->heap_tids = palloc(sizeof(ItemPointerData) * ANNOY_ITEMS_PER_PAGE);
		stream->addresses = palloc(sizeof(ItemPointerData) * ANNOY_ITEMS_PER_PAGE);
	}
	else
		tuplestore_rescan(build->rows);
}

static bool
next_written_item(AnnoyItemStream *stream, AnnoyBuildItem *item)
{
	ItemPointerData heap_tid;
	struct varlena *value;

	while (stream->next >= stream->count)
	{
		if (stream->block >= stream->block_count)
			return false;
		stream->count = AnnoyListItems(stream->build->index, stream->block++,
									   stream->heap_tids, stream->addresses);
		stream->next = 0;
	}
	item->address = stream->addresses[stream->next];
	item->tid = AnnoyPackTid(&stream->heap_tids[stream->next]);
	value = AnnoyReadItem(&stream->reader, &item->address, &heap_tid);
	if (value == NULL)
		elog(ERROR, "item lost during the build of index \"%s\"",
			 RelationGetRelationName(stream->build->index));
	item->value = memcpy(MemoryContextAlloc(stream->build->row_context,
											VARSIZE(value)),
						 value, VARSIZE(value));
	AnnoyReleaseItem(&stream->reader);
	stream->next++;
	return true;
}

bool
AnnoyNextStreamItem(AnnoyItemStream *stream, AnnoyBuildItem *item)
{
	AnnoyBuild *build = stream->build;
	MemoryContext old;
	bool		found;
	bool		isnull;

	CHECK_FOR_INTERRUPTS();
	MemoryContextReset(build->row_context);
	if (stream->from_items)
		return next_written_item(stream, item);

	/* a tuple read from disk belongs to the slot, which outlives the caller */
	old = MemoryContextSwitchTo(build->context);
	found = tuplestore_gettupleslot(build->rows, true, false, build->row_slot);
	MemoryContextSwitchTo(old);
	if (!found)
		return false;
	item->tid = DatumGetInt64(slot_getattr(build->row_slot, 1, &isnull));
	item->value = (struct varlena *)
		DatumGetPointer(slot_getattr(build->row_slot, 2, &isnull));
	ItemPointerSetInvalid(&item->address);
	return true;
}

void
AnnoyEndStream(AnnoyItemStream *stream)
{
	if (stream->from_items)
		AnnoyEndItems(&stream->reader);
	else
		ExecClearTuple(stream->build->row_slot);
}

/* ---------------------------------------------------------------------
 * Loading
 * ---------------------------------------------------------------------
 */

/* Rows of a sample. */
static int
sample_size(int dimensions)
{
	int			rows = ANNOY_SAMPLE_BYTES / (sizeof(float) * dimensions);

	return Min(Max(rows, ANNOY_MIN_SAMPLE), ANNOY_MAX_SAMPLE);
}

/* Memory in kB that a build needs at least; see README, "Limits". */
static int
least_work_mem(int dimensions)
{
	int			s = AnnoySketchDimensions(dimensions);
	Size		sample = (Size) sample_size(dimensions) *
		(sizeof(float) * dimensions + sizeof(int16) * s + SAMPLE_OVERHEAD);
	Size		group = (Size) ANNOY_GROUP_LEAVES * AnnoyLeafCapacity(s) *
		(sizeof(float) * (dimensions + s) + sizeof(int16) * s);

	return (ANNOY_CELL_SET_BYTES + sample + group) / 1024 + SORT_RESERVE;
}

/* What the first row tells. */
static void
begin_load(AnnoyBuild *build, int dimensions)
{
	int			least = least_work_mem(dimensions);

	if (dimensions < 1 || dimensions > build->opclass->element->max_dimensions)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("cannot index values of %d dimensions", dimensions),
				 errdetail("The limit is %d.",
						   build->opclass->element->max_dimensions)));
	if (maintenance_work_mem < least)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_RESOURCES),
				 errmsg("maintenance_work_mem is too small to build annoy index \"%s\"",
						RelationGetRelationName(build->index)),
				 errdetail("Vectors of %d dimensions need at least %d kB, and %d kB are set.",
						   dimensions, least, maintenance_work_mem)));
	build->spare_mem = maintenance_work_mem - least + SORT_RESERVE;

	build->dimensions = dimensions;
	build->floats = palloc(sizeof(float) * dimensions);
	build->scratch = palloc(sizeof(float) * AnnoySketchScratch(dimensions));
	AnnoyInitSketcher(&build->raw_sketcher,
					  palloc(AnnoySketcherMemory(dimensions)),
					  build->opclass->metric, dimensions, build->seed, NULL, 0);
	build->sample_wanted = sample_size(dimensions);
	build->sample = palloc(sizeof(AnnoySampleRow) * build->sample_wanted);

	build->row_desc = CreateTemplateTupleDesc(2);
	TupleDescInitEntry(build->row_desc, 1, "tid", INT8OID, -1, 0);
	AnnoyInitValueColumn(build->row_desc, 2, "value");
	build->row_slot = MakeSingleTupleTableSlot(build->row_desc,
											   &TTSOpsMinimalTuple);
	build->rows = tuplestore_begin_heap(false, false,
										(int) (build->spare_mem * ROWS_SHARE));
	tuplestore_set_eflags(build->rows, EXEC_FLAG_REWIND);
}

/*
 * Room for the value of one more sampled row.  In chunks: values allocated one
 * by one would be rounded up to powers of two.
 */
static struct varlena *
new_sample_slot(AnnoyBuild *build)
{
	if (build->sample_count % SAMPLE_CHUNK == 0)
	{
		build->sample_chunk = MemoryContextAlloc(build->context,
												 SAMPLE_CHUNK * build->value_size);
		build->chunk_used = 0;
	}
	return (struct varlena *)
		(build->sample_chunk + build->chunk_used++ * build->value_size);
}

/* Keeps the rows with the smallest hashes: a heap with the largest on top. */
static void
sample_row(AnnoyBuild *build, int64 tid, const struct varlena *value)
{
	AnnoySampleRow *heap = build->sample;
	uint64		hash = AnnoyHash(build->seed, (uint64) tid);
	struct varlena *slot;
	int			hole;

	if (build->sample_count < build->sample_wanted)
	{
		slot = new_sample_slot(build);
		hole = build->sample_count++;
		while (hole > 0 && heap[(hole - 1) / 2].hash < hash)
		{
			heap[hole] = heap[(hole - 1) / 2];
			hole = (hole - 1) / 2;
		}
	}
	else
	{
		if (hash >= heap[0].hash)
			return;
		slot = heap[0].value;
		hole = 0;
		for (;;)
		{
			int			child = 2 * hole + 1;

			if (child >= build->sample_count)
				break;
			if (child + 1 < build->sample_count &&
				heap[child + 1].hash > heap[child].hash)
				child++;
			if (heap[child].hash <= hash)
				break;
			heap[hole] = heap[child];
			hole = child;
		}
	}
	heap[hole].hash = hash;
	heap[hole].tid = tid;
	heap[hole].value = memcpy(slot, value, VARSIZE(value));
}

/* Adds a row whose distance is never a number. */
static void
add_tail_row(AnnoyBuild *build, ItemPointer tid, uint16 flags)
{
	Page		page = BufferGetPage(build->tail);
	AnnoyTailHeader *header = AnnoyPageGetTailHeader(page);
	AnnoyTailEntry *entry;

	LockBuffer(build->tail, BUFFER_LOCK_EXCLUSIVE);
	if (header->count >= AnnoyTailCapacity)
	{
		Buffer		next = AnnoyExtend(build->index, MAIN_FORKNUM,
									   ANNOY_PAGE_TAIL, 0);

		AnnoyPageGetOpaque(page)->rightlink = BufferGetBlockNumber(next);
		MarkBufferDirty(build->tail);
		UnlockReleaseBuffer(build->tail);
		build->tail = next;
		page = BufferGetPage(next);
		header = AnnoyPageGetTailHeader(page);
	}
	entry = &AnnoyPageGetTailEntries(page)[header->count++];
	entry->heap_tid = *tid;
	entry->flags = flags;
	((PageHeader) page)->pd_lower += sizeof(AnnoyTailEntry);
	MarkBufferDirty(build->tail);
	LockBuffer(build->tail, BUFFER_LOCK_UNLOCK);
	build->tail_items++;
}

static void
load_value(AnnoyBuild *build, ItemPointer tid, struct varlena *value)
{
	int			dimensions = build->opclass->element->dimensions(value);
	double		norm;
	bool		unbounded;
	Datum		values[2];
	bool		nulls[2] = {false, false};

	if (build->dimensions == 0)
	{
		MemoryContext old = MemoryContextSwitchTo(build->context);

		begin_load(build, dimensions);
		build->value_size = MAXALIGN(VARSIZE(value));
		MemoryContextSwitchTo(old);
	}
	if (dimensions != build->dimensions)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("different vector dimensions %d and %d",
						build->dimensions, dimensions),
				 errdetail("All vectors in annoy index \"%s\" must have the same number of dimensions.",
						   RelationGetRelationName(build->index))));
	if (!AnnoyTransformVector(&build->raw_sketcher,
							  build->opclass->element->floats(value, build->floats),
							  build->scratch, &norm, &unbounded))
	{
		add_tail_row(build, tid, 0);
		return;
	}
	if (norm > build->max_norm)
		build->max_norm = Min(norm, ANNOY_NORM_LIMIT);
	values[0] = Int64GetDatum(AnnoyPackTid(tid));
	values[1] = PointerGetDatum(value);
	tuplestore_putvalues(build->rows, build->row_desc, values, nulls);
	sample_row(build, AnnoyPackTid(tid), value);
	build->items++;
}

static void
load_row(Relation index, ItemPointer tid, Datum *values, bool *isnull,
		 bool tuple_is_alive, void *callback_state)
{
	AnnoyBuild *build = callback_state;
	MemoryContext old = MemoryContextSwitchTo(build->row_context);

	if (isnull[0])
		add_tail_row(build, tid, ANNOY_TAIL_NULL);
	else
		load_value(build, tid,
				   (struct varlena *) PG_DETOAST_DATUM(values[0]));
	build->indexed_rows += 1;
	MemoryContextSwitchTo(old);
	MemoryContextReset(build->row_context);
}

/* ---------------------------------------------------------------------
 * Geometry
 * ---------------------------------------------------------------------
 */

static int
compare_sample_tids(const void *a, const void *b)
{
	int64		x = ((const AnnoySampleRow *) a)->tid;
	int64		y = ((const AnnoySampleRow *) b)->tid;

	return x < y ? -1 : x > y ? 1 : 0;
}

/* Mean of the transformed sample; NULL for a metric without centre. */
static float *
find_centre(AnnoyBuild *build)
{
	double	   *sums = palloc0(sizeof(double) * build->dimensions);
	float	   *centre = palloc(sizeof(float) * build->dimensions);
	float	   *transformed = palloc(sizeof(float) * build->dimensions);

	for (int i = 0; i < build->sample_count; i++)
	{
		double		norm;
		bool		unbounded;

		(void) AnnoyTransformVector(&build->raw_sketcher,
									build->opclass->element->floats(build->sample[i].value,
																	build->floats),
									transformed, &norm, &unbounded);
		for (int j = 0; j < build->dimensions; j++)
			sums[j] += transformed[j];
	}
	for (int j = 0; j < build->dimensions; j++)
		centre[j] = sums[j] / build->sample_count;
	pfree(sums);
	pfree(transformed);
	return centre;
}

/* Fixes the sketch space and sketches the sample. */
static void
begin_forest(AnnoyBuild *build)
{
	AnnoyForest *forest = palloc0(sizeof(AnnoyForest));
	AnnoyMetaPageData *meta = &forest->meta;
	float	   *centre = NULL;

	build->forest = forest;
	meta->magic = ANNOY_MAGIC;
	meta->format_version = ANNOY_FORMAT_VERSION;
	meta->metric = build->opclass->metric;
	meta->element = build->opclass->element->kind;
	meta->dimensions = build->dimensions;
	meta->sketch_dimensions = build->dimensions > 0 ?
		AnnoySketchDimensions(build->dimensions) : 0;
	meta->n_trees = build->n_trees;
	meta->seed = build->seed;
	meta->items = build->items;
	meta->tail_items = build->tail_items;
	meta->max_norm = build->max_norm;
	meta->epsilon = ANNOY_DEFAULT_EPSILON;
	meta->centre = InvalidBlockNumber;
	meta->roots = InvalidBlockNumber;
	forest->roots = palloc0(sizeof(AnnoyChild) * build->n_trees);
	if (build->items == 0)
		return;

	qsort(build->sample, build->sample_count, sizeof(AnnoySampleRow),
		  compare_sample_tids);
	centre = find_centre(build);
	meta->centre = AnnoyWriteCentre(build->index, centre, build->dimensions);
	AnnoyInitSketcher(&forest->sketcher,
					  palloc(AnnoySketcherMemory(build->dimensions)),
					  meta->metric, build->dimensions, build->seed, centre,
					  build->max_norm);
	build->sketch = palloc(sizeof(float) * meta->sketch_dimensions);
	build->split_scratch =
		palloc(sizeof(float) * AnnoySplitScratch(meta->sketch_dimensions));
	AnnoyAllocateSet(&build->sample_set, meta->sketch_dimensions,
					 build->sample_count);
	for (int i = 0; i < build->sample_count; i++)
	{
		AnnoySketchSet *set = &build->sample_set;
		bool		unbounded;

		AnnoySketchValue(build, build->sample[i].value, &set->extra[i],
						 &unbounded);
		set->scale[i] =
			AnnoyQuantiseSketch(meta->sketch_dimensions, build->sketch,
								set->quantised + (Size) i * meta->sketch_dimensions);
	}
}

static int
compare_sample_hashes(const void *a, const void *b)
{
	uint64		x = ((const AnnoySampleRow *) a)->hash;
	uint64		y = ((const AnnoySampleRow *) b)->hash;

	return x < y ? -1 : x > y ? 1 : 0;
}

/* Puts the sampled rows in the order of their hashes, for calibration. */
static void
order_sample(AnnoyBuild *build)
{
	qsort(build->sample, build->sample_count, sizeof(AnnoySampleRow),
		  compare_sample_hashes);
}

/* ---------------------------------------------------------------------
 * Callbacks
 * ---------------------------------------------------------------------
 */

/* Writes the metapage's values; block 0 exists. */
static void
write_meta(Relation index, const AnnoyMetaPageData *meta)
{
	Buffer		buffer = AnnoyReadPage(index, ANNOY_META_BLOCK,
									   ANNOY_PAGE_META, BUFFER_LOCK_EXCLUSIVE);

	AnnoyFillMetaPage(BufferGetPage(buffer), meta);
	MarkBufferDirty(buffer);
	UnlockReleaseBuffer(buffer);
	AnnoyForgetForest(index);
}

static void
build_trees(AnnoyBuild *build)
{
	for (int tree = 0; tree < build->n_trees; tree++)
	{
		AnnoyCells	cells;
		MemoryContext context = AllocSetContextCreate(build->context,
													  "annoy tree",
													  ALLOCSET_DEFAULT_SIZES);
		MemoryContext old = MemoryContextSwitchTo(context);

		build->inner_block = InvalidBlockNumber;
		if (build->items == 0)
			AnnoyWriteEmptyTree(build->index, MAIN_FORKNUM, tree,
								build->forest->meta.sketch_dimensions,
								&build->forest->roots[tree]);
		else
		{
			pgstat_progress_update_param(PROGRESS_CREATEIDX_SUBPHASE,
										 ANNOY_PHASE_SPLIT);
			AnnoySplitCells(build, tree, &cells);
			AnnoyWriteLeaves(build, tree, &cells);
			ereport(annoy_verbose >= 2 ? INFO : DEBUG1,
					(errmsg_internal("annoy index \"%s\": tree %d has %u cells in %d directories",
									 RelationGetRelationName(build->index),
									 tree, cells.cell_count,
									 cells.directory_count)));
		}
		MemoryContextSwitchTo(old);
		MemoryContextDelete(context);
	}
}

static void
begin_build(AnnoyBuild *build, Relation heap, Relation index)
{
	Buffer		buffer;

	if (RelationGetNumberOfBlocks(index) != 0)
		elog(ERROR, "index \"%s\" already contains data",
			 RelationGetRelationName(index));
	memset(build, 0, sizeof(AnnoyBuild));
	build->heap = heap;
	build->index = index;
	build->opclass = AnnoyGetOpclassInfo(index);
	build->seed = AnnoyGetSeed(index, true);
	build->n_trees = AnnoyGetTreeCount(index);
	if (build->n_trees == ANNOY_AUTOMATIC)
		build->n_trees = AUTOMATIC_TREES;
	build->context = AllocSetContextCreate(CurrentMemoryContext, "annoy build",
										   ALLOCSET_DEFAULT_SIZES);
	build->row_context = AllocSetContextCreate(build->context, "annoy row",
											   ALLOCSET_DEFAULT_SIZES);
	build->writer.index = index;
	build->writer.buffer = InvalidBuffer;

	buffer = AnnoyExtend(index, MAIN_FORKNUM, ANNOY_PAGE_META, 0);
	Assert(BufferGetBlockNumber(buffer) == ANNOY_META_BLOCK);
	UnlockReleaseBuffer(buffer);
	build->tail = AnnoyExtend(index, MAIN_FORKNUM, ANNOY_PAGE_TAIL, 0);
	LockBuffer(build->tail, BUFFER_LOCK_UNLOCK);
}

/* Tells steps at annoy.verbose >= 1. */
static void
report_step(AnnoyBuild *build, const char *what, double count)
{
	ereport(annoy_verbose >= 1 ? INFO : DEBUG1,
			(errmsg_internal("annoy index \"%s\": %s %.0f",
							 RelationGetRelationName(build->index), what,
							 count)));
}

IndexBuildResult *
annoybuild(Relation heap, Relation index, struct IndexInfo *index_info)
{
	AnnoyBuild	build;
	IndexBuildResult *result = palloc(sizeof(IndexBuildResult));
	BlockNumber tail;
	MemoryContext old;

	begin_build(&build, heap, index);
	old = MemoryContextSwitchTo(build.context);
	tail = BufferGetBlockNumber(build.tail);

	pgstat_progress_update_param(PROGRESS_CREATEIDX_SUBPHASE, ANNOY_PHASE_LOAD);
	result->heap_tuples = table_index_build_scan(heap, index, index_info, true,
												 true, load_row, &build, NULL);
	ReleaseBuffer(build.tail);
	report_step(&build, "rows loaded:", build.indexed_rows);

	begin_forest(&build);
	order_sample(&build);
	build.forest->meta.tail = tail;
	build_trees(&build);
	report_step(&build, "trees written:", build.n_trees);
	build.forest->meta.roots = AnnoyWriteRoots(index, MAIN_FORKNUM,
											   build.forest->roots,
											   build.n_trees);
	write_meta(index, &build.forest->meta);

	if (build.items > 0)
	{
		pgstat_progress_update_param(PROGRESS_CREATEIDX_SUBPHASE,
									 ANNOY_PHASE_CALIBRATE);
		build.forest->meta.search_k = AnnoyCalibrate(&build);
		write_meta(index, &build.forest->meta);
		report_step(&build, "search_k for a recall@10 of 0.95:",
					build.forest->meta.search_k);
	}

	if (RelationNeedsWAL(index))
		log_newpage_range(index, MAIN_FORKNUM, 0,
						  RelationGetNumberOfBlocks(index), true);

	result->index_tuples = build.indexed_rows;
	MemoryContextSwitchTo(old);
	MemoryContextDelete(build.context);
	return result;
}

/*
 * The init fork of an unlogged index: an index without rows, of which every
 * page is logged here because it has to reach the disk with WAL even though
 * the relation has none.
 */
void
annoybuildempty(Relation index)
{
	AnnoyMetaPageData meta;
	AnnoyChild *roots;
	Buffer		buffer;
	BlockNumber blocks;

	buffer = AnnoyExtend(index, INIT_FORKNUM, ANNOY_PAGE_META, 0);
	UnlockReleaseBuffer(buffer);
	buffer = AnnoyExtend(index, INIT_FORKNUM, ANNOY_PAGE_TAIL, 0);

	memset(&meta, 0, sizeof(meta));
	meta.magic = ANNOY_MAGIC;
	meta.format_version = ANNOY_FORMAT_VERSION;
	meta.metric = AnnoyGetOpclassInfo(index)->metric;
	meta.element = AnnoyGetOpclassInfo(index)->element->kind;
	meta.n_trees = AnnoyGetTreeCount(index);
	if (meta.n_trees == ANNOY_AUTOMATIC)
		meta.n_trees = AUTOMATIC_TREES;
	meta.seed = AnnoyGetSeed(index, false);
	meta.epsilon = ANNOY_DEFAULT_EPSILON;
	meta.centre = InvalidBlockNumber;
	meta.tail = BufferGetBlockNumber(buffer);
	UnlockReleaseBuffer(buffer);

	roots = palloc(sizeof(AnnoyChild) * meta.n_trees);
	for (int tree = 0; tree < meta.n_trees; tree++)
		AnnoyWriteEmptyTree(index, INIT_FORKNUM, tree, 0, &roots[tree]);
	meta.roots = AnnoyWriteRoots(index, INIT_FORKNUM, roots, meta.n_trees);
	pfree(roots);

	buffer = ReadBufferExtended(index, INIT_FORKNUM, ANNOY_META_BLOCK,
								RBM_NORMAL, NULL);
	LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
	AnnoyFillMetaPage(BufferGetPage(buffer), &meta);
	MarkBufferDirty(buffer);
	UnlockReleaseBuffer(buffer);

	blocks = RelationGetNumberOfBlocksInFork(index, INIT_FORKNUM);
	log_newpage_range(index, INIT_FORKNUM, 0, blocks, true);
}

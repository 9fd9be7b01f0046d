/*-------------------------------------------------------------------------
 *
 * buildleaves.c
 *	  Second step of a tree: assigning items to cells and writing leaves.
 *
 * Each item goes to the cell with the nearest centroid among those that a
 * short walk of the tree finds: one step of Lloyd's algorithm (IEEE Trans.
 * Inf. Theory 28, 1982).  A tuplesort brings the items of each cell together,
 * in the order of TIDs.  The cells of a directory then become leaves:
 * overfull ones are split again, small ones are joined with the next.  Last,
 * the directory's provisional entries are replaced by the leaves; if they are
 * too many it is split, with a hyperplane more above.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "catalog/pg_type_d.h"
#include "commands/progress.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "utils/memutils.h"

#include "annoy.h"
#include "build.h"
#include "leaf.h"
#include "tree.h"

/* Entries of a leaf after a build, as a share of what it holds. */
#define LEAF_FILL 0.94

/* A cell below this share of a leaf is joined with the next one. */
#define SMALL_CELL 0.20

/* Memory for the sort, as a share of what is left beside fixed sizes. */
#define SORT_SHARE 0.55

/* Random streams of different purposes begin with different hashes. */
#define PATH_OF_GROUP 1
#define PATH_OF_DIRECTORY 2

/* A finished leaf, as its directory needs it. */
typedef struct FinishedLeaf
{
	BlockNumber block;
	float		scale;
	float		norm_squared;
	float		extra;
	int8	   *centroid;
} FinishedLeaf;

typedef struct LeafWriter
{
	AnnoyBuild *build;
	const AnnoyCells *cells;
	int			tree;
	int			s;
	int			capacity;		/* entries of a leaf */
	int			fill;			/* entries of a leaf after a build */
	uint64		path;

	/* items that become leaves together */
	int			group_allocated;
	int			count;
	AnnoySketchSet set;
	float	   *sketches;		/* [group][s] */
	bool	   *unbounded;
	int64	   *tids;
	ItemPointerData *addresses;
	struct varlena **values;	/* first tree only */
	MemoryContext value_context;
	int32	   *order;			/* of the group's items */
	int32	   *split_order;	/* scratch */
	float	   *margins;		/* scratch */

	/* leaves of the directory at hand */
	FinishedLeaf *leaves;
	int			leaf_count;
	int			leaves_allocated;
	MemoryContext leaf_context;
} LeafWriter;

/* ---------------------------------------------------------------------
 * Assignment
 * ---------------------------------------------------------------------
 */

/* Sends every item to its cell; counts[cell] is set. */
static Tuplesortstate *
assign_items(AnnoyBuild *build, int tree, TupleDesc desc, int64 *counts)
{
	int			s = build->forest->sketcher.sketch_dimensions;
	Tuplesortstate *sort = AnnoyBeginSort(desc, (int) (build->spare_mem * SORT_SHARE));
	TupleTableSlot *slot = MakeSingleTupleTableSlot(desc, &TTSOpsVirtual);
	AnnoyItemStream stream;
	AnnoyBuildItem item;
	AnnoyWalk	walk;
	AnnoyQuery	query;
	int16	   *quantised = palloc(sizeof(int16) * s);
	int64		done = 0;

	AnnoyInitWalk(&walk, build->index, build->forest);
	AnnoyBeginStream(&stream, build, tree > 0);
	while (AnnoyNextStreamItem(&stream, &item))
	{
		float		extra;
		bool		unbounded;
		uint32		cell;

		AnnoySketchValue(build, item.value, &extra, &unbounded);
		AnnoyInitItemQuery(&query, quantised, &build->forest->sketcher,
						   build->sketch, extra);
		cell = AnnoyChooseLeaf(&walk, &query, tree).link.block;
		counts[cell]++;

		ExecClearTuple(slot);
		slot->tts_values[0] = Int32GetDatum((int32) cell);
		slot->tts_values[1] = Int64GetDatum(item.tid);
		slot->tts_values[2] = Int64GetDatum(ItemPointerIsValid(&item.address) ?
											AnnoyPackTid(&item.address) : 0);
		slot->tts_values[3] = PointerGetDatum(item.value);
		memset(slot->tts_isnull, false, 4);
		ExecStoreVirtualTuple(slot);
		tuplesort_puttupleslot(sort, slot);
		if (++done % 1024 == 0)
			pgstat_progress_update_param(PROGRESS_CREATEIDX_TUPLES_DONE, done);
	}
	AnnoyEndStream(&stream);
	ExecDropSingleTupleTableSlot(slot);
	pfree(quantised);
	tuplesort_performsort(sort);
	return sort;
}

/* ---------------------------------------------------------------------
 * Leaves
 * ---------------------------------------------------------------------
 */

static FinishedLeaf *
new_finished_leaf(LeafWriter *writer)
{
	FinishedLeaf *leaf;

	if (writer->leaf_count == writer->leaves_allocated)
	{
		writer->leaves_allocated *= 2;
		writer->leaves = repalloc_huge(writer->leaves, sizeof(FinishedLeaf) *
									   (Size) writer->leaves_allocated);
	}
	leaf = &writer->leaves[writer->leaf_count++];
	leaf->centroid = MemoryContextAlloc(writer->leaf_context, writer->s);
	return leaf;
}

/* The item's address; writes it first if this is the first tree. */
static ItemPointerData
place_item(LeafWriter *writer, int item)
{
	ItemPointerData tid;

	if (writer->tree > 0)
		return writer->addresses[item];
	AnnoyUnpackTid(writer->tids[item], &tid);
	return AnnoyWriteItem(&writer->build->writer, &tid, writer->values[item]);
}

/*
 * Writes a leaf of some items of the group; more than a page holds (only of
 * inseparable items) continue on a chain of pages.
 */
static void
write_leaf(LeafWriter *writer, const int32 *items, int count)
{
	const AnnoySketcher *sketcher = &writer->build->forest->sketcher;
	FinishedLeaf *leaf = new_finished_leaf(writer);
	float	   *mean = writer->build->split_scratch;
	Buffer		buffer = InvalidBuffer;

	AnnoyMeanSketch(&writer->set, items, count, mean, &leaf->extra,
					mean + writer->s);
	leaf->scale = AnnoyQuantiseDirection(writer->s, mean, leaf->centroid);
	leaf->norm_squared = leaf->scale * leaf->scale *
		(float) AnnoyQuantisedNorm(writer->s, leaf->centroid);
	leaf->block = InvalidBlockNumber;

	/* first the items, so that the leaf is not locked meanwhile */
	for (int i = 0; i < count; i++)
		writer->addresses[items[i]] = place_item(writer, items[i]);
	for (int i = 0; i < count; i++)
	{
		if (i % writer->capacity == 0)
		{
			Buffer		next = AnnoyExtend(writer->build->index, MAIN_FORKNUM,
										   ANNOY_PAGE_LEAF, writer->tree);
			Page		page = BufferGetPage(next);

			AnnoyStartLeaf(page, sketcher, leaf->centroid, leaf->scale,
						   leaf->norm_squared, leaf->extra);
			if (BufferIsValid(buffer))
			{
				AnnoyPageGetOpaque(page)->flags |= ANNOY_LEAF_CHAINED;
				AnnoyPageGetOpaque(BufferGetPage(buffer))->chainlink =
					BufferGetBlockNumber(next);
				UnlockReleaseBuffer(buffer);
			}
			else
				leaf->block = BufferGetBlockNumber(next);
			buffer = next;
		}
		AnnoyAddLeafEntry(BufferGetPage(buffer), sketcher,
						  writer->sketches + (Size) items[i] * writer->s,
						  writer->unbounded[items[i]],
						  &writer->addresses[items[i]]);
	}
	UnlockReleaseBuffer(buffer);
}

/* Writes leaves of some items of the group, splitting what is too much. */
static void
write_items(LeafWriter *writer, int32 *items, int count, uint64 path)
{
	int			parts = (count + writer->fill - 1) / writer->fill;
	int			left = 0;

	CHECK_FOR_INTERRUPTS();
	check_stack_depth();
	if (parts > 1)
	{
		AnnoyHyperplane plane;
		AnnoyRandom random;

		plane.normal = palloc(writer->s);
		AnnoySeedRandom(&random, path);
		left = AnnoySplitItems(&writer->set, items, count,
							   ANNOY_SPLIT_QUANTILE,
							   (int) ((int64) count * (parts / 2) / parts),
							   &random, &plane, writer->build->split_scratch,
							   writer->margins, writer->split_order);
		pfree(plane.normal);
	}
	if (left == 0)
	{
		write_leaf(writer, items, count);
		return;
	}
	write_items(writer, items, left, AnnoyHash(path, 1));
	write_items(writer, items + left, count - left, AnnoyHash(path, 2));
}

static void
flush_group(LeafWriter *writer)
{
	if (writer->count == 0)
		return;
	for (int i = 0; i < writer->count; i++)
		writer->order[i] = i;
	write_items(writer, writer->order, writer->count,
				AnnoyHash(AnnoyHash(writer->path, PATH_OF_GROUP),
						  (uint64) writer->tids[0]));
	writer->count = 0;
	MemoryContextReset(writer->value_context);
}

/* Adds the next sorted item to the group. */
static void
load_item(LeafWriter *writer, TupleTableSlot *slot)
{
	bool		isnull;
	int			i = writer->count++;
	struct varlena *value = (struct varlena *)
		DatumGetPointer(slot_getattr(slot, 4, &isnull));
	float	   *sketch = writer->sketches + (Size) i * writer->s;
	AnnoyBuild *build = writer->build;

	writer->tids[i] = DatumGetInt64(slot_getattr(slot, 2, &isnull));
	AnnoySketchValue(build, value, &writer->set.extra[i], &writer->unbounded[i]);
	memcpy(sketch, build->sketch, sizeof(float) * writer->s);
	writer->set.scale[i] =
		AnnoyQuantiseSketch(writer->s, sketch,
							writer->set.quantised + (Size) i * writer->s);
	if (writer->tree > 0)
		AnnoyUnpackTid(DatumGetInt64(slot_getattr(slot, 3, &isnull)),
					   &writer->addresses[i]);
	else
		writer->values[i] = memcpy(MemoryContextAlloc(writer->value_context,
													  VARSIZE(value)),
								   value, VARSIZE(value));
}

/* ---------------------------------------------------------------------
 * Directories
 * ---------------------------------------------------------------------
 */

/* Fills a directory page; takes the given block or a new one. */
static AnnoyChild
fill_directory(LeafWriter *writer, const int32 *leaves, int count,
			   BlockNumber block, AnnoyParent parent)
{
	Buffer		buffer;
	Page		page;
	AnnoyChild	child;

	if (BlockNumberIsValid(block))
		buffer = AnnoyReadPage(writer->build->index, block,
							   ANNOY_PAGE_DIRECTORY, BUFFER_LOCK_EXCLUSIVE);
	else
		buffer = AnnoyExtend(writer->build->index, MAIN_FORKNUM,
							 ANNOY_PAGE_DIRECTORY, writer->tree);
	page = BufferGetPage(buffer);
	AnnoyInitPage(page, ANNOY_PAGE_DIRECTORY, writer->tree);
	AnnoyPageGetDirectoryHeader(page)->version = ANNOY_FIRST_VERSION;
	AnnoyPageGetDirectoryHeader(page)->count = count;
	AnnoyPageGetDirectoryHeader(page)->parent = parent;
	for (int i = 0; i < count; i++)
	{
		AnnoyDirectoryEntry entry = AnnoyPageGetDirectoryEntry(page, writer->s, i);
		FinishedLeaf *leaf = &writer->leaves[leaves[i]];

		entry->leaf.block = leaf->block;
		entry->leaf.version = ANNOY_FIRST_VERSION;
		entry->scale = leaf->scale;
		entry->norm_squared = leaf->norm_squared;
		entry->extra = leaf->extra;
		memcpy(entry->centroid, leaf->centroid, writer->s);
	}
	((PageHeader) page)->pd_lower += count * AnnoyDirectoryEntrySize(writer->s);
	MarkBufferDirty(buffer);
	child.block = BufferGetBlockNumber(buffer);
	child.version = ANNOY_FIRST_VERSION;
	child.slot = 0;
	child.kind = ANNOY_PAGE_DIRECTORY;
	UnlockReleaseBuffer(buffer);
	return child;
}

/* The centroids of the leaves as a set to be split. */
static void
collect_centroids(LeafWriter *writer, AnnoySketchSet *set)
{
	int			s = writer->s;

	AnnoyAllocateSet(set, s, writer->leaf_count);
	for (int i = 0; i < writer->leaf_count; i++)
	{
		for (int j = 0; j < s; j++)
			set->quantised[(Size) i * s + j] = writer->leaves[i].centroid[j];
		set->scale[i] = writer->leaves[i].scale;
		set->extra[i] = writer->leaves[i].extra;
	}
}

/*
 * Puts leaves into one directory, or into several below new hyperplanes.  The
 * leftmost one keeps the block.
 */
static AnnoyChild
split_directory(LeafWriter *writer, const AnnoySketchSet *centroids,
				int32 *leaves, int count, BlockNumber block,
				AnnoyParent parent, uint64 path)
{
	int			capacity = AnnoyDirectoryCapacity(writer->s);
	AnnoyHyperplane plane;
	AnnoyRandom random;
	AnnoyChild	node;
	AnnoyChild	child;
	int			left;
	float	   *margins;
	int32	   *order;

	check_stack_depth();
	if (count <= capacity)
		return fill_directory(writer, leaves, count, block, parent);

	plane.normal = palloc0(writer->s);
	margins = palloc(sizeof(float) * count);
	order = palloc(sizeof(int32) * count);
	AnnoySeedRandom(&random, path);
	left = AnnoySplitItems(centroids, leaves, count, ANNOY_SPLIT_QUANTILE,
						   count / 2, &random, &plane,
						   writer->build->split_scratch, margins, order);
	if (left == 0)
	{
		/* equal centroids: a hyperplane that everything is on */
		memset(plane.normal, 0, writer->s);
		plane.scale = plane.extra_weight = plane.offset = 0.0f;
		left = count / 2;
	}
	pfree(margins);
	pfree(order);
	node = AnnoyAddNode(writer->build, writer->tree, &plane);
	pfree(plane.normal);
	parent.block = node.block;
	parent.slot = node.slot;
	parent.side = 0;
	child = split_directory(writer, centroids, leaves, left, block, parent,
							AnnoyHash(path, 1));
	AnnoySetChild(writer->build, writer->tree, parent, &child);
	parent.side = 1;
	child = split_directory(writer, centroids, leaves + left, count - left,
							InvalidBlockNumber, parent, AnnoyHash(path, 2));
	AnnoySetChild(writer->build, writer->tree, parent, &child);
	return node;
}

static void
finish_directory(LeafWriter *writer, const AnnoyCellDirectory *directory)
{
	AnnoySketchSet centroids;
	int32	   *leaves = palloc(sizeof(int32) * Max(writer->leaf_count, 1));
	AnnoyChild	child;

	collect_centroids(writer, &centroids);
	for (int i = 0; i < writer->leaf_count; i++)
		leaves[i] = i;
	child = split_directory(writer, &centroids, leaves, writer->leaf_count,
							directory->block, directory->parent,
							AnnoyHash(AnnoyHash(writer->path, PATH_OF_DIRECTORY),
									  directory->first_cell));
	if (child.block != directory->block)
		AnnoySetChild(writer->build, writer->tree, directory->parent, &child);
	AnnoyFreeSet(&centroids);
	pfree(leaves);
	writer->leaf_count = 0;
	MemoryContextReset(writer->leaf_context);
}

/* ---------------------------------------------------------------------
 * The step
 * ---------------------------------------------------------------------
 */

static void
init_writer(LeafWriter *writer, AnnoyBuild *build, int tree,
			const AnnoyCells *cells)
{
	int			n;

	writer->build = build;
	writer->cells = cells;
	writer->tree = tree;
	writer->s = build->forest->sketcher.sketch_dimensions;
	writer->capacity = AnnoyLeafCapacity(writer->s);
	writer->fill = Max(1, (int) (writer->capacity * LEAF_FILL));
	writer->path = AnnoyHash(AnnoyHash(build->seed, tree), 1);
	n = writer->group_allocated = ANNOY_GROUP_LEAVES * writer->capacity;
	writer->count = 0;
	AnnoyAllocateSet(&writer->set, writer->s, n);
	writer->sketches = palloc(sizeof(float) * writer->s * (Size) n);
	writer->unbounded = palloc(sizeof(bool) * n);
	writer->tids = palloc(sizeof(int64) * n);
	writer->addresses = palloc(sizeof(ItemPointerData) * n);
	writer->values = palloc(sizeof(struct varlena *) * n);
	writer->order = palloc(sizeof(int32) * n);
	writer->split_order = palloc(sizeof(int32) * n);
	writer->margins = palloc(sizeof(float) * n);
	writer->value_context = AllocSetContextCreate(CurrentMemoryContext,
												  "annoy values",
												  ALLOCSET_DEFAULT_SIZES);
	writer->leaf_context = AllocSetContextCreate(CurrentMemoryContext,
												 "annoy finished leaves",
												 ALLOCSET_DEFAULT_SIZES);
	writer->leaf_count = 0;
	writer->leaves_allocated = 64;
	writer->leaves = palloc(sizeof(FinishedLeaf) * writer->leaves_allocated);
}

/* Turns the sorted items into leaves and directories. */
static void
write_leaves(LeafWriter *writer, Tuplesortstate *sort, TupleTableSlot *slot,
			 const int64 *counts)
{
	int64		done = 0;
	int			small = (int) (writer->capacity * SMALL_CELL);

	for (int d = 0; d < writer->cells->directory_count; d++)
	{
		const AnnoyCellDirectory *directory = &writer->cells->directories[d];

		for (uint32 i = 0; i < directory->cell_count; i++)
		{
			int64		left = counts[directory->first_cell + i];

			while (left > 0)
			{
				if (!tuplesort_gettupleslot(sort, true, false, slot, NULL))
					elog(ERROR, "items lost in the build of index \"%s\"",
						 RelationGetRelationName(writer->build->index));
				load_item(writer, slot);
				left--;
				done++;
				if (writer->count == writer->group_allocated)
					flush_group(writer);
			}
			if (writer->count >= small)
				flush_group(writer);
			pgstat_progress_update_param(PROGRESS_CREATEIDX_TUPLES_DONE, done);
		}
		flush_group(writer);
		finish_directory(writer, directory);
	}
}

/* Assigns a tree's items to its cells and writes leaves and directories. */
void
AnnoyWriteLeaves(AnnoyBuild *build, int tree, AnnoyCells *cells)
{
	LeafWriter	writer;
	TupleDesc	desc = CreateTemplateTupleDesc(4);
	int64	   *counts = palloc_extended(sizeof(int64) * (Size) cells->cell_count,
										 MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	Tuplesortstate *sort;
	TupleTableSlot *slot;

	TupleDescInitEntry(desc, 1, "cell", INT4OID, -1, 0);
	TupleDescInitEntry(desc, 2, "tid", INT8OID, -1, 0);
	TupleDescInitEntry(desc, 3, "address", INT8OID, -1, 0);
	AnnoyInitValueColumn(desc, 4, "value");

	pgstat_progress_update_param(PROGRESS_CREATEIDX_SUBPHASE,
								 ANNOY_PHASE_ASSIGN);
	sort = assign_items(build, tree, desc, counts);

	/* the loaded rows are on their way to the item pages */
	if (build->rows)
		tuplestore_end(build->rows);
	build->rows = NULL;

	pgstat_progress_update_param(PROGRESS_CREATEIDX_SUBPHASE,
								 ANNOY_PHASE_WRITE);
	slot = MakeSingleTupleTableSlot(desc, &TTSOpsMinimalTuple);
	init_writer(&writer, build, tree, cells);
	write_leaves(&writer, sort, slot, counts);
	AnnoyEndItemWriter(&build->writer);
	ExecDropSingleTupleTableSlot(slot);
	tuplesort_end(sort);
}

/* A tree without items: a directory with one empty leaf, for inserts to come. */
void
AnnoyWriteEmptyTree(Relation index, ForkNumber fork, int tree,
					int sketch_dimensions, AnnoyChild *root)
{
	Buffer		buffer;
	Page		page;
	AnnoyLeafHeader leaf;
	AnnoyDirectoryEntry entry;
	BlockNumber block;

	buffer = AnnoyExtend(index, fork, ANNOY_PAGE_LEAF, tree);
	page = BufferGetPage(buffer);
	leaf = AnnoyPageGetLeafHeader(page);
	leaf->version = ANNOY_FIRST_VERSION;
	((PageHeader) page)->pd_lower += sketch_dimensions;
	block = BufferGetBlockNumber(buffer);
	UnlockReleaseBuffer(buffer);

	buffer = AnnoyExtend(index, fork, ANNOY_PAGE_DIRECTORY, tree);
	page = BufferGetPage(buffer);
	AnnoyPageGetDirectoryHeader(page)->version = ANNOY_FIRST_VERSION;
	AnnoyPageGetDirectoryHeader(page)->count = 1;
	entry = AnnoyPageGetDirectoryEntry(page, sketch_dimensions, 0);
	entry->leaf.block = block;
	entry->leaf.version = ANNOY_FIRST_VERSION;
	((PageHeader) page)->pd_lower += AnnoyDirectoryEntrySize(sketch_dimensions);
	root->block = BufferGetBlockNumber(buffer);
	root->version = ANNOY_FIRST_VERSION;
	root->slot = 0;
	root->kind = ANNOY_PAGE_DIRECTORY;
	UnlockReleaseBuffer(buffer);
}

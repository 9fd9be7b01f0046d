/*-------------------------------------------------------------------------
 *
 * buildcells.c
 *	  First step of a tree: splitting all items into cells.
 *
 * A cell is what becomes a leaf, give or take.  A set of at most
 * ANNOY_CELL_SET_BYTES of quantised sketches is split in memory down to
 * cells.  A larger one is divided first: its sample (the items with the
 * smallest hash of seed and TID) is split into so many parts that each part
 * stands for about half a set, and all items are sent through those
 * hyperplanes into partitions, through a tuplesort that brings each partition
 * together, in the order of TIDs.  A partition that is still too large is
 * divided in the same way.
 *
 * The subtrees' cells are listed in directories, with provisional links: the
 * number of the cell in place of a block.  buildleaves.c replaces them.
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

#include "build.h"

/*
 * Items of a cell, as a share of what a leaf holds: below 1 because the
 * assignment that follows makes cells uneven, and one that overflows becomes
 * two leaves.
 */
#define CELL_FILL 0.85

/* Cells of a directory, as a share of what it holds; room for the same reason. */
#define DIRECTORY_FILL 0.70

/* Bytes of an item of a set beside its sketch: scale, extra, TID, orders. */
#define SET_OVERHEAD 48

/* Sets that make up to so many cells are split in even shares. */
#define EVEN_SPLIT_CELLS 16

/* Sampled items that a partition needs at least. */
#define LEAST_PARTITION_SAMPLE 16

/*
 * Share of the spare memory for a sort; nested ones get half of the one above,
 * and stores half of that.
 */
#define SORT_SHARE 0.25

/* Where sketches come from: loaded rows, or a sorted or spooled partition. */
typedef struct SketchStream
{
	AnnoyItemStream *items;		/* or NULL */
	Tuplesortstate *sort;
	Tuplestorestate *store;
	TupleTableSlot *slot;
	int64		left;			/* sketches still to come */
} SketchStream;

/* Head of a sketch in a tuple; int16[s] follows. */
typedef struct SketchTuple
{
	int32		vl_len_;
	float		scale;
	float		extra;
	int16		quantised[FLEXIBLE_ARRAY_MEMBER];
} SketchTuple;

/* A node of a subtree in memory: an inner one, or a cell / a partition. */
typedef struct MemoryNode
{
	AnnoyHyperplane plane;		/* normal is NULL: no inner node */
	int			child[2];
	int			number;			/* of the partition */
	int			cells;			/* below */
	int8	   *centroid;		/* of a cell */
	float		scale;
	float		extra;
	AnnoyChild	link;			/* of a partition, once written */
	bool		empty;			/* partition without items */
} MemoryNode;

typedef struct Subtree
{
	MemoryNode *nodes;
	int			count;
	int			allocated;
} Subtree;

typedef struct CellBuilder
{
	AnnoyBuild *build;
	AnnoyCells *cells;
	int			tree;
	int			s;
	int			cell_items;		/* items that a cell may have */
	int			directory_cells;	/* cells that a directory may have */
	int64		set_items;		/* items of a set split in memory */
	TupleDesc	desc;
	SketchTuple *tuple;			/* one sketch on its way */
	int64		done;			/* progress */
} CellBuilder;

static AnnoyChild divide(CellBuilder *builder, SketchStream *stream,
						 const AnnoySketchSet *sample, int sample_count,
						 uint64 path, int level);

/* ---------------------------------------------------------------------
 * Subtrees in memory
 * ---------------------------------------------------------------------
 */

static int
new_node(Subtree *subtree)
{
	if (subtree->count == subtree->allocated)
	{
		subtree->allocated = Max(64, subtree->allocated * 2);
		subtree->nodes = subtree->nodes ?
			repalloc(subtree->nodes, sizeof(MemoryNode) * subtree->allocated) :
			palloc(sizeof(MemoryNode) * subtree->allocated);
	}
	memset(&subtree->nodes[subtree->count], 0, sizeof(MemoryNode));
	return subtree->count++;
}

static uint64
child_path(uint64 path, int side)
{
	return AnnoyHash(path, side + 1);
}

/* Children take 1 and 2. */
static uint64
partition_path(uint64 path, int number)
{
	return AnnoyHash(AnnoyHash(path, 3), number);
}

/* The hyperplane of a node and its children's numbers. */
static void
set_inner(Subtree *subtree, int node, const AnnoyHyperplane *plane,
		  int left, int right)
{
	MemoryNode *n = &subtree->nodes[node];

	n->plane = *plane;
	n->child[0] = left;
	n->child[1] = right;
	n->cells = subtree->nodes[left].cells + subtree->nodes[right].cells;
}

/* Makes a cell of some items. */
static int
add_cell(CellBuilder *builder, Subtree *subtree, const AnnoySketchSet *set,
		 const int32 *items, int count)
{
	float	   *mean = builder->build->split_scratch;
	int			node = new_node(subtree);
	MemoryNode *n = &subtree->nodes[node];

	AnnoyMeanSketch(set, items, count, mean, &n->extra, mean + builder->s);
	n->centroid = palloc(builder->s);
	n->scale = AnnoyQuantiseDirection(builder->s, mean, n->centroid);
	n->cells = 1;
	return node;
}

/*
 * Splits items down to cells, or, with partition_items > 0, a sample down to
 * parts of that many.  Returns the node.
 */
static int
grow(CellBuilder *builder, Subtree *subtree, const AnnoySketchSet *set,
	 int32 *items, int count, int partition_items, uint64 path, float *margins,
	 int32 *order)
{
	bool		partition = partition_items > 0;
	int			most = partition ? partition_items : builder->cell_items;
	int			parts = (count + most - 1) / most;
	AnnoyHyperplane plane;
	AnnoyRandom random;
	int			left = 0;
	int			node;
	int			children[2];

	CHECK_FOR_INTERRUPTS();
	check_stack_depth();
	plane.normal = NULL;
	if (parts > 1)
	{
		bool		even = !partition && parts <= EVEN_SPLIT_CELLS;

		plane.normal = palloc(builder->s);
		AnnoySeedRandom(&random, path);
		left = AnnoySplitItems(set, items, count,
							   even ? ANNOY_SPLIT_QUANTILE : ANNOY_SPLIT_MIDDLE,
							   even ? (int) ((int64) count * (parts / 2) / parts) : 0,
							   &random, &plane, builder->build->split_scratch,
							   margins, order);
	}
	if (left == 0)
	{
		if (!partition)
			return add_cell(builder, subtree, set, items, count);
		node = new_node(subtree);
		subtree->nodes[node].cells = 1;
		return node;
	}
	node = new_node(subtree);
	children[0] = grow(builder, subtree, set, items, left, partition_items,
					   child_path(path, 0), margins, order);
	children[1] = grow(builder, subtree, set, items + left, count - left,
					   partition_items, child_path(path, 1), margins, order);
	set_inner(subtree, node, &plane, children[0], children[1]);
	return node;
}

/* ---------------------------------------------------------------------
 * Writing subtrees
 * ---------------------------------------------------------------------
 */

static int
list_cells(Subtree *subtree, int node, int *cells, int count)
{
	MemoryNode *n = &subtree->nodes[node];

	if (n->plane.normal == NULL)
	{
		cells[count++] = node;
		return count;
	}
	count = list_cells(subtree, n->child[0], cells, count);
	return list_cells(subtree, n->child[1], cells, count);
}

/* Writes a directory page of the cells below a node. */
static AnnoyChild
write_directory(CellBuilder *builder, Subtree *subtree, int node)
{
	AnnoyCells *cells = builder->cells;
	int			s = builder->s;
	int		   *list = palloc(sizeof(int) * subtree->nodes[node].cells);
	int			count = list_cells(subtree, node, list, 0);
	Buffer		buffer = AnnoyExtend(builder->build->index, MAIN_FORKNUM,
									 ANNOY_PAGE_DIRECTORY, builder->tree);
	Page		page = BufferGetPage(buffer);
	AnnoyCellDirectory *directory;
	AnnoyChild	child;

	AnnoyPageGetDirectoryHeader(page)->version = ANNOY_FIRST_VERSION;
	AnnoyPageGetDirectoryHeader(page)->count = count;
	for (int i = 0; i < count; i++)
	{
		MemoryNode *cell = &subtree->nodes[list[i]];
		AnnoyDirectoryEntry entry = AnnoyPageGetDirectoryEntry(page, s, i);

		entry->leaf.block = cells->cell_count + i;
		entry->leaf.version = ANNOY_ANY_VERSION;
		entry->scale = cell->scale;
		entry->extra = cell->extra;
		entry->norm_squared = cell->scale * cell->scale *
			(float) AnnoyQuantisedNorm(s, cell->centroid);
		memcpy(entry->centroid, cell->centroid, s);
	}
	((PageHeader) page)->pd_lower += count * AnnoyDirectoryEntrySize(s);
	MarkBufferDirty(buffer);

	if (cells->directory_count == cells->directories_allocated)
	{
		cells->directories_allocated *= 2;
		cells->directories =
			repalloc_huge(cells->directories, sizeof(AnnoyCellDirectory) *
						  (Size) cells->directories_allocated);
	}
	directory = &cells->directories[cells->directory_count++];
	directory->block = BufferGetBlockNumber(buffer);
	directory->first_cell = cells->cell_count;
	directory->cell_count = count;
	directory->parent.block = InvalidBlockNumber;
	directory->parent.slot = 0;
	directory->parent.side = 0;
	cells->cell_count += count;

	child.block = directory->block;
	child.version = ANNOY_FIRST_VERSION;
	child.slot = 0;
	child.kind = ANNOY_PAGE_DIRECTORY;
	UnlockReleaseBuffer(buffer);
	pfree(list);
	return child;
}

/*
 * A directory remembers where it is linked from.  That is known when its
 * parent is written, just after itself or after its sibling's subtree.
 */
static void
set_parent(CellBuilder *builder, const AnnoyChild *child, AnnoyParent parent)
{
	if (child->kind != ANNOY_PAGE_DIRECTORY)
		return;
	for (int i = builder->cells->directory_count - 1; i >= 0; i--)
	{
		AnnoyCellDirectory *directory = &builder->cells->directories[i];

		if (directory->block == child->block)
		{
			directory->parent = parent;
			return;
		}
	}
}

static void
link_children(CellBuilder *builder, const AnnoyChild *node,
			  const AnnoyChild *children)
{
	for (int side = 0; side < 2; side++)
	{
		AnnoyParent parent = {node->block, node->slot, side};

		AnnoySetChild(builder->build, builder->tree, parent, &children[side]);
		set_parent(builder, &children[side], parent);
	}
}

/* Writes a subtree of cells: inner nodes first, so that they stay together. */
static AnnoyChild
write_cells(CellBuilder *builder, Subtree *subtree, int node)
{
	AnnoyChild	link;
	AnnoyChild	children[2];

	if (subtree->nodes[node].plane.normal == NULL ||
		subtree->nodes[node].cells <= builder->directory_cells)
		return write_directory(builder, subtree, node);

	link = AnnoyAddNode(builder->build, builder->tree,
						&subtree->nodes[node].plane);
	for (int side = 0; side < 2; side++)
		children[side] = write_cells(builder, subtree,
									 subtree->nodes[node].child[side]);
	link_children(builder, &link, children);
	return link;
}

/* Writes the hyperplanes above partitions; returns false if all are empty. */
static bool
write_top(CellBuilder *builder, Subtree *top, int node, AnnoyChild *link)
{
	MemoryNode *n = &top->nodes[node];
	AnnoyChild	children[2];
	bool		filled[2];

	if (n->plane.normal == NULL)
	{
		*link = n->link;
		return !n->empty;
	}
	for (int side = 0; side < 2; side++)
		filled[side] = write_top(builder, top, n->child[side], &children[side]);
	if (filled[0] && filled[1])
	{
		*link = AnnoyAddNode(builder->build, builder->tree,
							 &top->nodes[node].plane);
		link_children(builder, link, children);
		return true;
	}
	*link = children[filled[0] ? 0 : 1];
	return filled[0] || filled[1];
}

/* ---------------------------------------------------------------------
 * Streams of sketches
 * ---------------------------------------------------------------------
 */

/* The next sketch into builder->tuple; *tid: its row.  False at the end. */
static bool
next_sketch(CellBuilder *builder, SketchStream *stream, int64 *tid)
{
	bool		isnull;
	struct varlena *value;

	if (stream->left <= 0)
		return false;
	if (stream->items)
	{
		AnnoyBuildItem item;
		bool		unbounded;

		if (!AnnoyNextStreamItem(stream->items, &item))
			return false;
		AnnoySketchValue(builder->build, item.value, &builder->tuple->extra,
						 &unbounded);
		builder->tuple->scale = AnnoyQuantiseSketch(builder->s,
													builder->build->sketch,
													builder->tuple->quantised);
		*tid = item.tid;
		builder->done++;
		if (builder->done % 1024 == 0)
			pgstat_progress_update_param(PROGRESS_CREATEIDX_TUPLES_DONE,
										 builder->done);
	}
	else
	{
		CHECK_FOR_INTERRUPTS();
		if (stream->sort ?
			!tuplesort_gettupleslot(stream->sort, true, false, stream->slot, NULL) :
			!tuplestore_gettupleslot(stream->store, true, false, stream->slot))
			return false;
		*tid = DatumGetInt64(slot_getattr(stream->slot, 2, &isnull));
		value = (struct varlena *)
			DatumGetPointer(slot_getattr(stream->slot, 3, &isnull));
		memcpy(builder->tuple, value, VARSIZE(value));
	}
	stream->left--;
	return true;
}

static void
put_sketch(CellBuilder *builder, TupleTableSlot *slot, int32 partition,
		   int64 tid)
{
	ExecClearTuple(slot);
	slot->tts_values[0] = Int32GetDatum(partition);
	slot->tts_values[1] = Int64GetDatum(tid);
	slot->tts_values[2] = PointerGetDatum(builder->tuple);
	memset(slot->tts_isnull, false, 3);
	ExecStoreVirtualTuple(slot);
}

static void
store_in_set(CellBuilder *builder, AnnoySketchSet *set, int place)
{
	memcpy(set->quantised + (Size) place * builder->s,
		   builder->tuple->quantised, sizeof(int16) * builder->s);
	set->scale[place] = builder->tuple->scale;
	set->extra[place] = builder->tuple->extra;
}

/* A row's number in a set, to be ordered by TID. */
typedef struct TidOrder
{
	int64		tid;
	int32		place;
} TidOrder;

static int
compare_tid_order(const void *a, const void *b)
{
	int64		x = ((const TidOrder *) a)->tid;
	int64		y = ((const TidOrder *) b)->tid;

	return x < y ? -1 : x > y ? 1 : 0;
}

/* ---------------------------------------------------------------------
 * Sets and partitions
 * ---------------------------------------------------------------------
 */

/* Splits all that comes from a stream in memory. */
static AnnoyChild
split_set(CellBuilder *builder, SketchStream *stream, uint64 path)
{
	int			count = (int) stream->left;
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "annoy cell set",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	AnnoySketchSet set;
	TidOrder   *tids = palloc(sizeof(TidOrder) * Max(count, 1));
	int32	   *items = palloc(sizeof(int32) * Max(count, 1));
	Subtree		subtree = {NULL, 0, 0};
	AnnoyChild	link;
	int			n = 0;
	int			root;

	AnnoyAllocateSet(&set, builder->s, count);
	while (next_sketch(builder, stream, &tids[n].tid))
	{
		store_in_set(builder, &set, n);
		tids[n].place = n;
		n++;
	}
	if (n != count)
		elog(ERROR, "expected %d rows in a set, found %d", count, n);
	qsort(tids, count, sizeof(TidOrder), compare_tid_order);
	for (int i = 0; i < count; i++)
		items[i] = tids[i].place;
	root = grow(builder, &subtree, &set, items, count, 0, path,
				palloc(sizeof(float) * count), palloc(sizeof(int32) * count));
	MemoryContextSwitchTo(old);
	link = write_cells(builder, &subtree, root);
	MemoryContextDelete(context);
	return link;
}

/* The partition on whose side of every hyperplane the present sketch lies. */
static MemoryNode *
find_partition(CellBuilder *builder, Subtree *top)
{
	AnnoySketchSet one = {builder->s, builder->tuple->quantised,
	&builder->tuple->scale, &builder->tuple->extra};
	MemoryNode *node = &top->nodes[0];

	while (node->plane.normal != NULL)
		node = &top->nodes[node->child[AnnoyItemMargin(&one, 0, &node->plane) > 0]];
	return node;
}

/* Numbers the partitions from left to right. */
static int
number_partitions(Subtree *top, int node, int next)
{
	MemoryNode *n = &top->nodes[node];

	if (n->plane.normal == NULL)
	{
		n->number = next;
		return next + 1;
	}
	next = number_partitions(top, n->child[0], next);
	return number_partitions(top, n->child[1], next);
}

/* The sample of a partition; copies the stream into a store besides. */
static int
sample_partition(CellBuilder *builder, SketchStream *stream,
				 Tuplestorestate *store, TupleTableSlot *slot,
				 AnnoySketchSet *sample)
{
	int			wanted = (int) Min(builder->build->sample_count, stream->left);
	AnnoySampleRow *rows = palloc(sizeof(AnnoySampleRow) * wanted);
	TidOrder   *order;
	AnnoySketchSet unordered;
	int			count = 0;
	int64		tid;

	/* the heap's "value" is the row's place in the set */
	AnnoyAllocateSet(&unordered, builder->s, wanted);
	AnnoyAllocateSet(sample, builder->s, wanted);
	while (next_sketch(builder, stream, &tid))
	{
		uint64		hash = AnnoyHash(builder->build->seed, (uint64) tid);
		int			hole;
		int			place;

		put_sketch(builder, slot, 0, tid);
		tuplestore_puttupleslot(store, slot);
		if (count < wanted)
		{
			place = count;
			hole = count++;
			while (hole > 0 && rows[(hole - 1) / 2].hash < hash)
			{
				rows[hole] = rows[(hole - 1) / 2];
				hole = (hole - 1) / 2;
			}
		}
		else
		{
			if (hash >= rows[0].hash)
				continue;
			place = (int) (intptr_t) rows[0].value;
			hole = 0;
			for (;;)
			{
				int			child = 2 * hole + 1;

				if (child >= count)
					break;
				if (child + 1 < count && rows[child + 1].hash > rows[child].hash)
					child++;
				if (rows[child].hash <= hash)
					break;
				rows[hole] = rows[child];
				hole = child;
			}
		}
		rows[hole].hash = hash;
		rows[hole].tid = tid;
		rows[hole].value = (struct varlena *) (intptr_t) place;
		store_in_set(builder, &unordered, place);
	}

	order = palloc(sizeof(TidOrder) * count);
	for (int i = 0; i < count; i++)
	{
		order[i].tid = rows[i].tid;
		order[i].place = (int) (intptr_t) rows[i].value;
	}
	qsort(order, count, sizeof(TidOrder), compare_tid_order);
	for (int i = 0; i < count; i++)
	{
		memcpy(sample->quantised + (Size) i * builder->s,
			   unordered.quantised + (Size) order[i].place * builder->s,
			   sizeof(int16) * builder->s);
		sample->scale[i] = unordered.scale[order[i].place];
		sample->extra[i] = unordered.extra[order[i].place];
	}
	AnnoyFreeSet(&unordered);
	pfree(order);
	pfree(rows);
	return count;
}

/* A partition: in memory, or divided again with a sample of its own. */
static AnnoyChild
split_partition(CellBuilder *builder, Tuplesortstate *sort,
				TupleTableSlot *slot, int64 count, uint64 path, int level)
{
	SketchStream stream = {NULL, sort, NULL, slot, count};
	SketchStream spooled;
	AnnoySketchSet sample;
	Tuplestorestate *store;
	TupleTableSlot *virtual;
	AnnoyChild	link;
	int			sample_count;
	int			memory = (int) (builder->build->spare_mem * SORT_SHARE) >> level;

	if (count <= builder->set_items)
		return split_set(builder, &stream, path);

	store = tuplestore_begin_heap(false, false, Max(memory / 2, 64));
	virtual = MakeSingleTupleTableSlot(builder->desc, &TTSOpsVirtual);
	sample_count = sample_partition(builder, &stream, store, virtual, &sample);
	ExecDropSingleTupleTableSlot(virtual);

	spooled.items = NULL;
	spooled.sort = NULL;
	spooled.store = store;
	spooled.slot = MakeSingleTupleTableSlot(builder->desc, &TTSOpsMinimalTuple);
	spooled.left = count;
	link = divide(builder, &spooled, &sample, sample_count, path, level);
	ExecDropSingleTupleTableSlot(spooled.slot);
	tuplestore_end(store);
	AnnoyFreeSet(&sample);
	return link;
}

/* Writes one cell for items that cannot be told apart by their sample. */
static AnnoyChild
write_single_cell(CellBuilder *builder, SketchStream *stream,
				  const AnnoySketchSet *sample, int sample_count)
{
	Subtree		subtree = {NULL, 0, 0};
	int32	   *items = palloc(sizeof(int32) * sample_count);
	int64		tid;

	for (int i = 0; i < sample_count; i++)
		items[i] = i;
	add_cell(builder, &subtree, sample, items, sample_count);
	while (next_sketch(builder, stream, &tid))
		 /* they are on their way to the same cell */ ;
	return write_directory(builder, &subtree, 0);
}

/* Divides a stream by hyperplanes of its sample, partition after partition. */
static AnnoyChild
divide(CellBuilder *builder, SketchStream *stream, const AnnoySketchSet *sample,
	   int sample_count, uint64 path, int level)
{
	int64		total = stream->left;
	Subtree		top = {NULL, 0, 0};
	int32	   *items = palloc(sizeof(int32) * sample_count);
	int			partition_items;
	int			partitions;
	int64	   *counts;
	Tuplesortstate *sort;
	TupleTableSlot *slot;
	AnnoyChild	link;
	int64		tid;

	for (int i = 0; i < sample_count; i++)
		items[i] = i;
	partition_items = (int) ((double) builder->set_items / 2 * sample_count / total);
	(void) grow(builder, &top, sample, items, sample_count,
				Max(partition_items, LEAST_PARTITION_SAMPLE), path,
				palloc(sizeof(float) * sample_count),
				palloc(sizeof(int32) * sample_count));
	partitions = number_partitions(&top, 0, 0);
	if (partitions == 1)
		return write_single_cell(builder, stream, sample, sample_count);

	counts = palloc0(sizeof(int64) * partitions);
	sort = AnnoyBeginSort(builder->desc,
						  (int) (builder->build->spare_mem * SORT_SHARE) >> level);
	slot = MakeSingleTupleTableSlot(builder->desc, &TTSOpsVirtual);
	while (next_sketch(builder, stream, &tid))
	{
		int			number = find_partition(builder, &top)->number;

		counts[number]++;
		put_sketch(builder, slot, number, tid);
		tuplesort_puttupleslot(sort, slot);
	}
	ExecDropSingleTupleTableSlot(slot);
	tuplesort_performsort(sort);

	slot = MakeSingleTupleTableSlot(builder->desc, &TTSOpsMinimalTuple);
	for (int i = 0; i < top.count; i++)
	{
		MemoryNode *node = &top.nodes[i];

		/* nodes were made from left to right, so partitions come in order */
		if (node->plane.normal != NULL)
			continue;
		node->empty = counts[node->number] == 0;
		if (!node->empty)
			node->link = split_partition(builder, sort, slot,
										 counts[node->number],
										 partition_path(path, node->number),
										 level + 1);
	}
	ExecDropSingleTupleTableSlot(slot);
	tuplesort_end(sort);
	if (!write_top(builder, &top, 0, &link))
		elog(ERROR, "no items in a partition");
	pfree(counts);
	pfree(items);
	return link;
}

/*
 * Splits all items of a tree into cells; fills "cells" and sets the tree's
 * root.
 */
void
AnnoySplitCells(AnnoyBuild *build, int tree, AnnoyCells *cells)
{
	CellBuilder builder;
	AnnoyItemStream items;
	SketchStream stream;
	AnnoyChild	root;
	AnnoyParent slot = {InvalidBlockNumber, 0, 0};
	uint64		path = AnnoyHash(AnnoyHash(build->seed, tree), 0);
	int			s = build->forest->sketcher.sketch_dimensions;

	memset(cells, 0, sizeof(AnnoyCells));
	cells->directories_allocated = 64;
	cells->directories = palloc(sizeof(AnnoyCellDirectory) *
								cells->directories_allocated);

	builder.build = build;
	builder.cells = cells;
	builder.tree = tree;
	builder.s = s;
	builder.cell_items = Max(1, (int) (AnnoyLeafCapacity(s) * CELL_FILL));
	builder.directory_cells =
		Max(2, (int) (AnnoyDirectoryCapacity(s) * DIRECTORY_FILL));
	builder.set_items = ANNOY_CELL_SET_BYTES / (sizeof(int16) * s + SET_OVERHEAD);
	builder.desc = CreateTemplateTupleDesc(3);
	TupleDescInitEntry(builder.desc, 1, "partition", INT4OID, -1, 0);
	TupleDescInitEntry(builder.desc, 2, "tid", INT8OID, -1, 0);
	AnnoyInitValueColumn(builder.desc, 3, "sketch");
	builder.tuple = palloc(offsetof(SketchTuple, quantised) + sizeof(int16) * s);
	SET_VARSIZE(builder.tuple, offsetof(SketchTuple, quantised) + sizeof(int16) * s);
	builder.done = 0;

	pgstat_progress_update_param(PROGRESS_CREATEIDX_TUPLES_TOTAL, build->items);
	AnnoyBeginStream(&items, build, tree > 0);
	stream.items = &items;
	stream.sort = NULL;
	stream.store = NULL;
	stream.slot = NULL;
	stream.left = build->items;
	if (build->items <= builder.set_items)
		root = split_set(&builder, &stream, path);
	else
		root = divide(&builder, &stream, &build->sample_set,
					  build->sample_count, path, 0);
	AnnoyEndStream(&items);
	AnnoySetChild(build, tree, slot, &root);
}

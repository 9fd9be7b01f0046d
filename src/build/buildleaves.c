/*-------------------------------------------------------------------------
 *
 * buildleaves.c
 *	  Third step of a tree: writing leaves.
 *
 * The items of a batch (buildassign.c) come cell by cell, in the order of TIDs.
 * The cells of a directory become leaves: overfull ones are split again, small
 * ones are joined with the next.  Last, the directory's provisional entries are replaced by the leaves; if they are too many it is split, with a
 * hyperplane more above.  Directories do not depend on each other, so that any
 * process can take any batch.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "annoy.h"
#include "build/buildassign.h"
#include "build/buildcells.h"
#include "build/buildpages.h"
#include "build/buildsteps.h"
#include "page/leaf.h"

/* Entries of a leaf after a build, as a share of what it holds. */
#define LEAF_FILL 0.94

/*
 * Cells that would leave a leaf emptier than that are joined with the next one.
 * More would cost recall: from 0.5 to 0.7, 3 percent at 300 inspected items of
 * Fashion-MNIST, for as many bytes less.  Where a leaf has few entries, most
 * leaves would be half empty, and the size counts more.
 */
#define LEAST_FILL 0.50
#define LEAST_SMALL_FILL 0.62
#define SMALL_CAPACITY 48

/* Random streams of different purposes begin with different hashes. */
#define PATH_OF_GROUP 1
#define PATH_OF_DIRECTORY 2

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
	AnnoyItemSet group;

	/* leaves of the directory at hand */
	AnnoyCentroid *leaves;
	int			leaf_count;
	BlockNumber last_page;		/* of the last one */
	int			leaves_allocated;
	MemoryContext leaf_context;
} LeafWriter;

/* ---------------------------------------------------------------------
 * Leaves
 * ---------------------------------------------------------------------
 */

static AnnoyCentroid *
new_leaf(LeafWriter *writer)
{
	AnnoyCentroid *leaf;

	if (writer->leaf_count == writer->leaves_allocated)
	{
		writer->leaves_allocated *= 2;
		writer->leaves = repalloc_huge(writer->leaves, sizeof(AnnoyCentroid) *
									   (Size) writer->leaves_allocated);
	}
	leaf = &writer->leaves[writer->leaf_count++];
	leaf->centroid = MemoryContextAlloc(writer->leaf_context, writer->s);
	leaf->link.version = ANNOY_FIRST_VERSION;
	return leaf;
}

/*
 * The last page of the leaf before, locked, if what is being written has the same
 * centroid: both are copies of one vector, of which a group has only a part, and
 * belong into one chain.  Else an invalid buffer.
 */
static Buffer
find_same_leaf(LeafWriter *writer)
{
	const AnnoyCentroid *leaf = &writer->leaves[writer->leaf_count - 1];
	const AnnoyCentroid *before = leaf - 1;

	if (writer->leaf_count < 2 || before->scale != leaf->scale ||
		before->extra != leaf->extra ||
		memcmp(before->centroid, leaf->centroid, writer->s) != 0)
		return InvalidBuffer;
	writer->leaf_count--;
	return AnnoyReadPage(writer->build->index, writer->last_page,
						 ANNOY_PAGE_LEAF, BUFFER_LOCK_EXCLUSIVE);
}

/*
 * Writes a leaf of some items of the group; more than a page holds (only of
 * inseparable items) continue on a chain of pages.
 */
static void
write_leaf(LeafWriter *writer, const int32 *items, int count)
{
	Relation	index = writer->build->index;
	const AnnoyForest *forest = writer->build->forest;
	AnnoyCentroid *leaf = new_leaf(writer);
	Buffer		buffer;

	AnnoyMeasureCentroid(&writer->group.set, items, count, leaf);
	buffer = find_same_leaf(writer);
	for (int i = 0; i < count; i++)
	{
		if (i % writer->capacity == 0)
		{
			Buffer		next = AnnoyExtendBuild(&writer->build->extender,
												ANNOY_PAGE_LEAF, writer->tree);
			Page		page = BufferGetPage(next);

			AnnoyStartLeaf(page, &forest->leaf, leaf->centroid,
						   leaf->scale, leaf->norm_squared, leaf->extra);
			if (BufferIsValid(buffer))
			{
				AnnoyPageGetOpaque(page)->flags |= ANNOY_LEAF_CHAINED;
				AnnoyPageGetOpaque(BufferGetPage(buffer))->chainlink =
					BufferGetBlockNumber(next);
				AnnoyLogPage(index, buffer);
				UnlockReleaseBuffer(buffer);
			}
			else
				leaf->link.block = BufferGetBlockNumber(next);
			buffer = next;
		}
		AnnoyAddItemEntry(BufferGetPage(buffer), forest, &writer->group,
						  items[i]);
	}
	AnnoyLogPage(index, buffer);
	writer->last_page = BufferGetBlockNumber(buffer);
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

		left = AnnoySplitSet(&writer->group.set, items, count,
							 ANNOY_SPLIT_QUANTILE,
							 (int) ((int64) count * (parts / 2) / parts),
							 path, &plane);
		if (left > 0)
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
	int32	   *items;

	if (writer->group.count == 0)
		return;
	items = AnnoyListPositions(writer->group.count);
	write_items(writer, items, writer->group.count,
				AnnoyHash(AnnoyHash(writer->path, PATH_OF_GROUP),
						  (uint64) AnnoyPackTid(&writer->group.tids[0])));
	pfree(items);
	writer->group.count = 0;
}

/* Adds the next row of a batch to the group. */
static void
load_item(LeafWriter *writer, const AnnoySketchRecord *record)
{
	AnnoyItemSet *group = &writer->group;
	int			i = group->count++;

	AnnoyUnpackSketch(&writer->build->forest->sketcher, record->sketch,
					  group->set.quantised + (Size) i * writer->s);
	group->set.scale[i] = record->scale;
	group->set.extra[i] = record->extra;
	group->unbounded[i] = record->unbounded;
	group->tids[i] = record->tid;
}

/* ---------------------------------------------------------------------
 * Directories
 * ---------------------------------------------------------------------
 */

/* Fills a directory with some of the leaves; takes the given block or a new one. */
static AnnoyChild
fill_directory(LeafWriter *writer, const int32 *leaves, int count,
			   BlockNumber block, AnnoyParent parent)
{
	const AnnoyCentroid **entries =
		palloc(sizeof(AnnoyCentroid *) * Max(count, 1));
	AnnoyChild	child;

	for (int i = 0; i < count; i++)
		entries[i] = &writer->leaves[leaves[i]];
	child = AnnoyWriteDirectory(writer->build, writer->tree, block, parent,
								entries, count);
	pfree(entries);
	return child;
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
	const AnnoySketcher *sketcher = &writer->build->forest->sketcher;
	float		extra = count > 0 ? writer->leaves[leaves[0]].extra : 0.0f;
	int			capacity =
		AnnoyDirectoryCapacity(AnnoyChooseDirectoryForm(sketcher, extra),
							   writer->s);
	AnnoyHyperplane plane;
	AnnoyChild	node;
	AnnoyChild	child;
	int			left;

	check_stack_depth();
	if (count <= capacity)
		return fill_directory(writer, leaves, count, block, parent);

	left = AnnoySplitCentroids(centroids, leaves, count, path, &plane);
	node = AnnoyAddNode(writer->build, writer->tree, &plane);
	pfree(plane.normal);
	parent.block = node.block;
	parent.slot = node.slot;
	parent.side = 0;
	child = split_directory(writer, centroids, leaves, left, block, parent,
							AnnoyHash(path, 1));
	AnnoySetChild(writer->build, parent, &child);
	parent.side = 1;
	child = split_directory(writer, centroids, leaves + left, count - left,
							InvalidBlockNumber, parent, AnnoyHash(path, 2));
	AnnoySetChild(writer->build, parent, &child);
	return node;
}

static void
finish_directory(LeafWriter *writer, const AnnoyCellDirectory *directory)
{
	MemoryContext old = MemoryContextSwitchTo(writer->leaf_context);
	AnnoySketchSet centroids;
	AnnoyChild	child;

	AnnoyAllocateSet(&centroids, writer->s, writer->leaf_count);
	for (int i = 0; i < writer->leaf_count; i++)
		AnnoyPutCentroid(&centroids, i, &writer->leaves[i]);
	child = split_directory(writer, &centroids,
							AnnoyListPositions(writer->leaf_count),
							writer->leaf_count, directory->block,
							directory->parent,
							AnnoyHash(AnnoyHash(writer->path, PATH_OF_DIRECTORY),
									  directory->path));
	if (child.block != directory->block)
		AnnoySetChild(writer->build, directory->parent, &child);
	MemoryContextSwitchTo(old);
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
	writer->build = build;
	writer->cells = cells;
	writer->tree = tree;
	writer->s = build->forest->sketcher.sketch_dimensions;
	writer->capacity = build->forest->leaf.capacity;
	writer->fill = Max(1, (int) (writer->capacity * LEAF_FILL));
	writer->path = AnnoyHash(AnnoyHash(build->seed, tree), 1);
	writer->group_allocated = build->sizes.group_leaves * writer->capacity;
	AnnoyAllocateItems(&writer->group, writer->s, writer->group_allocated);
	writer->leaf_context = AllocSetContextCreate(CurrentMemoryContext,
												 "annoy finished leaves",
												 ALLOCSET_DEFAULT_SIZES);
	writer->leaf_count = 0;
	writer->leaves_allocated = 64;
	writer->leaves = palloc(sizeof(AnnoyCentroid) * writer->leaves_allocated);
}

/* The cells of the group's items are complete: do they fill leaves? */
static void
end_cell(LeafWriter *writer)
{
	double		least = writer->capacity < SMALL_CAPACITY ?
		LEAST_SMALL_FILL : LEAST_FILL;
	int			leaves = (writer->group.count + writer->fill - 1) / writer->fill;

	if (writer->group.count >= least * leaves * writer->capacity)
		flush_group(writer);
}

/* Turns a batch of items into leaves and directories. */
static void
write_batch(LeafWriter *writer, AnnoyBatchReader *reader, int *directory,
			int batch, int64 *rows)
{
	const AnnoyCells *cells = writer->cells;
	uint32		present = 0;	/* the cell at hand */
	const AnnoySketchRecord *record;

	/* batches are taken in ascending order */
	while (cells->directories[*directory].batch < batch)
		(*directory)++;
	while ((record = AnnoyNextBatchRecord(reader)) != NULL)
	{
		uint32		cell = record->cell;
		const AnnoyCellDirectory *d = &cells->directories[*directory];

		if (writer->group.count > 0 && cell != present)
			end_cell(writer);
		present = cell;
		for (; cell >= d->first_cell + d->cell_count; d++, (*directory)++)
		{
			flush_group(writer);
			finish_directory(writer, d);
		}
		load_item(writer, record);
		if (writer->group.count == writer->group_allocated)
			flush_group(writer);
		AnnoyCountRow(writer->build, rows);
	}
	flush_group(writer);
	for (; *directory < cells->directory_count &&
		 cells->directories[*directory].batch == batch; (*directory)++)
		finish_directory(writer, &cells->directories[*directory]);
}

/*
 * Turns a tree's items into leaves and directories: those of the batches that
 * this process takes.
 */
void
AnnoyWriteLeaves(AnnoyBuild *build, int tree, const AnnoyCells *cells,
				 AnnoyBatchReader *reader)
{
	LeafWriter	writer;
	int			directory = 0;
	int			batch;
	int64		rows = 0;

	AnnoyOpenBatches(reader);
	init_writer(&writer, build, tree, cells);
	while (AnnoyTakeBatch(reader, &batch))
		write_batch(&writer, reader, &directory, batch, &rows);
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
	entry = AnnoyPageGetDirectoryEntry(page, sketch_dimensions, 0);
	entry->leaf.block = block;
	entry->leaf.version = ANNOY_FIRST_VERSION;
	AnnoySetDirectoryCount(page, sketch_dimensions, 1);
	*root = AnnoyDirectoryLink(BufferGetBlockNumber(buffer),
							   ANNOY_FIRST_VERSION);
	UnlockReleaseBuffer(buffer);
}

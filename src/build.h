/*-------------------------------------------------------------------------
 *
 * build.h
 *	  Building an index: what its steps share.
 *
 * build.c loads the rows and runs the steps; buildcells.c splits the items of
 * a tree into cells; buildleaves.c assigns items to cells and writes leaves;
 * calibrate.c finds the automatic search_k.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ANNOY_BUILD_H
#define ANNOY_BUILD_H

#include "access/tupdesc.h"
#include "executor/tuptable.h"
#include "nodes/execnodes.h"
#include "utils/tuplesort.h"
#include "utils/tuplestore.h"

#include "item.h"
#include "meta.h"
#include "opclass.h"
#include "random.h"
#include "split.h"

/*
 * Sizes that shape the forest, and so depend on the number of dimensions
 * only, never on the memory of the session.
 *
 * CELL_SET_BYTES	quantised sketches that are split in memory at once; larger
 *					sets are divided by a sample first
 * SAMPLE_BYTES		vectors of a sample (at least MIN_SAMPLE of them)
 */
#define ANNOY_CELL_SET_BYTES (8 * 1024 * 1024)
#define ANNOY_SAMPLE_BYTES (8 * 1024 * 1024)
#define ANNOY_MIN_SAMPLE 256
#define ANNOY_MAX_SAMPLE 20000

/*
 * Items that are turned into leaves together, in leaves.  A cell with more
 * (of duplicates, say) is taken piece by piece.
 */
#define ANNOY_GROUP_LEAVES 4

/* Members searched for to calibrate search_k. */
#define ANNOY_CALIBRATION_MEMBERS 100

/* A row: heap TIDs are kept as integers of the same order. */
typedef struct AnnoyBuildItem
{
	int64		tid;			/* AnnoyPackTid */
	ItemPointerData address;	/* of the item, once the first tree is written */
	struct varlena *value;		/* valid until the next call */
} AnnoyBuildItem;

/* A sampled row. */
typedef struct AnnoySampleRow
{
	uint64		hash;			/* of seed and TID: the smallest are kept */
	int64		tid;
	struct varlena *value;
} AnnoySampleRow;

/* A directory of the cells of a tree, before its leaves are written. */
typedef struct AnnoyCellDirectory
{
	BlockNumber block;
	uint32		first_cell;		/* number of its first cell in the tree */
	uint32		cell_count;
	AnnoyParent parent;
} AnnoyCellDirectory;

typedef struct AnnoyCells
{
	uint32		cell_count;
	AnnoyCellDirectory *directories;
	int			directory_count;
	int			directories_allocated;
} AnnoyCells;

typedef struct AnnoyBuild
{
	Relation	heap;
	Relation	index;
	const AnnoyOpclassInfo *opclass;
	uint64		seed;
	int			n_trees;
	int			spare_mem;		/* kB that rows and sorts may take together */
	MemoryContext context;		/* of the build */
	MemoryContext row_context;	/* reset for each row */

	/* load */
	int			dimensions;		/* 0: no row yet */
	AnnoySketcher raw_sketcher; /* without a centre */
	int64		items;			/* rows in leaves */
	int64		tail_items;
	double		indexed_rows;
	float		max_norm;
	Tuplestorestate *rows;		/* tid, value */
	TupleDesc	row_desc;
	TupleTableSlot *row_slot;
	AnnoySampleRow *sample;		/* heap by hash, largest on top; then by TID */
	int			sample_count;
	int			sample_wanted;
	char	   *sample_chunk;	/* where values of new sampled rows go */
	int			chunk_used;
	Size		value_size;		/* of a value: all are of one size */
	Buffer		tail;			/* last tail page, pinned, or invalid */

	/* geometry */
	AnnoyForest *forest;		/* roots are set tree by tree */
	AnnoySketchSet sample_set;	/* of the sample, by TID */
	float	   *scratch;		/* of AnnoyMakeSketch */
	float	   *sketch;			/* one sketch */
	float	   *split_scratch;
	float	   *floats;			/* one vector as floats */

	AnnoyItemWriter writer;
	BlockNumber inner_block;	/* inner page with room, or invalid */
} AnnoyBuild;

static inline int64
AnnoyPackTid(ItemPointer tid)
{
	return ((int64) ItemPointerGetBlockNumber(tid) << 16) |
		ItemPointerGetOffsetNumber(tid);
}

static inline void
AnnoyUnpackTid(int64 packed, ItemPointer tid)
{
	ItemPointerSet(tid, (BlockNumber) (packed >> 16),
				   (OffsetNumber) (packed & 0xFFFF));
}

/* build.c: all items once: loaded rows, or items once they are written */
typedef struct AnnoyItemStream
{
	AnnoyBuild *build;
	bool		from_items;
	AnnoyItemReader reader;
	BlockNumber block;
	BlockNumber block_count;
	ItemPointerData *heap_tids;
	ItemPointerData *addresses;
	int			count;
	int			next;
} AnnoyItemStream;

extern void AnnoyBeginStream(AnnoyItemStream *stream, AnnoyBuild *build,
							 bool from_items);
extern bool AnnoyNextStreamItem(AnnoyItemStream *stream, AnnoyBuildItem *item);
extern void AnnoyEndStream(AnnoyItemStream *stream);

/* The sketch of a value into build->sketch. */
extern void AnnoySketchValue(AnnoyBuild *build, const struct varlena *value,
							 float *extra, bool *unbounded);

/* A heap tuplesort by the first two columns (int4, int8). */
extern Tuplesortstate *AnnoyBeginSort(TupleDesc desc, int work_mem);

/* A byref column whose values stay four-byte varlenas in tuples. */
extern void AnnoyInitValueColumn(TupleDesc desc, AttrNumber attribute,
								 const char *name);

/* Quantised sketches for "count" items. */
extern void AnnoyAllocateSet(AnnoySketchSet *set, int sketch_dimensions,
							 int count);
extern void AnnoyFreeSet(AnnoySketchSet *set);

/* Inner nodes. */
extern AnnoyChild AnnoyAddNode(AnnoyBuild *build, int tree,
							   const AnnoyHyperplane *plane);
extern void AnnoySetChild(AnnoyBuild *build, int tree, AnnoyParent parent,
						  const AnnoyChild *child);

/* buildcells.c */
extern void AnnoySplitCells(AnnoyBuild *build, int tree, AnnoyCells *cells);

/* buildleaves.c */
extern void AnnoyWriteLeaves(AnnoyBuild *build, int tree, AnnoyCells *cells);
extern void AnnoyWriteEmptyTree(Relation index, ForkNumber fork, int tree,
								int sketch_dimensions, AnnoyChild *root);

/* calibrate.c */
extern int64 AnnoyCalibrate(AnnoyBuild *build);

#endif							/* ANNOY_BUILD_H */

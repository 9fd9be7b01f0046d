/*-------------------------------------------------------------------------
 *
 * build.h
 *	  Building an index: what its steps share.
 *
 * build.c runs the steps; buildload.c loads the rows and fixes the geometry;
 * buildpartition.c divides the items of a tree into partitions, buildcells.c
 * splits those into cells; buildassign.c sends items to cells, which buildwalk.c
 * finds, buildleaves.c writes leaves; calibrate.c finds the automatic search_k.  buildparallel.c
 * starts workers, buildspool.c keeps items between the steps, buildpages.c
 * writes inner pages and directories.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ANNOY_BUILD_H
#define ANNOY_BUILD_H

#include "nodes/execnodes.h"
#include "port/atomics.h"
#include "storage/barrier.h"
#include "storage/sharedfileset.h"
#include "storage/spin.h"

#include "arith/random.h"
#include "build/buildspool.h"
#include "definition/opclass.h"
#include "forest/sketchset.h"
#include "page/item.h"
#include "page/meta.h"

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

/* Members searched for to calibrate search_k, neighbours looked for of each. */
#define ANNOY_CALIBRATION_MEMBERS 100
#define ANNOY_CALIBRATION_NEIGHBORS 10

/*
 * How the spare memory of a process is divided: rows stay from the load to the
 * assignment; sketches, and then items, that it keeps are beside them, and what
 * it sends to others.  Divisions of partitions that are too large take half of
 * what the one above has.
 */
#define ANNOY_ROWS_SHARE 0.45
#define ANNOY_SKETCHES_SHARE 0.25
#define ANNOY_ITEMS_SHARE 0.40
#define ANNOY_SENT_SHARE 0.10

/* Rows between two reports of progress. */
#define ANNOY_PROGRESS_ROWS 1024

/* A row: heap TIDs are kept as integers of the same order. */
typedef struct AnnoyBuildItem
{
	int64		tid;			/* AnnoyPackTid */
	int64		address;		/* packed: of the item; 0 in the first tree */
	struct varlena *value;
	bool		stays;			/* value is valid beyond the next call */
} AnnoyBuildItem;

/* A row on its way through a build, as spools have it. */
typedef struct AnnoyRowRecord
{
	int64		tid;
	char		value[FLEXIBLE_ARRAY_MEMBER];	/* a varlena */
} AnnoyRowRecord;

/* A sampled row, or sketch of one. */
typedef struct AnnoySampleRow
{
	uint64		hash;			/* of seed and TID: the smallest are kept */
	int64		tid;
	char	   *value;			/* of the sampler's size */
} AnnoySampleRow;

/* The largest hash is on top: the keys are complements. */
#define QUEUE_PREFIX AnnoySample
#define QUEUE_ELEMENT AnnoySampleRow
#define QUEUE_KEY(e) (~(e).hash)
#include "forest/queue.h"

/* Keeps the rows with the smallest hashes. */
typedef struct AnnoySampler
{
	AnnoySampleQueue rows;
	int			wanted;
	Size		value_size;
	MemoryContext context;
	char	   *chunk;			/* where values of new rows go */
	int			chunk_used;
} AnnoySampler;

/* A directory of the cells of a tree, before its leaves are written. */
typedef struct AnnoyCellDirectory
{
	BlockNumber block;
	uint32		first_cell;		/* number of its first cell in the tree */
	uint32		cell_count;
	int32		batch;			/* that its items are in */
	AnnoyParent parent;
	uint64		path;			/* to its place: seeds its splits */
} AnnoyCellDirectory;

typedef struct AnnoyCells
{
	uint32		cell_count;
	AnnoyCellDirectory *directories;
	int			directory_count;
	int			directories_allocated;
	int			batch_count;
} AnnoyCells;

/* What a process tells the others about what it has done. */
typedef struct AnnoyBuildPart
{
	int			sample_count;
	BlockNumber tail_first;		/* its tail pages, or invalid */
	BlockNumber tail_last;
	AnnoySpoolSummary spool;	/* of sketches, then of items */
	int			results;		/* partitions that it has split */
	bool		joined;			/* it was there from the first step on */
} AnnoyBuildPart;

/*
 * What the processes of a build share: in dynamic shared memory, or in the
 * leader's own if it is alone.  The leader writes between two barriers, when
 * nobody else reads or writes, but for what says otherwise.
 */
typedef struct AnnoyBuildShared
{
	/* fixed before workers start */
	Oid			heap;
	Oid			index;
	bool		concurrent;
	int			process_count;	/* that may take part */
	Barrier		barrier;
	SharedFileSet files;

	/* load: under the mutex, by all */
	slock_t		mutex;
	int			dimensions;		/* 0: no row yet */
	uint32		value_size;		/* VARSIZE of every value */
	int64		items;			/* rows in leaves */
	int64		tail_items;
	double		heap_tuples;
	float		max_norm;
	bool		broken_hot_chain;

	/* where the next piece of work is taken, by all */
	pg_atomic_uint64 next;
	pg_atomic_uint64 rows_done; /* progress of a phase */

	/* the tree at hand */
	AnnoyChild	root;			/* by the one who makes it */
	BlockNumber item_blocks;	/* pages that may have items, later trees */
	int			directory_count;
	uint32		cell_count;
	int			batch_count;

	/* calibration: by all, each for its members */
	int			sample_count;
	int			member_count;
	int			neighbors[ANNOY_CALIBRATION_MEMBERS];
	int64		positions[ANNOY_CALIBRATION_MEMBERS][ANNOY_CALIBRATION_NEIGHBORS];

	AnnoyBuildPart parts[FLEXIBLE_ARRAY_MEMBER];	/* [process_count] */
} AnnoyBuildShared;

typedef struct AnnoyBuild
{
	Relation	heap;
	Relation	index;
	const AnnoyOpclassInfo *opclass;
	uint64		seed;
	int			n_trees;
	bool		logged;			/* pages need WAL */
	int			spare_mem;		/* kB of this process for rows and spools */
	MemoryContext context;		/* of the build */
	MemoryContext row_context;	/* reset for each row */

	/* processes */
	AnnoyBuildShared *shared;
	AnnoyBuildPart *part;		/* this process's own */
	int			process;		/* 0: the leader */
	int			joined_count;	/* processes that take part */
	int			turn;			/* of this one among them, from 0 on */
	bool		parallel;
	FileSet    *files;			/* NULL if the leader is alone */

	/* load */
	int			dimensions;		/* 0: no row yet */
	AnnoySketcher raw_sketcher; /* without a centre */
	int64		items;			/* rows in leaves: of this process, then all */
	int64		tail_items;
	float		max_norm;
	AnnoySpool *rows;			/* of this process: AnnoyRowRecords */
	Size		value_size;		/* VARSIZE of a value: all are of one size */
	AnnoySampler sampler;
	Buffer		tail;			/* last tail page, pinned, or invalid */

	/* geometry */
	AnnoyForest *forest;		/* roots are set tree by tree */
	AnnoySketchSet sample_set;	/* of the sample, by TID */
	int			sample_count;
	AnnoySampleRow *members;	/* to calibrate with, by hash */
	float	   *scratch;		/* of AnnoyMakeSketch */
	float	   *sketch;			/* one sketch */
	float	   *floats;			/* one vector as floats */

	/* pages */
	AnnoyExtender extender;
	AnnoyItemWriter writer;
	BlockNumber inner_block;	/* inner page with room, or invalid */
	BlockNumber *open_blocks;	/* inner pages and directories, not logged yet */
	int64		open_count;
	int64		open_allocated;
} AnnoyBuild;

/* Kilobytes of spare memory as bytes. */
static inline Size
AnnoyShareMemory(const AnnoyBuild *build, double share)
{
	return (Size) (build->spare_mem * share) * 1024;
}

/* build.c: the steps of all processes, and of workers */
extern void AnnoyBeginBuild(AnnoyBuild *build, Relation heap, Relation index,
							AnnoyBuildShared *shared, int process);
extern void AnnoyBuildForest(AnnoyBuild *build, int work_mem,
							 struct IndexInfo *index_info,
							 struct TableScanDescData *scan);
extern void AnnoyCountRow(AnnoyBuild *build, int64 *rows);
extern void AnnoyNextPhase(AnnoyBuild *build, int phase);

/* buildload.c */
extern int	AnnoyLeastWorkMem(int dimensions, int element_bits);
extern void AnnoyLoadRows(AnnoyBuild *build, int work_mem,
						  struct IndexInfo *index_info,
						  struct TableScanDescData *scan);
extern void AnnoyFixSpace(AnnoyBuild *build, int work_mem);
extern void AnnoySketchValue(AnnoyBuild *build, const struct varlena *value,
							 float *extra, bool *unbounded);
extern void AnnoyBeginSampler(AnnoySampler *sampler, int wanted,
							  Size value_size);
extern void AnnoySample(AnnoySampler *sampler, uint64 hash, int64 tid,
						const void *value);
extern int	AnnoyCompareSampleTids(const void *a, const void *b);

/* buildload.c: all items once: loaded rows, or items once they are written */
typedef struct AnnoyItemStream
{
	AnnoyBuild *build;
	AnnoySpoolReader *rows;		/* or NULL */
	AnnoyItemReader reader;
	BlockNumber block;
	BlockNumber block_end;
	ItemPointerData *heap_tids;
	ItemPointerData *addresses;
	int			count;
	int			next;
} AnnoyItemStream;

extern void AnnoyBeginStream(AnnoyItemStream *stream, AnnoyBuild *build,
							 bool from_items);
extern bool AnnoyNextStreamItem(AnnoyItemStream *stream, AnnoyBuildItem *item);
extern void AnnoyEndStream(AnnoyItemStream *stream);

/* buildpartition.c */
extern void AnnoySplitCells(AnnoyBuild *build, int tree, AnnoyCells *cells);

/* buildwalk.c */
typedef struct AnnoyTreeCopy AnnoyTreeCopy;

extern AnnoyTreeCopy *AnnoyCopyTree(AnnoyBuild *build, int tree,
									const AnnoyCells *cells, Size memory);
extern void AnnoyChooseCell(AnnoyTreeCopy *copy, const AnnoyQuery *item,
							int *directory, uint32 *cell);

/* buildassign.c: the items of a batch in the order of cells and TIDs */
typedef struct AnnoyItemRecord
{
	int32		vl_len_;		/* so that it can be a bytea (do not touch) */
	uint32		cell;
	int64		tid;
	int64		address;		/* packed; 0 in the first tree */
	char		value[FLEXIBLE_ARRAY_MEMBER];	/* a varlena */
} AnnoyItemRecord;

typedef struct AnnoyBatchReader AnnoyBatchReader;

extern AnnoyBatchReader *AnnoyBeginBatches(AnnoyBuild *build, int tree,
										   AnnoyCells *cells);
extern void AnnoyOpenBatches(AnnoyBatchReader *reader);
extern bool AnnoyTakeBatch(AnnoyBatchReader *reader, int *batch);
extern bool AnnoyNextBatchItem(AnnoyBatchReader *reader, uint32 *cell,
							   AnnoyBuildItem *item);
extern void AnnoyEndBatches(AnnoyBatchReader *reader);
extern void AnnoyDeleteItemFiles(AnnoyBuild *build);

/* buildleaves.c */
extern void AnnoyWriteLeaves(AnnoyBuild *build, int tree,
							 const AnnoyCells *cells,
							 AnnoyBatchReader *reader);
extern void AnnoyWriteEmptyTree(Relation index, ForkNumber fork, int tree,
								int sketch_dimensions, AnnoyChild *root);

/* buildpages.c */
extern AnnoyChild AnnoyAddNode(AnnoyBuild *build, int tree,
							   const AnnoyHyperplane *plane);
extern void AnnoySetChild(AnnoyBuild *build, AnnoyParent parent,
						  const AnnoyChild *child);
extern AnnoyChild AnnoyWriteDirectory(AnnoyBuild *build, int tree,
									  BlockNumber block, AnnoyParent parent,
									  const AnnoyCentroid *const *entries,
									  int count);
extern void AnnoyLogPage(Relation index, Buffer buffer);
extern void AnnoyLogOpenPages(AnnoyBuild *build);
extern void AnnoyEndPages(AnnoyBuild *build);
extern void AnnoyLogPageList(AnnoyBuild *build, BlockNumber block);

/* outsized.c: puts the tree below a new root; see there */
extern void AnnoyAddOutsizedSubtree(AnnoyBuild *build, int tree);

/* calibrate.c */
extern void AnnoyLocateMembers(AnnoyBuild *build);
extern int64 AnnoyCalibrate(AnnoyBuild *build);

/* buildparallel.c */
typedef struct AnnoyWorkers AnnoyWorkers;

extern AnnoyWorkers *AnnoyStartWorkers(Relation heap, Relation index,
									   struct IndexInfo *index_info,
									   AnnoyBuildShared **shared,
									   struct TableScanDescData **scan);
extern void AnnoyEndWorkers(AnnoyWorkers *workers);
extern AnnoyBuildShared *AnnoyInitShared(void *memory, Relation heap,
										 Relation index, bool concurrent,
										 int processes);

/* Waits until all processes are here. */
extern void AnnoySynchronise(AnnoyBuild *build);

/* Whether a partition, or a batch, is this process's: they have turns. */
static inline bool
AnnoyIsOwnPart(const AnnoyBuild *build, int number)
{
	return number % build->joined_count == build->turn;
}

/* The number of the next piece of work, from 0 on. */
static inline uint64
AnnoyTakeWork(AnnoyBuild *build)
{
	return pg_atomic_fetch_add_u64(&build->shared->next, 1);
}

#endif							/* ANNOY_BUILD_H */

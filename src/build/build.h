/*-------------------------------------------------------------------------
 *
 * build.h
 *	  Building an index: the state that its steps share (buildstate.c).
 *
 * build.c says what the steps are; buildsteps.h declares them.
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
#include "build/buildsample.h"
#include "build/buildspool.h"
#include "definition/opclass.h"
#include "forest/sketchset.h"
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
 * last tree's leaves; sketches, and then items, that it keeps are beside them, and what
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
	struct varlena *value;
	bool		stays;			/* value is valid beyond the next call */
} AnnoyBuildItem;

/* A row on its way through a build, as spools have it. */
typedef struct AnnoyRowRecord
{
	int64		tid;
	char		value[FLEXIBLE_ARRAY_MEMBER];	/* a varlena */
} AnnoyRowRecord;

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
	bool		rows_left_out;	/* that an old snapshot may see */

	/* where the next piece of work is taken, by all */
	pg_atomic_uint64 next;
	pg_atomic_uint64 rows_done; /* progress of a phase */

	/* the tree at hand */
	AnnoyChild	root;			/* by the one who makes it */
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

/* The shared state at the beginning; in the current context if memory is NULL. */
extern AnnoyBuildShared *AnnoyInitShared(void *memory, Relation heap,
										 Relation index, bool concurrent,
										 int processes);
extern Size AnnoySharedSize(int processes);

/* A process's own state, in the current memory context. */
extern void AnnoyBeginBuild(AnnoyBuild *build, Relation heap, Relation index,
							AnnoyBuildShared *shared, int process);

/* Waits until all processes are here. */
extern void AnnoySynchronise(AnnoyBuild *build);

/*
 * All processes have to come here before any goes on.  Work is taken from the
 * first piece on again.  phase: what comes, for those who watch; 0: the same
 * as before.
 */
extern void AnnoyNextPhase(AnnoyBuild *build, int phase);

/* For those who watch; the leader alone tells. */
extern void AnnoySetProgress(AnnoyBuild *build, int parameter, int64 value);

/* Counts a row that a process is done with; the leader reports all of them. */
extern void AnnoyCountRow(AnnoyBuild *build, int64 *rows);

/* Sketches a value into build->sketch. */
extern void AnnoySketchValue(AnnoyBuild *build, const struct varlena *value,
							 float *extra, bool *unbounded);

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

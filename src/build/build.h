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
#include "build/buildspace.h"
#include "build/buildspool.h"
#include "definition/opclass.h"
#include "forest/sketchset.h"
#include "page/meta.h"

/* Neighbours looked for of each member. */
#define ANNOY_CALIBRATION_NEIGHBORS 10

/*
 * How the spare memory of a process is divided: records stay from the load to
 * the last tree's leaves; beside them are those on their way to others, and
 * lists of those that stay.  Divisions of partitions that are too large take half
 * of what the one above has.
 */
#define ANNOY_RECORDS_SHARE 0.70
#define ANNOY_MOVED_SHARE 0.15

/* Rows between two reports of progress. */
#define ANNOY_PROGRESS_ROWS 1024

/* A row on its way through a build: all that an entry of a leaf is made of. */
typedef struct AnnoySketchRecord
{
	ItemPointerData tid;
	bool		unbounded;
	float		scale;
	float		norm_squared;
	float		extra;
	uint32		cell;			/* once it is assigned */
	char		sketch[FLEXIBLE_ARRAY_MEMBER];	/* AnnoyPackedSize */
} AnnoySketchRecord;

/* A directory of the cells of a tree, before its leaves are written. */
typedef struct AnnoyCellDirectory
{
	BlockNumber block;
	uint32		first_cell;		/* number of its first cell in the tree */
	uint32		cell_count;
	int32		partition;		/* that it is of */
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
	int32	   *batch_partitions;	/* [batch_count]: a batch is of one */
} AnnoyCells;

/* What a process tells the others about what it has done. */
typedef struct AnnoyBuildPart
{
	BlockNumber tail_first;		/* its tail pages, or invalid */
	BlockNumber tail_last;
	AnnoySpoolSummary sent;		/* records of others' partitions */
	AnnoySpoolSummary moved;	/* records in batches */
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
	int64		items;			/* rows in leaves */
	int64		tail_items;
	double		heap_tuples;
	bool		broken_hot_chain;
	bool		rows_left_out;	/* that an old snapshot may see */

	/* where the next piece of work is taken, by all */
	pg_atomic_uint64 next;
	pg_atomic_uint64 rows_done; /* progress of a phase */

	/* the tree at hand */
	AnnoyChild	roots[2];		/* of its items and of the outsized ones, or
								 * without a block; by the one who makes it */
	int			directory_count;
	uint32		cell_count;
	int			batch_count;

	/* calibration: by all, each for its members */
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
	int		   *seats;			/* [process_count]: who does the parts of each,
								 * which may have come too late */
	bool		parallel;
	FileSet    *files;			/* NULL if the leader is alone */

	/* load */
	int64		items;			/* rows in leaves: of this process, then all */
	int64		tail_items;
	AnnoySpool *records;		/* of this process, if several trees need them */
	Buffer		tail;			/* last tail page, pinned, or invalid */

	/* geometry */
	const AnnoySpace *space;
	AnnoyBuildSizes sizes;
	AnnoyForest *forest;		/* roots are set tree by tree */
	AnnoyChild *outsized_roots; /* [n_trees], or without a block */
	AnnoySketchSet sample_set;	/* of the sample, by TID */
	Size		record_size;	/* of an AnnoySketchRecord */
	int16	   *unpacked;		/* one sketch */

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

/* What two at a time may have of the room of a set, while there is none. */
static inline Size
AnnoyBorrowedMemory(const AnnoyBuild *build)
{
	return build->sizes.set_bytes * 3 / 8;
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

/* Takes over the space; needs no row. */
extern void AnnoyUseSpace(AnnoyBuild *build, AnnoySpace *space, int work_mem);

/* A record's sketch, valid until the next call. */
extern void AnnoyReadRecord(AnnoyBuild *build, const AnnoySketchRecord *record,
							AnnoyItemSketch *item);

/* Whether a partition is this process's: they have turns. */
static inline bool
AnnoyIsOwnPart(const AnnoyBuild *build, int partition)
{
	return build->seats[partition % build->shared->process_count] ==
		build->process;
}

/* The number of the next piece of work, from 0 on. */
static inline uint64
AnnoyTakeWork(AnnoyBuild *build)
{
	return pg_atomic_fetch_add_u64(&build->shared->next, 1);
}

#endif							/* ANNOY_BUILD_H */

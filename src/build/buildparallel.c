/*-------------------------------------------------------------------------
 *
 * buildparallel.c
 *	  Workers of an index build.
 *
 * The protocol is that of other parallel builds (access/nbtree/nbtsort.c),
 * with one difference: processes meet at a barrier between the steps, since
 * every step needs what all have done in the one before.  A worker that starts
 * after the others have left the first step finds nothing to do and ends; so
 * nobody waits for workers that never start.  If one fails, the leader learns
 * it while it waits, and its error ends the others.
 *
 * Shared memory holds what the sample tells (AnnoySpace) and counters: rows go
 * through files (SharedFileSet), which vanish with the build, however it ends.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/parallel.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/index.h"
#include "commands/progress.h"
#include "executor/instrument.h"
#include "miscadmin.h"
#include "optimizer/optimizer.h"
#include "pgstat.h"
#include "storage/proc.h"
#include "tcop/tcopprot.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/wait_event.h"

#include "annoycompat.h"
#include "build/buildparallel.h"
#include "build/buildsteps.h"

/* Keys of the table of contents: any numbers outside the server's own. */
#define KEY_SHARED UINT64CONST(0xA770000000000001)
#define KEY_SCAN UINT64CONST(0xA770000000000002)
#define KEY_WAL_USAGE UINT64CONST(0xA770000000000003)
#define KEY_BUFFER_USAGE UINT64CONST(0xA770000000000004)
#define KEY_QUERY UINT64CONST(0xA770000000000005)
#define KEY_SPACE UINT64CONST(0xA770000000000006)

struct AnnoyWorkers
{
	ParallelContext *context;
	Snapshot	snapshot;
	WalUsage   *wal_usage;		/* [workers] */
	BufferUsage *buffer_usage;	/* [workers] */
};

extern PGDLLEXPORT void annoy_build_worker(dsm_segment *segment, shm_toc *toc);

/* ---------------------------------------------------------------------
 * The leader
 * ---------------------------------------------------------------------
 */

/*
 * How many workers to ask for: what the server plans, as far as
 * maintenance_work_mem gives each process what it needs at least.
 */
static int
count_workers(Relation heap, Relation index, struct IndexInfo *index_info,
			  const AnnoySpace *space)
{
	int			workers = AnnoyPlanBuildWorkers(heap, index, index_info);
	AnnoyBuildSizes sizes;

	AnnoyGetBuildSizes(&sizes, space->dimensions, space->rows);
	return Max(0, Min(workers,
					  maintenance_work_mem / sizes.least_memory - 1));
}

/* Reserves room for what workers need beside the shared state. */
static void
estimate_usage(ParallelContext *context)
{
	shm_toc_estimate_chunk(&context->estimator,
						   mul_size(sizeof(WalUsage), context->nworkers));
	shm_toc_estimate_chunk(&context->estimator,
						   mul_size(sizeof(BufferUsage), context->nworkers));
	shm_toc_estimate_keys(&context->estimator, 2);
	if (debug_query_string)
	{
		shm_toc_estimate_chunk(&context->estimator,
							   strlen(debug_query_string) + 1);
		shm_toc_estimate_keys(&context->estimator, 1);
	}
}

static void
place_usage(AnnoyWorkers *workers)
{
	ParallelContext *context = workers->context;

	workers->wal_usage =
		shm_toc_allocate(context->toc,
						 mul_size(sizeof(WalUsage), context->nworkers));
	shm_toc_insert(context->toc, KEY_WAL_USAGE, workers->wal_usage);
	workers->buffer_usage =
		shm_toc_allocate(context->toc,
						 mul_size(sizeof(BufferUsage), context->nworkers));
	shm_toc_insert(context->toc, KEY_BUFFER_USAGE, workers->buffer_usage);
	if (debug_query_string)
	{
		Size		size = strlen(debug_query_string) + 1;
		char	   *query = shm_toc_allocate(context->toc, size);

		memcpy(query, debug_query_string, size);
		shm_toc_insert(context->toc, KEY_QUERY, query);
	}
}

/* Ends parallel mode. */
static void
end_parallel(AnnoyWorkers *workers)
{
	if (IsMVCCSnapshot(workers->snapshot))
		UnregisterSnapshot(workers->snapshot);
	DestroyParallelContext(workers->context);
	ExitParallelMode();
	pfree(workers);
}

AnnoyWorkers *
AnnoyStartWorkers(Relation heap, Relation index, struct IndexInfo *index_info,
				  const AnnoySpace *space, AnnoyBuildShared **shared,
				  TableScanDesc *scan)
{
	int			request = count_workers(heap, index, index_info, space);
	AnnoyWorkers *workers;
	ParallelContext *context;
	ParallelTableScanDesc table_scan;
	Size		scan_size;

	if (request == 0)
		return NULL;
	workers = palloc(sizeof(AnnoyWorkers));
	EnterParallelMode();
	context = CreateParallelContext("annoy", "annoy_build_worker", request);
	workers->context = context;

	/* see table_index_build_scan about the snapshots */
	workers->snapshot = index_info->ii_Concurrent ?
		RegisterSnapshot(GetTransactionSnapshot()) : SnapshotAny;
	scan_size = table_parallelscan_estimate(heap, workers->snapshot);
	shm_toc_estimate_chunk(&context->estimator, AnnoySharedSize(request + 1));
	shm_toc_estimate_chunk(&context->estimator, scan_size);
	shm_toc_estimate_chunk(&context->estimator, space->size);
	shm_toc_estimate_keys(&context->estimator, 3);
	estimate_usage(context);
	InitializeParallelDSM(context);
	if (context->seg == NULL)
	{
		end_parallel(workers);
		return NULL;
	}

	*shared = AnnoyInitShared(shm_toc_allocate(context->toc,
											   AnnoySharedSize(request + 1)),
							  heap, index, index_info->ii_Concurrent,
							  request + 1);
	SharedFileSetInit(&(*shared)->files, context->seg);
	shm_toc_insert(context->toc, KEY_SHARED, *shared);
	table_scan = shm_toc_allocate(context->toc, scan_size);
	table_parallelscan_initialize(heap, table_scan, workers->snapshot);
	shm_toc_insert(context->toc, KEY_SCAN, table_scan);
	shm_toc_insert(context->toc, KEY_SPACE,
				   memcpy(shm_toc_allocate(context->toc, space->size), space,
						  space->size));
	place_usage(workers);

	/* before the workers do, so that they find a barrier with somebody */
	BarrierAttach(&(*shared)->barrier);
	LaunchParallelWorkers(context);
	if (context->nworkers_launched == 0)
	{
		WaitForParallelWorkersToFinish(context);
		end_parallel(workers);
		return NULL;
	}
	*scan = table_beginscan_parallel(heap, table_scan, SO_NONE);
	return workers;
}

void
AnnoyEndWorkers(AnnoyWorkers *workers)
{
	WaitForParallelWorkersToFinish(workers->context);
	for (int i = 0; i < workers->context->nworkers_launched; i++)
		InstrAccumParallelQuery(&workers->buffer_usage[i],
								&workers->wal_usage[i]);
	end_parallel(workers);
}

/* ---------------------------------------------------------------------
 * A worker
 * ---------------------------------------------------------------------
 */

static void
run_worker(AnnoyBuildShared *shared, AnnoySpace *space,
		   ParallelTableScanDesc table_scan)
{
	/* the locks that index.c holds in the leader */
	Relation	heap = table_open(shared->heap, shared->concurrent ?
								  ShareUpdateExclusiveLock : ShareLock);
	Relation	index = index_open(shared->index, shared->concurrent ?
								   RowExclusiveLock : AccessExclusiveLock);
	struct IndexInfo *index_info = BuildIndexInfo(index);
	AnnoyBuild	build;
	MemoryContext old;

	index_info->ii_Concurrent = shared->concurrent;
	AnnoyBeginBuild(&build, heap, index, shared, ParallelWorkerNumber + 1);
	old = MemoryContextSwitchTo(build.context);
	AnnoyUseSpace(&build, space, maintenance_work_mem / shared->process_count);
	AnnoyBuildForest(&build, index_info,
					 table_beginscan_parallel(heap, table_scan, SO_NONE));
	MemoryContextSwitchTo(old);
	MemoryContextDelete(build.context);
	index_close(index, NoLock);
	table_close(heap, NoLock);
}

/* Where a worker begins. */
void
annoy_build_worker(dsm_segment *segment, shm_toc *toc)
{
	AnnoyBuildShared *shared = shm_toc_lookup(toc, KEY_SHARED, false);
	WalUsage   *wal_usage = shm_toc_lookup(toc, KEY_WAL_USAGE, false);
	BufferUsage *buffer_usage = shm_toc_lookup(toc, KEY_BUFFER_USAGE, false);

	debug_query_string = shm_toc_lookup(toc, KEY_QUERY, true);
	pgstat_report_activity(STATE_RUNNING, debug_query_string);
	SharedFileSetAttach(&shared->files, segment);
	InstrStartParallelQuery();
	if (BarrierAttach(&shared->barrier) == 0)
		run_worker(shared, shm_toc_lookup(toc, KEY_SPACE, false),
				   shm_toc_lookup(toc, KEY_SCAN, false));
	BarrierDetach(&shared->barrier);
	InstrEndParallelQuery(&buffer_usage[ParallelWorkerNumber],
						  &wal_usage[ParallelWorkerNumber]);
}

/*-------------------------------------------------------------------------
 *
 * buildstate.c
 *	  State of a build: what its processes share, and what each has alone.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "commands/progress.h"
#include "pgstat.h"
#include "storage/bufmgr.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/wait_event.h"

#include "annoycompat.h"
#include "build/build.h"
#include "definition/options.h"

Size
AnnoySharedSize(int processes)
{
	return offsetof(AnnoyBuildShared, parts) +
		sizeof(AnnoyBuildPart) * processes;
}

AnnoyBuildShared *
AnnoyInitShared(void *memory, Relation heap, Relation index, bool concurrent,
				int processes)
{
	AnnoyBuildShared *shared = memory ? memory : palloc(AnnoySharedSize(processes));

	memset(shared, 0, AnnoySharedSize(processes));
	shared->heap = RelationGetRelid(heap);
	shared->index = RelationGetRelid(index);
	shared->concurrent = concurrent;
	shared->process_count = processes;
	BarrierInit(&shared->barrier, 0);
	SpinLockInit(&shared->mutex);
	pg_atomic_init_u64(&shared->next, 0);
	pg_atomic_init_u64(&shared->rows_done, 0);
	for (int i = 0; i < processes; i++)
		shared->parts[i].tail_first = shared->parts[i].tail_last =
			InvalidBlockNumber;
	return shared;
}

void
AnnoyBeginBuild(AnnoyBuild *build, Relation heap, Relation index,
				AnnoyBuildShared *shared, int process)
{
	memset(build, 0, sizeof(AnnoyBuild));
	build->heap = heap;
	build->index = index;
	build->opclass = AnnoyGetOpclassInfo(index);
	build->seed = AnnoyGetSeed(index, process == 0);
	build->n_trees = AnnoyGetBuiltTreeCount(index);
	build->logged = RelationNeedsWAL(index);
	build->context = AllocSetContextCreate(CurrentMemoryContext, "annoy build",
										   ALLOCSET_DEFAULT_SIZES);
	build->row_context = AllocSetContextCreate(build->context, "annoy row",
											   ALLOCSET_DEFAULT_SIZES);
	build->shared = shared;
	build->process = process;
	build->part = &shared->parts[process];
	build->parallel = shared->process_count > 1;
	build->files = build->parallel ? &shared->files.fs : NULL;
	build->extender.index = index;
	build->extender.shared = build->parallel;
	build->tail = InvalidBuffer;
}

void
AnnoySynchronise(AnnoyBuild *build)
{
	if (build->parallel)
		BarrierArriveAndWait(&build->shared->barrier,
							 WAIT_EVENT_PARALLEL_CREATE_INDEX_SCAN);
}

void
AnnoySetProgress(AnnoyBuild *build, int parameter, int64 value)
{
	if (build->process == 0)
		pgstat_progress_update_param(parameter, value);
}

void
AnnoyCountRow(AnnoyBuild *build, int64 *rows)
{
	if (++*rows % ANNOY_PROGRESS_ROWS == 0)
	{
		uint64		before = pg_atomic_fetch_add_u64(&build->shared->rows_done,
													 ANNOY_PROGRESS_ROWS);

		AnnoySetProgress(build, PROGRESS_CREATEIDX_TUPLES_DONE,
					 before + ANNOY_PROGRESS_ROWS);
	}
}

void
AnnoyNextPhase(AnnoyBuild *build, int phase)
{
	AnnoyBuildShared *shared = build->shared;

	AnnoySynchronise(build);
	if (build->process == 0)
	{
		pg_atomic_write_u64(&shared->next, 0);
		if (phase > 0)
		{
			pg_atomic_write_u64(&shared->rows_done, 0);
			AnnoySetProgress(build, PROGRESS_CREATEIDX_SUBPHASE, phase);
			AnnoySetProgress(build, PROGRESS_CREATEIDX_TUPLES_TOTAL, build->items);
			AnnoySetProgress(build, PROGRESS_CREATEIDX_TUPLES_DONE, 0);
		}
	}
	AnnoySynchronise(build);
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

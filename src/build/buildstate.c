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

/* kB for spools at the least: then they live on disk. */
#define SPOOL_RESERVE 128

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
	build->seed = AnnoyGetSeed(index, false);
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
	build->seats = palloc(sizeof(int) * shared->process_count);
	for (int i = 0; i < shared->process_count; i++)
		build->seats[i] = i;
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

static void
set_meta(AnnoyBuild *build)
{
	AnnoyMetaPageData *meta = &build->forest->meta;
	int			dimensions = build->space->dimensions;

	meta->magic = ANNOY_MAGIC;
	meta->format_version = ANNOY_FORMAT_VERSION;
	meta->metric = build->opclass->metric;
	meta->element = build->opclass->element->kind;
	meta->dimensions = dimensions;
	meta->sketch_dimensions = dimensions > 0 ?
		AnnoySketchDimensions(dimensions) : 0;
	meta->code_bits = dimensions > 0 ?
		AnnoyGetBuiltCodeBits(build->index, dimensions) : 0;
	meta->n_trees = build->n_trees;
	meta->seed = build->seed;
	meta->max_norm = build->space->max_norm;
	meta->epsilon = ANNOY_DEFAULT_EPSILON;
	meta->centre = InvalidBlockNumber;
	meta->roots = InvalidBlockNumber;
}

void
AnnoyUseSpace(AnnoyBuild *build, AnnoySpace *space, int work_mem)
{
	AnnoyForest *forest = palloc0(sizeof(AnnoyForest));
	int			dimensions = Max(space->dimensions, 1);

	build->space = space;
	AnnoyGetBuildSizes(&build->sizes, space->dimensions, space->rows);
	build->spare_mem = Max(0, work_mem - build->sizes.least_memory) +
		SPOOL_RESERVE;
	build->forest = forest;
	forest->roots = palloc0(sizeof(AnnoyChild) * build->n_trees);
	build->outsized_roots = palloc0(sizeof(AnnoyChild) * build->n_trees);
	set_meta(build);
	AnnoyGetLeafLayout(&forest->meta, &forest->leaf);
	AnnoyGetSample(space, &build->sample_set);
	AnnoyInitSketcher(&forest->sketcher,
					  palloc(AnnoySketcherMemory(dimensions)),
					  build->opclass->metric, dimensions, build->seed,
					  space->sample_count > 0 ? space->centre : NULL,
					  space->max_norm);
	forest->sketcher.outsized_apart =
		build->opclass->metric == ANNOY_METRIC_INNER_PRODUCT &&
		space->max_norm > 0;
	build->record_size = MAXALIGN(offsetof(AnnoySketchRecord, sketch) +
								  AnnoyPackedSize(&forest->sketcher));
	build->unpacked = palloc(sizeof(int16) *
							 forest->sketcher.sketch_dimensions);
}

void
AnnoyReadRecord(AnnoyBuild *build, const AnnoySketchRecord *record,
				AnnoyItemSketch *item)
{
	const AnnoySketcher *sketcher = &build->forest->sketcher;

	if (sketcher->codes_are_bits)
	{
		AnnoyUnpackSketch(sketcher, record->sketch, build->unpacked);
		item->quantised = build->unpacked;
	}
	else
		item->quantised = (const int16 *) record->sketch;
	item->scale = record->scale;
	item->norm_squared = record->norm_squared;
	item->extra = record->extra;
	item->unbounded = record->unbounded;
}

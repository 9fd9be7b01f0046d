/*-------------------------------------------------------------------------
 *
 * buildspace.c
 *	  Before a build loads rows: a sample of them, and the sketch space.
 *
 * The sample are the live rows with the smallest hash(seed, TID), of all blocks
 * of the table or, if it is large, of some that are chosen by hash(seed,
 * block).  Their number of dimensions is the index's, their mean the centre of
 * the sketch space, and their largest norm M.  Rows are read by their TIDs, one
 * at a time, so that nobody keeps values.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/tableam.h"
#include "catalog/pg_am_d.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "annoycompat.h"
#include "arith/split.h"
#include "build/buildsample.h"
#include "build/buildspace.h"
#include "definition/opclass.h"
#include "page/meta.h"
#include "table/rowvalue.h"

/*
 * Rows for centre and M.  The error of the centre does no harm, and norms above
 * M are seen to (outsized.c).
 */
#define SAMPLE_ROWS 4096

/*
 * A table of more blocks is not read twice: some of its blocks have to do, half
 * as many at first, and more if there are not enough rows in them.
 */
#define SCANNED_BLOCKS 4000
#define LEAST_SHARE_FACTOR 4
#define ENOUGH_ROWS (2 * SAMPLE_ROWS)

/* Separates the hashes of blocks from those of TIDs. */
#define BLOCK_STREAM 1

/*
 * Up to so many rows (as estimated) 1 MB is enough, at 2,000 dimensions; for
 * more it is 8 MB.  Sets of half the size cost 3 percent of an index's size, and
 * hardly any recall.
 */
#define SMALL_TABLE_ROWS 11000
#define SMALL_SET_BYTES (512 * 1024)
#define SMALL_SAMPLE_BYTES (160 * 1024)
#define SMALL_GROUP_LEAVES 3
#define SET_BYTES (4 * 1024 * 1024)
#define SAMPLE_BYTES (2 * 1024 * 1024)
#define GROUP_LEAVES 4
#define MIN_SAMPLE_ROWS 32

/*
 * Bytes of an item of a set beside its sketch: scale, extra, TID and place,
 * orders by TID and by cell, margins.
 */
#define ITEM_OVERHEAD 48

/*
 * kB for spools at the least, which live on disk then, and for all that is
 * small; of a small and a large table.
 */
#define SMALL_RESERVE 256
#define RESERVE 1024

/* Vectors of all dimensions that a process may have at once, as floats. */
#define VECTORS 8

void
AnnoyGetBuildSizes(AnnoyBuildSizes *sizes, int dimensions, double rows)
{
	bool		small = rows <= SMALL_TABLE_ROWS;
	Size		sketch = sizeof(int16) * AnnoySketchDimensions(Max(dimensions, 1));
	Size		sample_bytes = small ? SMALL_SAMPLE_BYTES : SAMPLE_BYTES;

	sizes->small = small;
	sizes->set_bytes = small ? SMALL_SET_BYTES : SET_BYTES;
	sizes->set_items = sizes->set_bytes / (sketch + ITEM_OVERHEAD);
	sizes->group_leaves = small ? SMALL_GROUP_LEAVES : GROUP_LEAVES;
	sizes->sample_rows = sample_bytes / (sketch + sizeof(float) * 2);
	sizes->sample_rows = Min(Max(sizes->sample_rows, MIN_SAMPLE_ROWS),
							 SAMPLE_ROWS);
	/* a sample of a partition is beside that of the table */
	sizes->least_memory = (small ? SMALL_RESERVE : RESERVE) +
		(sizes->set_bytes + sample_bytes +
		 sizeof(float) * VECTORS * dimensions) / 1024;
}

/* ---------------------------------------------------------------------
 * Choosing rows
 * ---------------------------------------------------------------------
 */

typedef struct RowChoice
{
	Relation	heap;
	Relation	index;
	struct IndexInfo *index_info;
	uint64		seed;
	AnnoySampler sampler;
	double		rows;			/* live ones with a value */
	double		blocks;			/* that were read */
} RowChoice;

static void
choose_row(Relation index, ItemPointer tid, Datum *values, bool *isnull,
		   bool tuple_is_alive, void *callback_state)
{
	RowChoice  *choice = callback_state;

	if (!tuple_is_alive || isnull[0])
		return;
	choice->rows++;
	AnnoySample(&choice->sampler, AnnoyPackTid(tid));
}

static void
scan_blocks(RowChoice *choice, BlockNumber first, BlockNumber count)
{
	CHECK_FOR_INTERRUPTS();
	(void) table_index_build_range_scan(choice->heap, choice->index,
										choice->index_info, false, false,
										false, first, count, choose_row,
										choice, NULL);
	choice->blocks += count;
}

/* Reads the blocks whose hashes, as shares of all, are from "from" to "to". */
static void
scan_share(RowChoice *choice, BlockNumber blocks, double from, double to)
{
	uint64		seed = AnnoyHash(choice->seed, BLOCK_STREAM);
	BlockNumber count = 0;		/* chosen ones before the one at hand */

	for (BlockNumber block = 0; block < blocks; block++)
	{
		double		share = (double) AnnoyHash(seed, block) / (double) PG_UINT64_MAX;

		if (share >= from && (share < to || to >= 1.0))
			count++;
		else if (count > 0)
		{
			scan_blocks(choice, block - count, count);
			count = 0;
		}
	}
	if (count > 0)
		scan_blocks(choice, blocks - count, count);
}

static void
choose_rows(RowChoice *choice)
{
	BlockNumber blocks = 0;
	double		share = 0.0;

	/* blocks of other access methods may be something else */
	if (choice->heap->rd_rel->relam == HEAP_TABLE_AM_OID)
		blocks = RelationGetNumberOfBlocks(choice->heap);
	if (blocks <= SCANNED_BLOCKS)
	{
		(void) table_index_build_scan(choice->heap, choice->index,
									  choice->index_info, false, false,
									  choose_row, choice, NULL);
		return;
	}
	while (choice->rows < ENOUGH_ROWS && share < 1.0)
	{
		double		more = share == 0.0 ? 0.5 * SCANNED_BLOCKS / blocks :
			Min(share * LEAST_SHARE_FACTOR, 1.0);

		scan_share(choice, blocks, share, more);
		share = more;
	}
	if (choice->blocks > 0)
		choice->rows *= blocks / choice->blocks;
}

/* ---------------------------------------------------------------------
 * The space
 * ---------------------------------------------------------------------
 */

typedef struct SpaceFinder
{
	Relation	index;
	const AnnoyElementType *element;
	AnnoyRowReader reader;
	AnnoySampleRow *rows;
	int			count;
	float	   *floats;			/* one vector */
	float	   *scratch;
	AnnoySpace *space;
} SpaceFinder;

static int
compare_tids(const void *a, const void *b)
{
	int64		x = ((const AnnoySampleRow *) a)->tid;
	int64		y = ((const AnnoySampleRow *) b)->tid;

	return x < y ? -1 : x > y ? 1 : 0;
}

static int
compare_hashes(const void *a, const void *b)
{
	uint64		x = ((const AnnoySampleRow *) a)->hash;
	uint64		y = ((const AnnoySampleRow *) b)->hash;

	return x < y ? -1 : x > y ? 1 : 0;
}

/*
 * The value of a sampled row, or NULL if it has been deleted meanwhile.  Its number
 * of dimensions is looked at each time that it is read: an index expression need
 * not be as immutable as it is said to be.
 */
static struct varlena *
read_row(SpaceFinder *finder, const AnnoySampleRow *row)
{
	ItemPointerData tid;
	struct varlena *value;
	int			dimensions;

	CHECK_FOR_INTERRUPTS();
	AnnoyUnpackTid(row->tid, &tid);
	if (AnnoyReadLiveRow(&finder->reader, &tid, &value) != ANNOY_ROW_LIVE ||
		value == NULL)
		return NULL;
	dimensions = finder->element->dimensions(value);
	if (finder->space != NULL && dimensions != finder->space->dimensions)
		AnnoyReportDimensions(finder->index, finder->element,
							  finder->space->dimensions, dimensions);
	return value;
}

/* Makes room for the space, once the number of dimensions is known. */
static void
begin_space(SpaceFinder *finder, int dimensions, double rows)
{
	AnnoyBuildSizes sizes;
	Size		size;

	if (dimensions < 1 || dimensions > finder->element->max_dimensions)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("cannot index values of %d dimensions", dimensions),
				 errdetail("The limit is %d.",
						   finder->element->max_dimensions)));
	AnnoyGetBuildSizes(&sizes, dimensions, rows);
	size = offsetof(AnnoySpace, centre) + sizeof(float) * dimensions +
		(2 * sizeof(float) +
		 sizeof(int16) * AnnoySketchDimensions(dimensions)) *
		Min(sizes.sample_rows, finder->count);
	finder->space = palloc0(size);
	finder->space->size = size;
	finder->space->dimensions = dimensions;
	finder->space->rows = rows;
	finder->floats = palloc(sizeof(float) * dimensions);
	finder->scratch = palloc(sizeof(float) * AnnoySketchScratch(dimensions));
}

/* Centre and M; rows that have no direction, or are gone, are sampled no more. */
static void
find_centre(SpaceFinder *finder, AnnoyMetric metric, double rows, uint64 seed)
{
	AnnoySketcher raw;			/* without a centre */
	double	   *sums = NULL;
	double		max_norm = 0.0;
	int			count = 0;

	qsort(finder->rows, finder->count, sizeof(AnnoySampleRow), compare_tids);
	for (int i = 0; i < finder->count; i++)
	{
		struct varlena *value = read_row(finder, &finder->rows[i]);
		double		norm;
		bool		unbounded;

		if (value == NULL)
			continue;
		if (finder->space == NULL)
		{
			int			dimensions = finder->element->dimensions(value);

			begin_space(finder, dimensions, rows);
			sums = palloc0(sizeof(double) * dimensions);
			AnnoyInitSketcher(&raw, palloc(AnnoySketcherMemory(dimensions)),
							  metric, dimensions, seed, NULL, 0);
		}
		if (!AnnoyTransformVector(&raw,
								  finder->element->floats(value, finder->floats),
								  finder->scratch, &norm, &unbounded))
			continue;
		for (int j = 0; j < finder->space->dimensions; j++)
			sums[j] += finder->scratch[j];
		max_norm = Max(max_norm, Min(norm, ANNOY_NORM_LIMIT));
		finder->rows[count++] = finder->rows[i];
	}
	finder->count = count;
	if (count == 0)
		return;
	finder->space->max_norm = max_norm;
	for (int j = 0; j < finder->space->dimensions; j++)
		finder->space->centre[j] = sums[j] / count;
	pfree(sums);
}

/* Sketches of those with the smallest hashes. */
static void
sketch_sample(SpaceFinder *finder, AnnoyMetric metric, uint64 seed)
{
	AnnoySpace *space = finder->space;
	AnnoySketcher sketcher;
	AnnoySketchSet set;
	int			count = 0;

	AnnoyInitSketcher(&sketcher, palloc(AnnoySketcherMemory(space->dimensions)),
					  metric, space->dimensions, seed, space->centre,
					  space->max_norm);
	AnnoyGetSample(space, &set);
	qsort(finder->rows, space->sample_count, sizeof(AnnoySampleRow),
		  compare_tids);
	for (int i = 0; i < space->sample_count; i++)
	{
		struct varlena *value = read_row(finder, &finder->rows[i]);
		AnnoyItemSketch item;

		if (value == NULL ||
			!AnnoyMakeItemSketch(&sketcher,
								 finder->element->floats(value, finder->floats),
								 finder->scratch, set.quantised +
								 (Size) count * set.sketch_dimensions, &item))
			continue;
		set.scale[count] = item.scale;
		set.extra[count++] = item.extra;
	}
	space->sample_count = count;
}

AnnoySpace *
AnnoyFindSpace(Relation heap, Relation index, struct IndexInfo *index_info,
			   uint64 seed)
{
	const AnnoyOpclassInfo *opclass = AnnoyGetOpclassInfo(index);
	MemoryContext result_context = CurrentMemoryContext;
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "annoy sample",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	RowChoice	choice = {heap, index, index_info, seed};
	SpaceFinder finder = {index, opclass->element};
	AnnoySpace *space;

	AnnoyBeginSampler(&choice.sampler, SAMPLE_ROWS, seed);
	choose_rows(&choice);
	finder.rows = choice.sampler.rows.elements;
	finder.count = choice.sampler.rows.count;
	AnnoyBeginRowReader(&finder.reader, heap, index);
	find_centre(&finder, opclass->metric, choice.rows, seed);
	if (finder.space == NULL)
	{
		finder.space = palloc0(sizeof(AnnoySpace));
		finder.space->size = sizeof(AnnoySpace);
	}
	space = finder.space;
	if (finder.count > 0)
	{
		AnnoyBuildSizes sizes;

		AnnoyGetBuildSizes(&sizes, space->dimensions, space->rows);
		qsort(finder.rows, finder.count, sizeof(AnnoySampleRow),
			  compare_hashes);
		space->sample_count = space->sample_room =
			Min(finder.count, sizes.sample_rows);
		space->member_count = Min(finder.count, ANNOY_CALIBRATION_MEMBERS);
		for (int i = 0; i < space->member_count; i++)
			space->members[i] = finder.rows[i].tid;
		sketch_sample(&finder, opclass->metric, seed);
	}
	AnnoyEndRowReader(&finder.reader);
	MemoryContextSwitchTo(result_context);
	space = memcpy(palloc(space->size), space, space->size);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	return space;
}

void
AnnoyGetSample(AnnoySpace *space, AnnoySketchSet *set)
{
	set->sketch_dimensions = AnnoySketchDimensions(Max(space->dimensions, 1));
	set->scale = space->centre + space->dimensions;
	set->extra = set->scale + space->sample_room;
	set->quantised = (int16 *) (set->extra + space->sample_room);
}

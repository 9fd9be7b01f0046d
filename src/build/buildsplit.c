/*-------------------------------------------------------------------------
 *
 * buildsplit.c
 *	  Hyperplanes above partitions, and splitting a partition into cells.
 *
 * A set of as many sketches as AnnoyBuildSizes says is split in memory down to
 * cells (buildcells.c).  So a sample is split first, into so many parts that
 * each stands for about half a set, and all rows are sent through those
 * hyperplanes into partitions.  A partition that is still too large is divided
 * in the same way, by a sample of its own.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/memutils.h"

#include "build/buildcells.h"
#include "build/buildsample.h"
#include "build/buildsplit.h"

/*
 * Divisions of divisions of one partition: each takes what it finds apart from
 * the copies of one row.
 */
#define MOST_LEVELS 12

/* Sampled items that a partition needs at least. */
#define LEAST_PARTITION_SAMPLE 16

/* A row's place in a set, to be ordered by TID. */
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
 * Hyperplanes above partitions
 * ---------------------------------------------------------------------
 */

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

/* Splits a sample of "total" items; returns the number of partitions. */
int
AnnoyGrowTop(CellBuilder *builder, Subtree *top, const AnnoySketchSet *sample,
		 int sample_count, double total, uint64 path)
{
	int32	   *items = AnnoyListPositions(sample_count);
	int			partition_items;

	if (total <= builder->set_items)
		partition_items = Max(sample_count, 1);
	else
		partition_items = Max(LEAST_PARTITION_SAMPLE, (int)
							  ((double) builder->set_items / 2 * sample_count / total));
	AnnoyGrowSubtree(builder, top, sample, items, sample_count,
					 partition_items, path);
	pfree(items);
	return number_partitions(top, 0, 0);
}

/* The partition on whose side of every hyperplane a sketch lies. */
int
AnnoyFindPartition(int s, const Subtree *top, const AnnoyItemSketch *item)
{
	float		scale = item->scale;
	float		extra = item->extra;
	AnnoySketchSet one = {s, (int16 *) item->quantised, &scale, &extra};
	const MemoryNode *node = &top->nodes[0];

	while (node->plane.normal != NULL)
		node = &top->nodes[node->child[AnnoyItemMargin(&one, 0, &node->plane) > 0]];
	return node->number;
}

/* ---------------------------------------------------------------------
 * Partitions
 * ---------------------------------------------------------------------
 */

static void
put_record(CellBuilder *builder, AnnoySketchSet *set, int place,
		   const AnnoySketchRecord *record)
{
	AnnoyUnpackSketch(&builder->build->forest->sketcher, record->sketch,
					  set->quantised + (Size) place * set->sketch_dimensions);
	set->scale[place] = record->scale;
	set->extra[place] = record->extra;
}

/* Splits a partition in memory. */
static void
split_set(CellBuilder *builder, AnnoySpoolReader *reader, int partition,
		  int count, uint64 path, CellList *list)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "annoy cell set",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	AnnoySketchSet set;
	TidOrder   *tids = palloc(sizeof(TidOrder) * count);
	int32	   *items = palloc(sizeof(int32) * count);
	int32	   *by_tid = palloc(sizeof(int32) * count);
	Subtree		subtree;
	AnnoySketchRecord *record;
	bool		stays;
	int			n = 0;

	AnnoyAllocateSet(&set, builder->s, count);
	AnnoySeekPartition(reader, partition);
	while ((record = AnnoyNextRecord(reader, &stays)) != NULL && n < count)
	{
		put_record(builder, &set, n, record);
		tids[n].tid = AnnoyPackTid(&record->tid);
		tids[n].place = n;
		n++;
	}
	if (n != count)
		elog(ERROR, "expected %d rows in a partition, found %d", count, n);
	qsort(tids, count, sizeof(TidOrder), compare_tid_order);
	for (int i = 0; i < count; i++)
		items[i] = by_tid[i] = tids[i].place;
	pfree(tids);
	AnnoyGrowSubtree(builder, &subtree, &set, items, count, 0, path);
	AnnoyRefineCells(builder, &subtree, &set, by_tid, count);
	AnnoyListCells(builder, &subtree, list);
	MemoryContextSwitchTo(old);
	AnnoyCopyCells(builder, list);
	MemoryContextDelete(context);
}

/* Whether a row has the same sketch as another one, or "other" is NULL. */
static bool
is_other(const AnnoyBuild *build, const AnnoySketchRecord *record,
		 const AnnoySketchRecord *other)
{
	return other == NULL || record->scale != other->scale ||
		record->extra != other->extra ||
		memcmp(record->sketch, other->sketch,
			   AnnoyPackedSize(&build->forest->sketcher)) != 0;
}

/*
 * A sample of a partition, ordered by TID, in the current memory context: of all
 * rows, or of those whose sketch is not that of "except".
 */
static int
sample_partition(CellBuilder *builder, AnnoySpoolReader *reader, int partition,
				 const AnnoySketchRecord *except, AnnoySketchSet *sample)
{
	AnnoyBuild *build = builder->build;
	int			wanted = (int) Min(build->sizes.sample_rows,
								   AnnoyCountRecords(reader, partition));
	AnnoySampler sampler;
	TidOrder   *tids;
	AnnoySketchRecord *record;
	bool		stays;
	int			n = 0;

	AnnoyBeginSampler(&sampler, wanted, build->seed);
	AnnoySeekPartition(reader, partition);
	while ((record = AnnoyNextRecord(reader, &stays)) != NULL)
	{
		CHECK_FOR_INTERRUPTS();
		if (is_other(build, record, except))
			AnnoySample(&sampler, AnnoyPackTid(&record->tid));
	}
	wanted = sampler.rows.count;
	tids = palloc(sizeof(TidOrder) * Max(wanted, 1));
	for (int i = 0; i < wanted; i++)
		tids[i].tid = sampler.rows.elements[i].tid;
	qsort(tids, wanted, sizeof(TidOrder), compare_tid_order);

	/* the rows themselves, once it is known which */
	AnnoyAllocateSet(sample, builder->s, wanted + 1);
	AnnoySeekPartition(reader, partition);
	while ((record = AnnoyNextRecord(reader, &stays)) != NULL)
	{
		TidOrder	key = {AnnoyPackTid(&record->tid), 0};
		TidOrder   *found = bsearch(&key, tids, wanted, sizeof(TidOrder),
									compare_tid_order);

		CHECK_FOR_INTERRUPTS();
		if (found == NULL)
			continue;
		put_record(builder, sample, found - tids, record);
		n++;
	}
	if (n != wanted)
		elog(ERROR, "expected %d sampled rows in a partition, found %d",
			 wanted, n);
	return wanted;
}

/*
 * Hyperplanes where a sample has none, since nearly all rows are equal: of that
 * row and a sample of the others, which would all be hidden among its copies.
 * Returns the number of partitions, 1 if there are no others.
 */
static int
grow_uneven_top(CellBuilder *builder, Subtree *top, AnnoySpoolReader *reader,
				int partition, uint64 path)
{
	AnnoyBuild *build = builder->build;
	AnnoySketchRecord *common = palloc(build->record_size);
	AnnoySketchRecord *record;
	AnnoySketchSet others;
	int64		votes = 0;
	bool		stays;
	int			count;
	int32	   *items;

	/* what most rows have, if there is such a thing, wins the vote */
	AnnoySeekPartition(reader, partition);
	while ((record = AnnoyNextRecord(reader, &stays)) != NULL)
	{
		CHECK_FOR_INTERRUPTS();
		if (votes == 0)
			memcpy(common, record, build->record_size);
		votes += is_other(build, record, common) ? -1 : 1;
	}
	count = sample_partition(builder, reader, partition, common, &others);
	if (count == 0)
		return 1;

	/* the common row in as many places as there are others */
	count = Min(count, build->sizes.sample_rows - 1);
	items = palloc(sizeof(int32) * 2 * count);
	put_record(builder, &others, count, common);
	for (int i = 0; i < count; i++)
	{
		items[i] = count;
		items[count + i] = i;
	}
	AnnoyGrowSubtree(builder, top, &others, items, 2 * count,
					 Min(count, LEAST_PARTITION_SAMPLE), path);
	return number_partitions(top, 0, 0);
}

/* Depth first, so that few cells are listed at a time. */
void
AnnoyJoinTop(const TopJoin *join, int node, CellList *list)
{
	const MemoryNode *n = &join->top->nodes[node];
	CellList	sides[2];

	if (n->plane.normal == NULL)
	{
		if (join->lists)
			*list = join->lists[n->number];
		else
			AnnoySplitPartition(join->builder, join->reader, n->number,
							AnnoyPartitionPath(join->path, n->number),
							join->level, list);
		return;
	}
	for (int side = 0; side < 2; side++)
		AnnoyJoinTop(join, n->child[side], &sides[side]);
	AnnoyJoinCells(join->builder, n, &sides[0], &sides[1], list);
}

/* Divides a partition that is too large by a sample of its own. */
static void
divide_partition(CellBuilder *builder, AnnoySpoolReader *reader, int partition,
				 uint64 path, int level, CellList *list)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "annoy partition",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	AnnoyBuild *build = builder->build;
	Size		memory = AnnoyShareMemory(build, ANNOY_MOVED_SHARE) >> level;
	AnnoySketchSet sample;
	Subtree		top;
	AnnoySketchRecord *record;
	bool		stays;
	int			sample_count = sample_partition(builder, reader, partition,
												NULL, &sample);
	int			count = AnnoyGrowTop(builder, &top, &sample, sample_count,
								 AnnoyCountRecords(reader, partition), path);

	if (count == 1 && level < MOST_LEVELS)
		count = grow_uneven_top(builder, &top, reader, partition, path);
	if (count == 1)
	{
		/* they cannot be told apart: all go to one cell */
		AnnoyGrowSingleCell(builder, &top, &sample, sample_count, path);
		AnnoyListCells(builder, &top, list);
	}
	else
	{
		AnnoySpool *spool = AnnoyBeginSpool(build->record_size, count, memory,
											build->sizes.set_bytes, NULL,
											NULL);
		TopJoin		join = {builder, &top, NULL, NULL, path, level + 1};

		AnnoyFreeSet(&sample);
		AnnoySeekPartition(reader, partition);
		while ((record = AnnoyNextRecord(reader, &stays)) != NULL)
		{
			AnnoyItemSketch item;

			CHECK_FOR_INTERRUPTS();
			AnnoyReadRecord(build, record, &item);
			memcpy(AnnoyPutRecord(spool, AnnoyFindPartition(builder->s, &top, &item)),
				   record, build->record_size);
		}
		AnnoyFinishSpool(spool, NULL);
		join.reader = AnnoyReadSpool(spool);
		AnnoyJoinTop(&join, 0, list);
		AnnoyEndSpoolReader(join.reader);
		AnnoyEndSpool(spool);
	}
	MemoryContextSwitchTo(old);
	AnnoyCopyCells(builder, list);
	MemoryContextDelete(context);
}

/* A partition: in memory, or divided again. */
void
AnnoySplitPartition(CellBuilder *builder, AnnoySpoolReader *reader, int partition,
				uint64 path, int level, CellList *list)
{
	int64		count = AnnoyCountRecords(reader, partition);

	check_stack_depth();
	memset(list, 0, sizeof(CellList));
	list->link.block = InvalidBlockNumber;
	if (count > builder->set_items)
		divide_partition(builder, reader, partition, path, level, list);
	else if (count > 0)
		split_set(builder, reader, partition, (int) count, path, list);
}

/*-------------------------------------------------------------------------
 *
 * sketchset.c
 *	  Items, or leaves, in memory, from which nodes and leaves are made: by a
 *	  build, and where a leaf or a directory is full.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "forest/sketchset.h"
#include "page/leaf.h"

void
AnnoyAllocateSet(AnnoySketchSet *set, int sketch_dimensions, int count)
{
	count = Max(count, 1);
	set->sketch_dimensions = sketch_dimensions;
	set->quantised = palloc_extended(sizeof(int16) * sketch_dimensions *
									 (Size) count, MCXT_ALLOC_HUGE);
	set->scale = palloc(sizeof(float) * count);
	set->extra = palloc(sizeof(float) * count);
}

void
AnnoyFreeSet(AnnoySketchSet *set)
{
	pfree(set->quantised);
	pfree(set->scale);
	pfree(set->extra);
}

void
AnnoyAllocateItems(AnnoyItemSet *items, int sketch_dimensions, int count)
{
	AnnoyAllocateSet(&items->set, sketch_dimensions, count);
	items->sketches = NULL;
	items->unbounded = palloc(sizeof(bool) * count);
	items->tids = palloc(sizeof(ItemPointerData) * count);
	items->count = 0;
}

void
AnnoyPutCentroid(AnnoySketchSet *set, int place, const AnnoyCentroid *leaf)
{
	int16	   *quantised = set->quantised +
		(Size) place * set->sketch_dimensions;

	for (int i = 0; i < set->sketch_dimensions; i++)
		quantised[i] = leaf->centroid[i];
	set->scale[place] = leaf->scale;
	set->extra[place] = leaf->extra;
}

int32 *
AnnoyListPositions(int count)
{
	int32	   *positions = palloc(sizeof(int32) * Max(count, 1));

	for (int i = 0; i < count; i++)
		positions[i] = i;
	return positions;
}

int
AnnoySplitSet(const AnnoySketchSet *set, int32 *items, int count,
			  AnnoySplitRule rule, int left_wanted, uint64 seed,
			  AnnoyHyperplane *plane)
{
	int			s = set->sketch_dimensions;
	float	   *scratch = palloc(sizeof(float) * AnnoySplitScratch(s));
	float	   *margins = palloc(sizeof(float) * count);
	int32	   *order = palloc(sizeof(int32) * count);
	AnnoyRandom random;
	int			left;

	plane->normal = palloc(s);
	AnnoySeedRandom(&random, seed);
	left = AnnoySplitItems(set, items, count, rule, left_wanted, &random, plane,
						   scratch, margins, order);
	pfree(scratch);
	pfree(margins);
	pfree(order);
	if (left == 0)
	{
		pfree(plane->normal);
		plane->normal = NULL;
	}
	return left;
}

int
AnnoySplitCentroids(const AnnoySketchSet *set, int32 *leaves, int count,
					uint64 seed, AnnoyHyperplane *plane)
{
	int			left = AnnoySplitSet(set, leaves, count, ANNOY_SPLIT_QUANTILE,
									 count / 2, seed, plane);

	if (left > 0)
		return left;
	memset(plane, 0, sizeof(AnnoyHyperplane));
	plane->normal = palloc0(set->sketch_dimensions);
	return count / 2;
}

void
AnnoyMeasureCentroid(const AnnoySketchSet *set, const int32 *items, int count,
					 AnnoyCentroid *centroid)
{
	int			s = set->sketch_dimensions;
	float	   *mean = palloc(sizeof(float) * s);

	AnnoyMeanSketch(set, items, count, mean, &centroid->extra);
	AnnoyQuantiseCentroid(s, mean, centroid->centroid, &centroid->scale,
						  &centroid->norm_squared);
	pfree(mean);
}

uint16
AnnoyAppendNode(Page page, int sketch_dimensions, const AnnoyHyperplane *plane)
{
	uint16		slot = AnnoyPageGetInnerHeader(page)->count++;
	AnnoyNode	node = AnnoyPageGetNode(page, sketch_dimensions, slot);

	memset(node->child, 0, sizeof(node->child));
	node->offset = plane->offset;
	node->scale = plane->scale;
	node->extra_weight = plane->extra_weight;
	memcpy(node->normal, plane->normal, sketch_dimensions);
	((PageHeader) page)->pd_lower += AnnoyNodeSize(sketch_dimensions);
	return slot;
}

void
AnnoyAddItemEntry(Page page, const AnnoyForest *forest,
				  const AnnoyItemSet *items, int item)
{
	Size		place = (Size) item * items->set.sketch_dimensions;
	float		buffer[ANNOY_MAX_SKETCH_DIMENSIONS];
	const float *sketch = buffer;

	if (items->sketches)
		sketch = items->sketches + place;
	else
		annoy_kernels.dequantise(items->set.sketch_dimensions,
								 items->set.quantised + place,
								 items->set.scale[item], buffer);
	AnnoyAddLeafEntry(page, forest, sketch, items->unbounded[item],
					  &items->tids[item]);
}

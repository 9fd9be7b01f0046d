/*-------------------------------------------------------------------------
 *
 * directory.c
 *	  Directories: pages that list the centroids of leaves.
 *
 * A walk ranks the leaves of some directories by the distance of their
 * centroids, so the more leaves a page lists the better the order.  But 1,536
 * dimensions leave room for five centroids.  So where there are many dimensions
 * a directory keeps a code of each, a bit a dimension (RaBitQ: Gao & Long,
 * SIGMOD 2024), relative to the mean of its centroids, which are near each
 * other.  The more dimensions, the better a code is, and the more room it
 * saves: README has the figures.
 *
 * A leaf has its centroid itself, too, so nothing is lost.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "page/directory.h"

/* Codes from so many dimensions of sketches on: see README, "Directories". */
#define CODES_FROM_DIMENSIONS 384

void
AnnoyQuantiseCentroid(int sketch_dimensions, const float *mean, int8 *centroid,
					  float *scale, float *norm_squared)
{
	*scale = AnnoyQuantiseDirection(sketch_dimensions, mean, centroid);
	*norm_squared = *scale * *scale *
		(float) AnnoyQuantisedNorm(sketch_dimensions, centroid);
}

/*
 * Codes need rotated sketches, and short bit strings are not.  Outsized vectors
 * (extra < 0) are ranked by more than a squared distance.
 */
AnnoyDirectoryForm
AnnoyChooseDirectoryForm(const AnnoySketcher *sketcher, float extra)
{
	return sketcher->sketch_dimensions >= CODES_FROM_DIMENSIONS &&
		!sketcher->codes_are_bits && extra >= 0.0f ?
		ANNOY_DIRECTORY_CODES : ANNOY_DIRECTORY_CENTROIDS;
}

int
AnnoyGetDirectoryCapacity(Page page, int sketch_dimensions)
{
	return AnnoyDirectoryCapacity(AnnoyPageGetDirectoryHeader(page)->form,
								  sketch_dimensions);
}

int
AnnoyCountDirectory(Relation index, BlockNumber block, Page page,
					int sketch_dimensions)
{
	int			count = AnnoyPageGetDirectoryHeader(page)->count;

	if (AnnoyPageGetDirectoryHeader(page)->form > ANNOY_DIRECTORY_CODES)
		AnnoyReportCorruption(index, block, "directory of an unknown form");
	if (count > AnnoyGetDirectoryCapacity(page, sketch_dimensions))
		AnnoyReportCorruption(index, block, "too many directory entries");
	return count;
}

void
AnnoySetDirectoryCount(Page page, int sketch_dimensions, int count)
{
	AnnoyPageGetDirectoryHeader(page)->count = count;
	((PageHeader) page)->pd_lower =
		(char *) AnnoyPageGetDirectoryEntry(page, sketch_dimensions, count) -
		(char *) page;
}

static void
dequantise_centroid(int s, const int8 *centroid, float scale, float *out)
{
	for (int i = 0; i < s; i++)
		out[i] = scale * centroid[i];
}

/* The mean of the leaves' centroids, each of which counts as one. */
static void
set_reference(Page page, int s, const AnnoyCentroid *const *leaves, int count)
{
	AnnoyDirectoryReference reference = AnnoyPageGetDirectoryReference(page);
	float	   *mean = palloc0(sizeof(float) * s);

	for (int i = 0; i < count; i++)
		for (int j = 0; j < s; j++)
			mean[j] += leaves[i]->scale * leaves[i]->centroid[j];
	for (int j = 0; j < s; j++)
		mean[j] /= (float) Max(count, 1);
	AnnoyQuantiseCentroid(s, mean, reference->centroid, &reference->scale,
						  &reference->norm_squared);
	pfree(mean);
}

void
AnnoyFillDirectory(Page page, const AnnoySketcher *sketcher,
				   AnnoyDirectoryForm form, const AnnoyCentroid *const *leaves,
				   int count)
{
	int			s = sketcher->sketch_dimensions;
	float	   *scratch = palloc(sizeof(float) * s);

	Assert(count <= AnnoyDirectoryCapacity(form, s));
	AnnoyPageGetDirectoryHeader(page)->form = form;
	if (form == ANNOY_DIRECTORY_CODES)
		set_reference(page, s, leaves, count);
	for (int i = 0; i < count; i++)
		AnnoySetDirectoryEntry(page, sketcher, i, leaves[i], scratch);
	AnnoySetDirectoryCount(page, s, count);
	pfree(scratch);
}

/* code: s / 8 bytes and what aligns the next entry. */
static void
encode_leaf(Page page, const AnnoySketcher *sketcher, const AnnoyCentroid *leaf,
			float *scratch, uint8 *code, float *f1, float *f2)
{
	AnnoyDirectoryReference reference = AnnoyPageGetDirectoryReference(page);
	int			s = sketcher->sketch_dimensions;

	dequantise_centroid(s, leaf->centroid, leaf->scale, scratch);
	AnnoyEncodeCentroid(s, scratch, reference->centroid, reference->scale, code,
						f1, f2);
}

void
AnnoySetDirectoryEntry(Page page, const AnnoySketcher *sketcher, int place,
					   const AnnoyCentroid *leaf, float *scratch)
{
	int			s = sketcher->sketch_dimensions;
	AnnoyDirectoryEntry entry = AnnoyPageGetDirectoryEntry(page, s, place);

	entry->leaf = leaf->link;
	entry->extra = leaf->extra;
	if (AnnoyPageGetDirectoryHeader(page)->form == ANNOY_DIRECTORY_CODES)
	{
		memset(entry->data.code, 0, TYPEALIGN(sizeof(float4), s / 8));
		encode_leaf(page, sketcher, leaf, scratch, entry->data.code,
					&entry->scale, &entry->norm_squared);
	}
	else
	{
		entry->scale = leaf->scale;
		entry->norm_squared = leaf->norm_squared;
		memcpy(entry->data.centroid, leaf->centroid, s);
	}
}

bool
AnnoyMatchDirectoryEntry(Page page, const AnnoySketcher *sketcher, int place,
						 const AnnoyCentroid *leaf)
{
	int			s = sketcher->sketch_dimensions;
	AnnoyDirectoryEntry entry = AnnoyPageGetDirectoryEntry(page, s, place);
	AnnoyDirectoryEntry expected;
	const void *data;
	Size		size;
	float	   *scratch;
	bool		same;

	if (AnnoyPageGetDirectoryHeader(page)->form == ANNOY_DIRECTORY_CODES)
	{
		expected = palloc0(AnnoyDirectoryEntrySize(ANNOY_DIRECTORY_CODES, s));
		scratch = palloc(sizeof(float) * s);
		encode_leaf(page, sketcher, leaf, scratch, expected->data.code,
					&expected->scale, &expected->norm_squared);
		pfree(scratch);
		data = expected->data.code;
		size = s / 8;
	}
	else
	{
		expected = palloc0(sizeof(AnnoyDirectoryEntryData));
		expected->scale = leaf->scale;
		expected->norm_squared = leaf->norm_squared;
		data = leaf->centroid;
		size = s;
	}
	/* bit for bit, so that NaN would be no excuse */
	same = memcmp(&entry->scale, &expected->scale, sizeof(float4)) == 0 &&
		memcmp(&entry->norm_squared, &expected->norm_squared,
			   sizeof(float4)) == 0 &&
		memcmp(&entry->extra, &leaf->extra, sizeof(float4)) == 0 &&
		memcmp(&entry->data, data, size) == 0;
	pfree(expected);
	return same;
}

float
AnnoyReadDirectoryCentroid(Page page, const AnnoySketcher *sketcher, int place,
						   int16 *quantised)
{
	int			s = sketcher->sketch_dimensions;
	AnnoyDirectoryEntry entry = AnnoyPageGetDirectoryEntry(page, s, place);
	AnnoyDirectoryReference reference = AnnoyPageGetDirectoryReference(page);
	float	   *sketch;
	float		scale;

	if (AnnoyPageGetDirectoryHeader(page)->form == ANNOY_DIRECTORY_CENTROIDS)
	{
		for (int i = 0; i < s; i++)
			quantised[i] = entry->data.centroid[i];
		return entry->scale;
	}
	sketch = palloc(sizeof(float) * s);
	dequantise_centroid(s, reference->centroid, reference->scale, sketch);
	for (int i = 0; i < s; i++)
		sketch[i] += (entry->data.code[i / 8] >> (i % 8) & 1 ? 0.5f : -0.5f) *
			entry->scale;
	scale = AnnoyQuantiseSketch(s, sketch, quantised);
	pfree(sketch);
	return scale;
}

static void
rank_centroids(Page page, const AnnoySketcher *sketcher,
			   const AnnoyQuery *query, float *distances)
{
	int			s = sketcher->sketch_dimensions;
	int			count = AnnoyPageGetDirectoryHeader(page)->count;
	Size		stride = AnnoyDirectoryEntrySize(ANNOY_DIRECTORY_CENTROIDS, s);
	AnnoyDirectoryEntry entry = AnnoyPageGetDirectoryEntry(page, s, 0);
	int32		products[ANNOY_MAX_DIRECTORY_ENTRIES];

	annoy_kernels.dot_quantised_many(s, count, entry->data.centroid, stride,
									 query->quantised, products);
	for (int i = 0; i < count; i++)
	{
		entry = AnnoyPageGetDirectoryEntry(page, s, i);
		distances[i] = entry->extra < 0.0f && query->rank.linear ?
			AnnoyCentroidDistance(sketcher, query, entry->data.centroid,
								  entry->scale, entry->norm_squared,
								  entry->extra) :
			AnnoyDistanceOfProduct(query, products[i], entry->scale,
								   entry->norm_squared, entry->extra);
	}
}

static void
rank_codes(Page page, const AnnoySketcher *sketcher, const AnnoyQuery *query,
		   float *distances)
{
	int			s = sketcher->sketch_dimensions;
	int			count = AnnoyPageGetDirectoryHeader(page)->count;
	AnnoyDirectoryReference reference = AnnoyPageGetDirectoryReference(page);
	float		base = AnnoyCentroidDistance(sketcher, query,
											 reference->centroid,
											 reference->scale,
											 reference->norm_squared,
											 query->extra);
	Size		stride = AnnoyDirectoryEntrySize(ANNOY_DIRECTORY_CODES, s);
	AnnoyDirectoryEntry entry = AnnoyPageGetDirectoryEntry(page, s, 0);
	int32		selected[ANNOY_MAX_DIRECTORY_ENTRIES];

	annoy_kernels.sum_selected_many(s, count, entry->data.code, stride,
									query->quantised, selected);
	for (int i = 0; i < count; i++)
	{
		entry = AnnoyPageGetDirectoryEntry(page, s, i);
		distances[i] = AnnoyDistanceOfCode(query, base, selected[i],
										   entry->scale, entry->norm_squared,
										   entry->extra);
	}
}

void
AnnoyRankDirectory(Page page, const AnnoySketcher *sketcher,
				   const AnnoyQuery *query, float *distances)
{
	if (AnnoyPageGetDirectoryHeader(page)->form == ANNOY_DIRECTORY_CODES)
		rank_codes(page, sketcher, query, distances);
	else
		rank_centroids(page, sketcher, query, distances);
}

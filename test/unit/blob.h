/*-------------------------------------------------------------------------
 *
 * blob.h
 *	  Annoy files in memory, for the unit tests.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BLOB_H
#define BLOB_H

#include "exchange/annoyfiletree.h"
#include "bench.h"

/* A file in memory; what is read lies in a block of just the right size. */
typedef struct Blob
{
	char	   *data;
	size_t		size;
	size_t		allocated;
	size_t		bytes_read;		/* by all calls together */
	AnnoyFileSource source;
	AnnoyFileSink sink;
} Blob;

static inline bool
read_blob(void *context, uint64_t offset, void *out, size_t size)
{
	Blob	   *blob = context;

	if (offset > blob->size || size > blob->size - offset)
		return false;
	memcpy(out, blob->data + offset, size);
	blob->bytes_read += size;
	return true;
}

static inline bool
write_blob(void *context, uint64_t offset, const void *data, size_t size)
{
	Blob	   *blob = context;
	size_t		end = (size_t) offset + size;

	if (end > blob->allocated)
	{
		size_t		allocated = 2 * end;

		blob->data = realloc(blob->data, allocated);
		if (blob->data == NULL)
			abort();
		memset(blob->data + blob->allocated, 0, allocated - blob->allocated);
		blob->allocated = allocated;
	}
	memcpy(blob->data + offset, data, size);
	if (end > blob->size)
		blob->size = end;
	return true;
}

static inline void
open_blob(Blob *blob)
{
	memset(blob, 0, sizeof(*blob));
	blob->source.context = blob;
	blob->source.read = read_blob;
	blob->sink.context = blob;
	blob->sink.write = write_blob;
}

/* Turns what was written into what is read. */
static inline void
seal_blob(Blob *blob)
{
	blob->source.size = blob->size;
}

/* A copy with a block of its own. */
static inline void
copy_blob(Blob *copy, const char *data, size_t size)
{
	open_blob(copy);
	copy->data = malloc(size > 0 ? size : 1);
	if (copy->data == NULL)
		abort();
	memcpy(copy->data, data, size);
	copy->size = copy->allocated = size;
	seal_blob(copy);
}

static inline void *
allocate_plain(size_t size)
{
	void	   *memory = malloc(size);

	if (memory == NULL)
		abort();
	return memory;
}

static const AnnoyFileMemory plain_memory = {allocate_plain, free};

static inline AnnoyMetric
index_metric(AnnoyFileMetric metric)
{
	switch (metric)
	{
		case ANNOY_FILE_ANGULAR:
			return ANNOY_METRIC_COSINE;
		case ANNOY_FILE_EUCLIDEAN:
			return ANNOY_METRIC_L2;
		case ANNOY_FILE_MANHATTAN:
			return ANNOY_METRIC_L1;
		case ANNOY_FILE_DOT:
			return ANNOY_METRIC_INNER_PRODUCT;
		case ANNOY_FILE_HAMMING:
			break;
	}
	return ANNOY_METRIC_HAMMING;
}

/* Items of a file: vectors[i] has the id ids[i]. */
typedef struct FileItems
{
	AnnoyFileMetric metric;
	bool		late;
	int			dimensions;
	int			count;
	const float *vectors;
	int32_t    *ids;
} FileItems;

/* Writes a file of a format, with trees along a guide (or without one). */
static inline void
make_file(Blob *blob, AnnoyFileFormat format, const FileItems *items,
		  int n_trees, const AnnoySketcher *sketcher,
		  const AnnoyFileGuide *guide)
{
	AnnoyFilePlace place = {0, 0};
	AnnoyFileLayout layout;
	AnnoyFileWriter writer;
	AnnoyFileGrower grower;
	AnnoyFileError error = {ANNOY_FILE_IO, ""};
	int32_t    *ids = allocate((size_t) items->count * sizeof(int32_t));
	int32_t    *other = allocate((size_t) items->count * sizeof(int32_t));
	int32_t    *roots = allocate((size_t) n_trees * sizeof(int32_t) + 1);
	void	   *memory;
	int			i;

	open_blob(blob);
	CHECK(AnnoySetFileLayout(&layout, items->metric, items->late,
							 items->dimensions));
	writer.node = allocate(AnnoyFileRowSize(format, &layout));
	writer.max_norm = sketcher->max_norm;
	AnnoyStartFile(&writer, &blob->sink, format, &layout, n_trees);
	for (i = 0; i < items->count; i++)
		CHECK(AnnoyWriteFileItem(&writer, items->ids[i], items->vectors +
								 (size_t) i * (size_t) items->dimensions,
								 &error));
	AnnoyStartFileTrees(&writer);

	memory = allocate(AnnoyFileGrowerMemory(&layout));
	grower.writer = &writer;
	grower.written = &blob->source;
	grower.sketcher = sketcher;
	grower.guide = guide;
	grower.memory = &plain_memory;
	grower.other = other;
	AnnoySeedRandom(&grower.random, 5);
	AnnoyInitFileGrower(&grower, memory);
	for (i = 0; i < n_trees && format != ANNOY_FILE_CANONICAL; i++)
	{
		memcpy(ids, items->ids, (size_t) items->count * sizeof(int32_t));
		CHECK_THAT(AnnoyGrowFileTree(&grower, ids, items->count,
									 guide == NULL ? NULL : &place,
									 &roots[i], &error), "%s", error.message);
	}
	CHECK(AnnoyFinishFile(&writer, roots, &blob->source, &error));
	CHECK(blob->size == AnnoyFileSize(&writer));
	seal_blob(blob);

	free(writer.node);
	free(memory);
	free(ids);
	free(other);
	free(roots);
}

#endif							/* BLOB_H */

/*-------------------------------------------------------------------------
 *
 * buildspool.c
 *	  Records of one size, put into numbered partitions, each of which is read
 *	  again as a whole: in memory as long as they fit, then in a file.
 *
 * Records are collected in chunks, a list of them for each partition.  When
 * the chunks have used up the memory, all of them are written, partition after
 * partition, and are free again.  What one such flush writes of a partition is
 * an extent; a partition is its extents and what is in memory still.  So each
 * record is written once and read once for each pass, whatever the memory, and
 * nothing is sorted.  lib/sharedtuplestore.c has one partition only, and a
 * sort would have to compare what needs to be counted only.
 *
 *	file of a spool:  | extent | extent | ... | AnnoySpoolExtent[extents] |
 *
 * The extents' list is written for spools that other processes read.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <fcntl.h>

#include "miscadmin.h"
#include "storage/buffile.h"
#include "utils/memutils.h"

#include "build/buildspool.h"

/*
 * A chunk has at most MAX_CHUNK bytes, and little enough that CHUNKS_EACH fit
 * for each partition: else much of the memory would be in unfilled chunks.
 */
#define MAX_CHUNK (128 * 1024)
#define CHUNKS_EACH 8

/* Small chunks that are allocated together take so many bytes. */
#define ARENA_BYTES (64 * 1024)

/* Bytes that are read at once. */
#define READ_BYTES (32 * 1024)

#define NO_EXTENT (-1)

typedef struct SpoolChunk
{
	struct SpoolChunk *next;
	int			count;
} SpoolChunk;

#define CHUNK_HEADER MAXALIGN(sizeof(SpoolChunk))
#define CHUNK_RECORDS(chunk) ((char *) (chunk) + CHUNK_HEADER)

typedef struct AnnoySpoolExtent
{
	int64		first;			/* number of its first record in the file */
	int64		next;			/* extent of the same partition, or NO_EXTENT */
	int32		count;
	int32		partition;
} AnnoySpoolExtent;

typedef struct SpoolPartition
{
	SpoolChunk *first;
	SpoolChunk *last;
	int64		in_memory;
	int64		extent;			/* the latest, or NO_EXTENT */
	int64		in_file;
} SpoolPartition;

struct AnnoySpool
{
	Size		record_size;
	int			partition_count;
	SpoolPartition *partitions;
	MemoryContext context;		/* of all that the spool allocates ... */
	MemoryContext chunk_context;	/* ... but chunks */
	int			chunk_records;
	Size		memory;			/* for chunks that stay */
	int64		chunks_allowed;
	int64		chunks_allocated;
	SpoolChunk *free_chunks;
	FileSet    *files;			/* NULL: private */
	char		name[ANNOY_SPOOL_NAME];
	BufFile    *file;			/* NULL: nothing was written yet */
	int64		file_records;
	AnnoySpoolExtent *extents;
	int64		extent_count;
	int64		extents_allocated;
};

/* Where a reader finds records: a spool, or the file of another process. */
typedef struct SpoolSource
{
	BufFile    *file;			/* may be NULL */
	bool		own;			/* to be closed at the end */
	const AnnoySpoolExtent *extents;
	const SpoolPartition *partitions;
} SpoolSource;

struct AnnoySpoolReader
{
	Size		record_size;
	MemoryContext context;
	SpoolSource *sources;
	int			source_count;

	/* the position */
	int			partition;
	int			source;
	const SpoolChunk *chunk;	/* at hand, or NULL */
	int			chunk_next;
	int64		extent;			/* the next one to be read, or NO_EXTENT */
	int64		left;			/* of the extent at hand, in the file */
	char	   *buffer;
	int			buffer_records;
	int			buffer_count;
	int			buffer_next;
};

void
AnnoyNameSpool(char *buffer, const char *name, int process)
{
	snprintf(buffer, ANNOY_SPOOL_NAME, "%s.%d", name, process);
}

void
AnnoyReadFile(BufFile *file, void *data, Size size)
{
	if (BufFileRead(file, data, size) != size)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not read from a temporary file of an index build")));
}

static void
seek_record(BufFile *file, int64 record, Size record_size)
{
	/* BufFileSeek finds the segment of a large offset by itself */
	if (BufFileSeek(file, 0, (off_t) record * record_size, SEEK_SET) != 0)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not seek in a temporary file of an index build")));
}

static SpoolPartition *
new_partitions(int count)
{
	SpoolPartition *partitions = palloc0(sizeof(SpoolPartition) * count);

	for (int i = 0; i < count; i++)
		partitions[i].extent = NO_EXTENT;
	return partitions;
}

/* ---------------------------------------------------------------------
 * Writing
 * ---------------------------------------------------------------------
 */

static Size
chunk_size(const AnnoySpool *spool)
{
	return CHUNK_HEADER + spool->chunk_records * spool->record_size;
}

AnnoySpool *
AnnoyBeginSpool(Size record_size, int partitions, Size memory, Size borrowed,
				FileSet *files, const char *name)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "annoy spool",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	AnnoySpool *spool = palloc0(sizeof(AnnoySpool));
	Size		most = Max(memory, borrowed);
	Size		chunk = Min(most / CHUNKS_EACH / partitions, MAX_CHUNK);

	spool->record_size = record_size;
	spool->partition_count = partitions;
	spool->context = context;
	spool->chunk_records = chunk > CHUNK_HEADER ?
		Max(1, (chunk - CHUNK_HEADER) / record_size) : 1;
	spool->chunk_context = AllocSetContextCreate(context, "annoy spool chunks",
												 ALLOCSET_DEFAULT_SIZES);
	spool->chunks_allowed = Max(1, most / chunk_size(spool));
	spool->memory = memory;
	spool->files = files;
	if (files)
		strlcpy(spool->name, name, ANNOY_SPOOL_NAME);
	spool->partitions = new_partitions(partitions);
	MemoryContextSwitchTo(old);
	return spool;
}

static void
add_extent(AnnoySpool *spool, int partition, int count)
{
	AnnoySpoolExtent *extent;
	SpoolPartition *p = &spool->partitions[partition];

	if (spool->extent_count == spool->extents_allocated)
	{
		spool->extents_allocated = Max(64, spool->extents_allocated * 2);
		spool->extents = spool->extents ?
			repalloc_huge(spool->extents, sizeof(AnnoySpoolExtent) *
						  spool->extents_allocated) :
			palloc(sizeof(AnnoySpoolExtent) * spool->extents_allocated);
	}
	extent = &spool->extents[spool->extent_count];
	extent->first = spool->file_records;
	extent->next = p->extent;
	extent->count = count;
	extent->partition = partition;
	p->extent = spool->extent_count++;
	p->in_file += count;
	spool->file_records += count;
}

/* Writes all chunks to the file and frees them. */
static void
flush_chunks(AnnoySpool *spool)
{
	MemoryContext old = MemoryContextSwitchTo(spool->context);

	if (spool->file == NULL)
		spool->file = spool->files ?
			BufFileCreateFileSet(spool->files, spool->name) :
			BufFileCreateTemp(false);
	else
		seek_record(spool->file, spool->file_records, spool->record_size);
	for (int i = 0; i < spool->partition_count; i++)
	{
		SpoolPartition *p = &spool->partitions[i];
		SpoolChunk *chunk = p->first;

		if (chunk == NULL)
			continue;
		CHECK_FOR_INTERRUPTS();
		for (; chunk != NULL; chunk = chunk->next)
			BufFileWrite(spool->file, CHUNK_RECORDS(chunk),
						 chunk->count * spool->record_size);
		add_extent(spool, i, (int) p->in_memory);
		p->last->next = spool->free_chunks;
		spool->free_chunks = p->first;
		p->first = p->last = NULL;
		p->in_memory = 0;
	}
	MemoryContextSwitchTo(old);
}

/*
 * More free chunks; some at a time, since the memory context would round small
 * ones up to powers of two.
 */
static void
allocate_chunks(AnnoySpool *spool)
{
	Size		size = chunk_size(spool);
	int64		count = Max(1, ARENA_BYTES / size);
	char	   *arena;

	count = Min(count, Max(1, spool->chunks_allowed - spool->chunks_allocated));
	arena = MemoryContextAlloc(spool->chunk_context, count * size);
	for (int64 i = 0; i < count; i++)
	{
		SpoolChunk *chunk = (SpoolChunk *) (arena + i * size);

		chunk->next = spool->free_chunks;
		spool->free_chunks = chunk;
	}
	spool->chunks_allocated += count;
}

/* An empty chunk at the end of a partition. */
static SpoolChunk *
add_chunk(AnnoySpool *spool, int partition)
{
	SpoolPartition *p = &spool->partitions[partition];
	SpoolChunk *chunk;

	if (spool->free_chunks == NULL &&
		spool->chunks_allocated >= spool->chunks_allowed &&
		spool->chunks_allocated > 0)
		flush_chunks(spool);
	if (spool->free_chunks == NULL)
		allocate_chunks(spool);
	chunk = spool->free_chunks;
	spool->free_chunks = chunk->next;
	chunk->next = NULL;
	chunk->count = 0;
	if (p->last)
		p->last->next = chunk;
	else
		p->first = chunk;
	p->last = chunk;
	return chunk;
}

void *
AnnoyPutRecord(AnnoySpool *spool, int partition)
{
	SpoolPartition *p = &spool->partitions[partition];
	SpoolChunk *chunk = p->last;

	if (chunk == NULL || chunk->count == spool->chunk_records)
		chunk = add_chunk(spool, partition);
	p->in_memory++;
	return CHUNK_RECORDS(chunk) + chunk->count++ * spool->record_size;
}

void
AnnoyFinishSpool(AnnoySpool *spool, AnnoySpoolSummary *summary)
{
	if (spool->files)
	{
		flush_chunks(spool);
		BufFileWrite(spool->file, spool->extents,
					 sizeof(AnnoySpoolExtent) * spool->extent_count);
		BufFileExportFileSet(spool->file);
		BufFileClose(spool->file);
		spool->file = NULL;
		MemoryContextReset(spool->chunk_context);
		spool->free_chunks = NULL;
	}
	else if (spool->chunks_allocated * chunk_size(spool) > spool->memory)
	{
		flush_chunks(spool);
		MemoryContextReset(spool->chunk_context);
		spool->free_chunks = NULL;
	}
	if (summary)
	{
		summary->records = spool->file_records;
		summary->extents = spool->extent_count;
	}
}

void
AnnoyEndSpool(AnnoySpool *spool)
{
	if (spool->file)
		BufFileClose(spool->file);
	MemoryContextDelete(spool->context);
}

/* ---------------------------------------------------------------------
 * Reading
 * ---------------------------------------------------------------------
 */

static AnnoySpoolReader *
begin_reader(Size record_size, int sources)
{
	AnnoySpoolReader *reader = palloc0(sizeof(AnnoySpoolReader));

	reader->record_size = record_size;
	reader->context = CurrentMemoryContext;
	reader->sources = palloc0(sizeof(SpoolSource) * sources);
	reader->source_count = sources;
	reader->buffer_records = Max(1, READ_BYTES / record_size);
	reader->extent = NO_EXTENT;
	reader->source = sources;
	return reader;
}

/* A private spool as a source. */
static void
add_private_source(SpoolSource *source, AnnoySpool *spool)
{
	Assert(spool->files == NULL);
	source->file = spool->file;
	source->own = false;
	source->extents = spool->extents;
	source->partitions = spool->partitions;
}

AnnoySpoolReader *
AnnoyReadSpool(AnnoySpool *spool)
{
	AnnoySpoolReader *reader = begin_reader(spool->record_size, 1);

	add_private_source(&reader->sources[0], spool);
	return reader;
}

/* Opens the file of a process and reads its list of extents. */
static void
open_source(SpoolSource *source, Size record_size, int partitions,
			FileSet *files, const char *file_name,
			const AnnoySpoolSummary *summary)
{
	SpoolPartition *list = new_partitions(partitions);
	AnnoySpoolExtent *extents;

	source->partitions = list;
	if (summary->records == 0)
		return;
	source->own = true;
	source->file = BufFileOpenFileSet(files, file_name, O_RDONLY, false);
	extents = palloc_extended(sizeof(AnnoySpoolExtent) * summary->extents,
							  MCXT_ALLOC_HUGE);
	seek_record(source->file, summary->records, record_size);
	AnnoyReadFile(source->file, extents,
				  sizeof(AnnoySpoolExtent) * summary->extents);
	for (int64 i = 0; i < summary->extents; i++)
	{
		list[extents[i].partition].extent = i;
		list[extents[i].partition].in_file += extents[i].count;
	}
	source->extents = extents;
}

AnnoySpoolReader *
AnnoyReadSharedSpools(Size record_size, int partitions, FileSet *files,
					  const char *name, const AnnoySpoolSummary *summaries,
					  int count)
{
	AnnoySpoolReader *reader = begin_reader(record_size, count);

	for (int i = 0; i < count; i++)
	{
		char		file_name[ANNOY_SPOOL_NAME];

		AnnoyNameSpool(file_name, name, i);
		open_source(&reader->sources[i], record_size, partitions, files,
					file_name, &summaries[i]);
	}
	return reader;
}

int64
AnnoyCountRecords(AnnoySpoolReader *reader, int partition)
{
	int64		count = 0;

	for (int i = 0; i < reader->source_count; i++)
		count += reader->sources[i].partitions[partition].in_memory +
			reader->sources[i].partitions[partition].in_file;
	return count;
}

/* Goes to the beginning of a source's part of the partition. */
static void
enter_source(AnnoySpoolReader *reader, int source)
{
	reader->source = source;
	reader->chunk = NULL;
	reader->extent = NO_EXTENT;
	if (source < reader->source_count)
	{
		const SpoolPartition *p =
			&reader->sources[source].partitions[reader->partition];

		reader->chunk = p->first;
		reader->extent = p->extent;
	}
	reader->chunk_next = 0;
	reader->left = 0;
	reader->buffer_count = reader->buffer_next = 0;
}

void
AnnoySeekPartition(AnnoySpoolReader *reader, int partition)
{
	reader->partition = partition;
	enter_source(reader, 0);
}

/* Fills the buffer from the file; false when the source has no more. */
static bool
fill_buffer(AnnoySpoolReader *reader)
{
	const SpoolSource *source = &reader->sources[reader->source];
	int			count;

	if (reader->left == 0)
	{
		const AnnoySpoolExtent *extent;

		if (reader->extent == NO_EXTENT)
			return false;
		extent = &source->extents[reader->extent];
		seek_record(source->file, extent->first, reader->record_size);
		reader->left = extent->count;
		reader->extent = extent->next;
	}
	if (reader->buffer == NULL)
		reader->buffer = MemoryContextAlloc(reader->context,
											reader->buffer_records *
											reader->record_size);
	count = Min(reader->left, reader->buffer_records);
	AnnoyReadFile(source->file, reader->buffer, count * reader->record_size);
	reader->left -= count;
	reader->buffer_count = count;
	reader->buffer_next = 0;
	return true;
}

void *
AnnoyNextRecord(AnnoySpoolReader *reader, bool *stays)
{
	while (reader->source < reader->source_count)
	{
		if (reader->chunk != NULL && reader->chunk_next < reader->chunk->count)
		{
			*stays = true;
			return CHUNK_RECORDS(reader->chunk) +
				reader->chunk_next++ * reader->record_size;
		}
		if (reader->chunk != NULL)
		{
			reader->chunk = reader->chunk->next;
			reader->chunk_next = 0;
			continue;
		}
		if (reader->buffer_next < reader->buffer_count || fill_buffer(reader))
		{
			*stays = false;
			return reader->buffer + reader->buffer_next++ * reader->record_size;
		}
		enter_source(reader, reader->source + 1);
	}
	return NULL;
}

void
AnnoyEndSpoolReader(AnnoySpoolReader *reader)
{
	for (int i = 0; i < reader->source_count; i++)
		if (reader->sources[i].own && reader->sources[i].file)
			BufFileClose(reader->sources[i].file);
	if (reader->buffer)
		pfree(reader->buffer);
	pfree(reader->sources);
	pfree(reader);
}

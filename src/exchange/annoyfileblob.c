/*-------------------------------------------------------------------------
 *
 * annoyfileblob.c
 *	  Portable and canonical blobs: headers around an Annoy snapshot, or around
 *	  bare vectors.
 *
 * All integers and floats of headers are little-endian, wherever they are made;
 * the nodes in a portable blob are in the order that its header says.
 *
 *-------------------------------------------------------------------------
 */
#include <string.h>

#include "exchange/annoyfileblob.h"
#include "exchange/annoyfilenodes.h"

static const char portable_magic[ANNOY_FILE_MAGIC_SIZE] = {'A', 'N', 'N', 'O', 'Y', 'S', 'P', '1'};
static const char canonical_magic_1[ANNOY_FILE_MAGIC_SIZE] = {'A', 'N', 'N', 'O', 'Y', 'C', 'N', '1'};
static const char canonical_magic_2[ANNOY_FILE_MAGIC_SIZE] = {'A', 'N', 'N', 'O', 'Y', 'C', 'N', '2'};

/*
 * Header of a portable blob, by offset: 8 version (u16), then bytes: 10 byte
 * order, 11 sizeof(size_t), 12 sizeof(id), 13 sizeof(float), 14 metric; 16
 * dimensions (u32), 20 bytes that follow (u64).
 */
#define PORTABLE_VERSION 1
#define ORDER_LITTLE 1
#define ORDER_BIG 2

/*
 * Then the snapshot, in host byte order: i32 items, i32 nodes, u64 roots, i32
 * nodes there is room for; the roots (i32); all the nodes there is room for.
 * In front of it for Hamming: u32 dimensions, u32 words, u32 items, u32 0.
 */
#define SNAPSHOT_HEADER 20
#define HAMMING_HEADER 16

/*
 * Headers of canonical blobs: 8 version (u16), 10 flags (u16), 12 metric (u8),
 * 16 dimensions (u32); then
 *
 *	version 1: 20 items (u32), 24 trees (u32), 28 seed given (u8), 29 verbosity
 *	given (u8), 32 seed (u64), 40 verbosity (i32), 48 bytes that follow (u64)
 *	version 2: 20 items (u64), 28 trees (u64), 36 seed given, 37 verbosity
 *	given, 40 seed, 48 verbosity, 56 bytes that follow
 */
#define CANONICAL_BUILT 1

static uint64_t
get_little(const char *bytes, int size)
{
	uint64_t	value = 0;
	int			i;

	for (i = size - 1; i >= 0; i--)
		value = value << 8 | (unsigned char) bytes[i];
	return value;
}

static void
put_little(char *bytes, int size, uint64_t value)
{
	int			i;

	for (i = 0; i < size; i++)
	{
		bytes[i] = (char) (value & 0xFF);
		value >>= 8;
	}
}

void
AnnoyDecodeLittleFloats(const char *bytes, int count, float *out)
{
	int			i;

	for (i = 0; i < count; i++)
	{
		uint32_t	bits = (uint32_t) get_little(bytes + sizeof(float) * (size_t) i,
												 sizeof(float));

		memcpy(out + i, &bits, sizeof(bits));
	}
}

void
AnnoyEncodeLittleFloats(const float *in, int count, char *bytes)
{
	int			i;

	for (i = 0; i < count; i++)
	{
		uint32_t	bits;

		memcpy(&bits, in + i, sizeof(bits));
		put_little(bytes + sizeof(float) * (size_t) i, sizeof(float), bits);
	}
}

static int
host_order(void)
{
	const uint16_t one = 1;
	unsigned char first;

	memcpy(&first, &one, 1);
	return first == 1 ? ORDER_LITTLE : ORDER_BIG;
}

AnnoyFileFormat
AnnoyRecogniseFile(const char *magic)
{
	if (memcmp(magic, portable_magic, ANNOY_FILE_MAGIC_SIZE) == 0)
		return ANNOY_FILE_PORTABLE;
	if (memcmp(magic, canonical_magic_1, ANNOY_FILE_MAGIC_SIZE) == 0 ||
		memcmp(magic, canonical_magic_2, ANNOY_FILE_MAGIC_SIZE) == 0)
		return ANNOY_FILE_CANONICAL;
	return ANNOY_FILE_NATIVE;
}

/* ---------------------------------------------------------------------
 * Reading
 * ---------------------------------------------------------------------
 */

/* Metric and dimensions of a header, against what the caller says. */
static bool
check_kind(int metric_found, uint64_t dimensions_found, AnnoyFileMetric metric,
		   int dimensions, AnnoyFileError *error)
{
	if (metric_found < ANNOY_FILE_ANGULAR || metric_found > ANNOY_FILE_HAMMING)
		return AnnoyFileFailed(error, ANNOY_FILE_DAMAGED,
							   "header has unknown metric %d", metric_found);
	if (metric_found != (int) metric)
		return AnnoyFileFailed(error, ANNOY_FILE_MISMATCH,
							   "header says another metric");
	if (dimensions_found < 1 || dimensions_found > ANNOY_FILE_MAX_DIMENSIONS)
		return AnnoyFileFailed(error, ANNOY_FILE_DAMAGED,
							   "header has %llu dimensions",
							   (unsigned long long) dimensions_found);
	if (dimensions > 0 && dimensions_found != (uint64_t) dimensions)
		return AnnoyFileFailed(error, ANNOY_FILE_MISMATCH,
							   "header says %llu dimensions, not %d",
							   (unsigned long long) dimensions_found,
							   dimensions);
	return true;
}

/* Length and version of a header, against the length of what follows. */
static bool
check_payload(const AnnoyFile *file, uint64_t header, uint64_t payload,
			  AnnoyFileError *error)
{
	if (payload != file->source->size - header)
		return AnnoyFileFailed(error, ANNOY_FILE_DAMAGED,
							   "header says %llu bytes follow, there are %llu",
							   (unsigned long long) payload,
							   (unsigned long long) (file->source->size - header));
	return true;
}

/* The fields before a Hamming snapshot repeat what is said elsewhere. */
static bool
check_hamming_header(AnnoyFile *file, uint64_t *offset, int32_t *items,
					 AnnoyFileError *error)
{
	const char *bytes = AnnoyFileBytes(file, *offset, HAMMING_HEADER, error);

	if (bytes == NULL)
		return false;
	if (AnnoyFileInt(bytes) != file->layout.dimensions ||
		AnnoyFileInt(bytes + 4) != (int32_t) (file->layout.vector_size /
											  sizeof(uint64_t)) ||
		AnnoyFileInt(bytes + 12) != 0)
		return AnnoyFileFailed(error, ANNOY_FILE_DAMAGED,
							   "header of the Hamming snapshot is damaged");
	*items = AnnoyFileInt(bytes + 8);
	*offset += HAMMING_HEADER;
	return true;
}

/* Roots are nodes behind the items. */
static bool
check_roots(AnnoyFile *file, uint64_t offset, AnnoyFileError *error)
{
	int64_t		i;

	for (i = 0; i < file->n_trees; i++)
	{
		const char *bytes = AnnoyFileBytes(file, offset + sizeof(int32_t) *
										   (uint64_t) i, sizeof(int32_t),
										   error);

		if (bytes == NULL)
			return false;
		if (AnnoyFileInt(bytes) < file->n_items ||
			AnnoyFileInt(bytes) >= file->n_nodes)
			return AnnoyFileFailed(error, ANNOY_FILE_DAMAGED,
								   "root %lld is not a node",
								   (long long) i);
	}
	return true;
}

/*
 * The nodes fill the rest; dot: in the layout whose nodes do.  capacity: nodes
 * there is room for.
 */
static bool
check_node_size(AnnoyFile *file, int64_t capacity, AnnoyFileError *error)
{
	uint64_t	size = file->source->size - file->start;

	if (file->layout.metric == ANNOY_FILE_DOT &&
		size != (uint64_t) capacity * file->layout.node_size)
		AnnoySetFileLayout(&file->layout, ANNOY_FILE_DOT, true,
						   file->layout.dimensions);
	if (size != (uint64_t) capacity * file->layout.node_size)
		return AnnoyFileFailed(error, ANNOY_FILE_DAMAGED,
							   "%llu bytes are not %lld nodes",
							   (unsigned long long) size,
							   (long long) capacity);
	return true;
}

static bool
open_snapshot(AnnoyFile *file, AnnoyFileError *error)
{
	uint64_t	offset = ANNOY_PORTABLE_HEADER;
	bool		hamming = file->layout.metric == ANNOY_FILE_HAMMING;
	int32_t		items = 0;
	const char *bytes;
	int64_t		capacity;
	uint64_t	roots;

	if (hamming && !check_hamming_header(file, &offset, &items, error))
		return false;
	bytes = AnnoyFileBytes(file, offset, SNAPSHOT_HEADER, error);
	if (bytes == NULL)
		return false;
	file->n_items = AnnoyFileInt(bytes);
	file->n_nodes = AnnoyFileInt(bytes + 4);
	memcpy(&roots, bytes + 8, sizeof(roots));
	capacity = AnnoyFileInt(bytes + 16);
	offset += SNAPSHOT_HEADER;
	if (file->n_items < 0 || file->n_items > capacity ||
		file->n_nodes < 0 || file->n_nodes > capacity ||
		roots > (file->source->size - offset) / sizeof(int32_t) ||
		(hamming && items != file->n_items))
		return AnnoyFileFailed(error, ANNOY_FILE_DAMAGED,
							   "counts of the snapshot are impossible");
	file->n_trees = (int64_t) roots;
	file->start = offset + sizeof(int32_t) * roots;

	/* an empty index has a tree of no items, of which there is nothing to say */
	return check_node_size(file, capacity, error) &&
		check_roots(file, offset, error) &&
		AnnoyCheckFileNodes(file, roots > 0 && file->n_items > 0, error);
}

bool
AnnoyOpenPortable(AnnoyFile *file, AnnoyFileMetric metric, int dimensions,
				  AnnoyFileError *error)
{
	const char *bytes = AnnoyFileBytes(file, 0, ANNOY_PORTABLE_HEADER, error);
	uint64_t	found;

	if (bytes == NULL)
		return false;
	if (get_little(bytes + 8, 2) != PORTABLE_VERSION || bytes[15] != 0)
		return AnnoyFileFailed(error, ANNOY_FILE_DAMAGED,
							   "portable version %d is unknown",
							   (int) get_little(bytes + 8, 2));
	if (bytes[10] != host_order() || bytes[11] != sizeof(uint64_t) ||
		bytes[12] != sizeof(int32_t) || bytes[13] != sizeof(float))
		return AnnoyFileFailed(error, ANNOY_FILE_DAMAGED,
							   "portable data is from a machine of another kind");
	found = get_little(bytes + 16, 4);
	if (!check_kind((unsigned char) bytes[14], found, metric, dimensions, error) ||
		!check_payload(file, ANNOY_PORTABLE_HEADER, get_little(bytes + 20, 8),
					   error))
		return false;
	AnnoySetFileLayout(&file->layout, metric, false, (int) found);
	return open_snapshot(file, error);
}

bool
AnnoyOpenCanonical(AnnoyFile *file, AnnoyFileMetric metric, int dimensions,
				   AnnoyFileError *error)
{
	const char *bytes = AnnoyFileBytes(file, 0, ANNOY_CANONICAL_HEADER_1, error);
	int			version;
	uint64_t	found;
	uint64_t	items;
	uint64_t	trees;
	uint64_t	payload;

	if (bytes == NULL)
		return false;
	version = bytes[ANNOY_FILE_MAGIC_SIZE - 1] - '0';
	file->start = version == 1 ?
		ANNOY_CANONICAL_HEADER_1 : ANNOY_CANONICAL_HEADER_2;
	bytes = AnnoyFileBytes(file, 0, (size_t) file->start, error);
	if (bytes == NULL)
		return false;
	if (get_little(bytes + 8, 2) != (uint64_t) version ||
		(get_little(bytes + 10, 2) & ~(uint64_t) CANONICAL_BUILT) != 0)
		return AnnoyFileFailed(error, ANNOY_FILE_DAMAGED,
							   "canonical version %d is unknown",
							   (int) get_little(bytes + 8, 2));
	found = get_little(bytes + 16, 4);
	items = get_little(bytes + 20, version == 1 ? 4 : 8);
	trees = get_little(bytes + (version == 1 ? 24 : 28), version == 1 ? 4 : 8);
	payload = get_little(bytes + (version == 1 ? 48 : 56), 8);
	if (!check_kind((unsigned char) bytes[12], found, metric, dimensions, error) ||
		!check_payload(file, file->start, payload, error))
		return false;
	if (items > INT32_MAX || payload != items * found * sizeof(float))
		return AnnoyFileFailed(error, ANNOY_FILE_DAMAGED,
							   "%llu rows of %llu floats are not %llu bytes",
							   (unsigned long long) items,
							   (unsigned long long) found,
							   (unsigned long long) payload);
	AnnoySetFileLayout(&file->layout, metric, false, (int) found);
	file->n_items = (int64_t) items;
	file->n_nodes = 0;
	file->n_trees = trees > INT32_MAX ? INT32_MAX : (int64_t) trees;
	return true;
}

/* ---------------------------------------------------------------------
 * Writing
 * ---------------------------------------------------------------------
 */

uint64_t
AnnoyFileStart(const AnnoyFileWriter *writer)
{
	switch (writer->format)
	{
		case ANNOY_FILE_PORTABLE:
			return ANNOY_PORTABLE_HEADER + SNAPSHOT_HEADER +
				(writer->layout.metric == ANNOY_FILE_HAMMING ?
				 HAMMING_HEADER : 0) +
				sizeof(int32_t) * (uint64_t) writer->planned_trees;
		case ANNOY_FILE_CANONICAL:
			return ANNOY_CANONICAL_HEADER_2;
		case ANNOY_FILE_NATIVE:
			break;
	}
	return 0;
}

static bool
write_bytes(const AnnoyFileWriter *writer, uint64_t offset, const void *data,
			size_t size, AnnoyFileError *error)
{
	if (!writer->sink->write(writer->sink->context, offset, data, size))
		return AnnoyFileFailed(error, ANNOY_FILE_IO, "data could not be written");
	return true;
}

static bool
write_canonical_header(const AnnoyFileWriter *writer, AnnoyFileError *error)
{
	char		header[ANNOY_CANONICAL_HEADER_2] = {0};

	memcpy(header, canonical_magic_2, ANNOY_FILE_MAGIC_SIZE);
	put_little(header + 8, 2, 2);
	put_little(header + 10, 2, CANONICAL_BUILT);
	put_little(header + 12, 1, (uint64_t) writer->layout.metric);
	put_little(header + 16, 4, (uint64_t) writer->layout.dimensions);
	put_little(header + 20, 8, (uint64_t) writer->n_items);
	put_little(header + 28, 8, (uint64_t) writer->planned_trees);
	put_little(header + 56, 8, AnnoyFileSize(writer) - sizeof(header));
	return write_bytes(writer, 0, header, sizeof(header), error);
}

/* As native memory: host byte order. */
static bool
write_portable_header(const AnnoyFileWriter *writer, const int32_t *roots,
					  AnnoyFileError *error)
{
	char		header[ANNOY_PORTABLE_HEADER + HAMMING_HEADER + SNAPSHOT_HEADER] = {0};
	char	   *next = header + ANNOY_PORTABLE_HEADER;
	uint32_t	hamming[HAMMING_HEADER / sizeof(uint32_t)] = {
		(uint32_t) writer->layout.dimensions,
		(uint32_t) (writer->layout.vector_size / sizeof(uint64_t)),
		(uint32_t) writer->n_items, 0
	};
	uint64_t	count = (uint64_t) writer->n_trees;

	memcpy(header, portable_magic, ANNOY_FILE_MAGIC_SIZE);
	put_little(header + 8, 2, PORTABLE_VERSION);
	header[10] = (char) host_order();
	header[11] = sizeof(uint64_t);
	header[12] = sizeof(int32_t);
	header[13] = sizeof(float);
	header[14] = (char) writer->layout.metric;
	put_little(header + 16, 4, (uint64_t) writer->layout.dimensions);
	put_little(header + 20, 8, AnnoyFileSize(writer) - ANNOY_PORTABLE_HEADER);
	if (writer->layout.metric == ANNOY_FILE_HAMMING)
	{
		memcpy(next, hamming, HAMMING_HEADER);
		next += HAMMING_HEADER;
	}
	memcpy(next, &writer->n_items, 4);
	memcpy(next + 4, &writer->n_nodes, 4);
	memcpy(next + 8, &count, 8);
	memcpy(next + 16, &writer->n_nodes, 4);
	next += SNAPSHOT_HEADER;
	return write_bytes(writer, 0, header, (size_t) (next - header), error) &&
		write_bytes(writer, (uint64_t) (next - header), roots,
					sizeof(int32_t) * (size_t) writer->n_trees, error);
}

bool
AnnoyWriteFileHeader(AnnoyFileWriter *writer, const int32_t *roots,
					 AnnoyFileError *error)
{
	switch (writer->format)
	{
		case ANNOY_FILE_PORTABLE:
			return write_portable_header(writer, roots, error);
		case ANNOY_FILE_CANONICAL:
			return write_canonical_header(writer, error);
		case ANNOY_FILE_NATIVE:
			break;
	}
	return true;
}

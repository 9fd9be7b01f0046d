/*-------------------------------------------------------------------------
 *
 * annoyfile.c
 *	  Reading files of the library Annoy.
 *
 *-------------------------------------------------------------------------
 */
#include <string.h>

#include "exchange/annoyfileblob.h"
#include "exchange/annoyfilenodes.h"

/* ---------------------------------------------------------------------
 * Opening
 * ---------------------------------------------------------------------
 */

/* The last nodes of a file are its roots, as the library finds them. */
static bool
count_roots(AnnoyFile *file, AnnoyFileError *error)
{
	char		head[ANNOY_FILE_NODE_HEAD];
	int32_t		last_child;
	int64_t		node;

	if (!AnnoyReadNodeHead(file, file->n_nodes - 1, head, error))
		return false;
	last_child = AnnoyFileInt(head + file->layout.children_offset);
	file->n_trees = 0;
	for (node = file->n_nodes - 1; node >= file->n_items; node--)
	{
		if (!AnnoyReadNodeHead(file, node, head, error))
			return false;
		if (AnnoyFileInt(head + ANNOY_FILE_DESCENDANTS) != file->n_items)
			break;
		file->n_trees++;
	}
	if (file->n_trees > 1)
	{
		if (!AnnoyReadNodeHead(file, node + 1, head, error))
			return false;
		/* the last root itself, directly before the copies */
		if (AnnoyFileInt(head + file->layout.children_offset) == last_child)
			file->n_trees--;
	}
	return true;
}

/* Whether the source is a native file of the layout; fills in the counts. */
static bool
check_native(AnnoyFile *file, AnnoyFileError *error)
{
	char		head[ANNOY_FILE_NODE_HEAD];
	uint64_t	node_size = file->layout.node_size;

	if (file->source->size == 0 || file->source->size % node_size != 0)
		return AnnoyFileFailed(error, ANNOY_FILE_MISMATCH,
							   "size %llu is not a multiple of a node's %llu bytes",
							   (unsigned long long) file->source->size,
							   (unsigned long long) node_size);
	if (file->source->size / node_size > INT32_MAX)
		return AnnoyFileFailed(error, ANNOY_FILE_DAMAGED, "too many nodes");
	file->n_nodes = (int64_t) (file->source->size / node_size);
	if (!AnnoyReadNodeHead(file, file->n_nodes - 1, head, error))
		return false;
	file->n_items = AnnoyFileInt(head + ANNOY_FILE_DESCENDANTS);
	if (file->n_items < 1 || file->n_items >= file->n_nodes)
		return AnnoyFileFailed(error, ANNOY_FILE_DAMAGED,
							   "last of %lld nodes has %lld descendants",
							   (long long) file->n_nodes,
							   (long long) file->n_items);
	return AnnoyCheckFileNodes(file, true, error) && count_roots(file, error);
}

/* A native file of known dimensions; dot: of either layout. */
static bool
open_native(AnnoyFile *file, AnnoyFileMetric metric, int dimensions,
			AnnoyFileError *error)
{
	AnnoyFileError late_error;

	if (!AnnoySetFileLayout(&file->layout, metric, false, dimensions))
		return AnnoyFileFailed(error, ANNOY_FILE_MISMATCH,
							   "number of dimensions %d is out of range",
							   dimensions);
	if (check_native(file, error))
		return true;
	if (metric != ANNOY_FILE_DOT || error->kind == ANNOY_FILE_IO)
		return false;

	AnnoySetFileLayout(&file->layout, metric, true, dimensions);
	if (check_native(file, &late_error))
		return true;
	if (error->kind == ANNOY_FILE_MISMATCH || late_error.kind == ANNOY_FILE_IO)
		*error = late_error;
	return false;
}

/*
 * Tries all dimensions whose nodes divide the file.  Both layouts of dot come
 * out of one try, since nodes are of one size: f + 2 dimensions of the old one
 * look like f of the late one.
 */
static bool
guess_native(AnnoyFile *file, AnnoyFileMetric metric, AnnoyFileError *error)
{
	int			step = metric == ANNOY_FILE_HAMMING ? ANNOY_FILE_WORD_BITS : 1;
	int			found = 0;
	int			dimensions;

	file->guessing = true;
	for (dimensions = step; dimensions <= ANNOY_FILE_MAX_DIMENSIONS;
		 dimensions += step)
	{
		AnnoySetFileLayout(&file->layout, metric, false, dimensions);
		if (file->layout.node_size > file->source->size / 2)
			break;
		if (file->source->size % file->layout.node_size != 0)
			continue;
		if (!check_native(file, error))
		{
			if (error->kind == ANNOY_FILE_IO)
				return false;
			continue;
		}
		if (found != 0)
			return AnnoyFileFailed(error, ANNOY_FILE_AMBIGUOUS,
								   "data could have %d or %d dimensions",
								   found, dimensions);
		found = dimensions;
	}
	if (found == 0)
		return AnnoyFileFailed(error, ANNOY_FILE_DAMAGED,
							   "data is no file of this metric, for any number of dimensions");

	AnnoySetFileLayout(&file->layout, metric, false, found);
	if (!check_native(file, error))
		return false;
	if (metric == ANNOY_FILE_DOT && found > 2)
	{
		bool		late;

		AnnoySetFileLayout(&file->layout, metric, true, found - 2);
		if (!AnnoyIsLateDot(file, &late, error))
			return false;
		if (!late)
			AnnoySetFileLayout(&file->layout, metric, false, found);
	}
	return true;
}

bool
AnnoyOpenFile(AnnoyFile *file, const AnnoyFileSource *source,
			  AnnoyFileMetric metric, int dimensions, AnnoyFileError *error)
{
	const char *magic;

	file->source = source;
	file->format = ANNOY_FILE_NATIVE;
	file->guessing = false;
	file->start = 0;
	file->n_trees = 0;
	file->window_offset = 0;
	file->window_size = 0;
	if (source->size == 0)
		return AnnoyFileFailed(error, ANNOY_FILE_DAMAGED, "data is empty");
	if (source->size >= ANNOY_FILE_MAGIC_SIZE)
	{
		magic = AnnoyFileBytes(file, 0, ANNOY_FILE_MAGIC_SIZE, error);
		if (magic == NULL)
			return false;
		file->format = AnnoyRecogniseFile(magic);
	}
	switch (file->format)
	{
		case ANNOY_FILE_PORTABLE:
			return AnnoyOpenPortable(file, metric, dimensions, error);
		case ANNOY_FILE_CANONICAL:
			return AnnoyOpenCanonical(file, metric, dimensions, error);
		case ANNOY_FILE_NATIVE:
			break;
	}
	if (dimensions > 0)
		return open_native(file, metric, dimensions, error);
	return guess_native(file, metric, error);
}

/* ---------------------------------------------------------------------
 * Items
 * ---------------------------------------------------------------------
 */

static bool
read_vector(AnnoyFile *file, uint64_t start, float *vector,
			AnnoyFileError *error)
{
	const AnnoyFileLayout *layout = &file->layout;
	bool		bits = layout->metric == ANNOY_FILE_HAMMING &&
		file->format != ANNOY_FILE_CANONICAL;
	size_t		total = bits ? layout->vector_size :
		sizeof(float) * (size_t) layout->dimensions;
	size_t		done;

	for (done = 0; done < total; done += ANNOY_FILE_PIECE)
	{
		size_t		size = total - done < ANNOY_FILE_PIECE ?
			total - done : ANNOY_FILE_PIECE;
		const char *bytes = AnnoyFileBytes(file, start + done, size, error);

		if (bytes == NULL)
			return false;
		if (file->format == ANNOY_FILE_CANONICAL)
			AnnoyDecodeLittleFloats(bytes, (int) (size / sizeof(float)),
									vector + done / sizeof(float));
		else if (bits)
		{
			uint64_t	words[ANNOY_FILE_PIECE / sizeof(uint64_t)];
			int			first = (int) done * 8;
			int			count = layout->dimensions - first;

			memcpy(words, bytes, size);
			if (count > (int) size * 8)
				count = (int) size * 8;
			AnnoyUnpackFileBits(count, words, vector + first);
		}
		else
			memcpy((char *) vector + done, bytes, size);
	}
	return true;
}

bool
AnnoyReadFileItem(AnnoyFile *file, int64_t id, float *vector, bool *present,
				  AnnoyFileError *error)
{
	char		head[ANNOY_FILE_NODE_HEAD];

	*present = true;
	if (file->format == ANNOY_FILE_CANONICAL)
		return read_vector(file, file->start + sizeof(float) *
						   (uint64_t) file->layout.dimensions * (uint64_t) id,
						   vector, error);
	if (!AnnoyReadNodeHead(file, id, head, error))
		return false;
	*present = AnnoyFileInt(head + ANNOY_FILE_DESCENDANTS) == 1;
	return !*present ||
		read_vector(file, AnnoyNodeOffset(file, id) + file->layout.vector_offset,
					vector, error);
}

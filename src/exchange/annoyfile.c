/*-------------------------------------------------------------------------
 *
 * annoyfile.c
 *	  Reading and checking files of the library Annoy.
 *
 * A file is read through a window that moves over it, so that memory does not
 * grow with the file, nor with a node.
 *
 *-------------------------------------------------------------------------
 */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "exchange/annoyfile.h"

/* Bytes of a vector that are looked at together. */
#define VECTOR_PIECE 8192

/* Windows that end with certain bytes keep the alignment of what they show. */
#define WINDOW_ALIGNMENT 8

/* A norm is that of its vector if it differs by no more than this part. */
#define NORM_TOLERANCE 1.0e-3

/* Fields of a node; see AnnoySetFileLayout. */
#define DESCENDANTS_OFFSET 0
#define ANGULAR_NORM_OFFSET 4
#define DOT_FACTOR_OFFSET 12
#define LATE_NORM_OFFSET 16
#define LATE_BUILT_OFFSET 20
#define LATE_VECTOR_OFFSET 24

bool
AnnoyFileFailed(AnnoyFileError *error, AnnoyFileErrorKind kind,
				const char *format,...)
{
	va_list		arguments;

	error->kind = kind;
	va_start(arguments, format);
	vsnprintf(error->message, sizeof(error->message), format, arguments);
	va_end(arguments);
	return false;
}

bool
AnnoySetFileLayout(AnnoyFileLayout *layout, AnnoyFileMetric metric, bool late,
				   int dimensions)
{
	if (dimensions < 1 || dimensions > ANNOY_FILE_MAX_DIMENSIONS)
		return false;

	layout->metric = metric;
	layout->late = late;
	layout->dimensions = dimensions;
	layout->children_offset = 4;
	layout->vector_size = sizeof(float) * (size_t) dimensions;
	switch (metric)
	{
		case ANNOY_FILE_ANGULAR:
			layout->vector_offset = 12;
			break;
		case ANNOY_FILE_EUCLIDEAN:
		case ANNOY_FILE_MANHATTAN:
			layout->children_offset = 8;
			layout->vector_offset = 16;
			break;
		case ANNOY_FILE_DOT:
			layout->vector_offset = late ? LATE_VECTOR_OFFSET : 16;
			break;
		case ANNOY_FILE_HAMMING:
			layout->vector_offset = 16;
			layout->vector_size = sizeof(uint64_t) *
				(size_t) ((dimensions + ANNOY_FILE_WORD_BITS - 1) /
						  ANNOY_FILE_WORD_BITS);
			break;
	}
	layout->node_size = layout->vector_offset + layout->vector_size;
	layout->capacity = (int32_t) ((layout->node_size - layout->children_offset) /
								  sizeof(int32_t));
	return true;
}

/* ---------------------------------------------------------------------
 * Access
 * ---------------------------------------------------------------------
 */

/*
 * Where the window goes to show some bytes: on from them, or, if it comes from
 * behind them, to end with them.  Else a file read backwards, as for its roots,
 * would be read a window for every node.
 */
static uint64_t
window_start(const AnnoyFile *file, uint64_t offset, size_t size)
{
	uint64_t	end = (offset + size + WINDOW_ALIGNMENT - 1) /
		WINDOW_ALIGNMENT * WINDOW_ALIGNMENT;

	if (offset >= file->window_offset)
		return offset;
	return end > sizeof(file->window) ? end - sizeof(file->window) : 0;
}

/*
 * Some bytes of the source, at most VECTOR_PIECE, 8-byte aligned only if the
 * offset is; good until the next call.  NULL: there are none, or the source
 * failed.
 */
const char *
AnnoyFileBytes(AnnoyFile *file, uint64_t offset, size_t size,
			   AnnoyFileError *error)
{
	if (offset > file->source->size || size > file->source->size - offset)
	{
		AnnoyFileFailed(error, ANNOY_FILE_DAMAGED, "data ends too early");
		return NULL;
	}
	if (offset < file->window_offset ||
		offset + size > file->window_offset + file->window_size)
	{
		uint64_t	start = window_start(file, offset, size);
		uint64_t	rest = file->source->size - start;
		size_t		length = rest < sizeof(file->window) ?
			(size_t) rest : sizeof(file->window);

		file->window_size = 0;
		if (!file->source->read(file->source->context, start, file->window,
								length))
		{
			AnnoyFileFailed(error, ANNOY_FILE_IO, "data could not be read");
			return NULL;
		}
		file->window_offset = start;
		file->window_size = length;
	}
	return (const char *) file->window + (offset - file->window_offset);
}

int32_t
AnnoyFileInt(const char *bytes)
{
	int32_t		value;

	memcpy(&value, bytes, sizeof(value));
	return value;
}

static float
get_float(const char *bytes)
{
	float		value;

	memcpy(&value, bytes, sizeof(value));
	return value;
}

static uint64_t
node_offset(const AnnoyFile *file, int64_t node)
{
	return AnnoyFileNodeOffset(file->start, &file->layout, node);
}

/* The fields in front of the vector, copied: LATE_VECTOR_OFFSET bytes. */
static bool
read_node_head(AnnoyFile *file, int64_t node, char *head, AnnoyFileError *error)
{
	const char *bytes = AnnoyFileBytes(file, node_offset(file, node),
									   file->layout.vector_offset, error);

	if (bytes == NULL)
		return false;
	memcpy(head, bytes, file->layout.vector_offset);
	return true;
}

/* What is known of a vector after a look at it. */
typedef struct VectorSummary
{
	double		squares;		/* floats: sum of squares */
	bool		zero;			/* all bytes are */
	bool		beyond;			/* Hamming: a bit behind the last one is set */
} VectorSummary;

static void
summarise_words(const AnnoyFileLayout *layout, size_t done, const char *bytes,
				size_t size, VectorSummary *summary)
{
	size_t		i;

	for (i = 0; i < size; i += sizeof(uint64_t))
	{
		uint64_t	bits_before = (done + i) * 8;
		uint64_t	left = (uint64_t) layout->dimensions - bits_before;
		uint64_t	word;

		memcpy(&word, bytes + i, sizeof(word));
		if (word != 0)
			summary->zero = false;
		if (left < ANNOY_FILE_WORD_BITS && word >> left != 0)
			summary->beyond = true;
	}
}

static bool
summarise_vector(AnnoyFile *file, int64_t node, VectorSummary *summary,
				 AnnoyFileError *error)
{
	const AnnoyFileLayout *layout = &file->layout;
	uint64_t	start = node_offset(file, node) + layout->vector_offset;
	size_t		done;
	size_t		i;

	summary->squares = 0.0;
	summary->zero = true;
	summary->beyond = false;
	for (done = 0; done < layout->vector_size; done += VECTOR_PIECE)
	{
		size_t		rest = layout->vector_size - done;
		size_t		size = rest < VECTOR_PIECE ? rest : VECTOR_PIECE;
		const char *bytes = AnnoyFileBytes(file, start + done, size, error);

		if (bytes == NULL)
			return false;
		if (layout->metric == ANNOY_FILE_HAMMING)
		{
			summarise_words(layout, done, bytes, size, summary);
			continue;
		}
		for (i = 0; i < size; i += sizeof(float))
		{
			float		x = get_float(bytes + i);

			if (AnnoyFileInt(bytes + i) != 0)
				summary->zero = false;
			summary->squares += (double) x * (double) x;
		}
	}
	return true;
}

/* ---------------------------------------------------------------------
 * Checks
 * ---------------------------------------------------------------------
 */

/* Norms of vectors whose squares are beyond float say nothing. */
static bool
is_norm_of(float norm, double squares)
{
	if (!isfinite(squares) || squares > 1.0e37 || squares < 1.0e-37)
		return true;
	return fabs((double) norm - squares) <= NORM_TOLERANCE * squares;
}

static bool
check_item(AnnoyFile *file, int64_t id, AnnoyFileError *error)
{
	const AnnoyFileLayout *layout = &file->layout;
	char		head[LATE_VECTOR_OFFSET];
	VectorSummary summary;
	int32_t		descendants;

	if (!read_node_head(file, id, head, error) ||
		!summarise_vector(file, id, &summary, error))
		return false;
	descendants = AnnoyFileInt(head + DESCENDANTS_OFFSET);
	if (descendants != 0 && descendants != 1)
		return AnnoyFileFailed(error, ANNOY_FILE_DAMAGED,
							   "item %lld has %d descendants",
							   (long long) id, descendants);
	if (descendants == 0 &&
		(!summary.zero || AnnoyFileInt(head + layout->children_offset) != 0))
		return AnnoyFileFailed(error, ANNOY_FILE_DAMAGED,
							   "missing item %lld is not all zero",
							   (long long) id);
	if (summary.beyond)
		return AnnoyFileFailed(error, ANNOY_FILE_MISMATCH,
							   "item %lld has more than %d bits",
							   (long long) id, layout->dimensions);
	if (layout->metric == ANNOY_FILE_ANGULAR &&
		AnnoyFileInt(head + ANGULAR_NORM_OFFSET) != 0 &&
		!is_norm_of(get_float(head + ANGULAR_NORM_OFFSET), summary.squares))
		return AnnoyFileFailed(error, ANNOY_FILE_DAMAGED,
							   "norm of item %lld is not that of its vector",
							   (long long) id);
	if (layout->late && descendants == 1 &&
		(unsigned char) head[LATE_BUILT_OFFSET] > 1)
		return AnnoyFileFailed(error, ANNOY_FILE_DAMAGED,
							   "item %lld has an impossible flag",
							   (long long) id);
	return true;
}

/*
 * The ids of a list: all of items.  Behind them the library leaves zeros: what
 * is taken for a list may be something else.
 */
static bool
check_list(AnnoyFile *file, int64_t node, int32_t count, AnnoyFileError *error)
{
	uint64_t	start = node_offset(file, node) + file->layout.children_offset;
	size_t		used = sizeof(int32_t) * (size_t) count;
	size_t		size = file->guessing ?
		file->layout.node_size - file->layout.children_offset : used;
	size_t		done;
	size_t		i;

	for (done = 0; done < size; done += VECTOR_PIECE)
	{
		size_t		piece = size - done < VECTOR_PIECE ?
			size - done : VECTOR_PIECE;
		const char *bytes = AnnoyFileBytes(file, start + done, piece, error);

		if (bytes == NULL)
			return false;
		for (i = 0; i < piece; i += sizeof(int32_t))
		{
			int32_t		id = AnnoyFileInt(bytes + i);

			if (id < 0 || id >= file->n_items)
				return AnnoyFileFailed(error, ANNOY_FILE_DAMAGED,
									   "node %lld lists an item that is not there",
									   (long long) node);
			if (done + i >= used && id != 0)
				return AnnoyFileFailed(error, ANNOY_FILE_DAMAGED,
									   "node %lld is no list",
									   (long long) node);
		}
	}
	return true;
}

/* A hyperplane, or the bit that a Hamming node tests. */
static bool
check_split(AnnoyFile *file, int64_t node, const char *head,
			AnnoyFileError *error)
{
	const AnnoyFileLayout *layout = &file->layout;
	int			side;

	for (side = 0; side < 2; side++)
	{
		int32_t		child = AnnoyFileInt(head + layout->children_offset +
									sizeof(int32_t) * (size_t) side);

		/* children come before parents, so there is no cycle */
		if (child < 0 || child >= node)
			return AnnoyFileFailed(error, ANNOY_FILE_DAMAGED,
								   "node %lld has an impossible child",
								   (long long) node);
	}
	if (layout->metric == ANNOY_FILE_HAMMING)
	{
		const char *bytes = AnnoyFileBytes(file, node_offset(file, node) +
										   layout->vector_offset,
										   sizeof(uint64_t), error);
		uint64_t	bit;

		if (bytes == NULL)
			return false;
		memcpy(&bit, bytes, sizeof(bit));
		if (bit >= layout->vector_size * 8)
			return AnnoyFileFailed(error, ANNOY_FILE_DAMAGED,
								   "node %lld tests a bit that is not there",
								   (long long) node);
	}
	return true;
}

static bool
check_tree_node(AnnoyFile *file, int64_t node, AnnoyFileError *error)
{
	char		head[LATE_VECTOR_OFFSET];
	int32_t		descendants;

	if (!read_node_head(file, node, head, error))
		return false;
	descendants = AnnoyFileInt(head + DESCENDANTS_OFFSET);
	if (descendants < 1 || descendants > file->n_items)
		return AnnoyFileFailed(error, ANNOY_FILE_DAMAGED,
							   "node %lld has %d descendants, of %lld items",
							   (long long) node, descendants,
							   (long long) file->n_items);
	if (descendants <= file->layout.capacity)
		return check_list(file, node, descendants, error);
	return check_split(file, node, head, error);
}

/*
 * All nodes of a snapshot; built: there are trees.  n_items and n_nodes are
 * known, and the source has that many nodes.
 */
bool
AnnoyCheckFileNodes(AnnoyFile *file, bool built, AnnoyFileError *error)
{
	int64_t		i;

	if (built && file->n_items >= file->n_nodes)
		return AnnoyFileFailed(error, ANNOY_FILE_DAMAGED,
							   "%lld items and no tree in %lld nodes",
							   (long long) file->n_items,
							   (long long) file->n_nodes);
	for (i = 0; i < file->n_items; i++)
		if (!check_item(file, i, error))
			return false;
	for (i = file->n_items; built && i < file->n_nodes; i++)
		if (!check_tree_node(file, i, error))
			return false;
	return true;
}

/* The last nodes of a file are its roots, as the library finds them. */
static bool
count_roots(AnnoyFile *file, AnnoyFileError *error)
{
	char		head[LATE_VECTOR_OFFSET];
	int32_t		last_child;
	int64_t		node;

	if (!read_node_head(file, file->n_nodes - 1, head, error))
		return false;
	last_child = AnnoyFileInt(head + file->layout.children_offset);
	file->n_trees = 0;
	for (node = file->n_nodes - 1; node >= file->n_items; node--)
	{
		if (!read_node_head(file, node, head, error))
			return false;
		if (AnnoyFileInt(head + DESCENDANTS_OFFSET) != file->n_items)
			break;
		file->n_trees++;
	}
	if (file->n_trees > 1)
	{
		if (!read_node_head(file, node + 1, head, error))
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
	char		head[LATE_VECTOR_OFFSET];
	uint64_t	node_size = file->layout.node_size;

	if (file->source->size == 0 || file->source->size % node_size != 0)
		return AnnoyFileFailed(error, ANNOY_FILE_MISMATCH,
							   "size %llu is not a multiple of a node's %llu bytes",
							   (unsigned long long) file->source->size,
							   (unsigned long long) node_size);
	if (file->source->size / node_size > INT32_MAX)
		return AnnoyFileFailed(error, ANNOY_FILE_DAMAGED, "too many nodes");
	file->n_nodes = (int64_t) (file->source->size / node_size);
	if (!read_node_head(file, file->n_nodes - 1, head, error))
		return false;
	file->n_items = AnnoyFileInt(head + DESCENDANTS_OFFSET);
	if (file->n_items < 1 || file->n_items >= file->n_nodes)
		return AnnoyFileFailed(error, ANNOY_FILE_DAMAGED,
							   "last of %lld nodes has %lld descendants",
							   (long long) file->n_nodes,
							   (long long) file->n_items);
	return AnnoyCheckFileNodes(file, true, error) && count_roots(file, error);
}

/*
 * Whether nodes of the late layout are what the file has: every item's norm is
 * then that of its lifted vector, which the other layout would take for two
 * elements.
 */
bool
AnnoyIsLateDot(AnnoyFile *file, bool *late, AnnoyFileError *error)
{
	char		head[LATE_VECTOR_OFFSET];
	VectorSummary summary;
	int64_t		i;

	*late = false;
	for (i = 0; i < file->n_items; i++)
	{
		float		factor;

		if (!read_node_head(file, i, head, error) ||
			!summarise_vector(file, i, &summary, error))
			return false;
		factor = get_float(head + DOT_FACTOR_OFFSET);
		if (AnnoyFileInt(head + DESCENDANTS_OFFSET) == 1 &&
			((unsigned char) head[LATE_BUILT_OFFSET] > 1 ||
			 !is_norm_of(get_float(head + LATE_NORM_OFFSET),
						 summary.squares + (double) factor * (double) factor)))
			return true;
	}
	*late = true;
	return true;
}

/* ---------------------------------------------------------------------
 * Opening
 * ---------------------------------------------------------------------
 */

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

void
AnnoyPackFileBits(int dimensions, const float *vector, uint64_t *words)
{
	int			i;

	for (i = 0; i < dimensions; i++)
	{
		if (i % ANNOY_FILE_WORD_BITS == 0)
			words[i / ANNOY_FILE_WORD_BITS] = 0;
		if (vector[i] > 0.5f)
			words[i / ANNOY_FILE_WORD_BITS] |=
				UINT64_C(1) << (i % ANNOY_FILE_WORD_BITS);
	}
}

void
AnnoyUnpackFileBits(int dimensions, const uint64_t *words, float *vector)
{
	int			i;

	for (i = 0; i < dimensions; i++)
		vector[i] = AnnoyFileBit(words, i) ? 1.0f : 0.0f;
}

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

	for (done = 0; done < total; done += VECTOR_PIECE)
	{
		size_t		size = total - done < VECTOR_PIECE ?
			total - done : VECTOR_PIECE;
		const char *bytes = AnnoyFileBytes(file, start + done, size, error);

		if (bytes == NULL)
			return false;
		if (file->format == ANNOY_FILE_CANONICAL)
			AnnoyDecodeLittleFloats(bytes, (int) (size / sizeof(float)),
									vector + done / sizeof(float));
		else if (bits)
		{
			uint64_t	words[VECTOR_PIECE / sizeof(uint64_t)];
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
	char		head[LATE_VECTOR_OFFSET];

	*present = true;
	if (file->format == ANNOY_FILE_CANONICAL)
		return read_vector(file, file->start + sizeof(float) *
						   (uint64_t) file->layout.dimensions * (uint64_t) id,
						   vector, error);
	if (!read_node_head(file, id, head, error))
		return false;
	*present = AnnoyFileInt(head + DESCENDANTS_OFFSET) == 1;
	return !*present ||
		read_vector(file, node_offset(file, id) + file->layout.vector_offset,
					vector, error);
}

/*-------------------------------------------------------------------------
 *
 * annoyfilewrite.c
 *	  Writing nodes of a file of the library Annoy.
 *
 *-------------------------------------------------------------------------
 */
#include <math.h>
#include <string.h>

#include "arith/kernel.h"
#include "exchange/annoyfileblob.h"

/* Beside what the layout says: fields of single metrics. */
#define ANGULAR_NORM_OFFSET 4
#define MINKOWSKI_OFFSET_OFFSET 4
#define DOT_FACTOR_OFFSET 12
#define LATE_NORM_OFFSET 16
#define LATE_BUILT_OFFSET 20

void
AnnoyStartFile(AnnoyFileWriter *writer, const AnnoyFileSink *sink,
			   AnnoyFileFormat format, const AnnoyFileLayout *layout,
			   int n_trees)
{
	writer->sink = sink;
	writer->format = format;
	writer->layout = *layout;
	writer->n_items = 0;
	writer->n_nodes = 0;
	writer->n_trees = 0;
	writer->planned_trees = n_trees;
	writer->start = AnnoyFileStart(writer);
}

static uint64_t
row_size(const AnnoyFileWriter *writer)
{
	return AnnoyFileRowSize(writer->format, &writer->layout);
}

static bool
write_row(AnnoyFileWriter *writer, int32_t row, AnnoyFileError *error)
{
	uint64_t	size = row_size(writer);

	if (!writer->sink->write(writer->sink->context,
							 writer->start + size * (uint64_t) row,
							 writer->node, (size_t) size))
		return AnnoyFileFailed(error, ANNOY_FILE_IO, "data could not be written");
	return true;
}

/* Everything that a node has is set by its writer, the rest is zero. */
static void
clear_node(AnnoyFileWriter *writer, int32_t descendants)
{
	memset(writer->node, 0, writer->layout.node_size);
	memcpy(writer->node, &descendants, sizeof(descendants));
}

static void
put_float(AnnoyFileWriter *writer, size_t offset, float value)
{
	memcpy(writer->node + offset, &value, sizeof(value));
}

/* What an item has beside its vector. */
static void
put_item_fields(AnnoyFileWriter *writer, const float *vector)
{
	double		squares;
	double		lift;

	if (writer->layout.metric != ANNOY_FILE_ANGULAR &&
		writer->layout.metric != ANNOY_FILE_DOT)
		return;
	squares = annoy_kernels.square_sum(writer->layout.dimensions, vector);
	if (writer->layout.metric == ANNOY_FILE_ANGULAR)
	{
		put_float(writer, ANGULAR_NORM_OFFSET, (float) squares);
		return;
	}

	/* the further coordinate with which all items have the largest norm */
	lift = (double) writer->max_norm * (double) writer->max_norm - squares;
	if (lift < 0.0)
		lift = 0.0;
	put_float(writer, DOT_FACTOR_OFFSET, (float) sqrt(lift));
	if (writer->layout.late)
	{
		put_float(writer, LATE_NORM_OFFSET, (float) (squares + lift));
		writer->node[LATE_BUILT_OFFSET] = 1;
	}
}

bool
AnnoyWriteFileItem(AnnoyFileWriter *writer, int32_t id, const float *vector,
				   AnnoyFileError *error)
{
	const AnnoyFileLayout *layout = &writer->layout;

	if (id < 0 || id > ANNOY_FILE_MAX_ID)
		return AnnoyFileFailed(error, ANNOY_FILE_LIMIT,
							   "id %d is out of range", id);
	if (id >= writer->n_items)
		writer->n_items = id + 1;
	if (writer->format == ANNOY_FILE_CANONICAL)
	{
		AnnoyEncodeLittleFloats(vector, layout->dimensions, writer->node);
		return write_row(writer, id, error);
	}

	clear_node(writer, 1);
	put_item_fields(writer, vector);
	if (layout->metric == ANNOY_FILE_HAMMING)
		/* words begin at a multiple of their size, as the node does */
		AnnoyPackFileBits(layout->dimensions, vector,
						  (uint64_t *) (void *) (writer->node +
												 layout->vector_offset));
	else
		memcpy(writer->node + layout->vector_offset, vector,
			   layout->vector_size);
	return write_row(writer, id, error);
}

void
AnnoyStartFileTrees(AnnoyFileWriter *writer)
{
	writer->n_nodes = writer->n_items;
}

/* Writes the node as the next one. */
static bool
append_node(AnnoyFileWriter *writer, int32_t *node, AnnoyFileError *error)
{
	if (writer->n_nodes == INT32_MAX)
		return AnnoyFileFailed(error, ANNOY_FILE_LIMIT,
							   "a file can have no more than %d nodes",
							   INT32_MAX);
	*node = writer->n_nodes++;
	return write_row(writer, *node, error);
}

bool
AnnoyWriteFileList(AnnoyFileWriter *writer, const int32_t *ids, int32_t count,
				   bool root, int32_t *node, AnnoyFileError *error)
{
	clear_node(writer, root ? writer->n_items : count);
	memcpy(writer->node + writer->layout.children_offset, ids,
		   sizeof(int32_t) * (size_t) count);
	return append_node(writer, node, error);
}

bool
AnnoyWriteFileSplit(AnnoyFileWriter *writer, const AnnoyFileSplit *split,
					int32_t *node, AnnoyFileError *error)
{
	const AnnoyFileLayout *layout = &writer->layout;
	uint64_t	bit = AnnoyFileTestedBit(split->bit);

	clear_node(writer, split->root ? writer->n_items : split->descendants);
	memcpy(writer->node + layout->children_offset, split->children,
		   sizeof(split->children));
	if (layout->metric == ANNOY_FILE_HAMMING)
		memcpy(writer->node + layout->vector_offset, &bit, sizeof(bit));
	else
		memcpy(writer->node + layout->vector_offset, split->normal,
			   layout->vector_size);
	if (layout->metric == ANNOY_FILE_EUCLIDEAN ||
		layout->metric == ANNOY_FILE_MANHATTAN)
		put_float(writer, MINKOWSKI_OFFSET_OFFSET, split->offset);
	if (layout->late)
		put_float(writer, DOT_FACTOR_OFFSET, split->offset);
	return append_node(writer, node, error);
}

/*
 * Copies of the roots, the last root directly before them: that is how the
 * library finds them.
 */
bool
AnnoyFinishFile(AnnoyFileWriter *writer, const int32_t *roots,
				const AnnoyFileSource *written, AnnoyFileError *error)
{
	int			i;

	for (i = 0; i < writer->n_trees; i++)
	{
		int32_t		copy;

		if (!written->read(written->context,
						   AnnoyFileNodeOffset(writer->start, &writer->layout,
											   roots[i]),
						   writer->node, writer->layout.node_size))
			return AnnoyFileFailed(error, ANNOY_FILE_IO,
								   "data could not be read");
		if (!append_node(writer, &copy, error))
			return false;
	}
	return AnnoyWriteFileHeader(writer, roots, error);
}

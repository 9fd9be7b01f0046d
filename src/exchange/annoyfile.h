/*-------------------------------------------------------------------------
 *
 * annoyfile.h
 *	  Files and blobs of the library Annoy: layouts, reading, writing.
 *
 * Like the arithmetic, this knows no PostgreSQL and allocates nothing; it is
 * tested alone (test/unit).  Input is not trusted: no offset, count or length
 * of it is used before it is checked.
 *
 * A native file is an array of nodes of one size, in host byte order:
 *
 *	+--------+--------+     +----------+------+     +------+------+     +------+
 *	| item 0 | item 1 | ... | item n-1 | node | ... | root | copy | ... | copy |
 *	+--------+--------+     +----------+------+     +------+------+     +------+
 *
 * Items first, by id (all zero where there is none), then the trees, children
 * before parents, then a copy of every root.  A node is, by its number of
 * descendants, an item (1), a list of ids (up to the layout's capacity) or a
 * split.  There is no header: metric and dimensions must be known.
 *
 * Portable blobs have a header in front of a snapshot of the same nodes,
 * canonical ones (two versions) a header in front of bare rows of floats.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ANNOY_ANNOYFILE_H
#define ANNOY_ANNOYFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* As in the headers of blobs. */
typedef enum AnnoyFileMetric
{
	ANNOY_FILE_ANGULAR = 1,
	ANNOY_FILE_EUCLIDEAN = 2,
	ANNOY_FILE_MANHATTAN = 3,
	ANNOY_FILE_DOT = 4,
	ANNOY_FILE_HAMMING = 5
} AnnoyFileMetric;

typedef enum AnnoyFileFormat
{
	ANNOY_FILE_NATIVE,
	ANNOY_FILE_PORTABLE,
	ANNOY_FILE_CANONICAL
} AnnoyFileFormat;

/* More than any index has; keeps all sizes far from overflow. */
#define ANNOY_FILE_MAX_DIMENSIONS (1 << 20)

/* Bits of a word of a Hamming vector. */
#define ANNOY_FILE_WORD_BITS 64

/*
 * Where things are in a node.  Files of the metric dot exist in two layouts:
 * that of the releases up to 1.17.3 and a later one, with two more fields.
 */
typedef struct AnnoyFileLayout
{
	AnnoyFileMetric metric;
	bool		late;			/* the later layout of dot */
	int			dimensions;		/* f */
	size_t		children_offset;	/* of the children, or of a list's ids */
	size_t		vector_offset;
	size_t		vector_size;
	size_t		node_size;
	int32_t		capacity;		/* K: ids of a list */
} AnnoyFileLayout;

/* False unless 1 <= dimensions <= ANNOY_FILE_MAX_DIMENSIONS. */
extern bool AnnoySetFileLayout(AnnoyFileLayout *layout, AnnoyFileMetric metric,
							   bool late, int dimensions);

typedef enum AnnoyFileErrorKind
{
	ANNOY_FILE_DAMAGED,			/* not a file of this kind, or a damaged one */
	ANNOY_FILE_MISMATCH,		/* not what the caller said it was */
	ANNOY_FILE_AMBIGUOUS,		/* the caller has to say more */
	ANNOY_FILE_LIMIT,			/* more than the format can hold */
	ANNOY_FILE_IO				/* source or sink failed */
} AnnoyFileErrorKind;

#define ANNOY_FILE_MESSAGE_SIZE 200

typedef struct AnnoyFileError
{
	AnnoyFileErrorKind kind;
	char		message[ANNOY_FILE_MESSAGE_SIZE];
} AnnoyFileError;

/* Sets kind and message; returns false, for "return AnnoyFileFailed(...)". */
#if defined(__GNUC__)
__attribute__((format(printf, 3, 4)))
#endif
extern bool AnnoyFileFailed(AnnoyFileError *error, AnnoyFileErrorKind kind,
							const char *format,...);

/* Bytes to read: the callback fills "out" or returns false. */
typedef struct AnnoyFileSource
{
	void	   *context;
	uint64_t	size;
	bool		(*read) (void *context, uint64_t offset, void *out,
						 size_t size);
} AnnoyFileSource;

/* Bytes to write, in any order; what was skipped is zero. */
typedef struct AnnoyFileSink
{
	void	   *context;
	bool		(*write) (void *context, uint64_t offset, const void *data,
						  size_t size);
} AnnoyFileSink;

/* ---------------------------------------------------------------------
 * Reading
 * ---------------------------------------------------------------------
 */

/* Part of the source that is in memory. */
#define ANNOY_FILE_WINDOW 65536

/* An open file.  Filled by AnnoyOpenFile; large, so better not on a stack. */
typedef struct AnnoyFile
{
	const AnnoyFileSource *source;
	AnnoyFileFormat format;
	AnnoyFileLayout layout;		/* canonical: only metric and dimensions */
	bool		guessing;		/* dimensions are not certain */
	uint64_t	start;			/* of the nodes, or of the rows */
	int64_t		n_items;		/* largest id + 1 */
	int64_t		n_nodes;
	int64_t		n_trees;
	uint64_t	window_offset;	/* what the window holds of the source */
	size_t		window_size;
	uint64_t	window[ANNOY_FILE_WINDOW / sizeof(uint64_t)];
} AnnoyFile;

/*
 * Finds the format and checks all of the file, trees included.  dimensions: 0
 * to find them out, which a native file allows where only one number fits (of
 * Hamming files it gives whole words).
 */
extern bool AnnoyOpenFile(AnnoyFile *file, const AnnoyFileSource *source,
						  AnnoyFileMetric metric, int dimensions,
						  AnnoyFileError *error);

/*
 * Reads the vector of an item, 0 <= id < n_items; vector: float[dimensions].
 * *present is false, and nothing written, where there is none.
 */
extern bool AnnoyReadFileItem(AnnoyFile *file, int64_t id, float *vector,
							  bool *present, AnnoyFileError *error);

/* annoyfileblob.c: length of the headers */
#define ANNOY_PORTABLE_HEADER 28
#define ANNOY_CANONICAL_HEADER_1 56
#define ANNOY_CANONICAL_HEADER_2 64

/* annoyfileblob.c, for AnnoyOpenFile: a format by its first bytes. */
#define ANNOY_FILE_MAGIC_SIZE 8
extern AnnoyFileFormat AnnoyRecogniseFile(const char *magic);
extern bool AnnoyOpenPortable(AnnoyFile *file, AnnoyFileMetric metric,
							  int dimensions, AnnoyFileError *error);
extern bool AnnoyOpenCanonical(AnnoyFile *file, AnnoyFileMetric metric,
							   int dimensions, AnnoyFileError *error);

/* Floats of blobs are little-endian wherever they are made. */
extern void AnnoyDecodeLittleFloats(const char *bytes, int count, float *out);
extern void AnnoyEncodeLittleFloats(const float *in, int count, char *bytes);

/* annoyfile.c, for annoyfileblob.c */
extern const char *AnnoyFileBytes(AnnoyFile *file, uint64_t offset,
								  size_t size, AnnoyFileError *error);
extern int32_t AnnoyFileInt(const char *bytes);
extern bool AnnoyCheckFileNodes(AnnoyFile *file, bool built,
								AnnoyFileError *error);
extern bool AnnoyIsLateDot(AnnoyFile *file, bool *late, AnnoyFileError *error);

/* ---------------------------------------------------------------------
 * Writing
 * ---------------------------------------------------------------------
 */

/*
 * A file being written.  Items first, in any order, each once; ids that are
 * left out are holes.  Then the trees; then AnnoyFinishFile.
 */
typedef struct AnnoyFileWriter
{
	const AnnoyFileSink *sink;
	AnnoyFileFormat format;
	AnnoyFileLayout layout;
	uint64_t	start;			/* of the nodes, or of the rows */
	float		max_norm;		/* dot: M */
	int32_t		n_items;		/* largest id so far + 1 */
	int32_t		n_nodes;		/* set to n_items by AnnoyStartFileTrees */
	int32_t		n_trees;
	int32_t		planned_trees;
	char	   *node;			/* caller's memory, AnnoyFileRowSize bytes,
								 * aligned to 8 */
} AnnoyFileWriter;

/* Bytes of an item: of a node, or of a canonical row. */
static inline size_t
AnnoyFileRowSize(AnnoyFileFormat format, const AnnoyFileLayout *layout)
{
	return format == ANNOY_FILE_CANONICAL ?
		sizeof(float) * (size_t) layout->dimensions : layout->node_size;
}

/* Largest id: its successor is a number of items, and roots follow. */
#define ANNOY_FILE_MAX_ID (INT32_MAX - 2)

/*
 * writer->node and max_norm are the caller's to set.  n_trees: how many there
 * will be (portable: fixes where nodes begin).
 */
extern void AnnoyStartFile(AnnoyFileWriter *writer, const AnnoyFileSink *sink,
						   AnnoyFileFormat format,
						   const AnnoyFileLayout *layout, int n_trees);

extern bool AnnoyWriteFileItem(AnnoyFileWriter *writer, int32_t id,
							   const float *vector, AnnoyFileError *error);

/* After the items: nodes follow. */
extern void AnnoyStartFileTrees(AnnoyFileWriter *writer);

/* A root is written with the number of all items, holes too, as its own. */
extern bool AnnoyWriteFileList(AnnoyFileWriter *writer, const int32_t *ids,
							   int32_t count, bool root, int32_t *node,
							   AnnoyFileError *error);

/*
 * margin(x) = <normal, x> + offset; above zero: second child.  normal:
 * float[dimensions].  offset: what the layout has beside the normal: a for
 * euclidean and manhattan, the factor of an item's lift for the late dot, else
 * 0.  Hamming: bit is tested, normal is not looked at.
 */
typedef struct AnnoyFileSplit
{
	bool		root;
	int32_t		descendants;	/* of a root: those it has */
	int32_t		children[2];
	const float *normal;
	float		offset;
	int			bit;
} AnnoyFileSplit;

extern bool AnnoyWriteFileSplit(AnnoyFileWriter *writer,
								const AnnoyFileSplit *split, int32_t *node,
								AnnoyFileError *error);

/* After the last node of a tree, which is its root: roots[] is caller's. */
extern bool AnnoyFinishFile(AnnoyFileWriter *writer, const int32_t *roots,
							const AnnoyFileSource *written,
							AnnoyFileError *error);

/* Bytes of the finished file. */
extern uint64_t AnnoyFileSize(const AnnoyFileWriter *writer);

/* Where the node of an item or of a tree is. */
static inline uint64_t
AnnoyFileNodeOffset(uint64_t start, const AnnoyFileLayout *layout, int64_t node)
{
	return start + (uint64_t) node * layout->node_size;
}

/* annoyfileblob.c: header and, for portable blobs, roots. */
extern uint64_t AnnoyFileStart(const AnnoyFileWriter *writer);
extern bool AnnoyWriteFileHeader(AnnoyFileWriter *writer, const int32_t *roots,
								 AnnoyFileError *error);

/* Bit i of a Hamming vector, from a node's words. */
static inline bool
AnnoyFileBit(const uint64_t *words, int i)
{
	return (words[i / ANNOY_FILE_WORD_BITS] >>
			(i % ANNOY_FILE_WORD_BITS) & 1) != 0;
}

/* Bits of a Hamming vector from floats (above one half: set), and back. */
extern void AnnoyPackFileBits(int dimensions, const float *vector,
							  uint64_t *words);
extern void AnnoyUnpackFileBits(int dimensions, const uint64_t *words,
								float *vector);

/* A split node tests bit (63 - v mod 64) of word v / 64: the v of bit i. */
static inline uint64_t
AnnoyFileTestedBit(int i)
{
	return (uint64_t) (i / ANNOY_FILE_WORD_BITS * ANNOY_FILE_WORD_BITS +
					   ANNOY_FILE_WORD_BITS - 1 - i % ANNOY_FILE_WORD_BITS);
}

#endif							/* ANNOY_ANNOYFILE_H */

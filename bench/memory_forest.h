/*-------------------------------------------------------------------------
 *
 * memory_forest.h
 *	  The forest of an annoy index, unpacked from the pages of its file into
 *	  plain arrays.
 *
 * What the pages link by block, version and slot is linked here by number, and
 * what is read together lies together, each piece on cache lines of its own.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BENCH_MEMORY_FOREST_H
#define BENCH_MEMORY_FOREST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sketch.h"

/* A hyperplane; a child is the number of a node, or ~ that of a directory. */
typedef struct MemoryNode
{
	int32_t		child[2];		/* margin <= 0, margin > 0 */
	float		offset;
	float		scale;
	float		extra_weight;
	int32_t		unused[3];		/* the normal begins a vector register */
	int8_t		normal[];		/* s */
} MemoryNode;

/* The leaves of a directory have consecutive numbers. */
typedef struct MemoryDirectory
{
	int32_t		first_leaf;
	int32_t		count;
	const char *codes;			/* if they have codes: MemoryCode of each */
	const struct MemoryCentroid *reference; /* that they are relative to */
} MemoryDirectory;

#define MEMORY_MAX_DIRECTORY 512	/* leaves; more than a page lists */

/* A leaf's centroid, as a directory of codes has it. */
typedef struct MemoryCode
{
	float		f1;
	float		f2;
	float		extra;
	uint8_t		code[];			/* s / 8 */
} MemoryCode;

/* A leaf as directories know it. */
typedef struct MemoryCentroid
{
	float		scale;
	float		norm_squared;
	float		extra;
	int32_t		unused;
	int8_t		centroid[];		/* s */
} MemoryCentroid;

#define MEMORY_NONE (-1)

/* The codes of a leaf: blocks of 16, the last one padded. */
typedef struct MemoryLeaf
{
	const char *blocks;
	int32_t		count;			/* entries */
	int32_t		chain;			/* leaf that continues this one, or none */
} MemoryLeaf;

/*
 * A block: what rank_block reads, then uint32_t item[16], numbers of items.
 */
#define MemoryBlockItems(s) ((size_t) (s) * 2 + 2 * 16 * sizeof(float))

typedef struct MemoryForest
{
	AnnoySketcher sketcher;
	int			dimensions;		/* d */
	int			s;				/* sketch dimensions */
	int			n_trees;
	int64_t		search_k;		/* of the calibration, or 0 */
	double		built_items;	/* that the calibration has seen */
	float		epsilon;

	int32_t    *roots;			/* [n_trees], like MemoryNode.child */
	char	   *nodes;
	size_t		node_size;
	MemoryDirectory *directories;
	char	   *centroids;		/* one for each leaf */
	size_t		centroid_size;
	char	   *codes;			/* one for each leaf, if there are any */
	size_t		code_size;
	char	   *references;		/* likewise one for each directory */
	bool		coded;
	int			directory_capacity; /* of centroids */
	MemoryLeaf *leaves;
	char	   *blocks;
	size_t		block_size;
	char	   *vectors;		/* float[d] each */
	size_t		vector_size;
	int32_t    *rows;			/* of the table, from 0, for each item */

	int32_t		n_nodes;
	int32_t		n_directories;
	int32_t		n_leaves;
	int32_t		n_listed_leaves;	/* those that do not continue others */
	int32_t		n_items;
	int32_t		n_rows;			/* items, and rows without a distance */
} MemoryForest;

static inline const MemoryNode *
get_memory_node(const MemoryForest *forest, int32_t number)
{
	return (const MemoryNode *) (forest->nodes +
								 forest->node_size * (size_t) number);
}

static inline const MemoryCentroid *
get_memory_centroid(const MemoryForest *forest, int32_t leaf)
{
	return (const MemoryCentroid *) (forest->centroids +
									 forest->centroid_size * (size_t) leaf);
}

static inline const float *
get_memory_vector(const MemoryForest *forest, uint32_t item)
{
	return (const float *) (forest->vectors + forest->vector_size * item);
}

/*
 * Reads the file of an index and those named after it with .1, .2 ...; ends
 * the program if they are not what a checkpoint leaves of an index of vectors.
 * huge: ask the system for large pages.
 */
extern void read_forest(MemoryForest *forest, const char *path, bool huge);

/* Memory for arrays that are read at random; ends the program if there is none. */
extern void *allocate_array(size_t size, bool huge);

#endif							/* BENCH_MEMORY_FOREST_H */

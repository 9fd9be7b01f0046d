/*-------------------------------------------------------------------------
 *
 * annoyfilenodes.h
 *	  Nodes of an Annoy file: what those share that read them.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ANNOY_ANNOYFILENODES_H
#define ANNOY_ANNOYFILENODES_H

#include <string.h>

#include "exchange/annoyfile.h"

/* Bytes that are looked at together, at most. */
#define ANNOY_FILE_PIECE 8192

/* Fields in front of the vector: bytes at most, and the first of them. */
#define ANNOY_FILE_NODE_HEAD 24
#define ANNOY_FILE_DESCENDANTS 0

static inline int32_t
AnnoyFileInt(const char *bytes)
{
	int32_t		value;

	memcpy(&value, bytes, sizeof(value));
	return value;
}

static inline uint64_t
AnnoyNodeOffset(const AnnoyFile *file, int64_t node)
{
	return AnnoyFileNodeOffset(file->start, &file->layout, node);
}

/*
 * Some bytes of the source, at most ANNOY_FILE_PIECE, 8-byte aligned only if the
 * offset is; good until the next call.  NULL: there are none, or the source
 * failed.
 */
extern const char *AnnoyFileBytes(AnnoyFile *file, uint64_t offset,
								  size_t size, AnnoyFileError *error);

/* The fields in front of the vector, copied: char[ANNOY_FILE_NODE_HEAD]. */
extern bool AnnoyReadNodeHead(AnnoyFile *file, int64_t node, char *head,
							  AnnoyFileError *error);

/*
 * All nodes of a snapshot; built: there are trees.  n_items and n_nodes are
 * known, and the source has that many nodes.
 */
extern bool AnnoyCheckFileNodes(AnnoyFile *file, bool built,
								AnnoyFileError *error);

/*
 * Whether nodes of the late layout are what the file has: every item's norm is
 * then that of its lifted vector, which the other layout would take for two
 * elements.
 */
extern bool AnnoyIsLateDot(AnnoyFile *file, bool *late, AnnoyFileError *error);

#endif							/* ANNOY_ANNOYFILENODES_H */

/*-------------------------------------------------------------------------
 *
 * buildstream.h
 *	  Streams of all items: loaded rows, or items once they are written.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ANNOY_BUILDSTREAM_H
#define ANNOY_BUILDSTREAM_H

#include "build/build.h"

typedef struct AnnoyItemStream
{
	AnnoyBuild *build;
	AnnoySpoolReader *rows;		/* or NULL */
	AnnoyItemReader reader;
	BlockNumber block;
	BlockNumber block_end;
	ItemPointerData *heap_tids;
	ItemPointerData *addresses;
	int			count;
	int			next;
} AnnoyItemStream;

/*
 * Begins with this process's share of the items: rows of the table, or of the
 * items that the first tree has written, what it takes of their pages.
 */
extern void AnnoyBeginStream(AnnoyItemStream *stream, AnnoyBuild *build,
							 bool from_items);

/* The next item; its value is valid until the next call, if not longer. */
extern bool AnnoyNextStreamItem(AnnoyItemStream *stream, AnnoyBuildItem *item);
extern void AnnoyEndStream(AnnoyItemStream *stream);

#endif							/* ANNOY_BUILDSTREAM_H */

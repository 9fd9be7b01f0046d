/*-------------------------------------------------------------------------
 *
 * buildstream.h
 *	  Streams of all rows that a process has loaded.
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
} AnnoyItemStream;

extern void AnnoyBeginStream(AnnoyItemStream *stream, AnnoyBuild *build);

/* The next row; its value is valid until the next call, if not longer. */
extern bool AnnoyNextStreamItem(AnnoyItemStream *stream, AnnoyBuildItem *item);
extern void AnnoyEndStream(AnnoyItemStream *stream);

#endif							/* ANNOY_BUILDSTREAM_H */

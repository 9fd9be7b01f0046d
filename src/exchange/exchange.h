/*-------------------------------------------------------------------------
 *
 * exchange.h
 *	  Exchange of vectors and trees with the library Annoy.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ANNOY_EXCHANGE_H
#define ANNOY_EXCHANGE_H

#include "exchange/annoyfile.h"
#include "exchange/annoyfiletree.h"
#include "page/directory.h"
#include "page/meta.h"

/* exchange.c: the metric that a user names; errors out on an unknown one. */
extern AnnoyFileMetric AnnoyParseFileMetric(const char *name);

/* The same of an index; errors out if the library does not have it. */
extern AnnoyFileMetric AnnoyGetFileMetric(Relation index);

extern AnnoyFileFormat AnnoyParseFileFormat(const char *name);

/* Reports what the reader or the writer says. */
pg_noreturn extern void AnnoyReportFileError(const AnnoyFileError *error,
											 const char *what);

/*
 * exchangefile.c: a server file that is read.  Errors out if the user may not
 * read server files, or it is not a regular file.  Closed by
 * AnnoyCloseServerFile, or at the end of the transaction.
 */
typedef struct AnnoyServerFile
{
	char	   *path;
	int			fd;
	AnnoyFileSource source;
} AnnoyServerFile;

extern void AnnoyOpenServerFile(AnnoyServerFile *file, const char *path);
extern void AnnoyCloseServerFile(AnnoyServerFile *file);

/*
 * A server file that is written, under another name until it is complete.
 * Whoever creates one calls AnnoyRemoveServerFile if anything goes wrong, be
 * it a fatal error.
 */
typedef struct AnnoyNewServerFile
{
	char	   *path;
	char	   *temporary;		/* name until then */
	int			fd;				/* -1: closed */
	AnnoyFileSource source;		/* what was written */
	AnnoyFileSink sink;
} AnnoyNewServerFile;

extern char *AnnoyCheckNewServerFile(const char *path);
extern void AnnoyCreateServerFile(AnnoyNewServerFile *file, char *path);
extern void AnnoyFinishServerFile(AnnoyNewServerFile *file);
extern void AnnoyRemoveServerFile(AnnoyNewServerFile *file);

/* exchangeguide.c: reads an index's trees for a file's. */
typedef struct AnnoyIndexGuide
{
	Relation	index;
	const AnnoyForest *forest;
	AnnoySketchSet centroids;	/* of the directory that was read last */
	int32	   *order;
	AnnoyFileGuide guide;
} AnnoyIndexGuide;

extern void AnnoyInitIndexGuide(AnnoyIndexGuide *guide, Relation index,
								const AnnoyForest *forest);
extern AnnoyFilePlace AnnoyGetRootPlace(const AnnoyIndexGuide *guide, int tree);

#endif							/* ANNOY_EXCHANGE_H */

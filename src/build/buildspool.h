/*-------------------------------------------------------------------------
 *
 * buildspool.h
 *	  Records of one size, put into numbered partitions, each of which is read
 *	  again as a whole: in memory as long as they fit, then in a file.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ANNOY_BUILDSPOOL_H
#define ANNOY_BUILDSPOOL_H

#include "storage/fileset.h"

typedef struct AnnoySpool AnnoySpool;
typedef struct AnnoySpoolReader AnnoySpoolReader;

/* What another process needs to know of a spool, beside its name. */
typedef struct AnnoySpoolSummary
{
	int64		records;		/* in the file */
	int64		extents;		/* behind the records */
} AnnoySpoolSummary;

/*
 * Begins a spool in the current memory context.  memory: bytes that its
 * records may take before they go to a file.  borrowed: that they may take until
 * the spool is finished, if that is more.  With a file set the spool is for
 * other processes too, and "name" is its file's there; else it is private.
 */
extern AnnoySpool *AnnoyBeginSpool(Size record_size, int partitions,
								   Size memory, Size borrowed, FileSet *files,
								   const char *name);

/* Room for a record, to be filled before the next one is put. */
extern void *AnnoyPutRecord(AnnoySpool *spool, int partition);

/* No more records come.  A spool for others is in its file afterwards. */
extern void AnnoyFinishSpool(AnnoySpool *spool, AnnoySpoolSummary *summary);

/* Frees the memory and, if it is private, the file. */
extern void AnnoyEndSpool(AnnoySpool *spool);

/* A reader of one finished private spool ... */
extern AnnoySpoolReader *AnnoyReadSpool(AnnoySpool *spool);

/*
 * ... or of the spools of several processes together: summaries[count], and
 * files of these names with the number of the process appended.
 */
extern AnnoySpoolReader *AnnoyReadSharedSpools(Size record_size,
											   int partitions, FileSet *files,
											   const char *name,
											   const AnnoySpoolSummary *summaries,
											   int count);
extern int64 AnnoyCountRecords(AnnoySpoolReader *reader, int partition);

/* The next records are those of a partition, from the first one on. */
extern void AnnoySeekPartition(AnnoySpoolReader *reader, int partition);

/*
 * The next record, valid until the next call; if *stays is set, until the
 * spool's end.  NULL at the end of the partition.
 */
extern void *AnnoyNextRecord(AnnoySpoolReader *reader, bool *stays);
extern void AnnoyEndSpoolReader(AnnoySpoolReader *reader);

/* A file's name in a file set. */
#define ANNOY_SPOOL_NAME 64
extern void AnnoyNameSpool(char *buffer, const char *name, int process);

/* Reads so many bytes, or errors out. */
struct BufFile;
extern void AnnoyReadFile(struct BufFile *file, void *data, Size size);

#endif							/* ANNOY_BUILDSPOOL_H */

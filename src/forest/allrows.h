/*-------------------------------------------------------------------------
 *
 * allrows.h
 *	  All rows that the leaves of an index name, each once, in the order of the
 *	  table.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ANNOY_ALLROWS_H
#define ANNOY_ALLROWS_H

#include "storage/itemptr.h"
#include "utils/snapshot.h"

#include "page/meta.h"

typedef struct AnnoyRowList AnnoyRowList;

/*
 * Lists the rows of the leaves of the first tree, within so many kB of memory.
 * snapshot: of a scan, for old_snapshot_threshold, or NULL.  *pages: the number of
 * pages read is added.  Rows that were in the index when the snapshot was taken,
 * and that it sees, are among them.
 */
extern AnnoyRowList *AnnoyListRows(Relation index, const AnnoyForest *forest,
								   Snapshot snapshot, int memory, int64 *pages);

/* The next row; false at the end. */
extern bool AnnoyNextListedRow(AnnoyRowList *list, ItemPointer tid);
extern void AnnoyEndRowList(AnnoyRowList *list);

#endif							/* ANNOY_ALLROWS_H */

/*-------------------------------------------------------------------------
 *
 * vacuumpages.h
 *	  VACUUM's work, for all who know which rows are dead.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ANNOY_VACUUMPAGES_H
#define ANNOY_VACUUMPAGES_H

#include "access/genam.h"
#include "storage/buf.h"

/*
 * Removes rows for which the callback says so (NULL: none), and counts the rest.
 * Returns how many entries are left, of all trees.
 */
extern int64 AnnoyVacuumPages(IndexVacuumInfo *info,
							  IndexBulkDeleteResult *stats,
							  IndexBulkDeleteCallback callback,
							  void *callback_state);

/* Frees a pinned page before meta->former_end, if it is not the tail's. */
extern void AnnoyFreeFormerPage(Relation index, Buffer buffer);

#endif							/* ANNOY_VACUUMPAGES_H */

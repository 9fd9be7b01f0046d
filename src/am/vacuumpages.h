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
 * Returns how many items are left.
 */
extern int64 AnnoyVacuumPages(IndexVacuumInfo *info,
							  IndexBulkDeleteResult *stats,
							  IndexBulkDeleteCallback callback,
							  void *callback_state);

/* Makes a pinned page before meta->former_end an item page if it is none. */
extern void AnnoyRecycleFormerPage(Relation index, Buffer buffer);

#endif							/* ANNOY_VACUUMPAGES_H */

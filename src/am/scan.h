/*-------------------------------------------------------------------------
 *
 * scan.h
 *	  What C code may say of a scan beside its query.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ANNOY_SCAN_H
#define ANNOY_SCAN_H

#include "access/relscan.h"

#include "page/meta.h"

/*
 * For a scan that was begun and not yet started (index_rescan): the number of
 * rows that will be asked for, and the items to inspect before the first one,
 * or ANNOY_AUTOMATIC, in which case the setting, the index's option or its
 * calibration tell, as they do without this call.
 */
extern void AnnoySetScanBudget(IndexScanDesc scan, int neighbors,
							   int search_k);

/*
 * Items that a scan inspects before its first row: what the setting says, else
 * the index's option, else its calibration, but then at least so many that
 * "neighbors" of each tree may be among them (0: n_neighbors of the index).
 */
extern int64 AnnoyChooseSearchK(Relation index, const AnnoyMetaPageData *meta,
								int neighbors);

/*
 * For a scan that was begun: from the next index_rescan on its rows are sorted
 * by the caller, so that late ones may come at once.
 */
extern void AnnoySortScanAbove(IndexScanDesc scan, bool sorted_above);

/*
 * From the next row on, the scan ends, for the time being, where the next row
 * that it knows is not nearer than the ceiling, and inspects nothing more.
 * INFINITY: there is none, the scan goes on.
 */
extern void AnnoySetScanCeiling(IndexScanDesc scan, double ceiling);

/*
 * Whether the scan came to the point where it remembers too much (see
 * AnnoySearchIsLarge), and what it can do about it is to begin again, with
 * another index_rescan, ranking all rows before the first one.
 */
extern bool AnnoyScanIsLarge(IndexScanDesc scan);

/* Changes with each index_rescan. */
extern uint64 AnnoyGetScanGeneration(IndexScanDesc scan);

#endif							/* ANNOY_SCAN_H */

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

/*
 * For a scan that was begun and not yet started (index_rescan): the number of
 * rows that will be asked for, and the items to inspect before the first one,
 * or ANNOY_AUTOMATIC, in which case the setting, the index's option or its
 * calibration tell, as they do without this call.
 */
extern void AnnoySetScanBudget(IndexScanDesc scan, int neighbors,
							   int search_k);

#endif							/* ANNOY_SCAN_H */

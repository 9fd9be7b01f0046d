/*-------------------------------------------------------------------------
 *
 * collect.h
 *	  Rows of scans under a LIMIT: collected first, then handed on in order.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ANNOY_COLLECT_H
#define ANNOY_COLLECT_H

#include "access/genam.h"

/* For _PG_init. */
extern void AnnoyInitExecutor(void);

/* Whether the rows of the scan that is starting are sorted above it. */
extern bool AnnoyScanIsCollected(IndexScanDesc scan);

#endif							/* ANNOY_COLLECT_H */

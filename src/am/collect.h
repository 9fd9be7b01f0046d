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

/*
 * How many rows of the scan that is starting a LIMIT above it takes; 0 if that is
 * not known.  *collected: whether they are sorted there.
 */
extern int64 AnnoyGetLimitRows(IndexScanDesc scan, bool *collected);

#endif							/* ANNOY_COLLECT_H */

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
 * How many rows of the scan that is starting are wanted, if they are sorted above
 * it; else 0.
 */
extern int64 AnnoyGetCollectedRows(IndexScanDesc scan);

#endif							/* ANNOY_COLLECT_H */

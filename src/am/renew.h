/*-------------------------------------------------------------------------
 *
 * renew.h
 *	  Indexes that have lost all rows: their sketch space is fixed anew.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ANNOY_RENEW_H
#define ANNOY_RENEW_H

#include "utils/relcache.h"

/*
 * For a value of another number of dimensions than the index has: makes the
 * index one without geometry if no row is left in it, which may wait for others
 * who use the index.  If it returns true nobody else uses the index before
 * AnnoyUnlockRenewed, so that the value is the one that fixes the geometry.  No
 * page may be locked.
 */
extern bool AnnoyRenewIndex(Relation index, Relation heap, int dimensions);
extern void AnnoyUnlockRenewed(Relation index);

/*
 * For each statement that inserts: the same for a small index that was built
 * without rows, so that a first insert that was rolled back fixes neither centre
 * nor M.  Does not wait.
 */
extern void AnnoyRenewYoungIndex(Relation index, Relation heap);

/*
 * For VACUUM, when it has found no item: the same for an index that was built
 * without rows.  Does not wait.
 */
extern void AnnoyRenewVacuumedIndex(Relation index);

#endif							/* ANNOY_RENEW_H */

/*-------------------------------------------------------------------------
 *
 * damage.h
 *	  Errors about damaged indexes.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ANNOY_DAMAGE_H
#define ANNOY_DAMAGE_H

#include "storage/block.h"
#include "utils/relcache.h"

#include "annoycompat.h"

/* Reports damage: ERRCODE_INDEX_CORRUPTED with index and block. */
pg_noreturn extern void AnnoyReportCorruption(Relation index,
											  BlockNumber block,
											  const char *what);

/*
 * For loops that follow links: errors out when more pages were visited than
 * the relation has, which only a cycle of damaged links can bring about.
 */
extern void AnnoyCheckSteps(Relation index, BlockNumber block, uint64 steps);

#endif							/* ANNOY_DAMAGE_H */

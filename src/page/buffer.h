/*-------------------------------------------------------------------------
 *
 * buffer.h
 *	  Pinning the index's blocks, and asking for them in advance.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ANNOY_BUFFER_H
#define ANNOY_BUFFER_H

#include "storage/bufmgr.h"
#include "utils/relcache.h"

/*
 * Pins a block that was named by a page of the index.  Errors out if there is
 * no such block: ReadBuffer would take an invalid one for a wish to extend the
 * relation.
 */
extern Buffer AnnoyReadBuffer(Relation index, BlockNumber block);

/*
 * Asks for a block that will be read soon.  Returns where its page probably is
 * if it is in shared buffers, else NULL.  Nothing is pinned: the page may only
 * serve to ask the processor for parts of it.
 */
extern Page AnnoyAnticipatePage(Relation index, BlockNumber block);

/* The same place, without asking for anything. */
extern Page AnnoyGuessPage(Relation index, BlockNumber block);

#endif							/* ANNOY_BUFFER_H */

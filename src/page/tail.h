/*-------------------------------------------------------------------------
 *
 * tail.h
 *	  Rows whose distance is never a number: NULLs, vectors without direction.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ANNOY_TAIL_H
#define ANNOY_TAIL_H

#include "access/genam.h"

#include "page/page.h"

/* Adds a row; flags: ANNOY_TAIL_NULL or 0.  WAL-logged. */
extern void AnnoyInsertTail(Relation index, BlockNumber head,
							ItemPointer heap_tid, uint16 flags);

/* Number of entries of a locked tail page; errors out if one names no row. */
extern int	AnnoyCheckTail(Relation index, Buffer buffer);

/*
 * VACUUM of one tail page (locked exclusively, logged): removes the entries
 * whose rows the callback names (NULL: none), and returns how many it removed;
 * *left: how many remain.
 */
extern int	AnnoyVacuumTailPage(Relation index, Buffer buffer,
								IndexBulkDeleteCallback callback,
								void *callback_state, int *left);

/* Makes the list of tail pages with room anew, after a VACUUM. */
extern void AnnoyListFreeTailPages(Relation index, BlockNumber head);

#endif							/* ANNOY_TAIL_H */

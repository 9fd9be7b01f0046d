/*-------------------------------------------------------------------------
 *
 * toastvalue.h
 *	  Values that are stored out of line, one after another.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ANNOY_TOASTVALUE_H
#define ANNOY_TOASTVALUE_H

#include "access/genam.h"
#include "access/relscan.h"
#include "executor/tuptable.h"
#include "utils/rel.h"

/* Opened when it is first needed. */
typedef struct AnnoyToastReader
{
	Relation	heap;			/* whose values they are */
	Relation	toast;			/* NULL: not opened yet */
	Relation	index;
	IndexScanDesc scan;
	TupleTableSlot *slot;
	struct varlena *value;		/* returned last, with room for "size" bytes */
	Size		size;
} AnnoyToastReader;

extern void AnnoyBeginToastReader(AnnoyToastReader *reader, Relation heap);
extern void AnnoyEndToastReader(AnnoyToastReader *reader);

/*
 * A value that is stored out of line and not compressed, valid until the next
 * call; NULL if it is stored in another way, and detoast_attr has to be asked.
 * Lives in the context that is current at the first call.
 */
extern struct varlena *AnnoyReadToast(AnnoyToastReader *reader,
									  struct varlena *pointer);

#endif							/* ANNOY_TOASTVALUE_H */

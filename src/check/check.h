/*-------------------------------------------------------------------------
 *
 * check.h
 *	  State of a check of an index, shared by the files that do it.
 *
 * check.c says what is checked, and why it gives no false alarms.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ANNOY_CHECK_H
#define ANNOY_CHECK_H

#include "definition/opclass.h"
#include "page/directory.h"
#include "page/item.h"
#include "page/leaf.h"
#include "page/meta.h"
#include "storage/bufmgr.h"
#include "utils/snapshot.h"
#include "utils/tuplesort.h"

/* What the check knows of a page: 24 bytes, 0.3 % of the index. */
typedef struct AnnoyCheckedPage
{
	uint8		kind;			/* AnnoyPageKind when it was read; 0: new */
	bool		chained;		/* leaf: reached by a chain, not by a link */
	bool		reached;
	uint8		path;			/* of AnnoyVerifyRightLinks */
	uint16		tree;
	uint16		count;			/* item: line pointers; inner: nodes; directory,
								 * leaf: 0 as they are before there is a
								 * geometry, else 1 */
	uint64		first;			/* item, inner: number of the first of them;
								 * chained leaf: head of its chain */
	BlockNumber rightlink;		/* directory, leaf */
	uint32		version;
} AnnoyCheckedPage;

/* A set of numbers: line pointers of all item pages, or nodes. */
typedef struct AnnoyBits
{
	uint64	   *words;
	uint64		size;			/* numbers that there is room for */
} AnnoyBits;

typedef struct AnnoyCheck
{
	/* unchanging */
	Relation	heap;
	Relation	index;
	Snapshot	snapshot;		/* older than everything that is read */
	bool		heap_all_indexed;
	const AnnoyElementType *element;
	AnnoyForest *forest;
	int			s;				/* 0: no row yet, trees are not looked at */
	BlockNumber page_count;		/* at the beginning */
	BufferAccessStrategy strategy;	/* for reading all pages in order */
	MemoryContext row_context;	/* reset for each item and row */

	/* what was seen */
	AnnoyCheckedPage *pages;
	BlockNumber pages_allocated;
	uint64		slot_count;		/* line pointers of item pages */
	AnnoyBits	heads;			/* live items */
	AnnoyBits	continued;		/* parts that are not the first */
	AnnoyBits	seen;			/* parts, then items of a tree, met so far */
	uint64		node_count;
	AnnoyBits	nodes;			/* reached */
	BlockNumber tail_pages;		/* reached */
	Tuplesortstate *index_rows; /* see AnnoyPackRow */
	Tuplesortstate *heap_rows;
	int64		heap_row_count;
	int64		orphans;		/* parts and pages that a crash left over */

	/* the item read last, and room to sketch it */
	char	   *value;
	Size		value_size;
	Size		value_room;
	float	   *floats;
	float	   *scratch;
	float	   *sketch;
} AnnoyCheck;

static inline void
AnnoySetBit(AnnoyBits *bits, uint64 number)
{
	bits->words[number / 64] |= UINT64CONST(1) << (number % 64);
}

static inline void
AnnoyClearBit(AnnoyBits *bits, uint64 number)
{
	bits->words[number / 64] &= ~(UINT64CONST(1) << (number % 64));
}

static inline bool
AnnoyTestBit(const AnnoyBits *bits, uint64 number)
{
	return (bits->words[number / 64] >> (number % 64) & 1) != 0;
}

/* What a row of the index or the table is sorted and compared by. */
#define ANNOY_ROW_TAIL 0x8000
#define ANNOY_ROW_HASH 0x7FFF	/* of an item's value */

static inline int64
AnnoyPackRow(const ItemPointerData *heap_tid, uint16 payload)
{
	return (int64) ((uint64) AnnoyPackTid(heap_tid) << 16 | payload);
}

static inline ItemPointerData
AnnoyRowTid(int64 row)
{
	ItemPointerData heap_tid;

	AnnoyUnpackTid((int64) ((uint64) row >> 16), &heap_tid);
	return heap_tid;
}

/* checkpages.c */

/* Grows a set, in the current memory context; new numbers are not in it. */
extern void AnnoyGrowBits(AnnoyBits *bits, uint64 size);

/* Every page by itself. */
extern void AnnoyVerifyPages(AnnoyCheck *check);

/* Right links of directories and leaves. */
extern void AnnoyVerifyRightLinks(AnnoyCheck *check);

/* Centre and roots, before the forest is loaded; the tail. */
extern void AnnoyVerifyArrays(AnnoyCheck *check, const AnnoyMetaPageData *meta);
extern void AnnoyVerifyTail(AnnoyCheck *check);

/* Nothing is left that nothing leads to. */
extern void AnnoyVerifyReached(AnnoyCheck *check);

/* A copy of a page that something has named, verified by itself. */
extern void AnnoyCopyVerifiedPage(AnnoyCheck *check, BlockNumber block,
								  AnnoyPageKind kind, int tree,
								  PGAlignedBlock *copy);

/* Errors out if a page is reached for the second time. */
extern void AnnoyReachPage(AnnoyCheck *check, BlockNumber block);

/* The number of an item's slot; false if it was not there at the beginning. */
extern bool AnnoyFindSlot(const AnnoyCheck *check, const ItemPointerData *address,
						  uint64 *number);

/* checkitems.c */

typedef enum AnnoyItemState
{
	ANNOY_ITEM_IS_LIVE,
	ANNOY_ITEM_IS_DEAD,			/* VACUUM is about to remove it */
	ANNOY_ITEM_IS_NONE			/* free, or no first part */
} AnnoyItemState;

/* Reads an item and, if it is live, its value into check->value. */
extern AnnoyItemState AnnoyLoadItem(AnnoyCheck *check,
									const ItemPointerData *address,
									ItemPointer heap_tid);

/* All items, and their rows for AnnoyVerifyRows. */
extern void AnnoyVerifyItems(AnnoyCheck *check);

/* Whether the row of a heap TID is one of those that must be in the index. */
extern bool AnnoyRowIsVisible(AnnoyCheck *check, ItemPointer heap_tid);

/* The live items that a tree has not named. */
extern void AnnoyVerifyTreeComplete(AnnoyCheck *check, int tree);

/* The index's rows against each other and, if wanted, the table's. */
extern void AnnoyVerifyRows(AnnoyCheck *check);

/* checktree.c */
extern void AnnoyVerifyTree(AnnoyCheck *check, int tree);

#endif							/* ANNOY_CHECK_H */

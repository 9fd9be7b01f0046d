/*-------------------------------------------------------------------------
 *
 * item.h
 *	  Items: the indexed vectors, each stored once beside the forest.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ANNOY_ITEM_H
#define ANNOY_ITEM_H

#include "page/candidate.h"
#include "page/page.h"

/*
 * An item is a chain of tuples on item pages (line pointers as in a heap).
 * The concatenated data of the parts is the value, a varlena with a four-byte
 * header in the representation of the column's type; the first part has at
 * least the header.  An item's address is that of its first part, and never
 * changes.
 *
 *	+----------+-------+------+-------------+--------------------------+
 *	| heap TID | flags | next | data_offset | (attributes) | data ...  |
 *	+----------+-------+------+-------------+--------------------------+
 */
typedef struct AnnoyItemData
{
	ItemPointerData heap_tid;
	uint16		flags;
	ItemPointerData next;		/* next part, or invalid */
	uint16		data_offset;	/* of the data, from the start of the tuple;
								 * leaves room for attributes of later
								 * formats */
} AnnoyItemData;

typedef AnnoyItemData *AnnoyItem;

StaticAssertDecl(sizeof(AnnoyItemData) == 16,
				 "on-disk item has a fixed size");

#define ANNOY_ITEM_CONTINUED 0x0001 /* not the first part of its item */
#define ANNOY_ITEM_DEAD 0x0002	/* VACUUM has seen its row removed */

/*
 * Reads items one after another; keeps the last page pinned.  Its memory is in
 * the context that is current in AnnoyBeginItems.
 */
typedef struct AnnoyItemReader
{
	Relation	index;
	Snapshot	snapshot;		/* for old_snapshot_threshold; NULL, but in a
								 * scan */
	MemoryContext context;		/* of "assembled" */
	Buffer		buffer;
	bool		locked;			/* the value returned last lies on the page */
	char	   *assembled;		/* value of several parts */
	Size		assembled_size;
	int64		pages_read;		/* statistics: pages visited */
} AnnoyItemReader;

extern void AnnoyBeginItems(AnnoyItemReader *reader, Relation index);

/*
 * The value of an item: in place, with the page share-locked until
 * AnnoyReleaseItem, or assembled in the reader's memory.  Returns NULL, nothing
 * locked, if the slot no longer holds a live item.  Errors out on damage.
 */
extern struct varlena *AnnoyReadItem(AnnoyItemReader *reader,
									 ItemPointer address,
									 ItemPointer heap_tid);
extern void AnnoyReleaseItem(AnnoyItemReader *reader);

/*
 * Asks for items that will be read soon, so that reading them does not wait
 * for memory or disk one after another: first for their pages; when these have
 * had time to come, for the items on them.
 */
extern void AnnoyAnticipateItems(AnnoyItemReader *reader,
								 const AnnoyCandidate *candidates, int count);
extern void AnnoyPrefetchItems(AnnoyItemReader *reader,
							   const AnnoyCandidate *candidates, int count);
extern void AnnoyEndItems(AnnoyItemReader *reader);

/*
 * The tuple at an offset of a locked item page, or NULL for an unused slot;
 * errors out if it is damaged.
 */
extern AnnoyItem AnnoyGetItem(Relation index, Buffer buffer,
							  OffsetNumber offset);

/*
 * The live items of one item page, for reading an index from end to end:
 * heap TIDs and addresses (arrays of ANNOY_ITEMS_PER_PAGE).  snapshot: of a scan,
 * or NULL.  Returns their number; 0 for a page of another kind.
 */
#define ANNOY_ITEMS_PER_PAGE \
	((int) (ANNOY_PAGE_CONTENT / \
			(MAXALIGN(sizeof(AnnoyItemData) + 1) + sizeof(ItemIdData))))
extern int	AnnoyListItems(Relation index, BlockNumber block,
						   Snapshot snapshot, ItemPointerData *heap_tids,
						   ItemPointerData *addresses);

/* Writes items in a build: fills page after page, and logs each when it is full. */
typedef struct AnnoyItemWriter
{
	Relation	index;
	AnnoyExtender *extender;	/* where pages come from */
	Buffer		buffer;			/* last page, pinned, or invalid */
} AnnoyItemWriter;

/* Appends an item and returns its address. */
extern ItemPointerData AnnoyWriteItem(AnnoyItemWriter *writer,
									  ItemPointer heap_tid,
									  const struct varlena *value);
extern void AnnoyEndItemWriter(AnnoyItemWriter *writer);

/*
 * Stores an item in an existing index and returns its address.  WAL-logged.
 */
extern ItemPointerData AnnoyInsertItem(Relation index, ItemPointer heap_tid,
									   const struct varlena *value);

/*
 * Frees the slots of dead items of one page (heads, in the order of their
 * offsets) with all their parts, and records the room.  No leaf may name them
 * any more.
 */
extern void AnnoyRemoveItems(Relation index, BlockNumber block,
							 const OffsetNumber *offsets, int count);

#endif							/* ANNOY_ITEM_H */

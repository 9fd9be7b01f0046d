/*-------------------------------------------------------------------------
 *
 * item.c
 *	  Reading items: the indexed vectors, each stored once beside the forest.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "annoycompat.h"
#include "page/buffer.h"
#include "page/item.h"

/* No value is longer: 16,000 floats, or 64,000 bits, with their headers. */
#define MAX_VALUE (64 * 1024 + 64)

/* Bytes of an item to prefetch; the processor goes on by itself from there. */
#define PREFETCHED_ITEM 512

void
AnnoyBeginItems(AnnoyItemReader *reader, Relation index)
{
	reader->index = index;
	reader->snapshot = NULL;
	reader->context = CurrentMemoryContext;
	reader->buffer = InvalidBuffer;
	reader->locked = false;
	reader->assembled = NULL;
	reader->assembled_size = 0;
	reader->pages_read = 0;
}

void
AnnoyEndItems(AnnoyItemReader *reader)
{
	if (BufferIsValid(reader->buffer))
		ReleaseBuffer(reader->buffer);
	reader->buffer = InvalidBuffer;
	if (reader->assembled)
		pfree(reader->assembled);
	reader->assembled = NULL;
	reader->assembled_size = 0;
}

/* Where the line pointer of an address is, if the page has so many. */
static inline const char *
line_pointer(Page page, const ItemPointerData *address)
{
	Size		before = ItemPointerGetOffsetNumberNoCheck(address) - 1;

	return (const char *) page +
		(SizeOfPageHeaderData + before * sizeof(ItemIdData)) % BLCKSZ;
}

/*
 * Where the tuple of an address is, read from a page that may be anything: a
 * wrong place costs a useless prefetch.
 */
static inline const char *
item_place(Page page, const ItemPointerData *address)
{
	ItemIdData	id;

	memcpy(&id, line_pointer(page, address), sizeof(id));
	return (const char *) page + ItemIdGetOffset(&id) % BLCKSZ;
}

/* Locks the page of an address; the last page is kept pinned. */
static Page
read_item_page(AnnoyItemReader *reader, BlockNumber block)
{
	Page		page;

	if (!BufferIsValid(reader->buffer) ||
		BufferGetBlockNumber(reader->buffer) != block)
	{
		if (BufferIsValid(reader->buffer))
			ReleaseBuffer(reader->buffer);
		reader->buffer = InvalidBuffer;
		reader->buffer = AnnoyReadBuffer(reader->index, block);
		reader->pages_read++;
	}
	LockBuffer(reader->buffer, BUFFER_LOCK_SHARE);
	page = BufferGetPage(reader->buffer);
	AnnoyCheckPage(reader->index, reader->buffer, ANNOY_PAGE_ITEM);
	AnnoyTestForOldSnapshot(reader->snapshot, reader->index, page);
	return page;
}

/*
 * The tuple at an offset of a locked item page, or NULL if there is none.
 * *size: bytes of data.
 */
static AnnoyItem
get_part(Relation index, Page page, BlockNumber block, OffsetNumber offset,
		 Size *size)
{
	ItemId		id;
	AnnoyItem	item;

	if (offset < FirstOffsetNumber || offset > PageGetMaxOffsetNumber(page))
		return NULL;
	id = PageGetItemId(page, offset);
	if (!ItemIdIsNormal(id))
		return NULL;
	if (ItemIdGetLength(id) < sizeof(AnnoyItemData) ||
		ItemIdGetOffset(id) < SizeOfPageHeaderData ||
		ItemIdGetOffset(id) != MAXALIGN(ItemIdGetOffset(id)) ||
		(Size) ItemIdGetOffset(id) + ItemIdGetLength(id) >
		BLCKSZ - sizeof(AnnoyPageOpaqueData))
		AnnoyReportCorruption(index, block, "line pointer out of range");
	item = (AnnoyItem) PageGetItem(page, id);
	if (item->data_offset < sizeof(AnnoyItemData) ||
		item->data_offset > ItemIdGetLength(id) ||
		item->data_offset != MAXALIGN(item->data_offset) ||
		!ItemPointerIsValid(&item->heap_tid) ||
		!BlockNumberIsValid(ItemPointerGetBlockNumberNoCheck(&item->heap_tid)))
		AnnoyReportCorruption(index, block, "item header out of range");
	*size = ItemIdGetLength(id) - item->data_offset;
	return item;
}

/* Copies the parts of a divided item; the first part's page is locked. */
static struct varlena *
assemble_item(AnnoyItemReader *reader, AnnoyItem item, Size size, Size total)
{
	BlockNumber block = BufferGetBlockNumber(reader->buffer);
	Size		done = 0;
	ItemPointerData heap_tid = item->heap_tid;
	bool		first = true;

	if (reader->assembled_size < total)
	{
		if (reader->assembled)
			pfree(reader->assembled);
		reader->assembled = NULL;
		reader->assembled_size = 0;
		reader->assembled = MemoryContextAlloc(reader->context, total);
		reader->assembled_size = total;
	}
	for (;;)
	{
		ItemPointerData next = item->next;

		if (size == 0 || size > total - done)
			AnnoyReportCorruption(reader->index, block,
								  "parts of an item do not match its length");
		memcpy(reader->assembled + done, (char *) item + item->data_offset,
			   size);
		done += size;
		LockBuffer(reader->buffer, BUFFER_LOCK_UNLOCK);
		if (done == total)
			return (struct varlena *) reader->assembled;

		/*
		 * Between the two locks the item may have been removed and its slots
		 * reused: then what follows is no continuation, or another row's.
		 */
		if (!ItemPointerIsValid(&next))
		{
			if (first)
				AnnoyReportCorruption(reader->index, block,
									  "item ends before its last part");
			return NULL;
		}
		first = false;
		block = ItemPointerGetBlockNumber(&next);
		item = get_part(reader->index, read_item_page(reader, block), block,
						ItemPointerGetOffsetNumber(&next), &size);
		if (item == NULL || !(item->flags & ANNOY_ITEM_CONTINUED) ||
			!ItemPointerEquals(&item->heap_tid, &heap_tid) ||
			size > total - done)
		{
			LockBuffer(reader->buffer, BUFFER_LOCK_UNLOCK);
			return NULL;
		}
	}
}

struct varlena *
AnnoyReadItem(AnnoyItemReader *reader, ItemPointer address,
			  ItemPointer heap_tid)
{
	BlockNumber block = ItemPointerGetBlockNumberNoCheck(address);
	Page		page = read_item_page(reader, block);
	Size		size;
	Size		total;
	AnnoyItem	item;
	struct varlena *value;

	item = get_part(reader->index, page, block,
					ItemPointerGetOffsetNumberNoCheck(address), &size);
	if (item == NULL ||
		(item->flags & (ANNOY_ITEM_CONTINUED | ANNOY_ITEM_DEAD)) != 0)
	{
		LockBuffer(reader->buffer, BUFFER_LOCK_UNLOCK);
		return NULL;
	}
	value = (struct varlena *) ((char *) item + item->data_offset);
	if (size < VARHDRSZ || !VARATT_IS_4B_U(value))
		AnnoyReportCorruption(reader->index, block, "item without a value");
	total = VARSIZE(value);
	*heap_tid = item->heap_tid;
	if (size == total)
	{
		reader->locked = true;
		return value;
	}
	if (size > total || total > MAX_VALUE)
		AnnoyReportCorruption(reader->index, block,
							  "parts of an item do not match its length");
	return assemble_item(reader, item, size, total);
}

void
AnnoyReleaseItem(AnnoyItemReader *reader)
{
	/* an assembled value has left its pages unlocked */
	if (reader->locked)
		LockBuffer(reader->buffer, BUFFER_LOCK_UNLOCK);
	reader->locked = false;
}

void
AnnoyAnticipateItems(AnnoyItemReader *reader, const AnnoyCandidate *candidates,
					 int count)
{
	for (int i = 0; i < count; i++)
	{
		const ItemPointerData *address = &candidates[i].address;
		Page		page =
			AnnoyAnticipatePage(reader->index,
								ItemPointerGetBlockNumberNoCheck(address));

		if (page)
			AnnoyPrefetchRange(line_pointer(page, address), sizeof(ItemIdData));
	}
}

void
AnnoyPrefetchItems(AnnoyItemReader *reader, const AnnoyCandidate *candidates,
				   int count)
{
	for (int i = 0; i < count; i++)
	{
		const ItemPointerData *address = &candidates[i].address;
		Page		page =
			AnnoyGuessPage(reader->index,
						   ItemPointerGetBlockNumberNoCheck(address));

		if (page)
			AnnoyPrefetchRange(item_place(page, address), PREFETCHED_ITEM);
	}
}

AnnoyItem
AnnoyGetItem(Relation index, Buffer buffer, OffsetNumber offset)
{
	Size		size;

	return get_part(index, BufferGetPage(buffer), BufferGetBlockNumber(buffer),
					offset, &size);
}

int
AnnoyListItems(Relation index, BlockNumber block, Snapshot snapshot,
			   ItemPointerData *heap_tids, ItemPointerData *addresses)
{
	Buffer		buffer = ReadBuffer(index, block);
	Page		page = BufferGetPage(buffer);
	int			count = 0;

	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	/* a page that was added but not yet initialised holds nothing */
	if (AnnoyGetPageKind(index, buffer) == ANNOY_PAGE_ITEM)
	{
		OffsetNumber last = PageGetMaxOffsetNumber(page);

		AnnoyTestForOldSnapshot(snapshot, index, page);
		if (last > ANNOY_ITEMS_PER_PAGE)
			AnnoyReportCorruption(index, block, "too many line pointers");
		for (OffsetNumber offset = FirstOffsetNumber; offset <= last; offset++)
		{
			Size		size;
			AnnoyItem	item = get_part(index, page, block, offset, &size);

			if (item == NULL ||
				(item->flags & (ANNOY_ITEM_CONTINUED | ANNOY_ITEM_DEAD)) != 0)
				continue;
			heap_tids[count] = item->heap_tid;
			ItemPointerSet(&addresses[count], block, offset);
			count++;
		}
	}
	UnlockReleaseBuffer(buffer);
	return count;
}

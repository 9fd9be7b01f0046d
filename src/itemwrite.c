/*-------------------------------------------------------------------------
 *
 * itemwrite.c
 *	  Storing items and removing them.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/generic_xlog.h"
#include "miscadmin.h"
#include "storage/freespace.h"

#include "item.h"

/*
 * An item is divided when this much room is left on a page; smaller ends stay
 * empty.  5 % of a page, so that item pages are at least 95 % full.
 */
#define MIN_PART (BLCKSZ / 20)

/* Pages that one record of generic WAL may change. */
#define RECORD_PAGES MAX_GENERIC_XLOG_PAGES

/* Bytes of data that a part on an empty page may have. */
#define FULL_PART \
	(MAXALIGN_DOWN(ANNOY_PAGE_CONTENT - sizeof(ItemIdData)) - \
	 sizeof(AnnoyItemData))

/* ---------------------------------------------------------------------
 * Builds
 * ---------------------------------------------------------------------
 */

/* Adds one part of an item to the writer's page. */
static OffsetNumber
add_part(AnnoyItemWriter *writer, AnnoyItem header, const char *data,
		 Size size)
{
	PGAlignedBlock tuple;
	Page		page = BufferGetPage(writer->buffer);
	OffsetNumber offset;

	memcpy(tuple.data, header, sizeof(AnnoyItemData));
	memcpy(tuple.data + sizeof(AnnoyItemData), data, size);
	offset = PageAddItem(page, (Item) tuple.data, sizeof(AnnoyItemData) + size,
						 InvalidOffsetNumber, false, false);
	if (offset == InvalidOffsetNumber)
		elog(ERROR, "failed to add an item to block %u of index \"%s\"",
			 BufferGetBlockNumber(writer->buffer),
			 RelationGetRelationName(writer->index));
	return offset;
}

ItemPointerData
AnnoyWriteItem(AnnoyItemWriter *writer, ItemPointer heap_tid,
			   const struct varlena *value)
{
	const char *data = (const char *) value;
	Size		left = VARSIZE(value);
	AnnoyItemData header;
	ItemPointerData address;

	ItemPointerSetInvalid(&address);
	header.heap_tid = *heap_tid;
	header.flags = 0;
	header.data_offset = sizeof(AnnoyItemData);

	/* between items the page is pinned only: a lock would hold off cancels */
	if (BufferIsValid(writer->buffer))
		LockBuffer(writer->buffer, BUFFER_LOCK_EXCLUSIVE);
	while (left > 0)
	{
		Size		room = 0;
		Size		part;
		Buffer		next = InvalidBuffer;
		OffsetNumber offset;

		if (BufferIsValid(writer->buffer))
		{
			room = PageGetFreeSpace(BufferGetPage(writer->buffer));
			room = MAXALIGN_DOWN(room);
			room = room > sizeof(AnnoyItemData) ?
				room - sizeof(AnnoyItemData) : 0;
		}
		if (room < left && room < MIN_PART)
		{
			if (BufferIsValid(writer->buffer))
				UnlockReleaseBuffer(writer->buffer);
			writer->buffer = AnnoyExtend(writer->index, MAIN_FORKNUM,
										 ANNOY_PAGE_ITEM, 0);
			continue;
		}

		/* a part that does not end the item needs the address of the next */
		part = Min(left, room);
		ItemPointerSetInvalid(&header.next);
		if (part < left)
		{
			next = AnnoyExtend(writer->index, MAIN_FORKNUM, ANNOY_PAGE_ITEM, 0);
			ItemPointerSet(&header.next, BufferGetBlockNumber(next),
						   FirstOffsetNumber);
		}
		offset = add_part(writer, &header, data, part);
		if (!ItemPointerIsValid(&address))
			ItemPointerSet(&address, BufferGetBlockNumber(writer->buffer),
						   offset);
		header.flags |= ANNOY_ITEM_CONTINUED;
		data += part;
		left -= part;
		if (BufferIsValid(next))
		{
			UnlockReleaseBuffer(writer->buffer);
			writer->buffer = next;
		}
	}
	LockBuffer(writer->buffer, BUFFER_LOCK_UNLOCK);
	return address;
}

void
AnnoyEndItemWriter(AnnoyItemWriter *writer)
{
	if (BufferIsValid(writer->buffer))
		ReleaseBuffer(writer->buffer);
	writer->buffer = InvalidBuffer;
}

/* ---------------------------------------------------------------------
 * Inserts
 * ---------------------------------------------------------------------
 */

/* Bytes of data that a part added to the page may have. */
static Size
room_on_page(Page page)
{
	Size		room = MAXALIGN_DOWN(PageGetFreeSpace(page));

	return room > sizeof(AnnoyItemData) ? room - sizeof(AnnoyItemData) : 0;
}

/*
 * An item page with room for "size" bytes of data, or at least MIN_PART of
 * them, locked exclusively; fills *fresh if it has yet to be initialised.
 */
static Buffer
find_item_page(Relation index, Size size, bool *fresh)
{
	Size		wanted = Min(size, MIN_PART) + sizeof(AnnoyItemData) +
		sizeof(ItemIdData) + MAXIMUM_ALIGNOF;
	BlockNumber block = RelationGetTargetBlock(index);

	*fresh = false;
	if (!BlockNumberIsValid(block))
		block = GetPageWithFreeSpace(index, wanted);
	while (BlockNumberIsValid(block))
	{
		Buffer		buffer;
		Page		page;
		Size		room;

		/* after a crash the free space map may know blocks that are no more */
		if (block >= RelationGetNumberOfBlocks(index))
		{
			block = RecordAndGetPageWithFreeSpace(index, block, 0, wanted);
			continue;
		}
		buffer = ReadBuffer(index, block);
		page = BufferGetPage(buffer);
		LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
		if (PageIsNew(page))
		{
			/* added by somebody whose insert or split did not come to its end */
			*fresh = true;
			RelationSetTargetBlock(index, block);
			return buffer;
		}

		/* the free space map is a hint and may name any page */
		room = PageGetSpecialSize(page) == MAXALIGN(sizeof(AnnoyPageOpaqueData)) &&
			AnnoyPageGetOpaque(page)->kind == ANNOY_PAGE_ITEM ?
			room_on_page(page) : 0;
		if (room >= Min(size, MIN_PART))
		{
			RelationSetTargetBlock(index, block);
			return buffer;
		}
		room = room == 0 ? 0 : PageGetFreeSpace(page);
		UnlockReleaseBuffer(buffer);
		CHECK_FOR_INTERRUPTS();
		block = RecordAndGetPageWithFreeSpace(index, block, room, wanted);
	}
	*fresh = true;
	return AnnoyExtendLocked(index);
}

/*
 * Puts parts of an item on pages, in one record: the first on a page with or
 * without other items, the others on fresh pages.  Returns the first's
 * address.  "next": the part behind the last of these.
 */
static ItemPointerData
add_parts(Relation index, AnnoyItem header, const char *data,
		  const Buffer *buffers, const bool *fresh, const Size *sizes,
		  int count, ItemPointerData next)
{
	GenericXLogState *xlog = GenericXLogStart(index);
	ItemPointerData address;

	for (int i = 0; i < count; i++)
		data += sizes[i];

	/* from the last part on, since each names the next */
	for (int i = count - 1; i >= 0; i--)
	{
		PGAlignedBlock tuple;
		Page		page = GenericXLogRegisterBuffer(xlog, buffers[i],
													 fresh[i] ? GENERIC_XLOG_FULL_IMAGE : 0);
		AnnoyItemData part = *header;
		OffsetNumber offset;

		if (fresh[i])
			AnnoyInitPage(page, ANNOY_PAGE_ITEM, 0);
		if (i > 0)
			part.flags |= ANNOY_ITEM_CONTINUED;
		part.next = next;
		data -= sizes[i];
		memcpy(tuple.data, &part, sizeof(AnnoyItemData));
		memcpy(tuple.data + sizeof(AnnoyItemData), data, sizes[i]);
		offset = PageAddItem(page, (Item) tuple.data,
							 sizeof(AnnoyItemData) + sizes[i],
							 InvalidOffsetNumber, false, false);
		if (offset == InvalidOffsetNumber)
			elog(ERROR, "failed to add an item to block %u of index \"%s\"",
				 BufferGetBlockNumber(buffers[i]),
				 RelationGetRelationName(index));
		ItemPointerSet(&address, BufferGetBlockNumber(buffers[i]), offset);
		next = address;
	}
	GenericXLogFinish(xlog);
	return address;
}

/*
 * The data is divided into a first part, which fills the page at hand, and
 * full pages.  What does not go into one record with the first part is written
 * before, last part first: whatever happens in between, no item is without
 * its end.
 */
ItemPointerData
AnnoyInsertItem(Relation index, ItemPointer heap_tid,
				const struct varlena *value)
{
	const char *data = (const char *) value;
	Size		total = VARSIZE(value);
	AnnoyItemData header;
	ItemPointerData address;
	Buffer		buffers[RECORD_PAGES];
	bool		fresh[RECORD_PAGES];
	Size		sizes[RECORD_PAGES];
	Size		first;
	int			parts;
	int			count;

	header.heap_tid = *heap_tid;
	header.flags = 0;
	header.data_offset = sizeof(AnnoyItemData);
	ItemPointerSetInvalid(&header.next);
	ItemPointerSetInvalid(&address);

	/* long ends, more than the last record can take */
	while (total > (RECORD_PAGES - 1) * FULL_PART)
	{
		AnnoyItemData continued = header;

		continued.flags |= ANNOY_ITEM_CONTINUED;
		sizes[0] = (total - 1) % FULL_PART + 1;
		buffers[0] = AnnoyExtendLocked(index);
		fresh[0] = true;
		total -= sizes[0];
		address = add_parts(index, &continued, data + total, buffers, fresh,
							sizes, 1, address);
		UnlockReleaseBuffer(buffers[0]);
	}

	buffers[0] = find_item_page(index, total, &fresh[0]);
	first = Min(total, fresh[0] ? FULL_PART :
				room_on_page(BufferGetPage(buffers[0])));
	sizes[0] = first;
	parts = 1 + (total - first + FULL_PART - 1) / FULL_PART;
	Assert(parts <= RECORD_PAGES);
	for (count = 1; count < parts; count++)
	{
		buffers[count] = AnnoyExtendLocked(index);
		fresh[count] = true;
		sizes[count] = Min(total - first, FULL_PART);
		first += sizes[count];
	}
	address = add_parts(index, &header, data, buffers, fresh, sizes, count,
						address);

	/* the last page has room for the next item */
	RelationSetTargetBlock(index, BufferGetBlockNumber(buffers[count - 1]));
	for (int i = 0; i < count; i++)
		UnlockReleaseBuffer(buffers[i]);
	return address;
}

/* ---------------------------------------------------------------------
 * Removal
 * ---------------------------------------------------------------------
 */

/* Frees a slot without renumbering the others. */
static void
free_slot(Page page, OffsetNumber offset)
{
	PageIndexTupleDeleteNoCompact(page, offset);
	if (PageGetMaxOffsetNumber(page) > 0)
		PageSetHasFreeLinePointers(page);
}

/* The part at an address of a locked page, if it is one of the wanted kind. */
static AnnoyItem
get_tuple(Page page, OffsetNumber offset, bool continued)
{
	ItemId		id;
	AnnoyItem	item;

	if (PageIsNew(page) ||
		PageGetSpecialSize(page) != MAXALIGN(sizeof(AnnoyPageOpaqueData)) ||
		AnnoyPageGetOpaque(page)->kind != ANNOY_PAGE_ITEM ||
		offset < FirstOffsetNumber || offset > PageGetMaxOffsetNumber(page))
		return NULL;
	id = PageGetItemId(page, offset);
	if (!ItemIdIsNormal(id) || ItemIdGetLength(id) < sizeof(AnnoyItemData))
		return NULL;
	item = (AnnoyItem) PageGetItem(page, id);
	return ((item->flags & ANNOY_ITEM_CONTINUED) != 0) == continued ? item : NULL;
}

/*
 * Removes the part that the dead item's head names as next, and makes the head
 * name the one behind, in one record.  Returns false if there is none.
 */
static bool
remove_next_part(Relation index, Buffer head, OffsetNumber offset)
{
	AnnoyItem	item = get_tuple(BufferGetPage(head), offset, false);
	ItemPointerData next = item->next;
	AnnoyItem	part;
	Buffer		buffer;
	bool		same;
	GenericXLogState *xlog;
	Page		page;

	if (!ItemPointerIsValid(&next))
		return false;
	same = ItemPointerGetBlockNumber(&next) == BufferGetBlockNumber(head);
	buffer = same ? head :
		AnnoyReadBuffer(index, ItemPointerGetBlockNumber(&next));
	if (!same)
		LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
	part = get_tuple(BufferGetPage(buffer), ItemPointerGetOffsetNumber(&next),
					 true);

	xlog = GenericXLogStart(index);
	page = GenericXLogRegisterBuffer(xlog, head, 0);
	item = get_tuple(page, offset, false);
	if (part != NULL)
	{
		item->next = part->next;
		free_slot(same ? page : GenericXLogRegisterBuffer(xlog, buffer, 0),
				  ItemPointerGetOffsetNumber(&next));
	}
	else
		ItemPointerSetInvalid(&item->next); /* lost to damage */
	GenericXLogFinish(xlog);

	if (!same)
	{
		RecordPageWithFreeSpace(index, BufferGetBlockNumber(buffer),
								PageGetFreeSpace(BufferGetPage(buffer)));
		UnlockReleaseBuffer(buffer);
	}
	return true;
}

void
AnnoyRemoveItems(Relation index, BlockNumber block,
				 const OffsetNumber *offsets, int count)
{
	Buffer		buffer = ReadBuffer(index, block);
	Page		page = BufferGetPage(buffer);
	int			removed = 0;
	GenericXLogState *xlog;

	/*
	 * Parts on other pages first, each with a lock on two pages.  Nobody but
	 * VACUUM locks two existing item pages, and there is one VACUUM at a time.
	 */
	for (int i = 0; i < count; i++)
	{
		bool		more = true;

		while (more)
		{
			LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
			more = get_tuple(page, offsets[i], false) != NULL &&
				remove_next_part(index, buffer, offsets[i]);
			LockBuffer(buffer, BUFFER_LOCK_UNLOCK);
			CHECK_FOR_INTERRUPTS();
		}
	}

	LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
	xlog = GenericXLogStart(index);
	page = GenericXLogRegisterBuffer(xlog, buffer, 0);
	for (int i = 0; i < count; i++)
	{
		AnnoyItem	item = get_tuple(page, offsets[i], false);

		if (item != NULL && (item->flags & ANNOY_ITEM_DEAD))
		{
			free_slot(page, offsets[i]);
			removed++;
		}
	}
	if (removed > 0)
		GenericXLogFinish(xlog);
	else
		GenericXLogAbort(xlog);
	RecordPageWithFreeSpace(index, block,
							PageGetFreeSpace(BufferGetPage(buffer)));
	UnlockReleaseBuffer(buffer);
}

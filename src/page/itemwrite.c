/*-------------------------------------------------------------------------
 *
 * itemwrite.c
 *	  Storing items and removing them.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/generic_xlog.h"
#include "access/xloginsert.h"
#include "miscadmin.h"
#include "storage/freespace.h"

#include "annoycompat.h"
#include "page/buffer.h"
#include "page/item.h"

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

/*
 * What a page other than the first is asked to take: a little less than an
 * empty page does, because the free space map rounds.  And what one record is
 * sure to take, a first part of MIN_PART included.
 */
#define PART_WANTED (FULL_PART - BLCKSZ / 64)
#define RECORD_DATA ((RECORD_PAGES - 1) * PART_WANTED)

/* ---------------------------------------------------------------------
 * Builds
 * ---------------------------------------------------------------------
 */

/*
 * Logs the writer's page, which is complete, unlocks it and lets it go.
 */
static void
finish_page(AnnoyItemWriter *writer)
{
	MarkBufferDirty(writer->buffer);
	if (RelationNeedsWAL(writer->index))
	{
		START_CRIT_SECTION();
		log_newpage_buffer(writer->buffer, true);
		END_CRIT_SECTION();
	}
	UnlockReleaseBuffer(writer->buffer);
	writer->buffer = InvalidBuffer;
}

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
	offset = PageAddItem(page, tuple.data, sizeof(AnnoyItemData) + size,
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
				finish_page(writer);
			writer->buffer = AnnoyExtendBuild(writer->extender,
											  ANNOY_PAGE_ITEM, 0);
			continue;
		}

		/* a part that does not end the item needs the address of the next */
		part = Min(left, room);
		ItemPointerSetInvalid(&header.next);
		if (part < left)
		{
			next = AnnoyExtendBuild(writer->extender, ANNOY_PAGE_ITEM, 0);
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
			finish_page(writer);
			writer->buffer = next;
		}
	}
	/* unlocked, it may be written out before it is complete */
	MarkBufferDirty(writer->buffer);
	LockBuffer(writer->buffer, BUFFER_LOCK_UNLOCK);
	return address;
}

void
AnnoyEndItemWriter(AnnoyItemWriter *writer)
{
	if (!BufferIsValid(writer->buffer))
		return;
	LockBuffer(writer->buffer, BUFFER_LOCK_EXCLUSIVE);
	finish_page(writer);
}

/* ---------------------------------------------------------------------
 * Inserts
 * ---------------------------------------------------------------------
 */

/* A page for a part of an item, locked exclusively. */
typedef struct PartPage
{
	Buffer		buffer;
	bool		fresh;			/* has yet to be initialised */
	Size		room;			/* bytes of data that it can take */
	Size		size;			/* bytes of data that it will take */
} PartPage;

/* Bytes of data that a part added to the page may have. */
static Size
room_on_page(Page page)
{
	Size		room = MAXALIGN_DOWN(PageGetFreeSpace(page));

	return room > sizeof(AnnoyItemData) ? room - sizeof(AnnoyItemData) : 0;
}

/* Whether a locked page is an item page; then *room is what it has left. */
static bool
is_item_page(Page page, Size *room)
{
	*room = 0;
	if (PageIsNew(page) ||
		PageGetSpecialSize(page) != MAXALIGN(sizeof(AnnoyPageOpaqueData)) ||
		AnnoyPageGetOpaque(page)->kind != ANNOY_PAGE_ITEM)
		return false;
	*room = room_on_page(page);
	return true;
}

/*
 * A page with room for "size" bytes of data, locked exclusively, or
 * InvalidBuffer; tries one block first, if valid, and then the free space map,
 * which is a hint and may name any page.  If other pages are locked already
 * ("taken"), one that is locked by somebody is passed over, since there is no
 * order among item pages; and so is one of them.
 */
static Buffer
find_room(Relation index, BlockNumber block, Size size,
		  const PartPage *taken, int taken_count, PartPage *part)
{
	Size		wanted = size + sizeof(AnnoyItemData) + sizeof(ItemIdData) +
		MAXIMUM_ALIGNOF;

	/* no page offers more; see fsm_space_needed_to_cat */
	wanted = Min(wanted, ANNOY_PAGE_CONTENT - BLCKSZ / 128);
	if (!BlockNumberIsValid(block))
		block = GetPageWithFreeSpace(index, wanted);
	while (BlockNumberIsValid(block))
	{
		Size		free = 0;
		Page		page;

		CHECK_FOR_INTERRUPTS();
		/* the conditional lock would tell, but not on a temporary table */
		for (int i = 0; i < taken_count; i++)
			if (BufferGetBlockNumber(taken[i].buffer) == block)
				return InvalidBuffer;
		/* after a crash the free space map may know blocks that are no more */
		if (block < RelationGetNumberOfBlocks(index))
		{
			part->buffer = ReadBuffer(index, block);
			if (taken_count == 0)
				LockBuffer(part->buffer, BUFFER_LOCK_EXCLUSIVE);
			else if (!ConditionalLockBuffer(part->buffer))
			{
				ReleaseBuffer(part->buffer);
				return InvalidBuffer;
			}
			page = BufferGetPage(part->buffer);
			part->fresh = PageIsNew(page);
			if (part->fresh)
				part->room = FULL_PART; /* somebody did not come to an end */
			else if (is_item_page(page, &part->room))
				free = PageGetFreeSpace(page);
			if (part->room >= size)
				return part->buffer;
			UnlockReleaseBuffer(part->buffer);
		}
		block = RecordAndGetPageWithFreeSpace(index, block, free, wanted);
	}
	return InvalidBuffer;
}

/* A page for a part of an item, with "size" of room or MIN_PART at the least. */
static PartPage
get_part_page(Relation index, Size size, const PartPage *taken,
			  int taken_count)
{
	bool		first = taken_count == 0;
	BlockNumber target = first ? RelationGetTargetBlock(index) :
		InvalidBlockNumber;
	PartPage	part;

	/*
	 * Best is a page that holds all of it.  The end of the page at hand is
	 * filled with a first part only when there is none: so pages are full
	 * while the index grows, and room that VACUUM made is used up.
	 */
	if (find_room(index, target, size, taken, taken_count,
								&part) != InvalidBuffer)
		return part;
	if (first && BlockNumberIsValid(target) &&
		find_room(index, target, MIN_PART, taken, taken_count,
								&part) != InvalidBuffer)
		return part;
	part.buffer = AnnoyExtendLocked(index);
	part.fresh = true;
	part.room = FULL_PART;
	return part;
}

/*
 * Puts parts of an item on pages, in one record.  Returns the first's address.
 * "next": the part behind the last of these.
 */
static ItemPointerData
add_parts(Relation index, const AnnoyItemData *header, const char *data,
		  const PartPage *parts, int count, ItemPointerData next)
{
	GenericXLogState *xlog = GenericXLogStart(index);
	ItemPointerData address;

	for (int i = 0; i < count; i++)
	{
		for (int j = 0; j < i; j++)
			Assert(parts[i].buffer != parts[j].buffer);
		data += parts[i].size;
	}

	/* from the last part on, since each names the next */
	for (int i = count - 1; i >= 0; i--)
	{
		PGAlignedBlock tuple;
		Page		page = GenericXLogRegisterBuffer(xlog, parts[i].buffer,
													 parts[i].fresh ? GENERIC_XLOG_FULL_IMAGE : 0);
		AnnoyItemData part = *header;
		OffsetNumber offset;

		if (parts[i].fresh)
			AnnoyInitPage(page, ANNOY_PAGE_ITEM, 0);
		if (i > 0)
			part.flags |= ANNOY_ITEM_CONTINUED;
		part.next = next;
		data -= parts[i].size;
		memcpy(tuple.data, &part, sizeof(AnnoyItemData));
		memcpy(tuple.data + sizeof(AnnoyItemData), data, parts[i].size);
		offset = PageAddItem(page, tuple.data,
							 sizeof(AnnoyItemData) + parts[i].size,
							 InvalidOffsetNumber, false, false);
		if (offset == InvalidOffsetNumber)
			elog(ERROR, "failed to add an item to block %u of index \"%s\"",
				 BufferGetBlockNumber(parts[i].buffer),
				 RelationGetRelationName(index));
		ItemPointerSet(&address, BufferGetBlockNumber(parts[i].buffer), offset);
		next = address;
	}
	GenericXLogFinish(xlog);
	return address;
}

/*
 * What does not go into one record with the first part is written before, last
 * part first: whatever happens in between, no item is without its end.
 */
ItemPointerData
AnnoyInsertItem(Relation index, ItemPointer heap_tid,
				const struct varlena *value)
{
	const char *data = (const char *) value;
	Size		total = VARSIZE(value);
	Size		left;
	AnnoyItemData header;
	ItemPointerData address;
	PartPage	parts[RECORD_PAGES];
	int			count = 0;

	header.heap_tid = *heap_tid;
	header.flags = 0;
	header.data_offset = sizeof(AnnoyItemData);
	ItemPointerSetInvalid(&header.next);
	ItemPointerSetInvalid(&address);

	/* long ends, more than the last record is sure to take */
	while (total > RECORD_DATA)
	{
		AnnoyItemData continued = header;

		continued.flags |= ANNOY_ITEM_CONTINUED;
		parts[0] = get_part_page(index, PART_WANTED, NULL, 0);
		parts[0].size = Min(parts[0].room, total - RECORD_DATA);
		total -= parts[0].size;
		address = add_parts(index, &continued, data + total, parts, 1, address);
		UnlockReleaseBuffer(parts[0].buffer);
	}

	for (left = total; left > 0; count++)
	{
		Assert(count < RECORD_PAGES);
		parts[count] = get_part_page(index, Min(left, PART_WANTED), parts,
									 count);
		parts[count].size = Min(left, parts[count].room);
		left -= parts[count].size;
	}
	address = add_parts(index, &header, data, parts, count, address);

	/* the last page may have room for the next item */
	RelationSetTargetBlock(index, BufferGetBlockNumber(parts[count - 1].buffer));
	for (int i = 0; i < count; i++)
		UnlockReleaseBuffer(parts[i].buffer);
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

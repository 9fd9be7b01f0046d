/*-------------------------------------------------------------------------
 *
 * tail.c
 *	  Rows whose distance is never a number: NULLs, vectors without direction.
 *
 * The order of locks is head, then another page of the list.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/generic_xlog.h"
#include "miscadmin.h"

#include "page/tail.h"

/* A page is worth listing as free when a quarter of it is. */
#define FREE_TAIL_ENTRIES (AnnoyTailCapacity / 4)

/* Entries of a locked tail page, after a check of their number. */
static int
count_entries(Relation index, Buffer buffer)
{
	int			count = AnnoyPageGetTailHeader(BufferGetPage(buffer))->count;

	if (count > AnnoyTailCapacity)
		AnnoyReportCorruption(index, BufferGetBlockNumber(buffer),
							  "too many tail entries");
	return count;
}

/* The server does not check heap TIDs: an invalid block would extend the table. */
int
AnnoyCheckTail(Relation index, Buffer buffer)
{
	AnnoyTailEntry *entries = AnnoyPageGetTailEntries(BufferGetPage(buffer));
	int			count = count_entries(index, buffer);

	for (int i = 0; i < count; i++)
		if (!ItemPointerIsValid(&entries[i].heap_tid) ||
			!BlockNumberIsValid(ItemPointerGetBlockNumberNoCheck(&entries[i].heap_tid)))
			AnnoyReportCorruption(index, BufferGetBlockNumber(buffer),
								  "tail entry out of range");
	return count;
}

static void
append_entry(Page page, ItemPointer heap_tid, uint16 flags)
{
	AnnoyTailHeader *header = AnnoyPageGetTailHeader(page);
	AnnoyTailEntry *entry = &AnnoyPageGetTailEntries(page)[header->count++];

	entry->heap_tid = *heap_tid;
	entry->flags = flags;
	((PageHeader) page)->pd_lower = (char *) (entry + 1) - (char *) page;
}

/*
 * The head (locked) is full: puts the row on a page that VACUUM has listed as
 * free.  Returns false, the list one page shorter, if that is full by now, or
 * false if there is none (*none).
 */
static bool
use_free_page(Relation index, Buffer head, ItemPointer heap_tid, uint16 flags,
			  bool *none)
{
	BlockNumber block = AnnoyPageGetTailHeader(BufferGetPage(head))->next_free;
	Buffer		buffer;
	GenericXLogState *xlog;
	bool		room;

	*none = !BlockNumberIsValid(block);
	if (*none)
		return false;
	if (block == BufferGetBlockNumber(head))
		AnnoyReportCorruption(index, block, "tail's head in its free list");
	buffer = AnnoyReadPage(index, block, ANNOY_PAGE_TAIL,
						   BUFFER_LOCK_EXCLUSIVE);
	room = count_entries(index, buffer) < AnnoyTailCapacity;

	xlog = GenericXLogStart(index);
	if (room)
		append_entry(GenericXLogRegisterBuffer(xlog, buffer, 0), heap_tid, flags);
	else
	{
		Page		head_page = GenericXLogRegisterBuffer(xlog, head, 0);
		Page		page = GenericXLogRegisterBuffer(xlog, buffer, 0);

		AnnoyPageGetTailHeader(head_page)->next_free =
			AnnoyPageGetTailHeader(page)->next_free;
		AnnoyPageGetTailHeader(page)->next_free = InvalidBlockNumber;
	}
	GenericXLogFinish(xlog);
	UnlockReleaseBuffer(buffer);
	return room;
}

/*
 * Moves the entries of the full head (locked) to a new page behind it.  A scan
 * that has read the head before goes on behind the new page, one that reads it
 * later finds the entries there.
 */
static void
move_head_entries(Relation index, Buffer head, ItemPointer heap_tid,
				  uint16 flags)
{
	Buffer		buffer = AnnoyExtendLocked(index);
	GenericXLogState *xlog = GenericXLogStart(index);
	Page		head_page = GenericXLogRegisterBuffer(xlog, head, 0);
	Page		page = GenericXLogRegisterBuffer(xlog, buffer,
												 GENERIC_XLOG_FULL_IMAGE);
	AnnoyTailHeader *header = AnnoyPageGetTailHeader(head_page);

	AnnoyInitPage(page, ANNOY_PAGE_TAIL, 0);
	memcpy(AnnoyPageGetTailEntries(page), AnnoyPageGetTailEntries(head_page),
		   sizeof(AnnoyTailEntry) * header->count);
	AnnoyPageGetTailHeader(page)->count = header->count;
	((PageHeader) page)->pd_lower = ((PageHeader) head_page)->pd_lower;
	AnnoyPageGetOpaque(page)->rightlink =
		AnnoyPageGetOpaque(head_page)->rightlink;

	header->count = 0;
	AnnoyPageGetOpaque(head_page)->rightlink = BufferGetBlockNumber(buffer);
	append_entry(head_page, heap_tid, flags);
	GenericXLogFinish(xlog);
	UnlockReleaseBuffer(buffer);
}

void
AnnoyInsertTail(Relation index, BlockNumber head, ItemPointer heap_tid,
				uint16 flags)
{
	Buffer		buffer = AnnoyReadPage(index, head, ANNOY_PAGE_TAIL,
									   BUFFER_LOCK_EXCLUSIVE);

	if (count_entries(index, buffer) < AnnoyTailCapacity)
	{
		GenericXLogState *xlog = GenericXLogStart(index);

		append_entry(GenericXLogRegisterBuffer(xlog, buffer, 0), heap_tid, flags);
		GenericXLogFinish(xlog);
	}
	else
	{
		bool		none = false;
		bool		done = false;

		while (!done && !none)
			done = use_free_page(index, buffer, heap_tid, flags, &none);
		if (!done)
			move_head_entries(index, buffer, heap_tid, flags);
	}
	UnlockReleaseBuffer(buffer);
}

int
AnnoyVacuumTailPage(Relation index, Buffer buffer,
					IndexBulkDeleteCallback callback, void *callback_state,
					int *left)
{
	int			count = AnnoyCheckTail(index, buffer);
	AnnoyTailEntry *entries =
		AnnoyPageGetTailEntries(BufferGetPage(buffer));
	AnnoyTailEntry kept[BLCKSZ / sizeof(AnnoyTailEntry)];

	*left = 0;
	for (int i = 0; i < count; i++)
		if (callback == NULL || !callback(&entries[i].heap_tid, callback_state))
			kept[(*left)++] = entries[i];
	if (*left < count)
	{
		GenericXLogState *xlog = GenericXLogStart(index);
		Page		page = GenericXLogRegisterBuffer(xlog, buffer, 0);

		entries = AnnoyPageGetTailEntries(page);
		memcpy(entries, kept, sizeof(AnnoyTailEntry) * *left);
		AnnoyPageGetTailHeader(page)->count = *left;
		((PageHeader) page)->pd_lower = (char *) (entries + *left) - (char *) page;
		GenericXLogFinish(xlog);
	}
	return count - *left;
}

/* Sets a page's next_free, if it is not that already. */
static void
set_next_free(Relation index, BlockNumber block, BlockNumber next_free)
{
	Buffer		buffer = AnnoyReadPage(index, block, ANNOY_PAGE_TAIL,
									   BUFFER_LOCK_EXCLUSIVE);

	if (AnnoyPageGetTailHeader(BufferGetPage(buffer))->next_free != next_free)
	{
		GenericXLogState *xlog = GenericXLogStart(index);
		Page		page = GenericXLogRegisterBuffer(xlog, buffer, 0);

		AnnoyPageGetTailHeader(page)->next_free = next_free;
		GenericXLogFinish(xlog);
	}
	UnlockReleaseBuffer(buffer);
}

/*
 * The list is cut at the head first, so that inserts meanwhile see a shorter
 * list, never a wrong one.
 */
void
AnnoyListFreeTailPages(Relation index, BlockNumber head)
{
	BlockNumber block;
	BlockNumber next_free = InvalidBlockNumber;
	BlockNumber pages = RelationGetNumberOfBlocks(index);
	Buffer		buffer;

	set_next_free(index, head, InvalidBlockNumber);
	buffer = AnnoyReadPage(index, head, ANNOY_PAGE_TAIL, BUFFER_LOCK_SHARE);
	block = AnnoyPageGetOpaque(BufferGetPage(buffer))->rightlink;
	UnlockReleaseBuffer(buffer);

	while (BlockNumberIsValid(block))
	{
		BlockNumber next;
		int			count;

		CHECK_FOR_INTERRUPTS();
		if (pages-- == 0)
			AnnoyReportCorruption(index, block, "list of tail pages has no end");
		buffer = AnnoyReadPage(index, block, ANNOY_PAGE_TAIL, BUFFER_LOCK_SHARE);
		next = AnnoyPageGetOpaque(BufferGetPage(buffer))->rightlink;
		count = count_entries(index, buffer);
		UnlockReleaseBuffer(buffer);
		if (AnnoyTailCapacity - count >= FREE_TAIL_ENTRIES)
		{
			set_next_free(index, block, next_free);
			next_free = block;
		}
		block = next;
	}
	if (BlockNumberIsValid(next_free))
		set_next_free(index, head, next_free);
}

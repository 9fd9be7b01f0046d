/*-------------------------------------------------------------------------
 *
 * buffer.c
 *	  Pinning the index's blocks, and asking for them in advance.
 *
 * A search visits hundreds of pages in no order.  Looking each up in the
 * buffer mapping table costs several accesses to memory that are nowhere near
 * a cache, so a backend remembers in which buffers it has found blocks.
 * ReadRecentBuffer checks what we remember, and a wrong memory does no harm.
 *
 * The same memory tells where a page probably is before it is pinned, so that
 * the processor can be asked for a batch of pages at once.  They are not pinned
 * in advance: a backend counts more than a few pins at a time in a hash table
 * (GetPrivateRefCountEntry, storage/buffer/bufmgr.c), which costs more than
 * the pins.  What is not in shared buffers is asked of the operating system
 * (PrefetchBuffer), so that reads from disk overlap, too.  That takes looking
 * the page up after all, so it is done only for pages that we do not remember,
 * and for some time whenever our memory has turned out to be wrong, as it does
 * often where the index is larger than shared buffers.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "storage/smgr.h"
#include "utils/memutils.h"
#include "utils/spccache.h"

#include "annoycompat.h"
#include "page/buffer.h"
#include "page/page.h"

/*
 * Slots of the memory, powers of two: enough for two slots a block of the
 * largest index seen, within bounds (12 bytes a slot).
 */
#define MIN_SLOTS 16384
#define MAX_SLOTS 524288
#define SLOTS_PER_BLOCK 2

/* Pages looked up after a wrong memory, of those that are asked for. */
#define DOUBTED_PAGES 64

/* Keeps equal blocks of different indexes apart. */
#define INDEX_FACTOR 0x9E3779B1U

typedef struct RecentBuffer
{
	Oid			index;
	BlockNumber block;
	Buffer		buffer;
} RecentBuffer;

static RecentBuffer *slots;
static uint32 slot_count;
static int	doubted_pages;

/* Makes room for an index of so many blocks, forgetting everything. */
static void
allocate_slots(BlockNumber blocks)
{
	uint32		wanted = Max(slot_count, MIN_SLOTS);

	while (wanted < MAX_SLOTS && wanted / SLOTS_PER_BLOCK < blocks)
		wanted *= 2;
	if (wanted == slot_count)
		return;
	if (slots)
		pfree(slots);
	slots = NULL;
	slot_count = 0;
	slots = MemoryContextAllocZero(TopMemoryContext,
								   sizeof(RecentBuffer) * wanted);
	slot_count = wanted;
}

static inline RecentBuffer *
find_slot(Relation index, BlockNumber block)
{
	return &slots[(block + RelationGetRelid(index) * INDEX_FACTOR) &
				  (slot_count - 1)];
}

static inline bool
slot_matches(const RecentBuffer *slot, Relation index, BlockNumber block)
{
	return slot->block == block && slot->index == RelationGetRelid(index) &&
		BufferIsValid(slot->buffer);
}

/* buffer: InvalidBuffer if the block is in none. */
static void
remember(Relation index, BlockNumber block, Buffer buffer)
{
	RecentBuffer *slot = find_slot(index, block);

	if (slot_matches(slot, index, block))
	{
		if (slot->buffer != buffer)
			doubted_pages = DOUBTED_PAGES;
	}
	else if (!BufferIsValid(buffer))
		return;					/* the slot may be of use to another block */
	slot->index = RelationGetRelid(index);
	slot->block = block;
	slot->buffer = buffer;
}

/*
 * Whether the relation has the block.  The number of blocks that the storage
 * manager has seen last saves asking the file system; it is behind when others
 * have added blocks.
 */
static bool
block_exists(Relation index, BlockNumber block)
{
	BlockNumber known = RelationGetSmgr(index)->smgr_cached_nblocks[MAIN_FORKNUM];

	if (!BlockNumberIsValid(block))
		return false;
	if (!BlockNumberIsValid(known) || block >= known)
		known = RelationGetNumberOfBlocks(index);
	if (known > slot_count / SLOTS_PER_BLOCK)
		allocate_slots(known);
	return block < known;
}

Buffer
AnnoyReadBuffer(Relation index, BlockNumber block)
{
	Buffer		buffer;

	if (slot_count > 0)
	{
		RecentBuffer *slot = find_slot(index, block);

		/*
		 * A pin by way of ReadRecentBuffer does not count as use when buffers
		 * are replaced, so a buffer that is about to become a victim is pinned
		 * in the ordinary way.
		 */
		if (slot_matches(slot, index, block) &&
			!AnnoyBufferIsWorn(slot->buffer) &&
			AnnoyReadRecentBuffer(index, block, slot->buffer))
			return slot->buffer;
	}
	if (!block_exists(index, block))
		AnnoyReportCorruption(index, block, "no such block");
	buffer = ReadBuffer(index, block);
	remember(index, block, buffer);
	return buffer;
}

Page
AnnoyGuessPage(Relation index, BlockNumber block)
{
	RecentBuffer *slot;

	if (slot_count == 0)
		return NULL;
	slot = find_slot(index, block);
	if (!slot_matches(slot, index, block) || BufferIsLocal(slot->buffer))
		return NULL;
	return BufferGetPage(slot->buffer);
}

/*
 * Has a block that is not in shared buffers read ahead, and remembers where one
 * is that is there.
 */
static void
ask_for_block(Relation index, BlockNumber block)
{
	PrefetchBufferResult result;

	if (doubted_pages > 0)
		doubted_pages--;
	/* a damaged link is reported when it is followed */
	if (!block_exists(index, block) || RelationUsesLocalBuffers(index) ||
		get_tablespace_io_concurrency(index->rd_rel->reltablespace) == 0)
		return;
	result = PrefetchBuffer(index, MAIN_FORKNUM, block);
	remember(index, block, result.recent_buffer);
}

Page
AnnoyAnticipatePage(Relation index, BlockNumber block)
{
	Page		page;

	if (slot_count == 0 || doubted_pages > 0 ||
		!slot_matches(find_slot(index, block), index, block))
		ask_for_block(index, block);
	page = AnnoyGuessPage(index, block);
	if (page == NULL)
		return NULL;
	AnnoyPrefetchBufferHeader(find_slot(index, block)->buffer);
	AnnoyPrefetchPage(page);
	return page;
}

/*-------------------------------------------------------------------------
 *
 * buildstream.c
 *	  Streams of all items of a tree, each process a part of them.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/rel.h"

#include "build/buildstream.h"

/* Pages with items that a process takes at once. */
#define BLOCKS_AT_ONCE 64

void
AnnoyBeginStream(AnnoyItemStream *stream, AnnoyBuild *build, bool from_items)
{
	memset(stream, 0, sizeof(AnnoyItemStream));
	stream->build = build;
	if (from_items)
	{
		AnnoyBeginItems(&stream->reader, build->index);
		stream->heap_tids = palloc(sizeof(ItemPointerData) * ANNOY_ITEMS_PER_PAGE);
		stream->addresses = palloc(sizeof(ItemPointerData) * ANNOY_ITEMS_PER_PAGE);
	}
	else if (build->rows)
	{
		stream->rows = AnnoyReadSpool(build->rows);
		AnnoySeekPartition(stream->rows, 0);
	}
}

/* The next block with items that nobody else has taken. */
static bool
next_block(AnnoyItemStream *stream)
{
	AnnoyBuild *build = stream->build;

	if (stream->block >= stream->block_end)
	{
		uint64		first = AnnoyTakeWork(build) * BLOCKS_AT_ONCE;

		if (first >= build->shared->item_blocks)
			return false;
		stream->block = first;
		stream->block_end = Min(first + BLOCKS_AT_ONCE,
								build->shared->item_blocks);
	}
	stream->count = AnnoyListItems(build->index, stream->block++, NULL,
								   stream->heap_tids, stream->addresses);
	stream->next = 0;
	return true;
}

static bool
next_written_item(AnnoyItemStream *stream, AnnoyBuildItem *item)
{
	AnnoyBuild *build = stream->build;
	ItemPointer address;
	ItemPointerData heap_tid;
	struct varlena *value;

	while (stream->next >= stream->count)
		if (!next_block(stream))
			return false;
	address = &stream->addresses[stream->next];
	item->address = AnnoyPackTid(address);
	item->tid = AnnoyPackTid(&stream->heap_tids[stream->next]);
	value = AnnoyReadItem(&stream->reader, address, &heap_tid);
	if (value == NULL || VARSIZE(value) != build->value_size)
		elog(ERROR, "item lost during the build of index \"%s\"",
			 RelationGetRelationName(build->index));
	item->value = memcpy(MemoryContextAlloc(build->row_context,
											build->value_size),
						 value, build->value_size);
	item->stays = false;
	AnnoyReleaseItem(&stream->reader);
	stream->next++;
	return true;
}

bool
AnnoyNextStreamItem(AnnoyItemStream *stream, AnnoyBuildItem *item)
{
	AnnoyRowRecord *record;

	CHECK_FOR_INTERRUPTS();
	if (stream->heap_tids)
	{
		MemoryContextReset(stream->build->row_context);
		return next_written_item(stream, item);
	}
	if (stream->rows == NULL)
		return false;
	record = AnnoyNextRecord(stream->rows, &item->stays);
	if (record == NULL)
		return false;
	item->tid = record->tid;
	item->address = 0;
	item->value = (struct varlena *) record->value;
	return true;
}

void
AnnoyEndStream(AnnoyItemStream *stream)
{
	if (stream->heap_tids)
		AnnoyEndItems(&stream->reader);
	if (stream->rows)
		AnnoyEndSpoolReader(stream->rows);
}

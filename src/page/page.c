/*-------------------------------------------------------------------------
 *
 * page.c
 *	  Making, reading and checking the index's pages.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/generic_xlog.h"
#include "miscadmin.h"
#include "storage/indexfsm.h"

#include "annoycompat.h"
#include "page/buffer.h"
#include "page/page.h"

/* A process of a build pins this part of shared buffers in advance, at most. */
#define EXTEND_BUFFERS_PART 64

/* Pages without use for which there is room at first. */
#define UNUSED_INITIAL 64

static const char *const page_kind_names[] = {
	"", "meta", "centre", "roots", "free", "inner", "directory", "leaf", "tail"
};

/* Bytes that pd_lower covers on an empty page of the kind. */
static Size
empty_page_content(AnnoyPageKind kind)
{
	switch (kind)
	{
		case ANNOY_PAGE_INNER:
			return sizeof(AnnoyInnerHeader);
		case ANNOY_PAGE_DIRECTORY:
			return sizeof(AnnoyDirectoryHeader);
		case ANNOY_PAGE_LEAF:
			return offsetof(AnnoyLeafHeaderData, centroid);
		case ANNOY_PAGE_TAIL:
			return sizeof(AnnoyTailHeader);
		default:
			return 0;
	}
}

void
AnnoyInitPage(Page page, AnnoyPageKind kind, int tree)
{
	AnnoyPageOpaque opaque;

	PageInit(page, BLCKSZ, sizeof(AnnoyPageOpaqueData));
	opaque = AnnoyPageGetOpaque(page);
	opaque->rightlink = InvalidBlockNumber;
	opaque->chainlink = InvalidBlockNumber;
	opaque->kind = kind;
	opaque->tree = tree;
	opaque->flags = 0;
	opaque->page_id = ANNOY_PAGE_ID;
	((PageHeader) page)->pd_lower += empty_page_content(kind);
	if (kind == ANNOY_PAGE_TAIL)
		AnnoyPageGetTailHeader(page)->next_free = InvalidBlockNumber;
	if (kind == ANNOY_PAGE_DIRECTORY)
		AnnoyPageGetDirectoryHeader(page)->parent.block = InvalidBlockNumber;
}

void
AnnoyCheckNode(Relation index, BlockNumber block, Page page,
			   int sketch_dimensions, int slot)
{
	if (slot >= AnnoyPageGetInnerHeader(page)->count ||
		slot >= AnnoyInnerCapacity(sketch_dimensions))
		AnnoyReportCorruption(index, block, "no such node");
}

int
AnnoyGetPageKind(Relation index, Buffer buffer)
{
	Page		page = BufferGetPage(buffer);
	BlockNumber block = BufferGetBlockNumber(buffer);
	PageHeader	header = (PageHeader) page;

	/* A page of zeroes passes ReadBuffer (see _bt_checkpage). */
	if (PageIsNew(page))
		return 0;
	if (PageGetSpecialSize(page) != MAXALIGN(sizeof(AnnoyPageOpaqueData)) ||
		header->pd_special != BLCKSZ - MAXALIGN(sizeof(AnnoyPageOpaqueData)))
		AnnoyReportCorruption(index, block, "wrong size of the special area");
	if (AnnoyPageGetOpaque(page)->page_id != ANNOY_PAGE_ID)
		AnnoyReportCorruption(index, block, "not a page of an annoy index");
	if (header->pd_lower < MAXALIGN(SizeOfPageHeaderData) ||
		header->pd_lower > header->pd_upper ||
		header->pd_upper > header->pd_special)
		AnnoyReportCorruption(index, block, "wrong bounds of the free space");
	if (AnnoyPageGetOpaque(page)->kind < ANNOY_PAGE_META ||
		AnnoyPageGetOpaque(page)->kind > ANNOY_PAGE_TAIL)
		AnnoyReportCorruption(index, block, "page of an unknown kind");
	return AnnoyPageGetOpaque(page)->kind;
}

void
AnnoyCheckPage(Relation index, Buffer buffer, AnnoyPageKind kind)
{
	BlockNumber block = BufferGetBlockNumber(buffer);
	int			found = AnnoyGetPageKind(index, buffer);

	if (found == 0)
		AnnoyReportCorruption(index, block, "unexpected zero page");
	if (found != kind)
		AnnoyReportCorruption(index, block,
							  psprintf("expected a page of kind %s, found %s",
									   page_kind_names[kind],
									   page_kind_names[found]));
}

Buffer
AnnoyReadPage(Relation index, BlockNumber block, AnnoyPageKind kind,
			  int lockmode)
{
	Buffer		buffer = AnnoyReadBuffer(index, block);

	LockBuffer(buffer, lockmode);
	AnnoyCheckPage(index, buffer, kind);
	return buffer;
}

Buffer
AnnoyExtend(Relation index, ForkNumber fork, AnnoyPageKind kind, int tree)
{
	Buffer		buffer = AnnoyExtendRelation(index, fork);

	AnnoyInitPage(BufferGetPage(buffer), kind, tree);
	MarkBufferDirty(buffer);
	return buffer;
}

Buffer
AnnoyExtendBuild(AnnoyExtender *extender, AnnoyPageKind kind, int tree)
{
	Buffer		buffer;

	if (!extender->shared)
		return AnnoyExtend(extender->index, MAIN_FORKNUM, kind, tree);
	if (extender->next == extender->count)
	{
		int			most = Min(NBuffers / EXTEND_BUFFERS_PART,
							   ANNOY_EXTEND_MOST);
		int			count = Max(1, Min(extender->count * 2, most));

		extender->count = extender->next = 0;
		AnnoyExtendRelationBy(extender->index, MAIN_FORKNUM, count,
							  extender->buffers);
		extender->count = count;
	}
	buffer = extender->buffers[extender->next++];
	LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
	AnnoyInitPage(BufferGetPage(buffer), kind, tree);
	MarkBufferDirty(buffer);
	return buffer;
}

/*
 * The free space map is not logged and only a hint, so what it names is looked
 * at; and who has the lock may be making something of the page (_bt_getbuf in
 * nbtpage.c).
 */
Buffer
AnnoyTakePage(Relation index, BlockNumber least)
{
	BlockNumber block;

	while (BlockNumberIsValid(block = GetFreeIndexPage(index)))
	{
		Buffer		buffer;
		int			kind;

		if (block < least || block == ANNOY_META_BLOCK ||
			block >= RelationGetNumberOfBlocks(index))
			continue;
		buffer = ReadBuffer(index, block);
		if (ConditionalLockBuffer(buffer))
		{
			kind = AnnoyGetPageKind(index, buffer);
			if (kind == 0 || kind == ANNOY_PAGE_FREE)
				return buffer;
			LockBuffer(buffer, BUFFER_LOCK_UNLOCK);
		}
		ReleaseBuffer(buffer);
	}
	return AnnoyExtendLocked(index);
}

Buffer
AnnoyExtendLocked(Relation index)
{
	return AnnoyExtendRelation(index, MAIN_FORKNUM);
}

void
AnnoyGiveBackPage(Relation index, Buffer buffer)
{
	RecordFreeIndexPage(index, BufferGetBlockNumber(buffer));
	UnlockReleaseBuffer(buffer);
}

void
AnnoyFreePage(Relation index, Buffer buffer)
{
	GenericXLogState *xlog = GenericXLogStart(index);

	AnnoyInitPage(GenericXLogRegisterBuffer(xlog, buffer,
											GENERIC_XLOG_FULL_IMAGE),
				  ANNOY_PAGE_FREE, 0);
	GenericXLogFinish(xlog);
	RecordFreeIndexPage(index, BufferGetBlockNumber(buffer));
}

void
AnnoyBeginPass(AnnoyBlockPass *pass, BlockNumber first)
{
	pass->first = first;
	pass->count = 0;
	pass->allocated = UNUSED_INITIAL;
	pass->unused = palloc(sizeof(BlockNumber) * UNUSED_INITIAL);
}

void
AnnoyEndPass(AnnoyBlockPass *pass)
{
	pfree(pass->unused);
	pass->unused = NULL;
}

void
AnnoyNoteUnused(AnnoyBlockPass *pass, BlockNumber block)
{
	if (pass->count == pass->allocated)
	{
		pass->allocated *= 2;
		pass->unused = repalloc_huge(pass->unused,
									 sizeof(BlockNumber) * pass->allocated);
	}
	pass->unused[pass->count++] = block;
}

static int
compare_blocks(const void *a, const void *b)
{
	BlockNumber x = *(const BlockNumber *) a;
	BlockNumber y = *(const BlockNumber *) b;

	return x < y ? -1 : x > y ? 1 : 0;
}

BlockNumber
AnnoyMovedBackwards(const AnnoyBlockPass *pass, Page page, BlockNumber block)
{
	BlockNumber right = AnnoyPageGetOpaque(page)->rightlink;

	if (BlockNumberIsValid(right) && right < block &&
		(right < pass->first ||
		 bsearch(&right, pass->unused, pass->count, sizeof(BlockNumber),
				 compare_blocks) != NULL))
		return right;
	return InvalidBlockNumber;
}

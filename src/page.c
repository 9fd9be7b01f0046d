/*-------------------------------------------------------------------------
 *
 * page.c
 *	  Making, reading and checking the index's pages.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "annoycompat.h"
#include "page.h"

static const char *const page_kind_names[] = {
	"", "meta", "centre", "roots", "item", "inner", "directory", "leaf", "tail"
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
AnnoyReportCorruption(Relation index, BlockNumber block, const char *what)
{
	ereport(ERROR,
			(errcode(ERRCODE_INDEX_CORRUPTED),
			 errmsg("index \"%s\" is damaged at block %u: %s",
					RelationGetRelationName(index), block, what),
			 errhint("Please REINDEX it.")));
}

void
AnnoyCheckPage(Relation index, Buffer buffer, AnnoyPageKind kind)
{
	Page		page = BufferGetPage(buffer);
	BlockNumber block = BufferGetBlockNumber(buffer);

	/* A page of zeroes passes ReadBuffer (see _bt_checkpage). */
	if (PageIsNew(page))
		AnnoyReportCorruption(index, block, "unexpected zero page");
	if (PageGetSpecialSize(page) != MAXALIGN(sizeof(AnnoyPageOpaqueData)))
		AnnoyReportCorruption(index, block, "wrong size of the special area");
	if (AnnoyPageGetOpaque(page)->page_id != ANNOY_PAGE_ID)
		AnnoyReportCorruption(index, block, "not a page of an annoy index");
	if (AnnoyPageGetOpaque(page)->kind != kind)
		AnnoyReportCorruption(index, block,
							  psprintf("expected a page of kind %s",
									   page_kind_names[kind]));
}

Buffer
AnnoyReadPage(Relation index, BlockNumber block, AnnoyPageKind kind,
			  int lockmode)
{
	Buffer		buffer = ReadBuffer(index, block);

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
AnnoyExtendLocked(Relation index)
{
	return AnnoyExtendRelation(index, MAIN_FORKNUM);
}

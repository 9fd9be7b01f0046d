/*-------------------------------------------------------------------------
 *
 * treesplit.c
 *	  What all splits do: copy a page, and see later whether it is the same.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "forest/treesplit.h"

void
AnnoyCopyPage(AnnoyTreeInserter *inserter, BlockNumber block, AnnoyPageKind kind,
			  PGAlignedBlock *copy)
{
	Buffer		buffer = AnnoyReadPage(inserter->index, block, kind,
									   BUFFER_LOCK_SHARE);

	memcpy(copy->data, BufferGetPage(buffer), BLCKSZ);
	UnlockReleaseBuffer(buffer);
}

/* Locks a page of the kind if it is still the same as a copy; else nothing. */
Buffer
AnnoyLockUnchanged(AnnoyTreeInserter *inserter, BlockNumber block,
				   AnnoyPageKind kind, const PGAlignedBlock *before)
{
	Buffer		buffer = AnnoyReadPage(inserter->index, block, kind,
									   BUFFER_LOCK_EXCLUSIVE);
	Page		page = BufferGetPage(buffer);

	/* all but the LSN and hint bits, which are at the head of the page */
	if (((PageHeader) page)->pd_lower == ((const PageHeaderData *) before)->pd_lower &&
		memcmp(PageGetContents(page),
			   before->data + MAXALIGN(SizeOfPageHeaderData),
			   BLCKSZ - MAXALIGN(SizeOfPageHeaderData)) == 0)
		return buffer;
	UnlockReleaseBuffer(buffer);
	return InvalidBuffer;
}

/*-------------------------------------------------------------------------
 *
 * buildpages.c
 *	  The pages that a build writes beside leaves: inner nodes and
 *	  directories, and the WAL of all pages.
 *
 * Pages are written through shared buffers.  Leaves are logged by the
 * process that has filled them, at once; inner pages and directories
 * change until the trees are complete, so each process remembers those that it
 * has added, and logs them then.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xloginsert.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "build/buildpages.h"

/* Remembers a page that has to be logged when the trees are complete. */
static void
remember_block(AnnoyBuild *build, BlockNumber block)
{
	if (!build->logged)
		return;
	if (build->open_count == build->open_allocated)
	{
		build->open_allocated = Max(256, build->open_allocated * 2);
		build->open_blocks = build->open_blocks ?
			repalloc_huge(build->open_blocks,
						  sizeof(BlockNumber) * build->open_allocated) :
			MemoryContextAlloc(build->context,
							   sizeof(BlockNumber) * build->open_allocated);
	}
	build->open_blocks[build->open_count++] = block;
}

/* Logs an exclusively locked page as it is. */
void
AnnoyLogPage(Relation index, Buffer buffer)
{
	if (!RelationNeedsWAL(index))
		return;
	START_CRIT_SECTION();
	MarkBufferDirty(buffer);
	log_newpage_buffer(buffer, true);
	END_CRIT_SECTION();
}

void
AnnoyLogOpenPages(AnnoyBuild *build)
{
	for (int64 i = 0; i < build->open_count; i++)
	{
		Buffer		buffer = ReadBuffer(build->index, build->open_blocks[i]);

		CHECK_FOR_INTERRUPTS();
		LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
		AnnoyLogPage(build->index, buffer);
		UnlockReleaseBuffer(buffer);
	}
	build->open_count = 0;
}

/*
 * Blocks that this process has added, but not used, are pages of zeroes, which
 * VACUUM frees.
 */
void
AnnoyEndPages(AnnoyBuild *build)
{
	AnnoyExtender *extender = &build->extender;

	while (extender->next < extender->count)
		ReleaseBuffer(extender->buffers[extender->next++]);
}

/* Logs a page and those that its right links lead to. */
void
AnnoyLogPageList(AnnoyBuild *build, BlockNumber block)
{
	while (build->logged && BlockNumberIsValid(block))
	{
		Buffer		buffer = ReadBuffer(build->index, block);

		CHECK_FOR_INTERRUPTS();
		LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
		AnnoyLogPage(build->index, buffer);
		block = AnnoyPageGetOpaque(BufferGetPage(buffer))->rightlink;
		UnlockReleaseBuffer(buffer);
	}
}

/* Adds a node without children to an inner page of this process. */
AnnoyChild
AnnoyAddNode(AnnoyBuild *build, int tree, const AnnoyHyperplane *plane)
{
	int			s = build->forest->sketcher.sketch_dimensions;
	Buffer		buffer = InvalidBuffer;
	uint16		slot;

	if (BlockNumberIsValid(build->inner_block))
	{
		buffer = AnnoyReadPage(build->index, build->inner_block,
							   ANNOY_PAGE_INNER, BUFFER_LOCK_EXCLUSIVE);
		if (AnnoyPageGetInnerHeader(BufferGetPage(buffer))->count >=
			AnnoyInnerCapacity(s))
		{
			UnlockReleaseBuffer(buffer);
			buffer = InvalidBuffer;
		}
	}
	if (!BufferIsValid(buffer))
	{
		buffer = AnnoyExtendBuild(&build->extender, ANNOY_PAGE_INNER, tree);
		build->inner_block = BufferGetBlockNumber(buffer);
		remember_block(build, build->inner_block);
	}
	slot = AnnoyAppendNode(BufferGetPage(buffer), s, plane);
	MarkBufferDirty(buffer);
	UnlockReleaseBuffer(buffer);
	return AnnoyNodeLink(build->inner_block, slot);
}

/* Sets a child of a node; a parent without a block stands for the tree's roots. */
void
AnnoySetChild(AnnoyBuild *build, AnnoyParent parent, const AnnoyChild *child)
{
	Buffer		buffer;

	if (!BlockNumberIsValid(parent.block))
	{
		build->shared->roots[parent.side] = *child;
		return;
	}
	buffer = AnnoyReadPage(build->index, parent.block, ANNOY_PAGE_INNER,
						   BUFFER_LOCK_EXCLUSIVE);
	AnnoyPageGetNode(BufferGetPage(buffer),
					 build->forest->sketcher.sketch_dimensions,
					 parent.slot)->child[parent.side] = *child;
	MarkBufferDirty(buffer);
	UnlockReleaseBuffer(buffer);
}

/* Fills a directory: a block that there is, or a new one. */
AnnoyChild
AnnoyWriteDirectory(AnnoyBuild *build, int tree, BlockNumber block,
					AnnoyParent parent, const AnnoyCentroid *const *entries,
					int count)
{
	const AnnoySketcher *sketcher = &build->forest->sketcher;
	float		extra = count > 0 ? entries[0]->extra : 0.0f;
	Buffer		buffer;
	Page		page;

	if (BlockNumberIsValid(block))
		buffer = AnnoyReadPage(build->index, block, ANNOY_PAGE_DIRECTORY,
							   BUFFER_LOCK_EXCLUSIVE);
	else
	{
		buffer = AnnoyExtendBuild(&build->extender, ANNOY_PAGE_DIRECTORY, tree);
		remember_block(build, BufferGetBlockNumber(buffer));
	}
	page = BufferGetPage(buffer);
	AnnoyInitPage(page, ANNOY_PAGE_DIRECTORY, tree);
	AnnoyPageGetDirectoryHeader(page)->version = ANNOY_FIRST_VERSION;
	AnnoyPageGetDirectoryHeader(page)->parent = parent;
	AnnoyFillDirectory(page, sketcher,
					   AnnoyChooseDirectoryForm(sketcher, extra), entries,
					   count);
	MarkBufferDirty(buffer);
	block = BufferGetBlockNumber(buffer);
	UnlockReleaseBuffer(buffer);
	return AnnoyDirectoryLink(block, ANNOY_FIRST_VERSION);
}

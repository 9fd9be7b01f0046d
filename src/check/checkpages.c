/*-------------------------------------------------------------------------
 *
 * checkpages.c
 *	  Check of an index: pages by themselves, lists of pages, what is left.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "miscadmin.h"
#include "utils/memutils.h"

#include "annoycompat.h"
#include "check/check.h"

/* Makes room for pages that were added since the check began. */
static void
grow_pages(AnnoyCheck *check, BlockNumber block)
{
	Size		have = check->pages_allocated;
	Size		wanted = Max((Size) block + 1, have + have / 2);

	if (block < have)
		return;
	check->pages = repalloc_huge(check->pages,
								 wanted * sizeof(AnnoyCheckedPage));
	memset(check->pages + have, 0, (wanted - have) * sizeof(AnnoyCheckedPage));
	check->pages_allocated = (BlockNumber) Min(wanted, MaxBlockNumber);
}

void
AnnoyReachPage(AnnoyCheck *check, BlockNumber block)
{
	grow_pages(check, block);
	if (check->pages[block].reached)
		AnnoyReportCorruption(check->index, block,
							  "page is reached in two ways");
	check->pages[block].reached = true;
}

/* ---------------------------------------------------------------------
 * Pages by themselves
 * ---------------------------------------------------------------------
 */

static Size
content_size(Page page)
{
	return ((PageHeader) page)->pd_lower - MAXALIGN(SizeOfPageHeaderData);
}

/* Bytes that pd_lower has to cover, after a check of the page's count. */
static Size
wanted_content(AnnoyCheck *check, Page page, BlockNumber block)
{
	Relation	index = check->index;
	int			s = check->s;
	int			count;

	switch (AnnoyPageGetOpaque(page)->kind)
	{
		case ANNOY_PAGE_META:
			return sizeof(AnnoyMetaPageData);
		case ANNOY_PAGE_INNER:
			count = AnnoyPageGetInnerHeader(page)->count;
			if (count == 0 || count > AnnoyInnerCapacity(s))
				AnnoyReportCorruption(index, block, "impossible number of nodes");
			return sizeof(AnnoyInnerHeader) + count * AnnoyNodeSize(s);
		case ANNOY_PAGE_DIRECTORY:
			count = AnnoyCountDirectory(index, block, page, s);
			return (char *) AnnoyPageGetDirectoryEntry(page, s, count) -
				PageGetContents(page);
		case ANNOY_PAGE_LEAF:
			AnnoyCheckLeaf(index, page, block, &check->forest->leaf);
			return content_size(page);
		case ANNOY_PAGE_TAIL:
			count = AnnoyPageGetTailHeader(page)->count;
			if (count > AnnoyTailCapacity)
				AnnoyReportCorruption(index, block, "too many tail entries");
			return sizeof(AnnoyTailHeader) + count * sizeof(AnnoyTailEntry);
		default:
			return content_size(page);	/* arrays are verified with their list */
	}
}

/*
 * In an index that was built without rows the first leaf and its directory are
 * as they were made, without centroid, until they are written again.
 */
static bool
is_without_geometry(Page page)
{
	if (AnnoyPageGetOpaque(page)->kind == ANNOY_PAGE_LEAF)
		return AnnoyPageGetLeafHeader(page)->count == 0 &&
			content_size(page) == offsetof(AnnoyLeafHeaderData, centroid);
	return AnnoyPageGetOpaque(page)->kind == ANNOY_PAGE_DIRECTORY &&
		AnnoyPageGetDirectoryHeader(page)->count == 1 &&
		AnnoyPageGetDirectoryHeader(page)->form == ANNOY_DIRECTORY_CENTROIDS &&
		content_size(page) == sizeof(AnnoyDirectoryHeader) +
		AnnoyDirectoryEntrySize(ANNOY_DIRECTORY_CENTROIDS, 0);
}

static void
verify_content(AnnoyCheck *check, Page page, BlockNumber block)
{
	if (content_size(page) != wanted_content(check, page, block) &&
		!is_without_geometry(page))
		AnnoyReportCorruption(check->index, block,
							  "pd_lower does not match the number of entries");
	if (AnnoyPageGetOpaque(page)->kind != ANNOY_PAGE_LEAF &&
		((PageHeader) page)->pd_upper != ((PageHeader) page)->pd_special)
		AnnoyReportCorruption(check->index, block,
							  "data behind the free space of a page that has none there");
}

/* A link has to name an existing block that is not the page itself. */
static void
verify_link(AnnoyCheck *check, BlockNumber block, BlockNumber link)
{
	if (!BlockNumberIsValid(link))
		return;
	if (link == ANNOY_META_BLOCK || link == block ||
		(link >= check->page_count &&
		 link >= RelationGetNumberOfBlocks(check->index)))
		AnnoyReportCorruption(check->index, block,
							  psprintf("link to block %u", link));
}

/* Version and right link of a directory or leaf; see AnnoyVerifyRightLinks. */
static void
verify_version(AnnoyCheck *check, BlockNumber block, uint32 version,
			   BlockNumber rightlink)
{
	if (version < ANNOY_FIRST_VERSION)
		AnnoyReportCorruption(check->index, block, "version out of range");
	if ((version > ANNOY_FIRST_VERSION) != BlockNumberIsValid(rightlink))
		AnnoyReportCorruption(check->index, block,
							  "version does not match the right link");
}

static void
verify_special(AnnoyCheck *check, Page page, BlockNumber block)
{
	Relation	index = check->index;
	AnnoyPageOpaque opaque = AnnoyPageGetOpaque(page);
	bool		chained = (opaque->flags & ANNOY_LEAF_CHAINED) != 0;
	bool		in_tree = opaque->kind == ANNOY_PAGE_INNER ||
		opaque->kind == ANNOY_PAGE_DIRECTORY || opaque->kind == ANNOY_PAGE_LEAF;

	if ((opaque->kind == ANNOY_PAGE_META) != (block == ANNOY_META_BLOCK))
		AnnoyReportCorruption(index, block, "metapage out of place");
	if (opaque->tree >= (in_tree ? check->forest->meta.n_trees : 1))
		AnnoyReportCorruption(index, block, "number of the tree out of range");
	if ((opaque->flags & ~ANNOY_LEAF_CHAINED) != 0 ||
		(chained && opaque->kind != ANNOY_PAGE_LEAF))
		AnnoyReportCorruption(index, block, "unknown flags");

	verify_link(check, block, opaque->rightlink);
	verify_link(check, block, opaque->chainlink);
	if (BlockNumberIsValid(opaque->chainlink) &&
		opaque->kind != ANNOY_PAGE_LEAF)
		AnnoyReportCorruption(index, block, "unexpected chain");
	if (BlockNumberIsValid(opaque->rightlink) &&
		(chained || opaque->kind == ANNOY_PAGE_META ||
		 opaque->kind == ANNOY_PAGE_FREE || opaque->kind == ANNOY_PAGE_INNER))
		AnnoyReportCorruption(index, block, "unexpected right link");

	if (opaque->kind == ANNOY_PAGE_LEAF &&
		AnnoyPageGetLeafHeader(page)->sparse != ANNOY_NO_SPARSE_PAGE)
	{
		verify_link(check, block, AnnoyPageGetLeafHeader(page)->sparse);
		if (!BlockNumberIsValid(AnnoyPageGetLeafHeader(page)->sparse))
			AnnoyReportCorruption(index, block, "list of sparse pages has no end");
	}
	if (opaque->kind == ANNOY_PAGE_LEAF && !chained)
		verify_version(check, block, AnnoyPageGetLeafHeader(page)->version,
					   opaque->rightlink);
	if (opaque->kind == ANNOY_PAGE_DIRECTORY)
		verify_version(check, block, AnnoyPageGetDirectoryHeader(page)->version,
					   opaque->rightlink);
}

/*
 * All that a page shows by itself.  Until the first row is known the number of
 * sketch dimensions is not, and may become known while we look.
 */
static void
verify_page(AnnoyCheck *check, Page page, BlockNumber block)
{
	verify_special(check, page, block);
	if (check->s > 0)
		verify_content(check, page, block);
}

void
AnnoyCopyVerifiedPage(AnnoyCheck *check, BlockNumber block,
					  AnnoyPageKind kind, int tree, PGAlignedBlock *copy)
{
	Buffer		buffer = AnnoyReadPage(check->index, block, kind,
									   BUFFER_LOCK_SHARE);

	memcpy(copy->data, BufferGetPage(buffer), BLCKSZ);
	UnlockReleaseBuffer(buffer);
	verify_page(check, copy->data, block);
	if (AnnoyPageGetOpaque((Page) copy->data)->tree != tree)
		AnnoyReportCorruption(check->index, block, "page of another tree");
	CHECK_FOR_INTERRUPTS();
}

/*
 * Whether a page is of no use, and may be of another kind by now or soon: free,
 * of a former geometry (renew.c), or of a centre or roots that are not those of
 * the metapage: of an insert that was not the first, or was cut short.
 */
static bool
is_of_no_use(AnnoyCheck *check, BlockNumber block, int kind)
{
	switch (kind)
	{
		case ANNOY_PAGE_META:
		case ANNOY_PAGE_TAIL:
			return false;
		case ANNOY_PAGE_FREE:
			return true;
		case ANNOY_PAGE_CENTRE:
		case ANNOY_PAGE_ROOTS:
			return !check->pages[block].reached;
		default:
			return block < check->forest->meta.former_end;
	}
}

/* A page of the pass over all pages. */
static void
visit_page(AnnoyCheck *check, BlockNumber block)
{
	AnnoyCheckedPage *info = &check->pages[block];
	PGAlignedBlock copy;
	Page		page = (Page) copy.data;
	Buffer		buffer = ReadBufferExtended(check->index, MAIN_FORKNUM, block,
											RBM_NORMAL, check->strategy);
	int			kind;

	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	kind = AnnoyGetPageKind(check->index, buffer);
	memcpy(copy.data, BufferGetPage(buffer), BLCKSZ);
	UnlockReleaseBuffer(buffer);
	if (kind == 0)
		return;
	if (is_of_no_use(check, block, kind))
	{
		check->orphans += kind != ANNOY_PAGE_FREE;
		return;
	}

	verify_page(check, page, block);
	info->kind = kind;
	info->tree = AnnoyPageGetOpaque(page)->tree;
	info->rightlink = AnnoyPageGetOpaque(page)->rightlink;
	info->chained = (AnnoyPageGetOpaque(page)->flags & ANNOY_LEAF_CHAINED) != 0;
	if (kind == ANNOY_PAGE_INNER)
	{
		info->count = AnnoyPageGetInnerHeader(page)->count;
		info->first = check->node_count;
		check->node_count += info->count;
	}
	else if (kind == ANNOY_PAGE_LEAF)
		info->version = AnnoyPageGetLeafHeader(page)->version;
	else if (kind == ANNOY_PAGE_DIRECTORY)
		info->version = AnnoyPageGetDirectoryHeader(page)->version;
	if (kind == ANNOY_PAGE_LEAF || kind == ANNOY_PAGE_DIRECTORY)
		info->count = !is_without_geometry(page);
}

void
AnnoyVerifyPages(AnnoyCheck *check)
{
	for (BlockNumber block = 0; block < check->page_count; block++)
	{
		CHECK_FOR_INTERRUPTS();
		visit_page(check, block);
	}
	check->nodes = palloc_extended(Max(check->node_count, 1),
								   MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
}

/* ---------------------------------------------------------------------
 * Right links
 * ---------------------------------------------------------------------
 */

/* States of AnnoyCheckedPage.path. */
#define PATH_NONE 0
#define PATH_PRESENT 1			/* on the way that is being followed */
#define PATH_DONE 2				/* leads to an end */

/* The next page to the right, if it was there when all pages were read. */
static BlockNumber
next_right(AnnoyCheck *check, BlockNumber block)
{
	BlockNumber next = check->pages[block].rightlink;

	if (!BlockNumberIsValid(next) || next >= check->page_count ||
		check->pages[next].kind == 0)
		return InvalidBlockNumber;
	return next;
}

static void
verify_siblings(AnnoyCheck *check, BlockNumber block, BlockNumber next)
{
	const AnnoyCheckedPage *left = &check->pages[block];
	const AnnoyCheckedPage *right = &check->pages[next];

	if (right->kind != left->kind || right->tree != left->tree ||
		right->chained)
		AnnoyReportCorruption(check->index, block,
							  psprintf("right link to block %u, which is no sibling",
									   next));
	if (left->version - 1 > right->version)
		AnnoyReportCorruption(check->index, block,
							  "version is too new for the right sibling");
}

/*
 * Splitting a page of version v leaves v + 1 to it and v to the new page on its
 * right, which takes over the right link.  So the last page of a row has the
 * first version, and each page's version is at most one more than that of the
 * page to its right.  That holds also between pages read at different times:
 * versions only grow, and a page gets no other right neighbour without a new
 * version.
 */
void
AnnoyVerifyRightLinks(AnnoyCheck *check)
{
	for (BlockNumber start = 0; start < check->page_count; start++)
	{
		BlockNumber block;
		const AnnoyCheckedPage *page = &check->pages[start];

		CHECK_FOR_INTERRUPTS();
		if ((page->kind != ANNOY_PAGE_DIRECTORY &&
			 page->kind != ANNOY_PAGE_LEAF) || page->path != PATH_NONE)
			continue;
		for (block = start; BlockNumberIsValid(block) &&
			 check->pages[block].path == PATH_NONE;
			 block = next_right(check, block))
		{
			BlockNumber next = next_right(check, block);

			check->pages[block].path = PATH_PRESENT;
			if (BlockNumberIsValid(next))
				verify_siblings(check, block, next);
		}
		if (BlockNumberIsValid(block) &&
			check->pages[block].path == PATH_PRESENT)
			AnnoyReportCorruption(check->index, block,
								  "right links form a cycle");
		for (block = start; BlockNumberIsValid(block) &&
			 check->pages[block].path == PATH_PRESENT;
			 block = next_right(check, block))
			check->pages[block].path = PATH_DONE;
	}
}

/* ---------------------------------------------------------------------
 * Lists
 * ---------------------------------------------------------------------
 */

/*
 * A list of pages with an array of "count" elements.  It is read before
 * anything else, and never changes.
 */
static void
verify_array(AnnoyCheck *check, BlockNumber block, AnnoyPageKind kind,
			 int count, Size size, int per_page)
{
	BlockNumber previous = ANNOY_META_BLOCK;

	while (count > 0 || BlockNumberIsValid(block))
	{
		int			here = Min(count, per_page);
		Buffer		buffer;
		Page		page;

		if (!BlockNumberIsValid(block))
			AnnoyReportCorruption(check->index, previous,
								  "list of pages ends early");
		if (here == 0)
			AnnoyReportCorruption(check->index, previous,
								  "list of pages is too long");
		buffer = AnnoyReadPage(check->index, block, kind, BUFFER_LOCK_SHARE);
		page = BufferGetPage(buffer);
		if (((PageHeader) page)->pd_lower !=
			MAXALIGN(SizeOfPageHeaderData) + here * size)
			AnnoyReportCorruption(check->index, block,
								  "array of a wrong length");
		for (int i = 0; kind == ANNOY_PAGE_CENTRE && i < here; i++)
			if (!isfinite(((float4 *) PageGetContents(page))[i]))
				AnnoyReportCorruption(check->index, block,
									  "centre is not finite");
		AnnoyReachPage(check, block);
		previous = block;
		block = AnnoyPageGetOpaque(page)->rightlink;
		UnlockReleaseBuffer(buffer);
		count -= here;
		CHECK_FOR_INTERRUPTS();
	}
}

void
AnnoyVerifyArrays(AnnoyCheck *check, const AnnoyMetaPageData *meta)
{
	if (BlockNumberIsValid(meta->centre))
		verify_array(check, meta->centre, ANNOY_PAGE_CENTRE, meta->dimensions,
					 sizeof(float4), ANNOY_FLOATS_PER_PAGE);
	verify_array(check, meta->roots, ANNOY_PAGE_ROOTS, meta->n_trees,
				 sizeof(AnnoyChild), ANNOY_ROOTS_PER_PAGE);
}

/*
 * VACUUM makes the list of free pages anew while inserts shorten it.  Every
 * link of it, old or new, names a page nearer to the head, so that there is an
 * end for us too.
 */
static void
verify_free_tail_pages(AnnoyCheck *check, BlockNumber block)
{
	BlockNumber head = check->forest->meta.tail;
	uint64		steps = 0;

	while (BlockNumberIsValid(block))
	{
		PGAlignedBlock copy;

		AnnoyCopyVerifiedPage(check, block, ANNOY_PAGE_TAIL, 0, &copy);
		if (block == head)
			AnnoyReportCorruption(check->index, block,
								  "tail's head in its free list");
		if (block < check->page_count &&
			check->pages[block].kind == ANNOY_PAGE_TAIL &&
			!check->pages[block].reached)
			AnnoyReportCorruption(check->index, block,
								  "free tail page that is not in the tail");
		if (++steps > check->tail_pages &&
			steps > check->tail_pages +
			(RelationGetNumberOfBlocks(check->index) - check->page_count))
			AnnoyReportCorruption(check->index, block,
								  "free tail pages form a cycle");
		block = AnnoyPageGetTailHeader(copy.data)->next_free;
	}
}

/*
 * New pages come directly behind the head, with what the head had.  We have
 * seen that there, and go on behind them.
 */
void
AnnoyVerifyTail(AnnoyCheck *check)
{
	BlockNumber block = check->forest->meta.tail;
	BlockNumber free_page = InvalidBlockNumber;

	while (BlockNumberIsValid(block))
	{
		PGAlignedBlock copy;
		Page		page = (Page) copy.data;
		AnnoyTailEntry *entries = AnnoyPageGetTailEntries(page);

		AnnoyCopyVerifiedPage(check, block, ANNOY_PAGE_TAIL, 0, &copy);
		AnnoyReachPage(check, block);
		if (AnnoyPageGetTailHeader(page)->count > AnnoyTailCapacity)
			AnnoyReportCorruption(check->index, block, "too many tail entries");
		for (int i = 0; i < AnnoyPageGetTailHeader(page)->count; i++)
		{
			if (!ItemPointerIsValid(&entries[i].heap_tid) ||
				(entries[i].flags & ~ANNOY_TAIL_NULL) != 0)
				AnnoyReportCorruption(check->index, block,
									  "tail entry out of range");
			AnnoyVerifyTailEntry(check, &entries[i]);
		}
		if (check->tail_pages++ == 0)
			free_page = AnnoyPageGetTailHeader(page)->next_free;
		verify_link(check, block, AnnoyPageGetTailHeader(page)->next_free);
		block = AnnoyPageGetOpaque(page)->rightlink;
	}
	verify_free_tail_pages(check, free_page);
}

/* ---------------------------------------------------------------------
 * What is left
 * ---------------------------------------------------------------------
 */

/*
 * A page of a tree or list is linked by the record that makes it, and not freed
 * while we look, so what was there when all pages were read has been met since.
 */
void
AnnoyVerifyReached(AnnoyCheck *check)
{
	for (BlockNumber block = 0; block < check->page_count; block++)
	{
		const AnnoyCheckedPage *page = &check->pages[block];
		bool		in_tree = page->kind == ANNOY_PAGE_INNER ||
			page->kind == ANNOY_PAGE_DIRECTORY || page->kind == ANNOY_PAGE_LEAF;

		CHECK_FOR_INTERRUPTS();
		if (page->kind == ANNOY_PAGE_INNER && check->s > 0)
		{
			for (int i = 0; i < page->count; i++)
				if (!check->nodes[page->first + i])
					AnnoyReportCorruption(check->index, block,
										  psprintf("nothing leads to node %d", i));
		}
		else if (page->kind == 0 || page->kind == ANNOY_PAGE_META ||
				 page->reached || (in_tree && check->s == 0))
			continue;
		else if (in_tree && page->count == 0)
			check->orphans++;	/* of renew.c, which was cut short */
		else
			AnnoyReportCorruption(check->index, block,
								  "nothing leads to the page");
	}
}

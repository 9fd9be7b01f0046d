/*-------------------------------------------------------------------------
 *
 * tree.c
 *	  Walking the trees of a forest towards a query.
 *
 * Links are stale from the moment they are copied from a page.  Inner nodes
 * never move and their hyperplanes never change, so an old link to one is as
 * good as a new one.  A directory that was split in between has another
 * version than the link says, and what it lost is found by following right
 * links (the protocol of GiST, access/gist/README, with a counter in place of
 * its LSN).  One page is locked at a time.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"

#include "forest/tree.h"

#define INITIAL_QUEUE 256

/*
 * How far walks look: how many times as many leaves are known as were taken,
 * and how many leaves an item is compared with before it belongs to one.  The
 * more the better; what that costs depends on how many leaves a directory lists.
 */
typedef struct Foresight
{
	int			ahead;
	int			assignment;
} Foresight;

#define MANY_ENTRIES 40

static const Foresight with_few = {8, 32};
static const Foresight with_many = {16, 256};	/* from MANY_ENTRIES on */
static const Foresight with_codes = {32, 128};

static const Foresight *
choose_foresight(const AnnoySketcher *sketcher)
{
	AnnoyDirectoryForm form = AnnoyChooseDirectoryForm(sketcher, 0.0f);
	int			entries = AnnoyDirectoryCapacity(form,
												 sketcher->sketch_dimensions);

	return form == ANNOY_DIRECTORY_CODES ? &with_codes :
		entries >= MANY_ENTRIES ? &with_many : &with_few;
}

int
AnnoyCountAssignmentLeaves(const AnnoySketcher *sketcher)
{
	return choose_foresight(sketcher)->assignment;
}

void
AnnoyInitWalk(AnnoyWalk *walk, Relation index, const AnnoyForest *forest)
{
	walk->index = index;
	walk->forest = forest;
	walk->use_copies = false;
	walk->ahead = choose_foresight(&forest->sketcher)->ahead;
	AnnoyNode_init(&walk->nodes, INITIAL_QUEUE);
	AnnoyLeaf_init(&walk->leaves, INITIAL_QUEUE);
}

static void
start_walk(AnnoyWalk *walk, const AnnoyQuery *query)
{
	walk->query = query;
	walk->nodes.count = 0;
	walk->leaves.count = 0;
	walk->leaves_known = 0;
	walk->leaves_taken = 0;
	walk->directories = 0;
	walk->hyperplanes = 0;
	walk->pages_read = 0;
}

static void
push_root(AnnoyWalk *walk, int tree)
{
	AnnoyNodeCandidate root = {0.0f, walk->forest->roots[tree]};

	AnnoyNode_push(&walk->nodes, root);
}

void
AnnoyStartWalk(AnnoyWalk *walk, const AnnoyQuery *query)
{
	start_walk(walk, query);
	for (int tree = 0; tree < walk->forest->meta.n_trees; tree++)
		push_root(walk, tree);
}

void
AnnoyStartTreeWalk(AnnoyWalk *walk, const AnnoyQuery *query, int tree)
{
	start_walk(walk, query);
	push_root(walk, tree);
}

/*
 * An inner page: a copy (*buffer invalid), which has to have a node at "slot", or
 * the page itself, locked.  Nodes are never removed, so a copy without that
 * node is older than the link.
 */
static Page
read_inner_page(AnnoyWalk *walk, BlockNumber block, int slot, Buffer *buffer)
{
	Page		page;

	*buffer = InvalidBuffer;
	if (walk->use_copies &&
		(page = AnnoyFindTreePage(walk, block)) != NULL)
	{
		if (AnnoyPageGetOpaque(page)->kind == ANNOY_PAGE_INNER &&
			slot < AnnoyPageGetInnerHeader(page)->count)
			return page;
		AnnoyForgetTreePage(walk, block);
	}
	*buffer = AnnoyReadPage(walk->index, block, ANNOY_PAGE_INNER,
							BUFFER_LOCK_SHARE);
	page = BufferGetPage(*buffer);
	walk->pages_read++;
	if (AnnoyPageGetInnerHeader(page)->count >
		AnnoyInnerCapacity(walk->forest->sketcher.sketch_dimensions))
		AnnoyReportCorruption(walk->index, block, "too many nodes");
	if (walk->use_copies)
		AnnoyKeepTreePage(walk, block, page);
	return page;
}

/*
 * From the hyperplane of "candidate" down to a directory, on the query's side
 * of every hyperplane; the other sides go to the queue.  *parent: the inner page
 * that named the directory, or invalid.
 */
static AnnoyChild
descend(AnnoyWalk *walk, AnnoyNodeCandidate candidate, BlockNumber *parent)
{
	const AnnoySketcher *sketcher = &walk->forest->sketcher;
	int			s = sketcher->sketch_dimensions;
	AnnoyChild	child = candidate.child;
	uint64		steps = 0;

	*parent = InvalidBlockNumber;
	while (child.kind == ANNOY_PAGE_INNER)
	{
		BlockNumber block = child.block;
		Buffer		buffer;
		Page		page = read_inner_page(walk, block, child.slot, &buffer);
		int			count = AnnoyPageGetInnerHeader(page)->count;
		int			here = 0;

		do
		{
			AnnoyNode	node;
			AnnoyNodeCandidate other;
			float		margin;
			int			side;

			if (child.slot >= count)
				AnnoyReportCorruption(walk->index, block, "no such node");
			if (here++ == count)
				AnnoyReportCorruption(walk->index, block, "links form a cycle");
			node = AnnoyPageGetNode(page, s, child.slot);
			margin = AnnoyQueryMargin(sketcher, walk->query, node->normal,
									  node->scale, node->extra_weight,
									  node->offset);
			walk->hyperplanes++;
			side = margin > 0.0f ? 1 : 0;
			other.priority = candidate.priority + margin * margin;
			other.child = node->child[1 - side];
			AnnoyNode_push(&walk->nodes, other);
			child = node->child[side];
		} while (child.kind == ANNOY_PAGE_INNER && child.block == block);
		if (BufferIsValid(buffer))
			UnlockReleaseBuffer(buffer);
		*parent = block;
		CHECK_FOR_INTERRUPTS();
		AnnoyCheckSteps(walk->index, block, ++steps);
	}
	if (child.kind != ANNOY_PAGE_DIRECTORY)
		AnnoyReportCorruption(walk->index, candidate.child.block,
							  "link to a page of an impossible kind");
	return child;
}

/* Puts the leaves of a directory page into the queue. */
static void
list_leaves(AnnoyWalk *walk, Page page, BlockNumber block)
{
	const AnnoySketcher *sketcher = &walk->forest->sketcher;
	int			s = sketcher->sketch_dimensions;
	int			count = AnnoyCountDirectory(walk->index, block, page, s);
	float		distances[ANNOY_MAX_DIRECTORY_ENTRIES];

	AnnoyRankDirectory(page, sketcher, walk->query, distances);
	AnnoyLeaf_reserve(&walk->leaves, count);
	for (int i = 0; i < count; i++)
	{
		AnnoyLeafCandidate leaf;

		leaf.distance = distances[i];
		leaf.link = AnnoyPageGetDirectoryEntry(page, s, i)->leaf;
		leaf.directory = block;
		AnnoyLeaf_push(&walk->leaves, leaf);
	}
	walk->leaves_known += count;
}

/* Lists the leaves of a copy that has the link's version, if there is one. */
static bool
open_copy(AnnoyWalk *walk, AnnoyChild child)
{
	Page		page = AnnoyFindTreePage(walk, child.block);

	if (page == NULL)
		return false;
	if (AnnoyPageGetOpaque(page)->kind == ANNOY_PAGE_DIRECTORY &&
		AnnoyPageGetDirectoryHeader(page)->version == child.version)
	{
		list_leaves(walk, page, child.block);
		return true;
	}
	AnnoyForgetTreePage(walk, child.block);
	return false;
}

static void
open_directory(AnnoyWalk *walk, AnnoyChild child, BlockNumber parent)
{
	BlockNumber block = child.block;
	uint64		steps = 0;

	walk->directories++;
	if (walk->use_copies && open_copy(walk, child))
		return;
	for (;;)
	{
		Buffer		buffer = AnnoyReadPage(walk->index, block,
										   ANNOY_PAGE_DIRECTORY,
										   BUFFER_LOCK_SHARE);
		Page		page = BufferGetPage(buffer);
		uint32		version = AnnoyPageGetDirectoryHeader(page)->version;
		BlockNumber next = AnnoyPageGetOpaque(page)->rightlink;

		walk->pages_read++;
		list_leaves(walk, page, block);
		if (walk->use_copies)
			AnnoyKeepTreePage(walk, block, page);
		UnlockReleaseBuffer(buffer);
		if (version == child.version)
			break;
		if (walk->use_copies && BlockNumberIsValid(parent))
			AnnoyForgetTreePage(walk, parent);
		if (!BlockNumberIsValid(next))
			AnnoyReportCorruption(walk->index, block,
								  "directory version not found");
		CHECK_FOR_INTERRUPTS();
		AnnoyCheckSteps(walk->index, block, ++steps);
		block = next;
	}
}

void
AnnoyExploreLeaves(AnnoyWalk *walk, int64 leaves)
{
	while (walk->leaves_known < leaves && walk->nodes.count > 0)
	{
		AnnoyChild	directory;
		BlockNumber parent;

		CHECK_FOR_INTERRUPTS();
		AnnoyCheckSteps(walk->index, walk->nodes.elements[0].child.block,
						walk->directories);
		directory = descend(walk, AnnoyNode_pop(&walk->nodes), &parent);
		open_directory(walk, directory, parent);
	}
}

AnnoyLeafCandidate
AnnoyChooseLeaf(AnnoyWalk *walk, const AnnoyQuery *item, int tree)
{
	int			wanted = AnnoyCountAssignmentLeaves(&walk->forest->sketcher);

	AnnoyStartTreeWalk(walk, item, tree);
	while (walk->nodes.count > 0 &&
		   (walk->leaves_known < wanted ||
			walk->directories < ANNOY_ASSIGNMENT_DIRECTORIES))
		AnnoyExploreLeaves(walk, walk->leaves_known + 1);
	if (walk->leaves.count == 0)
		AnnoyReportCorruption(walk->index, walk->forest->roots[tree].block,
							  "tree without leaves");
	return walk->leaves.elements[0];
}

bool
AnnoyTakeLeaf(AnnoyWalk *walk, AnnoyLeafCandidate *leaf)
{
	AnnoyExploreLeaves(walk, walk->ahead * (walk->leaves_taken + 1));
	/* a directory may be empty */
	while (walk->leaves.count == 0 && walk->nodes.count > 0)
		AnnoyExploreLeaves(walk, walk->leaves_known + 1);
	if (walk->leaves.count == 0)
		return false;
	*leaf = AnnoyLeaf_pop(&walk->leaves);
	walk->leaves_taken++;
	return true;
}

void
AnnoyReturnLeaf(AnnoyWalk *walk, AnnoyLeafCandidate leaf)
{
	AnnoyLeaf_push(&walk->leaves, leaf);
}

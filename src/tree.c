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

#include "tree.h"

#define INITIAL_QUEUE 256

void
AnnoyInitWalk(AnnoyWalk *walk, Relation index, const AnnoyForest *forest)
{
	walk->index = index;
	walk->forest = forest;
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
 * From the hyperplane of "candidate" down to a directory, on the query's side
 * of every hyperplane; the other sides go to the queue.
 */
static AnnoyChild
descend(AnnoyWalk *walk, AnnoyNodeCandidate candidate)
{
	const AnnoySketcher *sketcher = &walk->forest->sketcher;
	int			s = sketcher->sketch_dimensions;
	AnnoyChild	child = candidate.child;
	uint64		steps = 0;

	while (child.kind == ANNOY_PAGE_INNER)
	{
		BlockNumber block = child.block;
		Buffer		buffer = AnnoyReadPage(walk->index, block,
										   ANNOY_PAGE_INNER,
										   BUFFER_LOCK_SHARE);
		Page		page = BufferGetPage(buffer);
		int			count = AnnoyPageGetInnerHeader(page)->count;

		int			here = 0;

		walk->pages_read++;
		if (count > AnnoyInnerCapacity(s))
			AnnoyReportCorruption(walk->index, block, "too many nodes");
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
		UnlockReleaseBuffer(buffer);
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
	int			count = AnnoyPageGetDirectoryHeader(page)->count;

	if (count > AnnoyDirectoryCapacity(s))
		AnnoyReportCorruption(walk->index, block, "too many directory entries");
	AnnoyLeaf_reserve(&walk->leaves, count);
	for (int i = 0; i < count; i++)
	{
		AnnoyDirectoryEntry entry = AnnoyPageGetDirectoryEntry(page, s, i);
		AnnoyLeafCandidate leaf;

		leaf.distance = AnnoyCentroidDistance(sketcher, walk->query,
											  entry->centroid, entry->scale,
											  entry->norm_squared,
											  entry->extra);
		leaf.link = entry->leaf;
		leaf.directory = block;
		AnnoyLeaf_push(&walk->leaves, leaf);
	}
	walk->leaves_known += count;
}

static void
open_directory(AnnoyWalk *walk, AnnoyChild child)
{
	BlockNumber block = child.block;
	uint64		steps = 0;

	walk->directories++;
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
		UnlockReleaseBuffer(buffer);
		if (version == child.version)
			break;
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
		CHECK_FOR_INTERRUPTS();
		AnnoyCheckSteps(walk->index, walk->nodes.elements[0].child.block,
						walk->directories);
		open_directory(walk, descend(walk, AnnoyNode_pop(&walk->nodes)));
	}
}

AnnoyLeafCandidate
AnnoyChooseLeaf(AnnoyWalk *walk, const AnnoyQuery *item, int tree)
{
	AnnoyStartTreeWalk(walk, item, tree);
	while (walk->nodes.count > 0 &&
		   (walk->leaves_known < ANNOY_ASSIGNMENT_LEAVES ||
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
	AnnoyExploreLeaves(walk, ANNOY_LEAVES_AHEAD * (walk->leaves_taken + 1));
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

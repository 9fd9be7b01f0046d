/*-------------------------------------------------------------------------
 *
 * outsized.c
 *	  Inner product: a place for vectors of larger norm than any at build.
 *
 * The forest turns largest products into smallest distances by a further
 * coordinate that brings all items to norm M.  A vector of a larger norm has no
 * such coordinate.  In its direction at norm M it would lie among items of much
 * smaller products, in leaves that a search reads late or not at all.  So such
 * vectors have a subtree of their own.  A build, which takes M from a sample, puts
 * those into it that it finds beyond; often it is empty.  The root is a
 * hyperplane across the further coordinate,
 *
 *				extra > offset (a bit below 0)
 *				 /					 \
 *	   outsized: extra = -|x|		all other items: extra >= 0
 *
 * to which every query (extra = 0) is so near that it opens both sides at once.
 * AnnoyCentroidDistance compares leaves of both kinds by the products that may
 * be found in them.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "storage/bufmgr.h"

#include "build/buildpages.h"
#include "build/buildsteps.h"

/* The offset, in units of M: not much for a query, but for an item. */
#define OUTSIZED_OFFSET 1.0e-3f

/*
 * The first leaf has no centroid until it is split.  This makes it one of
 * boundless spread, which is read first.
 */
#define OUTSIZED_EXTRA (-ANNOY_NORM_LIMIT)

/* A changed page: logs it, though it may have been logged before. */
static void
finish_page(AnnoyBuild *build, Buffer buffer)
{
	MarkBufferDirty(buffer);
	if (build->logged)
		AnnoyLogPage(build->index, buffer);
	UnlockReleaseBuffer(buffer);
}

/* Sets the further coordinate of the one leaf, there and in its directory. */
static void
mark_leaf(AnnoyBuild *build, BlockNumber directory)
{
	int			s = build->forest->sketcher.sketch_dimensions;
	Buffer		buffer = AnnoyReadPage(build->index, directory,
									   ANNOY_PAGE_DIRECTORY,
									   BUFFER_LOCK_EXCLUSIVE);
	AnnoyDirectoryEntry entry =
		AnnoyPageGetDirectoryEntry(BufferGetPage(buffer), s, 0);
	BlockNumber leaf = entry->leaf.block;

	entry->extra = OUTSIZED_EXTRA;
	finish_page(build, buffer);

	buffer = AnnoyReadPage(build->index, leaf, ANNOY_PAGE_LEAF,
						   BUFFER_LOCK_EXCLUSIVE);
	AnnoyPageGetLeafHeader(BufferGetPage(buffer))->extra = OUTSIZED_EXTRA;
	finish_page(build, buffer);
}

/* Hangs a child on a side of the new root. */
static void
hang_child(AnnoyBuild *build, const AnnoyChild *root, int side,
		   const AnnoyChild *child)
{
	AnnoyParent parent = {root->block, root->slot, side};
	Buffer		buffer;

	AnnoySetChild(build, parent, child);
	if (child->kind != ANNOY_PAGE_DIRECTORY)
		return;
	buffer = AnnoyReadPage(build->index, child->block, ANNOY_PAGE_DIRECTORY,
						   BUFFER_LOCK_EXCLUSIVE);
	AnnoyPageGetDirectoryHeader(BufferGetPage(buffer))->parent = parent;
	finish_page(build, buffer);
}

void
AnnoyAddOutsizedSubtree(AnnoyBuild *build, int tree)
{
	AnnoyForest *forest = build->forest;
	int			s = forest->sketcher.sketch_dimensions;
	AnnoyHyperplane plane;
	AnnoyChild	items = forest->roots[tree];
	AnnoyChild	outsized = build->outsized_roots[tree];
	AnnoyChild	root;

	if (!BlockNumberIsValid(outsized.block))
	{
		AnnoyWriteEmptyTree(build->index, MAIN_FORKNUM, tree, s, &outsized);
		mark_leaf(build, outsized.block);
	}

	/* a page of inner nodes belongs to one tree */
	build->inner_block = InvalidBlockNumber;
	plane.scale = 0.0f;
	plane.extra_weight = 1.0f;
	plane.offset = -OUTSIZED_OFFSET * forest->sketcher.max_norm;
	plane.normal = palloc0(s);
	root = AnnoyAddNode(build, tree, &plane);
	pfree(plane.normal);

	hang_child(build, &root, 0, &outsized);
	hang_child(build, &root, 1, &items);
	forest->roots[tree] = root;
}

/*-------------------------------------------------------------------------
 *
 * exchangeguide.c
 *	  Reads the trees of an index along which those of an Annoy file grow.
 *
 * Nodes never move and hyperplanes never change; a directory that was split
 * meanwhile has the rest of its leaves to its right (src/README, "Locks").  One
 * page is locked at a time.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"

#include "annoycompat.h"
#include "exchange/exchange.h"
#include "forest/sketchset.h"

StaticAssertDecl(sizeof(AnnoyChild) <= sizeof(AnnoyFilePlace),
				 "a place holds a link");

static AnnoyFilePlace
place_of(const AnnoyChild *child)
{
	AnnoyFilePlace place = {0, 0};

	memcpy(&place, child, sizeof(AnnoyChild));
	return place;
}

static void
read_hyperplane(AnnoyIndexGuide *guide, const AnnoyChild *child,
				AnnoyGuidePost *post)
{
	int			s = guide->forest->sketcher.sketch_dimensions;
	Buffer		buffer = AnnoyReadPage(guide->index, child->block,
									   ANNOY_PAGE_INNER, BUFFER_LOCK_SHARE);
	Page		page = BufferGetPage(buffer);
	AnnoyNode	node;

	AnnoyCheckNode(guide->index, child->block, page, s, child->slot);
	node = AnnoyPageGetNode(page, s, child->slot);
	post->plane.scale = node->scale;
	post->plane.extra_weight = node->extra_weight;
	post->plane.offset = node->offset;
	memcpy(post->plane.normal, node->normal, s);
	post->children[0] = place_of(&node->child[0]);
	post->children[1] = place_of(&node->child[1]);
	UnlockReleaseBuffer(buffer);
}

/* Adds the centroids of one directory page; returns how many there are then. */
static int
add_centroids(AnnoyIndexGuide *guide, Page page, BlockNumber block, int count)
{
	AnnoySketchSet *set = &guide->centroids;
	int			s = set->sketch_dimensions;
	int			entries = AnnoyCountDirectory(guide->index, block, page, s);

	for (int i = 0; i < entries && count < ANNOY_MAX_GUIDE_CENTROIDS; i++)
	{
		set->scale[count] =
			AnnoyReadDirectoryCentroid(page, &guide->forest->sketcher, i,
									   set->quantised + (Size) count * s);
		set->extra[count] = AnnoyPageGetDirectoryEntry(page, s, i)->extra;
		count++;
	}
	return count;
}

static void
read_directory(AnnoyIndexGuide *guide, const AnnoyChild *child,
			   AnnoyGuidePost *post)
{
	BlockNumber block = child->block;
	uint64		steps = 0;
	int			count = 0;

	for (;;)
	{
		Buffer		buffer = AnnoyReadPage(guide->index, block,
										   ANNOY_PAGE_DIRECTORY,
										   BUFFER_LOCK_SHARE);
		Page		page = BufferGetPage(buffer);
		uint32		version = AnnoyPageGetDirectoryHeader(page)->version;
		BlockNumber next = AnnoyPageGetOpaque(page)->rightlink;

		count = add_centroids(guide, page, block, count);
		UnlockReleaseBuffer(buffer);
		if (version == child->version)
			break;
		if (!BlockNumberIsValid(next))
			AnnoyReportCorruption(guide->index, block,
								  "directory version not found");
		AnnoyCheckSteps(guide->index, block, ++steps);
		block = next;
	}
	post->centroids = guide->centroids;
	post->order = guide->order;
	post->count = count;
}

/* AnnoyFileGuide: errors out by itself. */
static bool
read_place(void *context, AnnoyFilePlace place, AnnoyGuidePost *post)
{
	AnnoyIndexGuide *guide = context;
	AnnoyChild	child;

	CHECK_FOR_INTERRUPTS();
	memcpy(&child, &place, sizeof(AnnoyChild));
	post->directory = child.kind == ANNOY_PAGE_DIRECTORY;
	if (post->directory)
		read_directory(guide, &child, post);
	else if (child.kind == ANNOY_PAGE_INNER)
		read_hyperplane(guide, &child, post);
	else
		AnnoyReportCorruption(guide->index, child.block,
							  "link to a page of an impossible kind");
	return true;
}

/* Allocates in the current memory context. */
void
AnnoyInitIndexGuide(AnnoyIndexGuide *guide, Relation index,
					const AnnoyForest *forest)
{
	guide->index = index;
	guide->forest = forest;
	guide->order = palloc(sizeof(int32) * ANNOY_MAX_GUIDE_CENTROIDS);
	AnnoyAllocateSet(&guide->centroids, forest->sketcher.sketch_dimensions,
					 ANNOY_MAX_GUIDE_CENTROIDS);
	guide->guide.context = guide;
	guide->guide.read = read_place;
}

AnnoyFilePlace
AnnoyGetRootPlace(const AnnoyIndexGuide *guide, int tree)
{
	return place_of(&guide->forest->roots[tree]);
}

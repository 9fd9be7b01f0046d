/*-------------------------------------------------------------------------
 *
 * meta.c
 *	  Metapage, centre and roots of an index, and a backend's copy of them.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "storage/bufmgr.h"
#include "utils/memutils.h"

#include "meta.h"

/* Guess of search_k for an index without calibration: ITEMS * rows^(1/2). */
#define GUESSED_SEARCH_K_FACTOR 20.0

static bool
meta_is_sane(const AnnoyMetaPageData *meta)
{
	return meta->dimensions >= 0 && meta->dimensions <= ANNOY_MAX_DIMENSIONS &&
		meta->sketch_dimensions == (meta->dimensions == 0 ? 0 :
									AnnoySketchDimensions(meta->dimensions)) &&
		meta->n_trees >= 1 && meta->n_trees <= ANNOY_MAX_TREES &&
		meta->metric >= ANNOY_METRIC_L2 &&
		meta->metric <= ANNOY_METRIC_JACCARD &&
		meta->search_k >= 0 &&
		meta->epsilon > 0 && meta->max_norm >= 0;
}

void
AnnoyReadMeta(Relation index, AnnoyMetaPageData *meta)
{
	Buffer		buffer = AnnoyReadPage(index, ANNOY_META_BLOCK,
									   ANNOY_PAGE_META, BUFFER_LOCK_SHARE);

	*meta = *AnnoyPageGetMeta(BufferGetPage(buffer));
	UnlockReleaseBuffer(buffer);

	if (meta->magic != ANNOY_MAGIC)
		AnnoyReportCorruption(index, ANNOY_META_BLOCK, "wrong magic number");
	if (meta->format_version != ANNOY_FORMAT_VERSION)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("index \"%s\" has format version %u, but this version of annoy reads version %d",
						RelationGetRelationName(index), meta->format_version,
						ANNOY_FORMAT_VERSION),
				 errhint("Please REINDEX it.")));
	if (!meta_is_sane(meta))
		AnnoyReportCorruption(index, ANNOY_META_BLOCK,
							  "metapage values out of range");
}

/*
 * Reads a list of pages that hold an array of "count" elements of "size"
 * bytes, "per_page" on each.
 */
static void
read_array(Relation index, BlockNumber block, AnnoyPageKind kind,
		   char *array, int count, Size size, int per_page)
{
	while (count > 0)
	{
		int			here = Min(count, per_page);
		Buffer		buffer;
		Page		page;

		if (!BlockNumberIsValid(block))
			AnnoyReportCorruption(index, ANNOY_META_BLOCK,
								  "list of pages ends early");
		buffer = AnnoyReadPage(index, block, kind, BUFFER_LOCK_SHARE);
		page = BufferGetPage(buffer);
		memcpy(array, PageGetContents(page), here * size);
		block = AnnoyPageGetOpaque(page)->rightlink;
		UnlockReleaseBuffer(buffer);
		array += here * size;
		count -= here;
	}
}

/* Writes such a list; returns its first block. */
static BlockNumber
write_array(Relation index, ForkNumber fork, AnnoyPageKind kind,
			const char *array, int count, Size size, int per_page)
{
	BlockNumber first = InvalidBlockNumber;
	Buffer		previous = InvalidBuffer;

	while (count > 0)
	{
		int			here = Min(count, per_page);
		Buffer		buffer = AnnoyExtend(index, fork, kind, 0);
		Page		page = BufferGetPage(buffer);

		memcpy(PageGetContents(page), array, here * size);
		((PageHeader) page)->pd_lower += here * size;
		if (BufferIsValid(previous))
		{
			AnnoyPageGetOpaque(BufferGetPage(previous))->rightlink =
				BufferGetBlockNumber(buffer);
			UnlockReleaseBuffer(previous);
		}
		else
			first = BufferGetBlockNumber(buffer);
		previous = buffer;
		array += here * size;
		count -= here;
	}
	if (BufferIsValid(previous))
		UnlockReleaseBuffer(previous);
	return first;
}

BlockNumber
AnnoyWriteCentre(Relation index, const float *centre, int dimensions)
{
	return write_array(index, MAIN_FORKNUM, ANNOY_PAGE_CENTRE,
					   (const char *) centre, dimensions, sizeof(float4),
					   ANNOY_FLOATS_PER_PAGE);
}

BlockNumber
AnnoyWriteRoots(Relation index, ForkNumber fork, const AnnoyChild *roots,
				int n_trees)
{
	return write_array(index, fork, ANNOY_PAGE_ROOTS, (const char *) roots,
					   n_trees, sizeof(AnnoyChild), ANNOY_ROOTS_PER_PAGE);
}

/* Build only: not WAL-logged. */
void
AnnoySetRoot(Relation index, BlockNumber roots, int tree,
			 const AnnoyChild *root)
{
	Buffer		buffer;

	/* the list's pages were made one after another, but follow the links */
	for (;;)
	{
		BlockNumber next;

		buffer = AnnoyReadPage(index, roots, ANNOY_PAGE_ROOTS,
							   BUFFER_LOCK_EXCLUSIVE);
		if (tree < ANNOY_ROOTS_PER_PAGE)
			break;
		tree -= ANNOY_ROOTS_PER_PAGE;
		next = AnnoyPageGetOpaque(BufferGetPage(buffer))->rightlink;
		UnlockReleaseBuffer(buffer);
		roots = next;
	}
	((AnnoyChild *) PageGetContents(BufferGetPage(buffer)))[tree] = *root;
	MarkBufferDirty(buffer);
	UnlockReleaseBuffer(buffer);
}

void
AnnoyFillMetaPage(Page page, const AnnoyMetaPageData *meta)
{
	*AnnoyPageGetMeta(page) = *meta;
	((PageHeader) page)->pd_lower =
		(char *) PageGetContents(page) + sizeof(AnnoyMetaPageData) -
		(char *) page;
}

/*
 * The forest's description is one chunk of memory, as rd_amcache has to be:
 *
 *	AnnoyForest | roots[n_trees] | centre[d] | rotation
 */
static Size
forest_size(const AnnoyMetaPageData *meta)
{
	return MAXALIGN(sizeof(AnnoyForest)) +
		MAXALIGN(sizeof(AnnoyChild) * meta->n_trees) +
		MAXALIGN(sizeof(float4) * meta->dimensions) +
		AnnoySketcherMemory(meta->dimensions);
}

static AnnoyForest *
read_forest(Relation index, MemoryContext context)
{
	AnnoyMetaPageData meta;
	AnnoyForest *forest;
	char	   *next;
	float4	   *centre = NULL;

	AnnoyReadMeta(index, &meta);
	forest = MemoryContextAlloc(context, forest_size(&meta));
	forest->meta = meta;
	next = (char *) forest + MAXALIGN(sizeof(AnnoyForest));
	forest->roots = (AnnoyChild *) next;
	next += MAXALIGN(sizeof(AnnoyChild) * meta.n_trees);
	read_array(index, meta.roots, ANNOY_PAGE_ROOTS, (char *) forest->roots,
			   meta.n_trees, sizeof(AnnoyChild), ANNOY_ROOTS_PER_PAGE);
	if (BlockNumberIsValid(meta.centre))
	{
		centre = (float4 *) next;
		read_array(index, meta.centre, ANNOY_PAGE_CENTRE, (char *) centre,
				   meta.dimensions, sizeof(float4), ANNOY_FLOATS_PER_PAGE);
	}
	next += MAXALIGN(sizeof(float4) * meta.dimensions);
	if (meta.dimensions > 0)
		AnnoyInitSketcher(&forest->sketcher, next, meta.metric,
						  meta.dimensions, meta.seed, centre, meta.max_norm);
	else
		memset(&forest->sketcher, 0, sizeof(AnnoySketcher));
	return forest;
}

/* Copies a description, pointers into it included. */
static AnnoyForest *
copy_forest(const AnnoyForest *forest, MemoryContext context)
{
	Size		size = forest_size(&forest->meta);
	AnnoyForest *copy = MemoryContextAlloc(context, size);
	ptrdiff_t	moved = (char *) copy - (char *) forest;

	memcpy(copy, forest, size);
	copy->roots = (AnnoyChild *) ((char *) forest->roots + moved);
	AnnoyMoveSketcher(&copy->sketcher, moved);
	return copy;
}

AnnoyForest *
AnnoyLoadForest(Relation index, MemoryContext context)
{
	/* read it elsewhere first: an error must not leave half a cache */
	if (index->rd_amcache == NULL)
	{
		AnnoyForest *forest = read_forest(index, context);

		index->rd_amcache = copy_forest(forest, index->rd_indexcxt);
		return forest;
	}
	/* callers outlive relation cache invalidations, so they get a copy */
	return copy_forest(index->rd_amcache, context);
}

int64
AnnoyEstimateSearchK(Relation index, double tuples)
{
	AnnoyMetaPageData meta;

	if (index->rd_amcache)
		meta = ((AnnoyForest *) index->rd_amcache)->meta;
	else
		AnnoyReadMeta(index, &meta);
	if (meta.search_k > 0)
		return meta.search_k;
	return (int64) (GUESSED_SEARCH_K_FACTOR * sqrt(Max(tuples, 1.0)));
}

/*-------------------------------------------------------------------------
 *
 * meta.c
 *	  Metapage, centre and roots of an index, and a backend's copy of them.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "access/generic_xlog.h"
#include "storage/bufmgr.h"
#include "utils/memutils.h"

#include "arith/refine.h"
#include "page/meta.h"

/*
 * Guess of search_k for an index that was built without rows, in terms of the
 * square root of its rows: on the safe side for the harder data sets.
 */
#define GUESSED_SEARCH_K_FACTOR 60.0

/*
 * An index that has grown by this factor since it was calibrated gets a larger
 * budget, by the growth to this power.
 */
#define GROWTH_TOLERATED 1.3
#define GROWTH_EXPONENT 0.75

/*
 * So many leaves are read at the least: where there are few, many queries lie at
 * the border of one, and reading these costs less than all the rest of a query.
 */
#define LEAST_LEAVES 4

/* For estimating the number of rows from the size of the index. */
#define USUAL_LEAF_FILL 0.68

static bool
meta_is_sane(Relation index, const AnnoyMetaPageData *meta)
{
	const AnnoyOpclassInfo *opclass = AnnoyGetOpclassInfo(index);

	return meta->metric == opclass->metric &&
		meta->element == opclass->element->kind &&
		meta->items >= 0 && meta->tail_items >= 0 &&
		BlockNumberIsValid(meta->roots) && BlockNumberIsValid(meta->tail) &&
		meta->dimensions >= 0 &&
		meta->dimensions <= opclass->element->max_dimensions &&
		meta->sketch_dimensions == (meta->dimensions == 0 ? 0 :
									AnnoySketchDimensions(meta->dimensions)) &&
		(meta->dimensions == 0 ? meta->code_bits == 0 :
		 meta->code_bits >= 1 && meta->code_bits <= ANNOY_MAX_CODE_BITS) &&
		meta->n_trees >= 1 && meta->n_trees <= ANNOY_MAX_TREES &&
		meta->search_k >= 0 && meta->search_k <= PG_INT32_MAX &&
		(meta->search_k == 0 || meta->items > 0) &&
		meta->epsilon > 0 && meta->max_norm >= 0 && !isinf(meta->max_norm);
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
	if (!meta_is_sane(index, meta))
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
read_forest(Relation index, AnnoyMetaPageData meta, MemoryContext context)
{
	AnnoyForest *forest = MemoryContextAlloc(context, forest_size(&meta));
	char	   *next;
	float4	   *centre = NULL;

	forest->meta = meta;
	AnnoyGetLeafLayout(&meta, &forest->leaf);
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
	memset(&forest->sketcher, 0, sizeof(AnnoySketcher));
	if (meta.dimensions > 0)
	{
		AnnoyInitSketcher(&forest->sketcher, next, meta.metric,
						  meta.dimensions, meta.seed, centre, meta.max_norm);
		forest->sketcher.outsized_apart =
			(meta.flags & ANNOY_META_OUTSIZED) != 0;
	}
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

void
AnnoyReadRoots(Relation index, AnnoyForest *forest)
{
	read_array(index, forest->meta.roots, ANNOY_PAGE_ROOTS,
			   (char *) forest->roots, forest->meta.n_trees,
			   sizeof(AnnoyChild), ANNOY_ROOTS_PER_PAGE);
}

AnnoyForest *
AnnoyLoadForest(Relation index, MemoryContext context)
{
	AnnoyMetaPageData meta;

	/* rows that come or go may have fixed the geometry, or unfixed it */
	AnnoyReadMeta(index, &meta);
	if (index->rd_amcache != NULL &&
		memcmp(&((AnnoyForest *) index->rd_amcache)->meta, &meta,
			   sizeof(AnnoyMetaPageData)) != 0)
		AnnoyForgetForest(index);

	/* read it elsewhere first: an error must not leave half a cache */
	if (index->rd_amcache == NULL)
	{
		AnnoyForest *forest = read_forest(index, meta, context);

		index->rd_amcache = copy_forest(forest, index->rd_indexcxt);
		return forest;
	}
	/* callers outlive relation cache invalidations, so they get a copy */
	return copy_forest(index->rd_amcache, context);
}

void
AnnoyForgetForest(Relation index)
{
	if (index->rd_amcache)
		pfree(index->rd_amcache);
	index->rd_amcache = NULL;
}

/* Writes the centre to new pages, last page first; returns the first. */
static BlockNumber
log_centre(Relation index, const AnnoyMetaPageData *meta, const float *centre,
		   int dimensions)
{
	BlockNumber next = InvalidBlockNumber;
	int			end = dimensions;

	while (end > 0)
	{
		int			count = (end - 1) % ANNOY_FLOATS_PER_PAGE + 1;
		Buffer		buffer = AnnoyTakePage(index, meta->former_end);
		GenericXLogState *xlog = GenericXLogStart(index);
		Page		page = GenericXLogRegisterBuffer(xlog, buffer,
													 GENERIC_XLOG_FULL_IMAGE);

		end -= count;
		AnnoyInitPage(page, ANNOY_PAGE_CENTRE, 0);
		memcpy(PageGetContents(page), centre + end, count * sizeof(float4));
		((PageHeader) page)->pd_lower += count * sizeof(float4);
		AnnoyPageGetOpaque(page)->rightlink = next;
		GenericXLogFinish(xlog);
		next = BufferGetBlockNumber(buffer);
		UnlockReleaseBuffer(buffer);
	}
	return next;
}

/* Frees the pages of an unused centre. */
static void
free_centre(Relation index, BlockNumber block)
{
	while (BlockNumberIsValid(block))
	{
		Buffer		buffer = AnnoyReadPage(index, block, ANNOY_PAGE_CENTRE,
										   BUFFER_LOCK_EXCLUSIVE);

		block = AnnoyPageGetOpaque(BufferGetPage(buffer))->rightlink;
		AnnoyFreePage(index, buffer);
		UnlockReleaseBuffer(buffer);
	}
}

void
AnnoyFixGeometry(Relation index, int dimensions, const float *transformed,
				 float max_norm)
{
	AnnoyMetaPageData before;
	BlockNumber centre;
	Buffer		buffer;

	AnnoyReadMeta(index, &before);
	centre = log_centre(index, &before, transformed, dimensions);
	buffer = AnnoyReadPage(index, ANNOY_META_BLOCK, ANNOY_PAGE_META,
						   BUFFER_LOCK_EXCLUSIVE);
	if (AnnoyPageGetMeta(BufferGetPage(buffer))->dimensions == 0)
	{
		GenericXLogState *xlog = GenericXLogStart(index);
		AnnoyMetaPageData *meta =
			AnnoyPageGetMeta(GenericXLogRegisterBuffer(xlog, buffer, 0));

		meta->dimensions = dimensions;
		meta->sketch_dimensions = AnnoySketchDimensions(dimensions);
		meta->code_bits = AnnoyGetBuiltCodeBits(index, dimensions);
		meta->max_norm = max_norm;
		meta->centre = centre;
		GenericXLogFinish(xlog);
		centre = InvalidBlockNumber;
	}
	UnlockReleaseBuffer(buffer);
	free_centre(index, centre);
	AnnoyForgetForest(index);
}

void
AnnoyUnfixGeometry(Relation index, BlockNumber roots, BlockNumber former_end)
{
	Buffer		buffer = AnnoyReadPage(index, ANNOY_META_BLOCK,
									   ANNOY_PAGE_META, BUFFER_LOCK_EXCLUSIVE);
	GenericXLogState *xlog = GenericXLogStart(index);
	Page		page = GenericXLogRegisterBuffer(xlog, buffer, 0);
	AnnoyMetaPageData meta = *AnnoyPageGetMeta(page);

	meta.dimensions = 0;
	meta.sketch_dimensions = 0;
	meta.code_bits = 0;
	meta.items = 0;
	meta.built_blocks = 0;
	meta.search_k = 0;
	meta.max_norm = 0;
	meta.centre = InvalidBlockNumber;
	meta.roots = roots;
	meta.flags &= ~ANNOY_META_OUTSIZED;
	meta.former_end = former_end;
	AnnoyFillMetaPage(page, &meta);
	GenericXLogFinish(xlog);
	UnlockReleaseBuffer(buffer);
	AnnoyForgetForest(index);
}

void
AnnoyForgetFormerPages(Relation index)
{
	Buffer		buffer = AnnoyReadPage(index, ANNOY_META_BLOCK,
									   ANNOY_PAGE_META, BUFFER_LOCK_EXCLUSIVE);
	GenericXLogState *xlog = GenericXLogStart(index);

	AnnoyPageGetMeta(GenericXLogRegisterBuffer(xlog, buffer, 0))->former_end = 0;
	GenericXLogFinish(xlog);
	UnlockReleaseBuffer(buffer);
	AnnoyForgetForest(index);
}

double
AnnoyEstimateValueSize(const AnnoyMetaPageData *meta)
{
	switch (meta->element)
	{
		case ANNOY_ELEMENT_HALF:
			return 2.0 * meta->dimensions;
		case ANNOY_ELEMENT_BIT:
			return meta->dimensions / 8.0;
		default:
			return 4.0 * meta->dimensions;
	}
}

/* What the option comes to; where codes are bits, there is nothing to choose. */
static int
choose_code_bits(Relation index, int dimensions, int option)
{
	bool		bits = AnnoyGetOpclassInfo(index)->element->kind == ANNOY_ELEMENT_BIT &&
		dimensions <= ANNOY_MAX_SKETCH_DIMENSIONS;

	if (!bits && option != ANNOY_AUTOMATIC)
		return option;
	return AnnoyChooseCodeBits(AnnoySketchDimensions(dimensions), bits);
}

int
AnnoyGetBuiltCodeBits(Relation index, int dimensions)
{
	return choose_code_bits(index, dimensions, AnnoyGetCodeBits(index));
}

bool
AnnoyBuildWouldDiffer(Relation index, const AnnoyMetaPageData *meta,
					  AnnoyBuildOptions *options)
{
	options->code_bits = meta->dimensions > 0 ?
		choose_code_bits(index, meta->dimensions, options->code_bits) : 0;
	return options->n_trees != meta->n_trees || options->seed != meta->seed ||
		options->code_bits != meta->code_bits;
}

void
AnnoyGetLeafLayout(const AnnoyMetaPageData *meta, AnnoyLeafLayout *layout)
{
	AnnoyInitLeafLayout(layout, meta->sketch_dimensions,
						Max(meta->code_bits, 1));
}

double
AnnoyEstimateItems(Relation index, const AnnoyMetaPageData *meta)
{
	double		blocks = RelationGetNumberOfBlocks(index);
	AnnoyLeafLayout layout;

	if (meta->built_blocks > 0)
		return meta->items * blocks / meta->built_blocks;
	AnnoyGetLeafLayout(meta, &layout);
	return blocks * USUAL_LEAF_FILL * layout.capacity / meta->n_trees;
}

/* What was calibrated, in an index that has grown, or a guess. */
static double
scale_search_k(const AnnoyMetaPageData *meta, double tuples)
{
	if (meta->search_k == 0)
		return GUESSED_SEARCH_K_FACTOR * sqrt(Max(tuples, 1.0));
	if (tuples <= meta->items * GROWTH_TOLERATED)
		return meta->search_k;
	return meta->search_k * pow(tuples / meta->items, GROWTH_EXPONENT);
}

int64
AnnoyEstimateSearchK(const AnnoyMetaPageData *meta, double tuples)
{
	AnnoyLeafLayout layout;

	AnnoyGetLeafLayout(meta, &layout);
	return (int64) Max(scale_search_k(meta, tuples),
					   LEAST_LEAVES * layout.capacity);
}

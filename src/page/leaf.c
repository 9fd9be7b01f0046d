/*-------------------------------------------------------------------------
 *
 * leaf.c
 *	  Entries of leaf pages: reading, ranking and filling them.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <float.h>
#include <math.h>

#include "port/pg_bitutils.h"

#include "arith/refine.h"
#include "page/leaf.h"

#define ALL_ENTRIES ((1U << ANNOY_BLOCK_ENTRIES) - 1)

/*
 * More than that, as a damaged entry's bound may be, counts as this: an entry has
 * to be below a threshold of FLT_MAX, or it would be left aside for ever.
 */
#define LARGEST_BOUND (FLT_MAX / 2)

void
AnnoyInitLeafLayout(AnnoyLeafLayout *layout, int s, int code_bits)
{
	Size		entry;

	layout->sketch_dimensions = s;
	layout->code_bits = code_bits;
	layout->header_size = offsetof(AnnoyLeafHeaderData, centroid) + s;
	layout->row_size = s / 8 + 2 * sizeof(float4) + sizeof(ItemPointerData);
	layout->block_size = layout->row_size * ANNOY_BLOCK_ENTRIES;
	layout->refinement_size = AnnoyRefinementSize(s, code_bits);
	entry = layout->row_size + layout->refinement_size;
	layout->capacity = (ANNOY_PAGE_CONTENT - layout->header_size) / entry;
}

void
AnnoyCheckLeaf(Relation index, Page page, BlockNumber block,
			   const AnnoyLeafLayout *layout)
{
	int			count = AnnoyPageGetLeafHeader(page)->count;
	Size		lower = ((PageHeader) page)->pd_lower;
	Size		upper = ((PageHeader) page)->pd_upper;
	Size		end;

	if (count > layout->capacity)
		AnnoyReportCorruption(index, block, "too many leaf entries");

	/* an empty leaf may be older than the geometry and have no centroid */
	end = AnnoyPageGetLeafBlock(page, layout, 0) - (char *) page +
		count * layout->row_size;
	if ((lower != end &&
		 (count > 0 || lower != MAXALIGN(SizeOfPageHeaderData) +
		  offsetof(AnnoyLeafHeaderData, centroid))) ||
		upper != ((PageHeader) page)->pd_special -
		count * layout->refinement_size)
		AnnoyReportCorruption(index, block,
							  "leaf entries do not match the page's free space");
}

/* Sets the number of entries, and the bounds of the free space with it. */
static void
set_count(Page page, const AnnoyLeafLayout *layout, int count)
{
	PageHeader	header = (PageHeader) page;

	AnnoyPageGetLeafHeader(page)->count = count;
	header->pd_lower = AnnoyPageGetLeafBlock(page, layout, 0) - (char *) page +
		count * layout->row_size;
	header->pd_upper = header->pd_special - count * layout->refinement_size;
}

/* Turns "rows" entries of an open block into a full block. */
static void
transpose_rows(const char *open, int rows, const AnnoyLeafLayout *layout,
			   char *block)
{
	int			s = layout->sketch_dimensions;

	annoy_kernels.transpose_codes(rows, s / 8, (const uint8 *) open,
								  layout->row_size, (uint8 *) block);
	for (int i = 0; i < rows; i++)
	{
		const char *row = open + i * layout->row_size + s / 8;

		memcpy(block + AnnoyBlockF1(s) + i * sizeof(float4), row,
			   sizeof(float4));
		row += sizeof(float4);
		memcpy(block + AnnoyBlockF2(s) + i * sizeof(float4), row,
			   sizeof(float4));
		row += sizeof(float4);
		memcpy(block + AnnoyBlockTids(s) + i * sizeof(ItemPointerData),
			   row, sizeof(ItemPointerData));
	}
}

/* A block of a leaf that is being ranked, all of its entries side by side. */
typedef struct RankedBlock
{
	const AnnoyForest *forest;
	AnnoyQuery *query;
	Page		page;
	int			first;			/* number of its first entry on the page */
	const char *data;
	bool		upper_bounds;	/* there are some */
} RankedBlock;

/* The code of an entry of a full block. */
static void
gather_code(const RankedBlock *block, int place, uint8 *code)
{
	int			bytes = block->forest->leaf.sketch_dimensions / 8;

	for (int r = 0; r < bytes; r++)
		code[r] = block->data[r * ANNOY_BLOCK_ENTRIES + place];
}

/* The bounds of an entry; "lower" is what the kernel gave. */
static float
find_bounds(const RankedBlock *block, int place, float lower, float *upper)
{
	const AnnoyForest *forest = block->forest;
	const AnnoyLeafLayout *layout = &forest->leaf;
	int			s = layout->sketch_dimensions;
	uint8		code[ANNOY_MAX_SKETCH_DIMENSIONS / 8];
	float		f1;
	float		f2;

	memcpy(&f1, block->data + AnnoyBlockF1(s) + place * sizeof(float4),
		   sizeof(float4));
	if (layout->refinement_size == 0)
	{
		*upper = block->upper_bounds ?
			AnnoyUpperBound(&forest->sketcher, block->query, lower, f1) : lower;
		return lower;
	}
	memcpy(&f2, block->data + AnnoyBlockF2(s) + place * sizeof(float4),
		   sizeof(float4));
	gather_code(block, place, code);
	lower = AnnoyRefineBound(&forest->sketcher, block->query, code,
							 (uint8 *) AnnoyPageGetRefinement(block->page, layout,
															  block->first + place),
							 f1, f2, lower, upper);
	if (!block->upper_bounds)
		*upper = lower;
	return lower;
}

/*
 * An entry that has passed the kernel: notes its bound and adds it, if it still
 * is worth it; else false.
 */
static bool
add_candidate(const RankedBlock *block, int place, float lower, float from,
			  AnnoyCandidates *candidates)
{
	int			s = block->forest->leaf.sketch_dimensions;
	AnnoyCandidate candidate;
	float		upper;

	lower = Min(lower, LARGEST_BOUND);
	/* others of the block may have lowered the threshold */
	if (!(lower < candidates->threshold))
		return false;
	candidate.lower = find_bounds(block, place, lower, &upper);
	candidate.lower = Max(Min(candidate.lower, LARGEST_BOUND), -FLT_MAX);
	/* the refined bound may be below the kernel's, which had left it aside */
	if (candidate.lower >= from || lower >= from)
	{
		/* before its own bound lowers the threshold */
		if (!(candidate.lower < candidates->threshold))
			return false;
		memcpy(&candidate.tid,
			   block->data + AnnoyBlockTids(s) + place * sizeof(ItemPointerData),
			   sizeof(ItemPointerData));
		AnnoyCandidate_push(&candidates->queue, candidate);
	}
	AnnoyNoteBound(candidates, upper);
	return true;
}

int
AnnoyRankLeaf(const AnnoyForest *forest, AnnoyQuery *query, Page page,
			  float from, char *scratch, AnnoyCandidates *candidates)
{
	const AnnoySketcher *sketcher = &forest->sketcher;
	const AnnoyLeafLayout *layout = &forest->leaf;
	AnnoyLeafHeader header = AnnoyPageGetLeafHeader(page);
	int			count = header->count;
	int			outside = 0;
	RankedBlock block = {
		.forest = forest,
		.query = query,
		.page = page,
		.upper_bounds = AnnoyHasUpperBounds(sketcher)
	};

	AnnoyBeginLeaf(sketcher, query, header->centroid, header->scale,
				   header->norm_squared, candidates->threshold);
	if (layout->refinement_size > 0)
		AnnoyBeginRefinement(query, layout->code_bits, header->norm_squared);
	for (; block.first < count; block.first += ANNOY_BLOCK_ENTRIES)
	{
		int			entries = Min(count - block.first, ANNOY_BLOCK_ENTRIES);
		char	   *data = AnnoyPageGetLeafBlock(page, layout, block.first /
												 ANNOY_BLOCK_ENTRIES);
		float		lower[ANNOY_BLOCK_ENTRIES];
		uint32		mask;

		if (entries < ANNOY_BLOCK_ENTRIES)
		{
			transpose_rows(data, entries, layout, scratch);
			data = scratch;
		}
		block.data = data;
		query->rank.threshold = candidates->threshold;
		query->similarity_threshold = candidates->threshold;
		mask = AnnoyRankBlock(query, (const uint8 *) data, lower);
		if (candidates->threshold >= FLT_MAX)
			mask = ALL_ENTRIES; /* a damaged entry's bound may be NaN */
		mask &= (1U << entries) - 1;
		outside += entries - pg_popcount32(mask);
		while (mask != 0)
		{
			int			i = pg_rightmost_one_pos32(mask);

			mask &= mask - 1;
			if (!add_candidate(&block, i,
							   isnan(lower[i]) ? -FLT_MAX : lower[i], from,
							   candidates))
				outside++;
		}
	}
	return outside;
}

int
AnnoyListLeaf(Page page, const AnnoyLeafLayout *layout, ItemPointerData *tids)
{
	int			s = layout->sketch_dimensions;
	int			count = AnnoyPageGetLeafHeader(page)->count;

	for (int i = 0; i < count; i++)
	{
		int			full = i / ANNOY_BLOCK_ENTRIES;
		int			place = i % ANNOY_BLOCK_ENTRIES;
		char	   *block = AnnoyPageGetLeafBlock(page, layout, full);
		char	   *tid;

		if (full < count / ANNOY_BLOCK_ENTRIES)
			tid = block + AnnoyBlockTids(s) + place * sizeof(ItemPointerData);
		else
			tid = block + (place + 1) * layout->row_size -
				sizeof(ItemPointerData);
		memcpy(&tids[i], tid, sizeof(ItemPointerData));
	}
	return count;
}

void
AnnoyCheckTids(Relation index, BlockNumber block, const ItemPointerData *tids,
			   int count)
{
	for (int i = 0; i < count; i++)
		if (!ItemPointerIsValid(&tids[i]) ||
			!BlockNumberIsValid(ItemPointerGetBlockNumberNoCheck(&tids[i])))
			AnnoyReportCorruption(index, block, "leaf entry names no row");
}

/* One entry of a leaf as a row of an open block. */
static void
get_row(Page page, const AnnoyLeafLayout *layout, int entry, char *row)
{
	int			s = layout->sketch_dimensions;
	int			count = AnnoyPageGetLeafHeader(page)->count;
	int			place = entry % ANNOY_BLOCK_ENTRIES;
	char	   *block = AnnoyPageGetLeafBlock(page, layout,
											  entry / ANNOY_BLOCK_ENTRIES);

	if (entry >= count / ANNOY_BLOCK_ENTRIES * ANNOY_BLOCK_ENTRIES)
	{
		memcpy(row, block + place * layout->row_size, layout->row_size);
		return;
	}
	for (int r = 0; r < s / 8; r++)
		row[r] = block[r * ANNOY_BLOCK_ENTRIES + place];
	row += s / 8;
	memcpy(row, block + AnnoyBlockF1(s) + place * sizeof(float4),
		   sizeof(float4));
	memcpy(row + sizeof(float4),
		   block + AnnoyBlockF2(s) + place * sizeof(float4), sizeof(float4));
	memcpy(row + 2 * sizeof(float4),
		   block + AnnoyBlockTids(s) + place * sizeof(ItemPointerData),
		   sizeof(ItemPointerData));
}

/* See AnnoyEncodeItem. */
bool
AnnoyLeafEntryIsUnbounded(Page page, const AnnoyLeafLayout *layout, int entry)
{
	PGAlignedBlock row;
	float		f2;

	get_row(page, layout, entry, row.data);
	memcpy(&f2, row.data + layout->sketch_dimensions / 8 + sizeof(float4),
		   sizeof(float4));
	return f2 == -FLT_MAX;
}

/*
 * Centroid and code: a residual of the code's signs, whose elements are all as
 * large as they are on average (f1 is twice that, but for a factor).
 */
void
AnnoyDecodeLeafEntry(Page page, const AnnoyForest *forest, int entry,
					 float *sketch)
{
	const AnnoySketcher *sketcher = &forest->sketcher;
	int			s = forest->leaf.sketch_dimensions;
	AnnoyLeafHeader header = AnnoyPageGetLeafHeader(page);
	PGAlignedBlock row;
	float		f1;
	float		f2;

	get_row(page, &forest->leaf, entry, row.data);
	memcpy(&f1, row.data + s / 8, sizeof(float4));
	memcpy(&f2, row.data + s / 8 + sizeof(float4), sizeof(float4));
	if (!isfinite(f1))
		f1 = 0.0f;
	for (int i = 0; i < s; i++)
	{
		bool		set = ((uint8) row.data[i / 8] >> i % 8 & 1) != 0;

		if (!sketcher->codes_are_bits)
			sketch[i] = header->scale * header->centroid[i] +
				(set ? 0.5f : -0.5f) * f1;
		else if (i >= sketcher->dimensions)
			sketch[i] = 0.0f;
		else if (sketcher->metric == ANNOY_METRIC_JACCARD)
			sketch[i] = set ? 1.0f / sqrtf(Max(f2, 1.0f)) : 0.0f;
		else
			sketch[i] = set ? 0.5f : -0.5f;
	}
}

/*
 * The entry behind the last one was written, as a row of the open block: counts
 * it, closes a full block.
 */
static void
finish_row(Page page, const AnnoyLeafLayout *layout)
{
	AnnoyLeafHeader header = AnnoyPageGetLeafHeader(page);
	char	   *block = AnnoyPageGetLeafBlock(page, layout, header->count /
											  ANNOY_BLOCK_ENTRIES);
	int			place = header->count % ANNOY_BLOCK_ENTRIES;

	if (place == ANNOY_BLOCK_ENTRIES - 1)
	{
		PGAlignedBlock rows;

		memcpy(rows.data, block, layout->block_size);
		transpose_rows(rows.data, ANNOY_BLOCK_ENTRIES, layout, block);
	}
	set_count(page, layout, header->count + 1);
}

int
AnnoyFilterLeaf(Page page, const AnnoyLeafLayout *layout, const bool *drop)
{
	AnnoyLeafHeader header = AnnoyPageGetLeafHeader(page);
	int			count = header->count;
	Size		size = layout->row_size + layout->refinement_size;
	char	   *entries = palloc(size * Max(count, 1));
	char	   *first = AnnoyPageGetLeafBlock(page, layout, 0);
	int			kept = 0;

	for (int i = 0; i < count; i++)
		if (!drop[i])
		{
			char	   *entry = entries + size * kept++;

			get_row(page, layout, i, entry);
			memcpy(entry + layout->row_size,
				   AnnoyPageGetRefinement(page, layout, i),
				   layout->refinement_size);
		}

	/* begin anew; what lies between pd_lower and pd_upper has to be zero */
	memset(first, 0, (char *) page + ((PageHeader) page)->pd_special - first);
	header->removals++;
	set_count(page, layout, 0);
	for (int i = 0; i < kept; i++)
	{
		char	   *entry = entries + size * i;

		memcpy(AnnoyPageGetLeafBlock(page, layout, i / ANNOY_BLOCK_ENTRIES) +
			   i % ANNOY_BLOCK_ENTRIES * layout->row_size, entry,
			   layout->row_size);
		memcpy(AnnoyPageGetRefinement(page, layout, i),
			   entry + layout->row_size, layout->refinement_size);
		finish_row(page, layout);
	}
	pfree(entries);
	return kept;
}

void
AnnoyStartLeaf(Page page, const AnnoyLeafLayout *layout, const int8 *centroid,
			   float scale, float norm_squared, float extra)
{
	AnnoyLeafHeader header = AnnoyPageGetLeafHeader(page);

	header->version = ANNOY_FIRST_VERSION;
	header->scale = scale;
	header->norm_squared = norm_squared;
	header->extra = extra;
	memcpy(header->centroid, centroid, layout->sketch_dimensions);
	set_count(page, layout, 0);
}

void
AnnoyAddLeafEntry(Page page, const AnnoyForest *forest, const float *sketch,
				  bool unbounded, const ItemPointerData *tid)
{
	const AnnoyLeafLayout *layout = &forest->leaf;
	int			s = layout->sketch_dimensions;
	AnnoyLeafHeader header = AnnoyPageGetLeafHeader(page);
	int			place = header->count % ANNOY_BLOCK_ENTRIES;
	char	   *row = AnnoyPageGetLeafBlock(page, layout, header->count /
											ANNOY_BLOCK_ENTRIES) +
		place * layout->row_size;
	float		f1;
	float		f2;

	Assert(header->count < layout->capacity);
	AnnoyEncodeItem(&forest->sketcher, sketch, unbounded, header->centroid,
					header->scale, (uint8 *) row, &f1, &f2);
	row += s / 8;
	memcpy(row, &f1, sizeof(float4));
	memcpy(row + sizeof(float4), &f2, sizeof(float4));
	memcpy(row + 2 * sizeof(float4), tid, sizeof(ItemPointerData));
	if (layout->refinement_size > 0)
		AnnoyEncodeRefinement(&forest->sketcher, sketch, header->centroid,
							  header->scale, header->norm_squared,
							  layout->code_bits, f1,
							  (uint8 *) AnnoyPageGetRefinement(page, layout,
															   header->count));
	finish_row(page, layout);
}

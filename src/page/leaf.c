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

#include "page/leaf.h"

#define ALL_ENTRIES ((1U << ANNOY_BLOCK_ENTRIES) - 1)

void
AnnoyCheckLeaf(Relation index, Page page, BlockNumber block, int s)
{
	int			count = AnnoyPageGetLeafHeader(page)->count;
	Size		lower = ((PageHeader) page)->pd_lower;
	Size		end;

	if (count > AnnoyLeafCapacity(s))
		AnnoyReportCorruption(index, block, "too many leaf entries");

	/* an empty leaf may be older than the geometry and have no centroid */
	end = AnnoyPageGetLeafBlock(page, s, count / ANNOY_BLOCK_ENTRIES) +
		count % ANNOY_BLOCK_ENTRIES * AnnoyRowSize(s) - (char *) page;
	if (lower != end &&
		(count > 0 || lower != MAXALIGN(SizeOfPageHeaderData) +
		 offsetof(AnnoyLeafHeaderData, centroid)))
		AnnoyReportCorruption(index, block,
							  "leaf entries do not match the page's free space");
}

/* Turns "rows" entries of an open block into a full block. */
static void
transpose_rows(const char *open, int rows, int s, char *block)
{
	Size		row_size = AnnoyRowSize(s);

	annoy_kernels.transpose_codes(rows, s / 8, (const uint8 *) open, row_size,
								  (uint8 *) block);
	for (int i = 0; i < rows; i++)
	{
		const char *row = open + i * row_size + s / 8;

		memcpy(block + AnnoyBlockF1(s) + i * sizeof(float4), row,
			   sizeof(float4));
		row += sizeof(float4);
		memcpy(block + AnnoyBlockF2(s) + i * sizeof(float4), row,
			   sizeof(float4));
		row += sizeof(float4);
		memcpy(block + AnnoyBlockAddresses(s) + i * sizeof(ItemPointerData),
			   row, sizeof(ItemPointerData));
	}
}

int
AnnoyRankLeaf(const AnnoySketcher *sketcher, AnnoyQuery *query, Page page,
			  float from, float threshold, char *scratch,
			  AnnoyCandidates *candidates)
{
	int			s = sketcher->sketch_dimensions;
	AnnoyLeafHeader header = AnnoyPageGetLeafHeader(page);
	int			count = header->count;
	int			outside = 0;
	AnnoyCandidate *next;

	AnnoyBeginLeaf(sketcher, query, header->centroid, header->scale,
				   header->norm_squared, threshold);
	next = AnnoyReserveCandidates(candidates, count);

	for (int first = 0; first < count; first += ANNOY_BLOCK_ENTRIES)
	{
		int			entries = Min(count - first, ANNOY_BLOCK_ENTRIES);
		char	   *block = AnnoyPageGetLeafBlock(page, s,
												  first / ANNOY_BLOCK_ENTRIES);
		float		lower[ANNOY_BLOCK_ENTRIES];
		uint32		mask;

		if (entries < ANNOY_BLOCK_ENTRIES)
		{
			transpose_rows(block, entries, s, scratch);
			block = scratch;
		}
		mask = AnnoyRankBlock(query, (const uint8 *) block, lower);
		if (threshold >= FLT_MAX)
			mask = ALL_ENTRIES; /* a damaged entry's bound may be NaN */
		mask &= (1U << entries) - 1;
		outside += entries - pg_popcount32(mask);
		while (mask != 0)
		{
			int			i = pg_rightmost_one_pos32(mask);

			mask &= mask - 1;
			next->lower = isnan(lower[i]) ? -FLT_MAX : lower[i];
			memcpy(&next->address,
				   block + AnnoyBlockAddresses(s) + i * sizeof(ItemPointerData),
				   sizeof(ItemPointerData));
			next += !(lower[i] < from);
		}
	}
	candidates->count = next - candidates->elements;
	return outside;
}

int
AnnoyListLeaf(Page page, int s, ItemPointerData *addresses)
{
	int			count = AnnoyPageGetLeafHeader(page)->count;

	for (int i = 0; i < count; i++)
	{
		int			full = i / ANNOY_BLOCK_ENTRIES;
		int			place = i % ANNOY_BLOCK_ENTRIES;
		char	   *block = AnnoyPageGetLeafBlock(page, s, full);
		char	   *address;

		if (full < count / ANNOY_BLOCK_ENTRIES)
			address = block + AnnoyBlockAddresses(s) +
				place * sizeof(ItemPointerData);
		else
			address = block + (place + 1) * AnnoyRowSize(s) -
				sizeof(ItemPointerData);
		memcpy(&addresses[i], address, sizeof(ItemPointerData));
	}
	return count;
}

/* One entry of a leaf as a row of an open block. */
static void
get_row(Page page, int s, int entry, char *row)
{
	int			count = AnnoyPageGetLeafHeader(page)->count;
	int			place = entry % ANNOY_BLOCK_ENTRIES;
	char	   *block = AnnoyPageGetLeafBlock(page, s, entry / ANNOY_BLOCK_ENTRIES);

	if (entry >= count / ANNOY_BLOCK_ENTRIES * ANNOY_BLOCK_ENTRIES)
	{
		memcpy(row, block + place * AnnoyRowSize(s), AnnoyRowSize(s));
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
		   block + AnnoyBlockAddresses(s) + place * sizeof(ItemPointerData),
		   sizeof(ItemPointerData));
}

/* The entry in the open block was written: counts it, closes a full block. */
static void
finish_row(Page page, int s)
{
	AnnoyLeafHeader header = AnnoyPageGetLeafHeader(page);
	char	   *block = AnnoyPageGetLeafBlock(page, s,
											  header->count / ANNOY_BLOCK_ENTRIES);
	int			place = header->count % ANNOY_BLOCK_ENTRIES;

	header->count++;
	if (place == ANNOY_BLOCK_ENTRIES - 1)
	{
		PGAlignedBlock rows;

		memcpy(rows.data, block, AnnoyBlockSize(s));
		transpose_rows(rows.data, ANNOY_BLOCK_ENTRIES, s, block);
		((PageHeader) page)->pd_lower = block + AnnoyBlockSize(s) - (char *) page;
	}
	else
		((PageHeader) page)->pd_lower =
			block + (place + 1) * AnnoyRowSize(s) - (char *) page;
}

int
AnnoyFilterLeaf(Page page, int s, const bool *drop)
{
	AnnoyLeafHeader header = AnnoyPageGetLeafHeader(page);
	int			count = header->count;
	char	   *first = AnnoyPageGetLeafBlock(page, s, 0);
	char	   *rows = palloc(AnnoyRowSize(s) * Max(count, 1));
	int			kept = 0;

	for (int i = 0; i < count; i++)
		if (!drop[i])
			get_row(page, s, i, rows + AnnoyRowSize(s) * kept++);

	/* begin anew; what lies behind pd_lower has to be zero */
	memset(first, 0, AnnoyPageGetLeafBlock(page, s, 0) +
		   AnnoyBlockSize(s) * ((count + ANNOY_BLOCK_ENTRIES - 1) /
								ANNOY_BLOCK_ENTRIES) - first);
	header->count = 0;
	header->removals++;
	((PageHeader) page)->pd_lower = first - (char *) page;
	for (int i = 0; i < kept; i++)
	{
		char	   *block = AnnoyPageGetLeafBlock(page, s, i / ANNOY_BLOCK_ENTRIES);

		memcpy(block + i % ANNOY_BLOCK_ENTRIES * AnnoyRowSize(s),
			   rows + AnnoyRowSize(s) * i, AnnoyRowSize(s));
		finish_row(page, s);
	}
	pfree(rows);
	return kept;
}

void
AnnoyStartLeaf(Page page, const AnnoySketcher *sketcher, const int8 *centroid,
			   float scale, float norm_squared, float extra)
{
	int			s = sketcher->sketch_dimensions;
	AnnoyLeafHeader header = AnnoyPageGetLeafHeader(page);

	header->version = ANNOY_FIRST_VERSION;
	header->scale = scale;
	header->norm_squared = norm_squared;
	header->extra = extra;
	header->count = 0;
	memcpy(header->centroid, centroid, s);
	((PageHeader) page)->pd_lower =
		(char *) header + AnnoyLeafHeaderSize(s) - (char *) page;
}

void
AnnoyAddLeafEntry(Page page, const AnnoySketcher *sketcher,
				  const float *sketch, bool unbounded, ItemPointer address)
{
	int			s = sketcher->sketch_dimensions;
	AnnoyLeafHeader header = AnnoyPageGetLeafHeader(page);
	int			place = header->count % ANNOY_BLOCK_ENTRIES;
	char	   *block = AnnoyPageGetLeafBlock(page, s,
											  header->count / ANNOY_BLOCK_ENTRIES);
	char	   *row = block + place * AnnoyRowSize(s);
	float		f1;
	float		f2;

	Assert(header->count < AnnoyLeafCapacity(s));
	AnnoyEncodeItem(sketcher, sketch, unbounded, header->centroid,
					header->scale, (uint8 *) row, &f1, &f2);
	row += s / 8;
	memcpy(row, &f1, sizeof(float4));
	memcpy(row + sizeof(float4), &f2, sizeof(float4));
	memcpy(row + 2 * sizeof(float4), address, sizeof(ItemPointerData));
	finish_row(page, s);
}

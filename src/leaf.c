/*-------------------------------------------------------------------------
 *
 * leaf.c
 *	  Entries of leaf pages: reading, ranking and filling them.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "port/pg_bitutils.h"

#include "leaf.h"

void
AnnoyCheckLeaf(Relation index, Page page, BlockNumber block, int s)
{
	int			count = AnnoyPageGetLeafHeader(page)->count;

	if (count > AnnoyLeafCapacity(s))
		AnnoyReportCorruption(index, block, "too many leaf entries");
}

/* Turns "rows" entries of an open block into a full block. */
static void
transpose_rows(const char *open, int rows, int s, char *block)
{
	int			code_size = s / 8;
	Size		row_size = AnnoyRowSize(s);

	for (int i = 0; i < rows; i++)
	{
		const char *row = open + i * row_size;

		for (int r = 0; r < code_size; r++)
			block[r * ANNOY_BLOCK_ENTRIES + i] = row[r];
		row += code_size;
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
			  AnnoyCandidateQueue *candidates)
{
	int			s = sketcher->sketch_dimensions;
	AnnoyLeafHeader header = AnnoyPageGetLeafHeader(page);
	int			count = header->count;
	int			outside = 0;
	AnnoyCandidate *next;

	AnnoyBeginLeaf(sketcher, query, header->centroid, header->scale,
				   header->norm_squared, threshold);
	AnnoyCandidate_reserve(candidates, count);
	next = candidates->elements + candidates->count;

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
		mask = annoy_kernels.rank_block(&query->rank, (const uint8 *) block,
										lower);
		mask &= (1U << entries) - 1;
		outside += entries - pg_popcount32(mask);
		while (mask != 0)
		{
			int			i = pg_rightmost_one_pos32(mask);

			mask &= mask - 1;
			next->lower = lower[i];
			memcpy(&next->address,
				   block + AnnoyBlockAddresses(s) + i * sizeof(ItemPointerData),
				   sizeof(ItemPointerData));
			next += lower[i] >= from;
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

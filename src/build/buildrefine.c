/*-------------------------------------------------------------------------
 *
 * buildrefine.c
 *	  Moving the centroids of a set's cells to where they are best.
 *
 * Hyperplanes cut cells where two means met, one cut after the other, so a
 * cell's centroid is not where the best one of so many cells would be.  A few
 * steps of Lloyd's algorithm (IEEE Trans. Inf. Theory 28, 1982) among the cells
 * of a set, which are in memory as it is, move them there: each item to the
 * nearest centroid, each centroid to the mean of its items.  Queries then find
 * the same neighbours in fewer leaves (README).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <float.h>

#include "miscadmin.h"

#include "build/buildcells.h"
#include "build/buildpages.h"

/* Steps of Lloyd's algorithm; four found hardly more than two. */
#define REFINE_STEPS 2

typedef struct RefineState
{
	const AnnoySketchSet *set;
	int			cell_count;
	AnnoyCentroid **cells;		/* [cell_count] */
	int8	   *centroids;		/* [cell_count][s]: theirs, side by side */
	int32	   *products;		/* [cell_count] */
} RefineState;

/* Lists the cells of a subtree and puts their centroids side by side. */
static void
list_cells(RefineState *state, Subtree *subtree)
{
	int			s = state->set->sketch_dimensions;

	state->cell_count = 0;
	state->cells = palloc(sizeof(AnnoyCentroid *) * subtree->count);
	for (int i = 0; i < subtree->count; i++)
		if (subtree->nodes[i].plane.normal == NULL)
			state->cells[state->cell_count++] = &subtree->nodes[i].centroid;
	state->products = palloc(sizeof(int32) * state->cell_count);
	state->centroids = palloc((Size) state->cell_count * s);
	for (int i = 0; i < state->cell_count; i++)
	{
		int8	   *place = state->centroids + (Size) i * s;

		memcpy(place, state->cells[i]->centroid, s);
		pfree(state->cells[i]->centroid);
		state->cells[i]->centroid = place;
	}
}

/* The cell with the nearest centroid; of equally near ones the first. */
static int
find_nearest(const RefineState *state, int32 item)
{
	const AnnoySketchSet *set = state->set;
	int			s = set->sketch_dimensions;
	double		best = DBL_MAX;
	int			nearest = 0;

	annoy_kernels.dot_quantised_many(s, state->cell_count, state->centroids, s,
									 set->quantised + (Size) item * s,
									 state->products);
	for (int i = 0; i < state->cell_count; i++)
	{
		const AnnoyCentroid *cell = state->cells[i];
		double		extra = (double) set->extra[item] - cell->extra;
		double		distance = cell->norm_squared + extra * extra -
			2.0 * set->scale[item] * cell->scale * state->products[i];

		if (distance < best)
		{
			best = distance;
			nearest = i;
		}
	}
	return nearest;
}

/*
 * Lloyd's algorithm over the cells of a subtree.  items: all positions of the
 * set, by TID, so that sums do not depend on the order in which items came.
 */
void
AnnoyRefineCells(CellBuilder *builder, Subtree *subtree,
				 const AnnoySketchSet *set, const int32 *items, int count)
{
	int		   *nearest = palloc(sizeof(int) * count);
	int32	   *members = palloc(sizeof(int32) * count);
	int		   *ends = palloc(sizeof(int) * (subtree->count + 1));
	RefineState state;

	state.set = set;
	list_cells(&state, subtree);
	for (int step = 0; step < REFINE_STEPS && state.cell_count > 1; step++)
	{
		memset(ends, 0, sizeof(int) * (state.cell_count + 1));
		for (int i = 0; i < count; i++)
		{
			CHECK_FOR_INTERRUPTS();
			nearest[i] = find_nearest(&state, items[i]);
			ends[nearest[i] + 1]++;
		}
		/* ends[c]: first the beginning of c's members, then their end */
		for (int i = 0; i < state.cell_count; i++)
			ends[i + 1] += ends[i];
		for (int i = 0; i < count; i++)
			members[ends[nearest[i]]++] = items[i];
		for (int i = 0; i < state.cell_count; i++)
		{
			int			first = i > 0 ? ends[i - 1] : 0;

			if (ends[i] > first)
				AnnoyMeasureCentroid(set, members + first, ends[i] - first,
									 state.cells[i]);
		}
	}
	pfree(state.cells);
	pfree(state.products);
	pfree(nearest);
	pfree(members);
	pfree(ends);
}

/*-------------------------------------------------------------------------
 *
 * insert.c
 *	  Inserting rows into an existing index.
 *
 * The row is named by a leaf of each tree, one after the other.  If the insert ends
 * in between, by an error or a crash, some trees do not know the row: it is dead
 * then, and VACUUM will remove what there is of it.
 *
 * The first vector of an index without rows fixes its sketch space.  That is not
 * undone if its transaction is, so renew.c begins anew when no row is left.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "nodes/execnodes.h"
#include "utils/memutils.h"

#include "am/renew.h"
#include "annoy.h"
#include "annoycompat.h"
#include "definition/opclass.h"
#include "forest/treeinsert.h"
#include "page/meta.h"
#include "page/tail.h"

/*
 * M of an index that was built without rows, in terms of its first vector's
 * norm: few later ones shall be larger, as those would be placed by their
 * direction alone.  With norms spread by a factor of e (standard deviation) the
 * first 10 were found at 0.98 in place of 0.37 with an eighth of the default
 * budget; with a factor of 1.4, 0.65 in place of 0.50.  16 did harm there.
 */
#define FIRST_NORM_ALLOWANCE 4.0

/* What the inserts of one statement share: index_info->ii_AmCache. */
typedef struct InsertState
{
	Relation	heap;
	MemoryContext row_context;	/* reset after each row */
	const AnnoyOpclassInfo *opclass;
	AnnoyForest *forest;		/* dimensions may be 0: see prepare_geometry */
	AnnoyTreeInserter *inserter;
	float	   *floats;
	float	   *scratch;
	float	   *sketch;
} InsertState;

static InsertState *
begin_insert(Relation index, Relation heap, struct IndexInfo *index_info)
{
	MemoryContext old = MemoryContextSwitchTo(index_info->ii_Context);
	InsertState *state = palloc0(sizeof(InsertState));

	state->row_context = AllocSetContextCreate(index_info->ii_Context,
											   "annoy insert",
											   ALLOCSET_DEFAULT_SIZES);
	state->opclass = AnnoyGetOpclassInfo(index);
	state->heap = heap;
	AnnoyRenewYoungIndex(index, heap);
	state->forest = AnnoyLoadForest(index, index_info->ii_Context);
	MemoryContextSwitchTo(old);
	index_info->ii_AmCache = state;
	return state;
}

/* Fixes the sketch space by a value; one without direction fixes nothing. */
static void
fix_geometry(InsertState *state, Relation index, const struct varlena *value,
			 int dimensions)
{
	AnnoySketcher raw;
	float	   *floats = palloc(sizeof(float) * dimensions);
	float	   *transformed = palloc(sizeof(float) * dimensions);
	double		norm;
	bool		unbounded;

	AnnoyInitSketcher(&raw, palloc(AnnoySketcherMemory(dimensions)),
					  state->opclass->metric, dimensions,
					  state->forest->meta.seed, NULL, 0);
	if (AnnoyTransformVector(&raw,
							 state->opclass->element->floats(value, floats),
							 transformed, &norm, &unbounded))
		AnnoyFixGeometry(index, dimensions, transformed,
						 norm > 0 ? Min(FIRST_NORM_ALLOWANCE * norm,
										ANNOY_NORM_LIMIT) : 1.0);
}

/* Takes over what the metapage says now. */
static void
reload_forest(InsertState *state, Relation index, MemoryContext context)
{
	MemoryContext old = MemoryContextSwitchTo(context);

	state->forest = AnnoyLoadForest(index, context);
	state->inserter = NULL;
	MemoryContextSwitchTo(old);
}

/*
 * Sees to it that the sketch space is known, and that the value is of its
 * number of dimensions; or leaves it unknown if the value has no direction.
 */
static void
prepare_geometry(InsertState *state, Relation index, MemoryContext context,
				 const struct varlena *value)
{
	int			dimensions = state->opclass->element->dimensions(value);
	bool		renewed = false;
	MemoryContext old;

	if (dimensions < 1 || dimensions > state->opclass->element->max_dimensions)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("cannot index values of %d dimensions", dimensions),
				 errdetail("The limit is %d.",
						   state->opclass->element->max_dimensions)));
	if (state->forest->meta.dimensions > 0 &&
		state->forest->meta.dimensions != dimensions)
	{
		renewed = AnnoyRenewIndex(index, state->heap, dimensions);
		reload_forest(state, index, context);
	}
	if (state->forest->meta.dimensions == 0)
	{
		fix_geometry(state, index, value, dimensions);
		reload_forest(state, index, context);
	}
	if (renewed)
		AnnoyUnlockRenewed(index);
	if (state->forest->meta.dimensions == 0)
		return;
	if (dimensions != state->forest->meta.dimensions)
		AnnoyReportDimensions(index, state->opclass->element,
							  state->forest->meta.dimensions, dimensions);
	if (state->inserter == NULL)
	{
		old = MemoryContextSwitchTo(context);
		state->inserter = AnnoyBeginTreeInsert(state->heap, index,
											   state->forest,
											   state->opclass->element);
		state->floats = palloc(sizeof(float) * dimensions);
		state->scratch = palloc(sizeof(float) * AnnoySketchScratch(dimensions));
		state->sketch = palloc(sizeof(float) *
							   state->forest->meta.sketch_dimensions);
		MemoryContextSwitchTo(old);
	}
}

static void
insert_value(InsertState *state, Relation index, MemoryContext context,
			 struct varlena *value, ItemPointer heap_tid)
{
	const AnnoyElementType *element = state->opclass->element;
	float		extra;
	bool		unbounded;

	prepare_geometry(state, index, context, value);
	if (state->forest->meta.dimensions == 0 ||
		!AnnoyMakeStoredSketch(&state->forest->sketcher,
							   element->floats(value, state->floats),
							   state->scratch, state->sketch, &extra,
							   &unbounded))
	{
		AnnoyInsertTail(index, state->forest->meta.tail, heap_tid, 0);
		return;
	}
	AnnoyReadRoots(index, state->forest);
	for (int tree = 0; tree < state->forest->meta.n_trees; tree++)
		AnnoyInsertIntoTree(state->inserter, tree, state->sketch, extra,
							unbounded, heap_tid);
}

bool
annoyinsert(Relation index, Datum *values, bool *isnull, ItemPointer heap_tid,
			Relation heap, IndexUniqueCheck check_unique, bool index_unchanged,
			struct IndexInfo *index_info)
{
	InsertState *state = index_info->ii_AmCache;
	MemoryContext old;

	if (state == NULL)
		state = begin_insert(index, heap, index_info);
	old = MemoryContextSwitchTo(state->row_context);
	if (isnull[0])
		AnnoyInsertTail(index, state->forest->meta.tail, heap_tid,
						ANNOY_TAIL_NULL);
	else
		insert_value(state, index, index_info->ii_Context,
					 (struct varlena *) PG_DETOAST_DATUM(values[0]), heap_tid);
	MemoryContextSwitchTo(old);
	MemoryContextReset(state->row_context);
	return false;
}

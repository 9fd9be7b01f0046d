/*-------------------------------------------------------------------------
 *
 * info.c
 *	  SQL functions that tell about an index.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/relation.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/rel.h"
#include "utils/tuplestore.h"

#include "annoycompat.h"
#include "page/directory.h"
#include "page/leaf.h"
#include "page/meta.h"
#include "table/indexaccess.h"

PG_FUNCTION_INFO_V1(annoy_leaf_items);

/* annoy_leaf_items on its way through a tree. */
typedef struct LeafItems
{
	Relation	index;
	ReturnSetInfo *result;
	const AnnoyForest *forest;
	ItemPointerData *tids;		/* of one leaf page */
	int			s;
	int			tree;
	int			leaf;
} LeafItems;

/* Rows of the leaf's entries on one page. */
static void
report_leaf_page(LeafItems *state, int count)
{
	for (int i = 0; i < count; i++)
	{
		Datum		values[3];
		bool		nulls[3] = {false, false, false};

		values[0] = Int32GetDatum(state->tree);
		values[1] = Int32GetDatum(state->leaf);
		values[2] = PointerGetDatum(&state->tids[i]);
		tuplestore_putvalues(state->result->setResult, state->result->setDesc,
							 values, nulls);
	}
}

/* A leaf with its chain. */
static void
report_leaf(LeafItems *state, BlockNumber block)
{
	uint64		steps = 0;

	while (BlockNumberIsValid(block))
	{
		Buffer		buffer = AnnoyReadPage(state->index, block,
										   ANNOY_PAGE_LEAF, BUFFER_LOCK_SHARE);
		Page		page = BufferGetPage(buffer);
		int			count;

		AnnoyCheckLeaf(state->index, page, block, &state->forest->leaf);
		count = AnnoyListLeaf(page, &state->forest->leaf, state->tids);
		block = AnnoyPageGetOpaque(page)->chainlink;
		UnlockReleaseBuffer(buffer);
		CHECK_FOR_INTERRUPTS();
		AnnoyCheckSteps(state->index, block, ++steps);
		report_leaf_page(state, count);
	}
	state->leaf++;
}

/* The leaves of a directory, in the order in which it lists them. */
static void
report_directory(LeafItems *state, BlockNumber block)
{
	Buffer		buffer = AnnoyReadPage(state->index, block,
									   ANNOY_PAGE_DIRECTORY, BUFFER_LOCK_SHARE);
	Page		page = BufferGetPage(buffer);
	int			count = AnnoyCountDirectory(state->index, block, page, state->s);
	BlockNumber *leaves;

	leaves = palloc(sizeof(BlockNumber) * Max(count, 1));
	for (int i = 0; i < count; i++)
		leaves[i] = AnnoyPageGetDirectoryEntry(page, state->s, i)->leaf.block;
	UnlockReleaseBuffer(buffer);
	for (int i = 0; i < count; i++)
		report_leaf(state, leaves[i]);
	pfree(leaves);
}

static void
report_subtree(LeafItems *state, AnnoyChild child)
{
	AnnoyChild	children[2];
	Buffer		buffer;
	Page		page;

	check_stack_depth();
	if (child.kind == ANNOY_PAGE_DIRECTORY)
	{
		report_directory(state, child.block);
		return;
	}
	buffer = AnnoyReadPage(state->index, child.block, ANNOY_PAGE_INNER,
						   BUFFER_LOCK_SHARE);
	page = BufferGetPage(buffer);
	AnnoyCheckNode(state->index, child.block, page, state->s, child.slot);
	memcpy(children, AnnoyPageGetNode(page, state->s, child.slot)->child,
		   sizeof(children));
	UnlockReleaseBuffer(buffer);
	report_subtree(state, children[0]);
	report_subtree(state, children[1]);
}

/*
 * annoy_leaf_items(index regclass) returns setof (tree int, leaf int, item
 * tid): the heap row of every leaf entry.  Leaves are numbered in the order of
 * a walk of their tree, from its left, beginning with 0.
 */
Datum
annoy_leaf_items(PG_FUNCTION_ARGS)
{
	LeafItems	state;
	AnnoyForest *forest;

	InitMaterializedSRF(fcinfo, 0);
	state.result = (ReturnSetInfo *) fcinfo->resultinfo;
	state.index = AnnoyOpenIndex(PG_GETARG_OID(0));
	forest = AnnoyLoadForest(state.index, CurrentMemoryContext);
	AnnoyReadRoots(state.index, forest);
	state.s = forest->meta.sketch_dimensions;
	state.forest = forest;
	state.tids = palloc(sizeof(ItemPointerData) * forest->leaf.capacity);
	for (state.tree = 0; state.tree < forest->meta.n_trees; state.tree++)
	{
		state.leaf = 0;
		report_subtree(&state, forest->roots[state.tree]);
	}
	relation_close(state.index, AccessShareLock);
	return (Datum) 0;
}

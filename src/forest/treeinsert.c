/*-------------------------------------------------------------------------
 *
 * treeinsert.c
 *	  Adding rows to the trees of an existing index.
 *
 * A leaf is chosen by a walk that locks one page at a time.  If it was split
 * since, the walk is repeated.  A full leaf is split in three steps
 * (leafsplit.c): its page is copied; its rows are read from the table and a
 * hyperplane is looked for, without a lock; then directory and leaf are locked,
 * and if the leaf is still what it was, both halves and the directory's entries
 * are written by one record.  A full directory is split in the same manner
 * before, or given a form with more room (directorysplit.c).
 *
 * See src/README, "Locks", for the order of locks and why it is safe.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/generic_xlog.h"
#include "miscadmin.h"
#include "utils/memutils.h"

#include "forest/treesplit.h"
#include "page/leaf.h"

/*
 * Every attempt but the last fails because somebody, or this insert itself, has
 * just split something.  That this happens so often in a row means that links
 * are damaged.
 */
#define MOST_ATTEMPTS 1000

/* What became of an attempt to add an entry. */
typedef enum AddResult
{
	ADD_DONE,
	ADD_FULL,					/* the leaf has no room */
	ADD_MOVED					/* the leaf was split meanwhile */
} AddResult;

AnnoyTreeInserter *
AnnoyBeginTreeInsert(Relation heap, Relation index, AnnoyForest *forest,
					 const AnnoyElementType *element)
{
	AnnoyTreeInserter *inserter = palloc0(sizeof(AnnoyTreeInserter));

	inserter->heap = heap;
	inserter->index = index;
	inserter->forest = forest;
	inserter->element = element;
	inserter->s = forest->sketcher.sketch_dimensions;
	AnnoyInitWalk(&inserter->walk, index, forest);
	inserter->quantised = palloc(sizeof(int16) * inserter->s);
	inserter->placed = palloc(sizeof(float) * inserter->s);
	inserter->split_context = AllocSetContextCreate(CurrentMemoryContext,
													"annoy split",
													ALLOCSET_DEFAULT_SIZES);
	return inserter;
}

/* Adds the entry if the leaf is the one that the link meant and has room. */
static AddResult
add_entry(AnnoyTreeInserter *inserter, const AnnoyLeafCandidate *leaf,
		  const float *sketch, bool unbounded, ItemPointer tid)
{
	Buffer		buffer = AnnoyReadPage(inserter->index, leaf->link.block,
									   ANNOY_PAGE_LEAF, BUFFER_LOCK_EXCLUSIVE);
	Page		page = BufferGetPage(buffer);
	AnnoyLeafHeader header = AnnoyPageGetLeafHeader(page);
	AddResult	result = ADD_DONE;

	AnnoyCheckLeaf(inserter->index, page, leaf->link.block,
				   &inserter->forest->leaf);
	if (header->version != leaf->link.version)
		result = ADD_MOVED;
	else if (header->count >= inserter->forest->leaf.capacity)
		result = ADD_FULL;
	else
	{
		GenericXLogState *xlog = GenericXLogStart(inserter->index);

		AnnoyAddLeafEntry(GenericXLogRegisterBuffer(xlog, buffer, 0),
						  inserter->forest, sketch, unbounded, tid);
		GenericXLogFinish(xlog);
	}
	UnlockReleaseBuffer(buffer);
	return result;
}

void
AnnoyInsertIntoTree(AnnoyTreeInserter *inserter, int tree,
					const float *sketch, float extra, bool unbounded,
					ItemPointer tid)
{
	AnnoyQuery	query;

	AnnoyPlaceSketch(&inserter->forest->sketcher, sketch, inserter->placed);
	AnnoyInitItemQuery(&query, inserter->quantised,
					   &inserter->forest->sketcher, inserter->placed, extra);
	for (int attempt = 0;; attempt++)
	{
		AnnoyLeafCandidate leaf = AnnoyChooseLeaf(&inserter->walk, &query, tree);
		AddResult	result = add_entry(inserter, &leaf, sketch, unbounded,
									   tid);

		if (result == ADD_DONE)
			return;
		CHECK_FOR_INTERRUPTS();
		if (attempt == MOST_ATTEMPTS)
			AnnoyReportCorruption(inserter->index, leaf.link.block,
								  "leaf does not match its link");
		if (result == ADD_FULL)
		{
			MemoryContext old = MemoryContextSwitchTo(inserter->split_context);

			AnnoyMakeRoom(inserter, tree, &leaf);
			MemoryContextSwitchTo(old);
			MemoryContextReset(inserter->split_context);
		}
	}
}

/*-------------------------------------------------------------------------
 *
 * collect.c
 *	  Rows of scans under a LIMIT: collected first, then handed on in order.
 *
 * A search that resumes, because a filter has thrown rows away or because many
 * are wanted, finds rows that are nearer than some it has given out.  If these
 * were passed on already, the late ones could only be dropped or break the
 * order.  So under a LIMIT of k rows nothing is passed on before k rows that
 * satisfy the filter are known: they are collected as they come, then sorted,
 * and the nearest ones come first.  If the scan ends before it has k, then
 * everything was collected and nothing is lost.  A scan without a LIMIT above it
 * ranks all rows exactly in the first place (ANNOY_ORDER_EXACT).
 *
 * Rows are counted where the LIMIT sees them: a node between, such as an inner
 * join, may drop rows, too.  What is collected are then the rows of the topmost
 * such node; otherwise the rows of the scan itself, as TIDs, which are fetched
 * once more to be handed on.  Only nodes that take one row at a time from the
 * scan, and are done with it before they take the next, may lie below the point
 * of collection: the distance of the row at hand is the one that the scan gave
 * out last.  Where other nodes lie between scan and LIMIT (Unique, WindowAgg,
 * aggregates: they look at all rows, or at rows that no LIMIT counts), the scan
 * is wanted whole.
 *
 * Row locks drop rows, too, but must not be taken before a row is wanted.  So
 * the point of collection is below them, and a row that was handed on but that
 * the LIMIT has not counted does not make nearer ones late.  Where that is not
 * enough, with SKIP LOCKED and more than one row, the scan is wanted whole.
 *
 * The node at the point of collection gets another ExecProcNode, as
 * ExecSetExecProcNode() in execProcnode.c allows; plans stay as they are.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "access/relscan.h"
#include "access/tableam.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "nodes/execnodes.h"
#include "nodes/nodeFuncs.h"
#include "utils/memutils.h"

#include "am/collect.h"
#include "am/scan.h"
#include "annoy.h"
#include "annoycompat.h"
#include "arith/random.h"
#include "definition/options.h"

/* A row that was collected. */
typedef struct CollectedRow
{
	double		distance;		/* NaN: no number; after it NULL */
	bool		null_distance;
	ItemPointerData tid;		/* of the scan's row */
	MinimalTuple tuple;			/* NULL if the scan's own rows are collected */
	int64		number;			/* in which it came */
} CollectedRow;

/* A row as far as the last one that was handed on before a scan began again. */
typedef struct GivenRow
{
	ItemPointerData tid;
	bool		skipped;		/* the scan has come to it again */
} GivenRow;

/* How far one execution of the node has come. */
typedef enum CollectorState
{
	COLLECTOR_PASSES,			/* the scan has them in order already */
	COLLECTOR_COLLECTS,
	COLLECTOR_ENDED				/* collects, but there is nothing left */
} CollectorState;

typedef struct Collector
{
	PlanState  *node;			/* the point of collection */
	ExecProcNodeMtd next_row;	/* its own */
	IndexScanState *scan;
	LimitState *limit;
	PlanState **path;			/* from below the node down to the scan */
	int			path_length;
	bool		locks;			/* row locks may drop what is handed on */
	bool		skips_locked;	/* not only rows that others have changed */
	TupleTableSlot *slot;		/* for rows of a node that is no scan */

	/* of the present execution */
	MemoryContext context;
	uint64		generation;		/* of the scan */
	CollectorState state;
	bool		exhaustive;		/* began again, to rank all rows */
	int64		wanted;			/* rows that the LIMIT takes */
	CollectedRow *rows;
	int64		count;
	int64		allocated;
	int64		next;			/* the first one not handed on yet */
	bool		in_order;		/* from there on */
	bool		handed_on;		/* there is a last row: */
	CollectedRow last;
	bool		waits;			/* for the LIMIT to count the row before */
	int64		position;		/* of the LIMIT then */
	GivenRow   *given;			/* if it began again, or NULL */
	int64		given_count;
} Collector;

typedef struct CollectorEntry
{
	PlanState  *node;
	Collector  *collector;
	char		status;
} CollectorEntry;

#define SH_PREFIX collectors
#define SH_ELEMENT_TYPE CollectorEntry
#define SH_KEY_TYPE PlanState *
#define SH_KEY node
#define SH_HASH_KEY(tb, key) ((uint32) AnnoyMix((uint64) (uintptr_t) (key)))
#define SH_EQUAL(tb, a, b) ((a) == (b))
#define SH_SCOPE static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

/* Rows for which there is room at first. */
#define ROWS_INITIAL 32

/* Part of work_mem that collected rows may take; the search has its own. */
#define ROWS_MEMORY_PART 2

/* Of all executions in this process, by the point of collection. */
static collectors_hash *collectors = NULL;

/* Whose node is running. */
static Collector *running = NULL;

static ExecutorStart_hook_type next_start_hook = NULL;

int64
AnnoyGetLimitRows(IndexScanDesc scan, bool *collected)
{
	*collected = false;
	if (running == NULL || running->scan->iss_ScanDesc != scan)
		return 0;
	*collected = running->state != COLLECTOR_PASSES;
	return running->wanted;
}

/* NaN after numbers, then NULL: as SQL sorts. */
static int
compare_rows(const void *a, const void *b)
{
	const CollectedRow *x = a;
	const CollectedRow *y = b;

	if (x->null_distance || y->null_distance)
		return (int) x->null_distance - (int) y->null_distance;
	if (isnan(x->distance) || isnan(y->distance))
		return (isnan(x->distance) != 0) - (isnan(y->distance) != 0);
	return x->distance < y->distance ? -1 : x->distance > y->distance;
}

/*
 * At equal distance by TID, as exhaustive.c has it; what a join or a set makes
 * of one row stays in its order.
 */
static int
compare_collected(const void *a, const void *b)
{
	const CollectedRow *x = a;
	const CollectedRow *y = b;
	int			order = compare_rows(x, y);

	if (order == 0)
		order = ItemPointerCompare(unconstify(ItemPointerData *, &x->tid),
								   unconstify(ItemPointerData *, &y->tid));
	if (order != 0)
		return order;
	return x->number < y->number ? -1 : x->number > y->number;
}

/*
 * Whether the node starts anew.  A rescan reaches the scan at once, or waits at
 * a node on the way for its next row, with the parameters that have changed
 * (ExecReScan in execAmi.c).
 */
static bool
is_new_execution(const Collector *collector)
{
	IndexScanDesc desc = collector->scan->iss_ScanDesc;

	if (desc == NULL ||
		AnnoyGetScanGeneration(desc) != collector->generation)
		return true;
	for (int i = 0; i < collector->path_length; i++)
		if (collector->path[i]->chgParam != NULL)
			return true;
	return false;
}

static void
start_execution(Collector *collector)
{
	const LimitState *limit = collector->limit;
	int64		most = work_mem * INT64CONST(1024) / ROWS_MEMORY_PART /
		(int64) sizeof(CollectedRow);

	MemoryContextReset(collector->context);
	collector->rows = NULL;
	collector->count = 0;
	collector->allocated = 0;
	collector->next = 0;
	collector->in_order = true;
	collector->handed_on = false;
	collector->waits = false;
	if (collector->given)
		pfree(collector->given);
	collector->given = NULL;
	collector->exhaustive = false;
	collector->wanted = 0;
	if (!limit->noCount && limit->count > 0 &&
		limit->count <= most && limit->offset <= most - limit->count)
		collector->wanted = limit->count + limit->offset;
	/* the first row that is free is enough for one, else one may be late */
	if (collector->skips_locked && collector->wanted > 1)
		collector->wanted = 0;
	collector->state = collector->wanted == 0 ||
		annoy_iterative_scan == ANNOY_SCAN_RELAXED ?
		COLLECTOR_PASSES : COLLECTOR_COLLECTS;
}

static inline bool
collects_scan(const Collector *collector)
{
	return collector->node == &collector->scan->ss.ps;
}

/* The node's own next row; of a scan not the columns of its output yet. */
static TupleTableSlot *
next_own_row(Collector *collector)
{
	Collector  *outer = running;
	PlanState  *node = collector->node;
	ProjectionInfo *projection = node->ps_ProjInfo;
	TupleTableSlot *slot = NULL;

	running = collector;
	if (collector->state == COLLECTOR_COLLECTS && collects_scan(collector))
		node->ps_ProjInfo = NULL;
	/* who catches an error goes on with the scan outside of this one */
	PG_TRY();
	{
		slot = collector->next_row(node);
	}
	PG_FINALLY();
	{
		node->ps_ProjInfo = projection;
		running = outer;
	}
	PG_END_TRY();
	if (collector->scan->iss_ScanDesc)
		collector->generation =
			AnnoyGetScanGeneration(collector->scan->iss_ScanDesc);
	return slot;
}

/* The distance and the TID of the row that the scan gave out last. */
static void
set_scan_row(const Collector *collector, CollectedRow *row)
{
	IndexScanDesc desc = collector->scan->iss_ScanDesc;

	row->tid = collector->scan->ss.ss_ScanTupleSlot->tts_tid;
	row->null_distance = desc->xs_orderbynulls[0];
	row->distance = row->null_distance ? 0.0 :
		DatumGetFloat8(desc->xs_orderbyvals[0]);
}

/* Adds a row: at the end, or where it belongs if those before are sorted. */
static void
add_row(Collector *collector, TupleTableSlot *slot, bool sorted)
{
	MemoryContext old = MemoryContextSwitchTo(collector->context);
	CollectedRow row;
	int64		place = collector->count;

	set_scan_row(collector, &row);
	row.number = collector->count;
	row.tuple = collects_scan(collector) ? NULL :
		ExecCopySlotMinimalTuple(slot);
	if (collector->count == collector->allocated)
	{
		collector->allocated = Max(collector->allocated * 2, ROWS_INITIAL);
		collector->rows = collector->rows == NULL ?
			palloc(sizeof(CollectedRow) * collector->allocated) :
			repalloc_huge(collector->rows,
						  sizeof(CollectedRow) * collector->allocated);
	}
	if (place > collector->next &&
		compare_collected(&collector->rows[place - 1], &row) > 0)
	{
		while (sorted && place > collector->next &&
			   compare_collected(&collector->rows[place - 1], &row) > 0)
		{
			collector->rows[place] = collector->rows[place - 1];
			place--;
		}
		collector->in_order = sorted;
	}
	collector->rows[place] = row;
	collector->count++;
	MemoryContextSwitchTo(old);
}

static void
sort_rows(Collector *collector)
{
	if (!collector->in_order)
		qsort(collector->rows + collector->next,
			  collector->count - collector->next, sizeof(CollectedRow),
			  compare_collected);
	collector->in_order = true;
}

/* Whether more is remembered than work_mem allows. */
static bool
is_large(const Collector *collector)
{
	return AnnoyScanIsLarge(collector->scan->iss_ScanDesc) ||
		MemoryContextMemAllocated(collector->context, true) >
		work_mem * (Size) 1024 / ROWS_MEMORY_PART +
		ALLOCSET_DEFAULT_INITSIZE;
}

static int
compare_given(const void *a, const void *b)
{
	return ItemPointerCompare(unconstify(ItemPointerData *, &((const GivenRow *) a)->tid),
							  unconstify(ItemPointerData *, &((const GivenRow *) b)->tid));
}

/* Remembers which of the rows as far as the last one were handed on. */
static void
remember_given(Collector *collector)
{
	EState	   *estate = collector->node->state;

	collector->given_count = 0;
	if (!collector->handed_on)
		return;
	collector->given = MemoryContextAllocHuge(estate->es_query_cxt,
											  sizeof(GivenRow) * collector->next);
	for (int64 i = 0; i < collector->next; i++)
		if (compare_rows(&collector->rows[i], &collector->last) == 0)
		{
			GivenRow	given = {collector->rows[i].tid, false};

			collector->given[collector->given_count++] = given;
		}
	qsort(collector->given, collector->given_count, sizeof(GivenRow),
		  compare_given);
}

/* Whether a row as far as the last one was handed on before. */
static bool
skip_given(Collector *collector, const ItemPointerData *tid)
{
	GivenRow	wanted = {*tid, false};
	int64		first = 0;
	int64		end = collector->given_count;

	while (first < end)
	{
		int64		middle = first + (end - first) / 2;

		if (compare_given(&collector->given[middle], &wanted) < 0)
			first = middle + 1;
		else
			end = middle;
	}
	/* of a row of the scan a join may have made several */
	for (; first < collector->given_count &&
		 compare_given(&collector->given[first], &wanted) == 0; first++)
		if (!collector->given[first].skipped)
			return collector->given[first].skipped = true;
	return false;
}

/*
 * Begins again with a scan that ranks all rows and gives them in order, so that
 * nothing has to be remembered.
 */
static void
begin_again(Collector *collector)
{
	PlanState  *node = collector->node;
	NodeInstrumentation *instrument = node->instrument;

	remember_given(collector);
	node->instrument = NULL;	/* it is the same execution, and running */
	ExecReScan(node);
	node->instrument = instrument;
	MemoryContextReset(collector->context);
	collector->rows = NULL;
	collector->count = 0;
	collector->allocated = 0;
	collector->next = 0;
	collector->state = COLLECTOR_PASSES;
	collector->exhaustive = true;
	collector->generation =
		AnnoyGetScanGeneration(collector->scan->iss_ScanDesc);
}

/* Whether a row comes too late to be handed on. */
static bool
is_late(const Collector *collector, const CollectedRow *row)
{
	return collector->handed_on && compare_rows(row, &collector->last) < 0;
}

/*
 * Takes rows that the search knows and that are nearer than the last one of
 * those wanted, though it would give out others first if it were to go on.
 */
static bool
collect_nearer(Collector *collector, int64 wanted)
{
	TupleTableSlot *slot;

	for (;;)
	{
		const CollectedRow *farthest = &collector->rows[wanted - 1];

		if (farthest->null_distance || isnan(farthest->distance))
			return true;
		AnnoySetScanCeiling(collector->scan->iss_ScanDesc, farthest->distance);
		slot = next_own_row(collector);
		AnnoySetScanCeiling(collector->scan->iss_ScanDesc, INFINITY);
		if (TupIsNull(slot))
			break;
		add_row(collector, slot, true);
		if (is_large(collector))
			return false;
	}

	/* that was not the end */
	collector->scan->iss_ReachedEnd = false;
	return true;
}

/*
 * Collects as many rows more as the LIMIT takes, or what is left; false if that
 * would take too much memory.
 */
static bool
collect_rows(Collector *collector)
{
	int64		wanted = collector->count + collector->wanted;

	while (collector->count < wanted)
	{
		TupleTableSlot *slot = next_own_row(collector);

		if (TupIsNull(slot))
		{
			collector->state = COLLECTOR_ENDED;
			break;
		}
		add_row(collector, slot, false);
		if (is_large(collector))
			return false;
	}
	sort_rows(collector);
	return collector->state == COLLECTOR_ENDED ||
		collect_nearer(collector, wanted);
}

/* The scan's row, once more. */
static void
fetch_row(ScanState *scan, CollectedRow *row)
{
	if (!table_tuple_fetch_row_version(scan->ss_currentRelation, &row->tid,
									   scan->ps.state->es_snapshot,
									   scan->ss_ScanTupleSlot))
		elog(ERROR, "could not fetch a row of table \"%s\" again",
			 RelationGetRelationName(scan->ss_currentRelation));
}

/* A row that was collected, as the node gives it out. */
static TupleTableSlot *
make_row(Collector *collector, CollectedRow *row)
{
	ScanState  *scan = &collector->scan->ss;
	ExprContext *econtext = scan->ps.ps_ExprContext;

	if (!collects_scan(collector))
	{
		/* here WHERE CURRENT OF looks for it (execCurrent.c) */
		if (!IsA(collector->node, NestLoopState))
			fetch_row(scan, row);
		ExecForceStoreMinimalTuple(row->tuple, collector->slot, false);
		return collector->slot;
	}
	fetch_row(scan, row);
	if (scan->ps.ps_ProjInfo == NULL)
		return scan->ss_ScanTupleSlot;
	ResetExprContext(econtext);
	econtext->ecxt_scantuple = scan->ss_ScanTupleSlot;
	return ExecProject(scan->ps.ps_ProjInfo);
}

/* Next row of a scan that was begun again: behind what was handed on. */
static TupleTableSlot *
next_row_behind(Collector *collector)
{
	for (;;)
	{
		TupleTableSlot *slot = next_own_row(collector);
		CollectedRow row;

		if (TupIsNull(slot) || !collector->handed_on)
			return slot;
		set_scan_row(collector, &row);
		if (compare_rows(&row, &collector->last) > 0 ||
			(!is_late(collector, &row) && !skip_given(collector, &row.tid)))
			return slot;
	}
}

/* Notes the row that is handed on. */
static void
hand_on(Collector *collector)
{
	collector->position = collector->limit->position;
	collector->waits = true;
}

/*
 * When the next row is asked for: the one before counts as handed on unless
 * a row lock has dropped it.
 */
static void
see_counted(Collector *collector)
{
	if (collector->waits &&
		(!collector->locks || collector->limit->position > collector->position))
	{
		collector->last = collector->rows[collector->next - 1];
		collector->handed_on = true;
	}
	collector->waits = false;
}

/* ExecProcNode of a point of collection. */
static TupleTableSlot *
next_collected_row(PlanState *node)
{
	CollectorEntry *entry = collectors_lookup(collectors, node);
	Collector  *collector;

	if (entry == NULL)
		elog(ERROR, "no rows are collected at this node");
	collector = entry->collector;
	if (is_new_execution(collector))
		start_execution(collector);
	see_counted(collector);
	for (;;)
	{
		CollectedRow *row;

		CHECK_FOR_INTERRUPTS();
		if (collector->state == COLLECTOR_PASSES)
			return collector->exhaustive ? next_row_behind(collector) :
				next_own_row(collector);
		if (collector->next == collector->count)
		{
			if (collector->state == COLLECTOR_ENDED)
				return NULL;
			if (!collect_rows(collector))
				begin_again(collector);
			continue;
		}
		row = &collector->rows[collector->next++];
		if (is_late(collector, row))
			continue;
		hand_on(collector);
		return make_row(collector, row);
	}
}

/* The executor's memory goes: its nodes are known no more. */
static void
forget_collector(void *argument)
{
	Collector  *collector = argument;

	collectors_delete(collectors, collector->node);
}

/* The way from the top of a query down to a node. */
typedef struct Descent
{
	const struct Descent *above;	/* or NULL */
	PlanState  *node;
	LimitState *limit;			/* that counts rows from below, or NULL */
	PlanState  *collects;		/* topmost node below it that may drop rows */
	bool		locks;			/* below it and above that are row locks */
	bool		skips_locked;	/* of SKIP LOCKED */
	bool		ahead;			/* and nodes that look ahead */
} Descent;

static void
make_collector(const Descent *descent)
{
	IndexScanState *scan = (IndexScanState *) descent->node;
	PlanState  *node = descent->collects ? descent->collects : descent->node;
	EState	   *estate = node->state;
	MemoryContext old = MemoryContextSwitchTo(estate->es_query_cxt);
	Collector  *collector = palloc0(sizeof(Collector));
	MemoryContextCallback *callback = palloc0(sizeof(MemoryContextCallback));
	bool		found;

	collector->node = node;
	collector->next_row = node->ExecProcNodeReal;
	collector->scan = scan;
	collector->limit = descent->limit;
	collector->locks = descent->locks;
	collector->skips_locked = descent->skips_locked;
	collector->context = AllocSetContextCreate(estate->es_query_cxt,
											   "annoy collected rows",
											   ALLOCSET_DEFAULT_SIZES);
	for (const Descent *d = descent; d->node != node; d = d->above)
		collector->path_length++;
	collector->path = palloc(sizeof(PlanState *) *
							 Max(collector->path_length, 1));
	for (int i = 0; i < collector->path_length; i++, descent = descent->above)
		collector->path[i] = descent->node;
	if (node != &scan->ss.ps)
		collector->slot = MakeTupleTableSlot(ExecGetResultType(node),
											 &TTSOpsVirtual, 0);
	if (collectors == NULL)
		collectors = collectors_create(TopMemoryContext, 16, NULL);
	collectors_insert(collectors, node, &found)->collector = collector;
	callback->func = forget_collector;
	callback->arg = collector;
	MemoryContextRegisterResetCallback(estate->es_query_cxt, callback);
	ExecSetExecProcNode(node, next_collected_row);
	MemoryContextSwitchTo(old);
}

static bool
is_our_scan(const PlanState *node)
{
	const IndexScanState *scan = (const IndexScanState *) node;

	return IsA(node, IndexScanState) && scan->iss_NumOrderByKeys == 1 &&
		scan->iss_RelationDesc != NULL &&
		scan->iss_RelationDesc->rd_indam->ambeginscan == annoybeginscan;
}

/* Whether a node is a subplan of another, not one of its inputs. */
static bool
is_subplan(const PlanState *parent, const PlanState *node)
{
	ListCell   *cell;

	foreach(cell, parent->initPlan)
		if (lfirst_node(SubPlanState, cell)->planstate == node)
			return true;
	foreach(cell, parent->subPlan)
		if (lfirst_node(SubPlanState, cell)->planstate == node)
			return true;
	return false;
}

/* Whether rows of a node can be kept and given out later. */
static bool
can_keep_rows(PlanState *node)
{
	bool		fixed;

	return ExecGetResultSlotOps(node, &fixed) == &TTSOpsVirtual && fixed;
}

static bool
skips_locked(const LockRowsState *node)
{
	ListCell   *cell;

	foreach(cell, node->lr_arowMarks)
		if (((const ExecAuxRowMark *) lfirst(cell))->rowmark->waitPolicy == LockWaitSkip)
			return true;
	return false;
}

/*
 * What is above an input of a node: the LIMIT that counts its rows, if it still
 * does, and where they have to be collected then.
 */
static void
look_through(Descent *below, const Descent *parent)
{
	PlanState  *node = parent->node;
	bool		drops = node->qual != NULL;

	below->limit = parent->limit;
	below->collects = parent->collects;
	below->locks = parent->locks;
	below->skips_locked = parent->skips_locked;
	below->ahead = parent->ahead;
	switch (nodeTag(node))
	{
		case T_LimitState:
			below->limit = ((LimitState *) node)->limitCount ?
				(LimitState *) node : NULL;
			below->collects = NULL;
			below->locks = false;
			below->skips_locked = false;
			below->ahead = false;
			return;
		case T_LockRowsState:
			/* nothing is locked for collection */
			if (parent->collects)
				below->limit = NULL;
			below->locks = true;
			below->skips_locked |= skips_locked((const LockRowsState *) node);
			break;
		case T_ResultState:
		case T_SubqueryScanState:
			break;
		case T_ProjectSetState:
			drops = true;
			break;
		case T_NestLoopState:
			if (below->node != outerPlanState(node))
				below->limit = NULL;
			if (((NestLoopState *) node)->js.jointype != JOIN_LEFT)
				drops = true;
			break;
		case T_AppendState:
		case T_MergeAppendState:
		case T_IncrementalSortState:
			/* not below a point of collection */
			if (parent->collects)
				below->limit = NULL;
			below->ahead = true;
			break;
		default:
			below->limit = NULL;
			break;
	}
	/* which of the rows ahead were dropped is not known in time */
	if (below->locks && below->ahead)
		below->limit = NULL;
	if (drops && below->limit && below->collects == NULL)
	{
		if (can_keep_rows(node))
			below->collects = node;
		else
			below->limit = NULL;
	}
}

/* Finds the scans of our indexes in a plan that a LIMIT counts the rows of. */
static bool
find_scans(PlanState *node, void *argument)
{
	const Descent *above = argument;
	Descent		here = {.above = above,.node = node};

	check_stack_depth();
	if (above != NULL && !is_subplan(above->node, node))
		look_through(&here, above);
	if (here.limit && is_our_scan(node))
		make_collector(&here);
	return planstate_tree_walker(node, find_scans, &here);
}

/* ExecutorStart_hook */
static void
start_executor(QueryDesc *query, int eflags)
{
	if (next_start_hook)
		next_start_hook(query, eflags);
	else
		standard_ExecutorStart(query, eflags);
	if (query->planstate != NULL && !(eflags & EXEC_FLAG_EXPLAIN_ONLY))
		(void) find_scans(query->planstate, NULL);
}

void
AnnoyInitExecutor(void)
{
	next_start_hook = ExecutorStart_hook;
	ExecutorStart_hook = start_executor;
}

/*-------------------------------------------------------------------------
 *
 * plan.c
 *	  Plans that do not compute a distance a second time.
 *
 * ORDER BY embedding <-> query makes the distance a column of the plan, for
 * somebody may have to sort by it.  An ordered index scan has sorted already;
 * where the column is "junk" (in no output of the query) and nothing above the
 * scan but LIMIT sees it, it is computed for nothing.  That costs much: vectors
 * of more than 500 dimensions or so are TOASTed, and each distance fetches its
 * vector through the TOAST table and its index: more than all of the search on
 * data like Fashion-MNIST (784 dimensions).  So in such plans the column becomes
 * NULL.
 *
 * Only (sub)queries are changed whose plan is a scan of one of our indexes, with
 * nothing but LIMIT and row locks above it.  What is junk at the top of a
 * (sub)query is no column that anything outside could refer to.  That holds for
 * the queries inside of INSERT, UPDATE, DELETE and MERGE, too; what these
 * need themselves as junk are row identities, never what a scan orders by.
 *
 * The hook is there as soon as the library is loaded.  If the first query of a
 * session to use an index loads it, which happens while it is planned, then that
 * query alone computes its distances twice.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_class.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/planner.h"
#include "utils/syscache.h"

#include "annoy.h"
#include "annoycompat.h"

static planner_hook_type next_planner_hook = NULL;

/* Of the index paths whose cost was estimated in the present planning. */
static Oid	access_method = InvalidOid;

/* The subqueries in a plan. */
static void skip_distances(Plan *plan);

void
AnnoyNoteIndexPath(const IndexPath *path)
{
	access_method = path->indexinfo->relam;
}

static bool
is_our_scan(const Plan *plan)
{
	const IndexScan *scan = (const IndexScan *) plan;
	HeapTuple	tuple;
	bool		ours;

	if (!IsA(plan, IndexScan) || scan->indexorderby == NIL)
		return false;
	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(scan->indexid));
	/* a hypothetical index of an advisor is in no catalog */
	if (!HeapTupleIsValid(tuple))
		return false;
	ours = ((Form_pg_class) GETSTRUCT(tuple))->relam == access_method;
	ReleaseSysCache(tuple);
	return ours;
}

/* Makes a column of a scan NULL if it is what the scan orders by. */
static void
skip_distance(IndexScan *scan, AttrNumber column)
{
	TargetEntry *entry;

	if (column < 1 || column > list_length(scan->scan.plan.targetlist))
		return;
	entry = list_nth_node(TargetEntry, scan->scan.plan.targetlist, column - 1);
	if (entry->resno != column ||
		!list_member(scan->indexorderbyorig, entry->expr))
		return;
	entry->expr = (Expr *) makeNullConst(exprType((Node *) entry->expr),
										 exprTypmod((Node *) entry->expr),
										 exprCollation((Node *) entry->expr));
}

/*
 * Whether a plan hands on its input's rows as they are and does not look at
 * what they are ordered by.
 */
static bool
hands_on_rows(const Plan *plan)
{
	if (IsA(plan, Limit))
		return ((const Limit *) plan)->limitOption == LIMIT_OPTION_COUNT;
	return IsA(plan, LockRows);
}

/* The junk columns of the top of a (sub)query. */
static void
skip_junk(Plan *top)
{
	Plan	   *scan = top;
	ListCell   *cell;

	while (hands_on_rows(scan) && scan->lefttree != NULL)
		scan = scan->lefttree;
	if (!is_our_scan(scan))
		return;
	/* columns have the same numbers from the top down to the scan */
	foreach(cell, top->targetlist)
	{
		TargetEntry *entry = lfirst_node(TargetEntry, cell);

		if (entry->resjunk)
			skip_distance((IndexScan *) scan, entry->resno);
	}
}

static void
skip_distances_of_list(List *plans)
{
	ListCell   *cell;

	foreach(cell, plans)
		skip_distances((Plan *) lfirst(cell));
}

/* A whole (sub)query. */
static void
skip_distances_of_query(Plan *top)
{
	if (top == NULL)
		return;
	skip_junk(top);
	skip_distances(top);
}

static void
skip_distances(Plan *plan)
{
	if (plan == NULL)
		return;
	check_stack_depth();

	/* the top of a subquery whose own scan was removed as trivial */
	if (IsA(plan, Limit))
		skip_junk(plan);
	skip_distances(plan->lefttree);
	skip_distances(plan->righttree);
	switch (nodeTag(plan))
	{
		case T_Append:
			skip_distances_of_list(((Append *) plan)->appendplans);
			break;
		case T_MergeAppend:
			skip_distances_of_list(((MergeAppend *) plan)->mergeplans);
			break;
		case T_SubqueryScan:
			skip_distances_of_query(((SubqueryScan *) plan)->subplan);
			break;
		default:
			break;
	}
}

/* planner_hook; functions that are planned meanwhile come here, too. */
static PlannedStmt *
plan_query(ANNOY_PLANNER_PARAMETERS)
{
	Oid			outer_access_method = access_method;
	PlannedStmt *statement;

	access_method = InvalidOid;
	if (next_planner_hook)
		statement = next_planner_hook(ANNOY_PLANNER_ARGUMENTS);
	else
		statement = standard_planner(ANNOY_PLANNER_ARGUMENTS);
	if (OidIsValid(access_method))
	{
		ListCell   *cell;

		skip_distances_of_query(statement->planTree);
		foreach(cell, statement->subplans)
			skip_distances_of_query((Plan *) lfirst(cell));
	}
	access_method = outer_access_method;
	return statement;
}

void
AnnoyInitPlanner(void)
{
	next_planner_hook = planner_hook;
	planner_hook = plan_query;
}

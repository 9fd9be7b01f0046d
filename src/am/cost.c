/*-------------------------------------------------------------------------
 *
 * cost.c
 *	  What the planner is told about the cost of a scan.
 *
 * A scan inspects a budget of search_k leaf entries and ranks the promising
 * ones exactly before it returns the first row; that is the startup cost.  If
 * the rows taken exhaust the budget, it inspects as many entries again; in the
 * end every row of the table has been inspected, ranked and returned.
 *
 * Four things are particular to this access method.
 *
 * The work for r rows is no straight line in r, but the planner interpolates
 * between startup and total.  So where a LIMIT is known the line is laid
 * through the work at the number of rows that this LIMIT will take (those that
 * a filter throws away included), since that is where it will be read.
 *
 * A scan without a LIMIT ranks all rows and sorts them before the first one
 * (exhaustive.c): its startup cost is that of everything.
 *
 * Exact distances take rows of the table, most of which are not returned, and so
 * are not in what the server charges for rows that are.
 *
 * And the paths that we are compared with have to compute the distance of
 * every row that passes the filter.  Where vectors are stored out of line, as
 * most embeddings are, each such distance fetches a value from the TOAST
 * table, which the server's cost model does not count.  The comparison is made
 * even by taking off what the others are not charged, but for the rows that we
 * read too, from the page reads only: that ranks the paths as adding it to the
 * others would.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <float.h>
#include <math.h>

#include "access/genam.h"
#include "optimizer/cost.h"
#include "optimizer/optimizer.h"
#include "optimizer/plancat.h"
#include "utils/lsyscache.h"
#include "utils/spccache.h"

#include "annoy.h"
#include "annoycompat.h"
#include "definition/options.h"
#include "page/meta.h"

/* Average fill of a leaf, between a fresh split and a full page. */
#define LEAF_FILL 0.7

/*
 * Exact distances before the first row: a handful to find the row itself, and
 * a share of what was inspected whose lower bounds do not settle the matter.
 * (Fashion-MNIST needs 19 at 1,200 entries, GloVe-100 25 at 18,000.)
 */
#define EXACT_DISTANCES_BASE 10.0
#define EXACT_DISTANCES_SHARE (1.0 / 400)

/*
 * CPU time, in terms of cpu_operator_cost.  A page of a leaf, or of hyperplanes
 * or centroids, costs what a page costs in other indexes (see selfuncs.c, "50
 * operators"); ranking one more entry of a leaf takes one to two nanoseconds
 * in the kernel, a fiftieth of an operator call; a dimension of the query is
 * rotated, quantised and put into tables once.  A comparison in a heap is
 * inlined, but often waits for memory.
 */
#define OPERATORS_PER_PAGE 50.0
#define OPERATORS_PER_ENTRY 0.02
#define OPERATORS_PER_DIMENSION 0.2

/* Comparisons in the two heaps that an item ranked exactly passes through. */
#define OPERATORS_PER_COMPARISON 0.5
#define RANKING_HEAPS 2

/* Directory and hyperplane pages visited for each leaf (sparse at high d). */
#define UPPER_PAGES_PER_LEAF 1.0

/* Dimensions assumed where the index does not know them yet. */
#define ASSUMED_DIMENSIONS 256

/* Rows of a value's chunks in the TOAST table, and pages down its index. */
#define TOAST_INDEX_HEIGHT 2

/* What the estimate is made from. */
typedef struct ScanCost
{
	PlannerInfo *root;
	IndexOptInfo *index;
	double		loop_count;
	double		tuples;			/* rows in the index */
	double		search_k;		/* entries inspected at a time */
	int			n_trees;
	int			dimensions;
	double		value_size;		/* bytes of the elements of a vector */
	double		leaf_capacity;	/* entries on an average leaf */
	double		leaf_pages;		/* of the whole index */
	double		random_page_cost;
	double		seq_page_cost;
	double		distance_cost;	/* of one exact distance */
	double		selectivity;	/* of the filter, among rows in the index */
	double		detoast_cost;	/* of a row, that other paths are not charged */
} ScanCost;

/* Work for a number of rows, all scans of a nested loop on average. */
typedef struct ScanWork
{
	double		cpu;
	double		io;
	double		pages;
} ScanWork;

/*
 * Cost of a page when so many of so many are read.  As in
 * cost_bitmap_heap_scan, reading most of a file is no longer random access.
 */
static double
page_cost(const ScanCost *scan, double fetched, double total)
{
	double		share = fetched < total ? sqrt(fetched / total) : 1.0;

	return scan->random_page_cost -
		(scan->random_page_cost - scan->seq_page_cost) * share;
}

/*
 * Pages read, on average over the repetitions of a nested loop, which find
 * some of them in the cache.
 */
static double
pages_read(const ScanCost *scan, double reads, double total)
{
	total = Max(total, 1.0);
	return index_pages_fetched(reads * scan->loop_count, (BlockNumber) total,
							   scan->index->pages, scan->root) /
		scan->loop_count;
}

/* What the index says about itself. */
static void
describe_index(ScanCost *scan)
{
	AnnoyMetaPageData meta = {0};
	AnnoyLeafLayout layout;
	double		budget = ANNOY_AUTOMATIC;

	/* a hypothetical index of an advisor has no pages to read */
	if (!scan->index->hypothetical)
	{
		Relation	index = index_open(scan->index->indexoid, NoLock);

		AnnoyReadMeta(index, &meta);
		budget = AnnoyGetSearchK(index);
		if (annoy_search_k == ANNOY_AUTOMATIC && budget == ANNOY_AUTOMATIC)
			budget = AnnoyEstimateSearchK(&meta, scan->tuples);
		index_close(index, NoLock);
	}
	if (annoy_search_k != ANNOY_AUTOMATIC)
		budget = annoy_search_k;

	scan->n_trees = Max(meta.n_trees, 1);
	if (meta.dimensions <= 0)
	{
		meta.dimensions = ASSUMED_DIMENSIONS;
		meta.sketch_dimensions = AnnoySketchDimensions(meta.dimensions);
		meta.code_bits = 1;
	}
	AnnoyGetLeafLayout(&meta, &layout);
	scan->leaf_capacity = Max(1.0, layout.capacity * LEAF_FILL);
	scan->dimensions = meta.dimensions;
	scan->value_size = AnnoyEstimateValueSize(&meta);
	scan->search_k = budget > 0 ? budget : sqrt(scan->tuples);
}

/* Sizes of the index's parts.  The forest's shape gives them, near enough. */
static void
measure_index(ScanCost *scan)
{
	scan->leaf_pages = Max(1.0, ceil(scan->n_trees * scan->tuples /
									 scan->leaf_capacity));
	scan->leaf_pages = Min(scan->leaf_pages, Max(scan->index->pages, 1.0));
}

/* Cost of one call of the operator class's distance function. */
static double
distance_cost(const ScanCost *scan)
{
	Oid			opfamily = scan->index->opfamily[0];
	Oid			type = scan->index->opcintype[0];
	Oid			function = get_opfamily_proc(opfamily, type, type,
											 ANNOY_DISTANCE_PROC);
	QualCost	cost = {0};

	if (OidIsValid(function))
		add_function_cost(scan->root, function, NULL, &cost);
	return cost.per_tuple;
}

/*
 * What the competing paths are not charged: fetching the vector of a row from
 * the TOAST table.  Counted low, as if the fetches were in the order of the
 * table.
 */
static double
detoast_cost(const ScanCost *scan)
{
	RelOptInfo *rel = scan->index->rel;
	double		bytes = scan->value_size;

	/* an expression may be made from anything */
	if (scan->index->indexkeys[0] == 0)
		return 0;

	/* the vectors do not fit into the table's own pages: they are elsewhere */
	if (rel->pages * (double) BLCKSZ > rel->tuples * bytes / 2)
		return 0;

	return bytes / BLCKSZ * scan->seq_page_cost +
		TOAST_INDEX_HEIGHT * OPERATORS_PER_PAGE * cpu_operator_cost +
		cpu_index_tuple_cost;
}

/* The work of returning the first so many rows. */
static ScanWork
estimate_work(const ScanCost *scan, double rows)
{
	ScanWork	work;
	double		inspected;
	double		exact;
	double		leaves;
	double		leaf_reads;
	double		table_pages = Max(scan->index->rel->pages, 1.0);
	double		table_reads;
	double		uncharged;

	/* an item is met once in each tree */
	inspected = Min(Max(scan->search_k, rows * scan->n_trees),
					scan->tuples * scan->n_trees);
	exact = Min(EXACT_DISTANCES_BASE + rows +
				inspected * EXACT_DISTANCES_SHARE, scan->tuples);
	exact = Max(exact, 1.0);

	leaves = Min(Max(ceil(inspected / scan->leaf_capacity), 1.0),
				 scan->leaf_pages);
	/* one scan never reads a leaf twice */
	leaf_reads = scan->loop_count > 1 ?
		pages_read(scan, leaves, scan->leaf_pages) : leaves;
	table_reads = pages_read(scan, exact, table_pages);

	/* directories and hyperplanes are few and used all the time: no I/O */
	work.cpu = cpu_operator_cost *
		(OPERATORS_PER_PAGE * leaves * (1 + UPPER_PAGES_PER_LEAF) +
		 OPERATORS_PER_ENTRY * inspected) +
		exact * (scan->distance_cost + cpu_index_tuple_cost +
				 RANKING_HEAPS * OPERATORS_PER_COMPARISON *
				 cpu_operator_cost * log2(exact + 1));
	work.io = leaf_reads * page_cost(scan, leaf_reads, scan->leaf_pages) +
		table_reads * page_cost(scan, table_reads, table_pages);
	uncharged = scan->detoast_cost *
		Max(scan->index->rel->rows - exact, 0.0);
	work.io = Max(work.io - uncharged, 0.0);
	work.pages = leaf_reads;
	return work;
}

/*
 * The work of listing all rows in the order of the table, ranking and sorting
 * them, as cost_sort has it.
 */
static ScanWork
estimate_whole(const ScanCost *scan)
{
	ScanWork	work;
	double		sort = 2.0 * cpu_operator_cost * log2(scan->tuples + 1);
	double		per_row = scan->distance_cost + cpu_index_tuple_cost +
		cpu_tuple_cost + 2.0 * sort;

	work.cpu = scan->tuples * per_row;
	work.io = (scan->leaf_pages + scan->index->rel->pages) * scan->seq_page_cost;
	work.pages = scan->leaf_pages;
	return work;
}

/*
 * Whether the scan will be wanted whole.  What is known while paths are made
 * errs on the side of a LIMIT: it may stand above a subquery, or be given to
 * a cursor.
 */
static bool
is_wanted_whole(const PlannerInfo *root)
{
	const Query *query = root->parse;

	if (annoy_iterative_scan != ANNOY_SCAN_STRICT || root->limit_tuples > 0)
		return false;
	return root->tuple_fraction == 0 || query->hasWindowFuncs ||
		query->hasAggs || query->groupClause || query->distinctClause;
}

/*
 * Rows that a scan will probably be asked for: those that a filter lets pass
 * are the LIMIT's.
 */
static double
expected_rows(const ScanCost *scan)
{
	double		limit = scan->root->limit_tuples;

	if (limit <= 0 || limit >= scan->selectivity * scan->tuples)
		return scan->tuples;
	return limit / scan->selectivity;
}

/* amcostestimate */
void
annoycostestimate(struct PlannerInfo *root, struct IndexPath *path,
				  double loop_count, Cost *startup_cost, Cost *total_cost,
				  Selectivity *selectivity, double *correlation,
				  double *pages)
{
	RelOptInfo *rel = path->indexinfo->rel;
	ScanCost	scan = {0};
	ScanWork	first;
	ScanWork	all;
	double		rows;
	double		prepare;

	/*
	 * Without an ordering operator there is no query vector: the path exists
	 * because a partial index's predicate is implied, say.  With two of them
	 * the second would have to order rows at equal distance.  Infinity itself
	 * would leave the server with infinity minus infinity.
	 */
	if (list_length(path->indexorderbys) != 1)
	{
		*startup_cost = DBL_MAX;
		*total_cost = DBL_MAX;
		*selectivity = 1;
		*correlation = 0;
		*pages = path->indexinfo->pages;
		AnnoyDisablePath(path);
		return;
	}

	AnnoyNoteIndexPath(path);
	scan.root = root;
	scan.index = path->indexinfo;
	scan.loop_count = Max(loop_count, 1.0);
	scan.tuples = Max(path->indexinfo->tuples, 1.0);
	get_tablespace_page_costs(path->indexinfo->reltablespace,
							  &scan.random_page_cost, &scan.seq_page_cost);
	describe_index(&scan);
	measure_index(&scan);
	scan.distance_cost = distance_cost(&scan);
	scan.detoast_cost = detoast_cost(&scan);
	scan.selectivity = Min(rel->rows / scan.tuples, 1.0);

	prepare = OPERATORS_PER_DIMENSION * cpu_operator_cost * scan.dimensions;
	rows = expected_rows(&scan);
	first = estimate_work(&scan, 1);
	all = estimate_work(&scan, Max(rows, 1.0));

	*startup_cost = prepare + first.cpu + first.io;
	*total_cost = *startup_cost +
		Max(all.cpu - first.cpu + all.io - first.io, 0.0) * (scan.tuples / rows);
	if (is_wanted_whole(root))
	{
		all = estimate_whole(&scan);
		*startup_cost = prepare + all.cpu + all.io;
		*total_cost = *startup_cost;
	}
	*pages = all.pages;

	/*
	 * There is no condition in the index, so all of its rows are returned: the
	 * whole table's, or those of a partial index.
	 */
	*selectivity = rel->tuples > 0 ? Min(scan.tuples / rel->tuples, 1.0) : 1.0;

	/* nearest neighbours lie anywhere in the table */
	*correlation = 0;
}

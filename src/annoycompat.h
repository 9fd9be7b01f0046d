/*-------------------------------------------------------------------------
 *
 * annoycompat.h
 *	  Differences between PostgreSQL 15 and 19.
 *
 * Every test of PG_VERSION_NUM in the project is in this file.  Each block
 * gives all versions the interface of the newest one where that is possible,
 * and a name of our own where it is not.  Include it after postgres.h; a file
 * that defines SQL-callable functions must include it before it uses
 * PG_FUNCTION_INFO_V1.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ANNOYCOMPAT_H
#define ANNOYCOMPAT_H

#include "access/amapi.h"
#include "access/genam.h"
#include "access/relscan.h"
#include "access/tableam.h"
#include "access/tupdesc.h"
#include "catalog/pg_type.h"
#include "commands/vacuum.h"
#include "fmgr.h"
#include "nodes/execnodes.h"
#include "nodes/pathnodes.h"
#include "optimizer/optimizer.h"
#include "pgstat.h"
#include "storage/buf_internals.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "utils/guc.h"
#include "utils/rel.h"
#include "utils/tuplesort.h"

#if PG_VERSION_NUM < 150000
#error "annoy needs PostgreSQL 15 or newer"
#endif

/*
 * 16 moved the varlena macros to a header of their own, and made symbols of
 * loadable modules hidden by default, with PGDLLEXPORT to show them.  We build
 * with hidden symbols everywhere, so 15 needs PGDLLEXPORT to mean something,
 * also for the functions that PG_FUNCTION_INFO_V1 declares.
 */
#if PG_VERSION_NUM >= 160000
#include "varatt.h"
#elif defined(__GNUC__)
#undef PGDLLEXPORT
#define PGDLLEXPORT __attribute__((visibility("default")))

#undef PG_FUNCTION_INFO_V1
#define PG_FUNCTION_INFO_V1(funcname) \
extern PGDLLEXPORT Datum funcname(PG_FUNCTION_ARGS); \
extern PGDLLEXPORT const Pg_finfo_record *CppConcat(pg_finfo_, funcname) (void); \
const Pg_finfo_record * \
CppConcat(pg_finfo_, funcname) (void) \
{ \
	static const Pg_finfo_record info = {1}; \
\
	return &info; \
} \
extern int	no_such_variable
#endif

/*
 * 16 brought soft errors: input functions report bad input to a context that
 * the caller may have given.  Before, all errors are hard.
 */
#if PG_VERSION_NUM < 160000
#define errsave(context, ...) \
	do { (void) (context); ereport(ERROR, __VA_ARGS__); } while (0)
#define ereturn(context, dummy_value, ...) \
	do { \
		(void) (context); \
		ereport(ERROR, __VA_ARGS__); \
		return dummy_value; \
	} while (0)
#endif

/* 17 has a process know its kind, where it asked the autovacuum code before. */
#if PG_VERSION_NUM < 170000
#define AmAutoVacuumWorkerProcess() IsAutoVacuumWorkerProcess()
#endif

/* 18 puts this in front of a declaration, where C11 has _Noreturn. */
#if PG_VERSION_NUM < 180000
#define pg_noreturn _Noreturn
#endif

/* 18 lets a module tell its name and version. */
#if PG_VERSION_NUM >= 180000
#define ANNOY_MODULE_MAGIC(module, release) \
	PG_MODULE_MAGIC_EXT(.name = module, .version = release)
#else
#define ANNOY_MODULE_MAGIC(module, release) PG_MODULE_MAGIC
#endif

/*
 * 19 lets table scans be given hints, of which we have none, wants to know when
 * a tuple descriptor is complete, and names the attribute of a case that goes
 * on with the next.
 */
#if PG_VERSION_NUM < 190000
#define SO_NONE 0
#define table_beginscan_parallel(relation, scan, flags) \
	table_beginscan_parallel(relation, scan)
#define TupleDescFinalize(desc) ((void) (desc))
#define pg_fallthrough __attribute__((fallthrough))
#endif

/*
 * Adds one block to a relation and returns its buffer, exclusively locked and
 * all zeroes.  16 takes the lock itself.  Before, callers may leave it out for
 * a relation of their own transaction, but workers of a build extend it too.
 */
static inline Buffer
AnnoyExtendRelation(Relation relation, ForkNumber fork)
{
#if PG_VERSION_NUM >= 160000
	return ExtendBufferedRel(BMR_REL(relation), fork, NULL, EB_LOCK_FIRST);
#else
	Buffer		buffer;

	LockRelationForExtension(relation, ExclusiveLock);
	buffer = ReadBufferExtended(relation, fork, P_NEW, RBM_ZERO_AND_LOCK,
								NULL);
	UnlockRelationForExtension(relation, ExclusiveLock);
	return buffer;
#endif
}

/*
 * The same for several blocks, which are pinned, all zeroes, and not locked.
 * For relations that several processes extend at the same time: they wait for
 * each other less often.
 */
static inline void
AnnoyExtendRelationBy(Relation relation, ForkNumber fork, int count,
					  Buffer *buffers)
{
	int			done = 0;

#if PG_VERSION_NUM >= 160000
	while (done < count)
	{
		uint32		extended;

		(void) ExtendBufferedRelBy(BMR_REL(relation), fork, NULL, 0,
								   count - done, buffers + done, &extended);
		done += extended;
	}
#else
	LockRelationForExtension(relation, ExclusiveLock);
	for (; done < count; done++)
		buffers[done] = ReadBufferExtended(relation, fork, P_NEW, RBM_NORMAL,
										   NULL);
	UnlockRelationForExtension(relation, ExclusiveLock);
#endif
}

/*
 * How many workers the server would have take part in building an index.  17
 * has planned it when it calls ambuild of a method with amcanbuildparallel;
 * before, it plans for B-trees only.
 */
static inline int
AnnoyPlanBuildWorkers(Relation heap, Relation index,
					  struct IndexInfo *index_info)
{
#if PG_VERSION_NUM >= 170000
	(void) heap;
	(void) index;
	return index_info->ii_ParallelWorkers;
#else
	(void) index_info;
	return plan_create_index_workers(RelationGetRelid(heap),
									 RelationGetRelid(index));
#endif
}

/*
 * Keeps values of a column of a tuple descriptor from getting short headers in
 * tuples.  18 has what tuples need to know in a compact copy of the attribute.
 */
static inline void
AnnoySetPlainStorage(TupleDesc desc, AttrNumber attribute)
{
	TupleDescAttr(desc, attribute - 1)->attstorage = TYPSTORAGE_PLAIN;
#if PG_VERSION_NUM >= 180000
	populate_compact_attribute(desc, attribute - 1);
#endif
}

/*
 * Pins a block if it is still in a certain buffer; 16 renamed the relation's
 * file.
 */
static inline bool
AnnoyReadRecentBuffer(Relation relation, BlockNumber block, Buffer buffer)
{
#if PG_VERSION_NUM >= 160000
	bool		found = ReadRecentBuffer(relation->rd_locator, MAIN_FORKNUM,
										 block, buffer);
#else
	bool		found = ReadRecentBuffer(relation->rd_node, MAIN_FORKNUM,
										 block, buffer);
#endif

	if (found)
	{
		pgstat_count_buffer_read(relation);
		pgstat_count_buffer_hit(relation);
	}
	return found;
}

/* The arguments of planner_hook: 19 added one. */
#if PG_VERSION_NUM >= 190000
#define ANNOY_PLANNER_PARAMETERS \
	Query *parse, const char *query_string, int cursor_options, \
	ParamListInfo bound_params, struct ExplainState *explain_state
#define ANNOY_PLANNER_ARGUMENTS \
	parse, query_string, cursor_options, bound_params, explain_state
#else
#define ANNOY_PLANNER_PARAMETERS \
	Query *parse, const char *query_string, int cursor_options, \
	ParamListInfo bound_params
#define ANNOY_PLANNER_ARGUMENTS \
	parse, query_string, cursor_options, bound_params
#endif

/*
 * Shared buffers' headers, looked at without a lock: whether the buffer has been
 * used so little of late that clock sweep will soon take it, and a request to
 * the processor for the header, to be changed soon.  19 made the state longer.
 */
static inline bool
AnnoyBufferIsWorn(Buffer buffer)
{
	BufferDesc *header;

	if (BufferIsLocal(buffer))
		return true;
	header = GetBufferDescriptor(buffer - 1);
#if PG_VERSION_NUM >= 190000
	return BUF_STATE_GET_USAGECOUNT(pg_atomic_read_u64(&header->state)) < 2;
#else
	return BUF_STATE_GET_USAGECOUNT(pg_atomic_read_u32(&header->state)) < 2;
#endif
}

static inline void
AnnoyPrefetchBufferHeader(Buffer buffer)
{
	__builtin_prefetch(GetBufferDescriptor(buffer - 1), 1);
}

/*
 * The next value of a sorted set of Datums passed by value; false at the end.
 * 16 lets the caller say whether those passed by reference are copied.
 */
static inline bool
AnnoyGetSortedDatum(Tuplesortstate *sort, Datum *value)
{
	bool		isnull;

#if PG_VERSION_NUM >= 160000
	return tuplesort_getdatum(sort, true, false, value, &isnull, NULL);
#else
	return tuplesort_getdatum(sort, true, value, &isnull, NULL);
#endif
}

/*
 * For functions that run code of a table's owner: 17 takes the caller's schemas
 * off the search path (until AtEOXact_GUC undoes it).
 */
static inline void
AnnoyRestrictSearchPath(void)
{
#if PG_VERSION_NUM >= 170000
	RestrictSearchPath();
#endif
}

/* 18 lets a delay point know whether it belongs to an ANALYZE. */
static inline void
AnnoyVacuumDelayPoint(void)
{
#if PG_VERSION_NUM >= 180000
	vacuum_delay_point(false);
#else
	vacuum_delay_point();
#endif
}

/*
 * Begins a scan in the order of one distance.  18 can tell EXPLAIN about it,
 * and 19 takes hints for reading the table; neither is of use to a function.
 */
static inline IndexScanDesc
AnnoyBeginOrderedScan(Relation heap, Relation index, Snapshot snapshot)
{
#if PG_VERSION_NUM >= 190000
	return index_beginscan(heap, index, snapshot, NULL, 0, 1, SO_NONE);
#elif PG_VERSION_NUM >= 180000
	return index_beginscan(heap, index, snapshot, NULL, 0, 1);
#else
	return index_beginscan(heap, index, snapshot, 0, 1);
#endif
}

/*
 * Counts one search of the index for the statistics views and, from 18 on,
 * for EXPLAIN ANALYZE.  Called once for each rescan.
 */
static inline void
AnnoyCountIndexScan(IndexScanDesc scan)
{
	pgstat_count_index_scan(scan->indexRelation);
#if PG_VERSION_NUM >= 180000
	if (scan->instrument)
		scan->instrument->nsearches++;
#endif
}

/*
 * Marks a path that must never be used.  18 compares the number of disabled
 * nodes before it compares costs; 2 is more than any path gets by a planner
 * setting.
 */
static inline void
AnnoyDisablePath(IndexPath *path)
{
#if PG_VERSION_NUM >= 180000
	path->path.disabled_nodes = 2;
#else
	(void) path;
#endif
}

/*
 * Fields that IndexAmRoutine got after 15, for the end of its initialiser.
 * All that is not named is false or NULL.
 */
#if PG_VERSION_NUM >= 180000
#define ANNOY_ROUTINE_FIELDS_18 \
	.amcanhash = false, \
	.amconsistentequality = false, \
	.amconsistentordering = false, \
	.amgettreeheight = NULL, \
	.amtranslatestrategy = NULL, \
	.amtranslatecmptype = NULL,
#else
#define ANNOY_ROUTINE_FIELDS_18
#endif

#if PG_VERSION_NUM >= 170000
#define ANNOY_ROUTINE_FIELDS_17 \
	.amcanbuildparallel = true, \
	.aminsertcleanup = NULL,
#else
#define ANNOY_ROUTINE_FIELDS_17
#endif

#if PG_VERSION_NUM >= 160000
#define ANNOY_ROUTINE_FIELDS_16 \
	.amsummarizing = false,
#else
#define ANNOY_ROUTINE_FIELDS_16
#endif

#define ANNOY_NEWER_ROUTINE_FIELDS \
	ANNOY_ROUTINE_FIELDS_16 \
	ANNOY_ROUTINE_FIELDS_17 \
	ANNOY_ROUTINE_FIELDS_18

/*
 * Up to 18 the server frees what a handler returns; from 19 on it keeps the
 * pointer for ever.
 */
static inline const IndexAmRoutine *
AnnoyCopyRoutine(const IndexAmRoutine *routine)
{
#if PG_VERSION_NUM >= 190000
	return routine;
#else
	IndexAmRoutine *copy = palloc(sizeof(IndexAmRoutine));

	memcpy(copy, routine, sizeof(IndexAmRoutine));
	return copy;
#endif
}

#endif							/* ANNOYCOMPAT_H */

/*-------------------------------------------------------------------------
 *
 * annoycompat.h
 *	  Differences between PostgreSQL 15 and 19.
 *
 * Every test of PG_VERSION_NUM in the project is in this file, one for each
 * version.  It gives older versions the interface of the newest one where that
 * is possible, and all a name of our own where it is not.  Include it after
 * postgres.h; a file that defines SQL-callable functions must include it before
 * it uses PG_FUNCTION_INFO_V1.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ANNOYCOMPAT_H
#define ANNOYCOMPAT_H

#include "access/amapi.h"
#include "access/genam.h"
#include "access/gist_private.h"
#include "access/relscan.h"
#include "access/tableam.h"
#include "access/toast_internals.h"
#include "access/tupdesc.h"
#include "catalog/pg_proc.h"
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
#include "utils/acl.h"
#include "utils/guc.h"
#include "utils/rel.h"
#include "utils/tuplesort.h"

#if PG_VERSION_NUM < 150000
#error "annoy needs PostgreSQL 15 or newer"
#endif

/* ---------------------------------------------------------------------
 * 16
 *
 * It moved the varlena macros to a header of their own, and made symbols of
 * loadable modules hidden by default, with PGDLLEXPORT to show them.  We build
 * with hidden symbols everywhere, so 15 needs PGDLLEXPORT to mean something,
 * also for the functions that PG_FUNCTION_INFO_V1 declares.
 *
 * Input functions report bad input to a context that the caller may have given.
 * In 15 all errors are hard.
 *
 * The server extends relations by several blocks, and takes the lock for it.  In
 * 15 callers take it, which they may leave out for a relation of their own
 * transaction, but workers of a build extend it too.
 *
 * A relation's file has another name, and who reads a set of sorted Datums says
 * whether those passed by reference are copied.  One function checks privileges
 * on most kinds of objects.  Records that standbys have to agree with tell
 * whether it is about a catalog, by the table.
 * ---------------------------------------------------------------------
 */
#if PG_VERSION_NUM >= 160000
#include "varatt.h"
#else
#ifdef __GNUC__
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

#define errsave(context, ...) \
	do { (void) (context); ereport(ERROR, __VA_ARGS__); } while (0)
#define ereturn(context, dummy_value, ...) \
	do { \
		(void) (context); \
		ereport(ERROR, __VA_ARGS__); \
		return dummy_value; \
	} while (0)

#define rd_locator rd_node
#define gistXLogPageReuse(index, heap, block, xid) \
	gistXLogPageReuse(index, block, xid)
#define tuplesort_getdatum(sort, forward, copy, value, isnull, abbreviated) \
	tuplesort_getdatum(sort, forward, value, isnull, abbreviated)

static inline AclResult
object_aclcheck(Oid class, Oid object, Oid role, AclMode mode)
{
	return class == ProcedureRelationId ?
		pg_proc_aclcheck(object, role, mode) :
		pg_namespace_aclcheck(object, role, mode);
}

#define BMR_REL(relation) (relation)
#define EB_LOCK_FIRST 1

static inline BlockNumber
ExtendBufferedRelBy(Relation relation, ForkNumber fork,
					BufferAccessStrategy strategy, uint32 flags, uint32 count,
					Buffer *buffers, uint32 *extended)
{
	LockRelationForExtension(relation, ExclusiveLock);
	for (*extended = 0; *extended < count; (*extended)++)
		buffers[*extended] =
			ReadBufferExtended(relation, fork, P_NEW,
							   flags & EB_LOCK_FIRST && *extended == 0 ?
							   RBM_ZERO_AND_LOCK : RBM_NORMAL, strategy);
	UnlockRelationForExtension(relation, ExclusiveLock);
	return BufferGetBlockNumber(buffers[0]);
}

static inline Buffer
ExtendBufferedRel(Relation relation, ForkNumber fork,
				  BufferAccessStrategy strategy, uint32 flags)
{
	Buffer		buffer;
	uint32		extended;

	(void) ExtendBufferedRelBy(relation, fork, strategy, flags, 1, &buffer,
							   &extended);
	return buffer;
}
#endif							/* PG_VERSION_NUM >= 160000 */

/* ---------------------------------------------------------------------
 * 17
 *
 * A process knows its kind, where it asked the autovacuum code before.
 *
 * There is no old_snapshot_threshold any more.  Before, who has locked a page
 * from which VACUUM removes has to ask whether rows that the snapshot sees may
 * be gone.
 *
 * When the server calls ambuild of a method with amcanbuildparallel it has
 * planned how many workers take part; before, it plans for B-trees only.
 * Fields of IndexAmRoutine that later versions added and that are not named here
 * are false or NULL.
 * ---------------------------------------------------------------------
 */
#if PG_VERSION_NUM >= 170000
#define AnnoyTestForOldSnapshot(snapshot, index, page) ((void) 0)
#define AnnoyPlanBuildWorkers(heap, index, index_info) \
	((index_info)->ii_ParallelWorkers)
#define ANNOY_NEWER_ROUTINE_FIELDS .amcanbuildparallel = true,
#else
#define AmAutoVacuumWorkerProcess() IsAutoVacuumWorkerProcess()
#define AnnoyTestForOldSnapshot(snapshot, index, page) \
	TestForOldSnapshot(snapshot, index, page)
#define AnnoyPlanBuildWorkers(heap, index, index_info) \
	plan_create_index_workers(RelationGetRelid(heap), RelationGetRelid(index))
#define ANNOY_NEWER_ROUTINE_FIELDS
#endif

/* ---------------------------------------------------------------------
 * 18
 *
 * A module tells its name and version, a delay point whether it belongs to an
 * ANALYZE, and a function that it does not return in front of its declaration,
 * where C11 has _Noreturn.
 *
 * What tuples need to know of a column is in a compact copy of the attribute.
 *
 * Who begins an index scan may have searches counted for EXPLAIN ANALYZE.
 *
 * The planner compares the number of disabled nodes before it compares costs; 2
 * is more than any path gets by a planner setting.
 * ---------------------------------------------------------------------
 */
#if PG_VERSION_NUM >= 180000
#define AnnoyGetToastSnapshot() get_toast_snapshot()
#define ANNOY_MODULE_MAGIC(module, release) \
	PG_MODULE_MAGIC_EXT(.name = module, .version = release)
#define ANNOY_COUNT_SEARCH(scan) \
	((void) ((scan)->instrument && (scan)->instrument->nsearches++))
/* Marks an IndexPath that must never be used. */
#define AnnoyDisablePath(index_path) \
	((void) ((index_path)->path.disabled_nodes = 2))
#else
static inline Snapshot
AnnoyGetToastSnapshot(void)
{
	static SnapshotData toast;

	init_toast_snapshot(&toast);
	return &toast;
}
#define ANNOY_MODULE_MAGIC(module, release) PG_MODULE_MAGIC
#define ANNOY_COUNT_SEARCH(scan) ((void) 0)
#define AnnoyDisablePath(index_path) ((void) 0)
#define pg_noreturn _Noreturn
#define vacuum_delay_point(is_analyze) vacuum_delay_point()
#define populate_compact_attribute(desc, attribute) ((void) 0)
#define index_beginscan(heap, index, snapshot, instrument, keys, orders) \
	index_beginscan(heap, index, snapshot, keys, orders)
#endif

/* ---------------------------------------------------------------------
 * 19
 *
 * Scans of tables, also by way of an index, and slots can be given hints, of
 * which we have none.  A tuple descriptor is declared complete, and a case that goes on with
 * the next has an attribute.
 *
 * The planner's hook has one more argument, a plan's result relations are a set,
 * and a buffer's state is longer.  What a node measures is a type of its own.
 *
 * The server keeps what the handler of an access method returns; before, it
 * frees it.
 * ---------------------------------------------------------------------
 */
#if PG_VERSION_NUM >= 190000
#define ANNOY_BEGIN_INDEX_SCAN(...) index_beginscan(__VA_ARGS__, SO_NONE)
#define AnnoyBeginIndexFetch(heap) table_index_fetch_begin(heap, SO_NONE)
#define ANNOY_BUFFER_STATE(header) pg_atomic_read_u64(&(header)->state)
#define ANNOY_COPIES_ROUTINE false
#define ANNOY_RESULT_RELATIONS(plan) ((plan)->resultRelationRelids)
#define ANNOY_PLANNER_PARAMETERS \
	Query *parse, const char *query_string, int cursor_options, \
	ParamListInfo bound_params, struct ExplainState *explain_state
#define ANNOY_PLANNER_ARGUMENTS \
	parse, query_string, cursor_options, bound_params, explain_state
#else
#define ANNOY_BEGIN_INDEX_SCAN(...) index_beginscan(__VA_ARGS__)
#define AnnoyBeginIndexFetch(heap) table_index_fetch_begin(heap)
#define NodeInstrumentation Instrumentation
#define ANNOY_BUFFER_STATE(header) pg_atomic_read_u32(&(header)->state)
#define ANNOY_COPIES_ROUTINE true
#define ANNOY_RESULT_RELATIONS(plan) \
	AnnoyMakeRelids((plan)->resultRelations)

static inline Bitmapset *
AnnoyMakeRelids(const List *relations)
{
	Bitmapset  *relids = NULL;
	ListCell   *cell;

	foreach(cell, relations)
		relids = bms_add_member(relids, lfirst_int(cell));
	return relids;
}
#define ANNOY_PLANNER_PARAMETERS \
	Query *parse, const char *query_string, int cursor_options, \
	ParamListInfo bound_params
#define ANNOY_PLANNER_ARGUMENTS \
	parse, query_string, cursor_options, bound_params
#define SO_NONE 0
#define table_beginscan_parallel(relation, scan, flags) \
	table_beginscan_parallel(relation, scan)
#define MakeTupleTableSlot(desc, callbacks, flags) \
	MakeTupleTableSlot(desc, callbacks)
#define TupleDescFinalize(desc) ((void) 0)
#endif

/* ---------------------------------------------------------------------
 * For all versions
 * ---------------------------------------------------------------------
 */

/* Adds one block to a relation: exclusively locked and all zeroes. */
static inline Buffer
AnnoyExtendRelation(Relation relation, ForkNumber fork)
{
	return ExtendBufferedRel(BMR_REL(relation), fork, NULL, EB_LOCK_FIRST);
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

	while (done < count)
	{
		uint32		extended;

		(void) ExtendBufferedRelBy(BMR_REL(relation), fork, NULL, 0,
								   count - done, buffers + done, &extended);
		done += extended;
	}
}

/*
 * Keeps values of a column of a tuple descriptor from getting short headers in
 * tuples.
 */
static inline void
AnnoySetPlainStorage(TupleDesc desc, AttrNumber attribute)
{
	TupleDescAttr(desc, attribute - 1)->attstorage = TYPSTORAGE_PLAIN;
	populate_compact_attribute(desc, attribute - 1);
}

/* Pins a block if it is still in a certain buffer. */
static inline bool
AnnoyReadRecentBuffer(Relation relation, BlockNumber block, Buffer buffer)
{
	if (!ReadRecentBuffer(relation->rd_locator, MAIN_FORKNUM, block, buffer))
		return false;
	pgstat_count_buffer_read(relation);
	pgstat_count_buffer_hit(relation);
	return true;
}

/*
 * Shared buffers' headers, looked at without a lock: whether the buffer has been
 * used so little of late that clock sweep will soon take it, and a request to
 * the processor for the header, to be changed soon.
 */
static inline bool
AnnoyBufferIsWorn(Buffer buffer)
{
	return BufferIsLocal(buffer) ||
		BUF_STATE_GET_USAGECOUNT(ANNOY_BUFFER_STATE(GetBufferDescriptor(buffer - 1))) < 2;
}

static inline void
AnnoyPrefetchBufferHeader(Buffer buffer)
{
	__builtin_prefetch(GetBufferDescriptor(buffer - 1), 1);
}

/*
 * The next value of a sorted set of Datums passed by value; false at the end.
 */
static inline bool
AnnoyGetSortedDatum(Tuplesortstate *sort, Datum *value)
{
	bool		isnull;

	return tuplesort_getdatum(sort, true, false, value, &isnull, NULL);
}

static inline void
AnnoyVacuumDelayPoint(void)
{
	vacuum_delay_point(false);
}

/* Begins a scan in the order of one distance. */
static inline IndexScanDesc
AnnoyBeginOrderedScan(Relation heap, Relation index, Snapshot snapshot)
{
	return ANNOY_BEGIN_INDEX_SCAN(heap, index, snapshot, NULL, 0, 1);
}

/* Begins a scan of all rows that fulfil so many conditions. */
static inline IndexScanDesc
AnnoyBeginScanOfKeys(Relation heap, Relation index, Snapshot snapshot, int keys)
{
	return ANNOY_BEGIN_INDEX_SCAN(heap, index, snapshot, NULL, keys, 0);
}

/*
 * Counts one search of the index for the statistics views and for EXPLAIN
 * ANALYZE.  Called once for each rescan.
 */
static inline void
AnnoyCountIndexScan(IndexScanDesc scan)
{
	pgstat_count_index_scan(scan->indexRelation);
	ANNOY_COUNT_SEARCH(scan);
}

/* What a handler returns, given its routine. */
static inline const IndexAmRoutine *
AnnoyCopyRoutine(const IndexAmRoutine *routine)
{
	return ANNOY_COPIES_ROUTINE ?
		memcpy(palloc(sizeof(IndexAmRoutine)), routine, sizeof(IndexAmRoutine)) :
		routine;
}

#endif							/* ANNOYCOMPAT_H */

/*-------------------------------------------------------------------------
 *
 * estimatorinfo.c
 *	  The estimator's parameters and what it tells about itself.
 *
 * The keys are the estimator's own.  annoy_get_params gives what is set, as ALTER
 * INDEX ... SET left it; annoy_info gives what the index was built with, where
 * the next REINDEX would build it otherwise, what with, under keys that end in
 * _after_reindex, and what the estimator has not.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/table.h"
#include "catalog/pg_type_d.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "nodes/pg_list.h"
#include "storage/bufmgr.h"
#include "utils/builtins.h"
#include "utils/float.h"
#include "utils/fmgrprotos.h"
#include "utils/json.h"
#include "utils/jsonb.h"
#include "utils/rel.h"

#include "am/scan.h"
#include "annoy.h"
#include "annoycompat.h"
#include "arith/kernel.h"
#include "definition/options.h"
#include "estimator/estimator.h"
#include "page/meta.h"
#include "table/indexaccess.h"
#include "table/rows.h"

PG_FUNCTION_INFO_V1(annoy_info);
PG_FUNCTION_INFO_V1(annoy_repr_info);
PG_FUNCTION_INFO_V1(annoy_get_params);
PG_FUNCTION_INFO_V1(annoy_n_items);
PG_FUNCTION_INFO_V1(annoy_n_trees);
PG_FUNCTION_INFO_V1(annoy_memory_usage);
PG_FUNCTION_INFO_V1(annoy_version);

#define BYTES_PER_MIB (1024.0 * 1024.0)

#ifdef __clang__
#define COMPILER "clang " __clang_version__
#else
#define COMPILER "gcc " __VERSION__
#endif

/* One parameter or figure, its value as text. */
typedef struct Entry
{
	const char *key;
	const char *value;
	bool		quoted;			/* a string, not a number or boolean */
} Entry;

/* What annoy_info and annoy_repr_info were asked for. */
typedef struct InfoFlags
{
	bool		n_items;
	bool		n_trees;
	bool		memory;
	bool		build;			/* what the estimator does not have */
} InfoFlags;

static List *
add_entry(List *entries, const char *key, const char *value, bool quoted)
{
	Entry	   *entry = palloc(sizeof(Entry));

	entry->key = key;
	entry->value = value;
	entry->quoted = quoted;
	return lappend(entries, entry);
}

static List *
add_number(List *entries, const char *key, int64 value)
{
	return add_entry(entries, key, psprintf(INT64_FORMAT, value), false);
}

/* Seeds go up to 2^64 - 1. */
static List *
add_seed(List *entries, const char *key, uint64 seed)
{
	return add_entry(entries, key, psprintf(UINT64_FORMAT, seed), false);
}

/* The index's size, that of its main fork, as pg_relation_size tells. */
static int64
get_memory_usage(Relation index)
{
	return (int64) RelationGetNumberOfBlocks(index) * BLCKSZ;
}

/*
 * Number of dimensions.  Before the first vector is known it is what the
 * column's type says, or 0, as in the estimator.
 */
static int
get_dimensions(Relation index, const AnnoyMetaPageData *meta)
{
	int32		typmod = TupleDescAttr(RelationGetDescr(index), 0)->atttypmod;

	if (meta->dimensions > 0)
		return meta->dimensions;
	return Max(typmod, 0);
}

/* Relative to the server's data directory. */
static const char *
get_path(Relation index)
{
	Oid			oid = RelationGetRelid(index);

	return text_to_cstring(DatumGetTextPP(DirectFunctionCall1(pg_relation_filepath,
															  ObjectIdGetDatum(oid))));
}

/*
 * The parameters that both functions tell, in the estimator's order, but for
 * the seed: built or set.
 */
static List *
list_parameters(Relation index, const AnnoyMetaPageData *meta, uint64 seed)
{
	AnnoyMetric metric = AnnoyGetOpclassInfo(index)->metric;
	List	   *entries = NIL;

	entries = add_number(entries, "f", get_dimensions(index, meta));
	entries = add_entry(entries, "metric", AnnoyGetMetricName(metric), true);
	entries = add_number(entries, "n_neighbors", AnnoyGetNeighbors(index));
	entries = add_entry(entries, "on_disk_path", get_path(index), true);

	/* pages are read when they are first needed, here always */
	entries = add_entry(entries, "prefault", "false", false);
	entries = add_number(entries, "schema_version", meta->format_version);
	entries = add_seed(entries, "seed", seed);
	return add_number(entries, "verbose", annoy_verbosity);
}

/* What the next REINDEX would build otherwise. */
static List *
list_changes(List *entries, Relation index, const AnnoyMetaPageData *meta,
			 bool build)
{
	AnnoyBuildOptions next = AnnoyGetBuildOptions(index);
	bool		changed = AnnoyBuildWouldDiffer(index, meta, &next);

	if (next.seed != meta->seed)
		entries = add_seed(entries, "seed_after_reindex", next.seed);
	if (next.n_trees != meta->n_trees)
		entries = add_number(entries, "n_trees_after_reindex", next.n_trees);
	if (!build)
		return entries;
	if (next.code_bits != meta->code_bits)
		entries = add_number(entries, "code_bits_after_reindex", next.code_bits);
	return add_entry(entries, "needs_reindex", changed ? "true" : "false",
					 false);
}

/* A number of which 0 says that it is not known. */
static List *
add_known(List *entries, const char *key, int64 value)
{
	return value > 0 ? add_number(entries, key, value) :
		add_entry(entries, key, "null", false);
}

/* What the estimator does not have: how the index came to what it is. */
static List *
list_build(List *entries, Relation index, const AnnoyMetaPageData *meta)
{
	entries = add_known(entries, "code_bits", meta->code_bits);
	entries = add_number(entries, "rows_at_build",
						 meta->items + meta->tail_items);
	entries = add_known(entries, "search_k_calibrated", meta->search_k);
	return add_number(entries, "search_k_effective",
					  AnnoyChooseSearchK(index, meta, 0));
}

/* A quotient; null if there is nothing to divide by. */
static List *
add_quotient(List *entries, const char *key, const char *format, double dividend,
			 double divisor)
{
	return add_entry(entries, key, divisor > 0 ?
					 psprintf(format, dividend / divisor) : "null", false);
}

/* And what its pages are filled with. */
static List *
list_pages(List *entries, Relation index, const AnnoyMetaPageData *meta)
{
	AnnoyPageCounts counts;

	AnnoyCountEntries(index, meta, &counts);
	entries = add_number(entries, "entries", counts.entries);
	entries = add_number(entries, "leaves", counts.leaves);
	entries = add_quotient(entries, "leaf_fill", "%.2f", counts.entries,
						   counts.places);
	return add_quotient(entries, "bytes_per_row", "%.1f", get_memory_usage(index),
						(double) counts.entries / meta->n_trees +
						counts.tail_entries);
}

/* Opens the index, with its table where rows have to be counted. */
static Relation
open_for_info(Oid oid, bool count, Relation *heap)
{
	Relation	index;

	*heap = NULL;
	if (count)
		AnnoyOpenIndexAndTable(oid, &index, heap);
	else
	{
		index = AnnoyOpenIndex(oid);
		AnnoyCheckRecovery(index);
	}
	return index;
}

/*
 * Locks are kept until the end of the transaction if rows were read, as by any
 * query.
 */
static void
close_for_info(Relation index, Relation heap)
{
	index_close(index, heap ? NoLock : AccessShareLock);
	if (heap)
		table_close(heap, NoLock);
}

static List *
list_info(Oid oid, InfoFlags flags)
{
	AnnoyMetaPageData meta;
	Relation	heap;
	Relation	index = open_for_info(oid, flags.n_items, &heap);
	List	   *entries;

	AnnoyReadMeta(index, &meta);
	entries = list_parameters(index, &meta, meta.seed);
	if (flags.n_items)
		entries = add_number(entries, "n_items",
							 AnnoyCountRows(heap, index));
	if (flags.n_trees)
		entries = add_number(entries, "n_trees", meta.n_trees);
	if (flags.memory)
	{
		int64		bytes = get_memory_usage(index);
		char	   *mib = float8out_internal(bytes / BYTES_PER_MIB);

		entries = add_number(entries, "memory_usage_byte", bytes);
		entries = add_entry(entries, "memory_usage_mib", mib, false);
	}
	entries = list_changes(entries, index, &meta, flags.build);
	if (flags.build)
		entries = list_build(entries, index, &meta);
	if (flags.build && flags.n_items)
		entries = list_pages(entries, index, &meta);
	close_for_info(index, heap);
	return entries;
}

/*
 * Arguments 1 to 3; NULL counts as true.  The estimator's include_memory is NULL
 * by default, and tells the size if it is known, which it is here.
 */
static InfoFlags
get_flags(FunctionCallInfo fcinfo)
{
	InfoFlags	flags;

	flags.n_items = PG_ARGISNULL(1) || PG_GETARG_BOOL(1);
	flags.n_trees = PG_ARGISNULL(2) || PG_GETARG_BOOL(2);
	flags.memory = PG_ARGISNULL(3) || PG_GETARG_BOOL(3);
	flags.build = false;
	return flags;
}

static Datum
make_jsonb(const List *entries)
{
	StringInfoData json;
	ListCell   *cell;

	initStringInfo(&json);
	foreach(cell, entries)
	{
		const Entry *entry = lfirst(cell);

		appendStringInfoString(&json, json.len == 0 ? "{" : ", ");
		escape_json(&json, entry->key);
		appendStringInfoString(&json, ": ");
		if (entry->quoted)
			escape_json(&json, entry->value);
		else
			appendStringInfoString(&json, entry->value);
	}
	appendStringInfoChar(&json, '}');
	return DirectFunctionCall1(jsonb_in, CStringGetDatum(json.data));
}

/*
 * annoy_info(index regclass, include_n_items boolean, include_n_trees boolean,
 * include_memory boolean) returns jsonb
 */
Datum
annoy_info(PG_FUNCTION_ARGS)
{
	InfoFlags	flags = get_flags(fcinfo);

	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	flags.build = true;
	return make_jsonb(list_info(PG_GETARG_OID(0), flags));
}

/*
 * annoy_repr_info(...) returns text: Annoy(key=value, ...) with the estimator's
 * keys, in its order.
 */
Datum
annoy_repr_info(PG_FUNCTION_ARGS)
{
	StringInfoData text;
	ListCell   *cell;

	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	initStringInfo(&text);
	foreach(cell, list_info(PG_GETARG_OID(0), get_flags(fcinfo)))
	{
		const Entry *entry = lfirst(cell);

		appendStringInfo(&text, "%s%s=", text.len == 0 ? "Annoy(" : ", ",
						 entry->key);
		appendStringInfo(&text, entry->quoted ? "'%s'" : "%s", entry->value);
	}
	appendStringInfoChar(&text, ')');
	PG_RETURN_TEXT_P(cstring_to_text_with_len(text.data, text.len));
}

/* annoy_get_params(index regclass) returns jsonb */
Datum
annoy_get_params(PG_FUNCTION_ARGS)
{
	AnnoyMetaPageData meta;
	Relation	heap;
	Relation	index = open_for_info(PG_GETARG_OID(0), false, &heap);
	List	   *entries;

	AnnoyReadMeta(index, &meta);
	entries = list_parameters(index, &meta, AnnoyGetSeed(index, false));
	entries = add_number(entries, "n_trees", AnnoyGetTreeCount(index));
	entries = add_number(entries, "search_k", AnnoyGetSearchK(index));
	close_for_info(index, heap);
	return make_jsonb(entries);
}

/* annoy_n_items(index regclass) returns bigint */
Datum
annoy_n_items(PG_FUNCTION_ARGS)
{
	Relation	heap;
	Relation	index = open_for_info(PG_GETARG_OID(0), true, &heap);
	int64		count = AnnoyCountRows(heap, index);

	close_for_info(index, heap);
	PG_RETURN_INT64(count);
}

/* annoy_n_trees(index regclass) returns integer: those that were built */
Datum
annoy_n_trees(PG_FUNCTION_ARGS)
{
	AnnoyMetaPageData meta;
	Relation	heap;
	Relation	index = open_for_info(PG_GETARG_OID(0), false, &heap);

	AnnoyReadMeta(index, &meta);
	close_for_info(index, heap);
	PG_RETURN_INT32(meta.n_trees);
}

/*
 * annoy_memory_usage(index regclass) returns bigint: bytes.  It reads no row, and
 * asks for no privilege, as pg_relation_size does not.
 */
Datum
annoy_memory_usage(PG_FUNCTION_ARGS)
{
	Relation	heap;
	Relation	index = open_for_info(PG_GETARG_OID(0), false, &heap);
	int64		bytes = get_memory_usage(index);

	close_for_info(index, heap);
	PG_RETURN_INT64(bytes);
}

/* annoy_version() returns text */
Datum
annoy_version(PG_FUNCTION_ARGS)
{
	PG_RETURN_TEXT_P(cstring_to_text(psprintf("annoy %s, compiled by %s for PostgreSQL %s, kernel %s",
											  ANNOY_VERSION, COMPILER,
											  PG_VERSION, annoy_kernels.name)));
}

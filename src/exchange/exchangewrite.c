/*-------------------------------------------------------------------------
 *
 * exchangewrite.c
 *	  SQL functions that write an index in the formats of Annoy.
 *
 * The vectors come from the table, by a scan that gives each row as the index
 * has it (its expression and condition included) and that sees what the
 * statement's snapshot sees.  The trees come from the index: only hyperplanes
 * and centroids are read from it, which say nothing about single rows, so that
 * inserts meanwhile do not matter.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/table.h"
#include "access/tableam.h"
#include "catalog/index.h"
#include "catalog/pg_type_d.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "nodes/execnodes.h"
#include "storage/ipc.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "annoycompat.h"
#include "exchange/exchange.h"
#include "table/indexaccess.h"
#include "table/owner.h"

PG_FUNCTION_INFO_V1(annoy_serialize);
PG_FUNCTION_INFO_V1(annoy_save);

/* attgenerated of a column that is computed when it is read (from 18 on) */
#define GENERATED_VIRTUAL 'v'

/* There may be far more ids, unused ones, than rows: some milliseconds of them. */
#define IDS_BETWEEN_INTERRUPTS (1 << 20)

/* A bytea that is being written; data begins with its header. */
typedef struct Value
{
	char	   *data;
	Size		size;			/* header included */
	Size		allocated;
	Relation	index;			/* for messages */
} Value;

/* Everything that writing an index needs. */
typedef struct Export
{
	Relation	heap;
	Relation	index;
	AttrNumber	id_column;		/* 0: ids are numbers in the table's order */
	AnnoyFileFormat format;
	AnnoyFileMetric metric;
	const AnnoyFileSource *source;	/* what was written */
	const AnnoyFileSink *sink;
	const AnnoyElementType *element;
	AnnoyForest *forest;
	AnnoySketcher sketcher;		/* the forest's, or one of our own */
	AnnoyFileWriter writer;
	int			dimensions;		/* 0: no row yet */
	float	   *floats;
	MemoryContext row_context;
	int			value_attribute;	/* of the id among the scan's values */
	int64		count;
	uint8	   *used;			/* bitmap of the ids that were written */
	Size		used_size;
} Export;

/* ---------------------------------------------------------------------
 * A value as a file
 * ---------------------------------------------------------------------
 */

/* AnnoyFileSink */
static bool
write_value(void *context, uint64_t offset, const void *data, size_t size)
{
	Value	   *value = context;
	uint64		end = VARHDRSZ + offset + size;

	if (end > MaxAllocSize)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("data of index \"%s\" does not fit into a value of type bytea",
						RelationGetRelationName(value->index)),
				 errhint("annoy_save() writes it to a file of the server.")));
	if (end > value->allocated)
	{
		Size		allocated = Min(Max(2 * value->allocated, end), MaxAllocSize);

		value->data = repalloc(value->data, allocated);
		memset(value->data + value->allocated, 0, allocated - value->allocated);
		value->allocated = allocated;
	}
	memcpy(value->data + VARHDRSZ + offset, data, size);
	value->size = Max(value->size, end);
	return true;
}

/* AnnoyFileSource */
static bool
read_value(void *context, uint64_t offset, void *out, size_t size)
{
	const Value *value = context;

	CHECK_FOR_INTERRUPTS();
	Assert(VARHDRSZ + offset + size <= value->size);
	memcpy(out, value->data + VARHDRSZ + offset, size);
	return true;
}

/* ---------------------------------------------------------------------
 * Rows
 * ---------------------------------------------------------------------
 */

/* The column that has the ids; 0 for none. */
static AttrNumber
find_id_column(Relation heap, const char *name)
{
	Oid			heap_oid = RelationGetRelid(heap);
	AttrNumber	column = get_attnum(heap_oid, name);
	Form_pg_attribute attribute;
	Oid			type;

	if (column <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("column \"%s\" of relation \"%s\" does not exist",
						name, RelationGetRelationName(heap))));
	if (pg_class_aclcheck(heap_oid, GetUserId(), ACL_SELECT) != ACLCHECK_OK &&
		pg_attribute_aclcheck(heap_oid, column, GetUserId(),
							  ACL_SELECT) != ACLCHECK_OK)
		aclcheck_error_col(ACLCHECK_NO_PRIV, OBJECT_COLUMN,
						   RelationGetRelationName(heap), name);
	attribute = TupleDescAttr(RelationGetDescr(heap), column - 1);
	type = getBaseType(attribute->atttypid);
	if ((type != INT2OID && type != INT4OID && type != INT8OID) ||
		attribute->attgenerated == GENERATED_VIRTUAL)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("column \"%s\" of relation \"%s\" is not a stored column of type smallint, integer or bigint",
						name, RelationGetRelationName(heap))));
	return column;
}

/* Remembers an id; errors out if it was there before. */
static void
use_id(Export *export, int32 id)
{
	Size		byte = id / BITS_PER_BYTE;
	uint8		bit = 1 << (id % BITS_PER_BYTE);

	if (byte >= export->used_size)
	{
		Size		size = Max(2 * export->used_size, byte + 1);

		/* one bit for each possible id: memory for absurd ones has a limit */
		if (byte >= (Size) maintenance_work_mem * 1024)
			ereport(ERROR,
					(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
					 errmsg("id %d needs more memory than maintenance_work_mem allows",
							id),
					 errdetail("A file has room for all ids from 0 to the largest one."),
					 errhint("Number the rows more closely, or increase maintenance_work_mem.")));
		size = Min(size, (Size) maintenance_work_mem * 1024);
		export->used = repalloc_huge(export->used, size);
		memset(export->used + export->used_size, 0, size - export->used_size);
		export->used_size = size;
	}
	if (export->used[byte] & bit)
		ereport(ERROR,
				(errcode(ERRCODE_UNIQUE_VIOLATION),
				 errmsg("id %d is not unique", id),
				 errtable(export->heap)));
	export->used[byte] |= bit;
}

/* The id of a row, from its column. */
static int32
get_id(Export *export, Datum value, bool isnull)
{
	Form_pg_attribute attribute =
		TupleDescAttr(RelationGetDescr(export->heap), export->id_column - 1);
	int64		id;

	if (isnull)
		ereport(ERROR,
				(errcode(ERRCODE_NOT_NULL_VIOLATION),
				 errmsg("null value in column \"%s\", which has the ids",
						NameStr(attribute->attname)),
				 errtablecol(export->heap, export->id_column)));
	switch (attribute->attlen)
	{
		case sizeof(int16):
			id = DatumGetInt16(value);
			break;
		case sizeof(int32):
			id = DatumGetInt32(value);
			break;
		default:
			id = DatumGetInt64(value);
	}
	if (id < 0 || id > ANNOY_FILE_MAX_ID)
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("id %lld is not between 0 and %d",
						(long long) id, ANNOY_FILE_MAX_ID)));
	use_id(export, (int32) id);
	return (int32) id;
}

/* With the first row: dimensions, and so the layout, are known. */
static void
start_file(Export *export, int dimensions)
{
	/* what wraps snapshots in portable blobs is of the later releases */
	bool		late = export->format == ANNOY_FILE_PORTABLE &&
		export->metric == ANNOY_FILE_DOT;
	AnnoyFileLayout layout;

	if (!AnnoySetFileLayout(&layout, export->metric, late, dimensions))
		elog(ERROR, "index \"%s\" has %d dimensions",
			 RelationGetRelationName(export->index), dimensions);
	export->dimensions = dimensions;
	export->floats = palloc(sizeof(float) * dimensions);
	export->writer.node = palloc(AnnoyFileRowSize(export->format, &layout));
	export->writer.max_norm = export->forest->meta.max_norm;
	AnnoyStartFile(&export->writer, export->sink, export->format, &layout,
				   export->forest->meta.n_trees);
}

/* table_index_build_scan: writes the item of a row. */
static void
write_row(Relation index, ItemPointer heap_tid, Datum *values, bool *isnull,
		  bool tuple_is_alive, void *state)
{
	Export	   *export = state;
	MemoryContext old;
	AnnoyFileError error;
	char	   *value;
	int			dimensions;
	int32		id;

	if (isnull[0])
		return;
	if (export->count > ANNOY_FILE_MAX_ID)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("index \"%s\" has more rows than a file of Annoy can have",
						RelationGetRelationName(export->index))));
	id = export->id_column == 0 ? (int32) export->count :
		get_id(export, values[export->value_attribute],
			   isnull[export->value_attribute]);

	MemoryContextReset(export->row_context);
	old = MemoryContextSwitchTo(export->row_context);
	value = (char *) PG_DETOAST_DATUM(values[0]);
	dimensions = export->element->dimensions(value);
	MemoryContextSwitchTo(old);
	if (export->dimensions == 0)
		start_file(export, dimensions);
	if (dimensions != export->dimensions)
		ereport(ERROR,
				(errcode(ERRCODE_INDEX_CORRUPTED),
				 errmsg("table \"%s\" has a row of %d dimensions, index \"%s\" has %d",
						RelationGetRelationName(export->heap), dimensions,
						RelationGetRelationName(export->index),
						export->dimensions)));
	if (!AnnoyWriteFileItem(&export->writer, id,
							export->element->floats(value, export->floats),
							&error))
		AnnoyReportFileError(&error, "could not write Annoy data");
	export->count++;
}

/*
 * Writes all rows that the snapshot sees, in the table's order.  The ids' column
 * takes part as if it were one more of the index.
 */
static void
write_rows(Export *export)
{
	AnnoyCaller caller;
	IndexInfo  *index_info;
	TableScanDesc scan = table_beginscan_strat(export->heap,
											   GetActiveSnapshot(), 0, NULL,
											   true, false);

	AnnoyBecomeOwner(&caller, export->heap, export->index);
	index_info = AnnoyBuildIndexInfo(export->index);

	/* as for CREATE INDEX CONCURRENTLY: by the snapshot; no constraints */
	index_info->ii_Concurrent = true;
	index_info->ii_Unique = false;
	index_info->ii_ExclusionOps = NULL;
	if (export->id_column != 0)
	{
		export->value_attribute = index_info->ii_NumIndexAttrs++;
		index_info->ii_IndexAttrNumbers[export->value_attribute] =
			export->id_column;
	}
	/* allow_sync: the scan is ours, and goes from the first block on as begun */
	(void) table_index_build_scan(export->heap, export->index, index_info,
								  true, false, write_row, export, scan);
	AnnoyBecomeCaller(&caller);
}

/* ---------------------------------------------------------------------
 * Trees
 * ---------------------------------------------------------------------
 */

static const AnnoyFileMemory server_memory = {palloc, pfree};

/* Ids of all items, in their order. */
static int32 *
list_ids(const Export *export)
{
	int32	   *ids = palloc_extended(sizeof(int32) * Max(export->count, 1),
									  MCXT_ALLOC_HUGE);
	int64		count = 0;

	for (int32 id = 0; id < export->writer.n_items; id++)
	{
		if (id % IDS_BETWEEN_INTERRUPTS == 0)
			CHECK_FOR_INTERRUPTS();
		if (export->id_column == 0 ||
			export->used[id / BITS_PER_BYTE] & (1 << (id % BITS_PER_BYTE)))
			ids[count++] = id;
	}
	Assert(count == export->count);
	return ids;
}

/*
 * An index that has only rows without direction has never fixed its space of
 * sketches.
 */
static void
init_sketcher(Export *export)
{
	if (export->forest->meta.dimensions > 0)
		export->sketcher = export->forest->sketcher;
	else
		AnnoyInitSketcher(&export->sketcher,
						  palloc(AnnoySketcherMemory(export->dimensions)),
						  AnnoyGetOpclassInfo(export->index)->metric,
						  export->dimensions, export->forest->meta.seed, NULL,
						  0.0f);
}

static void
write_trees(Export *export)
{
	int			n_trees = export->forest->meta.n_trees;
	bool		guided = export->forest->meta.dimensions > 0;
	int32	   *roots = palloc(sizeof(int32) * n_trees);
	AnnoyIndexGuide guide;
	AnnoyFileGrower grower;
	AnnoyFileError error;

	init_sketcher(export);
	if (guided)
		AnnoyInitIndexGuide(&guide, export->index, export->forest);
	grower.writer = &export->writer;
	grower.written = export->source;
	grower.sketcher = &export->sketcher;
	grower.guide = &guide.guide;
	grower.memory = &server_memory;
	grower.other = palloc_extended(sizeof(int32) * export->count,
								   MCXT_ALLOC_HUGE);
	AnnoyInitFileGrower(&grower,
						palloc_extended(AnnoyFileGrowerMemory(&export->writer.layout),
										MCXT_ALLOC_HUGE));
	for (int tree = 0; tree < n_trees; tree++)
	{
		int32	   *ids = list_ids(export);
		AnnoyFilePlace place;

		if (guided)
			place = AnnoyGetRootPlace(&guide, tree);
		AnnoySeedRandom(&grower.random,
						AnnoyHash(export->forest->meta.seed, tree));
		if (!AnnoyGrowFileTree(&grower, ids, (int32) export->count,
							   guided ? &place : NULL, &roots[tree], &error))
			AnnoyReportFileError(&error, "could not write Annoy data");
		pfree(ids);
	}
	if (!AnnoyFinishFile(&export->writer, roots, export->source, &error))
		AnnoyReportFileError(&error, "could not write Annoy data");
}

static void
write_index(Export *export)
{
	AnnoyFileError error;

	export->element = AnnoyGetOpclassInfo(export->index)->element;
	export->forest = AnnoyLoadForest(export->index, CurrentMemoryContext);
	AnnoyReadRoots(export->index, export->forest);
	export->row_context = AllocSetContextCreate(CurrentMemoryContext,
												"annoy row",
												ALLOCSET_DEFAULT_SIZES);
	export->used_size = BLCKSZ;
	export->used = palloc0(export->used_size);
	if (export->forest->meta.dimensions > 0)
		start_file(export, export->forest->meta.dimensions);
	write_rows(export);
	if (export->count == 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("index \"%s\" has no vectors to write",
						RelationGetRelationName(export->index))));
	AnnoyStartFileTrees(&export->writer);
	if (export->format != ANNOY_FILE_CANONICAL)
		write_trees(export);
	else if (!AnnoyFinishFile(&export->writer, NULL, export->source, &error))
		AnnoyReportFileError(&error, "could not write Annoy data");
}

/* Opens index and table with all checks; memory is of a context of its own. */
static void
begin_export(Export *export, Oid index, const char *id_column)
{
	memset(export, 0, sizeof(Export));
	AnnoyOpenIndexAndTable(index, &export->index, &export->heap);
	export->metric = AnnoyGetFileMetric(export->index);
	if (id_column != NULL)
		export->id_column = find_id_column(export->heap, id_column);
}

static void
end_export(Export *export)
{
	relation_close(export->index, NoLock);
	table_close(export->heap, NoLock);
}

/* ---------------------------------------------------------------------
 * SQL functions
 * ---------------------------------------------------------------------
 */

/*
 * annoy_serialize(index regclass, format text, id_column name) returns bytea
 */
Datum
annoy_serialize(PG_FUNCTION_ARGS)
{
	Export		export;
	Value		value;
	AnnoyFileSource source = {&value, 0, read_value};
	AnnoyFileSink sink = {&value, write_value};
	MemoryContext context;
	MemoryContext old;
	AnnoyFileFormat format;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		PG_RETURN_NULL();
	format = AnnoyParseFileFormat(text_to_cstring(PG_GETARG_TEXT_PP(1)));
	begin_export(&export, PG_GETARG_OID(0),
				 PG_ARGISNULL(2) ? NULL : NameStr(*PG_GETARG_NAME(2)));
	export.format = format;
	export.source = &source;
	export.sink = &sink;
	value.index = export.index;
	value.size = VARHDRSZ;
	value.allocated = BLCKSZ;
	value.data = palloc0(value.allocated);

	context = AllocSetContextCreate(CurrentMemoryContext, "annoy serialize",
									ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(context);
	write_index(&export);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	end_export(&export);

	SET_VARSIZE(value.data, value.size);
	PG_RETURN_BYTEA_P(value.data);
}

/* Callback for errors, fatal ones included. */
static void
remove_file(int code, Datum file)
{
	AnnoyRemoveServerFile((AnnoyNewServerFile *) DatumGetPointer(file));
}

/*
 * annoy_save(index regclass, path text, id_column name) returns bigint: number
 * of items.
 */
Datum
annoy_save(PG_FUNCTION_ARGS)
{
	AnnoyNewServerFile *file = palloc0(sizeof(AnnoyNewServerFile));
	Export	   *export = palloc(sizeof(Export));
	MemoryContext context;
	MemoryContext old;
	char	   *path;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		PG_RETURN_NULL();
	path = AnnoyCheckNewServerFile(text_to_cstring(PG_GETARG_TEXT_PP(1)));
	begin_export(export, PG_GETARG_OID(0),
				 PG_ARGISNULL(2) ? NULL : NameStr(*PG_GETARG_NAME(2)));
	export->format = ANNOY_FILE_NATIVE;
	export->source = &file->source;
	export->sink = &file->sink;

	context = AllocSetContextCreate(CurrentMemoryContext, "annoy save",
									ALLOCSET_DEFAULT_SIZES);
	PG_ENSURE_ERROR_CLEANUP(remove_file, PointerGetDatum(file));
	{
		AnnoyCreateServerFile(file, path);
		old = MemoryContextSwitchTo(context);
		write_index(export);
		MemoryContextSwitchTo(old);
		AnnoyFinishServerFile(file);
	}
	PG_END_ENSURE_ERROR_CLEANUP(remove_file, PointerGetDatum(file));
	MemoryContextDelete(context);
	end_export(export);
	PG_RETURN_INT64(export->count);
}

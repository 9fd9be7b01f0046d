/*-------------------------------------------------------------------------
 *
 * exchangeread.c
 *	  SQL functions that read the vectors of Annoy files and blobs.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type_d.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/tuplestore.h"

#include "annoycompat.h"
#include "exchange/exchange.h"

PG_FUNCTION_INFO_V1(annoy_items);
PG_FUNCTION_INFO_V1(annoy_file_items);

/* AnnoyFileSource over a value in memory */
static bool
read_value(void *context, uint64_t offset, void *out, size_t size)
{
	CHECK_FOR_INTERRUPTS();
	memcpy(out, VARDATA_ANY((struct varlena *) context) + offset, size);
	return true;
}

/* real[] of one dimension */
static Datum
make_array(const float4 *elements, int count)
{
	Size		size = ARR_OVERHEAD_NONULLS(1) + sizeof(float4) * count;
	ArrayType  *array = palloc0(size);

	SET_VARSIZE(array, size);
	array->ndim = 1;
	array->elemtype = FLOAT4OID;
	ARR_DIMS(array)[0] = count;
	ARR_LBOUND(array)[0] = 1;
	memcpy(ARR_DATA_PTR(array), elements, sizeof(float4) * count);
	return PointerGetDatum(array);
}

/* Puts all items of an open file into the result; it grows on disk. */
static void
return_items(AnnoyFile *file, ReturnSetInfo *result)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "annoy item",
												  ALLOCSET_DEFAULT_SIZES);
	int			dimensions = file->layout.dimensions;
	float4	   *vector = palloc(sizeof(float4) * dimensions);
	AnnoyFileError error;

	for (int64 id = 0; id < file->n_items; id++)
	{
		MemoryContext old;
		Datum		values[2];
		bool		nulls[2] = {false, false};
		bool		present;

		if (!AnnoyReadFileItem(file, id, vector, &present, &error))
			AnnoyReportFileError(&error, "could not read Annoy data");
		if (!present)
			continue;
		old = MemoryContextSwitchTo(context);
		values[0] = Int64GetDatum(id);
		values[1] = make_array(vector, dimensions);
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
		MemoryContextSwitchTo(old);
		MemoryContextReset(context);
	}
	MemoryContextDelete(context);
	pfree(vector);
}

/* Arguments: 1 metric, 2 dimensions or NULL. */
static void
return_source(FunctionCallInfo fcinfo, const AnnoyFileSource *source)
{
	AnnoyFileMetric metric =
		AnnoyParseFileMetric(text_to_cstring(PG_GETARG_TEXT_PP(1)));
	int			dimensions = PG_ARGISNULL(2) ? 0 : PG_GETARG_INT32(2);
	AnnoyFile  *file = palloc(sizeof(AnnoyFile));
	AnnoyFileError error;

	if (!PG_ARGISNULL(2) &&
		(dimensions < 1 || dimensions > ANNOY_FILE_MAX_DIMENSIONS))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("number of dimensions %d is not between 1 and %d",
						dimensions, ANNOY_FILE_MAX_DIMENSIONS)));
	if (!AnnoyOpenFile(file, source, metric, dimensions, &error))
		AnnoyReportFileError(&error, "could not read Annoy data");
	return_items(file, (ReturnSetInfo *) fcinfo->resultinfo);
	pfree(file);
}

/*
 * annoy_items(data bytea, metric text, f int) returns table (id bigint,
 * embedding real[]): the vectors of a native file or of a portable or canonical
 * blob.
 */
Datum
annoy_items(PG_FUNCTION_ARGS)
{
	AnnoyFileSource source;

	InitMaterializedSRF(fcinfo, 0);
	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		return (Datum) 0;
	source.context = PG_GETARG_BYTEA_PP(0);
	source.size = VARSIZE_ANY_EXHDR((struct varlena *) source.context);
	source.read = read_value;
	return_source(fcinfo, &source);
	return (Datum) 0;
}

/* annoy_file_items(path text, metric text, f int): the same, of a server file. */
Datum
annoy_file_items(PG_FUNCTION_ARGS)
{
	AnnoyServerFile file;

	InitMaterializedSRF(fcinfo, 0);
	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		return (Datum) 0;
	AnnoyOpenServerFile(&file, text_to_cstring(PG_GETARG_TEXT_PP(0)));
	return_source(fcinfo, &file.source);
	AnnoyCloseServerFile(&file);
	return (Datum) 0;
}

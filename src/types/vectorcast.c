/*-------------------------------------------------------------------------
 *
 * vectorcast.c
 *	  Casts of the SQL type vector, to itself and from and to arrays.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/float.h"
#include "utils/fmgrprotos.h"

#include "types/vector.h"

PG_FUNCTION_INFO_V1(annoy_vector);
PG_FUNCTION_INFO_V1(annoy_array_to_vector);
PG_FUNCTION_INFO_V1(annoy_vector_to_float4);
PG_FUNCTION_INFO_V1(annoy_vector_to_float8);
PG_FUNCTION_INFO_V1(annoy_vector_to_int4);
PG_FUNCTION_INFO_V1(annoy_vector_to_numeric);

/*
 * vector(vector, integer, boolean): imposes a number of dimensions.
 *
 * Cast functions get (value, typmod, whether the cast is explicit); only the
 * number of dimensions matters here, and it is checked in either case.
 */
Datum
annoy_vector(PG_FUNCTION_ARGS)
{
	AnnoyVector *vector = PG_GETARG_ANNOY_VECTOR_P(0);
	int32		typmod = PG_GETARG_INT32(1);

	(void) AnnoyCheckVectorDimensions(vector->dim, typmod, NULL);
	PG_RETURN_ANNOY_VECTOR_P(vector);
}

/* Fills the elements from numeric, which no array keeps side by side. */
static void
read_numerics(ArrayType *array, AnnoyVector *result)
{
	Datum	   *elements;
	int			count;

	deconstruct_array(array, NUMERICOID, -1, false, TYPALIGN_INT,
					  &elements, NULL, &count);
	Assert(count == result->dim);
	for (int i = 0; i < count; i++)
		result->x[i] =
			DatumGetFloat4(DirectFunctionCall1(numeric_float4, elements[i]));
	pfree(elements);
}

/* Fills the elements from double precision; too large is an error. */
static void
read_doubles(const float8 *elements, AnnoyVector *result)
{
	for (int i = 0; i < result->dim; i++)
	{
		result->x[i] = (float) elements[i];
		if (unlikely(isinf(result->x[i])) && !isinf(elements[i]))
			float_overflow_error();
	}
}

/*
 * array_to_vector(integer[] | real[] | double precision[] | numeric[],
 * integer, boolean)
 */
Datum
annoy_array_to_vector(PG_FUNCTION_ARGS)
{
	ArrayType  *array = PG_GETARG_ARRAYTYPE_P(0);
	int32		typmod = PG_GETARG_INT32(1);
	AnnoyVector *result;
	int			dim;

	if (ARR_NDIM(array) > 1)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("array must be 1-D")));
	if (ARR_HASNULL(array) && array_contains_nulls(array))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("array must not contain nulls")));
	dim = ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));
	(void) AnnoyCheckVectorDimensions(dim, typmod, NULL);

	/* no nulls: elements of fixed length lie side by side */
	result = AnnoyNewVector(dim);
	switch (ARR_ELEMTYPE(array))
	{
		case INT4OID:
			for (int i = 0; i < dim; i++)
				result->x[i] = (float) ((int32 *) ARR_DATA_PTR(array))[i];
			break;
		case FLOAT4OID:
			memcpy(result->x, ARR_DATA_PTR(array), sizeof(float) * dim);
			break;
		case FLOAT8OID:
			read_doubles((float8 *) ARR_DATA_PTR(array), result);
			break;
		case NUMERICOID:
			read_numerics(array, result);
			break;
		default:
			elog(ERROR, "unsupported array type %u", ARR_ELEMTYPE(array));
	}
	for (int i = 0; i < dim; i++)
		(void) AnnoyCheckVectorElement(result->x[i], NULL);
	PG_RETURN_ANNOY_VECTOR_P(result);
}

/*
 * Allocates a one-dimensional array without nulls, with room for dim elements
 * of a fixed length, which the caller fills.
 */
static ArrayType *
new_array(int dim, Oid element_type, Size element_size)
{
	Size		size = ARR_OVERHEAD_NONULLS(1) + element_size * dim;
	ArrayType  *result = (ArrayType *) palloc0(size);

	SET_VARSIZE(result, size);
	result->ndim = 1;
	result->dataoffset = 0;
	result->elemtype = element_type;
	ARR_DIMS(result)[0] = dim;
	ARR_LBOUND(result)[0] = 1;
	return result;
}

/*
 * vector_to_float4(vector, integer, boolean) returns real[]
 */
Datum
annoy_vector_to_float4(PG_FUNCTION_ARGS)
{
	AnnoyVector *vector = PG_GETARG_ANNOY_VECTOR_P(0);
	ArrayType  *result = new_array(vector->dim, FLOAT4OID, sizeof(float4));

	memcpy(ARR_DATA_PTR(result), vector->x, sizeof(float4) * vector->dim);
	PG_RETURN_ARRAYTYPE_P(result);
}

/*
 * vector_to_float8(vector, integer, boolean) returns double precision[]
 */
Datum
annoy_vector_to_float8(PG_FUNCTION_ARGS)
{
	AnnoyVector *vector = PG_GETARG_ANNOY_VECTOR_P(0);
	ArrayType  *result = new_array(vector->dim, FLOAT8OID, sizeof(float8));
	float8	   *elements = (float8 *) ARR_DATA_PTR(result);

	for (int i = 0; i < vector->dim; i++)
		elements[i] = vector->x[i];
	PG_RETURN_ARRAYTYPE_P(result);
}

/*
 * vector_to_int4(vector, integer, boolean) returns integer[]: rounded, and
 * refused beyond the range of integer, as real's cast to integer has it.
 */
Datum
annoy_vector_to_int4(PG_FUNCTION_ARGS)
{
	AnnoyVector *vector = PG_GETARG_ANNOY_VECTOR_P(0);
	ArrayType  *result = new_array(vector->dim, INT4OID, sizeof(int32));
	int32	   *elements = (int32 *) ARR_DATA_PTR(result);

	for (int i = 0; i < vector->dim; i++)
		elements[i] = DatumGetInt32(DirectFunctionCall1(ftoi4,
														Float4GetDatum(vector->x[i])));
	PG_RETURN_ARRAYTYPE_P(result);
}

/*
 * vector_to_numeric(vector, integer, boolean) returns numeric[]: as many
 * digits as real's cast to numeric gives.
 */
Datum
annoy_vector_to_numeric(PG_FUNCTION_ARGS)
{
	AnnoyVector *vector = PG_GETARG_ANNOY_VECTOR_P(0);
	Datum	   *elements = (Datum *) palloc(sizeof(Datum) * vector->dim);

	for (int i = 0; i < vector->dim; i++)
		elements[i] = DirectFunctionCall1(float4_numeric,
										  Float4GetDatum(vector->x[i]));
	PG_RETURN_ARRAYTYPE_P(construct_array(elements, vector->dim, NUMERICOID,
										  -1, false, TYPALIGN_INT));
}

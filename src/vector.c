/*-------------------------------------------------------------------------
 *
 * vector.c
 *	  The SQL type vector: input and output, casts, comparison,
 *	  arithmetic.
 *
 * Names, argument order and text of what users meet agree with pgvector's
 * type of the same name, so that programs written for it work unchanged.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <ctype.h>

#include "catalog/pg_type.h"
#include "common/shortest_dec.h"
#include "libpq/pqformat.h"
#include "utils/array.h"
#include "utils/float.h"
#include "utils/fmgrprotos.h"
#include "utils/varbit.h"

#include "vector.h"

PG_FUNCTION_INFO_V1(annoy_vector_in);
PG_FUNCTION_INFO_V1(annoy_vector_out);
PG_FUNCTION_INFO_V1(annoy_vector_typmod_in);
PG_FUNCTION_INFO_V1(annoy_vector_recv);
PG_FUNCTION_INFO_V1(annoy_vector_send);
PG_FUNCTION_INFO_V1(annoy_vector);
PG_FUNCTION_INFO_V1(annoy_array_to_vector);
PG_FUNCTION_INFO_V1(annoy_vector_to_float4);
PG_FUNCTION_INFO_V1(annoy_vector_to_float8);
PG_FUNCTION_INFO_V1(annoy_vector_to_int4);
PG_FUNCTION_INFO_V1(annoy_vector_to_numeric);
PG_FUNCTION_INFO_V1(annoy_vector_dims);
PG_FUNCTION_INFO_V1(annoy_vector_cmp);
PG_FUNCTION_INFO_V1(annoy_vector_lt);
PG_FUNCTION_INFO_V1(annoy_vector_le);
PG_FUNCTION_INFO_V1(annoy_vector_eq);
PG_FUNCTION_INFO_V1(annoy_vector_ne);
PG_FUNCTION_INFO_V1(annoy_vector_ge);
PG_FUNCTION_INFO_V1(annoy_vector_gt);
PG_FUNCTION_INFO_V1(annoy_vector_add);
PG_FUNCTION_INFO_V1(annoy_vector_sub);
PG_FUNCTION_INFO_V1(annoy_vector_mul);
PG_FUNCTION_INFO_V1(annoy_vector_concat);
PG_FUNCTION_INFO_V1(annoy_subvector);
PG_FUNCTION_INFO_V1(annoy_binary_quantize);

/* Decimal digits that a uint64 holds for certain. */
#define MAX_FAST_DIGITS 19

/* Powers of ten up to the largest that a double holds exactly. */
static const double powers_of_ten[] = {
	1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11,
	1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22
};

#define MAX_FAST_EXPONENT ((int) lengthof(powers_of_ten) - 1)

AnnoyVector *
AnnoyNewVector(int dim)
{
	AnnoyVector *result;

	Assert(dim >= 1 && dim <= ANNOY_VECTOR_MAX_DIM);
	result = (AnnoyVector *) palloc(ANNOY_VECTOR_SIZE(dim));
	SET_VARSIZE(result, ANNOY_VECTOR_SIZE(dim));
	result->dim = (int16) dim;
	result->unused = 0;
	return result;
}

bool
AnnoyCheckVectorDimensions(int dim, int32 typmod, Node *escontext)
{
	if (dim < 1)
		ereturn(escontext, false,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("vector must have at least 1 dimension")));

	if (dim > ANNOY_VECTOR_MAX_DIM)
		ereturn(escontext, false,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("vector cannot have more than %d dimensions",
						ANNOY_VECTOR_MAX_DIM)));

	if (typmod != -1 && typmod != dim)
		ereturn(escontext, false,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("expected %d dimensions, not %d", typmod, dim)));

	return true;
}

bool
AnnoyCheckVectorElement(float value, Node *escontext)
{
	if (isnan(value))
		ereturn(escontext, false,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("NaN not allowed in vector")));

	if (isinf(value))
		ereturn(escontext, false,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("infinite value not allowed in vector")));

	return true;
}

void
AnnoyCheckSameDimensions(const AnnoyVector *a, const AnnoyVector *b)
{
	if (unlikely(a->dim != b->dim))
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("different vector dimensions %d and %d",
						a->dim, b->dim)));
}

/* The white space that input ignores, whatever the locale. */
static bool
is_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

static const char *
skip_space(const char *at)
{
	while (is_space(*at))
		at++;
	return at;
}

/*
 * Reads the exponent of a decimal number, if there is one, and adds it to
 * *exponent.  Returns false if it is not one that the fast way can handle.
 */
static bool
read_exponent(const char **at, int *exponent)
{
	const char *next = *at;
	bool		negative;
	int			value = 0;
	int			digits = 0;

	if (*next != 'e' && *next != 'E')
		return true;
	next++;
	negative = (*next == '-');
	if (*next == '-' || *next == '+')
		next++;
	for (; isdigit((unsigned char) *next); next++, digits++)
	{
		if (digits == 3)
			return false;
		value = value * 10 + (*next - '0');
	}
	if (digits == 0)
		return false;
	*exponent += negative ? -value : value;
	*at = next;
	return true;
}

/*
 * Reads a number in decimal notation, the fast way: an integer below 2^53 is
 * a double without rounding, and so is a power of ten up to 22, so that their
 * product or quotient is the number's nearest double (Clinger, "How to read
 * floating point numbers accurately", PLDI 1990).  Rounding this to float
 * gives the nearest float, except perhaps when the double lies exactly half
 * way between two floats; and the range of normal floats must not be left.
 *
 * Returns false if the way is not open.  Otherwise the result is what strtof
 * returns, at about a third of its cost.
 */
static bool
read_float_fast(const char *text, const char **end, float *result)
{
	const char *at = text;
	bool		negative = (*at == '-');
	bool		point = false;
	bool		seen = false;
	uint64		digits = 0;
	int			significant = 0;
	int			exponent = 0;
	double		value;
	uint64		bits;

	if (negative)
		at++;
	for (; isdigit((unsigned char) *at) || (*at == '.' && !point); at++)
	{
		if (*at == '.')
		{
			point = true;
			continue;
		}
		seen = true;
		digits = digits * 10 + (uint64) (*at - '0');
		if (digits != 0 && ++significant > MAX_FAST_DIGITS)
			return false;
		if (point)
			exponent--;
	}
	if (!seen || !read_exponent(&at, &exponent))
		return false;

	/* what follows could make it another notation, say hexadecimal */
	if (*at != ',' && *at != ']' && !is_space(*at))
		return false;
	if (digits > (UINT64CONST(1) << 53) ||
		exponent < -MAX_FAST_EXPONENT || exponent > MAX_FAST_EXPONENT)
		return false;

	value = (double) digits;
	if (exponent < 0)
		value /= powers_of_ten[-exponent];
	else
		value *= powers_of_ten[exponent];
	if (value > FLT_MAX || (value < FLT_MIN && digits != 0))
		return false;

	/* the 29 bits that a float has not: half way is the topmost one alone */
	memcpy(&bits, &value, sizeof(bits));
	if ((bits & UINT64CONST(0x1FFFFFFF)) == UINT64CONST(0x10000000))
		return false;

	*result = (float) (negative ? -value : value);
	*end = at;
	return true;
}

/*
 * Reads one element at *at and moves *at behind it.  "text" is the whole
 * input, for messages.  Numbers too small for a float become zero: that is
 * where they belong, and embeddings computed in double precision have them.
 */
static bool
read_element(const char *text, const char **at, float *element,
			 Node *escontext)
{
	char	   *end;

	if (read_float_fast(*at, at, element))
		return true;

	errno = 0;
	*element = strtof(*at, &end);
	if (end == *at)
		ereturn(escontext, false,
				(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
				 errmsg("invalid input syntax for type vector: \"%s\"",
						text)));
	if (errno == ERANGE && isinf(*element))
		ereturn(escontext, false,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("\"%s\" is out of range for type vector",
						pnstrdup(*at, end - *at))));
	*at = end;
	return AnnoyCheckVectorElement(*element, escontext);
}

/*
 * Room for the elements of a text: one more than it has commas, if that many
 * are allowed at all.
 */
static int
count_elements(const char *text)
{
	int			count = 1;

	for (; *text != '\0' && count < ANNOY_VECTOR_MAX_DIM; text++)
		count += (*text == ',');
	return count;
}

/*
 * vector_in(cstring, oid, integer): text such as "[1,2.5,-3]".
 */
Datum
annoy_vector_in(PG_FUNCTION_ARGS)
{
	const char *text = PG_GETARG_CSTRING(0);
	int32		typmod = PG_GETARG_INT32(2);
	Node	   *escontext = fcinfo->context;
	const char *at = skip_space(text);
	AnnoyVector *result;
	int			dim = 0;

	if (*at != '[')
		ereturn(escontext, (Datum) 0,
				(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
				 errmsg("invalid input syntax for type vector: \"%s\"", text),
				 errdetail("Vector contents must start with \"[\".")));
	at = skip_space(at + 1);
	if (*at == ']')
	{
		/* nothing between the brackets: this reports it */
		(void) AnnoyCheckVectorDimensions(0, typmod, escontext);
		return (Datum) 0;
	}

	result = AnnoyNewVector(count_elements(at));
	for (;;)
	{
		if (dim == ANNOY_VECTOR_MAX_DIM)
		{
			(void) AnnoyCheckVectorDimensions(dim + 1, -1, escontext);
			return (Datum) 0;
		}
		if (!read_element(text, &at, &result->x[dim], escontext))
			return (Datum) 0;
		dim++;
		at = skip_space(at);
		if (*at != ',')
			break;
		at = skip_space(at + 1);
	}
	if (*at != ']')
		ereturn(escontext, (Datum) 0,
				(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
				 errmsg("invalid input syntax for type vector: \"%s\"",
						text)));
	at = skip_space(at + 1);
	if (*at != '\0')
		ereturn(escontext, (Datum) 0,
				(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
				 errmsg("invalid input syntax for type vector: \"%s\"", text),
				 errdetail("Junk after closing right bracket.")));
	if (!AnnoyCheckVectorDimensions(dim, typmod, escontext))
		return (Datum) 0;

	Assert(dim <= result->dim);
	SET_VARSIZE(result, ANNOY_VECTOR_SIZE(dim));
	result->dim = (int16) dim;
	PG_RETURN_ANNOY_VECTOR_P(result);
}

/*
 * vector_out(vector): every element with as many digits as tell it from its
 * neighbours, which is float4out's default.
 */
Datum
annoy_vector_out(PG_FUNCTION_ARGS)
{
	AnnoyVector *vector = PG_GETARG_ANNOY_VECTOR_P(0);
	char	   *text;
	char	   *at;

	/* FLOAT_SHORTEST_DECIMAL_LEN counts a final zero: room for the comma */
	text = palloc(vector->dim * FLOAT_SHORTEST_DECIMAL_LEN + 3);
	at = text;
	*at++ = '[';
	for (int i = 0; i < vector->dim; i++)
	{
		if (i > 0)
			*at++ = ',';
		at += float_to_shortest_decimal_bufn(vector->x[i], at);
	}
	*at++ = ']';
	*at = '\0';
	PG_FREE_IF_COPY(vector, 0);
	PG_RETURN_CSTRING(text);
}

/*
 * vector_typmod_in(cstring[]): the typmod is the number of dimensions.
 */
Datum
annoy_vector_typmod_in(PG_FUNCTION_ARGS)
{
	ArrayType  *array = PG_GETARG_ARRAYTYPE_P(0);
	int32	   *typmods;
	int			count;

	typmods = ArrayGetIntegerTypmods(array, &count);
	if (count != 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid type modifier"),
				 errdetail("Type vector takes its number of dimensions and nothing else.")));
	if (typmods[0] < 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("dimensions for type vector must be at least 1")));
	if (typmods[0] > ANNOY_VECTOR_MAX_DIM)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("dimensions for type vector cannot exceed %d",
						ANNOY_VECTOR_MAX_DIM)));
	PG_RETURN_INT32(typmods[0]);
}

/*
 * vector_recv(internal, oid, integer): int16 dimension, int16 zero, float4s,
 * all with the most significant byte first.
 */
Datum
annoy_vector_recv(PG_FUNCTION_ARGS)
{
	StringInfo	buffer = (StringInfo) PG_GETARG_POINTER(0);
	int32		typmod = PG_GETARG_INT32(2);
	int16		dim = (int16) pq_getmsgint(buffer, sizeof(int16));
	int16		unused = (int16) pq_getmsgint(buffer, sizeof(int16));
	AnnoyVector *result;

	(void) AnnoyCheckVectorDimensions(dim, typmod, NULL);
	if (unused != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
				 errmsg("expected unused to be 0, not %d", unused)));

	result = AnnoyNewVector(dim);
	for (int i = 0; i < dim; i++)
	{
		result->x[i] = pq_getmsgfloat4(buffer);
		(void) AnnoyCheckVectorElement(result->x[i], NULL);
	}
	PG_RETURN_ANNOY_VECTOR_P(result);
}

/*
 * vector_send(vector): see annoy_vector_recv.
 */
Datum
annoy_vector_send(PG_FUNCTION_ARGS)
{
	AnnoyVector *vector = PG_GETARG_ANNOY_VECTOR_P(0);
	StringInfoData buffer;

	pq_begintypsend(&buffer);
	enlargeStringInfo(&buffer, (int) ANNOY_VECTOR_SIZE(vector->dim));
	pq_sendint16(&buffer, (uint16) vector->dim);
	pq_sendint16(&buffer, (uint16) vector->unused);
	for (int i = 0; i < vector->dim; i++)
		pq_sendfloat4(&buffer, vector->x[i]);
	PG_RETURN_BYTEA_P(pq_endtypsend(&buffer));
}

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

/*
 * vector_dims(vector): number of dimensions.
 */
Datum
annoy_vector_dims(PG_FUNCTION_ARGS)
{
	AnnoyVector *vector = PG_GETARG_ANNOY_VECTOR_P(0);

	PG_RETURN_INT32(vector->dim);
}

int
AnnoyCompareVectors(const AnnoyVector *a, const AnnoyVector *b)
{
	int			shorter = Min(a->dim, b->dim);

	/* elements are never NaN, so that "not equal" is less or greater */
	for (int i = 0; i < shorter; i++)
	{
		if (a->x[i] != b->x[i])
			return a->x[i] < b->x[i] ? -1 : 1;
	}
	return (a->dim > b->dim) - (a->dim < b->dim);
}

/*
 * Compares the two arguments of a function.  Frees copies, since btree calls
 * comparisons many times in one memory context.
 */
static int
compare_arguments(FunctionCallInfo fcinfo)
{
	AnnoyVector *a = PG_GETARG_ANNOY_VECTOR_P(0);
	AnnoyVector *b = PG_GETARG_ANNOY_VECTOR_P(1);
	int			result = AnnoyCompareVectors(a, b);

	PG_FREE_IF_COPY(a, 0);
	PG_FREE_IF_COPY(b, 1);
	return result;
}

/*
 * vector_cmp(vector, vector): the btree support function.
 */
Datum
annoy_vector_cmp(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT32(compare_arguments(fcinfo));
}

/*
 * vector_lt, _le, _eq, _ne, _ge, _gt: the comparison operators.
 */
#define COMPARISON_FUNCTION(name, operator) \
Datum \
name(PG_FUNCTION_ARGS) \
{ \
	PG_RETURN_BOOL(compare_arguments(fcinfo) operator 0); \
}

COMPARISON_FUNCTION(annoy_vector_lt, <)
COMPARISON_FUNCTION(annoy_vector_le, <=)
COMPARISON_FUNCTION(annoy_vector_eq, ==)
COMPARISON_FUNCTION(annoy_vector_ne, !=)
COMPARISON_FUNCTION(annoy_vector_ge, >=)
COMPARISON_FUNCTION(annoy_vector_gt, >)

/*
 * Raises an error if arithmetic on finite elements left the range of float.
 * A loop of its own, so that both loops need no branch and are vectorised.
 */
static void
check_overflow(const AnnoyVector *vector)
{
	int			overflows = 0;

	for (int i = 0; i < vector->dim; i++)
		overflows |= !(fabsf(vector->x[i]) <= FLT_MAX);
	if (unlikely(overflows))
		float_overflow_error();
}

/*
 * vector_add(vector, vector): element by element.
 */
Datum
annoy_vector_add(PG_FUNCTION_ARGS)
{
	AnnoyVector *a = PG_GETARG_ANNOY_VECTOR_P(0);
	AnnoyVector *b = PG_GETARG_ANNOY_VECTOR_P(1);
	AnnoyVector *result;

	AnnoyCheckSameDimensions(a, b);
	result = AnnoyNewVector(a->dim);
	for (int i = 0, dim = a->dim; i < dim; i++)
		result->x[i] = a->x[i] + b->x[i];
	check_overflow(result);
	PG_RETURN_ANNOY_VECTOR_P(result);
}

/*
 * vector_sub(vector, vector): element by element.
 */
Datum
annoy_vector_sub(PG_FUNCTION_ARGS)
{
	AnnoyVector *a = PG_GETARG_ANNOY_VECTOR_P(0);
	AnnoyVector *b = PG_GETARG_ANNOY_VECTOR_P(1);
	AnnoyVector *result;

	AnnoyCheckSameDimensions(a, b);
	result = AnnoyNewVector(a->dim);
	for (int i = 0, dim = a->dim; i < dim; i++)
		result->x[i] = a->x[i] - b->x[i];
	check_overflow(result);
	PG_RETURN_ANNOY_VECTOR_P(result);
}

/*
 * vector_mul(vector, vector): element by element.  As for float4, a product
 * of numbers other than zero that becomes zero is an error.
 */
Datum
annoy_vector_mul(PG_FUNCTION_ARGS)
{
	AnnoyVector *a = PG_GETARG_ANNOY_VECTOR_P(0);
	AnnoyVector *b = PG_GETARG_ANNOY_VECTOR_P(1);
	AnnoyVector *result;
	int			underflows = 0;

	AnnoyCheckSameDimensions(a, b);
	result = AnnoyNewVector(a->dim);
	for (int i = 0, dim = a->dim; i < dim; i++)
		result->x[i] = a->x[i] * b->x[i];
	check_overflow(result);

	for (int i = 0, dim = a->dim; i < dim; i++)
		underflows |= (result->x[i] == 0.0f) & (a->x[i] != 0.0f) &
			(b->x[i] != 0.0f);
	if (unlikely(underflows))
		float_underflow_error();
	PG_RETURN_ANNOY_VECTOR_P(result);
}

/*
 * vector_concat(vector, vector): the elements of the first, then of the
 * second.
 */
Datum
annoy_vector_concat(PG_FUNCTION_ARGS)
{
	AnnoyVector *a = PG_GETARG_ANNOY_VECTOR_P(0);
	AnnoyVector *b = PG_GETARG_ANNOY_VECTOR_P(1);
	int			dim = a->dim + b->dim;
	AnnoyVector *result;

	(void) AnnoyCheckVectorDimensions(dim, -1, NULL);
	result = AnnoyNewVector(dim);
	memcpy(result->x, a->x, sizeof(float) * a->dim);
	memcpy(result->x + a->dim, b->x, sizeof(float) * b->dim);
	PG_RETURN_ANNOY_VECTOR_P(result);
}

/*
 * subvector(vector, start, count): count elements from the start-th on,
 * counted from 1.  As with substring, what lies outside of the vector is
 * left out; but nothing at all is no vector.
 */
Datum
annoy_subvector(PG_FUNCTION_ARGS)
{
	AnnoyVector *vector = PG_GETARG_ANNOY_VECTOR_P(0);
	int64		start = PG_GETARG_INT32(1);
	int64		end = start + PG_GETARG_INT32(2);
	int			dim;
	AnnoyVector *result;

	start = Max(start, 1);
	end = Min(end, (int64) vector->dim + 1);
	dim = end > start ? (int) (end - start) : 0;
	(void) AnnoyCheckVectorDimensions(dim, -1, NULL);
	result = AnnoyNewVector(dim);
	memcpy(result->x, vector->x + start - 1, sizeof(float) * dim);
	PG_RETURN_ANNOY_VECTOR_P(result);
}

/*
 * binary_quantize(vector): a bit for every element, set if it is above zero.
 */
Datum
annoy_binary_quantize(PG_FUNCTION_ARGS)
{
	AnnoyVector *vector = PG_GETARG_ANNOY_VECTOR_P(0);
	int			dim = vector->dim;
	VarBit	   *result = (VarBit *) palloc0(VARBITTOTALLEN(dim));

	SET_VARSIZE(result, VARBITTOTALLEN(dim));
	VARBITLEN(result) = dim;
	for (int i = 0; i < dim; i++)
	{
		/* bit strings begin at the most significant bit */
		if (vector->x[i] > 0.0f)
			VARBITS(result)[i / BITS_PER_BYTE] |=
				1 << (BITS_PER_BYTE - 1 - i % BITS_PER_BYTE);
	}
	PG_RETURN_VARBIT_P(result);
}

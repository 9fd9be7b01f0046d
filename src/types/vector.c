/*-------------------------------------------------------------------------
 *
 * vector.c
 *	  The SQL type vector: what a value may be, input and output.
 *
 * Names, argument order and text of what users meet agree with pgvector's
 * type of the same name, so that programs written for it work unchanged.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <ctype.h>

#include "common/shortest_dec.h"
#include "libpq/pqformat.h"
#include "utils/array.h"

#include "types/vector.h"

PG_FUNCTION_INFO_V1(annoy_vector_in);
PG_FUNCTION_INFO_V1(annoy_vector_out);
PG_FUNCTION_INFO_V1(annoy_vector_typmod_in);
PG_FUNCTION_INFO_V1(annoy_vector_recv);
PG_FUNCTION_INFO_V1(annoy_vector_send);
PG_FUNCTION_INFO_V1(annoy_vector_dims);

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
 * vector_dims(vector): number of dimensions.
 */
Datum
annoy_vector_dims(PG_FUNCTION_ARGS)
{
	AnnoyVector *vector = PG_GETARG_ANNOY_VECTOR_P(0);

	PG_RETURN_INT32(vector->dim);
}

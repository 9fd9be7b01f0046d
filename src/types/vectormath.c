/*-------------------------------------------------------------------------
 *
 * vectormath.c
 *	  Comparison and arithmetic of the SQL type vector.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/float.h"
#include "utils/varbit.h"

#include "types/vector.h"

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

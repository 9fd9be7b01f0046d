/*-------------------------------------------------------------------------
 *
 * aggregate.c
 *	  The aggregates avg(vector) and sum(vector).
 *
 * Their state is a double precision array {number of vectors, sum of the
 * first elements, sum of the second ones, ...}, or {0} before the first
 * vector.  Parallel workers hand it to the leader as it is, which needs no
 * serialisation function; and sums of floats in double precision lose nothing
 * that a float result would show.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/float.h"

#include "types/vector.h"

PG_FUNCTION_INFO_V1(annoy_vector_accum);
PG_FUNCTION_INFO_V1(annoy_vector_combine);
PG_FUNCTION_INFO_V1(annoy_vector_avg);
PG_FUNCTION_INFO_V1(annoy_vector_sum);

#define STATE_COUNT(state) (((float8 *) ARR_DATA_PTR(state))[0])
#define STATE_SUMS(state) ((float8 *) ARR_DATA_PTR(state) + 1)

/*
 * Number of dimensions of a state, 0 before the first vector.  The functions
 * can be called by anyone with any array, so look closely.
 */
static int
state_dimensions(ArrayType *state)
{
	int			dim = -1;

	if (ARR_NDIM(state) == 1 && !ARR_HASNULL(state) &&
		ARR_ELEMTYPE(state) == FLOAT8OID)
		dim = ARR_DIMS(state)[0] - 1;

	/* a count says whether there are sums */
	if (dim < 0 || dim > ANNOY_VECTOR_MAX_DIM ||
		(dim == 0) != (STATE_COUNT(state) == 0.0))
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("invalid transition state of a vector aggregate")));
	return dim;
}

static ArrayType *
new_state(int dim)
{
	Size		size = ARR_OVERHEAD_NONULLS(1) + sizeof(float8) * (dim + 1);
	ArrayType  *result = (ArrayType *) palloc0(size);

	SET_VARSIZE(result, size);
	result->ndim = 1;
	result->dataoffset = 0;
	result->elemtype = FLOAT8OID;
	ARR_DIMS(result)[0] = dim + 1;
	ARR_LBOUND(result)[0] = 1;
	return result;
}

/*
 * The state that a transition function may write to: the given one inside an
 * aggregate, which owns it, and a copy when called by a user.
 */
static ArrayType *
writable_state(FunctionCallInfo fcinfo, ArrayType *state)
{
	ArrayType  *copy;

	if (AggCheckCallContext(fcinfo, NULL))
		return state;
	copy = (ArrayType *) palloc(VARSIZE(state));
	memcpy(copy, state, VARSIZE(state));
	return copy;
}

static void
check_state_dimensions(int expected, int dim)
{
	if (expected != dim)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("expected %d dimensions, not %d", expected, dim)));
}

/*
 * vector_accum(double precision[], vector): adds a vector to a state.
 */
Datum
annoy_vector_accum(PG_FUNCTION_ARGS)
{
	ArrayType  *state = PG_GETARG_ARRAYTYPE_P(0);
	AnnoyVector *vector = PG_GETARG_ANNOY_VECTOR_P(1);
	int			dim = state_dimensions(state);
	float8	   *sums;

	if (dim == 0)
	{
		dim = vector->dim;
		state = new_state(dim);
	}
	else
	{
		check_state_dimensions(dim, vector->dim);
		state = writable_state(fcinfo, state);
	}

	STATE_COUNT(state) += 1.0;
	sums = STATE_SUMS(state);
	for (int i = 0; i < dim; i++)
		sums[i] += (double) vector->x[i];
	PG_RETURN_ARRAYTYPE_P(state);
}

/*
 * vector_combine(double precision[], double precision[]): adds one state to
 * another.
 */
Datum
annoy_vector_combine(PG_FUNCTION_ARGS)
{
	ArrayType  *state = PG_GETARG_ARRAYTYPE_P(0);
	ArrayType  *other = PG_GETARG_ARRAYTYPE_P(1);
	int			dim = state_dimensions(state);
	int			other_dim = state_dimensions(other);
	float8	   *sums;
	const float8 *other_sums;

	if (other_dim == 0)
		PG_RETURN_ARRAYTYPE_P(state);
	if (dim == 0)
		PG_RETURN_ARRAYTYPE_P(other);
	check_state_dimensions(dim, other_dim);

	state = writable_state(fcinfo, state);
	STATE_COUNT(state) += STATE_COUNT(other);
	sums = STATE_SUMS(state);
	other_sums = STATE_SUMS(other);
	for (int i = 0; i < dim; i++)
		sums[i] += other_sums[i];
	PG_RETURN_ARRAYTYPE_P(state);
}

/*
 * The vector of all sums divided by a number.
 */
static AnnoyVector *
divide_sums(ArrayType *state, double divisor)
{
	int			dim = state_dimensions(state);
	const float8 *sums = STATE_SUMS(state);
	AnnoyVector *result = AnnoyNewVector(dim);

	for (int i = 0; i < dim; i++)
	{
		double		quotient = sums[i] / divisor;

		result->x[i] = (float) quotient;
		if (unlikely(isinf(result->x[i])) && !isinf(quotient))
			float_overflow_error();
		(void) AnnoyCheckVectorElement(result->x[i], NULL);
	}
	return result;
}

/*
 * vector_avg(double precision[]): the mean; NULL if there was no vector.
 */
Datum
annoy_vector_avg(PG_FUNCTION_ARGS)
{
	ArrayType  *state = PG_GETARG_ARRAYTYPE_P(0);

	if (state_dimensions(state) == 0)
		PG_RETURN_NULL();
	PG_RETURN_ANNOY_VECTOR_P(divide_sums(state, STATE_COUNT(state)));
}

/*
 * vector_sum(double precision[]): the sum; NULL if there was no vector.
 */
Datum
annoy_vector_sum(PG_FUNCTION_ARGS)
{
	ArrayType  *state = PG_GETARG_ARRAYTYPE_P(0);

	if (state_dimensions(state) == 0)
		PG_RETURN_NULL();
	PG_RETURN_ANNOY_VECTOR_P(divide_sums(state, 1.0));
}

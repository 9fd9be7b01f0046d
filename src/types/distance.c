/*-------------------------------------------------------------------------
 *
 * distance.c
 *	  Distances between vectors, and norms.
 *
 * All sums come from the float kernels, which give the same bits on every
 * processor.  Float has the precision for that, but not always the range:
 * squares of elements above 1.8e19 overflow, and below about 1e-19 they lose
 * digits or vanish.  Such sums show by being infinite, NaN or tiny, and are
 * then computed once more in double precision, whose range is never left:
 * 16,000 products of floats lie below 1.9e81, and no product is below 1e-90.
 *
 * Argument order, units and the treatment of zero vectors are pgvector's;
 * angular_distance has the unit of the Annoy library.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/float.h"

#include "arith/kernel.h"
#include "types/vector.h"

PG_FUNCTION_INFO_V1(annoy_vector_l2_distance);
PG_FUNCTION_INFO_V1(annoy_vector_l2_squared_distance);
PG_FUNCTION_INFO_V1(annoy_vector_inner_product);
PG_FUNCTION_INFO_V1(annoy_vector_negative_inner_product);
PG_FUNCTION_INFO_V1(annoy_vector_cosine_distance);
PG_FUNCTION_INFO_V1(annoy_vector_l1_distance);
PG_FUNCTION_INFO_V1(annoy_vector_angular_distance);
PG_FUNCTION_INFO_V1(annoy_vector_norm);
PG_FUNCTION_INFO_V1(annoy_vector_l2_normalize);

/*
 * Sums of products below this are not trusted.  Each of at most 16,000
 * products may have been rounded by half of the smallest float, 7e-46, or
 * 1.2e-41 together: at 1e-30 still far below the rounding of the sum itself.
 */
#define SMALLEST_TRUSTED_SUM 1e-30f

/* False also for NaN and infinity. */
static inline bool
is_trusted(float sum)
{
	float		size = fabsf(sum);

	return size >= SMALLEST_TRUSTED_SUM && size <= FLT_MAX;
}

static double
l2_squared_in_double(int n, const float *a, const float *b)
{
	double		sum = 0.0;

	for (int i = 0; i < n; i++)
	{
		double		difference = (double) a[i] - (double) b[i];

		sum += difference * difference;
	}
	return sum;
}

static double
inner_product_in_double(int n, const float *a, const float *b)
{
	double		sum = 0.0;

	for (int i = 0; i < n; i++)
		sum += (double) a[i] * (double) b[i];
	return sum;
}

static double
l1_in_double(int n, const float *a, const float *b)
{
	double		sum = 0.0;

	for (int i = 0; i < n; i++)
		sum += fabs((double) a[i] - (double) b[i]);
	return sum;
}

static double
l2_squared(const AnnoyVector *a, const AnnoyVector *b)
{
	float		sum = annoy_kernels.l2_squared(a->dim, a->x, b->x);

	if (likely(is_trusted(sum)))
		return sum;
	return l2_squared_in_double(a->dim, a->x, b->x);
}

static double
inner_product(const AnnoyVector *a, const AnnoyVector *b)
{
	float		sum = annoy_kernels.inner_product(a->dim, a->x, b->x);

	if (likely(is_trusted(sum)))
		return sum;
	return inner_product_in_double(a->dim, a->x, b->x);
}

/*
 * Differences of floats neither vanish nor lose digits by being small, so
 * only the upper end of the range matters here.
 */
static double
l1(const AnnoyVector *a, const AnnoyVector *b)
{
	float		sum = annoy_kernels.l1(a->dim, a->x, b->x);

	if (likely(sum <= FLT_MAX))
		return sum;
	return l1_in_double(a->dim, a->x, b->x);
}

/*
 * Cosine of the angle between two vectors, in [-1, 1]; NaN if one of them is
 * zero, since that has no direction.  The product of two squared norms is
 * exact in double, so that the cosine of a vector with itself is exactly 1.
 */
static double
cosine(const AnnoyVector *a, const AnnoyVector *b)
{
	float		sums[3];
	double		product;
	double		squared_a;
	double		squared_b;
	double		result;

	annoy_kernels.inner_products(a->dim, a->x, b->x, sums);
	product = sums[0];
	squared_a = sums[1];
	squared_b = sums[2];
	if (unlikely(!is_trusted(sums[1]) || !is_trusted(sums[2]) ||
				 !isfinite(sums[0])))
	{
		product = inner_product_in_double(a->dim, a->x, b->x);
		squared_a = inner_product_in_double(a->dim, a->x, a->x);
		squared_b = inner_product_in_double(b->dim, b->x, b->x);
	}
	if (squared_a == 0.0 || squared_b == 0.0)
		return get_float8_nan();

	result = product / sqrt(squared_a * squared_b);
	return Max(-1.0, Min(1.0, result));
}

double
AnnoyVectorNorm(const AnnoyVector *vector)
{
	return sqrt(inner_product(vector, vector));
}

/* Applies one of these to the two arguments of an SQL function. */
static inline double
measure(FunctionCallInfo fcinfo,
		double (*function) (const AnnoyVector *a, const AnnoyVector *b))
{
	AnnoyVector *a = PG_GETARG_ANNOY_VECTOR_P(0);
	AnnoyVector *b = PG_GETARG_ANNOY_VECTOR_P(1);

	AnnoyCheckSameDimensions(a, b);
	return function(a, b);
}

/*
 * l2_distance(vector, vector), <->: Euclidean distance.
 */
Datum
annoy_vector_l2_distance(PG_FUNCTION_ARGS)
{
	PG_RETURN_FLOAT8(sqrt(measure(fcinfo, l2_squared)));
}

/*
 * vector_l2_squared_distance(vector, vector): the same without the root.
 */
Datum
annoy_vector_l2_squared_distance(PG_FUNCTION_ARGS)
{
	PG_RETURN_FLOAT8(measure(fcinfo, l2_squared));
}

/*
 * inner_product(vector, vector)
 */
Datum
annoy_vector_inner_product(PG_FUNCTION_ARGS)
{
	PG_RETURN_FLOAT8(measure(fcinfo, inner_product));
}

/*
 * vector_negative_inner_product(vector, vector), <#>: negative, since an
 * index can only be asked for ascending order.
 */
Datum
annoy_vector_negative_inner_product(PG_FUNCTION_ARGS)
{
	PG_RETURN_FLOAT8(-measure(fcinfo, inner_product));
}

/*
 * cosine_distance(vector, vector), <=>: 1 - cosine; NaN for a zero vector.
 */
Datum
annoy_vector_cosine_distance(PG_FUNCTION_ARGS)
{
	PG_RETURN_FLOAT8(1.0 - measure(fcinfo, cosine));
}

/*
 * l1_distance(vector, vector), <+>: sum of absolute differences.
 */
Datum
annoy_vector_l1_distance(PG_FUNCTION_ARGS)
{
	PG_RETURN_FLOAT8(measure(fcinfo, l1));
}

/*
 * angular_distance(vector, vector): Annoy's unit of the metric "angular", the
 * Euclidean distance between the normalised vectors.  Annoy counts a zero
 * vector as orthogonal to every other.
 */
Datum
annoy_vector_angular_distance(PG_FUNCTION_ARGS)
{
	double		similarity = measure(fcinfo, cosine);

	if (isnan(similarity))
		similarity = 0.0;
	PG_RETURN_FLOAT8(sqrt(Max(2.0 - 2.0 * similarity, 0.0)));
}

/*
 * vector_norm(vector): Euclidean norm.
 */
Datum
annoy_vector_norm(PG_FUNCTION_ARGS)
{
	AnnoyVector *vector = PG_GETARG_ANNOY_VECTOR_P(0);

	PG_RETURN_FLOAT8(AnnoyVectorNorm(vector));
}

/*
 * l2_normalize(vector): the vector divided by its norm; a zero vector stays
 * as it is.
 */
Datum
annoy_vector_l2_normalize(PG_FUNCTION_ARGS)
{
	AnnoyVector *vector = PG_GETARG_ANNOY_VECTOR_P(0);
	double		norm = AnnoyVectorNorm(vector);
	AnnoyVector *result = AnnoyNewVector(vector->dim);

	/* |element| <= norm but for rounding: no quotient leaves the range */
	for (int i = 0; i < vector->dim; i++)
		result->x[i] = norm > 0.0 ? (float) (vector->x[i] / norm) : 0.0f;
	PG_RETURN_ANNOY_VECTOR_P(result);
}

/*-------------------------------------------------------------------------
 *
 * halfvec.c
 *	  Operator classes for pgvector's type halfvec: how its values are read.
 *
 * The type itself is pgvector's, and so are its distances.  Items keep the
 * value as it is; the forest works on its elements as floats.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "annoycompat.h"
#include "arith/half.h"
#include "definition/opclass.h"

/*
 * A value of type halfvec:
 *
 *	 bytes	0			4			 6		  8
 *			+-----------+------------+--------+------+------+-----
 *			| varlena   | dimensions | unused | x[0] | x[1] | ...
 *			| header	| int16		 | int16  | binary16
 *			+-----------+------------+--------+------+------+-----
 */
typedef struct HalfvecValue
{
	int32		vl_len_;		/* varlena header (do not touch directly!) */
	int16		dimensions;
	int16		unused;
	uint16		elements[FLEXIBLE_ARRAY_MEMBER];
} HalfvecValue;

StaticAssertDecl(offsetof(HalfvecValue, elements) == 8,
				 "elements of a halfvec begin at byte 8");

PG_FUNCTION_INFO_V1(annoy_halfvec_l2_support);
PG_FUNCTION_INFO_V1(annoy_halfvec_cosine_support);
PG_FUNCTION_INFO_V1(annoy_halfvec_ip_support);
PG_FUNCTION_INFO_V1(annoy_halfvec_l1_support);

/* Checks what the heap gave us before anything relies on it. */
static int
halfvec_dimensions(const void *value)
{
	const HalfvecValue *halfvec = value;
	Size		size = VARSIZE(halfvec);

	if (size < offsetof(HalfvecValue, elements) ||
		halfvec->dimensions < 1 ||
		halfvec->dimensions > ANNOY_MAX_DIMENSIONS ||
		size != offsetof(HalfvecValue, elements) +
		halfvec->dimensions * sizeof(uint16))
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("malformed halfvec value of %zu bytes", size)));

	return halfvec->dimensions;
}

static const float *
halfvec_floats(const void *value, float *scratch)
{
	const HalfvecValue *halfvec = value;

	AnnoyHalfToFloat(halfvec->elements, scratch, halfvec->dimensions);
	return scratch;
}

static const AnnoyElementType halfvec_element = {
	.kind = ANNOY_ELEMENT_HALF,
	.max_dimensions = ANNOY_MAX_DIMENSIONS,
	.element_bits = 16,
	.dimensions = halfvec_dimensions,
	.floats = halfvec_floats
};

static const AnnoyOpclassInfo halfvec_l2_info = {
	.metric = ANNOY_METRIC_L2,
	.element = &halfvec_element
};

static const AnnoyOpclassInfo halfvec_cosine_info = {
	.metric = ANNOY_METRIC_COSINE,
	.element = &halfvec_element
};

static const AnnoyOpclassInfo halfvec_ip_info = {
	.metric = ANNOY_METRIC_INNER_PRODUCT,
	.element = &halfvec_element
};

static const AnnoyOpclassInfo halfvec_l1_info = {
	.metric = ANNOY_METRIC_L1,
	.element = &halfvec_element
};

/* SQL: annoy_halfvec_l2_support(internal) returns internal */
Datum
annoy_halfvec_l2_support(PG_FUNCTION_ARGS)
{
	PG_RETURN_POINTER(&halfvec_l2_info);
}

/* SQL: annoy_halfvec_cosine_support(internal) returns internal */
Datum
annoy_halfvec_cosine_support(PG_FUNCTION_ARGS)
{
	PG_RETURN_POINTER(&halfvec_cosine_info);
}

/* SQL: annoy_halfvec_ip_support(internal) returns internal */
Datum
annoy_halfvec_ip_support(PG_FUNCTION_ARGS)
{
	PG_RETURN_POINTER(&halfvec_ip_info);
}

/* SQL: annoy_halfvec_l1_support(internal) returns internal */
Datum
annoy_halfvec_l1_support(PG_FUNCTION_ARGS)
{
	PG_RETURN_POINTER(&halfvec_l1_info);
}

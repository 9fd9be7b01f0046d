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
	AnnoyVectorHeader header;
	uint16		elements[FLEXIBLE_ARRAY_MEMBER];
} HalfvecValue;

StaticAssertDecl(offsetof(HalfvecValue, elements) == 8,
				 "elements of a halfvec begin at byte 8");

static int
halfvec_dimensions(const void *value)
{
	const AnnoyVectorHeader *header = value;

	if (!AnnoyVectorIsSound(header, sizeof(uint16)))
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("malformed halfvec value of %zu bytes",
						(Size) VARSIZE(value))));
	return header->dimensions;
}

static const float *
halfvec_floats(const void *value, float *scratch)
{
	const HalfvecValue *halfvec = value;

	AnnoyHalfToFloat(halfvec->elements, scratch, halfvec->header.dimensions);
	return scratch;
}

static const AnnoyElementType halfvec_element = {
	.kind = ANNOY_ELEMENT_HALF,
	.max_dimensions = ANNOY_MAX_DIMENSIONS,
	.element_bits = 16,
	.dimensions = halfvec_dimensions,
	.floats = halfvec_floats
};

ANNOY_INFO_FUNCTION(annoy_halfvec_l2_support, ANNOY_METRIC_L2, halfvec_element);
ANNOY_INFO_FUNCTION(annoy_halfvec_cosine_support, ANNOY_METRIC_COSINE, halfvec_element);
ANNOY_INFO_FUNCTION(annoy_halfvec_ip_support, ANNOY_METRIC_INNER_PRODUCT, halfvec_element);
ANNOY_INFO_FUNCTION(annoy_halfvec_l1_support, ANNOY_METRIC_L1, halfvec_element);

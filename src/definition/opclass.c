/*-------------------------------------------------------------------------
 *
 * opclass.c
 *	  Support functions of the operator classes.
 *
 * A value of type vector is a varlena header, two int16 (dimensions; unused)
 * and the elements as float4: pgvector's layout too, whose columns are read
 * here as well.  So nothing of our own type's header is used.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "annoycompat.h"
#include "definition/opclass.h"

typedef struct VectorValue
{
	AnnoyVectorHeader header;
	float4		elements[FLEXIBLE_ARRAY_MEMBER];
} VectorValue;

StaticAssertDecl(offsetof(VectorValue, elements) == 8,
				 "elements of a vector begin at byte 8");

bool
AnnoyVectorIsSound(const AnnoyVectorHeader *value, Size element_size)
{
	Size		size = VARSIZE(value);

	return size >= sizeof(AnnoyVectorHeader) && value->dimensions >= 1 &&
		value->dimensions <= ANNOY_MAX_DIMENSIONS &&
		size == sizeof(AnnoyVectorHeader) + value->dimensions * element_size;
}

static int
vector_dimensions(const void *value)
{
	const AnnoyVectorHeader *header = value;

	if (!AnnoyVectorIsSound(header, sizeof(float4)))
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("malformed vector value of %zu bytes",
						(Size) VARSIZE(value))));
	return header->dimensions;
}

static const float *
vector_floats(const void *value, float *scratch)
{
	return ((const VectorValue *) value)->elements;
}

static const AnnoyElementType vector_element = {
	.kind = ANNOY_ELEMENT_FLOAT4,
	.max_dimensions = ANNOY_MAX_DIMENSIONS,
	.element_bits = 32,
	.dimensions = vector_dimensions,
	.floats = vector_floats
};

ANNOY_INFO_FUNCTION(annoy_vector_l2_support, ANNOY_METRIC_L2, vector_element);
ANNOY_INFO_FUNCTION(annoy_vector_cosine_support, ANNOY_METRIC_COSINE, vector_element);
ANNOY_INFO_FUNCTION(annoy_vector_ip_support, ANNOY_METRIC_INNER_PRODUCT, vector_element);
ANNOY_INFO_FUNCTION(annoy_vector_l1_support, ANNOY_METRIC_L1, vector_element);

/* What the operator class of an index says; lives for ever. */
const AnnoyOpclassInfo *
AnnoyGetOpclassInfo(Relation index)
{
	FmgrInfo   *function = index_getprocinfo(index, 1, ANNOY_INFO_PROC);

	return (const AnnoyOpclassInfo *)
		DatumGetPointer(FunctionCall1(function, PointerGetDatum(NULL)));
}

void
AnnoyReportDimensions(Relation index, const AnnoyElementType *element,
					  int dimensions, int found)
{
	/* the first lines are those of the distances' own errors */
	if (element->kind == ANNOY_ELEMENT_BIT)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("different bit lengths %d and %d", dimensions, found),
				 errdetail("Index \"%s\" holds bit strings of %d bits.",
						   RelationGetRelationName(index), dimensions)));
	ereport(ERROR,
			(errcode(ERRCODE_DATA_EXCEPTION),
			 errmsg("different vector dimensions %d and %d", dimensions,
					found),
			 errdetail("Index \"%s\" holds vectors of %d dimensions.",
					   RelationGetRelationName(index), dimensions)));
}

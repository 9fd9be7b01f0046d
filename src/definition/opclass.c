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
	int32		vl_len_;		/* varlena header (do not touch directly!) */
	int16		dimensions;
	int16		unused;
	float4		elements[FLEXIBLE_ARRAY_MEMBER];
} VectorValue;

StaticAssertDecl(offsetof(VectorValue, elements) == 8,
				 "elements of a vector begin at byte 8");

PG_FUNCTION_INFO_V1(annoy_vector_l2_support);
PG_FUNCTION_INFO_V1(annoy_vector_cosine_support);
PG_FUNCTION_INFO_V1(annoy_vector_ip_support);
PG_FUNCTION_INFO_V1(annoy_vector_l1_support);

/* Checks what the heap gave us before anything relies on it. */
static int
vector_dimensions(const void *value)
{
	const VectorValue *vector = value;
	Size		size = VARSIZE(vector);

	if (size < offsetof(VectorValue, elements) ||
		vector->dimensions < 1 ||
		vector->dimensions > ANNOY_MAX_DIMENSIONS ||
		size != offsetof(VectorValue, elements) +
		vector->dimensions * sizeof(float4))
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("malformed vector value of %zu bytes", size)));

	return vector->dimensions;
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

static const AnnoyOpclassInfo vector_l2_info = {
	.metric = ANNOY_METRIC_L2,
	.element = &vector_element
};

static const AnnoyOpclassInfo vector_cosine_info = {
	.metric = ANNOY_METRIC_COSINE,
	.element = &vector_element
};

static const AnnoyOpclassInfo vector_ip_info = {
	.metric = ANNOY_METRIC_INNER_PRODUCT,
	.element = &vector_element
};

static const AnnoyOpclassInfo vector_l1_info = {
	.metric = ANNOY_METRIC_L1,
	.element = &vector_element
};

/* SQL: annoy_vector_l2_support(internal) returns internal */
Datum
annoy_vector_l2_support(PG_FUNCTION_ARGS)
{
	PG_RETURN_POINTER(&vector_l2_info);
}

/* SQL: annoy_vector_cosine_support(internal) returns internal */
Datum
annoy_vector_cosine_support(PG_FUNCTION_ARGS)
{
	PG_RETURN_POINTER(&vector_cosine_info);
}

/* SQL: annoy_vector_ip_support(internal) returns internal */
Datum
annoy_vector_ip_support(PG_FUNCTION_ARGS)
{
	PG_RETURN_POINTER(&vector_ip_info);
}

/* SQL: annoy_vector_l1_support(internal) returns internal */
Datum
annoy_vector_l1_support(PG_FUNCTION_ARGS)
{
	PG_RETURN_POINTER(&vector_l1_info);
}

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

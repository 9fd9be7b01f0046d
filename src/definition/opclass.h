/*-------------------------------------------------------------------------
 *
 * opclass.h
 *	  What an operator class tells the access method.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ANNOY_OPCLASS_H
#define ANNOY_OPCLASS_H

#include "arith/sketch.h"

/* Support functions of an operator class. */
#define ANNOY_DISTANCE_PROC 1	/* the ordering operator's own function:
								 * (type, type) returns float8 */
#define ANNOY_INFO_PROC 2		/* (internal) returns internal: an
								 * AnnoyOpclassInfo that lives for ever */
#define ANNOY_PROC_COUNT 2

#define ANNOY_DISTANCE_STRATEGY 1
#define ANNOY_STRATEGY_COUNT 1

/* On disk (metapage): do not renumber. */
typedef enum AnnoyElementKind
{
	ANNOY_ELEMENT_FLOAT4 = 1,	/* vector */
	ANNOY_ELEMENT_HALF = 2,		/* halfvec */
	ANNOY_ELEMENT_BIT = 3		/* bit */
} AnnoyElementKind;

/*
 * How values of a column type are read.  "value" is always a detoasted varlena
 * with a four-byte header.
 */
typedef struct AnnoyElementType
{
	AnnoyElementKind kind;
	int			max_dimensions;
	int			element_bits;	/* of one element of a value */
	/* number of dimensions; errors out on a malformed value */
	int			(*dimensions) (const void *value);
	/* the elements as floats: a pointer into the value itself, or to scratch,
	 * float[dimensions], filled */
	const float *(*floats) (const void *value, float *scratch);
} AnnoyElementType;

typedef struct AnnoyOpclassInfo
{
	AnnoyMetric metric;
	const AnnoyElementType *element;
} AnnoyOpclassInfo;

#ifdef POSTGRES_H
#include "fmgr.h"
#include "utils/relcache.h"

#include "annoycompat.h"

/* The support function ANNOY_INFO_PROC of an operator class. */
#define ANNOY_INFO_FUNCTION(name, its_metric, its_element) \
PG_FUNCTION_INFO_V1(name); \
Datum \
name(PG_FUNCTION_ARGS) \
{ \
	static const AnnoyOpclassInfo info = { \
		.metric = (its_metric), \
		.element = &(its_element) \
	}; \
\
	PG_RETURN_POINTER(&info); \
} \
extern int	no_such_variable

/* What begins the values of vector and halfvec; their elements follow. */
typedef struct AnnoyVectorHeader
{
	int32		vl_len_;		/* varlena header (do not touch directly!) */
	int16		dimensions;
	int16		unused;
} AnnoyVectorHeader;

/* Checks what the heap gave us before anything relies on it. */
extern bool AnnoyVectorIsSound(const AnnoyVectorHeader *value,
							   Size element_size);

extern const AnnoyOpclassInfo *AnnoyGetOpclassInfo(Relation index);

/* Errors out: a value of another number of dimensions than the index has. */
pg_noreturn extern void AnnoyReportDimensions(Relation index,
											  const AnnoyElementType *element,
											  int dimensions, int found);
#endif

#endif							/* ANNOY_OPCLASS_H */

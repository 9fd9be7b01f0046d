/*-------------------------------------------------------------------------
 *
 * vector.h
 *	  The SQL type vector: its memory layout and what C code may do with it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ANNOY_VECTOR_H
#define ANNOY_VECTOR_H

#include "postgres.h"

#include <float.h>
#include <math.h>

#include "fmgr.h"
#include "nodes/nodes.h"

#include "annoycompat.h"

/*
 * The most dimensions that a vector may have.  A vector of that many fills
 * 64,008 bytes, and its dimension fits the int16 of the layout below.
 */
#define ANNOY_VECTOR_MAX_DIM 16000

/*
 * A value of type vector.  The layout is the same as pgvector's, in memory as
 * on disk, so that columns and client libraries can move between the two:
 *
 *	 bytes	0			4		6		 8
 *			+-----------+-------+--------+------+------+-----
 *			| varlena   | dim	| unused | x[0] | x[1] | ...
 *			| header	| int16 | int16	 | float4
 *			+-----------+-------+--------+------+------+-----
 *
 * Elements are finite: neither NaN nor infinite.
 */
typedef struct AnnoyVector
{
	int32		vl_len_;		/* varlena header, never touched directly */
	int16		dim;			/* number of elements, at least 1 */
	int16		unused;			/* always zero */
	float		x[FLEXIBLE_ARRAY_MEMBER];
} AnnoyVector;

#define ANNOY_VECTOR_SIZE(dim) \
	(offsetof(AnnoyVector, x) + sizeof(float) * (Size) (dim))

StaticAssertDecl(offsetof(AnnoyVector, x) == 8,
				 "layout of vector must not have padding");
StaticAssertDecl(ANNOY_VECTOR_MAX_DIM <= PG_INT16_MAX,
				 "dimension of vector must fit int16");

/* These detoast, so the result may be a copy. */
#define DatumGetAnnoyVectorP(datum) ((AnnoyVector *) PG_DETOAST_DATUM(datum))
#define PG_GETARG_ANNOY_VECTOR_P(n) DatumGetAnnoyVectorP(PG_GETARG_DATUM(n))
#define PG_RETURN_ANNOY_VECTOR_P(vector) PG_RETURN_POINTER(vector)

/* vector.c */

/*
 * Allocates a vector in the current memory context and fills its header.  The
 * caller fills all dim elements; dim must be valid.
 */
extern AnnoyVector *AnnoyNewVector(int dim);

/*
 * Raise an error unless dim is a valid number of dimensions and, with a typmod
 * other than -1, the number that the typmod asks for; unless value may be an
 * element.  With an escontext that asks for soft errors they return false
 * after reporting one.
 */
extern bool AnnoyCheckVectorDimensions(int dim, int32 typmod, Node *escontext);
extern bool AnnoyCheckVectorElement(float value, Node *escontext);

/* Raises an error unless both vectors have the same number of dimensions. */
extern void AnnoyCheckSameDimensions(const AnnoyVector *a,
									 const AnnoyVector *b);

/* vectormath.c */

/*
 * Order of vectors as btree has it: by the elements from the first on; of two
 * vectors that agree as far as the shorter one reaches, the shorter is less.
 * Returns a number below, at or above zero.
 */
extern int	AnnoyCompareVectors(const AnnoyVector *a, const AnnoyVector *b);

/* distance.c */

/* Euclidean norm; right also where the squares leave the range of float. */
extern double AnnoyVectorNorm(const AnnoyVector *vector);

#endif							/* ANNOY_VECTOR_H */

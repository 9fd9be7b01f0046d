/*-------------------------------------------------------------------------
 *
 * refine.h
 *	  Refined codes: further bits for each dimension of a code.
 *
 * A code (sketch.h) has the sign of each dimension of the residual r = o - c.
 * Its refinement says into which step of a fixed width each falls: with B bits
 * in all, level v is one of 2^B, and u = v - (2^B - 1) / 2 is almost along r,
 * so that
 *
 *	  f1' = 2 |r|^2 / <u, r>,  f2' = f2 + f1' <u, c> - f1 <signs, c>
 *
 * take the place of f1 and f2 and u that of the signs (Gao et al., "Practical
 * and asymptotically optimal quantization of high-dimensional vectors in
 * Euclidean space for approximate nearest neighbor search", arXiv 2409.09913;
 * but with one step for all, in units of |r| / sqrt(s), where they search for
 * that of each vector, which gained nothing on the data here).
 *
 * Bytes of a refinement, not aligned:
 *
 *	  +-----------------------------------------+------+------+
 *	  | B - 1 planes of s / 8 bytes: the lower	| g, d |  h   |
 *	  | bits of the levels, higher ones first	| 2 B  | half |
 *	  +-----------------------------------------+------+------+
 *
 *	  g = f1' / f1,  h = (f2' - f2) / (f1 (|c| + sqrt(s) f1))
 *
 * and d is the deviation of u from the direction of the residual, in units of its
 * levels, on which the bounds depend (refine.c has the form).  g is rounded, and
 * f2' is what makes the estimate for the item itself right with the rounded one; h
 * is rounded downwards, so that a bound is not raised by that.  A refinement of
 * zeroes says nothing.
 *
 * Not where codes are bits, which have nothing to be refined.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ANNOY_REFINE_H
#define ANNOY_REFINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "arith/sketch.h"

/* Bits of a level, that of the code among them. */
#define ANNOY_MAX_CODE_BITS 4

/* How many bits for each dimension codes of s dimensions should have. */
extern int	AnnoyChooseCodeBits(int s, bool codes_are_bits);

/* Bytes of a refinement; 0 for codes of one bit. */
extern size_t AnnoyRefinementSize(int s, int bits);

/*
 * Refinement of a code that AnnoyEncodeItem made of the same sketch, centroid
 * and scale; norm_squared: of the dequantised centroid, as AnnoyBeginLeaf gets
 * it; bits: 2 .. ANNOY_MAX_CODE_BITS; f1: of AnnoyEncodeItem, which is 0 for an
 * item of which there is nothing to say.
 */
extern void AnnoyEncodeRefinement(const AnnoySketcher *sketcher,
								  const float *sketch, const int8_t *centroid,
								  float scale, float norm_squared, int bits,
								  float f1, uint8_t *refinement);

/*
 * Makes the query ready for AnnoyRefineBound, after AnnoyBeginLeaf of the same
 * leaf.
 */
extern void AnnoyBeginRefinement(AnnoyQuery *query, int bits,
								 float norm_squared);

/*
 * Bounds of an entry, in the units and with the standard deviations of
 * rank_block's.  code: s / 8 bytes; lower: what rank_block gave, which is the
 * result where the refinement says nothing.  *upper: see AnnoyUpperBound.
 *
 * The result may be below "lower".  The larger of both would be wrong twice as
 * often: on GloVe, one in two of the neighbours that bounds of two deviations
 * lose would be lost by that, and not one exact distance in a hundred spared.
 */
extern float AnnoyRefineBound(const AnnoySketcher *sketcher,
							  const AnnoyQuery *query, const uint8_t *code,
							  const uint8_t *refinement, float f1, float f2,
							  float lower, float *upper);

#endif							/* ANNOY_REFINE_H */

/*-------------------------------------------------------------------------
 *
 * half.h
 *	  Floating-point numbers of 16 bits (IEEE 754 binary16).
 *
 *-------------------------------------------------------------------------
 */
#ifndef ANNOY_HALF_H
#define ANNOY_HALF_H

#include <stdint.h>

/* The largest finite one. */
#define ANNOY_HALF_MAX 65504.0f

/*
 * Converts count numbers, given as their bits, to floats.  Every binary16 is a
 * binary32, so the result is exact: zeroes keep their sign, subnormal numbers
 * become normal ones, and of a NaN sign and payload are kept.
 */
extern void AnnoyHalfToFloat(const uint16_t *half, float *out, int count);

/*
 * The nearest one, halves to the even one, as IEEE 754 says: beyond 65,504 and
 * half a step infinity; a NaN stays one.
 */
extern uint16_t AnnoyFloatToHalf(float value);

/* The largest one that is not above the value; a NaN stays one. */
extern uint16_t AnnoyFloatToHalfBelow(float value);

#endif							/* ANNOY_HALF_H */

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
#include <string.h>

#define ANNOY_HALF_SIGN 0x8000u
#define ANNOY_HALF_MAGNITUDE 0x7FFFu
#define ANNOY_HALF_INFINITY 0x7C00u /* exponent of infinities and NaNs */
#define ANNOY_FLOAT_INFINITY 0x7F800000u
#define ANNOY_HALF_SIGN_SHIFT (31 - 15)
#define ANNOY_HALF_MANTISSA_SHIFT (23 - 10)

/* 2 to the difference of the exponents' biases, 127 - 15 */
#define ANNOY_HALF_EXPONENT_SCALE 0x1p112f

/* The largest finite one. */
#define ANNOY_HALF_MAX 65504.0f

/*
 * A number, given as its bits.  Every binary16 is a binary32, so the result is
 * exact: zeroes keep their sign, subnormal numbers become normal ones, and of a
 * NaN sign and payload are kept.
 *
 * Exponent and mantissa are moved to their places in a float, which then is
 * too small by a constant power of two.  Multiplying by it is exact, and makes
 * subnormal numbers normal on the way.  No branch, so compilers vectorise it.
 */
static inline float
AnnoyHalfValue(uint16_t half)
{
	uint32_t	magnitude = half & ANNOY_HALF_MAGNITUDE;
	uint32_t	bits = magnitude << ANNOY_HALF_MANTISSA_SHIFT;
	float		value;

	memcpy(&value, &bits, sizeof(value));
	value *= ANNOY_HALF_EXPONENT_SCALE;
	memcpy(&bits, &value, sizeof(bits));
	bits |= magnitude >= ANNOY_HALF_INFINITY ? ANNOY_FLOAT_INFINITY : 0;
	bits |= (half & ANNOY_HALF_SIGN) << ANNOY_HALF_SIGN_SHIFT;
	memcpy(&value, &bits, sizeof(value));
	return value;
}

/* The same of count numbers. */
extern void AnnoyHalfToFloat(const uint16_t *half, float *out, int count);

/*
 * The nearest one, halves to the even one, as IEEE 754 says: beyond 65,504 and
 * half a step infinity; a NaN stays one.
 */
extern uint16_t AnnoyFloatToHalf(float value);

/* The largest one that is not above the value; a NaN stays one. */
extern uint16_t AnnoyFloatToHalfBelow(float value);

#endif							/* ANNOY_HALF_H */

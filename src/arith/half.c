/*-------------------------------------------------------------------------
 *
 * half.c
 *	  Floating-point numbers of 16 bits (IEEE 754 binary16).
 *
 *	  bits		15	   14 .. 10		 9 .. 0
 *			 +------+------------+------------+
 *	  half	 | sign |  exponent	 |	mantissa  |	  exponent - 15
 *			 +------+------------+------------+
 *
 *	  bits		31	   30 .. 23		22 .. 0
 *	  float	 | sign |  exponent	 |	mantissa  |	  exponent - 127
 *
 *-------------------------------------------------------------------------
 */
#include "arith/half.h"

#include <string.h>

#define HALF_SIGN 0x8000u
#define HALF_MAGNITUDE 0x7FFFu
#define HALF_INFINITY 0x7C00u	/* exponent of infinities and NaNs */
#define FLOAT_INFINITY 0x7F800000u
#define SIGN_SHIFT (31 - 15)
#define MANTISSA_SHIFT (23 - 10)

/* 2 to the difference of the exponents' biases, 127 - 15 */
#define EXPONENT_SCALE 0x1p112f

/*
 * Exponent and mantissa are moved to their places in a float, which then is
 * too small by a constant power of two.  Multiplying by it is exact, and makes
 * subnormal numbers normal on the way.  No branch, so compilers vectorise it.
 */
void
AnnoyHalfToFloat(const uint16_t *half, float *out, int count)
{
	for (int i = 0; i < count; i++)
	{
		uint32_t	magnitude = half[i] & HALF_MAGNITUDE;
		uint32_t	bits = magnitude << MANTISSA_SHIFT;
		float		value;

		memcpy(&value, &bits, sizeof(value));
		value *= EXPONENT_SCALE;
		memcpy(&bits, &value, sizeof(bits));
		bits |= magnitude >= HALF_INFINITY ? FLOAT_INFINITY : 0;
		bits |= (half[i] & HALF_SIGN) << SIGN_SHIFT;
		memcpy(&out[i], &bits, sizeof(bits));
	}
}

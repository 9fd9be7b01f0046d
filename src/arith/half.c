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
#define EXPONENT_DIFFERENCE (UINT32_C(112) << 23)

#define HALF_NAN 0x7E00u
#define SMALLEST_NORMAL 0x38800000u /* 2^-14 as a float */
#define SMALLEST_OVERFLOW 0x477FF000u	/* 65,520: halfway to what were next */

/* Beside it a float's last place is that of a subnormal half, 2^-24. */
#define SUBNORMAL_STEPS 0.5f

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

uint16_t
AnnoyFloatToHalf(float value)
{
	uint32_t	bits;
	uint32_t	sign;

	memcpy(&bits, &value, sizeof(bits));
	sign = bits >> SIGN_SHIFT & HALF_SIGN;
	bits &= ~(HALF_SIGN << SIGN_SHIFT);

	if (bits > FLOAT_INFINITY)
		return (uint16_t) (sign | HALF_NAN);
	if (bits >= SMALLEST_OVERFLOW)
		return (uint16_t) (sign | HALF_INFINITY);
	if (bits < SMALLEST_NORMAL)
	{
		const float base = SUBNORMAL_STEPS;
		float		size;
		uint32_t	base_bits;

		/* rounded by the addition */
		memcpy(&size, &bits, sizeof(size));
		size += base;
		memcpy(&bits, &size, sizeof(bits));
		memcpy(&base_bits, &base, sizeof(base_bits));
		return (uint16_t) (sign | (bits - base_bits));
	}

	/* half a step less one unit, and the unit if that makes it even */
	bits += (UINT32_C(1) << (MANTISSA_SHIFT - 1)) - 1 +
		(bits >> MANTISSA_SHIFT & 1);
	return (uint16_t) (sign | (bits - EXPONENT_DIFFERENCE) >> MANTISSA_SHIFT);
}

uint16_t
AnnoyFloatToHalfBelow(float value)
{
	uint16_t	half = AnnoyFloatToHalf(value);
	float		nearest;

	AnnoyHalfToFloat(&half, &nearest, 1);
	if (!(nearest > value))
		return half;
	/* towards zero from a positive number, else away from it */
	if ((half & HALF_SIGN) == 0)
		return (uint16_t) (half - 1);
	return (uint16_t) (half + 1);
}

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

/* The difference of the exponents' biases, 127 - 15, in its place. */
#define EXPONENT_DIFFERENCE (UINT32_C(112) << 23)

#define HALF_NAN 0x7E00u
#define SMALLEST_NORMAL 0x38800000u /* 2^-14 as a float */
#define SMALLEST_OVERFLOW 0x477FF000u	/* 65,520: halfway to what were next */

/* Beside it a float's last place is that of a subnormal half, 2^-24. */
#define SUBNORMAL_STEPS 0.5f

void
AnnoyHalfToFloat(const uint16_t *half, float *out, int count)
{
	for (int i = 0; i < count; i++)
		out[i] = AnnoyHalfValue(half[i]);
}

uint16_t
AnnoyFloatToHalf(float value)
{
	uint32_t	bits;
	uint32_t	sign;

	memcpy(&bits, &value, sizeof(bits));
	sign = bits >> ANNOY_HALF_SIGN_SHIFT & ANNOY_HALF_SIGN;
	bits &= ~(ANNOY_HALF_SIGN << ANNOY_HALF_SIGN_SHIFT);

	if (bits > ANNOY_FLOAT_INFINITY)
		return (uint16_t) (sign | HALF_NAN);
	if (bits >= SMALLEST_OVERFLOW)
		return (uint16_t) (sign | ANNOY_HALF_INFINITY);
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
	bits += (UINT32_C(1) << (ANNOY_HALF_MANTISSA_SHIFT - 1)) - 1 +
		(bits >> ANNOY_HALF_MANTISSA_SHIFT & 1);
	return (uint16_t) (sign | (bits - EXPONENT_DIFFERENCE) >> ANNOY_HALF_MANTISSA_SHIFT);
}

uint16_t
AnnoyFloatToHalfBelow(float value)
{
	uint16_t	half = AnnoyFloatToHalf(value);
	float		nearest;

	nearest = AnnoyHalfValue(half);
	if (!(nearest > value))
		return half;
	/* towards zero from a positive number, else away from it */
	if ((half & ANNOY_HALF_SIGN) == 0)
		return (uint16_t) (half - 1);
	return (uint16_t) (half + 1);
}

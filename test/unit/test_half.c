/*-------------------------------------------------------------------------
 *
 * test_half.c
 *	  Proves that all 65,536 numbers of 16 bits become the floats that they
 *	  are, whatever stands beside them, and that floats become the nearest of
 *	  them, or the next one below.
 *
 *-------------------------------------------------------------------------
 */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "arith/half.h"
#include "check.h"

#define HALVES 65536

static uint32_t
float_bits(float value)
{
	uint32_t	bits;

	memcpy(&bits, &value, sizeof(bits));
	return bits;
}

/* The number by its definition: mantissa * 2^exponent, in double arithmetic. */
static double
defined_value(int half)
{
	int			exponent = (half >> 10) & 31;
	int			mantissa = half & 1023;
	double		value;

	if (exponent == 0)
		value = ldexp(mantissa, -24);
	else if (exponent < 31)
		value = ldexp(1024 + mantissa, exponent - 25);
	else
		value = mantissa == 0 ? INFINITY : NAN;
	return half & 0x8000 ? -value : value;
}

static void
check_half(int half, float got)
{
	double		wanted = defined_value(half);

	if (isnan(wanted))
	{
		CHECK_THAT(isnan(got), "%04X: got %g, wanted NaN", half, got);
		CHECK_THAT(((float_bits(got) >> 13) & 1023) == (uint32_t) (half & 1023),
				   "%04X: payload of %08" PRIX32, half, float_bits(got));
	}
	else
		CHECK_THAT(got == wanted, "%04X: got %g, wanted %g", half, got, wanted);
	CHECK_THAT((float_bits(got) >> 31) == (uint32_t) half >> 15,
			   "%04X: sign of %g", half, got);
}

static void
test_all(void)
{
	static uint16_t half[HALVES];
	static float out[HALVES];

	for (int i = 0; i < HALVES; i++)
		half[i] = (uint16_t) i;
	AnnoyHalfToFloat(half, out, HALVES);
	for (int i = 0; i < HALVES; i++)
		check_half(i, out[i]);
}

/* Some that every reader of the standard knows. */
static void
test_known(void)
{
	static const uint16_t half[] = {
		0x3C00, 0xC000, 0x7BFF, 0x0400, 0x03FF, 0x0001, 0x8000, 0x3555
	};
	static const float wanted[] = {
		1.0f, -2.0f, 65504.0f, 0x1p-14f, 0x1p-14f - 0x1p-24f, 0x1p-24f,
		-0.0f, 0.333251953125f
	};
	float		out[8];

	AnnoyHalfToFloat(half, out, 8);
	for (int i = 0; i < 8; i++)
		CHECK_THAT(float_bits(out[i]) == float_bits(wanted[i]),
				   "%04X: got %g, wanted %g", half[i], out[i], wanted[i]);
}

/* Any count, at any place: compilers make vector loops with remainders. */
static void
test_counts(void)
{
	for (int count = 0; count <= 70; count++)
	{
		for (int start = 0; start < 9; start++)
		{
			uint16_t	half[80];
			float		out[80];

			for (int i = 0; i < 80; i++)
			{
				half[i] = (uint16_t) (i * 821 + count);
				out[i] = 12345.0f;
			}
			AnnoyHalfToFloat(half + start, out + start, count);
			for (int i = 0; i < 80; i++)
			{
				if (i >= start && i < start + count)
					check_half(half[i], out[i]);
				else
					CHECK_THAT(out[i] == 12345.0f,
							   "count %d: element %d was written", count, i);
			}
		}
	}
}

/*
 * value lies from low on to below high, which are neighbours (high may be the
 * number after the largest, for which infinity stands).
 */
static void
check_rounded(float value, int low, int high)
{
	double		below = value - defined_value(low);
	double		above = (high == 0x7C00 ? 65536.0 : defined_value(high)) - value;
	int			nearest = below < above || (below == above && low % 2 == 0) ?
		low : high;

	CHECK_THAT(AnnoyFloatToHalf(value) == nearest, "%.9g: got %04X, wanted %04X",
			   value, AnnoyFloatToHalf(value), nearest);
	CHECK_THAT(AnnoyFloatToHalf(-value) == (nearest | 0x8000),
			   "%.9g: got %04X", -value, AnnoyFloatToHalf(-value));
	CHECK_THAT(AnnoyFloatToHalfBelow(value) == low,
			   "%.9g: got %04X, wanted %04X", value,
			   AnnoyFloatToHalfBelow(value), low);
	CHECK_THAT(AnnoyFloatToHalfBelow(-value) ==
			   (0x8000 | (below == 0.0 ? low : high)),
			   "%.9g: got %04X", -value, AnnoyFloatToHalfBelow(-value));
}

/* Every number, the middle between it and the next, and what lies beside. */
static void
test_rounding(void)
{
	for (int half = 0; half < 0x7C00; half++)
	{
		float		low = (float) defined_value(half);
		float		high = half == 0x7BFF ? 65536.0f :
			(float) defined_value(half + 1);
		float		middle = 0.5f * (low + high);

		check_rounded(low, half, half + 1);
		check_rounded(nextafterf(low, 1e6f), half, half + 1);
		check_rounded(nextafterf(middle, 0.0f), half, half + 1);
		check_rounded(middle, half, half + 1);
		check_rounded(nextafterf(middle, 1e6f), half, half + 1);
		check_rounded(nextafterf(high, 0.0f), half, half + 1);
	}

	CHECK(AnnoyFloatToHalf(3e38f) == 0x7C00 &&
		  AnnoyFloatToHalf(-INFINITY) == 0xFC00);
	CHECK(AnnoyFloatToHalfBelow(3e38f) == 0x7BFF &&
		  AnnoyFloatToHalfBelow(INFINITY) == 0x7C00 &&
		  AnnoyFloatToHalfBelow(-65504.5f) == 0xFC00);
	CHECK((AnnoyFloatToHalf(NAN) & 0x7FFF) > 0x7C00 &&
		  (AnnoyFloatToHalfBelow(NAN) & 0x7FFF) > 0x7C00);
}

int
main(void)
{
	test_rounding();
	test_all();
	test_known();
	test_counts();
	return check_report();
}

/*-------------------------------------------------------------------------
 *
 * test_random.c
 *	  Proves that the generator's outputs are those of SplitMix64 and stay so
 *	  (indexes on disk depend on them), and that bounded integers are uniform.
 *
 *-------------------------------------------------------------------------
 */
#include <inttypes.h>
#include <stddef.h>

#include "arith/random.h"
#include "check.h"

static void
check_hex(const char *what, uint64_t got, uint64_t wanted)
{
	CHECK_THAT(got == wanted, "%s: got %016" PRIX64 ", wanted %016" PRIX64,
			   what, got, wanted);
}

/* The first and third rows are outputs published with other implementations. */
static void
test_sequence(void)
{
	static const struct
	{
		uint64_t	seed;
		uint64_t	wanted[5];
	}			cases[] =
	{
		{
			0,
			{
				UINT64_C(0xE220A8397B1DCDAF), UINT64_C(0x6E789E6AA1B965F4),
				UINT64_C(0x06C45D188009454F), UINT64_C(0xF88BB8A8724C81EC),
				UINT64_C(0x1B39896A51A8749B)
			}
		},
		{
			UINT64_MAX,
			{
				UINT64_C(0xE4D971771B652C20), UINT64_C(0xE99FF867DBF682C9),
				UINT64_C(0x382FF84CB27281E9), UINT64_C(0x6D1DB36CCBA982D2),
				UINT64_C(0xB4A0472E578069AE)
			}
		},
		{
			1234567,
			{
				UINT64_C(6457827717110365317), UINT64_C(3203168211198807973),
				UINT64_C(9817491932198370423), UINT64_C(4593380528125082431),
				UINT64_C(16408922859458223821)
			}
		},
	};
	size_t		c;
	int			i;

	for (c = 0; c < sizeof(cases) / sizeof(cases[0]); c++)
	{
		AnnoyRandom random;

		AnnoySeedRandom(&random, cases[c].seed);
		for (i = 0; i < 5; i++)
			check_hex("sequence", AnnoyNextRandom(&random), cases[c].wanted[i]);
	}
}

static void
test_mix_and_hash(void)
{
	check_hex("mix of 0", AnnoyMix(0), 0);
	check_hex("mix of 1", AnnoyMix(1), UINT64_C(0x5692161D100B05E5));
	check_hex("mix of -1", AnnoyMix(UINT64_MAX), UINT64_C(0xB4D055FCF2CBBD7B));

	check_hex("hash", AnnoyHash(0, 0), UINT64_C(0xA706DD2F4D197E6F));
	check_hex("hash", AnnoyHash(0, 1), UINT64_C(0xB382A305F4414F5E));
	check_hex("hash", AnnoyHash(1, 0), UINT64_C(0x5E41AB087439611E));
	check_hex("hash", AnnoyHash(42, 7), UINT64_C(0xBC16A3D4CC48678E));
	check_hex("hash", AnnoyHash(UINT64_MAX, UINT64_MAX),
			  UINT64_C(0x445018E305810B78));
}

/* Small bounds reject almost never, the large one about every fourth time. */
static void
test_below_is_fixed(void)
{
	static const uint32_t small[16] =
	{5, 7, 9, 4, 4, 7, 8, 5, 2, 7, 4, 6, 4, 5, 4, 1};
	static const uint32_t large[8] =
	{
		UINT32_C(1825022577), UINT32_C(2402331193), UINT32_C(3127818803),
		UINT32_C(1431381228), UINT32_C(1431076770), UINT32_C(2826137937),
		UINT32_C(1684917323), UINT32_C(919687846)
	};
	AnnoyRandom random;
	int			i;

	AnnoySeedRandom(&random, 1);
	for (i = 0; i < 16; i++)
		CHECK(AnnoyRandomBelow(&random, 10) == small[i]);

	AnnoySeedRandom(&random, 1);
	for (i = 0; i < 8; i++)
		CHECK(AnnoyRandomBelow(&random, UINT32_C(0xC0000001)) == large[i]);
}

static void
test_below_keeps_bounds(void)
{
	static const uint32_t bounds[] =
	{
		1, 2, 3, 7, 16, 1000, 65537, UINT32_C(0x7FFFFFFF),
		UINT32_C(0x80000000), UINT32_C(0x80000001), UINT32_MAX
	};
	AnnoyRandom random;
	size_t		b;
	int			i;

	AnnoySeedRandom(&random, 2);
	for (b = 0; b < sizeof(bounds) / sizeof(bounds[0]); b++)
		for (i = 0; i < 1000; i++)
			CHECK(AnnoyRandomBelow(&random, bounds[b]) < bounds[b]);
}

/*
 * Chi-squared over equal cells.  The sum has mean cells - 1 and variance
 * 2 (cells - 1); the seeds are fixed, so five standard deviations are no
 * source of chance failures.  The last bound is where a plain modulo or a
 * missing rejection would give the cells weights of 2 : 1.
 */
static void
test_below_is_uniform(void)
{
	static const uint32_t bounds[] =
	{2, 3, 10, 97, 96000, UINT32_C(0xC0000000)};
	const int	draws = 200000;
	size_t		b;

	for (b = 0; b < sizeof(bounds) / sizeof(bounds[0]); b++)
	{
		uint32_t	bound = bounds[b];
		uint32_t	cells = bound < 100 ? bound : 96;
		long		count[100] = {0};
		double		expected = (double) draws / cells;
		double		sum = 0;
		double		deviation;
		AnnoyRandom random;
		uint32_t	c;
		int			i;

		AnnoySeedRandom(&random, 3 + b);
		for (i = 0; i < draws; i++)
		{
			uint32_t	value = AnnoyRandomBelow(&random, bound);

			count[(uint64_t) value * cells / bound]++;
		}

		for (c = 0; c < cells; c++)
			sum += (count[c] - expected) * (count[c] - expected) / expected;

		deviation = sum - (cells - 1);
		CHECK_THAT(deviation * deviation < 25.0 * 2.0 * (cells - 1),
				   "bound %" PRIu32 ": chi-squared %g with %" PRIu32 " cells",
				   bound, sum, cells);
	}
}

int
main(void)
{
	test_sequence();
	test_mix_and_hash();
	test_below_is_fixed();
	test_below_keeps_bounds();
	test_below_is_uniform();
	return check_report();
}

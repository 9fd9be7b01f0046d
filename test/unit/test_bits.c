/*-------------------------------------------------------------------------
 *
 * test_bits.c
 *	  Bit strings: codes that are the bits, and long strings that are folded.
 *
 *-------------------------------------------------------------------------
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "arith/random.h"
#include "arith/sketch.h"
#include "check.h"

#define MAX_BITS 64000
#define ENTRIES 16

static float *
new_floats(size_t count)
{
	float	   *floats = calloc(count, sizeof(float));

	if (floats == NULL)
		abort();
	return floats;
}

/* Bits that are set with the probability 1 / rarity. */
static void
make_string(AnnoyRandom *random, int bits, uint32_t rarity, float *string)
{
	int			i;

	for (i = 0; i < bits; i++)
		string[i] = AnnoyRandomBelow(random, rarity) == 0;
}

/* What the operators give. */
static double
operator_distance(AnnoyMetric metric, int bits, const float *a, const float *b)
{
	int			both = 0;
	int			different = 0;
	int			i;

	for (i = 0; i < bits; i++)
	{
		both += a[i] != 0.0f && b[i] != 0.0f;
		different += a[i] != b[i];
	}
	if (metric == ANNOY_METRIC_HAMMING)
		return different;
	return both == 0 ? 1.0 : 1.0 - both / (double) (both + different);
}

/*
 * The quantised sketch of a string comes back from its bits, and what it means
 * has the same code.
 */
static void
check_packed(const AnnoySketcher *sketcher, const float *string, float *scratch,
			 const uint8_t *code)
{
	int			s = sketcher->sketch_dimensions;
	int16_t		quantised[ANNOY_MAX_SKETCH_DIMENSIONS];
	int16_t		unpacked[ANNOY_MAX_SKETCH_DIMENSIONS];
	float		stored[ANNOY_MAX_SKETCH_DIMENSIONS];
	uint8_t		packed[ANNOY_MAX_SKETCH_DIMENSIONS / 8];
	uint8_t		again[ANNOY_MAX_SKETCH_DIMENSIONS / 8];
	AnnoyItemSketch item;
	float		extra;
	float		f1;
	float		f2;
	bool		unbounded;
	int			i;

	CHECK(AnnoyMakeItemSketch(sketcher, string, scratch, quantised, &item));
	CHECK(AnnoyPackedSize(sketcher) == (size_t) s / 8);
	AnnoyPackSketch(sketcher, quantised, packed);
	AnnoyUnpackSketch(sketcher, packed, unpacked);
	CHECK(memcmp(quantised, unpacked, (size_t) s * sizeof(int16_t)) == 0);
	CHECK(AnnoyMakeStoredSketch(sketcher, string, scratch, stored, &extra,
								&unbounded));
	for (i = 0; i < s; i++)
		CHECK(stored[i] == item.scale * (float) quantised[i]);
	AnnoyEncodeItem(sketcher, stored, unbounded, (int8_t *) quantised, 1.0f,
					again, &f1, &f2);
	CHECK(memcmp(code, again, (size_t) s / 8) == 0);
}

/* A block of a leaf, with one query; strings of all densities, zero too. */
static void
check_block(AnnoyMetric metric, int bits, AnnoyRandom *random)
{
	int			s = AnnoySketchDimensions(bits);
	AnnoySketcher sketcher;
	void	   *memory = malloc(AnnoySketcherMemory(bits));
	void	   *query_memory = aligned_alloc(64, (AnnoyQueryMemory(bits) + 63) / 64 * 64);
	float	   *scratch = new_floats((size_t) AnnoySketchScratch(bits));
	float	   *sketch = new_floats((size_t) s);
	float	   *strings = new_floats((size_t) bits * (ENTRIES + 1));
	const float *asked = strings + (size_t) bits * ENTRIES;
	uint8_t    *block = calloc(1, (size_t) s / 8 * ENTRIES + 2 * ENTRIES * sizeof(float));
	float	   *factors = (float *) (block + s / 8 * ENTRIES);
	int8_t	   *centroid = calloc(1, (size_t) s);
	uint8_t		code[ANNOY_MAX_SKETCH_DIMENSIONS / 8];
	float		lower[ENTRIES];
	float		extra;
	bool		unbounded;
	uint32_t	mask;
	AnnoyQuery	query;
	int			i;
	int			k;

	/* a centre and a centroid that would spoil the codes if they were used */
	for (i = 0; i < s; i++)
		centroid[i] = 100;
	AnnoyInitSketcher(&sketcher, memory, metric, bits, 7, asked, 0.0f);
	CHECK(sketcher.codes_are_bits);
	for (k = 0; k <= ENTRIES; k++)
		make_string(random, bits, (uint32_t) (1 + k % 5), strings + (size_t) bits * k);
	memset(strings, 0, (size_t) bits * sizeof(float));
	for (k = 0; k < ENTRIES; k++)
	{
		CHECK(AnnoyMakeSketch(&sketcher, strings + (size_t) bits * k, scratch,
							  sketch, &extra, &unbounded));
		AnnoyEncodeItem(&sketcher, sketch, unbounded, centroid, 0.01f, code,
						&factors[k], &factors[ENTRIES + k]);
		for (i = 0; i < s / 8; i++)
			block[i * ENTRIES + k] = code[i];
		check_packed(&sketcher, strings + (size_t) bits * k, scratch, code);
	}
	AnnoyInitQuery(&query, query_memory, &sketcher, asked, scratch, 2.0f);
	AnnoyBeginLeaf(&sketcher, &query, centroid, 0.01f, 1.0f, 1e9f);
	mask = AnnoyRankBlock(&query, block, lower);
	CHECK(mask == 0xFFFF);
	for (k = 0; k < ENTRIES; k++)
	{
		double		exact = operator_distance(metric, bits, asked,
											  strings + (size_t) bits * k);
		double		bound = AnnoyBoundToDistance(&sketcher, &query, lower[k]);

		if (metric == ANNOY_METRIC_HAMMING)
			CHECK_THAT(bound == exact, "%d bits: %g, exact %g", bits, bound, exact);
		else
			CHECK_THAT(bound <= exact && bound > exact - 2e-5,
					   "%d bits: %g, exact %g", bits, bound, exact);
	}
	/* the mask tells which are below a threshold */
	AnnoyBeginLeaf(&sketcher, &query, centroid, 0.01f, 1.0f, lower[3]);
	mask = AnnoyRankBlock(&query, block, lower);
	for (k = 0; k < ENTRIES; k++)
		CHECK((mask >> k & 1) == (lower[k] < lower[3]));

	free(memory);
	free(query_memory);
	free(scratch);
	free(sketch);
	free(strings);
	free(block);
	free(centroid);
}

/*
 * Folding keeps squared distances on the average, with a standard deviation of
 * sqrt(2 / s) of them at the most: of dense strings and of sparse ones, whose
 * bits a sample would miss.
 */
static void
check_folded(int bits, uint32_t rarity, AnnoyRandom *random)
{
	enum
	{
		PAIRS = 60
	};
	int			s = AnnoySketchDimensions(bits);
	float	   *a = new_floats((size_t) bits);
	float	   *b = new_floats((size_t) bits);
	float	   *sketches = new_floats((size_t) s * 2);
	float	   *scratch = new_floats((size_t) AnnoySketchScratch(bits));
	void	   *memory = malloc(AnnoySketcherMemory(bits));
	double		sum = 0.0;
	double		squares = 0.0;
	double		deviation;
	int			k;

	for (k = 0; k < PAIRS; k++)
	{
		AnnoySketcher sketcher;
		double		exact;
		double		error;
		float		extra;
		bool		unbounded;

		AnnoyInitSketcher(&sketcher, memory, ANNOY_METRIC_HAMMING, bits,
						  (uint64_t) k, NULL, 0.0f);
		CHECK(!sketcher.codes_are_bits);
		make_string(random, bits, rarity, a);
		make_string(random, bits, rarity, b);
		CHECK(AnnoyMakeSketch(&sketcher, a, scratch, sketches, &extra, &unbounded));
		CHECK(AnnoyMakeSketch(&sketcher, b, scratch, sketches + s, &extra, &unbounded));
		exact = operator_distance(ANNOY_METRIC_HAMMING, bits, a, b);
		error = annoy_kernels.l2_squared(s, sketches, sketches + s) / exact - 1.0;
		sum += error;
		squares += error * error;
	}
	deviation = sqrt(2.0 / s);
	CHECK_THAT(sqrt(squares / PAIRS) < 1.3 * deviation,
			   "%d bits: error %g", bits, sqrt(squares / PAIRS));
	CHECK_THAT(fabs(sum / PAIRS) < 4.0 * deviation / sqrt(PAIRS),
			   "%d bits: bias %g", bits, sum / PAIRS);

	free(a);
	free(b);
	free(sketches);
	free(scratch);
	free(memory);
}

int
main(void)
{
	static const int short_strings[] = {1, 3, 16, 17, 100, 784, 1535, 1536};
	AnnoyRandom random;
	size_t		k;
	int			round;

	CHECK(AnnoyChooseKernels(NULL));
	AnnoySeedRandom(&random, 11);
	for (k = 0; k < sizeof(short_strings) / sizeof(short_strings[0]); k++)
		for (round = 0; round < 5; round++)
		{
			check_block(ANNOY_METRIC_HAMMING, short_strings[k], &random);
			check_block(ANNOY_METRIC_JACCARD, short_strings[k], &random);
		}
	check_folded(1537, 2, &random);
	check_folded(4000, 2, &random);
	check_folded(4000, 100, &random);
	check_folded(MAX_BITS, 1000, &random);
	return check_report();
}

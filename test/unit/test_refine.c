/*-------------------------------------------------------------------------
 *
 * test_refine.c
 *	  Proves that the bounds of refined codes hold at their stated rate, on both
 *	  sides, for every metric that has them; and upper bounds of plain codes.
 *	  "test_refine time" prints what encoding and bounds cost instead.
 *
 *-------------------------------------------------------------------------
 */
#define _POSIX_C_SOURCE 200809L

#include <float.h>
#include <inttypes.h>
#include <time.h>

#include "arith/half.h"
#include "arith/refine.h"
#include "bench.h"
#include "check.h"

#define MAX_S ANNOY_MAX_SKETCH_DIMENSIONS
#define MAX_REFINEMENT (MAX_S / 8 * (ANNOY_MAX_CODE_BITS - 1) + 4)

/* One item as its leaf has it. */
typedef struct Entry
{
	uint8_t		code[MAX_S / 8];
	uint8_t		refinement[MAX_REFINEMENT + 1];	/* and one that stays */
	float		f1;
	float		f2;
} Entry;

/* A leaf's centroid. */
typedef struct Centroid
{
	int8_t		element[MAX_S];
	float		scale;
	float		norm_squared;
} Centroid;

static void
set_centroid(Centroid *centroid, int s, const float *point)
{
	centroid->scale = AnnoyQuantiseDirection(s, point, centroid->element);
	centroid->norm_squared = centroid->scale * centroid->scale *
		(float) AnnoyQuantisedNorm(s, centroid->element);
}

static void
encode(const AnnoySketcher *sketcher, const float *sketch, bool unbounded,
	   const Centroid *centroid, int bits, Entry *entry)
{
	size_t		size = AnnoyRefinementSize(sketcher->sketch_dimensions, bits);

	AnnoyEncodeItem(sketcher, sketch, unbounded, centroid->element,
					centroid->scale, entry->code, &entry->f1, &entry->f2);
	memset(entry->refinement, 0x55, sizeof(entry->refinement));
	AnnoyEncodeRefinement(sketcher, sketch, centroid->element, centroid->scale,
						  centroid->norm_squared, bits, entry->f1,
						  entry->refinement);
	CHECK(entry->refinement[size] == 0x55);
}

/* The factors of a refinement, read by what refine.c says of them. */
typedef struct Factors
{
	double		g;
	double		deviation;
	double		h;
} Factors;

static Factors
factors_of(const Entry *entry, int s, int bits)
{
	Factors		factors;
	uint16_t	scale;
	uint16_t	half;
	float		h;

	memcpy(&scale, entry->refinement + (bits - 1) * s / 8, 2);
	memcpy(&half, entry->refinement + (bits - 1) * s / 8 + 2, 2);
	AnnoyHalfToFloat(&half, &h, 1);
	factors.g = ldexp(1.0 + (scale & 511) / 512.0, (scale >> 9 & 3) - 3);
	factors.deviation = scale >> 11 <= 21 ? ((scale >> 11) - 1) * 0.02 :
		0.4 + ((scale >> 11) - 21) * 0.1;
	factors.h = h;
	return factors;
}

static int
level_of(const Entry *entry, int s, int bits, int i)
{
	int			level = entry->code[i / 8] >> i % 8 & 1;
	int			p;

	for (p = 0; p < bits - 1; p++)
		level = 2 * level +
			(entry->refinement[p * s / 8 + i / 8] >> i % 8 & 1);
	return level;
}

/* Lower bound of the plain code. */
static float
rank_entry(const AnnoyQuery *query, int s, const Entry *entry)
{
	uint8_t		block[MAX_S / 8 * 16 + 32 * sizeof(float)];
	float		lower[16];
	int			i;

	memset(block, 0, sizeof(block));
	for (i = 0; i < s / 8; i++)
		block[i * 16] = entry->code[i];
	memcpy(block + s / 8 * 16, &entry->f1, sizeof(float));
	memcpy(block + s / 8 * 16 + 16 * sizeof(float), &entry->f2, sizeof(float));
	AnnoyRankBlock(query, block, lower);
	return lower[0];
}

static float
lowest(const AnnoyQuery *query)
{
	return query->rank.linear ? -FLT_MAX : 0.0f;
}

static void
test_sizes(void)
{
	CHECK(AnnoyRefinementSize(112, 1) == 0);
	CHECK(AnnoyRefinementSize(112, 2) == 14 + 4);
	CHECK(AnnoyRefinementSize(112, 4) == 3 * 14 + 4);
	CHECK(AnnoyRefinementSize(MAX_S, ANNOY_MAX_CODE_BITS) == MAX_REFINEMENT);
	CHECK(AnnoyChooseCodeBits(112, false) == 3);
	CHECK(AnnoyChooseCodeBits(112, true) == 1);
	CHECK(AnnoyChooseCodeBits(256, false) == 2);
	CHECK(AnnoyChooseCodeBits(1536, false) == 1);
}

/* A space without a rotation, and a query that is put together by hand. */
typedef struct Space
{
	AnnoySketcher sketcher;
	AnnoyQuery	query;
	int16_t		quantised[MAX_S];
	float		item[MAX_S];
	float		centre[MAX_S];
	float		point[MAX_S];
	Centroid	centroid;
} Space;

static void
open_space(Space *space, int s, AnnoyMetric metric)
{
	memset(&space->sketcher, 0, sizeof(space->sketcher));
	space->sketcher.metric = metric;
	space->sketcher.dimensions = s;
	space->sketcher.padded = s;
	space->sketcher.sketch_dimensions = s;
	if (metric == ANNOY_METRIC_INNER_PRODUCT)
		space->sketcher.rotated_centre = space->centre;
}

/* The query at space->point, in the leaf of the centroid. */
static void
begin_query(Space *space, int bits, float epsilon)
{
	AnnoyQuery *query = &space->query;

	AnnoyInitItemQuery(query, space->quantised, &space->sketcher, space->point,
					   0.0f);
	query->epsilon = epsilon;
	query->upper_factor = 1.0;
	query->rank.rows = space->sketcher.sketch_dimensions / 8;
	query->rank.linear =
		space->sketcher.metric == ANNOY_METRIC_INNER_PRODUCT;
	AnnoyBeginLeaf(&space->sketcher, query, space->centroid.element,
				   space->centroid.scale, space->centroid.norm_squared,
				   FLT_MAX);
	AnnoyBeginRefinement(query, bits, space->centroid.norm_squared);
}

/* A query around a point, at right angles to the residual. */
static void
draw_query(Space *space, const float *around, double radius,
		   AnnoyRandom *random)
{
	int			s = space->sketcher.sketch_dimensions;
	double		along = 0.0;
	double		residual = 0.0;
	int			i;

	for (i = 0; i < s; i++)
	{
		double		r = (double) space->item[i] -
			(double) space->centroid.scale * space->centroid.element[i];

		space->point[i] = gaussian(random);
		along += r * space->point[i];
		residual += r * r;
	}
	for (i = 0; i < s; i++)
	{
		double		r = (double) space->item[i] -
			(double) space->centroid.scale * space->centroid.element[i];

		space->point[i] = (float) (around[i] + radius *
								   (space->point[i] - along / residual * r));
	}
}

/* What bounds are of; and what of the query errs, squared. */
static double
measure(const Space *space, double *across)
{
	int			s = space->sketcher.sketch_dimensions;
	double		square = 0.0;
	double		dot = 0.0;
	double		from_origin = 0.0;	/* |q - c|^2 or |q - o|^2 */
	double		along = 0.0;
	double		residual = 0.0;
	bool		linear = space->query.rank.linear;
	int			i;

	for (i = 0; i < s; i++)
	{
		double		q = (double) space->query.scale * space->quantised[i];
		double		o = space->item[i];
		double		c = (double) space->centroid.scale *
			space->centroid.element[i];
		double		to_query = q - (linear ? c : o);

		square += (q - o) * (q - o);
		dot += o * (q + (double) space->centre[i]);
		from_origin += to_query * to_query;
		along += to_query * (o - c);
		residual += (o - c) * (o - c);
	}
	*across = from_origin - along * along / residual;
	return linear ? -2.0 * dot : square;
}

/*
 * Gaussian residuals, queries that err as much as their distance allows.  The
 * error of an estimate has the deviation that the bounds assume, whatever the
 * bits, and no bias; and bounds of two deviations fail at the rate of a
 * Gaussian, 2.3 percent, on either side.
 */
static void
test_rates(int s, int bits, AnnoyMetric metric, double radius)
{
	enum
	{
		TRIALS = 6000
	};
	static Space space;
	bool		linear = metric == ANNOY_METRIC_INNER_PRODUCT;
	double		sum = 0.0;
	double		squares = 0.0;
	double		below = 0.0;
	double		above = 0.0;
	AnnoyRandom random;
	Entry		entry;
	int			trial;
	int			i;

	open_space(&space, s, metric);
	AnnoySeedRandom(&random, (uint64_t) (s + bits));
	for (trial = 0; trial < TRIALS; trial++)
	{
		float		centroid[MAX_S];
		float		upper;
		float		lower;
		float		estimate;
		double		exact;
		double		across;

		if (trial % 4 == 0)
		{
			for (i = 0; i < s; i++)
			{
				centroid[i] = 0.5f * gaussian(&random);
				space.centre[i] = linear ? 0.3f * gaussian(&random) : 0.0f;
			}
			set_centroid(&space.centroid, s, centroid);
			for (i = 0; i < s; i++)
				space.item[i] = gaussian(&random) + space.centroid.scale *
					space.centroid.element[i];
			encode(&space.sketcher, space.item, false, &space.centroid, bits,
				   &entry);
		}
		for (i = 0; i < s; i++)
			centroid[i] = space.centroid.scale * space.centroid.element[i];
		draw_query(&space, linear ? centroid : space.item, radius, &random);

		begin_query(&space, bits, 0.0f);
		estimate = AnnoyRefineBound(&space.sketcher, &space.query, entry.code,
									entry.refinement, entry.f1, entry.f2,
									lowest(&space.query), &upper);
		exact = measure(&space, &across);
		exact -= estimate;
		exact /= (double) entry.f1 * factors_of(&entry, s, bits).g *
			sqrt(across);
		sum += exact;
		squares += exact * exact;

		begin_query(&space, bits, 2.0f);
		lower = AnnoyRefineBound(&space.sketcher, &space.query, entry.code,
								 entry.refinement, entry.f1, entry.f2,
								 lowest(&space.query), &upper);
		exact = measure(&space, &across);
		below += lower > exact;
		above += upper < exact;
	}
	sum /= TRIALS;
	squares = sqrt(squares / TRIALS);
	below /= TRIALS;
	above /= TRIALS;
	printf("\n  s=%d, %d bits, %s, radius %.1f: deviation %.4f, bias %+.4f, beyond "
		   "lower %.2f %%, upper %.2f %%", s, bits, linear ? "product" : "L2",
		   radius, squares, sum, 100.0 * below, 100.0 * above);
	CHECK_THAT(squares > 0.28 && squares < 0.345, "deviation %f", squares);
	CHECK_THAT(fabs(sum) < 0.015, "bias %f", sum);
	CHECK_THAT(below > 0.01 && below < 0.035, "%g beyond the lower bound", below);
	CHECK_THAT(above > 0.01 && above < 0.035, "%g beyond the upper bound", above);
}

static void
test_all_rates(void)
{
	static const int sizes[] = {16, 48, 112, 256, 768};
	size_t		k;
	int			bits;

	for (k = 0; k < sizeof(sizes) / sizeof(sizes[0]); k++)
		for (bits = 2; bits <= ANNOY_MAX_CODE_BITS; bits++)
		{
			test_rates(sizes[k], bits, ANNOY_METRIC_L2, 1.0);
			test_rates(sizes[k], bits, ANNOY_METRIC_INNER_PRODUCT, 1.0);
		}
	test_rates(112, 3, ANNOY_METRIC_L2, 4.0);
	test_rates(112, 3, ANNOY_METRIC_INNER_PRODUCT, 0.2);
}

/*
 * A level is the number of the step into which its residual falls, with the
 * code's sign on top, and the factors are what refine.h says.
 */
static void
test_levels(int s, int bits)
{
	static Space space;
	double		step;
	double		residual = 0.0;
	double		weighted[2] = {0.0, 0.0};	/* <u, r>, <u, c> */
	double		signs[2] = {0.0, 0.0};
	double		squares = 0.0;
	double		unit;
	double		target;			/* of h, in that unit */
	double		across;
	Factors		factors;
	AnnoyRandom random;
	Entry		entry;
	int			wrong = 0;
	int			i;

	open_space(&space, s, ANNOY_METRIC_L2);
	AnnoySeedRandom(&random, 3);
	for (i = 0; i < s; i++)
	{
		space.point[i] = 0.5f * gaussian(&random);
		space.item[i] = gaussian(&random);
	}
	set_centroid(&space.centroid, s, space.point);
	/* of either sign, and as small as can be */
	space.item[0] = space.centroid.scale * space.centroid.element[0];
	space.item[1] = nextafterf(space.centroid.scale * space.centroid.element[1],
							   -1e6f);
	encode(&space.sketcher, space.item, false, &space.centroid, bits, &entry);

	for (i = 0; i < s; i++)
	{
		double		r = (double) space.item[i] -
			(double) (space.centroid.scale * space.centroid.element[i]);

		residual += r * r;
	}
	step = sqrt(residual / s) * (bits == 2 ? 0.996 : bits == 3 ? 0.586 : 0.335);
	for (i = 0; i < s; i++)
	{
		int			level = level_of(&entry, s, bits, i);
		double		u = level - ((1 << bits) - 1) / 2.0;
		double		c = space.centroid.scale * space.centroid.element[i];
		double		r = (double) space.item[i] - (double) (float) c;

		wrong += (u > 0.0) != (r >= 0.0);
		if (fabs(r) < step * ((1 << bits) / 2))
			wrong += fabs(u * step - r) > 0.5001 * step;
		else
			wrong += level != (r < 0.0 ? 0 : (1 << bits) - 1);
		squares += u * u;
		weighted[0] += u * r;
		weighted[1] += u * c;
		signs[0] += fabs(r);
		signs[1] += r >= 0.0 ? c : -c;
	}
	CHECK_THAT(wrong == 0, "s = %d, %d bits: %d levels are wrong", s, bits,
			   wrong);

	factors = factors_of(&entry, s, bits);
	unit = sqrt(space.centroid.norm_squared) + sqrt(s) * (double) entry.f1;
	target = factors.g * (weighted[0] + weighted[1]) - signs[0] - signs[1];
	across = sqrt((squares - weighted[0] * weighted[0] / residual) / (s - 1));
	CHECK_THAT(fabs(factors.g / (signs[0] / weighted[0]) - 1.0) < 0x1p-10 + 1e-5,
			   "s = %d, %d bits: g is %g", s, bits, factors.g);
	CHECK_THAT(factors.h * unit <= target + 1e-5 * unit &&
			   factors.h * unit > target - (1e-5 + fabs(factors.h) * 0x1p-10) * unit,
			   "s = %d, %d bits: h is %g", s, bits, factors.h);
	CHECK_THAT(factors.deviation > across - 1e-5 &&
			   factors.deviation < across + (across < 0.4 ? 0.02 : 0.1) + 1e-5,
			   "s = %d, %d bits: deviation is %g", s, bits, factors.deviation);
}

/* Shares of bounds that did not hold. */
typedef struct Failures
{
	double		count;
	double		lower;			/* of refined codes */
	double		upper;
	double		plain_upper;	/* of one bit */
	double		width;			/* sums of differences of both bounds */
	double		plain_width;
} Failures;

static void
note_bounds(Bench *bench, const AnnoyQuery *query, const Entry *entry,
			const float *vector, const float *item, Failures *failures)
{
	const AnnoySketcher *sketcher = &bench->sketcher;
	double		exact = exact_distance(sketcher->metric, sketcher->dimensions,
									   vector, item);
	float		plain = rank_entry(query, sketcher->sketch_dimensions, entry);
	float		plain_upper = AnnoyUpperBound(sketcher, query, plain, entry->f1);
	float		upper;
	float		lower = AnnoyRefineBound(sketcher, query, entry->code,
										 entry->refinement, entry->f1,
										 entry->f2, lowest(query), &upper);
	failures->count++;
	failures->lower += AnnoyBoundToDistance(sketcher, query, lower) >
		exact + 1e-9 * fabs(exact);
	failures->upper += AnnoyBoundToDistance(sketcher, query, upper) < exact;
	failures->plain_upper +=
		AnnoyBoundToDistance(sketcher, query, plain_upper) < exact;
	failures->width += AnnoyBoundToDistance(sketcher, query, upper) -
		AnnoyBoundToDistance(sketcher, query, lower);
	failures->plain_width += AnnoyBoundToDistance(sketcher, query, plain_upper) -
		AnnoyBoundToDistance(sketcher, query, plain);
}

/*
 * Bounds of distances by the operator's definition, of items and queries of a
 * data set, times a factor, in leaves around other items.
 */
static void
find_failures(const DataSet *data, AnnoyMetric metric, int bits,
			  int rotations, float factor, Failures *failures)
{
	enum
	{
		LEAVES = 6, ITEMS = 12, QUERIES = 8
	};
	int			d = data->dimensions;
	int			s = AnnoySketchDimensions(d);
	size_t		elements = (size_t) data->count * (size_t) d;
	DataSet		scaled = *data;
	float	   *centre = allocate_floats((size_t) d);
	float		max_norm;
	AnnoyRandom random;
	size_t		k;
	int			rotation;

	scaled.vectors = allocate_floats(elements);
	for (k = 0; k < elements; k++)
		scaled.vectors[k] = factor * data->vectors[k];
	measure_data(&scaled, metric, centre, &max_norm);
	AnnoySeedRandom(&random, 5);
	memset(failures, 0, sizeof(*failures));

	for (rotation = 0; rotation < rotations; rotation++)
	{
		Bench		bench;
		int			leaf;

		open_bench(&bench, metric, d, 7 + (uint64_t) rotation, centre, max_norm);
		for (leaf = 0; leaf < LEAVES; leaf++)
		{
			static Entry entries[ITEMS];
			int			items[ITEMS];
			Centroid	centroid;
			int			i;
			int			q;

			for (i = -1; i < ITEMS; i++)
			{
				int			item = HELD_OUT +
					(int) AnnoyRandomBelow(&random,
										   (uint32_t) (data->count - HELD_OUT));

				CHECK(sketch_of(&bench, vector_of(&scaled, item), bench.sketch));
				if (i < 0)
				{
					set_centroid(&centroid, s, bench.sketch);
					continue;
				}
				items[i] = item;
				encode(&bench.sketcher, bench.sketch, false, &centroid, bits,
					   &entries[i]);
			}
			for (q = 0; q < QUERIES; q++)
			{
				const float *vector = vector_of(&scaled,
												(int) AnnoyRandomBelow(&random, HELD_OUT));
				AnnoyQuery	query;

				AnnoyInitQuery(&query, bench.query_memory, &bench.sketcher,
							   vector, bench.scratch, 2.0f);
				AnnoyBeginLeaf(&bench.sketcher, &query, centroid.element,
							   centroid.scale, centroid.norm_squared, FLT_MAX);
				AnnoyBeginRefinement(&query, bits, centroid.norm_squared);
				for (i = 0; i < ITEMS; i++)
					note_bounds(&bench, &query, &entries[i], vector,
								vector_of(&scaled, items[i]), failures);
			}
		}
		close_bench(&bench);
	}
	free(centre);
	free(scaled.vectors);
}

/* gain: the most that is left of the width between bounds. */
static void
test_distances(const DataSet *data, AnnoyMetric metric, const char *name,
			   int bits, float factor, double gain)
{
	/* products of one rotation all err by what was cut of the centre */
	bool		cut = data->dimensions > MAX_S &&
		metric == ANNOY_METRIC_INNER_PRODUCT;
	int			rotations = data->dimensions > MAX_S ? 60 : 40;
	double		limit = 0.028 + (cut ? 2.0 * sqrt(0.023 / rotations) : 0.0);
	Failures	failures;
	double		n;

	find_failures(data, metric, bits, rotations, factor, &failures);
	n = failures.count;
	printf("\n  %s d=%d x %g %s, %d bits: beyond lower %.2f %%, upper %.2f %%, "
		   "of one bit %.2f %%, %.2f of its width", data->name,
		   data->dimensions, factor, name, bits, 100.0 * failures.lower / n,
		   100.0 * failures.upper / n, 100.0 * failures.plain_upper / n,
		   failures.width / failures.plain_width);
	CHECK_THAT(failures.lower / n < limit, "%s, %d bits: %g beyond lower",
			   name, bits, failures.lower / n);
	CHECK_THAT(failures.upper / n < limit, "%s, %d bits: %g beyond upper",
			   name, bits, failures.upper / n);
	CHECK_THAT(failures.plain_upper / n < limit, "%s: %g beyond upper", name,
			   failures.plain_upper / n);
	CHECK_THAT(failures.width < gain * failures.plain_width,
			   "%s, %d bits: %g of the width", name, bits,
			   failures.width / failures.plain_width);
}

static void
test_all_distances(void)
{
	/* tangents of the angles of codes and residuals, and some room */
	static const double gains[] = {1.0, 1.0, 0.53, 0.31, 0.19};
	DataSet		data;
	size_t		i;
	int			bits;

	make_clustered(&data, 1500, 100);
	for (bits = 2; bits <= ANNOY_MAX_CODE_BITS; bits++)
	{
		test_distances(&data, ANNOY_METRIC_L2, "L2", bits, 1.0f, gains[bits]);
		test_distances(&data, ANNOY_METRIC_COSINE, "cosine", bits, 1.0f,
					   gains[bits]);
		test_distances(&data, ANNOY_METRIC_INNER_PRODUCT, "product", bits, 1.0f,
					   gains[bits]);
	}
	test_distances(&data, ANNOY_METRIC_L2, "L2", 3, 1e-10f, gains[3]);
	test_distances(&data, ANNOY_METRIC_L2, "L2", 3, 1e6f, gains[3]);
	test_distances(&data, ANNOY_METRIC_COSINE, "cosine", 3, 1e-10f, gains[3]);
	test_distances(&data, ANNOY_METRIC_INNER_PRODUCT, "product", 3, 1e-10f,
				   gains[3]);
	test_distances(&data, ANNOY_METRIC_INNER_PRODUCT, "product", 3, 1e6f,
				   gains[3]);
	free(data.vectors);

	/* far from the origin, which the rotation's rounding remembers */
	make_clustered(&data, 1500, 100);
	for (i = 0; i < (size_t) data.count * (size_t) data.dimensions; i++)
		data.vectors[i] += 2e4f;
	data.name = "far";
	test_distances(&data, ANNOY_METRIC_L2, "L2", 3, 1.0f, gains[3]);
	test_distances(&data, ANNOY_METRIC_INNER_PRODUCT, "product", 3, 1.0f, 1.0);
	free(data.vectors);

	/* what is cut away remains, whatever is known of the rest */
	make_clustered(&data, 600, 2400);
	test_distances(&data, ANNOY_METRIC_L2, "L2, cut", 2, 1.0f, 1.0);
	test_distances(&data, ANNOY_METRIC_COSINE, "cosine, cut", 2, 1.0f, 1.0);
	test_distances(&data, ANNOY_METRIC_INNER_PRODUCT, "product, cut", 2, 1.0f,
				   1.0);
	for (i = 0; i < (size_t) data.count * (size_t) data.dimensions; i++)
		data.vectors[i] = data.vectors[i] > 1.0f;
	data.name = "bits";
	test_distances(&data, ANNOY_METRIC_HAMMING, "Hamming, folded", 2, 1.0f, 1.0);
	free(data.vectors);
}

/* Items that differ from the centroid in a single element. */
static void
test_sparse_residuals(int d, int bits)
{
	enum
	{
		ROTATIONS = 1000
	};
	float	   *vector = allocate_floats((size_t) d);
	float	   *item = allocate_floats((size_t) d);
	Failures	failures = {0};
	AnnoyRandom random;
	int			rotation;

	AnnoySeedRandom(&random, 8);
	for (rotation = 0; rotation < ROTATIONS; rotation++)
	{
		int			s = AnnoySketchDimensions(d);
		AnnoyQuery	query;
		Centroid	centroid = {{0}, 0.0f, 0.0f};
		Bench		bench;
		Entry		entry;
		int			q;
		int			i;

		open_bench(&bench, ANNOY_METRIC_L2, d, (uint64_t) rotation, NULL, 0.0f);
		memset(item, 0, (size_t) d * sizeof(float));
		item[AnnoyRandomBelow(&random, (uint32_t) d)] = -1.0f;
		CHECK(sketch_of(&bench, item, bench.sketch));
		/* one with a centroid in the origin, which has no norm */
		if (rotation % 2)
		{
			for (i = 0; i < s; i++)
				centroid.element[i] = (int8_t) (100.0f * bench.sketch[i]);
			centroid.scale = 0.001f;
			centroid.norm_squared = centroid.scale * centroid.scale *
				(float) AnnoyQuantisedNorm(s, centroid.element);
		}
		encode(&bench.sketcher, bench.sketch, false, &centroid, bits, &entry);
		/* it says something */
		CHECK(factors_of(&entry, s, bits).deviation >= 0.0);
		for (q = 0; q < 10; q++)
		{
			for (i = 0; i < d; i++)
				vector[i] = 0.1f * gaussian(&random);
			AnnoyInitQuery(&query, bench.query_memory, &bench.sketcher, vector,
						   bench.scratch, 2.0f);
			AnnoyBeginLeaf(&bench.sketcher, &query, centroid.element,
						   centroid.scale, centroid.norm_squared, FLT_MAX);
			AnnoyBeginRefinement(&query, bits, centroid.norm_squared);
			note_bounds(&bench, &query, &entry, vector, item, &failures);
		}
		close_bench(&bench);
	}
	printf("\n  one element, d=%d, %d bits: beyond lower %.2f %%, upper %.2f %%",
		   d, bits, 100.0 * failures.lower / failures.count,
		   100.0 * failures.upper / failures.count);
	CHECK(failures.lower < 0.028 * failures.count);
	CHECK(failures.upper < 0.028 * failures.count);
	CHECK(failures.plain_upper < 0.028 * failures.count);
	free(vector);
	free(item);
}

/* A bench, a query and an entry in one leaf, of L2 or products. */
static void
begin_extreme(Bench *bench, AnnoyQuery *query, const Centroid *centroid,
			  const float *vector, float epsilon)
{
	AnnoyInitQuery(query, bench->query_memory, &bench->sketcher, vector,
				   bench->scratch, epsilon);
	AnnoyBeginLeaf(&bench->sketcher, query, centroid->element, centroid->scale,
				   centroid->norm_squared, FLT_MAX);
	AnnoyBeginRefinement(query, 3, centroid->norm_squared);
}

/* Where nothing is known, no bound is changed, and none is there above. */
static void
test_nothing_known(AnnoyMetric metric)
{
	enum
	{
		D = 100, S = 112
	};
	float		vector[D];
	float		huge[D];
	float		sketch[S];
	uint8_t		zeroes[MAX_REFINEMENT] = {0};
	Centroid	centroid;
	Centroid	small;
	AnnoyQuery	query;
	AnnoyRandom random;
	Bench		bench;
	Entry		entry;
	Entry		unbounded;
	float		upper;
	float		lower;
	int			i;

	open_bench(&bench, metric, D, 3, NULL, 30.0f);
	AnnoySeedRandom(&random, 10);
	for (i = 0; i < D; i++)
	{
		vector[i] = gaussian(&random);
		huge[i] = 1e20f * vector[i];
	}
	CHECK(sketch_of(&bench, vector, sketch));
	set_centroid(&centroid, S, sketch);

	/* equal to the centroid: both bounds say what there is to say */
	for (i = 0; i < S; i++)
		sketch[i] = centroid.scale * centroid.element[i];
	encode(&bench.sketcher, sketch, false, &centroid, 3, &entry);
	CHECK(entry.f1 == 0.0f);
	CHECK(memcmp(entry.refinement, zeroes, AnnoyRefinementSize(S, 3)) == 0);
	for (i = 0; i < D; i++)
		vector[i] += 0.1f;
	begin_extreme(&bench, &query, &centroid, vector, 2.0f);
	lower = rank_entry(&query, S, &entry);
	CHECK(AnnoyRefineBound(&bench.sketcher, &query, entry.code,
						   entry.refinement, entry.f1, entry.f2, lower,
						   &upper) == lower);
	CHECK(upper == AnnoyUpperBound(&bench.sketcher, &query, lower, 0.0f));
	CHECK(upper > lower && upper < lower + 0.01f * fabsf(lower) + 1.0f);

	/* an unbounded item */
	encode(&bench.sketcher, sketch, true, &centroid, 3, &unbounded);
	lower = rank_entry(&query, S, &unbounded);
	CHECK(AnnoyRefineBound(&bench.sketcher, &query, unbounded.code,
						   unbounded.refinement, unbounded.f1, unbounded.f2,
						   lower, &upper) == lower && upper == FLT_MAX);

	/* a centroid whose square vanishes, or is not what it should be */
	small = centroid;
	small.scale = 1e-25f;
	small.norm_squared = 0.0f;
	for (i = 0; i < S; i++)
		sketch[i] = 1e-20f * gaussian(&random);
	encode(&bench.sketcher, sketch, false, &small, 3, &entry);
	CHECK(entry.f1 > 0.0f);
	CHECK(factors_of(&entry, S, 3).deviation >= 0.0 &&
		  fabs(factors_of(&entry, S, 3).h) < 1.0);
	small = centroid;
	small.norm_squared = 1e-20f;
	for (i = 0; i < S; i++)
		sketch[i] = gaussian(&random);
	encode(&bench.sketcher, sketch, false, &small, 3, &entry);
	lower = rank_entry(&query, S, &entry);
	CHECK(AnnoyRefineBound(&bench.sketcher, &query, entry.code,
						   entry.refinement, entry.f1, entry.f2, lower,
						   &upper) <= upper);

	/* queries of which nothing is known, and damaged factors */
	encode(&bench.sketcher, sketch, false, &centroid, 3, &entry);
	for (i = 0; i < 3; i++)
	{
		huge[0] = i == 2 ? NAN : 1.0f;
		begin_extreme(&bench, &query, &centroid, i == 0 ? vector : huge,
					  i == 0 ? INFINITY : 2.0f);
		CHECK(i != 1 || query.unbounded || metric != ANNOY_METRIC_L2);
		if (i == 1 && !query.unbounded)
			continue;
		lower = rank_entry(&query, S, &entry);
		CHECK(AnnoyUpperBound(&bench.sketcher, &query, lower, entry.f1) ==
			  FLT_MAX);
		CHECK(AnnoyRefineBound(&bench.sketcher, &query, entry.code,
							   entry.refinement, entry.f1, entry.f2, lower,
							   &upper) == lower && upper == FLT_MAX);
	}
	begin_extreme(&bench, &query, &centroid, vector, 2.0f);
	CHECK(AnnoyUpperBound(&bench.sketcher, &query, 1.0f, NAN) == FLT_MAX);
	CHECK(AnnoyUpperBound(&bench.sketcher, &query, 1.0f, INFINITY) == FLT_MAX);
	CHECK(AnnoyUpperBound(&bench.sketcher, &query, NAN, 1.0f) == FLT_MAX);
	CHECK(AnnoyUpperBound(&bench.sketcher, &query, 1.0f, -1.0f) == FLT_MAX);
	CHECK(AnnoyRefineBound(&bench.sketcher, &query, entry.code,
						   entry.refinement, entry.f1, NAN, 1.0f,
						   &upper) == 1.0f && upper == FLT_MAX);
	CHECK(AnnoyRefineBound(&bench.sketcher, &query, entry.code,
						   entry.refinement, NAN, 1.0f, 1.0f,
						   &upper) == 1.0f && upper == FLT_MAX);
	close_bench(&bench);
}

/* Which metrics have upper bounds; codes that are bits need no room. */
static void
test_metrics(void)
{
	static const struct
	{
		AnnoyMetric metric;
		bool		has[2];		/* short and long */
	}			metrics[] =
	{
		{ANNOY_METRIC_L2, {true, true}},
		{ANNOY_METRIC_COSINE, {true, true}},
		{ANNOY_METRIC_INNER_PRODUCT, {true, true}},
		{ANNOY_METRIC_L1, {false, false}},
		{ANNOY_METRIC_HAMMING, {true, true}},
		{ANNOY_METRIC_JACCARD, {true, false}}
	};
	float	   *vector = allocate_floats(2000);
	size_t		k;
	int			i;

	for (i = 0; i < 2000; i += 3)
		vector[i] = 1.0f;
	for (k = 0; k < sizeof(metrics) / sizeof(metrics[0]); k++)
	{
		AnnoyMetric metric = metrics[k].metric;
		Bench		bench;

		open_bench(&bench, metric, 2000, 1, NULL, 1.0f);
		CHECK(AnnoyHasUpperBounds(&bench.sketcher) == metrics[k].has[1]);
		if (!metrics[k].has[1])
		{
			AnnoyQuery	query;

			AnnoyInitQuery(&query, bench.query_memory, &bench.sketcher, vector,
						   bench.scratch, 2.0f);
			CHECK(AnnoyUpperBound(&bench.sketcher, &query, 1.0f, 1.0f) ==
				  FLT_MAX);
		}
		close_bench(&bench);
		open_bench(&bench, metric, 200, 1, NULL, 1.0f);
		CHECK(AnnoyHasUpperBounds(&bench.sketcher) == metrics[k].has[0]);
		if (bench.sketcher.codes_are_bits)
		{
			float		lower = metric == ANNOY_METRIC_JACCARD ? 0.3f : 31.0f;
			float		upper;
			AnnoyQuery	query;

			AnnoyInitQuery(&query, bench.query_memory, &bench.sketcher, vector,
						   bench.scratch, 2.0f);
			upper = AnnoyUpperBound(&bench.sketcher, &query, lower, 1.0f);
			CHECK(upper >= lower && upper <= 1.0001f * lower);
			CHECK(AnnoyBoundToDistance(&bench.sketcher, &query, upper) >=
				  (double) lower);
		}
		close_bench(&bench);
	}
	free(vector);
}

/*
 * The same bits from every set of kernels, compiler and machine, of refinements
 * and of bounds.  A change of the pinned hash may be one of the on-disk format.
 */
#define PINNED_HASH UINT64_C(0x50C2D5BA0ED3E56D)

static void
test_same_everywhere(void)
{
	static const char *const sets[] = {"plain", "avx2", "avx512", "neon"};
	const int	d = 300;
	float	   *vectors = allocate_floats(51 * (size_t) d);
	AnnoyRandom random;
	size_t		k;
	int			i;

	AnnoySeedRandom(&random, 9);
	for (i = 0; i < 51 * d; i++)
		vectors[i] = (float) (uniform(&random) - 0.25);

	for (k = 0; k < sizeof(sets) / sizeof(sets[0]); k++)
	{
		uint64_t	hash = 0;
		int			item;

		if (!AnnoyChooseKernels(sets[k]))
			continue;
		for (item = 1; item < 49; item++)
		{
			AnnoyMetric metric = item % 2 ? ANNOY_METRIC_L2 :
				ANNOY_METRIC_INNER_PRODUCT;
			int			bits = 2 + item % 3;
			int			s = AnnoySketchDimensions(d);
			Centroid	centroid;
			AnnoyQuery	query;
			Bench		bench;
			Entry		entry;
			float		bounds[3];

			open_bench(&bench, metric, d, 8, vectors, 30.0f);
			CHECK(sketch_of(&bench, vectors + item * d, bench.sketch));
			set_centroid(&centroid, s, bench.sketch);
			CHECK(sketch_of(&bench, vectors + (item + 1) * d, bench.sketch));
			encode(&bench.sketcher, bench.sketch, false, &centroid, bits,
				   &entry);
			AnnoyInitQuery(&query, bench.query_memory, &bench.sketcher,
						   vectors + (item + 2) * d, bench.scratch, 2.0f);
			AnnoyBeginLeaf(&bench.sketcher, &query, centroid.element,
						   centroid.scale, centroid.norm_squared, FLT_MAX);
			AnnoyBeginRefinement(&query, bits, centroid.norm_squared);
			bounds[0] = rank_entry(&query, s, &entry);
			bounds[1] = AnnoyRefineBound(&bench.sketcher, &query, entry.code,
										 entry.refinement, entry.f1, entry.f2,
										 lowest(&query), &bounds[2]);
			for (i = 0; i < (int) AnnoyRefinementSize(s, bits); i++)
				hash = AnnoyHash(hash, entry.refinement[i]);
			for (i = 0; i < 3; i++)
			{
				uint32_t	element;

				memcpy(&element, &bounds[i], sizeof(element));
				hash = AnnoyHash(hash, element);
			}
			bounds[0] = AnnoyUpperBound(&bench.sketcher, &query, bounds[0],
										entry.f1);
			memcpy(&i, &bounds[0], sizeof(i));
			hash = AnnoyHash(hash, (uint64_t) i);
			close_bench(&bench);
		}
		CHECK_THAT(hash == PINNED_HASH, "%s: %016" PRIX64, sets[k], hash);
	}
	AnnoyChooseKernels(NULL);
	free(vectors);
}

static double
nanoseconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double) now.tv_sec * 1e9 + (double) now.tv_nsec;
}

/* Of 64 entries in turn, so that no branch and no cache line is known. */
static void
print_times(const char *set)
{
	enum
	{
		ENTRIES = 64, REPEATS = 300, ROUNDS = 9
	};
	static const int dimensions[] = {112, 256, 768};
	size_t		k;
	int			bits;

	for (k = 0; k < sizeof(dimensions) / sizeof(dimensions[0]); k++)
		for (bits = 2; bits <= ANNOY_MAX_CODE_BITS; bits++)
		{
			static Entry entries[ENTRIES];
			int			s = dimensions[k];
			double		best[3] = {1e9, 1e9, 1e9};
			float		sum = 0.0f;
			DataSet		data;
			Bench		bench;
			AnnoyQuery	query;
			Centroid	centroid;
			float	   *sketches = allocate_floats((size_t) (ENTRIES * s));
			int			round;
			int			i;

			make_gaussian(&data, ENTRIES + 2, s);
			open_bench(&bench, ANNOY_METRIC_L2, s, 1, NULL, 0.0f);
			sketch_of(&bench, vector_of(&data, ENTRIES), bench.sketch);
			set_centroid(&centroid, s, bench.sketch);
			for (i = 0; i < ENTRIES; i++)
			{
				sketch_of(&bench, vector_of(&data, i), sketches + i * s);
				encode(&bench.sketcher, sketches + i * s, false, &centroid,
					   bits, &entries[i]);
			}
			AnnoyInitQuery(&query, bench.query_memory, &bench.sketcher,
						   vector_of(&data, ENTRIES + 1), bench.scratch, 2.0f);
			AnnoyBeginLeaf(&bench.sketcher, &query, centroid.element,
						   centroid.scale, centroid.norm_squared, FLT_MAX);
			AnnoyBeginRefinement(&query, bits, centroid.norm_squared);

			for (round = 0; round < ROUNDS; round++)
			{
				double		times[4];

				times[0] = nanoseconds();
				for (i = 0; i < ENTRIES * REPEATS; i++)
					AnnoyEncodeRefinement(&bench.sketcher,
										  sketches + i % ENTRIES * s,
										  centroid.element, centroid.scale,
										  centroid.norm_squared, bits,
										  entries[i % ENTRIES].f1,
										  entries[i % ENTRIES].refinement);
				times[1] = nanoseconds();
				for (i = 0; i < ENTRIES * REPEATS; i++)
				{
					const Entry *entry = &entries[i % ENTRIES];
					float		upper;

					sum += AnnoyRefineBound(&bench.sketcher, &query,
											entry->code, entry->refinement,
											entry->f1, entry->f2, 0.0f, &upper);
					sum += upper;
				}
				times[2] = nanoseconds();
				for (i = 0; i < ENTRIES * REPEATS; i++)
					sum += AnnoyUpperBound(&bench.sketcher, &query, (float) i,
										   entries[i % ENTRIES].f1);
				times[3] = nanoseconds();
				for (i = 0; i < 3; i++)
					if ((times[i + 1] - times[i]) / (ENTRIES * REPEATS) < best[i])
						best[i] = (times[i + 1] - times[i]) / (ENTRIES * REPEATS);
			}
			printf("%s s=%d, %d bits: encode %.0f ns, refine %.1f ns, "
				   "upper bound of one bit %.1f ns%s\n", set, s, bits, best[0],
				   best[1], best[2], sum == 0.5f ? "" : ".");
			close_bench(&bench);
			free(sketches);
			free(data.vectors);
		}
}

int
main(int argc, char **argv)
{
	static const char *const sets[] = {"plain", "avx2", "avx512", "neon"};
	static const int sizes[] = {16, 48, 112, 256, 768, 1536};
	size_t		k;
	int			bits;

	AnnoyChooseKernels(NULL);
	if (argc > 1 && strcmp(argv[1], "time") == 0)
	{
		for (k = 0; k < sizeof(sets) / sizeof(sets[0]); k++)
			if (AnnoyChooseKernels(sets[k]))
				print_times(sets[k]);
		return 0;
	}

	test_sizes();
	for (k = 0; k < sizeof(sizes) / sizeof(sizes[0]); k++)
		for (bits = 2; bits <= ANNOY_MAX_CODE_BITS; bits++)
			test_levels(sizes[k], bits);
	test_all_rates();
	test_all_distances();
	test_sparse_residuals(48, 3);
	test_sparse_residuals(100, 2);
	test_sparse_residuals(100, 4);
	printf("\n");
	test_nothing_known(ANNOY_METRIC_L2);
	test_nothing_known(ANNOY_METRIC_INNER_PRODUCT);
	test_metrics();
	test_same_everywhere();
	return check_report();
}

/*-------------------------------------------------------------------------
 *
 * options.c
 *	  Options of an index (WITH (...)) and settings of a session (annoy.*).
 *
 * Names, ranges and defaults are the original library's wherever it has the
 * parameter.  In it, -1 stands for "automatic" and 0 is an error; server
 * options know only a minimum and a maximum, so 0 is refused separately.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <limits.h>

#include "access/reloptions.h"
#include "access/xact.h"
#include "utils/guc.h"
#include "utils/rel.h"

#include "annoy.h"
#include "arith/refine.h"
#include "definition/options.h"

int			annoy_search_k = ANNOY_AUTOMATIC;
int			annoy_iterative_scan = ANNOY_SCAN_STRICT;
int			annoy_max_scan_items = ANNOY_AUTOMATIC;
int			annoy_verbosity = 0;

static const struct config_enum_entry iterative_scan_modes[] = {
	{"strict_order", ANNOY_SCAN_STRICT, false},
	{"relaxed_order", ANNOY_SCAN_RELAXED, false},
	{"off", ANNOY_SCAN_OFF, false},
	{NULL, 0, false}
};

static relopt_kind annoy_relopt_kind;

/*
 * Reads a seed: decimal digits only, at most 2^64 - 1.  Signs and blanks, that
 * strtoull would take, are refused.
 */
static bool
parse_seed(const char *string, uint64 *seed)
{
	uint64		value = 0;

	if (*string == '\0')
		return false;

	for (; *string != '\0'; string++)
	{
		uint64		digit;

		if (*string < '0' || *string > '9')
			return false;
		digit = *string - '0';
		if (value > (PG_UINT64_MAX - digit) / 10)
			return false;
		value = value * 10 + digit;
	}

	*seed = value;
	return true;
}

/* Validator of the reloption "seed"; the default, NULL, passes through too. */
static void
check_seed_option(const char *value)
{
	uint64		seed;

	if (value != NULL && !parse_seed(value, &seed))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid value for option \"%s\": \"%s\"",
						"seed", value),
				 errdetail("A seed is a whole number from 0 to "
						   UINT64_FORMAT ".", PG_UINT64_MAX)));
}

/* Refuses 0 for an option that takes -1 or a positive number. */
static void
check_not_zero(const char *option, int value, int maximum)
{
	if (value == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("value 0 out of bounds for option \"%s\"", option),
				 errdetail("Valid values are -1 (automatic) and 1 to %d.",
						   maximum)));
}

/* Refuses 0 for a setting that takes -1 or a positive number. */
static bool
check_positive_or_automatic(int *newval, void **extra, GucSource source)
{
	if (*newval == 0)
	{
		GUC_check_errdetail("Valid values are -1 and 1 to %d.", INT_MAX);
		return false;
	}
	return true;
}

/* The original library clamps its verbosity instead of refusing values. */
static bool
clamp_verbose(int *newval, void **extra, GucSource source)
{
	*newval = Max(ANNOY_MIN_VERBOSE, Min(ANNOY_MAX_VERBOSE, *newval));
	return true;
}

/*
 * The lock is that of ALTER INDEX ... SET.  All of these options are read when
 * a scan is planned or begun, or by the next build, so other sessions need not
 * be kept out.
 */
static void
init_index_options(void)
{
	const LOCKMODE lock = ShareUpdateExclusiveLock;

	annoy_relopt_kind = add_reloption_kind();

	add_int_reloption(annoy_relopt_kind, "n_trees",
					  "Number of trees, or -1 to choose it automatically.",
					  ANNOY_AUTOMATIC, ANNOY_AUTOMATIC, ANNOY_MAX_TREES, lock);
	add_int_reloption(annoy_relopt_kind, "search_k",
					  "Number of items inspected before the first row, or -1 to choose it automatically.",
					  ANNOY_AUTOMATIC, ANNOY_AUTOMATIC, INT_MAX, lock);
	add_int_reloption(annoy_relopt_kind, "n_neighbors",
					  "Number of neighbors to find where a query does not say.",
					  ANNOY_DEFAULT_NEIGHBORS, 1, INT_MAX, lock);
	add_int_reloption(annoy_relopt_kind, "code_bits",
					  "Bits that a code has for each dimension, or -1 to choose it automatically.",
					  ANNOY_AUTOMATIC, ANNOY_AUTOMATIC, ANNOY_MAX_CODE_BITS, lock);
	add_string_reloption(annoy_relopt_kind, "seed",
						 "Seed of the random numbers used by the build.",
						 NULL, check_seed_option, lock);
}

static void
init_settings(void)
{
	DefineCustomIntVariable("annoy.search_k",
							"Sets the number of items that a scan inspects before the first row.",
							"Each time the scan resumes it inspects as many again. "
							"-1 uses the index's own option or calibration.",
							&annoy_search_k,
							ANNOY_AUTOMATIC, ANNOY_AUTOMATIC, INT_MAX,
							PGC_USERSET, 0,
							check_positive_or_automatic, NULL, NULL);
	DefineCustomEnumVariable("annoy.iterative_scan",
							 "Sets whether a scan resumes when more rows are wanted, and whether they stay in order.",
							 NULL,
							 &annoy_iterative_scan,
							 ANNOY_SCAN_STRICT, iterative_scan_modes,
							 PGC_USERSET, 0,
							 NULL, NULL, NULL);
	DefineCustomIntVariable("annoy.max_scan_items",
							"Sets the number of inspected items beyond which a scan does not resume.",
							"-1 sets no limit.",
							&annoy_max_scan_items,
							ANNOY_AUTOMATIC, ANNOY_AUTOMATIC, INT_MAX,
							PGC_USERSET, 0,
							check_positive_or_automatic, NULL, NULL);

	/* Not "verbose", which is a key word: SET would want quotes. */
	DefineCustomIntVariable("annoy.verbosity",
							"Sets how much an index build reports, from -2 to 2.",
							"From 1 on steps are reported at level INFO; 2 adds details of every tree. "
							"Values outside the range are moved into it.",
							&annoy_verbosity,
							0, INT_MIN, INT_MAX,
							PGC_USERSET, 0,
							clamp_verbose, NULL, NULL);

	MarkGUCPrefixReserved("annoy");
}

/* Makes the options and settings known to the server; for _PG_init. */
void
AnnoyInitOptions(void)
{
	init_index_options();
	init_settings();
}

/* Trees that a build makes with these options, which may be NULL. */
static int
get_tree_count(const AnnoyOptions *options)
{
	return options != NULL && options->n_trees != ANNOY_AUTOMATIC ?
		options->n_trees : ANNOY_AUTOMATIC_TREES;
}

/* The seed that a build takes, or 0 if that was set. */
static uint64
get_set_seed(const AnnoyOptions *options)
{
	const char *string;
	uint64		seed;

	if (options == NULL || options->seed_offset == 0)
		return ANNOY_DEFAULT_SEED;
	string = (const char *) options + options->seed_offset;
	if (!parse_seed(string, &seed))
		elog(ERROR, "invalid seed \"%s\"", string);
	return seed;
}

static uint64
get_seed(const AnnoyOptions *options)
{
	uint64		seed = get_set_seed(options);

	return seed != 0 ? seed : ANNOY_DEFAULT_SEED;
}

static AnnoyBuildOptions
get_build_options(const AnnoyOptions *options)
{
	return (AnnoyBuildOptions)
	{
		.n_trees = get_tree_count(options),
		.seed = get_seed(options),
		.code_bits = options != NULL ? options->code_bits : ANNOY_AUTOMATIC
	};
}

/* The options that were parsed last because they are being set, and when. */
static struct
{
	TimestampTz statement;
	CommandId	command;
	AnnoyBuildOptions options;
}			parsed;

/* amoptions: parses reloptions, and when they are being set checks them. */
bytea *
annoyoptions(Datum reloptions, bool validate)
{
	static const relopt_parse_elt table[] = {
		{
			.optname = "n_trees",
			.opttype = RELOPT_TYPE_INT,
			.offset = offsetof(AnnoyOptions, n_trees)
		},
		{
			.optname = "search_k",
			.opttype = RELOPT_TYPE_INT,
			.offset = offsetof(AnnoyOptions, search_k)
		},
		{
			.optname = "n_neighbors",
			.opttype = RELOPT_TYPE_INT,
			.offset = offsetof(AnnoyOptions, n_neighbors)
		},
		{
			.optname = "code_bits",
			.opttype = RELOPT_TYPE_INT,
			.offset = offsetof(AnnoyOptions, code_bits)
		},
		{
			.optname = "seed",
			.opttype = RELOPT_TYPE_STRING,
			.offset = offsetof(AnnoyOptions, seed_offset)
		}
	};
	AnnoyOptions *options;

	options = build_reloptions(reloptions, validate, annoy_relopt_kind,
							   sizeof(AnnoyOptions), table, lengthof(table));

	if (validate && options != NULL)
	{
		check_not_zero("n_trees", options->n_trees, ANNOY_MAX_TREES);
		check_not_zero("search_k", options->search_k, INT_MAX);
		check_not_zero("code_bits", options->code_bits, ANNOY_MAX_CODE_BITS);
	}
	if (validate)
	{
		parsed.statement = GetCurrentStatementStartTimestamp();
		parsed.command = GetCurrentCommandId(false);
		parsed.options = get_build_options(options);
	}

	return (bytea *) options;
}

bool
AnnoyGetParsedOptions(AnnoyBuildOptions *options)
{
	if (parsed.statement != GetCurrentStatementStartTimestamp() ||
		parsed.command != GetCurrentCommandId(false))
		return false;
	*options = parsed.options;
	return true;
}

void
AnnoyForgetParsedOptions(void)
{
	parsed.statement = 0;
}

AnnoyBuildOptions
AnnoyGetBuildOptions(Relation index)
{
	return get_build_options((AnnoyOptions *) index->rd_options);
}

int
AnnoyGetTreeCount(Relation index)
{
	AnnoyOptions *options = (AnnoyOptions *) index->rd_options;

	return options != NULL ? options->n_trees : ANNOY_AUTOMATIC;
}

int
AnnoyGetBuiltTreeCount(Relation index)
{
	return get_tree_count((AnnoyOptions *) index->rd_options);
}

int
AnnoyGetSearchK(Relation index)
{
	AnnoyOptions *options = (AnnoyOptions *) index->rd_options;

	return options != NULL ? options->search_k : ANNOY_AUTOMATIC;
}

int
AnnoyGetNeighbors(Relation index)
{
	AnnoyOptions *options = (AnnoyOptions *) index->rd_options;

	return options != NULL ? options->n_neighbors : ANNOY_DEFAULT_NEIGHBORS;
}

int
AnnoyGetCodeBits(Relation index)
{
	AnnoyOptions *options = (AnnoyOptions *) index->rd_options;

	return options != NULL ? options->code_bits : ANNOY_AUTOMATIC;
}

uint64
AnnoyGetSeed(Relation index, bool warn)
{
	AnnoyOptions *options = (AnnoyOptions *) index->rd_options;

	if (warn && get_set_seed(options) == 0)
		ereport(WARNING,
				(errmsg("seed 0 of index \"%s\" stands for the default seed",
						RelationGetRelationName(index)),
				 errdetail("The default seed is " UINT64_FORMAT ".",
						   ANNOY_DEFAULT_SEED)));
	return get_seed(options);
}

/*-------------------------------------------------------------------------
 *
 * memory.c
 *	  What the extension's queries would cost without a database.
 *
 * Reads the file of an annoy index into plain arrays and answers the queries
 * of a data set with the same algorithm and the same arithmetic, to see how far
 * a query through SQL is from that limit.
 *
 * Rows are known by the order of their TIDs, which is that of bench/load's ids
 * as long as no row was updated; that is checked by comparing the vectors.
 *
 *-------------------------------------------------------------------------
 */
#define _GNU_SOURCE				/* getopt_long, asprintf */

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dataset.h"
#include "measure.h"
#include "memory_search.h"

typedef struct Options
{
	const char *index;
	const char *data;
	const char *answers;		/* file with the server's answers, or NULL */
	const char *kernels;		/* name of a set, or NULL for the best */
	int			k;
	int			num_queries;	/* 0: all */
	int			repetitions;
	bool		small_pages;
	bool		statistics;
} Options;

typedef struct Bench
{
	Options		options;
	MemoryForest forest;
	MemorySearch *search;
	QuerySet	queries;
	GroundTruth truth;
	Measurements measurements;
	int64_t		search_k[MAX_MEASURED_SETTINGS];
} Bench;

/* Rows that are given out before the extension inspects more than search_k. */
#define MAX_K 20

static int
answer_query(void *context, int setting, int query, int64_t *ids)
{
	Bench	   *bench = context;

	return search_memory(bench->search,
						 bench->queries.vectors +
						 (size_t) query * (size_t) bench->queries.dim,
						 bench->search_k[setting], bench->options.k, ids);
}

static char *
make_path(const Options *options, const char *suffix)
{
	char	   *path;

	if (asprintf(&path, "%s%s", options->data, suffix) < 0)
		die("out of memory");
	return path;
}

/* Errors out unless the items are the rows of the data set. */
static void
check_rows(const Bench *bench)
{
	const MemoryForest *forest = &bench->forest;
	size_t		size = sizeof(float) * (size_t) forest->dimensions;
	char	   *path = make_path(&bench->options, "_train.f32");
	QuerySet	rows;

	read_queries(&rows, path, forest->dimensions);
	if (rows.count != forest->n_rows)
		die("the index has %d rows, \"%s\" has %d", forest->n_rows, path,
			rows.count);
	for (int32_t i = 0; i < forest->n_items; i++)
		if (memcmp(get_memory_vector(forest, (uint32_t) i), rows.vectors +
				   (size_t) forest->rows[i] * (size_t) rows.dim, size) != 0)
			die("row %d of \"%s\" is another in the index", forest->rows[i],
				path);
	free(rows.vectors);
	free(path);
}

/*
 * Compares answers with those of the server: lines of a query's number, a tab
 * and a row's, as psql -AtF prints them.
 */
static void
compare_answers(Bench *bench)
{
	FILE	   *file = fopen(bench->options.answers, "r");
	int			k = bench->options.k;
	int			num_queries = bench->measurements.num_queries;
	int64_t    *theirs = calloc((size_t) num_queries * (size_t) k,
								sizeof(int64_t));
	int		   *counts = calloc((size_t) num_queries, sizeof(int));
	int64_t    *ours = malloc(sizeof(int64_t) * (size_t) k);
	int			query;
	long long	row;
	int			different = 0;
	int			missing = 0;

	if (file == NULL)
		die("could not open \"%s\"", bench->options.answers);
	if (theirs == NULL || counts == NULL || ours == NULL)
		die("out of memory");
	while (fscanf(file, "%d %lld", &query, &row) == 2)
		if (query >= 0 && query < num_queries && counts[query] < k)
			theirs[query * k + counts[query]++] = row;
	fclose(file);

	for (query = 0; query < num_queries; query++)
	{
		int			found = 0;

		if (answer_query(bench, 0, query, ours) != counts[query])
			die("query %d has another number of rows in \"%s\"", query,
				bench->options.answers);
		for (int i = 0; i < counts[query]; i++)
			for (int j = 0; j < counts[query]; j++)
				found += ours[i] == theirs[query * k + j];
		missing += counts[query] - found;
		different += found < counts[query];
	}
	printf("%d of %d answers differ, in %d rows\n", different, num_queries,
		   missing);
	free(theirs);
	free(counts);
	free(ours);
}

/* Averages of what annoy_last_scan() tells of a search. */
static void
print_statistics(Bench *bench)
{
	int			num_queries = bench->measurements.num_queries;
	int64_t    *ids = malloc(sizeof(int64_t) * (size_t) bench->options.k);

	if (ids == NULL)
		die("out of memory");
	printf("setting\titems_inspected\tleaves\thyperplanes\texact_distances\n");
	for (int i = 0; i < bench->measurements.num_settings; i++)
	{
		double		sums[4] = {0};

		for (int query = 0; query < num_queries; query++)
		{
			const MemoryStatistics *statistics =
				get_memory_statistics(bench->search);

			answer_query(bench, i, query, ids);
			sums[0] += (double) statistics->items_inspected;
			sums[1] += (double) statistics->leaves;
			sums[2] += (double) statistics->hyperplanes;
			sums[3] += (double) statistics->exact_distances;
		}
		printf("%s\t%.2f\t%.2f\t%.2f\t%.2f\n",
			   bench->measurements.settings[i], sums[0] / num_queries,
			   sums[1] / num_queries, sums[2] / num_queries,
			   sums[3] / num_queries);
	}
	free(ids);
}

static void
print_usage(void)
{
	puts("usage: memory [option ...] INDEX-FILE FOLDER/NAME [search_k ...]\n"
		 "\n"
		 "INDEX-FILE is what pg_relation_filepath() names, below the server's data\n"
		 "folder, after a CHECKPOINT; FOLDER/NAME is the data set that the table was\n"
		 "loaded from.  search_k 0, the default, is that of the calibration.\n"
		 "\n"
		 "  -k K             rows per query, at most 20 (10)\n"
		 "  -n N             number of queries (all)\n"
		 "  -r N             timed repetitions (3)\n"
		 "  --answers FILE   compare answers for the first search_k with FILE, lines\n"
		 "                   of query number, tab, row number\n"
		 "  --statistics     print averages of what annoy_last_scan() tells\n"
		 "  --kernels NAME   avx512, avx2, neon or plain instead of the best\n"
		 "  --small-pages    do not ask for large memory pages");
}

static void
parse_options(Bench *bench, int argc, char **argv)
{
	static const struct option long_options[] = {
		{"answers", required_argument, NULL, 'a'},
		{"statistics", no_argument, NULL, 's'},
		{"kernels", required_argument, NULL, 'K'},
		{"small-pages", no_argument, NULL, 'p'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0}
	};
	Options    *options = &bench->options;
	Measurements *measurements = &bench->measurements;
	int			letter;

	*options = (Options) {.k = 10, .repetitions = 3};
	while ((letter = getopt_long(argc, argv, "k:n:r:h", long_options,
								 NULL)) != -1)
	{
		switch (letter)
		{
			case 'k':
				options->k = parse_number(optarg, "-k");
				break;
			case 'n':
				options->num_queries = parse_number(optarg, "-n");
				break;
			case 'r':
				options->repetitions = parse_number(optarg, "-r");
				break;
			case 'a':
				options->answers = optarg;
				break;
			case 's':
				options->statistics = true;
				break;
			case 'K':
				options->kernels = optarg;
				break;
			case 'p':
				options->small_pages = true;
				break;
			case 'h':
				print_usage();
				exit(0);
			default:
				die("try --help");
		}
	}
	if (argc - optind < 2)
		die("an index file and a data set are needed: see --help");
	if (options->k > MAX_K)
		die("-k must not be above %d", MAX_K);
	options->index = argv[optind++];
	options->data = argv[optind++];
	if (argc - optind > MAX_MEASURED_SETTINGS)
		die("no more than %d settings can be given", MAX_MEASURED_SETTINGS);
	for (; optind < argc; optind++)
	{
		bench->search_k[measurements->num_settings] =
			strcmp(argv[optind], "0") == 0 ? 0 :
			parse_number(argv[optind], "search_k");
		measurements->settings[measurements->num_settings++] = argv[optind];
	}
	if (measurements->num_settings == 0)
		measurements->settings[measurements->num_settings++] = "0";
}

int
main(int argc, char **argv)
{
	static Bench bench;
	Options    *options = &bench.options;
	Measurements *measurements = &bench.measurements;
	char	   *path;

	program_name = "memory";
	parse_options(&bench, argc, argv);
	if (!AnnoyChooseKernels(options->kernels))
		die("kernels \"%s\" do not run here", options->kernels);
	read_forest(&bench.forest, options->index, !options->small_pages);
	check_rows(&bench);
	path = make_path(options, "_test.f32");
	read_queries(&bench.queries, path, bench.forest.dimensions);
	free(path);
	path = make_path(options, "_gt.i32");
	read_ground_truth(&bench.truth, path, bench.queries.count);
	free(path);
	bench.search = begin_memory_search(&bench.forest);

	measurements->k = options->k;
	measurements->repetitions = options->repetitions;
	measurements->num_queries = options->num_queries > 0 &&
		options->num_queries < bench.queries.count ? options->num_queries :
		bench.queries.count;
	measurements->truth = &bench.truth;
	measurements->answer = answer_query;
	measurements->context = &bench;

	if (options->answers != NULL)
		compare_answers(&bench);
	else if (options->statistics)
		print_statistics(&bench);
	else
	{
		print_measurement_heading("");
		measure_searches(measurements, "");
	}
	return 0;
}

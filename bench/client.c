/*-------------------------------------------------------------------------
 *
 * client.c
 *	  Measure nearest-neighbour queries, or inserts, through libpq.
 *
 * Runs
 *
 *		SELECT id FROM table ORDER BY embedding <-> $1 LIMIT k
 *
 * as a prepared statement, with its parameter and its result in binary form,
 * for every query vector, under every setting asked for (queries.c); or inserts
 * rows one by one (inserts.c).
 *
 *-------------------------------------------------------------------------
 */
#define _GNU_SOURCE				/* getopt_long, asprintf, cpu_set_t */

#include "client.h"

#include <errno.h>
#include <getopt.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "measure.h"

static void
print_usage(void)
{
	puts("usage: client [option ...] [setting ...]\n"
		 "       client [option ...] {@\"LABEL TABLE CONNINFO\" [setting ...]} ...\n"
		 "\n"
		 "A setting is a list of parameters that are set before a run, such as\n"
		 "\"annoy.search_k=1000\" or \"annoy.search_k=1000;jit=off\"; \"\" stands for\n"
		 "the defaults, which are measured if no setting is given.  \"queries=N\" in\n"
		 "it takes the first N queries only; with \"enable_indexscan=off\" an exact\n"
		 "answer is expected.  @ begins the settings of another table, maybe in\n"
		 "another database or server; the tables take turns, too.\n"
		 "\n"
		 "  -d CONNINFO      libpq's connection string (default: PGHOST etc.)\n"
		 "  -D FOLDER/NAME   use NAME_test.f32, NAME_gt.i32, and table NAME\n"
		 "  -q FILE          query vectors, float32\n"
		 "  -g FILE          ground truth, int32; \"\" if there is none\n"
		 "  -t TABLE         table\n"
		 "  -c COLUMN        vector column (embedding)\n"
		 "  -i COLUMN        identifier (id)\n"
		 "  -o OPERATOR      distance (<->)\n"
		 "  -k K             LIMIT (10)\n"
		 "  -n N             number of queries (all; 100 if exact)\n"
		 "  -p N             number of queries of a timed pass (as many as by -n)\n"
		 "  -r N             timed passes (3)\n"
		 "  -j N             connections that share the queries of a pass (1)\n"
		 "  --cold           no warm-up: recall and time are of the same pass\n"
		 "  --core N         bind the client and the server's processes for it to this\n"
		 "                   core, so that times do not depend on where they happen to\n"
		 "                   run; needs root and a server on this machine\n"
		 "  --exact          sort the whole table instead of using an index\n"
		 "  --insert FILE    insert these vectors, float32, instead of querying;\n"
		 "                   -r parts of them, in a transaction each\n"
		 "  --tabs           print values divided by tabs");
}

/* Begin a target by "LABEL TABLE CONNINFO". */
static void
add_described_target(Options *options, const char *description)
{
	char	   *label = strdup(description);
	char	   *table = strchr(label, ' ');
	char	   *conninfo = table != NULL ? strchr(table + 1, ' ') : NULL;

	if (table == NULL)
		die("\"@%s\" is not of the form \"@LABEL TABLE CONNINFO\"",
			description);
	*table++ = '\0';
	if (conninfo != NULL)
		*conninfo++ = '\0';
	if (options->num_targets == MAX_TARGETS)
		die("no more than %d targets can be given", MAX_TARGETS);
	options->targets[options->num_targets++] = (Target) {
		.label = label, .table = table,
		.conninfo = conninfo != NULL ? conninfo : options->conninfo};
}

/* Whether a setting has the parameter, and where its value begins. */
static const char *
find_parameter(const char *setting, const char *name)
{
	const char *found = setting;
	size_t		length = strlen(name);

	while ((found = strstr(found, name)) != NULL)
	{
		if ((found == setting || found[-1] == ';' || found[-1] == ' ') &&
			found[length] == '=')
			return found + length + 1;
		found += length;
	}
	return NULL;
}

static void
add_setting(Options *options, const char *text)
{
	Setting    *setting = &options->settings[options->num_settings];
	const char *queries = find_parameter(text, QUERIES_PARAMETER);
	const char *index_scan = find_parameter(text, "enable_indexscan");
	char	   *exact_text;

	if (options->num_settings == MAX_SETTINGS)
		die("no more than %d settings can be given", MAX_SETTINGS);
	options->num_settings++;
	*setting = (Setting) {
		.target = &options->targets[options->num_targets - 1], .text = text};
	if (queries != NULL)
		setting->num_queries = atoi(queries);
	setting->exact = index_scan != NULL && strncmp(index_scan, "off", 3) == 0;
	if (options->exact && !setting->exact)
	{
		if (asprintf(&exact_text, "enable_indexscan=off%s%s",
					 *text != '\0' ? ";" : "", text) < 0)
			die("out of memory");
		setting->text = exact_text;
		setting->exact = true;
	}
}

/* Take the arguments behind the options: settings and their targets. */
static void
parse_settings(Options *options, int argc, char **argv)
{
	int			first = options->num_settings;

	for (int i = 0; i <= argc; i++)
	{
		bool		target = i < argc && argv[i][0] == '@';

		/* A target that had no setting has the defaults. */
		if ((target || i == argc) && options->num_targets > 0 &&
			options->num_settings == first)
			add_setting(options, "");
		if (target)
		{
			add_described_target(options, argv[i] + 1);
			first = options->num_settings;
			continue;
		}
		if (options->num_targets == 0)
		{
			if (options->table == NULL)
				die("a table is needed: see --help");
			options->targets[options->num_targets++] = (Target) {
				.label = options->table, .table = options->table,
				.conninfo = options->conninfo};
		}
		if (i < argc)
			add_setting(options, argv[i]);
		else if (options->num_settings == 0)
			add_setting(options, "");
	}
}

/* Fill in what -D stands for where nothing more special was given. */
static void
complete_options(Options *options)
{
	if (options->data != NULL)
	{
		const char *slash = strrchr(options->data, '/');
		char	   *query_path;
		char	   *truth_path;

		if (asprintf(&query_path, "%s_test.f32", options->data) < 0 ||
			asprintf(&truth_path, "%s_gt.i32", options->data) < 0)
			die("out of memory");
		if (options->table == NULL)
			options->table = slash != NULL ? slash + 1 : options->data;
		if (options->query_path == NULL)
			options->query_path = query_path;
		if (options->truth_path == NULL)
			options->truth_path = truth_path;
	}
	if (options->truth_path != NULL && options->truth_path[0] == '\0')
		options->truth_path = NULL;
	if (options->query_path == NULL && options->insert_path == NULL)
		die("query vectors are needed: see --help");
}

static void
parse_options(Options *options, int argc, char **argv)
{
	static const struct option long_options[] = {
		{"exact", no_argument, NULL, 'x'},
		{"cold", no_argument, NULL, 'C'},
		{"core", required_argument, NULL, 'O'},
		{"insert", required_argument, NULL, 'I'},
		{"tabs", no_argument, NULL, 'T'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0}
	};
	int			letter;

	*options = (Options) {.conninfo = "", .column = "embedding",
		.id_column = "id", .operator = "<->", .k = 10, .repetitions = 3,
		.connections = 1, .core = -1};
	while ((letter = getopt_long(argc, argv, "d:D:q:g:t:c:i:o:k:n:p:r:j:h",
								 long_options, NULL)) != -1)
	{
		switch (letter)
		{
			case 'd':
				options->conninfo = optarg;
				break;
			case 'D':
				options->data = optarg;
				break;
			case 'q':
				options->query_path = optarg;
				break;
			case 'g':
				options->truth_path = optarg;
				break;
			case 't':
				options->table = optarg;
				break;
			case 'c':
				options->column = optarg;
				break;
			case 'i':
				options->id_column = optarg;
				break;
			case 'o':
				options->operator = optarg;
				break;
			case 'k':
				options->k = parse_number(optarg, "-k");
				break;
			case 'n':
				options->num_queries = parse_number(optarg, "-n");
				break;
			case 'p':
				options->pass_queries = parse_number(optarg, "-p");
				break;
			case 'r':
				options->repetitions = parse_number(optarg, "-r");
				break;
			case 'j':
				options->connections = parse_number(optarg, "-j");
				break;
			case 'x':
				options->exact = true;
				break;
			case 'C':
				options->cold = true;
				break;
			case 'O':
				options->core = strcmp(optarg, "0") == 0 ? 0 :
					parse_number(optarg, "--core");
				break;
			case 'I':
				options->insert_path = optarg;
				break;
			case 'T':
				options->tabs = true;
				break;
			case 'h':
				print_usage();
				exit(0);
			default:
				die("try --help");
		}
	}
	if (options->cold)
		options->repetitions = 1;
	complete_options(options);
	parse_settings(options, argc - optind, argv + optind);
}

/* Read the queries and the ground truth, if any, and measure. */
static void
measure_queries(const Options *options)
{
	QuerySet	queries;
	GroundTruth truth;
	int			dim = options->targets[0].column.dim;

	for (int i = 1; i < options->num_targets; i++)
		if (options->targets[i].column.dim != dim)
			die("all targets must have the same number of dimensions");
	read_queries(&queries, options->query_path, dim);
	if (options->truth_path != NULL)
	{
		read_ground_truth(&truth, options->truth_path, queries.count);
		if (options->k > truth.depth)
			die("the ground truth knows %d neighbours, fewer than %d",
				truth.depth, options->k);
	}
	measure_settings(options, &queries,
					 options->truth_path != NULL ? &truth : NULL);
}

static void
bind_client(int core)
{
	cpu_set_t	cores;

	CPU_ZERO(&cores);
	CPU_SET(core, &cores);
	if (sched_setaffinity(0, sizeof(cores), &cores) != 0)
		die("could not bind the client to core %d: %s", core, strerror(errno));
}

int
main(int argc, char **argv)
{
	static Options options;

	parse_options(&options, argc, argv);
	for (int i = 0; i < options.num_targets; i++)
	{
		Target	   *target = &options.targets[i];

		open_target(target, options.connections, options.column,
					options.id_column);
		if (options.core >= 0)
			bind_target(target, options.core);
		if (asprintf(&target->statement,
					 "SELECT %s FROM %s ORDER BY %s %s $1 LIMIT %d",
					 target->column.id, target->column.table,
					 target->column.name, options.operator, options.k) < 0)
			die("out of memory");
	}
	if (options.core >= 0)
		bind_client(options.core);
	if (options.insert_path != NULL)
		measure_inserts(&options);
	else
		measure_queries(&options);
	for (int i = 0; i < options.num_targets; i++)
		close_target(&options.targets[i]);
	return 0;
}

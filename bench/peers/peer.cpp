/*-------------------------------------------------------------------------
 *
 * peer.cpp
 *	  What the programs that measure other libraries share: options, data,
 *	  output.
 *
 *-------------------------------------------------------------------------
 */
#include "peer.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <numeric>
#include <sstream>

static void
print_usage(bool has_trees)
{
	printf("usage: %s [option ...] FOLDER/NAME [effort ...]\n"
		   "\n"
		   "FOLDER/NAME is a data set of bench/dataset; an effort is a setting of the\n"
		   "search.\n"
		   "\n"
		   "  -k K       neighbours per query (10)\n"
		   "  -n N       number of queries (all)\n"
		   "  -r N       timed repetitions (3)\n"
		   "  -R N       only the first N rows; their ground truth is computed\n",
		   program_name);
	if (has_trees)
		puts("  -t N,...   numbers of trees to build (10,50,100)");
}

static std::vector<int>
parse_list(const char *text, const char *name)
{
	std::vector<int> list;
	std::stringstream stream(text);
	std::string word;

	while (std::getline(stream, word, ','))
		list.push_back(parse_number(word.c_str(), name));
	return list;
}

static int
read_dimensions(const std::string &data)
{
	std::ifstream file(data + ".dim");
	int			dim = 0;

	if (!(file >> dim) || dim < 1)
		die("could not read \"%s.dim\" (bench/dataset writes it)",
			data.c_str());
	return dim;
}

/* The nearest rows of each query among those that are used, exactly. */
static void
compute_truth(Peer *peer)
{
	int			depth = std::min(peer->truth.depth, peer->rows.count);
	int			dim = peer->rows.dim;
	std::vector<double> distances(peer->rows.count);
	std::vector<int32_t> order(peer->rows.count);

	for (int q = 0; q < peer->num_queries; q++)
	{
		const float *query = peer->query(q);

		for (int i = 0; i < peer->rows.count; i++)
		{
			const float *row = peer->row(i);
			double		sum = 0;

			for (int j = 0; j < dim; j++)
				sum += ((double) row[j] - (double) query[j]) *
					((double) row[j] - (double) query[j]);
			distances[i] = std::sqrt(sum);
		}
		std::iota(order.begin(), order.end(), 0);
		std::partial_sort(order.begin(), order.begin() + depth, order.end(),
						  [&](int32_t a, int32_t b)
						  {
							  return distances[a] < distances[b] ||
								  (distances[a] == distances[b] && a < b);
						  });
		for (int i = 0; i < depth; i++)
		{
			peer->truth.ids[(size_t) q * depth + i] = order[i];
			if (peer->truth.distances != nullptr)
				peer->truth.distances[(size_t) q * depth + i] =
					(float) distances[order[i]];
		}
	}
	peer->truth.depth = depth;
}

void
read_peer(Peer *peer, int argc, char **argv, const std::vector<int> &trees,
		  const std::vector<int> &efforts)
{
	std::string data;
	int			letter;

	peer->trees = trees;
	while ((letter = getopt(argc, argv, trees.empty() ? "k:n:r:R:h" :
							"k:n:r:R:t:h")) != -1)
	{
		switch (letter)
		{
			case 'k':
				peer->k = parse_number(optarg, "-k");
				break;
			case 'n':
				peer->num_queries = parse_number(optarg, "-n");
				break;
			case 'r':
				peer->repetitions = parse_number(optarg, "-r");
				break;
			case 'R':
				peer->num_rows = parse_number(optarg, "-R");
				break;
			case 't':
				peer->trees = parse_list(optarg, "-t");
				break;
			case 'h':
				print_usage(!trees.empty());
				exit(0);
			default:
				die("try -h");
		}
	}
	if (optind == argc)
		die("a data set is needed: see -h");
	data = argv[optind++];
	for (; optind < argc; optind++)
		peer->efforts.push_back(parse_number(argv[optind], "an effort"));
	if (peer->efforts.empty())
		peer->efforts = efforts;
	if (peer->efforts.size() > MAX_MEASURED_SETTINGS)
		die("no more than %d settings can be given", MAX_MEASURED_SETTINGS);

	read_queries(&peer->rows, (data + "_train.f32").c_str(),
				 read_dimensions(data));
	read_queries(&peer->queries, (data + "_test.f32").c_str(), peer->rows.dim);
	read_ground_truth(&peer->truth, (data + "_gt.i32").c_str(),
					  peer->queries.count);
	if (peer->num_queries == 0 || peer->num_queries > peer->queries.count)
		peer->num_queries = peer->queries.count;
	if (peer->num_rows > 0 && peer->num_rows < peer->rows.count)
	{
		peer->rows.count = peer->num_rows;
		compute_truth(peer);
	}
	if (peer->k > peer->truth.depth)
		die("the ground truth knows %d neighbours, fewer than %d",
			peer->truth.depth, peer->k);
}

void
print_peer_heading()
{
	print_measurement_heading("\tbuild_s\tmegabytes");
}

void
measure_peer(const Peer &peer, const std::string &name,
			 const char *effort_name, double build_seconds, double megabytes,
			 AnswerQuery answer, void *context)
{
	std::vector<std::string> settings;
	Measurements measurements = {};
	char		rest[64];

	for (int effort : peer.efforts)
		settings.push_back(name + effort_name + "=" + std::to_string(effort));
	measurements.k = peer.k;
	measurements.repetitions = peer.repetitions;
	measurements.num_queries = peer.num_queries;
	measurements.truth = &peer.truth;
	measurements.answer = answer;
	measurements.context = context;
	for (const std::string &setting : settings)
		measurements.settings[measurements.num_settings++] = setting.c_str();
	snprintf(rest, sizeof(rest), "\t%.2f\t%.1f", build_seconds, megabytes);
	measure_searches(&measurements, rest);
}

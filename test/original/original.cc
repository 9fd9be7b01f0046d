/*-------------------------------------------------------------------------
 *
 * original.cc
 *	  Loads a file that annoy has written with the original Annoy library, and
 *	  compares it with a forest that the library builds itself.
 *
 *	original METRIC DIMENSIONS TREES VECTORS QUERIES FILE OWN SEARCH_K...
 *
 * VECTORS and QUERIES are plain arrays of float; VECTORS in the order of ids.
 * FILE is what annoy has written (or "-": none), OWN is where the library's own
 * forest of TREES trees is saved.  Prints lines of a name and numbers:
 *
 *	items N				as the library counts those of FILE
 *	trees N
 *	differ N			vectors of FILE that are not those of VECTORS
 *	worst X				largest error of a distance, relative to the largest
 *	short N				answers of less than ten items
 *	recall SEARCH_K X Y		recall@10 of FILE, and of OWN
 *
 *-------------------------------------------------------------------------
 */
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#define __ERROR_PRINTER_OVERRIDE__(...) fprintf(stderr, __VA_ARGS__)
#include "annoylib.h"
#include "kissrandom.h"

/* newer versions of the library have a namespace, older ones have none */
namespace Annoy {}
using namespace Annoy;
using std::string;
using std::vector;

static const int neighbours = 10;

static vector<float>
read_floats(const char *path)
{
	std::ifstream in(path, std::ios::binary);
	string		bytes((std::istreambuf_iterator<char>(in)),
					  std::istreambuf_iterator<char>());
	vector<float> floats(bytes.size() / sizeof(float));

	memcpy(floats.data(), bytes.data(), floats.size() * sizeof(float));
	return floats;
}

/* A vector as the library takes it: of floats, or of words of bits. */
static void
convert(const float *in, int f, vector<float> &out)
{
	out.assign(in, in + f);
}

static void
convert(const float *in, int f, vector<uint64_t> &out)
{
	out.assign((f + 63) / 64, 0);
	for (int i = 0; i < f; i++)
		if (in[i] > 0.5f)
			out[i / 64] |= UINT64_C(1) << (i % 64);
}

/* The library's distance, in double. */
static double
exact_distance(const string &metric, const float *a, const float *b, int f)
{
	double		sum = 0, aa = 0, bb = 0;

	for (int i = 0; i < f; i++)
	{
		double		x = a[i], y = b[i];

		if (metric == "euclidean")
			sum += (x - y) * (x - y);
		else if (metric == "manhattan" || metric == "hamming")
			sum += fabs(x - y);
		else
			sum += x * y;
		aa += x * x;
		bb += y * y;
	}
	if (metric == "euclidean")
		return sqrt(sum);
	if (metric == "angular")
		return aa * bb > 0 ? sqrt(std::max(2 - 2 * sum / sqrt(aa * bb), 0.0)) : sqrt(2.0);
	return sum;
}

struct Arguments
{
	string		metric;
	int			f;
	int			trees;
	vector<float> vectors;
	vector<float> queries;
	const char *file;
	const char *own;
	vector<int> search_k;
};

/* The tenth smallest distance of every query (dot: largest). */
static vector<double>
find_limits(const Arguments &a)
{
	size_t		n = a.vectors.size() / a.f;
	vector<double> limits;

	for (size_t q = 0; q < a.queries.size() / a.f; q++)
	{
		vector<double> distances(n);

		for (size_t i = 0; i < n; i++)
		{
			double		d = exact_distance(a.metric, &a.queries[q * a.f],
										   &a.vectors[i * a.f], a.f);

			distances[i] = a.metric == "dot" ? -d : d;
		}
		std::nth_element(distances.begin(), distances.begin() + neighbours - 1,
						 distances.end());
		limits.push_back(distances[neighbours - 1]);
	}
	return limits;
}

/* What the answers to all queries are worth. */
struct Result
{
	double		recall = 0;
	double		worst = 0;
	int			shorter = 0;
};

template<typename T, typename Index>
static Result
search(const Arguments &a, const Index &index, const vector<double> &limits,
	   int search_k)
{
	Result		result;
	double		largest = 0;

	for (size_t q = 0; q < limits.size(); q++)
	{
		const float *query = &a.queries[q * a.f];
		vector<T>	converted;
		vector<int32_t> ids;
		vector<T>	distances;

		convert(query, a.f, converted);
		index.get_nns_by_vector(converted.data(), neighbours, search_k, &ids,
								&distances);
		if (ids.size() < (size_t) neighbours)
			result.shorter++;
		for (size_t i = 0; i < ids.size(); i++)
		{
			double		d = exact_distance(a.metric, query,
										   &a.vectors[(size_t) ids[i] * a.f], a.f);
			double		limit = limits[q] + 1e-6 * fabs(limits[q]);

			/* the library's own formula loses the last digits of small angles */
			if (a.metric == "angular")
				result.worst = std::max(result.worst,
										fabs(d * d - (double) distances[i] * distances[i]));
			else
				result.worst = std::max(result.worst, fabs(d - (double) distances[i]));
			largest = std::max(largest, fabs(d));
			result.recall += (a.metric == "dot" ? -d : d) <= limit;
		}
	}
	result.recall /= (double) neighbours * limits.size();
	if (largest > 0)
		result.worst /= largest;
	return result;
}

template<typename T, typename Metric>
static void
run(const Arguments &a)
{
	typedef AnnoyIndex<int32_t, T, Metric, Kiss64Random,
		AnnoyIndexSingleThreadedBuildPolicy> Index;
	vector<T>	converted;
	int			n = (int) (a.vectors.size() / a.f);

	convert(&a.vectors[0], a.f, converted);

	Index		file((int) converted.size());
	Index		own((int) converted.size());

	for (int i = 0; i < n; i++)
	{
		convert(&a.vectors[(size_t) i * a.f], a.f, converted);
		own.add_item(i, converted.data());
	}
	if (!own.build(a.trees) || !own.save(a.own))
		exit(1);
	if (strcmp(a.file, "-") == 0)
		return;

	if (!file.load(a.file))
		exit(1);
	printf("items %d\ntrees %d\n", (int) file.get_n_items(),
		   (int) file.get_n_trees());

	int			differ = 0;

	for (int i = 0; i < n && i < file.get_n_items(); i++)
	{
		vector<T>	item(converted.size());

		convert(&a.vectors[(size_t) i * a.f], a.f, converted);
		file.get_item(i, item.data());
		differ += item != converted;
	}
	printf("differ %d\n", differ);
	if (a.queries.empty())
		return;

	vector<double> limits = find_limits(a);

	for (size_t i = 0; i < a.search_k.size(); i++)
	{
		Result		theirs = search<T>(a, own, limits, a.search_k[i]);
		Result		ours = search<T>(a, file, limits, a.search_k[i]);

		if (i == 0)
			printf("worst %.9f\n", ours.worst);
		printf("short %d\nrecall %d %.4f %.4f\n", ours.shorter, a.search_k[i],
			   ours.recall, theirs.recall);
	}
}

int
main(int argc, char **argv)
{
	Arguments	a;

	if (argc < 8)
	{
		fprintf(stderr, "usage: original METRIC DIMENSIONS TREES VECTORS QUERIES FILE OWN SEARCH_K...\n");
		return 2;
	}
	a.metric = argv[1];
	a.f = atoi(argv[2]);
	a.trees = atoi(argv[3]);
	a.vectors = read_floats(argv[4]);
	a.queries = read_floats(argv[5]);
	a.file = argv[6];
	a.own = argv[7];
	for (int i = 8; i < argc; i++)
		a.search_k.push_back(atoi(argv[i]));
	if (a.f < 1 || a.vectors.size() < (size_t) a.f)
		return 2;

	if (a.metric == "angular")
		run<float, Angular>(a);
	else if (a.metric == "euclidean")
		run<float, Euclidean>(a);
	else if (a.metric == "manhattan")
		run<float, Manhattan>(a);
	else if (a.metric == "dot")
		run<float, DotProduct>(a);
	else if (a.metric == "hamming")
		run<uint64_t, Hamming>(a);
	else
		return 2;
	return 0;
}

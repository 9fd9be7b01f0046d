/*-------------------------------------------------------------------------
 *
 * annoy.cpp
 *	  The original Annoy library in memory, on the data sets of bench/dataset.
 *
 * Euclidean, built by one thread, asked for items without their distances,
 * which favours it.  search_k is the library's own: nodes to look at, for all
 * trees together.
 *
 *-------------------------------------------------------------------------
 */
#include "peer.h"

#include <cstdlib>

#include "annoylib.h"
#include "kissrandom.h"

/* newer versions of the library have a namespace, older ones have none */
namespace Annoy {}
using namespace Annoy;

using Index = AnnoyIndex<int32_t, float, Euclidean,
	Kiss32Random, AnnoyIndexSingleThreadedBuildPolicy>;

struct Context
{
	const Peer &peer;
	const Index &index;
	std::vector<int32_t> answer;
};

static int
answer_query(void *context, int setting, int query, int64_t *ids)
{
	Context    *c = static_cast<Context *>(context);
	int			count = 0;

	c->answer.clear();
	c->index.get_nns_by_vector(c->peer.query(query), (size_t) c->peer.k,
							   c->peer.efforts[(size_t) setting], &c->answer,
							   nullptr);
	for (int32_t id : c->answer)
		ids[count++] = id;
	return count;
}

/* Bytes of a file the index is saved to: all that its search reads. */
static double
measure_size(Index &index)
{
	char		path[] = "annoy-size-XXXXXX";
	int			file = mkstemp(path);
	off_t		size;
	char	   *error = nullptr;

	if (file < 0)
		die("could not make a file in the working folder");
	close(file);
	/* it is loaded from there, as users have it: mapped, in the page cache */
	if (!index.save(path, true, &error))
		die("could not save the index: %s", error != nullptr ? error : "?");
	file = open(path, O_RDONLY);
	size = lseek(file, 0, SEEK_END);
	close(file);
	unlink(path);
	return (double) size;
}

int
main(int argc, char **argv)
{
	Peer		peer;

	program_name = "annoy";
	read_peer(&peer, argc, argv, {10, 50, 100},
			  {500, 1000, 2000, 5000, 10000, 20000, 50000, 100000, 200000});
	print_peer_heading();
	for (int trees : peer.trees)
	{
		Index		index(peer.rows.dim);
		Context		context = {peer, index, {}};
		double		start = read_clock();
		double		seconds;
		char	   *error = nullptr;

		for (int i = 0; i < peer.rows.count; i++)
			if (!index.add_item(i, peer.row(i), &error))
				die("could not add an item: %s", error);
		if (!index.build(trees, 1, &error))
			die("could not build: %s", error);
		seconds = read_clock() - start;
		measure_peer(peer, "trees=" + std::to_string(trees) + ";", "search_k",
					 seconds, measure_size(index) / 1e6, answer_query,
					 &context);
	}
	return 0;
}

/*-------------------------------------------------------------------------
 *
 * hnswlib.cpp
 *	  The library hnswlib in memory, on the data sets of bench/dataset.
 *
 * Squared Euclidean distance, M = 16, ef_construction = 200, built by one
 * thread.
 *
 *-------------------------------------------------------------------------
 */
#include "peer.h"

#include "hnswlib/hnswlib.h"

static const size_t M = 16;
static const size_t EF_CONSTRUCTION = 200;

using Graph = hnswlib::HierarchicalNSW<float>;

struct Context
{
	const Peer &peer;
	Graph	   &graph;
};

static int
answer_query(void *context, int setting, int query, int64_t *ids)
{
	Context    *c = static_cast<Context *>(context);
	int			count;

	c->graph.setEf((size_t) c->peer.efforts[(size_t) setting]);
	auto		found = c->graph.searchKnn(c->peer.query(query),
										   (size_t) c->peer.k);

	/* the farthest comes first */
	count = (int) found.size();
	for (int i = count - 1; i >= 0; i--)
	{
		ids[i] = (int64_t) found.top().second;
		found.pop();
	}
	return count;
}

/* Bytes of the graph with its vectors. */
static double
measure_size(const Graph &graph)
{
	double		size = (double) graph.size_data_per_element_ *
		(double) graph.cur_element_count;

	for (size_t i = 0; i < graph.cur_element_count; i++)
		size += (double) graph.size_links_per_element_ *
			(double) graph.element_levels_[i];
	return size;
}

int
main(int argc, char **argv)
{
	Peer		peer;
	double		start;
	double		seconds;

	program_name = "hnswlib";
	read_peer(&peer, argc, argv, {},
			  {10, 20, 40, 80, 120, 200, 400, 800, 1600});

	hnswlib::L2Space space((size_t) peer.rows.dim);
	Graph		graph(&space, (size_t) peer.rows.count, M, EF_CONSTRUCTION);
	Context		context = {peer, graph};

	start = read_clock();
	for (int i = 0; i < peer.rows.count; i++)
		graph.addPoint(peer.row(i), (size_t) i);
	seconds = read_clock() - start;
	print_peer_heading();
	measure_peer(peer, "", "ef", seconds, measure_size(graph) / 1e6,
				 answer_query, &context);
	return 0;
}

/*-------------------------------------------------------------------------
 *
 * peer.h
 *	  What the programs that measure other libraries share: options, data,
 *	  output.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BENCH_PEER_H
#define BENCH_PEER_H

#include <cstddef>
#include <string>
#include <vector>

#include "dataset.h"
#include "measure.h"

struct Peer
{
	int			k = 10;
	int			repetitions = 3;
	int			num_queries = 0;	/* 0: all */
	int			num_rows = 0;	/* 0: all */
	std::vector<int> trees;		/* builds, where the library has them */
	std::vector<int> efforts;	/* of the search: search_k, ef */
	QuerySet	rows = {};
	QuerySet	queries = {};
	GroundTruth truth = {};

	const float *row(int number) const
	{
		return rows.vectors + (size_t) number * (size_t) rows.dim;
	}
	const float *query(int number) const
	{
		return queries.vectors + (size_t) number * (size_t) queries.dim;
	}
};

/*
 * Reads options and data; ends the program with the usage if they are wrong.
 * trees, efforts: what is measured by default; an empty list of trees: there
 * is no such option.
 */
extern void read_peer(Peer *peer, int argc, char **argv,
					  const std::vector<int> &trees,
					  const std::vector<int> &efforts);

extern void print_peer_heading();

/*
 * Measures one build with all efforts.  name: of the build, with a semicolon
 * at its end, or empty; effort_name: of the setting.
 */
extern void measure_peer(const Peer &peer, const std::string &name,
						 const char *effort_name, double build_seconds,
						 double megabytes, AnswerQuery answer, void *context);

#endif							/* BENCH_PEER_H */

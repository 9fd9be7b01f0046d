/*-------------------------------------------------------------------------
 *
 * options.h
 *	  Options of an index (WITH (...)) and settings of a session (annoy.*).
 *
 *-------------------------------------------------------------------------
 */
#ifndef ANNOY_OPTIONS_H
#define ANNOY_OPTIONS_H

#include "utils/relcache.h"

#define ANNOY_MAX_TREES 1000

/* Stands for "choose for me" in n_trees, search_k and max_scan_items. */
#define ANNOY_AUTOMATIC (-1)

/* The original library's own values. */
#define ANNOY_DEFAULT_NEIGHBORS 5
#define ANNOY_DEFAULT_SEED UINT64CONST(1234567890987654321)

/*
 * n_trees = -1.  Measured on GloVe-100, Fashion-MNIST and MNIST: at equal
 * numbers of inspected items a second tree adds nothing to recall, and it
 * doubles the time of the build.
 */
#define ANNOY_AUTOMATIC_TREES 1

#define ANNOY_MIN_VERBOSE (-2)
#define ANNOY_MAX_VERBOSE 2

/* Parsed reloptions: rd_options of an index.  NULL there if none is set. */
typedef struct AnnoyOptions
{
	int32		vl_len_;		/* varlena header (do not touch directly!) */
	int			n_trees;		/* 1 .. ANNOY_MAX_TREES or ANNOY_AUTOMATIC */
	int			search_k;		/* 1 .. INT_MAX or ANNOY_AUTOMATIC */
	int			n_neighbors;	/* 1 .. INT_MAX */
	int			code_bits;		/* 1 .. ANNOY_MAX_CODE_BITS or ANNOY_AUTOMATIC */
	int			seed_offset;	/* of a string in this struct; 0: not set */
} AnnoyOptions;

/* What a scan does when its first budget is used up (annoy.iterative_scan). */
typedef enum AnnoyIterativeScan
{
	ANNOY_SCAN_OFF,				/* it ends */
	ANNOY_SCAN_RELAXED,			/* goes on; rows come in no order */
	ANNOY_SCAN_STRICT			/* goes on; rows come sorted */
} AnnoyIterativeScan;

/* The settings; see the descriptions in options.c. */
extern int	annoy_search_k;
extern int	annoy_iterative_scan;	/* an AnnoyIterativeScan */
extern int	annoy_max_scan_items;
extern int	annoy_verbosity;

extern void AnnoyInitOptions(void);

/*
 * The options of an index as they are set now, which for n_trees, seed and
 * code_bits may differ from what it was built with.  No lock beyond that on the
 * relation.
 */
extern int	AnnoyGetTreeCount(Relation index);	/* or ANNOY_AUTOMATIC */
extern int	AnnoyGetBuiltTreeCount(Relation index); /* what that comes to */
extern int	AnnoyGetSearchK(Relation index);	/* or ANNOY_AUTOMATIC */
extern int	AnnoyGetNeighbors(Relation index);
extern int	AnnoyGetCodeBits(Relation index);	/* or ANNOY_AUTOMATIC */

/*
 * The seed, never 0: that stands for the default, as in the original library.
 * With "warn" a seed that was set to 0 is reported as a WARNING.
 */
extern uint64 AnnoyGetSeed(Relation index, bool warn);

/* Options that a build obeys, and nothing after it. */
typedef struct AnnoyBuildOptions
{
	int			n_trees;		/* that are made */
	uint64		seed;			/* that is taken */
	int			code_bits;		/* or ANNOY_AUTOMATIC */
} AnnoyBuildOptions;

extern AnnoyBuildOptions AnnoyGetBuildOptions(Relation index);

/*
 * Those that the present command has parsed, because it sets them; false if
 * there are none, or after they were forgotten.
 */
extern bool AnnoyGetParsedOptions(AnnoyBuildOptions *options);
extern void AnnoyForgetParsedOptions(void);

#endif							/* ANNOY_OPTIONS_H */

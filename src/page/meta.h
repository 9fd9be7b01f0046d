/*-------------------------------------------------------------------------
 *
 * meta.h
 *	  Metapage, centre and roots of an index, and a backend's copy of them.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ANNOY_META_H
#define ANNOY_META_H

#include "arith/sketch.h"
#include "definition/opclass.h"
#include "definition/options.h"
#include "page/page.h"

/*
 * Metapage, block 0.  Written at build; inserts do not change it, but for the
 * first one into an index that was built without rows (AnnoyFixGeometry), or
 * that has lost all of its rows (renew.c).
 */
typedef struct AnnoyMetaPageData
{
	uint32		magic;
	uint32		format_version;
	uint16		metric;			/* AnnoyMetric */
	uint16		element;		/* AnnoyElementKind */
	int32		dimensions;		/* d; 0 until the first row is known */
	int32		sketch_dimensions;	/* s */
	int32		n_trees;
	uint64		seed;
	int64		items;			/* at build: rows in leaves */
	int64		tail_items;		/* at build: rows in the tail */
	int64		search_k;		/* calibrated at build; 0: not */
	float4		max_norm;		/* M, inner product */
	float4		epsilon;		/* standard deviations of a lower bound */
	BlockNumber centre;			/* first centre page, invalid: origin */
	BlockNumber roots;			/* first page of roots */
	BlockNumber tail;			/* first tail page */
	uint32		flags;			/* ANNOY_META_OUTSIZED */
	BlockNumber former_end;		/* pages of trees and lists before it, but for
								 * the tail's, are of no use any more: see
								 * renew.c */
	uint32		code_bits;		/* of an entry, per dimension; 0 until the
								 * first row is known */
	BlockNumber built_blocks;	/* of the index when its build ended; 0: it was
								 * built without rows */
	uint32		unused;
} AnnoyMetaPageData;

StaticAssertDecl(sizeof(AnnoyMetaPageData) == 96,
				 "metapage has a fixed size");

/* Trees have a subtree for vectors of norms above M (outsized.c). */
#define ANNOY_META_OUTSIZED 1

#define AnnoyPageGetMeta(page) ((AnnoyMetaPageData *) PageGetContents(page))

#define ANNOY_FLOATS_PER_PAGE ((int) (ANNOY_PAGE_CONTENT / sizeof(float4)))
#define ANNOY_ROOTS_PER_PAGE ((int) (ANNOY_PAGE_CONTENT / sizeof(AnnoyChild)))

/* Standard deviations that a lower bound leaves, at the calibrated search_k. */
#define ANNOY_DEFAULT_EPSILON 2.0f

/* What a backend needs to know of an index to walk it. */
typedef struct AnnoyForest
{
	AnnoyMetaPageData meta;
	AnnoySketcher sketcher;
	AnnoyLeafLayout leaf;
	AnnoyChild *roots;			/* [n_trees]; may be old, see AnnoyReadRoots */
} AnnoyForest;

/*
 * Reads the metapage alone; errors out on a foreign or newer format, or on
 * values out of range.
 */
extern void AnnoyReadMeta(Relation index, AnnoyMetaPageData *meta);

/*
 * A copy of the forest's description in "context" (centre, rotation, roots),
 * taken from the relation cache and put there first if need be.  The metapage
 * tells whether what is there is still right.
 */
extern AnnoyForest *AnnoyLoadForest(Relation index, MemoryContext context);

/* Drops the copy in the relation cache. */
extern void AnnoyForgetForest(Relation index);

/*
 * Brings the roots up to date.  Old ones are not wrong, since what was split
 * is found by right links, but after many splits that takes long.
 */
extern void AnnoyReadRoots(Relation index, AnnoyForest *forest);

/*
 * Fixes the sketch space of an index that was built without rows, by its first
 * vector: that is the centre; max_norm is M.  If somebody else was faster,
 * nothing changes.  The number of dimensions is known afterwards.
 */
extern void AnnoyFixGeometry(Relation index, int dimensions,
							 const float *transformed, float max_norm);

/*
 * The opposite: the index has no items, its sketch space will be fixed anew, and
 * its trees are the empty ones of these roots.  Nobody else may use the index.
 */
extern void AnnoyUnfixGeometry(Relation index, BlockNumber roots,
							   BlockNumber former_end);

/* All pages before former_end are freed. */
extern void AnnoyForgetFormerPages(Relation index);

/* Bits of a code, for each dimension, of an index that is made now. */
extern int	AnnoyGetBuiltCodeBits(Relation index, int dimensions);

/*
 * Whether a build with these options would make another forest of the same
 * dimensions.  An automatic code_bits is replaced by what it comes to: 0, as in
 * the metapage, if the dimensions are not known.
 */
extern bool AnnoyBuildWouldDiffer(Relation index, const AnnoyMetaPageData *meta,
								  AnnoyBuildOptions *options);

/* Of an index whose first row is known or, with nothing in it, is not. */
extern void AnnoyGetLeafLayout(const AnnoyMetaPageData *meta,
							   AnnoyLeafLayout *layout);

/* Bytes of the elements of one value. */
extern double AnnoyEstimateValueSize(const AnnoyMetaPageData *meta);

/* Rows of the index, from its size. */
extern double AnnoyEstimateItems(Relation index, const AnnoyMetaPageData *meta);

/*
 * Items to inspect before the first row when neither the setting nor the
 * option says so: calibrated at build, more when the index has grown a lot
 * since, or a guess if it was built without rows.
 */
extern int64 AnnoyEstimateSearchK(const AnnoyMetaPageData *meta, double tuples);

/* Build: writes centre pages, root pages; metapage is block 0. */
extern BlockNumber AnnoyWriteCentre(Relation index, const float *centre,
									int dimensions);
extern BlockNumber AnnoyWriteRoots(Relation index, ForkNumber fork,
								   const AnnoyChild *roots, int n_trees);
extern void AnnoyFillMetaPage(Page page, const AnnoyMetaPageData *meta);

#endif							/* ANNOY_META_H */

/*-------------------------------------------------------------------------
 *
 * searchstate.h
 *	  What the files of a search share: its state.
 *
 * Entries of the leaves that were read are in one of these places:
 *
 *	unranked	lower bound below the threshold (candidate.h)
 *	ranked		exact distance known, heap by distance
 *	nan			exact distance is NaN
 *	given out	or found to be dead, or dropped, see AnnoySearchOrder
 *	aside		lower bound not below the threshold: not stored at all, but
 *				found again in the leaves, which are remembered
 *
 * The threshold keeps "unranked" short: when it has grown to twice "keep"
 * entries the threshold falls to the keep-th of their lower bounds.  When a
 * row is wanted that may lie aside, the leaves are ranked again with a higher
 * threshold and "keep" doubled.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ANNOY_SEARCHSTATE_H
#define ANNOY_SEARCHSTATE_H

#include "executor/tuptable.h"
#include "fmgr.h"
#include "utils/tuplesort.h"

#include "definition/opclass.h"
#include "forest/search.h"
#include "page/item.h"
#include "page/leaf.h"

/*
 * Candidates kept before the threshold falls for the first time.  Twice what
 * a query of k = 10 ranks exactly on the harder data sets.
 */
#define INITIAL_KEEP 2048

/* Rows whose exact distance is known. */
typedef struct RankedItem
{
	double		distance;
	ItemPointerData heap_tid;
	ItemPointerData address;
} RankedItem;

#define QUEUE_PREFIX Ranked
#define QUEUE_ELEMENT RankedItem
#define QUEUE_KEY(e) ((e).distance)
#include "forest/queue.h"

/* A leaf page as it was read: enough to find its entries again. */
typedef struct LeafVisit
{
	AnnoyLink	link;			/* its version then */
	BlockNumber chain;			/* its chain link then */
} LeafVisit;

typedef struct LeafList
{
	LeafVisit  *visits;
	int64		count;
	int64		allocated;
} LeafList;

typedef enum SearchPhase
{
	PHASE_NUMBERS,				/* rows in order of distance */
	PHASE_NAN,					/* then distances that are not numbers ... */
	PHASE_REST,					/* (items in no order: those not visited) */
	PHASE_SORTED,				/* (all items, sorted: ANNOY_ORDER_EXACT) */
	PHASE_ITEMS,				/* (all items, if the query has no distance) */
	PHASE_TAIL_NAN,				/* ... of the tail */
	PHASE_TAIL_NULL,			/* and NULLs */
	PHASE_END
} SearchPhase;

struct AnnoySearch
{
	/* for the life of the search */
	Relation	index;
	MemoryContext context;
	AnnoyForest *forest;
	const AnnoyElementType *element;
	FmgrInfo	distance;
	Oid			collation;
	float	   *scratch;		/* of AnnoyMakeSketch */
	void	   *query_memory;
	char	   *block_scratch;
	AnnoyWalk	walk;
	AnnoyItemReader items;

	MemoryContext queues;		/* what grows with a search */
	Size		queues_size;	/* at first */

	/* of the present query */
	struct varlena *value;
	AnnoySearchLimits limits;
	AnnoyQuery	query;
	SearchPhase phase;
	AnnoyCandidates unranked;
	RankedQueue ranked;
	RankedQueue nan;
	LeafList	leaves;
	struct visited_hash *visited;	/* search.c */
	int64		keep;
	float		threshold;
	bool		aside;			/* entries were left aside */
	bool		finished;		/* nothing more may be inspected */
	bool		rest;			/* what is left comes in PHASE_REST */
	int64		rows;			/* given out with a number as distance */
	double		last_distance;
	AnnoyDistanceKind undefined_kind;	/* of PHASE_ITEMS; NUMBER: not entered */
	BlockNumber next_block;		/* pages of items, or of the tail */
	BlockNumber block_count;
	ItemPointerData *page_tids; /* rows of one of them */
	ItemPointerData *page_addresses;
	int			page_count;
	int			page_next;
	uint64		tail_pages;		/* read; each is read twice */
	Tuplesortstate *sort;		/* exhaustive.c */
	TupleTableSlot *sort_slot;
	AnnoySearchStatistics statistics;
};

/* inspect.c: inspects search_k entries more. */
extern void AnnoyInspect(AnnoySearch *search);

/* inspect.c: ranks the leaves again for what was left aside. */
extern void AnnoyFetchAside(AnnoySearch *search);

/*
 * searchitems.c: reads an item and computes its distance, which may be NaN; false
 * if it is dead.
 */
extern bool AnnoyMeasureItem(AnnoySearch *search, ItemPointerData address,
							 RankedItem *item);

/*
 * searchitems.c: loads the items of the next page in block order; false after the
 * last.
 */
extern bool AnnoyLoadItemPage(AnnoySearch *search);

/* searchitems.c: the rows of the next tail page with or without ANNOY_TAIL_NULL. */
extern void AnnoyLoadTailPage(AnnoySearch *search, bool want_null);

/* exhaustive.c: ranks all items; then the next in order; forgets them. */
extern void AnnoySortItems(AnnoySearch *search);
extern bool AnnoyNextSorted(AnnoySearch *search, RankedItem *item);
extern void AnnoyEndSort(AnnoySearch *search);

#endif							/* ANNOY_SEARCHSTATE_H */

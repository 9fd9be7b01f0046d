/*-------------------------------------------------------------------------
 *
 * searchstate.h
 *	  What the files of a search share: its state.
 *
 * Entries of the leaves that were read are in one of these places:
 *
 *	candidates	lower bound below the threshold (candidate.h)
 *	ranked		exact distance known, heap by distance
 *	nan			exact distance is NaN
 *	given out	or not seen by the snapshot, or dropped, see AnnoySearchOrder
 *	aside		lower bound not below the threshold: not stored at all, but
 *				found again in the leaves, which are remembered
 *
 * When a row is wanted that may lie aside, the leaves are ranked again with a
 * higher threshold.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ANNOY_SEARCHSTATE_H
#define ANNOY_SEARCHSTATE_H

#include "executor/tuptable.h"
#include "fmgr.h"
#include "utils/tuplesort.h"

#include "definition/opclass.h"
#include "forest/allrows.h"
#include "forest/search.h"
#include "page/leaf.h"
#include "table/rowvalue.h"

/* Rows whose exact distance is known. */
typedef struct RankedRow
{
	double		distance;
	ItemPointerData tid;
} RankedRow;

#define QUEUE_PREFIX Ranked
#define QUEUE_ELEMENT RankedRow
#define QUEUE_KEY(e) ((e).distance)
#include "page/queue.h"

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
	PHASE_REST,					/* (rows in no order: those not visited) */
	PHASE_SORTED,				/* (all rows, sorted: ANNOY_ORDER_EXACT) */
	PHASE_ROWS,					/* (all rows, if the query has no distance) */
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
	AnnoyRowReader reader;

	MemoryContext queues;		/* what grows with a search */
	Size		queues_size;	/* at first */

	/* of the present query */
	struct varlena *value;
	AnnoySearchLimits limits;
	AnnoyQuery	query;
	SearchPhase phase;
	AnnoyCandidates candidates;
	RankedQueue ranked;
	RankedQueue nan;
	LeafList	leaves;
	struct visited_hash *visited;	/* search.c */
	bool		aside;			/* entries were left aside */
	bool		finished;		/* nothing more may be inspected */
	bool		rest;			/* what is left comes in PHASE_REST */
	int64		rows;			/* given out with a number as distance */
	double		last_distance;
	AnnoyDistanceKind undefined_kind;	/* of PHASE_ROWS; NUMBER: not entered */
	AnnoyRowList *all;			/* PHASE_REST, PHASE_ROWS: all rows */
	int64		leaf_pages;		/* read, some of them again */
	BlockNumber next_tail;		/* page of the tail, or invalid */
	ItemPointerData *tail_tids; /* rows of one */
	int			tail_count;
	int			tail_next;
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
 * searchrows.c: reads a row and computes its distance, which may be NaN; false if
 * the snapshot does not see it.
 */
extern bool AnnoyMeasureRow(AnnoySearch *search, RankedRow *row);

/* searchrows.c: all rows of the leaves, for AnnoyNextListedRow. */
extern AnnoyRowList *AnnoyListSearchedRows(AnnoySearch *search, int memory);

/* searchrows.c: the rows of the next tail page with or without ANNOY_TAIL_NULL. */
extern void AnnoyLoadTailPage(AnnoySearch *search, bool want_null);

/* exhaustive.c: ranks all rows; then the next in order; forgets them. */
extern void AnnoySortRows(AnnoySearch *search);
extern bool AnnoyNextSorted(AnnoySearch *search, RankedRow *row);
extern void AnnoyEndSort(AnnoySearch *search);

#endif							/* ANNOY_SEARCHSTATE_H */

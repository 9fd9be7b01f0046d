/*-------------------------------------------------------------------------
 *
 * check.h
 *	  State of a check of an index, shared by the files that do it.
 *
 * check.c says what is checked, and why it gives no false alarms.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ANNOY_CHECK_H
#define ANNOY_CHECK_H

#include "definition/opclass.h"
#include "page/directory.h"
#include "page/leaf.h"
#include "page/meta.h"
#include "storage/bufmgr.h"
#include "table/rowvalue.h"
#include "utils/snapshot.h"
#include "utils/tuplesort.h"

/* What the check knows of a page: 24 bytes, 0.3 % of the index. */
typedef struct AnnoyCheckedPage
{
	uint8		kind;			/* AnnoyPageKind when it was read; 0: of no use */
	bool		chained;		/* leaf: reached by a chain, not by a link */
	bool		reached;
	uint8		path;			/* of AnnoyVerifyRightLinks */
	uint16		tree;
	uint16		count;			/* inner: nodes; directory, leaf: 0 as they are
								 * before there is a geometry, else 1 */
	uint64		first;			/* inner: number of its first node; chained leaf:
								 * head of its chain */
	BlockNumber rightlink;		/* directory, leaf */
	uint32		version;
} AnnoyCheckedPage;

typedef struct AnnoyCheck
{
	/* unchanging */
	Relation	heap;
	Relation	index;
	Snapshot	snapshot;		/* older than everything that is read */
	bool		heap_all_indexed;
	const AnnoyElementType *element;
	AnnoyForest *forest;
	int			s;				/* 0: no row yet, trees are not looked at */
	BlockNumber page_count;		/* at the beginning */
	BufferAccessStrategy strategy;	/* for reading all pages in order */

	/* what was seen */
	AnnoyCheckedPage *pages;
	BlockNumber pages_allocated;
	uint64		node_count;
	bool	   *nodes;			/* reached */
	BlockNumber tail_pages;		/* reached */
	Tuplesortstate *places;		/* of visible rows, see AnnoyNotePlace */
	int64		heap_row_count;
	int64		orphans;		/* pages that a crash left over */

	/* to read rows and sketch them */
	AnnoyRowReader reader;
	float	   *floats;
	float	   *scratch;
	float	   *sketch;
	MemoryContext page_context; /* reset for each leaf page */
} AnnoyCheck;

/* Where a row was seen: in a tree, by its number, or in one of these. */
#define ANNOY_PLACE_TAIL 0xFFFE
#define ANNOY_PLACE_TABLE 0xFFFF

/* checkrows.c */

/* Notes that a visible row was seen somewhere. */
extern void AnnoyNotePlace(AnnoyCheck *check, const ItemPointerData *tid,
						   uint16 place);

/*
 * Verifies the entries of a copied leaf page, and lists their rows in tids[];
 * visible[]: which of these the snapshot sees.  Errors out if an entry is not
 * what its row gives.
 */
extern void AnnoyVerifyEntries(AnnoyCheck *check, BlockNumber block, Page leaf,
							   ItemPointerData *tids, bool *visible);

/* Verifies and notes an entry of the tail. */
extern void AnnoyVerifyTailEntry(AnnoyCheck *check, const AnnoyTailEntry *entry);

/* Each visible row is where it has to be. */
extern void AnnoyVerifyRows(AnnoyCheck *check);

/* checkpages.c */

/* Every page by itself. */
extern void AnnoyVerifyPages(AnnoyCheck *check);

/* Right links of directories and leaves. */
extern void AnnoyVerifyRightLinks(AnnoyCheck *check);

/* Centre and roots, before the forest is loaded; the tail. */
extern void AnnoyVerifyArrays(AnnoyCheck *check, const AnnoyMetaPageData *meta);
extern void AnnoyVerifyTail(AnnoyCheck *check);

/* Nothing is left that nothing leads to. */
extern void AnnoyVerifyReached(AnnoyCheck *check);

/* A copy of a page that something has named, verified by itself. */
extern void AnnoyCopyVerifiedPage(AnnoyCheck *check, BlockNumber block,
								  AnnoyPageKind kind, int tree,
								  PGAlignedBlock *copy);

/* Errors out if a page is reached for the second time. */
extern void AnnoyReachPage(AnnoyCheck *check, BlockNumber block);

/* checktree.c */
extern void AnnoyVerifyTree(AnnoyCheck *check, int tree);

#endif							/* ANNOY_CHECK_H */

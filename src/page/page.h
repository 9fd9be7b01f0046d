/*-------------------------------------------------------------------------
 *
 * page.h
 *	  Kinds and layout of the index's pages.  See README.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ANNOY_PAGE_H
#define ANNOY_PAGE_H

#include "postgres.h"

#include "access/itup.h"
#include "storage/bufmgr.h"
#include "storage/bufpage.h"
#include "storage/itemptr.h"
#include "utils/rel.h"

#include "annoycompat.h"
#include "arith/kernel.h"
#include "page/damage.h"

#define ANNOY_MAGIC 0x594E4E41	/* "ANNY" in little-endian order */
#define ANNOY_FORMAT_VERSION 1

/*
 * Last two bytes of every page, so that tools like pg_filedump can tell the
 * access method; next to GIN's 0xFF80-like ids (see access/spgist_private.h).
 */
#define ANNOY_PAGE_ID 0xFFA1

#define ANNOY_META_BLOCK 0

/* On disk: do not renumber. */
typedef enum AnnoyPageKind
{
	ANNOY_PAGE_META = 1,
	ANNOY_PAGE_CENTRE = 2,
	ANNOY_PAGE_ROOTS = 3,
	ANNOY_PAGE_FREE = 4,		/* of no use: to be taken again */
	ANNOY_PAGE_INNER = 5,
	ANNOY_PAGE_DIRECTORY = 6,
	ANNOY_PAGE_LEAF = 7,
	ANNOY_PAGE_TAIL = 8
} AnnoyPageKind;

/*
 * Special area of every page.
 *
 *	rightlink	meta, free, inner: none.  Centre, roots, tail: next page of
 *				the list.  Directory, leaf: right sibling after a split.
 *	chainlink	leaf: next page of a leaf of inseparable items
 */
typedef struct AnnoyPageOpaqueData
{
	BlockNumber rightlink;
	BlockNumber chainlink;
	uint16		kind;			/* AnnoyPageKind */
	uint16		tree;			/* inner, directory, leaf: number of the tree */
	uint16		flags;			/* ANNOY_LEAF_CHAINED */
	uint16		page_id;		/* ANNOY_PAGE_ID */
} AnnoyPageOpaqueData;

StaticAssertDecl(sizeof(AnnoyPageOpaqueData) == 16,
				 "special area of an annoy page has a fixed size");

typedef AnnoyPageOpaqueData *AnnoyPageOpaque;

#define AnnoyPageGetOpaque(page) \
	((AnnoyPageOpaque) PageGetSpecialPointer(page))

/* Continuation of a leaf: reached by chainlink, not by a link. */
#define ANNOY_LEAF_CHAINED 0x0001

/* Bytes of a page between its header and its special area. */
#define ANNOY_PAGE_CONTENT \
	(BLCKSZ - MAXALIGN(SizeOfPageHeaderData) - sizeof(AnnoyPageOpaqueData))

/*
 * Link to a leaf: the version is that of the leaf when the link was made.
 * Who meets another version follows right links until versions match.
 */
typedef struct AnnoyLink
{
	BlockNumber block;
	uint32		version;
} AnnoyLink;

StaticAssertDecl(sizeof(AnnoyLink) == 8, "on-disk link has a fixed size");

/* No page is sparse. */
#define ANNOY_NO_SPARSE_PAGE ANNOY_META_BLOCK

/* First version of a directory or leaf; 0 in a link: do not compare. */
#define ANNOY_FIRST_VERSION 1
#define ANNOY_ANY_VERSION 0

/* Link to a node of a tree: a hyperplane (slot of an inner page) or a
 * directory (slot 0). */
typedef struct AnnoyChild
{
	BlockNumber block;
	uint32		version;		/* directories only */
	uint16		slot;
	uint16		kind;			/* ANNOY_PAGE_INNER or ANNOY_PAGE_DIRECTORY */
} AnnoyChild;

StaticAssertDecl(sizeof(AnnoyChild) == 12, "on-disk link has a fixed size");

static inline AnnoyChild
AnnoyDirectoryLink(BlockNumber block, uint32 version)
{
	return (AnnoyChild) {block, version, 0, ANNOY_PAGE_DIRECTORY};
}

static inline AnnoyChild
AnnoyNodeLink(BlockNumber block, uint16 slot)
{
	return (AnnoyChild) {block, ANNOY_ANY_VERSION, slot, ANNOY_PAGE_INNER};
}

/*
 * Inner page: AnnoyInnerHeader, then "count" nodes of AnnoyNodeSize(s) bytes.
 *
 *	+--------+--------------------------------------------------+
 *	| header | child[0] child[1] offset scale extra | normal[s] | ...
 *	+--------+--------------------------------------------------+
 */
typedef struct AnnoyInnerHeader
{
	uint16		count;
	uint16		unused;
	uint32		unused2;
} AnnoyInnerHeader;

StaticAssertDecl(sizeof(AnnoyInnerHeader) == 8, "on-disk header has a fixed size");

typedef struct AnnoyNodeData
{
	AnnoyChild	child[2];		/* margin <= 0, margin > 0 */
	float4		offset;
	float4		scale;
	float4		extra_weight;
	int8		normal[FLEXIBLE_ARRAY_MEMBER];	/* s */
} AnnoyNodeData;

typedef AnnoyNodeData *AnnoyNode;

StaticAssertDecl(offsetof(AnnoyNodeData, normal) == 36,
				 "on-disk node has a fixed size");

#define AnnoyNodeSize(s) (offsetof(AnnoyNodeData, normal) + (s))
#define AnnoyInnerCapacity(s) \
	((int) ((ANNOY_PAGE_CONTENT - sizeof(AnnoyInnerHeader)) / AnnoyNodeSize(s)))
/* Errors out if an inner page has no node in a slot that a link names. */
extern void AnnoyCheckNode(Relation index, BlockNumber block, Page page,
						   int sketch_dimensions, int slot);

#define AnnoyPageGetInnerHeader(page) \
	((AnnoyInnerHeader *) PageGetContents(page))
#define AnnoyPageGetNode(page, s, slot) \
	((AnnoyNode) (PageGetContents(page) + sizeof(AnnoyInnerHeader) + \
				  (Size) (slot) * AnnoyNodeSize(s)))

/*
 * Directory page: AnnoyDirectoryHeader, then "count" entries, one for each
 * leaf of a small subtree.  It has one of two forms (directory.c):
 *
 *	CENTROIDS: each leaf's centroid as it is
 *	+----------------------+---------------------------------------------+
 *	| version count form   | link scale norm_squared extra | centroid[s] | ...
 *	| parent               |                                             |
 *	+----------------------+---------------------------------------------+
 *
 *	CODES: a bit for each dimension, relative to a reference of them all
 *	+----------------------+-----------------------+-----------------------+
 *	| version count form   | scale norm_squared    | link f1 f2 extra      |
 *	| parent               | centroid[s]           | code[s / 8]           | ...
 *	+----------------------+-----------------------+-----------------------+
 *
 * The parent is where the link to this directory is: a side of a node, or the
 * root's slot (block invalid).  Nodes never move, so it changes only when the
 * directory is split.
 */
typedef struct AnnoyParent
{
	BlockNumber block;			/* inner page, or invalid: the tree's root */
	uint16		slot;
	uint16		side;			/* 0: margin <= 0, 1: margin > 0 */
} AnnoyParent;

/* On disk: do not renumber. */
typedef enum AnnoyDirectoryForm
{
	ANNOY_DIRECTORY_CENTROIDS = 0,
	ANNOY_DIRECTORY_CODES = 1
} AnnoyDirectoryForm;

typedef struct AnnoyDirectoryHeader
{
	uint32		version;
	uint16		count;
	uint16		form;			/* AnnoyDirectoryForm */
	AnnoyParent parent;
} AnnoyDirectoryHeader;

StaticAssertDecl(sizeof(AnnoyDirectoryHeader) == 16,
				 "on-disk header has a fixed size");

/* What codes are relative to: about the mean of the centroids. */
typedef struct AnnoyDirectoryReferenceData
{
	float4		scale;
	float4		norm_squared;	/* of the dequantised centroid */
	int8		centroid[FLEXIBLE_ARRAY_MEMBER];	/* s */
} AnnoyDirectoryReferenceData;

typedef AnnoyDirectoryReferenceData *AnnoyDirectoryReference;

StaticAssertDecl(offsetof(AnnoyDirectoryReferenceData, centroid) == 8,
				 "on-disk reference has a fixed size");

typedef struct AnnoyDirectoryEntryData
{
	AnnoyLink	leaf;
	float4		scale;			/* of the centroid; CODES: f1 */
	float4		norm_squared;	/* of the dequantised centroid, without extra;
								 * CODES: f2 */
	float4		extra;
	union
	{
		int8		centroid[1];	/* s */
		uint8		code[1];	/* s / 8, see AnnoyEncodeCentroid */
	}			data;
} AnnoyDirectoryEntryData;

typedef AnnoyDirectoryEntryData *AnnoyDirectoryEntry;

StaticAssertDecl(offsetof(AnnoyDirectoryEntryData, data) == 20,
				 "on-disk directory entry has a fixed size");

#define AnnoyDirectoryReferenceSize(form, s) \
	((form) == ANNOY_DIRECTORY_CODES ? \
	 offsetof(AnnoyDirectoryReferenceData, centroid) + (s) : 0)
#define AnnoyDirectoryEntrySize(form, s) \
	(offsetof(AnnoyDirectoryEntryData, data) + \
	 ((form) == ANNOY_DIRECTORY_CODES ? \
	  TYPEALIGN(sizeof(float4), (s) / 8) : (Size) (s)))
#define AnnoyDirectoryCapacity(form, s) \
	((int) ((ANNOY_PAGE_CONTENT - sizeof(AnnoyDirectoryHeader) - \
			 AnnoyDirectoryReferenceSize(form, s)) / \
			AnnoyDirectoryEntrySize(form, s)))
/* more than there are in any directory */
#define ANNOY_MAX_DIRECTORY_ENTRIES \
	AnnoyDirectoryCapacity(ANNOY_DIRECTORY_CENTROIDS, 0)
#define AnnoyPageGetDirectoryHeader(page) \
	((AnnoyDirectoryHeader *) PageGetContents(page))
#define AnnoyPageGetDirectoryReference(page) \
	((AnnoyDirectoryReference) \
	 (PageGetContents(page) + sizeof(AnnoyDirectoryHeader)))

static inline AnnoyDirectoryEntry
AnnoyPageGetDirectoryEntry(Page page, int s, int i)
{
	int			form = AnnoyPageGetDirectoryHeader(page)->form;

	return (AnnoyDirectoryEntry)
		(PageGetContents(page) + sizeof(AnnoyDirectoryHeader) +
		 AnnoyDirectoryReferenceSize(form, s) +
		 (Size) i * AnnoyDirectoryEntrySize(form, s));
}

/*
 * Leaf page: AnnoyLeafHeaderData with the centroid, then blocks of 16 entries,
 * and, from the end of the page down, what refines their codes.
 *
 *	+------------------------------------+-------------+---------+---------
 *	| version scale norm extra count|c[s]| full block  | full .. | open block
 *	+------------------------------------+-------------+---------+---------
 *	  free space
 *	----------------+-----+----------------+----------------+
 *					| ... | refinement [1] | refinement [0] |
 *	----------------+-----+----------------+----------------+
 *	full block:	codes, byte r of all 16 entries side by side (2s bytes);
 *				float f1[16]; float f2[16]; heap TID[16] of 6 bytes
 *	open block (count % 16 entries), each: code (s/8 bytes), f1, f2, heap TID
 *	refinement:	see arith/refine.h; none where a code has one bit a dimension
 *
 * The open block is stored entry by entry so that an insert changes one short
 * run of bytes; the sixteenth entry turns it into a full one.
 */
typedef struct AnnoyLeafHeaderData
{
	uint32		version;
	float4		scale;			/* of the centroid */
	float4		norm_squared;	/* of the dequantised centroid, without extra */
	float4		extra;
	uint16		count;
	uint16		removals;		/* counts them, modulo 2^16: a page from which
								 * something was removed is another page, even
								 * if the same was added again */
	BlockNumber sparse;			/* next page of the chain on which VACUUM made
								 * room; 0: none */
	int8		centroid[FLEXIBLE_ARRAY_MEMBER];	/* s */
} AnnoyLeafHeaderData;

typedef AnnoyLeafHeaderData *AnnoyLeafHeader;

StaticAssertDecl(offsetof(AnnoyLeafHeaderData, centroid) == 24,
				 "on-disk leaf header has a fixed size");

#define AnnoyPageGetLeafHeader(page) ((AnnoyLeafHeader) PageGetContents(page))

/* Sizes on a leaf page, which are the same for all leaves of an index. */
typedef struct AnnoyLeafLayout
{
	int			sketch_dimensions;	/* s */
	int			code_bits;		/* bits a dimension, B */
	Size		header_size;	/* with the centroid */
	Size		row_size;		/* of an entry in the open block */
	Size		block_size;		/* of a full block: of 16 rows */
	Size		refinement_size;
	int			capacity;		/* entries */
} AnnoyLeafLayout;

extern void AnnoyInitLeafLayout(AnnoyLeafLayout *layout, int sketch_dimensions,
								int code_bits);

/* parts of a full block */
#define AnnoyBlockF1(s) ((Size) (s) * 2)
#define AnnoyBlockF2(s) (AnnoyBlockF1(s) + ANNOY_BLOCK_ENTRIES * sizeof(float4))
#define AnnoyBlockTids(s) \
	(AnnoyBlockF2(s) + ANNOY_BLOCK_ENTRIES * sizeof(float4))

static inline char *
AnnoyPageGetLeafBlock(Page page, const AnnoyLeafLayout *layout, int block)
{
	return (char *) PageGetContents(page) + layout->header_size +
		(Size) block * layout->block_size;
}

static inline char *
AnnoyPageGetRefinement(Page page, const AnnoyLeafLayout *layout, int entry)
{
	return (char *) page + BLCKSZ - sizeof(AnnoyPageOpaqueData) -
		(Size) (entry + 1) * layout->refinement_size;
}

/*
 * Tail page: AnnoyTailHeader, then "count" entries: rows whose distance is
 * never a number.  The head is fixed and takes new entries; when it is full,
 * its entries move to another page, linked behind it.  Pages on which VACUUM
 * made room are in a list of their own, which begins at the head.
 */
typedef struct AnnoyTailHeader
{
	uint16		count;
	uint16		unused;
	BlockNumber next_free;		/* next page with room, or invalid */
} AnnoyTailHeader;

StaticAssertDecl(sizeof(AnnoyTailHeader) == 8,
				 "on-disk header has a fixed size");

typedef struct AnnoyTailEntry
{
	ItemPointerData heap_tid;
	uint16		flags;
} AnnoyTailEntry;

StaticAssertDecl(sizeof(AnnoyTailEntry) == 8,
				 "on-disk tail entry has a fixed size");

#define ANNOY_TAIL_NULL 0x0001	/* NULL; else no direction: NaN */

#define AnnoyTailCapacity \
	((int) ((ANNOY_PAGE_CONTENT - sizeof(AnnoyTailHeader)) / \
			sizeof(AnnoyTailEntry)))
#define AnnoyPageGetTailHeader(page) ((AnnoyTailHeader *) PageGetContents(page))
#define AnnoyPageGetTailEntries(page) \
	((AnnoyTailEntry *) (PageGetContents(page) + sizeof(AnnoyTailHeader)))

/*
 * Asks the processor for some bytes that will be read soon: into the second
 * level of its caches, for in the first the beginnings of pages, which differ
 * by multiples of the page size, would drive each other out.
 */
static inline void
AnnoyPrefetchRange(const char *start, Size size)
{
	for (Size i = 0; i < size; i += PG_CACHE_LINE_SIZE / 2)
		__builtin_prefetch(start + i, 0, 2);
}

/* The same for what AnnoyCheckPage looks at. */
static inline void
AnnoyPrefetchPage(Page page)
{
	AnnoyPrefetchRange(page, 1);
	AnnoyPrefetchRange(page + BLCKSZ - sizeof(AnnoyPageOpaqueData), 1);
}

/* Makes an empty page of a kind; pd_lower covers the kind's header. */
extern void AnnoyInitPage(Page page, AnnoyPageKind kind, int tree);

/* Errors out unless the buffer holds an intact page of the kind. */
extern void AnnoyCheckPage(Relation index, Buffer buffer, AnnoyPageKind kind);

/*
 * The kind of a locked page, or 0 if it is all zeroes; errors out if it is not
 * a page of this access method.
 */
extern int	AnnoyGetPageKind(Relation index, Buffer buffer);

/* Reads, locks and checks a page of the kind. */
extern Buffer AnnoyReadPage(Relation index, BlockNumber block,
							AnnoyPageKind kind, int lockmode);

/*
 * Extends the relation by a page of the kind and returns it locked
 * exclusively and dirty.  Not WAL-logged: for builds, which log pages when they
 * are complete.
 */
extern Buffer AnnoyExtend(Relation index, ForkNumber fork, AnnoyPageKind kind,
						  int tree);

/*
 * Blocks that a process of a build adds: several at once where other processes
 * do so too (shared), twice as many each time up to ANNOY_EXTEND_MOST.
 */
#define ANNOY_EXTEND_MOST 64

typedef struct AnnoyExtender
{
	Relation	index;
	bool		shared;
	int			count;			/* of the buffers, pinned */
	int			next;			/* the first one that is not used yet */
	Buffer		buffers[ANNOY_EXTEND_MOST];
} AnnoyExtender;

/* As AnnoyExtend, of the main fork. */
extern Buffer AnnoyExtendBuild(AnnoyExtender *extender, AnnoyPageKind kind,
							   int tree);

/*
 * A page without use from block "least" on, or one that was just added, locked
 * exclusively: for a page whose first contents come by a WAL record, as a full
 * image.  least: former_end of the metapage.
 */
extern Buffer AnnoyTakePage(Relation index, BlockNumber least);

/* The same, but always behind all other pages. */
extern Buffer AnnoyExtendLocked(Relation index);

/* Unlocks a page of these two that was not used in the end. */
extern void AnnoyGiveBackPage(Relation index, Buffer buffer);

/* Makes a page that is locked exclusively one without use. */
extern void AnnoyFreePage(Relation index, Buffer buffer);

/*
 * A visit of all leaves of an index in the order of blocks.  A split meanwhile may
 * move entries that were not seen yet to a page that was passed by: one that was
 * not in use then, for leaves stay leaves.  Those are remembered, as following
 * every link to the left would be to read most of an index many times over.
 */
typedef struct AnnoyBlockPass
{
	BlockNumber first;			/* what is before was not looked at */
	BlockNumber *unused;		/* [count], sorted */
	Size		count;
	Size		allocated;
} AnnoyBlockPass;

/* Starts in the current memory context, and ends. */
extern void AnnoyBeginPass(AnnoyBlockPass *pass, BlockNumber first);
extern void AnnoyEndPass(AnnoyBlockPass *pass);

/* Notes that the block at hand is without use; each once. */
extern void AnnoyNoteUnused(AnnoyBlockPass *pass, BlockNumber block);

/*
 * The page to the right of a leaf's page that was just seen while the pass is at
 * "block", if unseen entries may have been moved there; else invalid.  All of
 * those have to be seen, one after the other, before the next block.
 */
extern BlockNumber AnnoyMovedBackwards(const AnnoyBlockPass *pass, Page page,
									   BlockNumber block);

/* A heap TID as a number that sorts like it. */
static inline int64
AnnoyPackTid(const ItemPointerData *tid)
{
	return ((int64) ItemPointerGetBlockNumberNoCheck(tid) << 16) |
		ItemPointerGetOffsetNumberNoCheck(tid);
}

static inline void
AnnoyUnpackTid(int64 packed, ItemPointer tid)
{
	ItemPointerSet(tid, (BlockNumber) (packed >> 16),
				   (OffsetNumber) (packed & 0xFFFF));
}

#endif							/* ANNOY_PAGE_H */

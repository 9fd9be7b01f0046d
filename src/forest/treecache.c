/*-------------------------------------------------------------------------
 *
 * treecache.c
 *	  Copies of inner pages and directories that searches use again and again.
 *
 * A search needs some dozens of these pages, at the top of the trees mostly the
 * same ones each time.  A copy in the backend's own memory costs neither pin nor
 * lock.
 *
 * A copy may be older than its page, and that is as good as a link that was
 * copied from the page at that time (tree.c): what the page lost since is
 * found by versions and right links.  It only costs more pages, so whoever
 * meets another version than a copy's link says has the copy forgotten.
 * Copies of an index are forgotten, too, when its relation cache entry
 * becomes invalid, as by VACUUM or REINDEX.
 *
 * An index that begins anew (am/renew.c) may use the same pages for other nodes
 * without any of that.  Its roots are on another page then, always one that was
 * just added, which tells copies of one forest from those of another.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/inval.h"
#include "utils/memutils.h"

#include "forest/tree.h"

/* At most so many copies, which take 4 MB; a power of two. */
#define COPIES 512

/* Spreads blocks, which lie at even distances, over the slots. */
#define HASH_FACTOR 0x9E3779B97F4A7C15

typedef struct PageName
{
	Oid			index;
	Oid			file;			/* relfilenode */
	BlockNumber roots;			/* of the forest */
	BlockNumber block;
} PageName;

typedef struct Slot
{
	PageName	name;			/* invalid index: no copy */
	PageName	wanted;			/* asked for last without success */
	bool		used;			/* since another page was asked for */
	char	   *copy;
} Slot;

static Slot *slots;

static inline bool
same_page(const PageName *a, const PageName *b)
{
	return a->block == b->block && a->index == b->index &&
		a->file == b->file && a->roots == b->roots;
}

static inline PageName
name_page(const AnnoyWalk *walk, BlockNumber block)
{
	PageName	name = {RelationGetRelid(walk->index),
		walk->index->rd_rel->relfilenode, walk->forest->meta.roots, block
	};

	return name;
}

static inline Slot *
find_slot(const PageName *name)
{
	uint64		key = ((uint64) name->index << 32) | name->block;

	return &slots[(key * HASH_FACTOR >> 32) % COPIES];
}

/* Relation cache callback. */
static void
forget_index(Datum argument, Oid relation)
{
	for (int i = 0; i < COPIES; i++)
		if (!OidIsValid(relation) || slots[i].name.index == relation)
			slots[i].name.index = InvalidOid;
}

Page
AnnoyFindTreePage(const AnnoyWalk *walk, BlockNumber block)
{
	PageName	name = name_page(walk, block);
	Slot	   *slot;

	if (slots == NULL)
		return NULL;
	slot = find_slot(&name);
	if (!same_page(&slot->name, &name))
		return NULL;
	slot->used = true;
	return (Page) slot->copy;
}

/*
 * A page takes the place of another only if it is asked for twice while the
 * other is not used: where there are more pages than slots, copying would cost
 * more than it saves.
 */
void
AnnoyKeepTreePage(const AnnoyWalk *walk, BlockNumber block, Page page)
{
	PageName	name = name_page(walk, block);
	Slot	   *slot;

	if (slots == NULL)
	{
		slots = MemoryContextAllocZero(TopMemoryContext, sizeof(Slot) * COPIES);
		CacheRegisterRelcacheCallback(forget_index, (Datum) 0);
	}
	slot = find_slot(&name);
	if (!same_page(&slot->wanted, &name) ||
		(slot->used && OidIsValid(slot->name.index)))
	{
		slot->wanted = name;
		slot->used = false;
		return;
	}
	slot->name.index = InvalidOid;
	if (slot->copy == NULL)
		slot->copy = MemoryContextAlloc(TopMemoryContext, BLCKSZ);
	memcpy(slot->copy, page, BLCKSZ);
	slot->name = name;
	slot->used = true;
}

void
AnnoyForgetTreePage(const AnnoyWalk *walk, BlockNumber block)
{
	PageName	name = name_page(walk, block);
	Slot	   *slot;

	if (slots == NULL)
		return;
	slot = find_slot(&name);
	if (same_page(&slot->name, &name))
		slot->name.index = InvalidOid;
}

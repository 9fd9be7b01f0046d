/*-------------------------------------------------------------------------
 *
 * memory_queue.h
 *	  The queues of a search in plain memory.  For memory_search.c only.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BENCH_MEMORY_QUEUE_H
#define BENCH_MEMORY_QUEUE_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "dataset.h"

/*
 * An entry of a queue: above, the bits of a float that order like it; below,
 * the number of what it belongs to.
 */
typedef uint64_t Entry;

typedef struct Queue
{
	Entry	   *entries;
	int64_t		count;
	int64_t		allocated;
} Queue;

/* Of the walk's queue of subtrees; a child as in MemoryNode. */
typedef struct Subtree
{
	float		priority;
	int32_t		child;
} Subtree;

typedef struct SubtreeQueue
{
	Subtree    *elements;
	int64_t		count;
	int64_t		allocated;
} SubtreeQueue;

/* An item whose distance is known. */
typedef struct Ranked
{
	double		distance;
	int64_t		item;
} Ranked;

typedef struct RankedQueue
{
	Ranked	   *elements;
	int64_t		count;
	int64_t		allocated;
} RankedQueue;

/* An unsigned integer that orders like a float (which is not NaN). */
static inline uint32_t
order_float(float value)
{
	uint32_t	bits;

	memcpy(&bits, &value, sizeof(bits));
	return bits ^ ((uint32_t) ((int32_t) bits >> 31) | 0x80000000u);
}

static inline float
restore_float(uint32_t ordered)
{
	uint32_t	bits = ordered ^
		(((ordered >> 31) - 1) | 0x80000000u);
	float		value;

	memcpy(&value, &bits, sizeof(value));
	return value;
}

static inline Entry
make_entry(float key, uint32_t number)
{
	return (Entry) order_float(key) << 32 | number;
}

static inline float
entry_key(Entry entry)
{
	return restore_float((uint32_t) (entry >> 32));
}

static inline void
reserve(Queue *queue, int64_t more)
{
	if (queue->count + more <= queue->allocated)
		return;
	queue->allocated = 2 * (queue->count + more);
	queue->entries = realloc(queue->entries,
							 sizeof(Entry) * (size_t) queue->allocated);
	if (queue->entries == NULL)
		die("out of memory");
}

/* Heap operations; room was made before. */
static inline void
push(Queue *queue, Entry entry)
{
	Entry	   *e = queue->entries;
	int64_t		hole = queue->count++;

	while (hole > 0 && entry < e[(hole - 1) / 2])
	{
		e[hole] = e[(hole - 1) / 2];
		hole = (hole - 1) / 2;
	}
	e[hole] = entry;
}

/*
 * The last entry, which takes the top's place, nearly always belongs near the
 * bottom: so the smaller children move up all the way, without comparing it
 * (Wegener, TCS 118, 1993), and it rises from there.
 */
static inline void
sift(Entry *e, int64_t count, int64_t hole, Entry entry)
{
	int64_t		top = hole;
	int64_t		child;

	while ((child = 2 * hole + 2) < count)
	{
		child -= e[child - 1] < e[child];
		e[hole] = e[child];
		hole = child;
	}
	if (child == count)
	{
		e[hole] = e[child - 1];
		hole = child - 1;
	}
	while (hole > top && entry < e[(hole - 1) / 2])
	{
		e[hole] = e[(hole - 1) / 2];
		hole = (hole - 1) / 2;
	}
	e[hole] = entry;
}

static inline Entry
pop(Queue *queue)
{
	Entry		top = queue->entries[0];

	if (--queue->count > 0)
		sift(queue->entries, queue->count, 0, queue->entries[queue->count]);
	return top;
}

/* How many entries are below a limit. */
static inline int64_t
count_below(const Entry *e, int64_t count, Entry limit)
{
	int64_t		below = 0;

	for (int64_t i = 0; i < count; i++)
		below += e[i] < limit;
	return below;
}

static inline int
compare_entries(const void *a, const void *b)
{
	Entry		x = *(const Entry *) a;
	Entry		y = *(const Entry *) b;

	return (x > y) - (x < y);
}

/*
 * The queue of subtrees moves its elements as src/queue.h does, since roots are
 * equally near: which tree is entered first is a decision, too.
 */
static inline void
push_subtree(SubtreeQueue *queue, float priority, int32_t child)
{
	Subtree    *e;
	int64_t		hole = queue->count++;

	if (queue->count > queue->allocated)
	{
		queue->allocated = 2 * queue->count;
		queue->elements = realloc(queue->elements, sizeof(Subtree) *
								(size_t) queue->allocated);
		if (queue->elements == NULL)
			die("out of memory");
	}
	e = queue->elements;
	for (; hole > 0 && priority < e[(hole - 1) / 2].priority;
		 hole = (hole - 1) / 2)
		e[hole] = e[(hole - 1) / 2];
	e[hole].priority = priority;
	e[hole].child = child;
}

static inline Subtree
pop_subtree(SubtreeQueue *queue)
{
	Subtree    *e = queue->elements;
	Subtree		top = e[0];
	int64_t		count = --queue->count;
	Subtree		last = e[count];
	int64_t		hole = 0;
	int64_t		child;

	while ((child = 2 * hole + 1) < count)
	{
		if (child + 1 < count && e[child + 1].priority < e[child].priority)
			child++;
		if (!(e[child].priority < last.priority))
			break;
		e[hole] = e[child];
		hole = child;
	}
	e[hole] = last;
	return top;
}

static inline void
push_ranked(RankedQueue *queue, Ranked item)
{
	Ranked	   *r;
	int64_t		hole = queue->count++;

	if (queue->count > queue->allocated)
	{
		queue->allocated = 2 * queue->count;
		queue->elements = realloc(queue->elements, sizeof(Ranked) *
								 (size_t) queue->allocated);
		if (queue->elements == NULL)
			die("out of memory");
	}
	r = queue->elements;
	while (hole > 0 && item.distance < r[(hole - 1) / 2].distance)
	{
		r[hole] = r[(hole - 1) / 2];
		hole = (hole - 1) / 2;
	}
	r[hole] = item;
}

static inline Ranked
pop_ranked(RankedQueue *queue)
{
	Ranked	   *r = queue->elements;
	Ranked		top = r[0];
	Ranked		last = r[--queue->count];
	int64_t		count = queue->count;
	int64_t		hole = 0;
	int64_t		child;

	while ((child = 2 * hole + 1) < count)
	{
		if (child + 1 < count && r[child + 1].distance < r[child].distance)
			child++;
		if (last.distance <= r[child].distance)
			break;
		r[hole] = r[child];
		hole = child;
	}
	r[hole] = last;
	return top;
}

#endif							/* BENCH_MEMORY_QUEUE_H */

/*-------------------------------------------------------------------------
 *
 * queue.h
 *	  Template of a binary min-heap in an array, in the manner of
 *	  lib/simplehash.h.
 *
 * lib/pairingheap.h and lib/binaryheap.h order separately allocated nodes
 * through a callback; the queues of a search hold thousands of small values
 * with a number as key, for which an array without indirections is several
 * times faster.
 *
 * Parameters, undefined again at the end:
 *
 *	QUEUE_PREFIX	prefix of the generated names
 *	QUEUE_ELEMENT	type of an element
 *	QUEUE_KEY(e)	its key: smallest first
 *
 * Generates type PREFIXQueue { QUEUE_ELEMENT *elements; int64 count; int64
 * allocated } and the static inline functions PREFIX_init(queue, capacity),
 * PREFIX_reserve(queue, more), PREFIX_push(queue, element), PREFIX_pop(queue),
 * PREFIX_heapify(queue).  The top is elements[0].  Memory comes from the
 * context that is current in _init and stays with it.
 *
 *-------------------------------------------------------------------------
 */
#include "utils/memutils.h"

#define QUEUE_NAME_(a, b) a##b
#define QUEUE_NAME(a, b) QUEUE_NAME_(a, b)
#define QUEUE_TYPE QUEUE_NAME(QUEUE_PREFIX, Queue)

typedef struct QUEUE_TYPE
{
	QUEUE_ELEMENT *elements;
	int64		count;
	int64		allocated;
} QUEUE_TYPE;

static inline void
QUEUE_NAME(QUEUE_PREFIX, _init) (QUEUE_TYPE *queue, int64 capacity)
{
	queue->elements = (QUEUE_ELEMENT *) palloc(sizeof(QUEUE_ELEMENT) * capacity);
	queue->count = 0;
	queue->allocated = capacity;
}

static inline void
QUEUE_NAME(QUEUE_PREFIX, _reserve) (QUEUE_TYPE *queue, int64 more)
{
	if (queue->count + more > queue->allocated)
	{
		queue->allocated = Max(queue->allocated * 2, queue->count + more);
		queue->elements = (QUEUE_ELEMENT *)
			repalloc_huge(queue->elements,
						  sizeof(QUEUE_ELEMENT) * queue->allocated);
	}
}

static inline void
QUEUE_NAME(QUEUE_PREFIX, _sift_down) (QUEUE_TYPE *queue, int64 hole,
									  QUEUE_ELEMENT element)
{
	QUEUE_ELEMENT *e = queue->elements;
	int64		count = queue->count;

	for (;;)
	{
		int64		child = 2 * hole + 1;

		if (child >= count)
			break;
		if (child + 1 < count && QUEUE_KEY(e[child + 1]) < QUEUE_KEY(e[child]))
			child++;
		if (!(QUEUE_KEY(e[child]) < QUEUE_KEY(element)))
			break;
		e[hole] = e[child];
		hole = child;
	}
	e[hole] = element;
}

static inline void
QUEUE_NAME(QUEUE_PREFIX, _push) (QUEUE_TYPE *queue, QUEUE_ELEMENT element)
{
	QUEUE_ELEMENT *e;
	int64		hole;

	QUEUE_NAME(QUEUE_PREFIX, _reserve) (queue, 1);
	e = queue->elements;
	hole = queue->count++;
	while (hole > 0)
	{
		int64		parent = (hole - 1) / 2;

		if (!(QUEUE_KEY(element) < QUEUE_KEY(e[parent])))
			break;
		e[hole] = e[parent];
		hole = parent;
	}
	e[hole] = element;
}

/* Removes and returns the top; the queue must not be empty. */
static inline QUEUE_ELEMENT
QUEUE_NAME(QUEUE_PREFIX, _pop) (QUEUE_TYPE *queue)
{
	QUEUE_ELEMENT top = queue->elements[0];

	Assert(queue->count > 0);
	if (--queue->count > 0)
		QUEUE_NAME(QUEUE_PREFIX, _sift_down) (queue, 0,
											  queue->elements[queue->count]);
	return top;
}

/* Orders elements that were put into the array without order. */
static inline void
QUEUE_NAME(QUEUE_PREFIX, _heapify) (QUEUE_TYPE *queue)
{
	for (int64 i = queue->count / 2 - 1; i >= 0; i--)
		QUEUE_NAME(QUEUE_PREFIX, _sift_down) (queue, i, queue->elements[i]);
}

#undef QUEUE_PREFIX
#undef QUEUE_ELEMENT
#undef QUEUE_KEY
#undef QUEUE_NAME_
#undef QUEUE_NAME
#undef QUEUE_TYPE

/*-------------------------------------------------------------------------
 *
 * memory_search.c
 *	  The extension's search over a forest in plain memory.
 *
 * It decides as src/tree.c, inspect.c and search.c do: the same leaves in the
 * same order, the same lower bounds, exact distances while a bound is below
 * the nearest distance that is known, rows one after another without knowing
 * how many will be wanted.  What it leaves out is what a database needs: pages,
 * buffers, locks, checks, memory contexts, calls through the function manager.
 * And since it is meant to be the limit, it takes liberties that change no
 * decision: leaves and vectors are asked for ahead, queues hold integers that
 * order like the pairs they stand for, the distance of a leaf's centroid is not
 * computed again for its codes, and no item is read earlier than needed.
 *
 *-------------------------------------------------------------------------
 */
#include "memory_search.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "dataset.h"
#include "memory_queue.h"

/* These are src/tree.c's, searchstate.h's, search.c's, scan.c's and meta.c's. */
#define LEAVES_AHEAD 8
#define LEAVES_AHEAD_OF_MANY 16
#define MANY_ENTRIES 40
#define LEAVES_AHEAD_OF_CODES 32
#define INITIAL_KEEP 2048
#define ROWS_PER_BUDGET 20
#define EPSILON_CURVE 0.1
#define GUESSED_SEARCH_K_FACTOR 60.0
#define GROWTH_TOLERATED 1.3
#define GROWTH_EXPONENT 0.75

/* Leaves that are taken, and asked for, before they are ranked. */
#define LEAF_RING 4

/*
 * Items are ranked so many at a time (search.c's ITEM_BATCH): a batch ends
 * where a bound is not below the nearest distance that was known at its
 * beginning.  VECTOR_RING of them are asked for before they are ranked; a power
 * of two.
 */
#define ITEM_BATCH 16
#define VECTOR_RING 32

/* A threshold may leave a KEEP_PARTth fewer candidates than asked for. */
#define KEEP_PART 16

/* Candidates are ordered by buckets of about so many, of at most MAX_BUCKETS. */
#define BUCKET_ENTRIES 8
#define MAX_BUCKETS 1024

#define CACHE_LINE 64

struct MemorySearch
{
	const MemoryForest *forest;
	AnnoyQuery	query;
	const float *vector;
	void	   *query_memory;
	float	   *scratch;

	/* the walk */
	SubtreeQueue nodes;
	Queue		leaves;
	int64_t		leaves_known;
	int64_t		leaves_taken;
	int			leaves_ahead;

	/* candidates */
	Queue		unranked;		/* in no order */
	Queue		ordered;		/* the same by buckets: see order_unranked */
	int64_t		next_ordered;
	int64_t		bucket_ends[MAX_BUCKETS + 1];
	int			n_buckets;
	int			next_bucket;
	int64_t		keep;
	float		threshold;
	bool		aside;
	bool		finished;
	int32_t    *visited_leaves;
	int64_t		n_visited_leaves;
	int64_t		visited_allocated;

	/* what was asked for and not ranked yet, in order */
	Entry		ring[VECTOR_RING];
	unsigned	ring_first;
	unsigned	ring_count;

	RankedQueue ranked;
	double		last_distance;
	uint32_t   *seen;			/* for each item the last query that ranked it;
								 * NULL with one tree */
	uint32_t	generation;
	MemoryStatistics statistics;
};

static inline void
prefetch(const void *start, size_t size)
{
	for (size_t i = 0; i < size; i += CACHE_LINE)
		__builtin_prefetch((const char *) start + i);
}

MemorySearch *
begin_memory_search(const MemoryForest *forest)
{
	MemorySearch *search = calloc(1, sizeof(MemorySearch));

	if (search == NULL)
		die("out of memory");
	search->forest = forest;
	search->leaves_ahead = forest->coded ? LEAVES_AHEAD_OF_CODES :
		forest->directory_capacity >= MANY_ENTRIES ? LEAVES_AHEAD_OF_MANY :
		LEAVES_AHEAD;
	search->query_memory = allocate_array(AnnoyQueryMemory(forest->dimensions),
										  false);
	search->scratch =
		allocate_array(sizeof(float) *
					   (size_t) AnnoySketchScratch(forest->dimensions), false);
	if (forest->n_trees > 1)
		search->seen = allocate_array(sizeof(uint32_t) *
									  (size_t) forest->n_items, true);
	search->visited_allocated = 64;
	search->visited_leaves = malloc(sizeof(int32_t) * 64);
	if (search->visited_leaves == NULL)
		die("out of memory");
	return search;
}

const MemoryStatistics *
get_memory_statistics(const MemorySearch *search)
{
	return &search->statistics;
}

/* Down from a child to a directory; the other sides go to the queue. */
static int32_t
descend(MemorySearch *search, float priority, int32_t child)
{
	const MemoryForest *forest = search->forest;

	while (child >= 0)
	{
		const MemoryNode *node = get_memory_node(forest, child);
		float		margin = AnnoyQueryMargin(&forest->sketcher, &search->query,
											  node->normal, node->scale,
											  node->extra_weight,
											  node->offset);
		int			side = margin > 0.0f ? 1 : 0;

		search->statistics.hyperplanes++;
		push_subtree(&search->nodes, priority + margin * margin,
					 node->child[1 - side]);
		child = node->child[side];
	}
	return ~child;
}

/* Puts the leaves of a directory of codes into the queue. */
static void
list_codes(MemorySearch *search, const MemoryDirectory *directory)
{
	const MemoryForest *forest = search->forest;
	const MemoryCentroid *reference = directory->reference;
	float		base = AnnoyCentroidDistance(&forest->sketcher, &search->query,
											 reference->centroid,
											 reference->scale,
											 reference->norm_squared,
											 search->query.extra);
	const MemoryCode *code = (const MemoryCode *) directory->codes;
	int32_t		selected[MEMORY_MAX_DIRECTORY];

	annoy_kernels.sum_selected_many(forest->s, directory->count, code->code,
									forest->code_size, search->query.quantised,
									selected);
	for (int32_t i = 0; i < directory->count; i++)
	{
		float		distance;

		code = (const MemoryCode *)
			(directory->codes + forest->code_size * (size_t) i);
		distance = AnnoyDistanceOfCode(&search->query, base, selected[i],
									   code->f1, code->f2, code->extra);

		push(&search->leaves,
			 make_entry(distance, (uint32_t) (directory->first_leaf + i)));
	}
}

/* Opens directories until so many leaves are known. */
static inline void
explore(MemorySearch *search, int64_t wanted)
{
	const MemoryForest *forest = search->forest;

	while (search->leaves_known < wanted && search->nodes.count > 0)
	{
		Subtree		subtree = pop_subtree(&search->nodes);
		int32_t		number = descend(search, subtree.priority, subtree.child);
		MemoryDirectory directory = forest->directories[number];

		reserve(&search->leaves, directory.count);
		search->leaves_known += directory.count;
		if (directory.codes != NULL)
		{
			list_codes(search, &directory);
			continue;
		}
		for (int32_t i = 0; i < directory.count; i++)
		{
			int32_t		leaf = directory.first_leaf + i;
			const MemoryCentroid *centroid = get_memory_centroid(forest, leaf);
			float		distance =
				AnnoyCentroidDistance(&forest->sketcher, &search->query,
									  centroid->centroid, centroid->scale,
									  centroid->norm_squared, centroid->extra);

			push(&search->leaves, make_entry(distance, (uint32_t) leaf));
		}
	}
}

static inline bool
take_leaf(MemorySearch *search, Entry *leaf)
{
	explore(search, search->leaves_ahead * (search->leaves_taken + 1));
	while (search->leaves.count == 0 && search->nodes.count > 0)
		explore(search, search->leaves_known + 1);
	if (search->leaves.count == 0)
		return false;
	*leaf = pop(&search->leaves);
	search->leaves_taken++;
	return true;
}

/*
 * Lowers the threshold to about the keep-th smallest bound and drops what is
 * not below it.  The bound is found by bisection, since counting takes no
 * branches and whole registers; a few more or less make no difference to
 * answers, as what is left aside is found again.
 */
static void
trim_unranked(MemorySearch *search)
{
	Entry	   *e = search->unranked.entries;
	int64_t		count = search->unranked.count;
	int64_t		kept = 0;
	Entry		low = UINT64_MAX;	/* at most "keep" entries are below */
	Entry		high = 0;		/* more are below, or it is the last */
	int64_t		below = 0;

	for (int64_t i = 0; i < count; i++)
	{
		low = e[i] < low ? e[i] : low;
		high = e[i] > high ? e[i] : high;
	}
	/* whole keys only: equal bounds stay together */
	low >>= 32;
	high >>= 32;
	while (high - low > 1 && below < search->keep - search->keep / KEEP_PART)
	{
		Entry		middle = low + (high - low) / 2;
		int64_t		here = count_below(e, count, middle << 32);

		if (here <= search->keep)
		{
			low = middle;
			below = here;
		}
		else
			high = middle;
	}
	if (below == 0)
	{
		search->keep *= 2;
		return;
	}
	search->threshold = restore_float((uint32_t) low);
	for (int64_t i = 0; i < count; i++)
	{
		e[kept] = e[i];
		kept += e[i] < low << 32;
	}
	search->unranked.count = kept;
	search->aside = true;
}

/*
 * Deals the candidates out into buckets by their bounds.  A bucket is put into
 * order when the first of its entries is wanted, since most never are.
 */
static void
order_unranked(MemorySearch *search)
{
	const Entry *e = search->unranked.entries;
	int64_t		count = search->unranked.count;
	Entry		smallest = UINT64_MAX;
	Entry		largest = 0;
	int			buckets = 1;
	int			shift = 32;
	int64_t		begin[MAX_BUCKETS + 1];
	int64_t		total = 0;

	for (int64_t i = 0; i < count; i++)
	{
		smallest = e[i] < smallest ? e[i] : smallest;
		largest = e[i] > largest ? e[i] : largest;
	}
	while (buckets < MAX_BUCKETS && buckets * BUCKET_ENTRIES < count)
		buckets *= 2;
	while (count > 0 && (largest - smallest) >> shift >= (Entry) buckets)
		shift++;

	memset(search->bucket_ends, 0, sizeof(int64_t) * (size_t) buckets);
	for (int64_t i = 0; i < count; i++)
		search->bucket_ends[(e[i] - smallest) >> shift]++;
	for (int b = 0; b < buckets; b++)
	{
		begin[b] = total;
		total += search->bucket_ends[b];
		search->bucket_ends[b] = total;
	}
	search->ordered.count = 0;
	reserve(&search->ordered, count);
	for (int64_t i = 0; i < count; i++)
		search->ordered.entries[begin[(e[i] - smallest) >> shift]++] = e[i];
	search->ordered.count = count;
	search->next_ordered = 0;
	search->n_buckets = buckets;
	search->next_bucket = 0;
	search->unranked.count = 0;
}

/* The candidate with the smallest bound; there must be one. */
static inline Entry
take_candidate(MemorySearch *search)
{
	Entry	   *e = search->ordered.entries;
	int64_t		first = search->next_ordered;

	/* at the beginning of a bucket? */
	if (search->next_bucket == 0 ||
		first == search->bucket_ends[search->next_bucket - 1])
	{
		int64_t		end;

		do
			end = search->bucket_ends[search->next_bucket++];
		while (end == first);
		if (end - first > 8 * BUCKET_ENTRIES)
			qsort(e + first, (size_t) (end - first), sizeof(Entry),
				  compare_entries);
		else
			for (int64_t i = first + 1; i < end; i++)
			{
				Entry		entry = e[i];
				int64_t		hole = i;

				for (; hole > first && entry < e[hole - 1]; hole--)
					e[hole] = e[hole - 1];
				e[hole] = entry;
			}
	}
	return e[search->next_ordered++];
}

/* Ranks the codes of a leaf from a lower bound on. */
static inline void
rank_leaf(MemorySearch *search, int32_t number, float distance, float from)
{
	const MemoryForest *forest = search->forest;
	const MemoryLeaf *leaf = &forest->leaves[number];
	AnnoyRankParameters *rank = &search->query.rank;
	const char *block = leaf->blocks;
	Entry	   *next;
	int64_t		before;

	if (rank->linear || search->statistics.leaves == 0 || forest->coded ||
		search->query.unbounded || number >= forest->n_listed_leaves)
	{
		const MemoryCentroid *centroid = get_memory_centroid(forest, number);

		AnnoyBeginLeaf(&forest->sketcher, &search->query, centroid->centroid,
					   centroid->scale, centroid->norm_squared,
					   search->threshold);
	}
	else
	{
		/* what AnnoyBeginLeaf finds anew is what the directory said */
		rank->base = distance;
		rank->threshold = search->threshold;
	}
	search->statistics.leaves++;

	reserve(&search->unranked, leaf->count);
	before = search->unranked.count;
	next = search->unranked.entries + before;
	for (int first = 0; first < leaf->count; first += ANNOY_BLOCK_ENTRIES)
	{
		int			entries = leaf->count - first;
		const char *items = block + MemoryBlockItems(forest->s);
		float		lower[ANNOY_BLOCK_ENTRIES];
		uint32_t	mask;

		mask = annoy_kernels.rank_block(rank, (const uint8_t *) block, lower);
		if (search->threshold >= FLT_MAX)
			mask = 0xFFFF;
		if (entries < ANNOY_BLOCK_ENTRIES)
			mask &= (1u << entries) - 1;
		if (mask == 0xFFFF && from == -FLT_MAX)
		{
			uint32_t	numbers[ANNOY_BLOCK_ENTRIES];

			memcpy(numbers, items, sizeof(numbers));
			for (int i = 0; i < ANNOY_BLOCK_ENTRIES; i++)
				next[i] = make_entry(lower[i], numbers[i]);
			next += ANNOY_BLOCK_ENTRIES;
			mask = 0;
		}
		while (mask != 0)
		{
			int			i = __builtin_ctz(mask);
			uint32_t	item;

			mask &= mask - 1;
			memcpy(&item, items + (size_t) i * sizeof(item), sizeof(item));
			*next = make_entry(lower[i], item);
			next += !(lower[i] < from);
		}
		block += forest->block_size;
	}
	search->unranked.count = next - search->unranked.entries;
	if (search->unranked.count - before < leaf->count && from == -FLT_MAX)
		search->aside = true;
	if (search->unranked.count > 2 * search->keep)
		trim_unranked(search);
}

static inline void
prefetch_leaf(const MemoryForest *forest, int32_t number)
{
	const MemoryLeaf *leaf = &forest->leaves[number];

	prefetch(leaf->blocks, forest->block_size *
			 (size_t) ((leaf->count + ANNOY_BLOCK_ENTRIES - 1) /
					   ANNOY_BLOCK_ENTRIES));
}

static void
remember_leaf(MemorySearch *search, int32_t number)
{
	if (search->n_visited_leaves == search->visited_allocated)
	{
		search->visited_allocated *= 2;
		search->visited_leaves = realloc(search->visited_leaves,
										 sizeof(int32_t) *
										 (size_t) search->visited_allocated);
		if (search->visited_leaves == NULL)
			die("out of memory");
	}
	search->visited_leaves[search->n_visited_leaves++] = number;
}

/*
 * Inspects search_k items more.  Leaves are known LEAF_RING ahead, so that
 * their codes are on their way when their turn comes; those that are not needed
 * any more go back to the queue.
 */
static void
inspect(MemorySearch *search, int64_t search_k)
{
	const MemoryForest *forest = search->forest;
	int64_t		target = search->statistics.items_inspected + search_k;
	Entry		ring[LEAF_RING];
	unsigned	first = 0;
	unsigned	count = 0;

	for (;;)
	{
		Entry		entry;
		int32_t		number;

		while (count < LEAF_RING && take_leaf(search, &entry))
		{
			prefetch_leaf(forest, (int32_t) (uint32_t) entry);
			ring[(first + count++) % LEAF_RING] = entry;
		}
		if (count == 0)
		{
			search->finished = true;
			break;
		}
		if (search->statistics.items_inspected >= target)
			break;
		entry = ring[first++ % LEAF_RING];
		count--;
		number = (int32_t) (uint32_t) entry;
		rank_leaf(search, number, entry_key(entry), -FLT_MAX);
		remember_leaf(search, number);
		search->statistics.items_inspected += forest->leaves[number].count;
		if (forest->leaves[number].chain != MEMORY_NONE)
		{
			reserve(&search->leaves, 1);
			push(&search->leaves,
				 (entry >> 32 << 32) |
				 (uint32_t) forest->leaves[number].chain);
		}
	}
	reserve(&search->leaves, LEAF_RING);
	for (; count > 0; count--)
		push(&search->leaves, ring[first++ % LEAF_RING]);
	order_unranked(search);
}

/* Ranks the leaves again for what was left aside; all else is ranked by now. */
static void
fetch_aside(MemorySearch *search)
{
	const MemoryForest *forest = search->forest;
	float		from = search->threshold;

	search->keep *= 2;
	search->threshold = FLT_MAX;
	search->aside = false;
	for (int64_t i = 0; i < search->n_visited_leaves; i++)
	{
		int32_t		number = search->visited_leaves[i];
		const MemoryCentroid *centroid = get_memory_centroid(forest, number);

		if (i + 1 < search->n_visited_leaves)
			prefetch_leaf(forest, search->visited_leaves[i + 1]);
		rank_leaf(search, number,
				  AnnoyCentroidDistance(&forest->sketcher, &search->query,
										centroid->centroid, centroid->scale,
										centroid->norm_squared,
										search->query.extra), from);
	}
	order_unranked(search);
}

static inline double
bound(const MemorySearch *search, float lower)
{
	return AnnoyBoundToDistance(&search->forest->sketcher, &search->query,
								lower);
}

/* The distance that the metric's operator returns; see src/distance.c. */
static inline double
measure(const MemorySearch *search, const float *vector)
{
	int			d = search->forest->dimensions;
	const float *query = search->vector;
	float		sums[3];

	switch (search->forest->sketcher.metric)
	{
		case ANNOY_METRIC_L2:
			return sqrt((double) annoy_kernels.l2_squared(d, vector, query));
		case ANNOY_METRIC_COSINE:
			annoy_kernels.inner_products(d, vector, query, sums);
			return 1.0 - (double) sums[0] /
				sqrt((double) sums[1] * (double) sums[2]);
		case ANNOY_METRIC_INNER_PRODUCT:
			return -(double) annoy_kernels.inner_product(d, vector, query);
		case ANNOY_METRIC_L1:
			return (double) annoy_kernels.l1(d, vector, query);
		default:
			die("the index has a metric that is not known here");
	}
}

static void
rank_item(MemorySearch *search, uint32_t item)
{
	Ranked		ranked;

	ranked.distance = measure(search, get_memory_vector(search->forest, item));
	ranked.item = item;
	search->statistics.exact_distances++;
	/* one that comes too late for its place is not among those asked for */
	if (!(ranked.distance < search->last_distance))
		push_ranked(&search->ranked, ranked);
}

/* Asks for vectors that may be ranked soon. */
static inline void
fill_ring(MemorySearch *search)
{
	const MemoryForest *forest = search->forest;

	while (search->ring_count < VECTOR_RING &&
		   search->next_ordered < search->ordered.count)
	{
		Entry		entry = take_candidate(search);

		if (search->seen != NULL)
		{
			/* it may have come through another tree before */
			if (search->seen[(uint32_t) entry] == search->generation)
				continue;
			search->seen[(uint32_t) entry] = search->generation;
		}
		prefetch(get_memory_vector(forest, (uint32_t) entry),
				 forest->vector_size);
		search->ring[(search->ring_first + search->ring_count++) %
					 VECTOR_RING] = entry;
	}
}

/*
 * Ranks candidates as long as one of them may be nearer than the nearest
 * ranked item.  The next ones are asked for meanwhile.
 */
static void
rank_items(MemorySearch *search)
{
	unsigned	batch;

	do
	{
		fill_ring(search);
		batch = 0;
		while (batch < ITEM_BATCH && batch < search->ring_count &&
			   (search->ranked.count == 0 ||
				bound(search, entry_key(search->ring[(search->ring_first + batch) %
													 VECTOR_RING])) <
				search->ranked.elements[0].distance))
			batch++;
		for (unsigned i = 0; i < batch; i++)
		{
			Entry		entry = search->ring[search->ring_first++ % VECTOR_RING];

			search->ring_count--;
			rank_item(search, (uint32_t) entry);
			fill_ring(search);
		}
	} while (batch == ITEM_BATCH);
}

/* The next row, or -1. */
static int64_t
next_row(MemorySearch *search, int64_t search_k)
{
	for (;;)
	{
		Ranked		item;

		rank_items(search);
		if (search->aside &&
			(search->ranked.count == 0 ||
			 bound(search, search->threshold) < search->ranked.elements[0].distance))
		{
			fetch_aside(search);
			continue;
		}
		if (search->ranked.count == 0)
		{
			if (search->finished)
				return -1;
			inspect(search, search_k);
			continue;
		}
		item = pop_ranked(&search->ranked);
		search->last_distance = item.distance;
		return search->forest->rows[item.item];
	}
}

/* The budget that scan.c would choose, and the bound that goes with it. */
static int64_t
choose_limits(const MemoryForest *forest, int64_t search_k, float *epsilon)
{
	int64_t		automatic = forest->search_k;
	double		doublings;

	if (automatic == 0)
		automatic = (int64_t) (GUESSED_SEARCH_K_FACTOR *
							   sqrt((double) forest->n_items));
	else if (forest->n_items > forest->built_items * GROWTH_TOLERATED)
		automatic = (int64_t) ((double) automatic *
							   pow(forest->n_items / forest->built_items,
								   GROWTH_EXPONENT));
	if (search_k == 0)
		search_k = automatic;
	*epsilon = forest->epsilon;
	doublings = log2((double) search_k / (double) automatic);
	if (doublings > 0.0)
		*epsilon += EPSILON_CURVE * doublings * doublings;
	if (*epsilon > ANNOY_MAX_EPSILON && *epsilon > forest->epsilon)
		*epsilon = ANNOY_MAX_EPSILON;
	return search_k;
}

int
search_memory(MemorySearch *search, const float *query, int64_t search_k,
			  int k, int64_t *rows)
{
	const MemoryForest *forest = search->forest;
	float		epsilon;
	int			count;

	search_k = choose_limits(forest, search_k, &epsilon);
	search->vector = query;
	search->nodes.count = 0;
	search->leaves.count = 0;
	search->leaves_known = 0;
	search->leaves_taken = 0;
	search->unranked.count = 0;
	search->ordered.count = 0;
	search->next_ordered = 0;
	search->keep = INITIAL_KEEP;
	search->threshold = FLT_MAX;
	search->aside = false;
	search->finished = false;
	search->n_visited_leaves = 0;
	search->ring_count = 0;
	search->ranked.count = 0;
	search->last_distance = -INFINITY;
	search->generation++;
	memset(&search->statistics, 0, sizeof(search->statistics));

	AnnoyInitQuery(&search->query, search->query_memory, &forest->sketcher,
				   query, search->scratch, epsilon);
	if (search->query.undefined)
		return 0;
	for (int tree = 0; tree < forest->n_trees; tree++)
		push_subtree(&search->nodes, 0.0f, forest->roots[tree]);

	inspect(search, search_k);
	for (count = 0; count < k; count++)
	{
		rows[count] = next_row(search, search_k);
		if (rows[count] < 0)
			break;
	}
	return count;
}

/*-------------------------------------------------------------------------
 *
 * memory_forest.c
 *	  The forest of an annoy index, unpacked from the pages of its file.
 *
 * The layouts come from the extension's own headers, of which only structs,
 * constants and macros are used: nothing of the server is linked, so nothing
 * may be called that the server defines, and Assert is not to be met (it
 * would call the server in builds with assertions).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "dataset.h"
#include "item.h"
#include "meta.h"
#include "vector.h"

#include "memory_forest.h"

/* The C library's, not the server's own. */
#undef qsort
#undef snprintf

#define CACHE_LINE 64
#define HUGE_PAGE ((size_t) 2 << 20)

/* The file, and for its blocks the first number of what is on them. */
typedef struct IndexFile
{
	char	   *pages;
	BlockNumber count;
	AnnoyMetaPageData meta;
	int32_t    *first;			/* [count]: node, directory, leaf; for item
								 * pages the first line pointer */
	int32_t    *items;			/* number of item for each line pointer of the
								 * item pages, or none */
	int32_t		n_line_pointers;
	bool		huge;
} IndexFile;

static size_t
round_up(size_t size, size_t step)
{
	return (size + step - 1) / step * step;
}

void *
allocate_array(size_t size, bool huge)
{
	char	   *memory;

	size = round_up(size > 0 ? size : 1, HUGE_PAGE);
	memory = aligned_alloc(HUGE_PAGE, size);
	if (memory == NULL)
		die("out of memory");
	madvise(memory, size, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
	memset(memory, 0, size);
	return memory;
}

/* Reads one file behind what is there; false if it does not exist. */
static bool
read_segment(IndexFile *file, const char *path)
{
	FILE	   *stream = fopen(path, "rb");
	size_t		old = (size_t) file->count * BLCKSZ;
	long		size;

	if (stream == NULL)
		return false;
	if (fseek(stream, 0, SEEK_END) != 0 || (size = ftell(stream)) < 0)
		die("could not find out the size of \"%s\"", path);
	rewind(stream);
	if (size % BLCKSZ != 0)
		die("\"%s\" does not consist of pages of %d bytes", path, BLCKSZ);
	file->pages = realloc(file->pages, old + (size_t) size + 1);
	if (file->pages == NULL)
		die("out of memory for \"%s\"", path);
	if (fread(file->pages + old, 1, (size_t) size, stream) != (size_t) size)
		die("could not read \"%s\"", path);
	fclose(stream);
	file->count += (BlockNumber) (size / BLCKSZ);
	return true;
}

static void
read_file(IndexFile *file, const char *path)
{
	char		name[4096];

	if (!read_segment(file, path))
		die("could not open \"%s\"", path);
	for (int segment = 1; strlen(path) + 16 < sizeof(name); segment++)
	{
		snprintf(name, sizeof(name), "%s.%d", path, segment);
		if (!read_segment(file, name))
			break;
	}
}

static AnnoyPageOpaque
get_opaque(const char *page)
{
	return (AnnoyPageOpaque) (page + BLCKSZ - sizeof(AnnoyPageOpaqueData));
}

/* A page, which must be of the kind. */
static char *
get_page(const IndexFile *file, BlockNumber block, AnnoyPageKind kind)
{
	char	   *page = file->pages + (Size) block * BLCKSZ;

	if (block >= file->count || get_opaque(page)->kind != kind)
		die("block %u is not a page of kind %d", block, kind);
	return page;
}

/* Checks what all pages have in common; returns the kind, 0 for zeroes. */
static int
check_page(const IndexFile *file, BlockNumber block)
{
	const char *page = file->pages + (Size) block * BLCKSZ;
	const PageHeaderData *header = (const PageHeaderData *) page;

	if (header->pd_upper == 0)
		return 0;
	if (header->pd_special != BLCKSZ - sizeof(AnnoyPageOpaqueData) ||
		header->pd_lower < MAXALIGN(SizeOfPageHeaderData) ||
		header->pd_lower > header->pd_upper ||
		header->pd_upper > header->pd_special ||
		get_opaque(page)->page_id != ANNOY_PAGE_ID)
		die("block %u is not a page of an annoy index", block);
	return get_opaque(page)->kind;
}

static int
count_line_pointers(const char *page)
{
	const PageHeaderData *header = (const PageHeaderData *) page;

	return (int) ((header->pd_lower - SizeOfPageHeaderData) / sizeof(ItemIdData));
}

static void
check_count(BlockNumber block, int count, int capacity)
{
	if (count > capacity)
		die("block %u has more entries than fit on it", block);
}

static void
read_meta(IndexFile *file, MemoryForest *forest)
{
	AnnoyMetaPageData *meta = &file->meta;

	*meta = *AnnoyPageGetMeta(get_page(file, ANNOY_META_BLOCK, ANNOY_PAGE_META));
	if (meta->magic != ANNOY_MAGIC ||
		meta->format_version != ANNOY_FORMAT_VERSION)
		die("not an annoy index of format version %d", ANNOY_FORMAT_VERSION);
	if (meta->element != ANNOY_ELEMENT_FLOAT4)
		die("only indexes of type vector are supported");
	if (meta->dimensions < 1 || meta->dimensions > ANNOY_MAX_DIMENSIONS ||
		meta->sketch_dimensions != AnnoySketchDimensions(meta->dimensions) ||
		meta->n_trees < 1 || meta->n_trees > ANNOY_MAX_TREES)
		die("the metapage has values out of range");
	forest->dimensions = meta->dimensions;
	forest->s = meta->sketch_dimensions;
	forest->n_trees = meta->n_trees;
	forest->search_k = meta->search_k;
	forest->built_items = (double) meta->items;
	forest->epsilon = meta->epsilon;
}

/* An array that is divided over a list of pages. */
static void
read_list(const IndexFile *file, BlockNumber block, AnnoyPageKind kind,
		  void *array, size_t size, size_t per_page)
{
	char	   *next = array;

	while (size > 0)
	{
		size_t		here = Min(size, per_page);
		char	   *page = get_page(file, block, kind);

		memcpy(next, PageGetContents(page), here);
		block = get_opaque(page)->rightlink;
		next += here;
		size -= here;
	}
}

static void
make_sketcher(const IndexFile *file, MemoryForest *forest)
{
	const AnnoyMetaPageData *meta = &file->meta;
	void	   *memory = allocate_array(AnnoySketcherMemory(meta->dimensions),
										false);
	float	   *centre = NULL;

	if (BlockNumberIsValid(meta->centre))
	{
		centre = allocate_array(sizeof(float) * (size_t) meta->dimensions,
								false);
		read_list(file, meta->centre, ANNOY_PAGE_CENTRE, centre,
				  sizeof(float) * (size_t) meta->dimensions,
				  sizeof(float) * ANNOY_FLOATS_PER_PAGE);
	}
	AnnoyInitSketcher(&forest->sketcher, memory, meta->metric,
					  meta->dimensions, meta->seed, centre, meta->max_norm);
}

/* Numbers nodes, directories, leaves and line pointers in order of blocks. */
static void
number_pages(IndexFile *file, MemoryForest *forest)
{
	int			s = forest->s;

	file->first = allocate_array(sizeof(int32_t) * file->count, false);
	for (BlockNumber block = 0; block < file->count; block++)
	{
		char	   *page = file->pages + (Size) block * BLCKSZ;

		file->first[block] = MEMORY_NONE;
		switch (check_page(file, block))
		{
			case ANNOY_PAGE_INNER:
				check_count(block, AnnoyPageGetInnerHeader(page)->count,
							AnnoyInnerCapacity(s));
				file->first[block] = forest->n_nodes;
				forest->n_nodes += AnnoyPageGetInnerHeader(page)->count;
				break;
			case ANNOY_PAGE_DIRECTORY:
				check_count(block, AnnoyPageGetDirectoryHeader(page)->count,
							AnnoyDirectoryCapacity(AnnoyPageGetDirectoryHeader(page)->form,
												   s));
				file->first[block] = forest->n_directories++;
				break;
			case ANNOY_PAGE_LEAF:
				check_count(block, AnnoyPageGetLeafHeader(page)->count,
							AnnoyLeafCapacity(s));
				forest->n_leaves++; /* numbered by the directories */
				break;
			case ANNOY_PAGE_ITEM:
				check_count(block, count_line_pointers(page),
							ANNOY_ITEMS_PER_PAGE);
				file->first[block] = file->n_line_pointers;
				file->n_line_pointers += count_line_pointers(page);
				break;
			default:
				break;
		}
	}
}

/* A tuple of an item page, or NULL for an unused line pointer. */
static const AnnoyItemData *
get_part(const IndexFile *file, BlockNumber block, int offset, size_t *size)
{
	const char *page = get_page(file, block, ANNOY_PAGE_ITEM);
	const ItemIdData *id;
	const AnnoyItemData *item;

	if (offset < 1 || offset > count_line_pointers(page))
		die("block %u has no line pointer %d", block, offset);
	id = &((const PageHeaderData *) page)->pd_linp[offset - 1];
	if (!ItemIdIsNormal(id))
		return NULL;
	if (ItemIdGetLength(id) < sizeof(AnnoyItemData) ||
		ItemIdGetOffset(id) + ItemIdGetLength(id) >
		BLCKSZ - sizeof(AnnoyPageOpaqueData))
		die("line pointer %d of block %u is out of range", offset, block);
	item = (const AnnoyItemData *) (page + ItemIdGetOffset(id));
	if (item->data_offset < sizeof(AnnoyItemData) ||
		item->data_offset > ItemIdGetLength(id))
		die("item %d of block %u is out of range", offset, block);
	*size = ItemIdGetLength(id) - item->data_offset;
	return item;
}

/* Puts the parts of a value together. */
static void
copy_value(const IndexFile *file, BlockNumber block, int offset, char *value,
		   size_t wanted)
{
	size_t		done = 0;

	while (done < wanted)
	{
		size_t		size;
		const AnnoyItemData *item = get_part(file, block, offset, &size);

		if (item == NULL || size == 0 || size > wanted - done)
			die("the parts of item %d of block %u do not fit its vector",
				offset, block);
		memcpy(value + done, (const char *) item + item->data_offset, size);
		done += size;
		block = ItemPointerGetBlockNumberNoCheck(&item->next);
		offset = ItemPointerGetOffsetNumberNoCheck(&item->next);
	}
}

static uint64
pack_tid(const ItemPointerData *tid)
{
	return (uint64) ItemPointerGetBlockNumberNoCheck(tid) << 16 |
		ItemPointerGetOffsetNumberNoCheck(tid);
}

static int
compare_tids(const void *a, const void *b)
{
	uint64		x = *(const uint64 *) a;
	uint64		y = *(const uint64 *) b;

	return (x > y) - (x < y);
}

/* Adds the TIDs of the tail, which are rows of the table as well. */
static int32_t
read_tail(const IndexFile *file, uint64 *tids, int32_t capacity)
{
	int32_t		count = 0;

	for (BlockNumber block = 0; block < file->count; block++)
	{
		char	   *page = file->pages + (Size) block * BLCKSZ;

		if (check_page(file, block) != ANNOY_PAGE_TAIL)
			continue;
		check_count(block, AnnoyPageGetTailHeader(page)->count,
					AnnoyTailCapacity);
		for (int i = 0; i < AnnoyPageGetTailHeader(page)->count; i++)
			if (count < capacity)
				tids[count++] = pack_tid(&AnnoyPageGetTailEntries(page)[i].heap_tid);
	}
	return count;
}

/* Rows are numbered by the order of their TIDs. */
static void
number_rows(const IndexFile *file, MemoryForest *forest, const uint64 *tids)
{
	int32_t		capacity = forest->n_items + (int32_t) (file->meta.tail_items +
														AnnoyTailCapacity);
	uint64	   *sorted = allocate_array(sizeof(uint64) * (size_t) capacity,
										false);

	memcpy(sorted, tids, sizeof(uint64) * (size_t) forest->n_items);
	forest->n_rows = forest->n_items +
		read_tail(file, sorted + forest->n_items, capacity - forest->n_items);
	qsort(sorted, (size_t) forest->n_rows, sizeof(uint64), compare_tids);
	forest->rows = allocate_array(sizeof(int32_t) * (size_t) forest->n_items,
								  file->huge);
	for (int32_t i = 0; i < forest->n_items; i++)
	{
		const uint64 *found = bsearch(&tids[i], sorted, (size_t) forest->n_rows,
									  sizeof(uint64), compare_tids);

		forest->rows[i] = (int32_t) (found - sorted);
	}
	free(sorted);
}

/* Numbers the items and copies their vectors, in order of addresses. */
static void
read_items(IndexFile *file, MemoryForest *forest)
{
	size_t		value_size = ANNOY_VECTOR_SIZE(forest->dimensions);
	AnnoyVector *value = allocate_array(value_size, false);
	uint64	   *tids = allocate_array(sizeof(uint64) *
									  (size_t) file->n_line_pointers, false);

	file->items = allocate_array(sizeof(int32_t) *
								 (size_t) file->n_line_pointers, false);
	forest->vector_size =
		round_up(sizeof(float) * (size_t) forest->dimensions, CACHE_LINE);
	forest->vectors = allocate_array(forest->vector_size *
									 (size_t) file->n_line_pointers,
									 file->huge);
	for (BlockNumber block = 0; block < file->count; block++)
	{
		if (check_page(file, block) != ANNOY_PAGE_ITEM)
			continue;
		for (int offset = 1; offset <=
			 count_line_pointers(file->pages + (Size) block * BLCKSZ); offset++)
		{
			size_t		size;
			const AnnoyItemData *item = get_part(file, block, offset, &size);
			int32_t    *number = &file->items[file->first[block] + offset - 1];

			*number = MEMORY_NONE;
			if (item == NULL ||
				(item->flags & (ANNOY_ITEM_CONTINUED | ANNOY_ITEM_DEAD)))
				continue;
			copy_value(file, block, offset, (char *) value, value_size);
			if (VARSIZE(value) != value_size || value->dim != forest->dimensions)
				die("item %d of block %u is not a vector of %d dimensions",
					offset, block, forest->dimensions);
			*number = forest->n_items++;
			tids[*number] = pack_tid(&item->heap_tid);
			memcpy(forest->vectors + forest->vector_size * (size_t) *number,
				   value->x, sizeof(float) * (size_t) forest->dimensions);
		}
	}
	number_rows(file, forest, tids);
	free(tids);
	free(value);
}

/* The number of the item at an address, which must be alive. */
static uint32
find_item(const IndexFile *file, const char *address)
{
	ItemPointerData tid;
	BlockNumber block;
	int			offset;

	memcpy(&tid, address, sizeof(tid));
	block = ItemPointerGetBlockNumberNoCheck(&tid);
	offset = ItemPointerGetOffsetNumberNoCheck(&tid);
	if (offset < 1 ||
		offset > count_line_pointers(get_page(file, block, ANNOY_PAGE_ITEM)) ||
		file->items[file->first[block] + offset - 1] == MEMORY_NONE)
		die("a leaf names item (%u,%d), which is not there", block, offset);
	return (uint32) file->items[file->first[block] + offset - 1];
}

/* One entry of the open block into a full one. */
static void
copy_row(const IndexFile *file, const char *row, int s, char *block, int place)
{
	uint32		item;

	for (int r = 0; r < s / 8; r++)
		block[r * ANNOY_BLOCK_ENTRIES + place] = row[r];
	row += s / 8;
	memcpy(block + AnnoyBlockF1(s) + (size_t) place * sizeof(float4), row,
		   sizeof(float4));
	row += sizeof(float4);
	memcpy(block + AnnoyBlockF2(s) + (size_t) place * sizeof(float4), row,
		   sizeof(float4));
	row += sizeof(float4);
	item = find_item(file, row);
	memcpy(block + MemoryBlockItems(s) + (size_t) place * sizeof(uint32),
		   &item, sizeof(item));
}

/* Copies the blocks of a leaf page; returns how many. */
static int
copy_blocks(const IndexFile *file, const MemoryForest *forest, char *page,
			char *blocks)
{
	int			s = forest->s;
	int			count = AnnoyPageGetLeafHeader(page)->count;
	int			full = count / ANNOY_BLOCK_ENTRIES;
	int			open = count % ANNOY_BLOCK_ENTRIES;

	for (int b = 0; b < full; b++)
	{
		const char *from = AnnoyPageGetLeafBlock(page, s, b);
		char	   *to = blocks + (size_t) b * forest->block_size;

		memcpy(to, from, AnnoyBlockAddresses(s));
		for (int i = 0; i < ANNOY_BLOCK_ENTRIES; i++)
		{
			uint32		item = find_item(file, from + AnnoyBlockAddresses(s) +
										 (size_t) i * sizeof(ItemPointerData));

			memcpy(to + MemoryBlockItems(s) + (size_t) i * sizeof(uint32),
				   &item, sizeof(item));
		}
	}
	for (int i = 0; i < open; i++)
		copy_row(file, AnnoyPageGetLeafBlock(page, s, full) +
				 (size_t) i * AnnoyRowSize(s), s,
				 blocks + (size_t) full * forest->block_size, i);
	return full + (open > 0);
}

/* Copies the next leaf, with its centroid as the directory has it. */
static void
copy_leaf(IndexFile *file, MemoryForest *forest, BlockNumber block,
		  uint32 version, char **blocks)
{
	char	   *page = get_page(file, block, ANNOY_PAGE_LEAF);
	AnnoyLeafHeader header = AnnoyPageGetLeafHeader(page);
	MemoryLeaf *leaf = &forest->leaves[forest->n_leaves];
	MemoryCentroid *centroid = (MemoryCentroid *)
		(forest->centroids + forest->centroid_size * (size_t) forest->n_leaves);

	if (file->first[block] != MEMORY_NONE)
		die("leaf %u is linked twice", block);
	if (version != ANNOY_ANY_VERSION && header->version != version)
		die("leaf %u was split: the file is not that of a checkpoint", block);
	file->first[block] = forest->n_leaves++;
	leaf->blocks = *blocks;
	leaf->count = header->count;
	leaf->chain = MEMORY_NONE;
	*blocks += (size_t) copy_blocks(file, forest, page, *blocks) *
		forest->block_size;

	centroid->scale = header->scale;
	centroid->norm_squared = header->norm_squared;
	centroid->extra = header->extra;
	if (header->count > 0)		/* else it may have none */
		memcpy(centroid->centroid, header->centroid, (size_t) forest->s);
}

static void
copy_directory(IndexFile *file, MemoryForest *forest, BlockNumber block,
			   char **blocks)
{
	int			s = forest->s;
	char	   *page = get_page(file, block, ANNOY_PAGE_DIRECTORY);
	MemoryDirectory *directory = &forest->directories[file->first[block]];

	directory->first_leaf = forest->n_leaves;
	directory->count = AnnoyPageGetDirectoryHeader(page)->count;
	if (AnnoyPageGetDirectoryHeader(page)->form == ANNOY_DIRECTORY_CODES)
	{
		AnnoyDirectoryReference from = AnnoyPageGetDirectoryReference(page);
		MemoryCentroid *to = (MemoryCentroid *)
			(forest->references +
			 forest->centroid_size * (size_t) file->first[block]);

		to->scale = from->scale;
		to->norm_squared = from->norm_squared;
		memcpy(to->centroid, from->centroid, (size_t) s);
		directory->reference = to;
		directory->codes = forest->codes +
			forest->code_size * (size_t) forest->n_leaves;
		forest->coded = true;
	}
	for (int i = 0; i < directory->count; i++)
	{
		AnnoyDirectoryEntry entry = AnnoyPageGetDirectoryEntry(page, s, i);
		const MemoryCentroid *centroid =
			get_memory_centroid(forest, forest->n_leaves);

		copy_leaf(file, forest, entry->leaf.block, entry->leaf.version, blocks);
		if (directory->codes != NULL)
		{
			MemoryCode *code = (MemoryCode *)
				(directory->codes + forest->code_size * (size_t) i);

			code->f1 = entry->scale;
			code->f2 = entry->norm_squared;
			code->extra = entry->extra;
			memcpy(code->code, entry->data.code, (size_t) s / 8);
		}
		else if (forest->leaves[forest->n_leaves - 1].count > 0 &&
				 (entry->scale != centroid->scale ||
				  entry->norm_squared != centroid->norm_squared ||
				  memcmp(entry->data.centroid, centroid->centroid,
						 (size_t) s) != 0))
			die("directory %u and leaf %u have different centroids", block,
				entry->leaf.block);
	}
}

/* Copies the pages that continue leaves, and links them. */
static void
copy_chains(IndexFile *file, MemoryForest *forest, char **blocks)
{
	/* a page may be behind one that was copied here */
	for (int32_t done = 0; done < forest->n_leaves;)
	{
		done = forest->n_leaves;
		for (BlockNumber block = 0; block < file->count; block++)
		{
			char	   *page = file->pages + (Size) block * BLCKSZ;
			BlockNumber chain = get_opaque(page)->chainlink;
			MemoryLeaf *leaf;

			if (check_page(file, block) != ANNOY_PAGE_LEAF ||
				!BlockNumberIsValid(chain) ||
				file->first[block] == MEMORY_NONE)
				continue;
			leaf = &forest->leaves[file->first[block]];
			if (leaf->chain != MEMORY_NONE)
				continue;
			leaf->chain = forest->n_leaves;
			copy_leaf(file, forest, chain, ANNOY_ANY_VERSION, blocks);
		}
	}
}

static void
read_leaves(IndexFile *file, MemoryForest *forest)
{
	size_t		count = (size_t) forest->n_leaves;
	size_t		n_blocks = 0;
	char	   *blocks;

	for (BlockNumber block = 0; block < file->count; block++)
		if (check_page(file, block) == ANNOY_PAGE_LEAF)
			n_blocks += (size_t)
				(AnnoyPageGetLeafHeader(file->pages + (Size) block * BLCKSZ)->count +
				 ANNOY_BLOCK_ENTRIES - 1) / ANNOY_BLOCK_ENTRIES;

	forest->directories = allocate_array(sizeof(MemoryDirectory) *
										 (size_t) forest->n_directories,
										 file->huge);
	forest->leaves = allocate_array(sizeof(MemoryLeaf) * count, file->huge);
	forest->centroid_size = offsetof(MemoryCentroid, centroid) +
		(size_t) forest->s;
	forest->centroids = allocate_array(forest->centroid_size * count,
									   file->huge);
	forest->directory_capacity =
		AnnoyDirectoryCapacity(ANNOY_DIRECTORY_CENTROIDS, forest->s);
	forest->code_size = offsetof(MemoryCode, code) +
		round_up((size_t) forest->s / 8, sizeof(float));
	forest->codes = allocate_array(forest->code_size * count, file->huge);
	forest->references = allocate_array(forest->centroid_size *
										(size_t) forest->n_directories,
										file->huge);
	forest->block_size = round_up(MemoryBlockItems(forest->s) +
								  ANNOY_BLOCK_ENTRIES * sizeof(uint32),
								  CACHE_LINE);
	forest->blocks = allocate_array(forest->block_size * n_blocks, file->huge);

	blocks = forest->blocks;
	forest->n_leaves = 0;
	for (BlockNumber block = 0; block < file->count; block++)
		if (check_page(file, block) == ANNOY_PAGE_DIRECTORY)
			copy_directory(file, forest, block, &blocks);
	forest->n_listed_leaves = forest->n_leaves;
	copy_chains(file, forest, &blocks);
	if ((size_t) forest->n_leaves != count)
		die("%zu leaves are linked from nowhere",
			count - (size_t) forest->n_leaves);
}

static int32_t
translate_child(const IndexFile *file, AnnoyChild child)
{
	int32_t		number;

	if (child.kind == ANNOY_PAGE_INNER)
	{
		char	   *page = get_page(file, child.block, ANNOY_PAGE_INNER);

		if (child.slot >= AnnoyPageGetInnerHeader(page)->count)
			die("block %u has no node %d", child.block, child.slot);
		return file->first[child.block] + child.slot;
	}
	number = file->first[child.block < file->count ? child.block : 0];
	if (AnnoyPageGetDirectoryHeader(get_page(file, child.block,
											 ANNOY_PAGE_DIRECTORY))->version !=
		child.version)
		die("directory %u was split: the file is not that of a checkpoint",
			child.block);
	return ~number;
}

static void
read_nodes(const IndexFile *file, MemoryForest *forest)
{
	AnnoyChild *roots = allocate_array(sizeof(AnnoyChild) *
									   (size_t) forest->n_trees, false);

	forest->node_size = round_up(offsetof(MemoryNode, normal) +
								 (size_t) forest->s, CACHE_LINE);
	forest->nodes = allocate_array(forest->node_size *
								   (size_t) forest->n_nodes, file->huge);
	for (BlockNumber block = 0; block < file->count; block++)
	{
		char	   *page = file->pages + (Size) block * BLCKSZ;

		if (check_page(file, block) != ANNOY_PAGE_INNER)
			continue;
		for (int i = 0; i < AnnoyPageGetInnerHeader(page)->count; i++)
		{
			AnnoyNode	from = AnnoyPageGetNode(page, forest->s, i);
			MemoryNode *to = (MemoryNode *)
				(forest->nodes + forest->node_size *
				 (size_t) (file->first[block] + i));

			to->child[0] = translate_child(file, from->child[0]);
			to->child[1] = translate_child(file, from->child[1]);
			to->offset = from->offset;
			to->scale = from->scale;
			to->extra_weight = from->extra_weight;
			memcpy(to->normal, from->normal, (size_t) forest->s);
		}
	}

	forest->roots = allocate_array(sizeof(int32_t) * (size_t) forest->n_trees,
								   false);
	read_list(file, file->meta.roots, ANNOY_PAGE_ROOTS, roots,
			  sizeof(AnnoyChild) * (size_t) forest->n_trees,
			  sizeof(AnnoyChild) * ANNOY_ROOTS_PER_PAGE);
	for (int i = 0; i < forest->n_trees; i++)
		forest->roots[i] = translate_child(file, roots[i]);
	free(roots);
}

void
read_forest(MemoryForest *forest, const char *path, bool huge)
{
	IndexFile	file = {.huge = huge};

	memset(forest, 0, sizeof(*forest));
	read_file(&file, path);
	read_meta(&file, forest);
	make_sketcher(&file, forest);
	number_pages(&file, forest);
	read_items(&file, forest);
	read_leaves(&file, forest);
	read_nodes(&file, forest);
	free(file.pages);
	free(file.first);
	free(file.items);
}

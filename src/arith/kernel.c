/*-------------------------------------------------------------------------
 *
 * kernel.c
 *	  Choice of the kernels at run time.
 *
 * One binary serves every processor of its architecture: packages are built
 * on one machine and run on another, so no file is compiled for the machine
 * that builds it.  Instruction sets beyond the architecture's baseline are
 * enabled function by function in kernel_*.c, and chosen here by what the
 * processor says it has.
 *
 *-------------------------------------------------------------------------
 */
#include <stddef.h>
#include <string.h>

#include "arith/kernel.h"
#include "arith/kernel_sets.h"

/* Function pointers only, so "plain" is complete before any code has run. */
#define PLAIN_KERNELS { \
	.name = "plain", \
	.l2_squared = AnnoyPlainL2Squared, \
	.inner_product = AnnoyPlainInnerProduct, \
	.l1 = AnnoyPlainL1, \
	.inner_products = AnnoyPlainInnerProducts, \
	.dot_quantised = AnnoyPlainDotQuantised, \
	.dot_quantised_many = AnnoyPlainDotQuantisedMany, \
	.sum_selected_many = AnnoyPlainSumSelectedMany, \
	.sum_levels = AnnoyPlainSumLevels, \
	.dequantise = AnnoyPlainDequantise, \
	.add_dequantised = AnnoyPlainAddDequantised, \
	.join_mean = AnnoyPlainJoinMean, \
	.square_sum = AnnoyPlainSquareSum, \
	.scale = AnnoyPlainScale, \
	.rotate_block = AnnoyPlainRotateBlock, \
	.largest_absolute = AnnoyPlainLargestAbsolute, \
	.quantise = AnnoyPlainQuantise, \
	.requantise = AnnoyPlainRequantise, \
	.encode = AnnoyPlainEncode, \
	.encode_levels = AnnoyPlainEncodeLevels, \
	.product_terms = AnnoyPlainProductTerms, \
	.measure_groups = AnnoyPlainMeasureGroups, \
	.fill_table = AnnoyPlainFillTable, \
	.transpose_codes = AnnoyPlainTransposeCodes, \
	.rank_block = AnnoyPlainRankBlock \
}

AnnoyKernels annoy_kernels = PLAIN_KERNELS;

static const AnnoyKernels plain_kernels = PLAIN_KERNELS;

static const AnnoyKernels *
get_plain_kernels(void)
{
	return &plain_kernels;
}

/* All sets, the best first; "plain" is always there. */
static const struct
{
	const char *name;
	const AnnoyKernels *(*get) (void);
}			kernel_sets[] =
{
	{"avx512", AnnoyGetAvx512Kernels},
	{"avx2", AnnoyGetAvx2Kernels},
	{"neon", AnnoyGetNeonKernels},
	{"plain", get_plain_kernels},
};

int
AnnoyChooseKernels(const char *name)
{
	size_t		i;

	for (i = 0; i < sizeof(kernel_sets) / sizeof(kernel_sets[0]); i++)
	{
		const AnnoyKernels *kernels;

		if (name != NULL && strcmp(name, kernel_sets[i].name) != 0)
			continue;

		kernels = kernel_sets[i].get();
		if (kernels != NULL)
		{
			annoy_kernels = *kernels;
			return 1;
		}
	}

	return 0;
}

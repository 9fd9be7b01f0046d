/*-------------------------------------------------------------------------
 *
 * kernel_sets.h
 *	  The sets of kernels among which kernel.c chooses.
 *
 * For kernel*.c only; everything else calls through annoy_kernels.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ANNOY_KERNEL_SETS_H
#define ANNOY_KERNEL_SETS_H

#include "kernel.h"

/* Bits of an element of a signed permutation's plan. */
#define ANNOY_PLAN_INDEX_MASK 0x7FFF
#define ANNOY_PLAN_SIGN 0x8000

/*
 * The definition of every kernel, in plain C.  Sets for processors may take
 * over those in which their instructions gain nothing.
 */
extern float AnnoyPlainL2Squared(int n, const float *a, const float *b);
extern float AnnoyPlainInnerProduct(int n, const float *a, const float *b);
extern float AnnoyPlainL1(int n, const float *a, const float *b);
extern void AnnoyPlainInnerProducts(int n, const float *a, const float *b,
									float out[3]);
extern int32_t AnnoyPlainDotQuantised(int n, const int8_t *a,
									  const int16_t *b);
extern void AnnoyPlainDequantise(int n, const int16_t *in, float scale,
								 float *out);
extern void AnnoyPlainWalshHadamard(int n, float *x);
extern void AnnoyPlainPermuteSigned(int n, const uint16_t *plan,
									const float *in, float *out);
extern uint32_t AnnoyPlainRankBlock(const AnnoyRankParameters *parameters,
									const uint8_t *block, float lower[16]);

/*
 * The set for one instruction set, or NULL if it is not compiled in or this
 * processor (or its operating system) does not support it.
 */
extern const AnnoyKernels *AnnoyGetAvx2Kernels(void);
extern const AnnoyKernels *AnnoyGetAvx512Kernels(void);
extern const AnnoyKernels *AnnoyGetNeonKernels(void);

#endif							/* ANNOY_KERNEL_SETS_H */

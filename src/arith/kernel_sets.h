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

#include "arith/kernel.h"

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
extern void AnnoyPlainDotQuantisedMany(int n, int count,
									   const int8_t *vectors, size_t stride,
									   const int16_t *b, int32_t *out);
extern void AnnoyPlainSumSelectedMany(int n, int count, const uint8_t *codes,
									  size_t stride, const int16_t *b,
									  int32_t *out);
extern int32_t AnnoyPlainSumLevels(int n, int bits, const uint8_t *code,
								   const uint8_t *planes, const int16_t *b);
extern void AnnoyPlainDequantise(int n, const int16_t *in, float scale,
								 float *out);
extern void AnnoyPlainAddDequantised(int n, const int16_t *in, float scale,
									 float *sum);
extern void AnnoyPlainJoinMean(int n, const float *item, float share,
							   float *mean);
extern double AnnoyPlainSquareSum(int n, const float *x);
extern void AnnoyPlainScale(int n, const float *in, double factor, float *out);
extern void AnnoyPlainRotateBlock(int n, const AnnoyRunPlan *plan,
								  const float *in, float factor, float *out);
extern float AnnoyPlainLargestAbsolute(int n, const float *x);
extern int64_t AnnoyPlainQuantise(int n, const float *in, float inverse,
								  int16_t *out);
extern double AnnoyPlainRequantise(int n, const int16_t *quantised,
								   float scale, float *x);
extern void AnnoyPlainEncode(int n, const float *x, const int8_t *centroid,
							 float scale, uint8_t *code, float sums[3]);
extern void AnnoyPlainEncodeLevels(int n, const float *x,
								   const int8_t *centroid, float scale,
								   int bits, float inverse_step,
								   uint8_t *planes, float sums[2]);
extern float AnnoyPlainProductTerms(int n, const float *x,
									const int8_t *centroid, float scale,
									const float *centre);
extern double AnnoyPlainMeasureGroups(int n, const float *x, float *largest);
extern void AnnoyPlainFillTable(int n, const float *q, float inverse_delta,
								uint8_t *table);
extern void AnnoyPlainTransposeCodes(int entries, int rows, const uint8_t *in,
									 size_t stride, uint8_t *out);
extern uint32_t AnnoyPlainRankBlock(const AnnoyRankParameters *parameters,
									const uint8_t *block, float lower[16]);

/* First part of rotate_block, up to the transform, which then is in place. */
extern void AnnoyPlainFetchRuns(int n, const AnnoyRunPlan *plan,
								const float *in, float factor, float *out);

/*
 * The set for one instruction set, or NULL if it is not compiled in or this
 * processor (or its operating system) does not support it.
 */
extern const AnnoyKernels *AnnoyGetAvx2Kernels(void);
extern const AnnoyKernels *AnnoyGetAvx512Kernels(void);
extern const AnnoyKernels *AnnoyGetNeonKernels(void);

/*
 * Adds what makes sketches to a set.  Only where it was compiled in and is
 * supported.
 */
extern void AnnoyAddAvx2SketchKernels(AnnoyKernels *kernels);
extern void AnnoyAddAvx512SketchKernels(AnnoyKernels *kernels);

/* Registers of 128 bits are what transposing bytes takes. */
extern void AnnoyAvx2TransposeCodes(int entries, int rows, const uint8_t *in,
									size_t stride, uint8_t *out);

#endif							/* ANNOY_KERNEL_SETS_H */

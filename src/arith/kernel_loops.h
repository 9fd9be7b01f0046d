/*-------------------------------------------------------------------------
 *
 * kernel_loops.h
 *	  Kernels without any sum, which compilers vectorise by themselves.
 *
 * Every element is computed alone, so that no order has to be kept.  They are
 * inlined into functions of kernel_*.c, each compiled for its instruction set.
 * For kernel_*.c only.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ANNOY_KERNEL_LOOPS_H
#define ANNOY_KERNEL_LOOPS_H

#include <stddef.h>
#include <stdint.h>

/* Inlined always, or it would be compiled for the baseline. */
#if defined(__GNUC__)
#define ANNOY_LOOP static inline __attribute__((always_inline))
#else
#define ANNOY_LOOP static inline
#endif

ANNOY_LOOP void
AnnoyLoopDequantise(int n, const int16_t *in, float scale, float *restrict out)
{
	int			i;

	for (i = 0; i < n; i++)
		out[i] = scale * (float) in[i];
}

ANNOY_LOOP void
AnnoyLoopAddDequantised(int n, const int16_t *in, float scale,
						float *restrict sum)
{
	int			i;

	for (i = 0; i < n; i++)
		sum[i] += scale * (float) in[i];
}

ANNOY_LOOP void
AnnoyLoopJoinMean(int n, const float *item, float share, float *restrict mean)
{
	int			i;

	for (i = 0; i < n; i++)
		mean[i] += (item[i] - mean[i]) * share;
}

ANNOY_LOOP void
AnnoyLoopScale(int n, const float *in, double factor, float *restrict out)
{
	int			i;

	for (i = 0; i < n; i++)
		out[i] = (float) ((double) in[i] * factor);
}

#endif							/* ANNOY_KERNEL_LOOPS_H */

/*-------------------------------------------------------------------------
 *
 * half.h
 *	  Floating-point numbers of 16 bits (IEEE 754 binary16).
 *
 *-------------------------------------------------------------------------
 */
#ifndef ANNOY_HALF_H
#define ANNOY_HALF_H

#include <stdint.h>

/*
 * Converts count numbers, given as their bits, to floats.  Every binary16 is a
 * binary32, so the result is exact: zeroes keep their sign, subnormal numbers
 * become normal ones, and of a NaN sign and payload are kept.
 */
extern void AnnoyHalfToFloat(const uint16_t *half, float *out, int count);

#endif							/* ANNOY_HALF_H */

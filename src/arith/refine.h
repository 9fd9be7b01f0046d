/* temporary, until branch refine is merged */
#ifndef ANNOY_REFINE_H
#define ANNOY_REFINE_H
#include <float.h>
#include <math.h>
#include "arith/sketch.h"
#define ANNOY_MAX_CODE_BITS 4
static inline size_t AnnoyRefinementSize(int s, int bits) { return bits > 1 ? (bits - 1) * s / 8 + 4 : 0; }
static inline bool AnnoyHasUpperBounds(const AnnoySketcher *sk) { return sk->metric != ANNOY_METRIC_L1 && (sk->codes_are_bits || sk->metric != ANNOY_METRIC_JACCARD); }
static inline float AnnoyUpperBound(const AnnoySketcher *sk, const AnnoyQuery *q, float lower, float f1)
{
	float u;
	if (sk->codes_are_bits) return lower;
	if (q->undefined || q->unbounded || !isfinite(q->epsilon) || lower < -0.5f * FLT_MAX) return FLT_MAX;
	if (q->rank.linear) u = lower + 2.0f * f1 * q->rank.width;
	else { float r = sqrtf(lower > 0 ? lower : 0) + 2.0f * f1 * q->rank.width; u = r * r; }
	return u < FLT_MAX ? u : FLT_MAX;
}
static inline int AnnoyChooseCodeBits(int s, bool codes_are_bits) { return 1; }
#endif

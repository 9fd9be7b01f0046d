/*-------------------------------------------------------------------------
 *
 * annoyfileplane.c
 *	  Hyperplanes of the forest, taken back to the space of vectors.
 *
 * A sketch is A (t - c): t the transformed vector, c the centre, A the rotation
 * (scaled, and cut to the first s dimensions).  So <n, sketch> is <A'n, t> -
 * <A'n, c>, A' the transpose: the rotation's steps backwards, each the inverse
 * of itself up to a factor.  See rotate() in sketch.c.
 *
 *-------------------------------------------------------------------------
 */
#include <math.h>
#include <string.h>

#include "exchange/annoyfiletree.h"

/* Walsh-Hadamard transform in place; its matrix is symmetric. */
static void
transform_block(int n, float *x)
{
	int			half;
	int			i;
	int			j;

	for (half = 1; half < n; half *= 2)
		for (i = 0; i < n; i += 2 * half)
			for (j = i; j < i + half; j++)
			{
				float		a = x[j];
				float		b = x[j + half];

				x[j] = a + b;
				x[j + half] = a - b;
			}
}

/* Puts runs back to where a round took them from. */
static void
return_runs(int n, const AnnoyRunPlan *plan, const float *x, float factor,
			float *out)
{
	int			i;

	for (i = 0; i < n; i++)
	{
		const AnnoyRunPlan *run = plan + i / ANNOY_RUN;
		int			j = i % ANNOY_RUN;
		float		value = factor * x[i];

		out[run->from ^ j] = run->signs >> j & 1 ? -value : value;
	}
}

void
AnnoyMapHyperplane(const AnnoySketcher *sketcher, const AnnoyHyperplane *plane,
				   float *scratch, float *normal, double *offset)
{
	int			padded = sketcher->padded;
	int			s = sketcher->sketch_dimensions;
	float	   *from = scratch;
	float	   *to = scratch + padded;
	double		shift = 0.0;
	int			round;
	int			i;

	for (i = 0; i < padded; i++)
		from[i] = i < s ? sketcher->cut_scale * plane->scale *
			(float) plane->normal[i] : 0.0f;
	for (round = sketcher->rounds - 1; round >= 0; round--)
	{
		float	   *swap = from;
		int			start = 0;

		while (start < padded)
		{
			int			block = AnnoyRotationBlock(padded - start);

			transform_block(block, from + start);
			return_runs(block, sketcher->plan[round] + start / ANNOY_RUN,
						from + start, 1.0f / sqrtf((float) block), to);
			start += block;
		}
		from = to;
		to = swap;
	}

	memcpy(normal, from, sizeof(float) * (size_t) sketcher->dimensions);
	if (sketcher->centre != NULL)
		for (i = 0; i < sketcher->dimensions; i++)
			shift += (double) normal[i] * (double) sketcher->centre[i];
	*offset = (double) plane->offset + shift;
}

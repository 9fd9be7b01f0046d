/*-------------------------------------------------------------------------
 *
 * bit.c
 *	  Bit strings: distances, and how an index reads them.
 *
 * Names, results and errors of the distances are pgvector's.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "port/pg_bitutils.h"
#include "utils/varbit.h"

#include "annoycompat.h"
#include "definition/opclass.h"

/* pgvector's limit, too. */
#define MAX_BITS 64000

/* Runs of a sketcher's plan are named by 16 bits. */
StaticAssertDecl(MAX_BITS <= PG_UINT16_MAX, "bits can be numbered by 16 bits");

PG_FUNCTION_INFO_V1(annoy_hamming_distance);
PG_FUNCTION_INFO_V1(annoy_jaccard_distance);

/* ---------------------------------------------------------------------
 * Distances
 * ---------------------------------------------------------------------
 */

static void
check_same_length(const VarBit *a, const VarBit *b)
{
	if (unlikely(VARBITLEN(a) != VARBITLEN(b)))
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("different bit lengths %d and %d",
						VARBITLEN(a), VARBITLEN(b))));
}

/*
 * Eight bytes from "offset" on, those behind the end as zeros.  Bits behind the
 * end of a bit string within its last byte are zero always.
 */
static inline uint64
get_word(const VarBit *bits, Size offset)
{
	Size		rest = VARBITBYTES(bits) - offset;
	uint64		word = 0;

	memcpy(&word, VARBITS(bits) + offset, Min(rest, sizeof(word)));
	return word;
}

/*
 * hamming_distance(bit, bit), <~>: number of bits that differ.
 */
Datum
annoy_hamming_distance(PG_FUNCTION_ARGS)
{
	VarBit	   *a = PG_GETARG_VARBIT_P(0);
	VarBit	   *b = PG_GETARG_VARBIT_P(1);
	uint64		different = 0;

	check_same_length(a, b);
	for (Size i = 0; i < VARBITBYTES(a); i += sizeof(uint64))
		different += pg_popcount64(get_word(a, i) ^ get_word(b, i));
	PG_RETURN_FLOAT8((double) different);
}

/*
 * jaccard_distance(bit, bit), <%>: the part of the bits set in either that is
 * not set in both; 1 if none is set in both, even if none is set at all.
 */
Datum
annoy_jaccard_distance(PG_FUNCTION_ARGS)
{
	VarBit	   *a = PG_GETARG_VARBIT_P(0);
	VarBit	   *b = PG_GETARG_VARBIT_P(1);
	uint64		both = 0;
	uint64		either = 0;

	check_same_length(a, b);
	for (Size i = 0; i < VARBITBYTES(a); i += sizeof(uint64))
	{
		uint64		x = get_word(a, i);
		uint64		y = get_word(b, i);

		both += pg_popcount64(x & y);
		either += pg_popcount64(x | y);
	}
	if (both == 0)
		PG_RETURN_FLOAT8(1.0);
	PG_RETURN_FLOAT8(1.0 - (double) both / (double) either);
}

/* ---------------------------------------------------------------------
 * What the index reads
 * ---------------------------------------------------------------------
 */

/* Checks what the heap gave us before anything relies on it. */
static int
bit_dimensions(const void *value)
{
	const VarBit *bits = value;

	if (VARSIZE(bits) < VARHDRSZ + VARBITHDRSZ || VARBITLEN(bits) < 0 ||
		VARSIZE(bits) != VARBITTOTALLEN((int64) VARBITLEN(bits)))
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("malformed bit value of %zu bytes",
						(Size) VARSIZE(bits))));

	return VARBITLEN(bits);
}

/* 0 and 1; bit strings begin at the most significant bit of a byte. */
static const float *
bit_floats(const void *value, float *scratch)
{
	const VarBit *bits = value;
	const uint8 *bytes = VARBITS(bits);
	int			length = VARBITLEN(bits);
	int			i = 0;

	for (; i + BITS_PER_BYTE <= length; i += BITS_PER_BYTE)
	{
		int			byte = bytes[i / BITS_PER_BYTE];

		for (int j = 0; j < BITS_PER_BYTE; j++)
			scratch[i + j] = byte >> (BITS_PER_BYTE - 1 - j) & 1;
	}
	for (; i < length; i++)
		scratch[i] = bytes[i / BITS_PER_BYTE] >>
			(BITS_PER_BYTE - 1 - i % BITS_PER_BYTE) & 1;
	return scratch;
}

static const AnnoyElementType bit_element = {
	.kind = ANNOY_ELEMENT_BIT,
	.max_dimensions = MAX_BITS,
	.element_bits = 1,
	.dimensions = bit_dimensions,
	.floats = bit_floats
};

ANNOY_INFO_FUNCTION(annoy_bit_hamming_support, ANNOY_METRIC_HAMMING, bit_element);
ANNOY_INFO_FUNCTION(annoy_bit_jaccard_support, ANNOY_METRIC_JACCARD, bit_element);

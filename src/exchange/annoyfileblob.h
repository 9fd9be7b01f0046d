/*-------------------------------------------------------------------------
 *
 * annoyfileblob.h
 *	  Headers of portable and canonical blobs.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ANNOY_ANNOYFILEBLOB_H
#define ANNOY_ANNOYFILEBLOB_H

#include "exchange/annoyfile.h"

/* Length of the headers. */
#define ANNOY_PORTABLE_HEADER 28
#define ANNOY_CANONICAL_HEADER_1 56
#define ANNOY_CANONICAL_HEADER_2 64

/* For AnnoyOpenFile: a format by its first bytes. */
#define ANNOY_FILE_MAGIC_SIZE 8
extern AnnoyFileFormat AnnoyRecogniseFile(const char *magic);
extern bool AnnoyOpenPortable(AnnoyFile *file, AnnoyFileMetric metric,
							  int dimensions, AnnoyFileError *error);
extern bool AnnoyOpenCanonical(AnnoyFile *file, AnnoyFileMetric metric,
							   int dimensions, AnnoyFileError *error);

/* Floats of blobs are little-endian wherever they are made. */
extern void AnnoyDecodeLittleFloats(const char *bytes, int count, float *out);
extern void AnnoyEncodeLittleFloats(const float *in, int count, char *bytes);

/* Where the nodes or rows of a file begin. */
extern uint64_t AnnoyFileStart(const AnnoyFileWriter *writer);

/* The header and, for portable blobs, the roots. */
extern bool AnnoyWriteFileHeader(AnnoyFileWriter *writer, const int32_t *roots,
								 AnnoyFileError *error);

#endif							/* ANNOY_ANNOYFILEBLOB_H */

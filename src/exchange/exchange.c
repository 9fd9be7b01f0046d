/*-------------------------------------------------------------------------
 *
 * exchange.c
 *	  What reading and writing of Annoy data share: names and errors.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/builtins.h"

#include "annoycompat.h"
#include "exchange/exchange.h"

/* metric.c: knows all the names that metrics have */
extern PGDLLEXPORT Datum annoy_metric(PG_FUNCTION_ARGS);

/* By their numbers. */
static const char *const metric_names[] = {
	[ANNOY_FILE_ANGULAR] = "angular",
	[ANNOY_FILE_EUCLIDEAN] = "euclidean",
	[ANNOY_FILE_MANHATTAN] = "manhattan",
	[ANNOY_FILE_DOT] = "dot",
	[ANNOY_FILE_HAMMING] = "hamming"
};

AnnoyFileMetric
AnnoyParseFileMetric(const char *name)
{
	char	   *canonical =
		TextDatumGetCString(DirectFunctionCall1(annoy_metric,
												CStringGetTextDatum(name)));

	for (int i = ANNOY_FILE_ANGULAR; i < lengthof(metric_names); i++)
		if (strcmp(canonical, metric_names[i]) == 0)
			return (AnnoyFileMetric) i;
	elog(ERROR, "metric \"%s\" has no file format", canonical);
	pg_unreachable();
}

AnnoyFileMetric
AnnoyGetFileMetric(Relation index)
{
	switch (AnnoyGetOpclassInfo(index)->metric)
	{
		case ANNOY_METRIC_COSINE:
			return ANNOY_FILE_ANGULAR;
		case ANNOY_METRIC_L2:
			return ANNOY_FILE_EUCLIDEAN;
		case ANNOY_METRIC_L1:
			return ANNOY_FILE_MANHATTAN;
		case ANNOY_METRIC_INNER_PRODUCT:
			return ANNOY_FILE_DOT;
		case ANNOY_METRIC_HAMMING:
			return ANNOY_FILE_HAMMING;
		case ANNOY_METRIC_JACCARD:
			break;
	}
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("cannot write index \"%s\" in a format of Annoy",
					RelationGetRelationName(index)),
			 errdetail("Annoy does not have its metric.")));
	pg_unreachable();
}

AnnoyFileFormat
AnnoyParseFileFormat(const char *name)
{
	if (pg_strcasecmp(name, "native") == 0)
		return ANNOY_FILE_NATIVE;
	if (pg_strcasecmp(name, "portable") == 0)
		return ANNOY_FILE_PORTABLE;
	if (pg_strcasecmp(name, "canonical") == 0)
		return ANNOY_FILE_CANONICAL;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("unknown format \"%s\"", name),
			 errhint("Formats are \"native\", \"portable\" and \"canonical\".")));
	pg_unreachable();
}

static int
error_code(AnnoyFileErrorKind kind)
{
	switch (kind)
	{
		case ANNOY_FILE_DAMAGED:
			return ERRCODE_INVALID_BINARY_REPRESENTATION;
		case ANNOY_FILE_MISMATCH:
		case ANNOY_FILE_AMBIGUOUS:
			return ERRCODE_INVALID_PARAMETER_VALUE;
		case ANNOY_FILE_LIMIT:
			return ERRCODE_PROGRAM_LIMIT_EXCEEDED;
		case ANNOY_FILE_IO:
			break;
	}
	return ERRCODE_IO_ERROR;
}

void
AnnoyReportFileError(const AnnoyFileError *error, const char *what)
{
	ereport(ERROR,
			(errcode(error_code(error->kind)),
			 errmsg("%s", what),
			 errdetail_internal("%c%s.", pg_toupper((unsigned char) error->message[0]),
								error->message + 1),
			 error->kind == ANNOY_FILE_AMBIGUOUS ?
			 errhint("Give the number of dimensions as the third argument.") : 0));
	pg_unreachable();
}

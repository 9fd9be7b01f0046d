/*-------------------------------------------------------------------------
 *
 * metric.c
 *	  Names of metrics, as users of the Annoy library know them.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/builtins.h"

#include "annoycompat.h"

PG_FUNCTION_INFO_V1(annoy_metric);

/* Every name that a metric has; the canonical one is among them. */
typedef struct MetricName
{
	const char *name;
	const char *canonical;
} MetricName;

static const MetricName metric_names[] = {
	{"angular", "angular"},
	{"cosine", "angular"},
	{"euclidean", "euclidean"},
	{"l2", "euclidean"},
	{"lstsq", "euclidean"},
	{"manhattan", "manhattan"},
	{"l1", "manhattan"},
	{"cityblock", "manhattan"},
	{"taxicab", "manhattan"},
	{"dot", "dot"},
	{"@", "dot"},
	{".", "dot"},
	{"dotproduct", "dot"},
	{"inner", "dot"},
	{"innerproduct", "dot"},
	{"hamming", "hamming"},
};

/*
 * annoy_metric(text) returns text: the canonical name of a metric, whichever
 * of its names is given, in upper or lower case.
 */
Datum
annoy_metric(PG_FUNCTION_ARGS)
{
	char	   *name = text_to_cstring(PG_GETARG_TEXT_PP(0));

	for (int i = 0; i < lengthof(metric_names); i++)
		if (pg_strcasecmp(name, metric_names[i].name) == 0)
			PG_RETURN_TEXT_P(cstring_to_text(metric_names[i].canonical));
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("unknown metric \"%s\"", name),
			 errhint("Metrics are \"angular\", \"euclidean\", \"manhattan\", \"dot\" and \"hamming\".")));
	PG_RETURN_NULL();
}

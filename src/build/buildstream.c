/*-------------------------------------------------------------------------
 *
 * buildstream.c
 *	  Streams of all rows that a process has loaded.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"

#include "build/buildstream.h"

void
AnnoyBeginStream(AnnoyItemStream *stream, AnnoyBuild *build)
{
	stream->build = build;
	stream->rows = NULL;
	if (build->rows)
	{
		stream->rows = AnnoyReadSpool(build->rows);
		AnnoySeekPartition(stream->rows, 0);
	}
}

bool
AnnoyNextStreamItem(AnnoyItemStream *stream, AnnoyBuildItem *item)
{
	AnnoyRowRecord *record;

	CHECK_FOR_INTERRUPTS();
	if (stream->rows == NULL)
		return false;
	record = AnnoyNextRecord(stream->rows, &item->stays);
	if (record == NULL)
		return false;
	item->tid = record->tid;
	item->value = (struct varlena *) record->value;
	return true;
}

void
AnnoyEndStream(AnnoyItemStream *stream)
{
	if (stream->rows)
		AnnoyEndSpoolReader(stream->rows);
}

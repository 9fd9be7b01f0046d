/*-------------------------------------------------------------------------
 *
 * damage.c
 *	  Errors about damaged indexes.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "storage/bufmgr.h"
#include "utils/rel.h"

#include "annoycompat.h"
#include "page/damage.h"

/* AnnoyCheckSteps looks at the relation's length after so many steps. */
#define STEPS_BETWEEN_CHECKS 1024

void
AnnoyReportCorruption(Relation index, BlockNumber block, const char *what)
{
	ereport(ERROR,
			(errcode(ERRCODE_INDEX_CORRUPTED),
			 errmsg("index \"%s\" is damaged at block %u: %s",
					RelationGetRelationName(index), block, what),
			 errhint("Please REINDEX it.")));
}

void
AnnoyCheckSteps(Relation index, BlockNumber block, uint64 steps)
{
	/* asking for the length is not free either */
	if (steps % STEPS_BETWEEN_CHECKS == 0 && steps > 0 &&
		steps > RelationGetNumberOfBlocks(index))
		AnnoyReportCorruption(index, block, "links form a cycle");
}

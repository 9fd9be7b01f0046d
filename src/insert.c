/*-------------------------------------------------------------------------
 *
 * insert.c
 *	  Inserting rows into an existing index.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "annoy.h"

/* Inserts come with a later version; until then say so before harm is done. */
bool
annoyinsert(Relation index, Datum *values, bool *isnull, ItemPointer heap_tid,
			Relation heap, IndexUniqueCheck check_unique, bool index_unchanged,
			struct IndexInfo *index_info)
{
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("inserting into annoy index \"%s\" is not supported yet",
					RelationGetRelationName(index)),
			 errhint("Drop the index, change the table, and create the index again.")));
	return false;
}

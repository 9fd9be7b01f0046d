/*-------------------------------------------------------------------------
 *
 * vacuum.c
 *	  VACUUM of an index: vacuumpages.c does it, and renew.c may follow.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "am/renew.h"
#include "am/vacuumpages.h"
#include "annoy.h"

/* A VACUUM; callback NULL: count only. */
static void
vacuum_index(IndexVacuumInfo *info, IndexBulkDeleteResult *stats,
			 IndexBulkDeleteCallback callback, void *callback_state)
{
	if (AnnoyVacuumPages(info, stats, callback, callback_state) == 0)
		AnnoyRenewVacuumedIndex(info->index);
}

IndexBulkDeleteResult *
annoybulkdelete(IndexVacuumInfo *info, IndexBulkDeleteResult *stats,
				IndexBulkDeleteCallback callback, void *callback_state)
{
	if (stats == NULL)
		stats = palloc0(sizeof(IndexBulkDeleteResult));
	vacuum_index(info, stats, callback, callback_state);
	return stats;
}

IndexBulkDeleteResult *
annoyvacuumcleanup(IndexVacuumInfo *info, IndexBulkDeleteResult *stats)
{
	/* after a bulk deletion everything is known */
	if (info->analyze_only || stats != NULL)
		return stats;
	stats = palloc0(sizeof(IndexBulkDeleteResult));
	vacuum_index(info, stats, NULL, NULL);
	return stats;
}

/*-------------------------------------------------------------------------
 *
 * annoy.c
 *	  Loading of the library.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "am/collect.h"
#include "annoy.h"
#include "annoycompat.h"
#include "arith/kernel.h"
#include "definition/options.h"
#include "table/owner.h"

ANNOY_MODULE_MAGIC("annoy", ANNOY_VERSION);

extern PGDLLEXPORT void _PG_init(void);

/*
 * Runs once in every process that loads the library, or in the postmaster if
 * it is preloaded.
 */
void
_PG_init(void)
{
	AnnoyInitOptions();
	AnnoyInitPlanner();
	AnnoyInitExecutor();
	AnnoyInitReoption();
	AnnoyInitOwner();
	(void) AnnoyChooseKernels(NULL);
}

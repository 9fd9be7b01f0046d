/*-------------------------------------------------------------------------
 *
 * reoption.c
 *	  ALTER INDEX ... SET of an option that the next build obeys.
 *
 * n_trees, seed and code_bits shape an index when it is built.  Who changes them
 * later is told so by a NOTICE.  An access method is not called when options are set,
 * but to parse them, without the index (annoyoptions); shortly afterwards, in
 * the same command, the server tells object_access_hook which relation it was
 * (ATExecSetRelOptions in tablecmds.c).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/xact.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_class.h"
#include "storage/bufmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "annoy.h"
#include "annoycompat.h"
#include "page/meta.h"

static object_access_hook_type next_access_hook = NULL;

/* code_bits: 0 if there are none yet */
static char *
describe_forest(int n_trees, uint64 seed, int code_bits)
{
	char	   *text = psprintf("n_trees = %d, seed = " UINT64_FORMAT, n_trees,
								seed);

	return code_bits == 0 ? text :
		psprintf("%s, code_bits = %d", text, code_bits);
}

static void
report_options(Relation index, AnnoyBuildOptions options)
{
	AnnoyMetaPageData meta;
	const char *name = RelationGetRelationName(index);

	AnnoyReadMeta(index, &meta);
	if (AnnoyBuildWouldDiffer(index, &meta, &options))
		ereport(NOTICE,
				(errmsg("index \"%s\" keeps its forest until it is built anew",
						name),
				 errdetail("It has %s; with these options it would have %s.",
						   describe_forest(meta.n_trees, meta.seed,
										   meta.code_bits),
						   describe_forest(options.n_trees, options.seed,
										   options.code_bits)),
				 errhint("Run REINDEX INDEX CONCURRENTLY %s.",
						 quote_identifier(name))));
}

/* object_access_hook */
static void
see_alter(ObjectAccessType access, Oid class, Oid object, int part,
		  void *argument)
{
	Relation	index;
	AnnoyBuildOptions options;

	if (next_access_hook)
		next_access_hook(access, class, object, part, argument);
	if (access != OAT_POST_ALTER || class != RelationRelationId || part != 0 ||
		!AnnoyGetParsedOptions(&options) ||
		get_rel_relkind(object) != RELKIND_INDEX)
		return;
	index = relation_open(object, NoLock);
	if (index->rd_indam->ambuild == annoybuild &&
		!RELATION_IS_OTHER_TEMP(index) && index->rd_index->indisvalid &&
		RelationGetNumberOfBlocks(index) > 0)
		report_options(index, options);
	relation_close(index, NoLock);
	AnnoyForgetParsedOptions();
}

void
AnnoyInitReoption(void)
{
	next_access_hook = object_access_hook;
	object_access_hook = see_alter;
}

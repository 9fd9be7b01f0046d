/*-------------------------------------------------------------------------
 *
 * handler.c
 *	  What the access method tells the server about itself.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/amapi.h"
#include "catalog/index.h"
#include "commands/progress.h"
#include "commands/vacuum.h"
#include "utils/lsyscache.h"

#include "annoy.h"
#include "annoycompat.h"
#include "definition/opclass.h"

PG_FUNCTION_INFO_V1(annoy_handler);

static const IndexAmRoutine routine = {
	.type = T_IndexAmRoutine,
	.amstrategies = ANNOY_STRATEGY_COUNT,
	.amsupport = ANNOY_PROC_COUNT,
	.amoptsprocnum = 0,
	.amcanorder = false,
	.amcanorderbyop = true,
	.amcanbackward = false,
	.amcanunique = false,
	.amcanmulticol = false,

	/*
	 * Scans come with an ordering operator and no condition.  So all rows are
	 * in the index, those with a NULL too.
	 */
	.amoptionalkey = true,
	.amsearcharray = false,
	.amsearchnulls = false,
	.amstorage = false,
	.amclusterable = false,
	.ampredlocks = false,
	.amcanparallel = false,
	.amcaninclude = false,
	.amusemaintenanceworkmem = false,
	.amparallelvacuumoptions = (VACUUM_OPTION_PARALLEL_BULKDEL |
								VACUUM_OPTION_PARALLEL_COND_CLEANUP),
	.amkeytype = InvalidOid,

	.ambuild = annoybuild,
	.ambuildempty = annoybuildempty,
	.aminsert = annoyinsert,
	.ambulkdelete = annoybulkdelete,
	.amvacuumcleanup = annoyvacuumcleanup,
	.amcanreturn = NULL,
	.amcostestimate = annoycostestimate,
	.amoptions = annoyoptions,
	.amproperty = annoyproperty,
	.ambuildphasename = annoybuildphasename,
	.amvalidate = annoyvalidate,
	.amadjustmembers = annoyadjustmembers,
	.ambeginscan = annoybeginscan,
	.amrescan = annoyrescan,
	.amgettuple = annoygettuple,
	.amgetbitmap = NULL,
	.amendscan = annoyendscan,
	.ammarkpos = NULL,
	.amrestrpos = NULL,
	.amestimateparallelscan = NULL,
	.aminitparallelscan = NULL,
	.amparallelrescan = NULL,

	ANNOY_NEWER_ROUTINE_FIELDS
};

/* SQL: annoy_handler(internal) returns index_am_handler */
Datum
annoy_handler(PG_FUNCTION_ARGS)
{
	PG_RETURN_POINTER(AnnoyCopyRoutine(&routine));
}

/*
 * amproperty: a column is distance orderable, which the server cannot derive
 * itself, if its operator family has an ordering operator on its input type.
 */
bool
annoyproperty(Oid index, int attno, IndexAMProperty property,
			  const char *name, bool *result, bool *isnull)
{
	Oid			opclass;
	Oid			opfamily;
	Oid			input_type;

	/* only columns: the server answers for the method and for the index */
	if (attno == 0 || property != AMPROP_DISTANCE_ORDERABLE)
		return false;

	opclass = get_index_column_opclass(index, attno);
	if (!OidIsValid(opclass) ||
		!get_opclass_opfamily_and_input_type(opclass, &opfamily, &input_type))
	{
		*isnull = true;
		return true;
	}

	*result = OidIsValid(get_opfamily_member(opfamily, input_type, input_type,
											 ANNOY_DISTANCE_STRATEGY));
	return true;
}

/* ambuildphasename: names in pg_stat_progress_create_index */
char *
annoybuildphasename(int64 phase)
{
	switch (phase)
	{
		case PROGRESS_CREATEIDX_SUBPHASE_INITIALIZE:
			return "initializing";
		case ANNOY_PHASE_LOAD:
			return "loading rows";
		case ANNOY_PHASE_SPLIT:
			return "splitting cells";
		case ANNOY_PHASE_ASSIGN:
			return "assigning items to leaves";
		case ANNOY_PHASE_WRITE:
			return "writing leaves";
		case ANNOY_PHASE_CALIBRATE:
			return "calibrating search_k";
		default:
			return NULL;
	}
}

/*-------------------------------------------------------------------------
 *
 * annoy.h
 *	  Callbacks of the access method, grouped by the file that defines them.
 *
 * Only handler.c needs to see all of them; the files themselves include this
 * header for the prototypes of what they define.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ANNOY_H
#define ANNOY_H

#include "access/amapi.h"
#include "access/genam.h"
#include "access/sdir.h"
#include "access/skey.h"
#include "nodes/execnodes.h"
#include "nodes/pathnodes.h"
#include "utils/rel.h"

/* default_version in annoy.control */
#define ANNOY_VERSION "1.0"

/*
 * Phases of a build in pg_stat_progress_create_index.  1 is the server's
 * PROGRESS_CREATEIDX_SUBPHASE_INITIALIZE; the names are in handler.c.
 */
#define ANNOY_PHASE_LOAD 2
#define ANNOY_PHASE_SPLIT 3
#define ANNOY_PHASE_ASSIGN 4
#define ANNOY_PHASE_WRITE 5
#define ANNOY_PHASE_CALIBRATE 6

/* build.c */
extern IndexBuildResult *annoybuild(Relation heap, Relation index,
									struct IndexInfo *index_info);
extern void annoybuildempty(Relation index);

/* insert.c */
extern bool annoyinsert(Relation index, Datum *values, bool *isnull,
						ItemPointer heap_tid, Relation heap,
						IndexUniqueCheck check_unique, bool index_unchanged,
						struct IndexInfo *index_info);

/* scan.c */
extern IndexScanDesc annoybeginscan(Relation index, int nkeys, int norderbys);
extern void annoyrescan(IndexScanDesc scan, ScanKey keys, int nkeys,
						ScanKey orderbys, int norderbys);
extern bool annoygettuple(IndexScanDesc scan, ScanDirection direction);
extern void annoyendscan(IndexScanDesc scan);

/* vacuum.c */
extern IndexBulkDeleteResult *annoybulkdelete(IndexVacuumInfo *info,
											  IndexBulkDeleteResult *stats,
											  IndexBulkDeleteCallback callback,
											  void *callback_state);
extern IndexBulkDeleteResult *annoyvacuumcleanup(IndexVacuumInfo *info,
												 IndexBulkDeleteResult *stats);

/* cost.c */
extern void annoycostestimate(struct PlannerInfo *root, struct IndexPath *path,
							  double loop_count, Cost *startup_cost,
							  Cost *total_cost, Selectivity *selectivity,
							  double *correlation, double *pages);

/* plan.c */
extern void AnnoyInitPlanner(void);

/* Tells that the query being planned may use an index of ours. */
extern void AnnoyNoteIndexPath(const struct IndexPath *path);

/* options.c */
extern bytea *annoyoptions(Datum reloptions, bool validate);

/* reoption.c */
extern void AnnoyInitReoption(void);

/* validate.c */
extern bool annoyvalidate(Oid opclass);
extern void annoyadjustmembers(Oid opfamily, Oid opclass, List *operators,
							   List *functions);

/* handler.c */
extern bool annoyproperty(Oid index, int attno, IndexAMProperty property,
						  const char *name, bool *result, bool *isnull);
extern char *annoybuildphasename(int64 phase);

#endif							/* ANNOY_H */

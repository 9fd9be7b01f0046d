/*-------------------------------------------------------------------------
 *
 * indexaccess.c
 *	  Opening an index that a user has named, with what a query would check.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "access/sysattr.h"
#include "access/table.h"
#include "access/transam.h"
#include "access/xlog.h"
#include "catalog/index.h"
#include "catalog/pg_class_d.h"
#include "catalog/pg_index.h"
#include "miscadmin.h"
#include "nodes/bitmapset.h"
#include "nodes/nodes.h"
#include "optimizer/optimizer.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/rls.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "annoy.h"
#include "annoycompat.h"
#include "indexaccess.h"

Relation
AnnoyOpenIndex(Oid oid)
{
	Relation	index = try_relation_open(oid, AccessShareLock);

	if (index == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("index with OID %u does not exist", oid)));
	if (index->rd_rel->relkind == RELKIND_PARTITIONED_INDEX)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is a partitioned index",
						RelationGetRelationName(index)),
				 errhint("Name the index of a partition.")));
	if (index->rd_rel->relkind != RELKIND_INDEX ||
		index->rd_indam->ambuild != annoybuild)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is not an annoy index",
						RelationGetRelationName(index))));
	if (RELATION_IS_OTHER_TEMP(index))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot access temporary indexes of other sessions")));
	if (!index->rd_index->indisvalid)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("index \"%s\" is not valid",
						RelationGetRelationName(index))));
	return index;
}

void
AnnoyCheckRecovery(Relation index)
{
	if (index->rd_rel->relpersistence == RELPERSISTENCE_UNLOGGED &&
		RecoveryInProgress())
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot access unlogged index \"%s\" during recovery",
						RelationGetRelationName(index))));
}

/*
 * Adds the columns of the index's expressions or condition, a column of
 * pg_index, as they were written: the relation cache has them simplified, with
 * SQL functions expanded, where a query would name the function's arguments.
 */
static void
add_columns(Relation index, AttrNumber source, Bitmapset **attributes)
{
	bool		isnull;
	Datum		tree = SysCacheGetAttr(INDEXRELID, index->rd_indextuple, source,
									   &isnull);

	if (!isnull)
		pull_varattnos(stringToNode(TextDatumGetCString(tree)), 1, attributes);
}

/* May the user read all columns that the index is made of? */
static bool
can_select_columns(Relation heap, Relation index)
{
	Bitmapset  *attributes = NULL;
	int			attribute = index->rd_index->indkey.values[0];
	int			member = -1;

	/* numbered as by pull_varattnos */
	if (attribute != InvalidAttrNumber)
		attributes = bms_make_singleton(attribute -
										FirstLowInvalidHeapAttributeNumber);
	add_columns(index, Anum_pg_index_indexprs, &attributes);
	add_columns(index, Anum_pg_index_indpred, &attributes);

	while ((member = bms_next_member(attributes, member)) >= 0)
	{
		attribute = member + FirstLowInvalidHeapAttributeNumber;

		/* the whole row */
		if (attribute == InvalidAttrNumber)
		{
			if (pg_attribute_aclcheck_all(RelationGetRelid(heap), GetUserId(),
										  ACL_SELECT, ACLMASK_ALL) != ACLCHECK_OK)
				return false;
		}
		else if (pg_attribute_aclcheck(RelationGetRelid(heap), attribute,
									   GetUserId(), ACL_SELECT) != ACLCHECK_OK)
			return false;
	}

	/* without columns the table's own privilege is what a query needs */
	return attributes != NULL;
}

static void
check_privileges(Relation heap, Relation index)
{
	if (pg_class_aclcheck(RelationGetRelid(heap), GetUserId(),
						  ACL_SELECT) != ACLCHECK_OK &&
		!can_select_columns(heap, index))
		aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_TABLE,
					   RelationGetRelationName(heap));

	/* with row_security = off this is an error already */
	if (check_enable_rls(RelationGetRelid(heap), InvalidOid,
						 false) == RLS_ENABLED)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot read table \"%s\" with row-level security through index \"%s\"",
						RelationGetRelationName(heap),
						RelationGetRelationName(index)),
				 errhint("Use SELECT ... ORDER BY with the index's operator, which applies the policies.")));
}

void
AnnoyOpenIndexAndTable(Oid oid, Relation *index, Relation *heap)
{
	Oid			heap_oid = IndexGetRelation(oid, true);

	/* what is no index is reported when it is opened as one */
	*heap = OidIsValid(heap_oid) ? try_table_open(heap_oid, AccessShareLock) : NULL;
	*index = AnnoyOpenIndex(oid);
	if (*heap == NULL || (*index)->rd_index->indrelid != heap_oid)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("could not open the table of index \"%s\"",
						RelationGetRelationName(*index))));
	check_privileges(*heap, *index);
	AnnoyCheckRecovery(*index);

	/* as the planner has it (get_relation_info in optimizer/util/plancat.c) */
	if ((*index)->rd_index->indcheckxmin &&
		!TransactionIdPrecedes(HeapTupleHeaderGetXmin((*index)->rd_indextuple->t_data),
							   TransactionXmin))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("index \"%s\" cannot be used by this transaction",
						RelationGetRelationName(*index)),
				 errdetail("The index was made after this transaction had begun, from rows that were updated before.")));
}

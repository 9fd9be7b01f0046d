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
#include "catalog/pg_namespace.h"
#include "catalog/pg_proc.h"
#include "miscadmin.h"
#include "nodes/bitmapset.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "utils/acl.h"
#include "utils/lsyscache.h"
#include "utils/rls.h"
#include "utils/snapmgr.h"

#include "annoy.h"
#include "annoycompat.h"
#include "definition/opclass.h"
#include "table/indexaccess.h"
#include "table/owner.h"

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
		index->rd_indam->amoptions != annoyoptions)
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
	pull_varattnos(AnnoyReadIndexTree(index, Anum_pg_index_indexprs), 1,
				   &attributes);
	pull_varattnos(AnnoyReadIndexTree(index, Anum_pg_index_indpred), 1,
				   &attributes);

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

/* check_functions_in_node: as the executor has it (ExecInitFunc). */
static bool
check_function_privilege(Oid function, void *context)
{
	AclResult	result = object_aclcheck(ProcedureRelationId, function,
										 GetUserId(), ACL_EXECUTE);

	if (result != ACLCHECK_OK)
		aclcheck_error(result, OBJECT_FUNCTION, get_func_name(function));
	return false;
}

/* expression_tree_walker */
static bool
check_function_privileges(Node *node, void *context)
{
	if (node == NULL)
		return false;
	(void) check_functions_in_node(node, check_function_privilege, context);
	return expression_tree_walker(node, check_function_privileges, context);
}

static void
check_privileges(Relation heap, Relation index)
{
	Oid			schema = RelationGetNamespace(heap);
	Node	   *tree;
	AclResult	result = object_aclcheck(NamespaceRelationId, schema,
										 GetUserId(), ACL_USAGE);

	if (result != ACLCHECK_OK)
		aclcheck_error(result, OBJECT_SCHEMA, get_namespace_name(schema));
	if (pg_class_aclcheck(RelationGetRelid(heap), GetUserId(),
						  ACL_SELECT) != ACLCHECK_OK &&
		!can_select_columns(heap, index))
		aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_TABLE,
					   RelationGetRelationName(heap));
	(void) check_function_privilege(index_getprocid(index, 1,
													ANNOY_DISTANCE_PROC), NULL);
	tree = AnnoyReadIndexTree(index, Anum_pg_index_indexprs);
	(void) check_function_privileges(tree, NULL);
	tree = AnnoyReadIndexTree(index, Anum_pg_index_indpred);
	(void) check_function_privileges(tree, NULL);

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

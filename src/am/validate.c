/*-------------------------------------------------------------------------
 *
 * validate.c
 *	  Checks of operator classes and families.
 *
 * An operator class for type T has exactly
 *
 *	operator 1, (T, T), FOR ORDER BY a btree family that sorts its result,
 *		which is float8;
 *	function 1, (T, T) returns float8, the function of operator 1: rows are
 *		handed out with its results, so it must be the same one bit for bit;
 *	function 2, (internal) returns internal: see opclass.h.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/amvalidate.h"
#include "access/htup_details.h"
#include "catalog/pg_amop.h"
#include "catalog/pg_amproc.h"
#include "catalog/pg_opclass.h"
#include "catalog/pg_opfamily.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/catcache.h"
#include "utils/lsyscache.h"
#include "utils/regproc.h"
#include "utils/syscache.h"

#include "annoy.h"
#include "annoycompat.h"
#include "definition/opclass.h"

/* An operator class and the family around it. */
typedef struct Validation
{
	char	   *opclass_name;
	char	   *opfamily_name;
	Oid			opfamily;
	Oid			type;			/* input type of the operator class */
	CatCList   *operators;		/* pg_amop entries of the family */
	CatCList   *functions;		/* pg_amproc entries of the family */
	bool		valid;
} Validation;

/* Reports a fault and goes on, so that one run shows all of them. */
#define report_fault(validation, ...) \
	do { \
		ereport(INFO, \
				(errcode(ERRCODE_INVALID_OBJECT_DEFINITION), \
				 errmsg(__VA_ARGS__))); \
		(validation)->valid = false; \
	} while (0)

/* One support function: known number, right signature. */
static void
check_function(Validation *validation, Form_pg_amproc entry)
{
	bool		good;

	/* a class's functions take the class's own type on both sides */
	if (entry->amproclefttype != entry->amprocrighttype)
		report_fault(validation,
					 "operator family \"%s\" of access method %s contains support function %s with different left and right input types",
					 validation->opfamily_name, "annoy",
					 format_procedure(entry->amproc));

	switch (entry->amprocnum)
	{
		case ANNOY_DISTANCE_PROC:
			good = check_amproc_signature(entry->amproc, FLOAT8OID, true,
										  2, 2, entry->amproclefttype,
										  entry->amprocrighttype);
			break;
		case ANNOY_INFO_PROC:
			good = check_amproc_signature(entry->amproc, INTERNALOID, true,
										  1, 1, INTERNALOID);
			break;
		default:
			report_fault(validation,
						 "operator family \"%s\" of access method %s contains function %s with invalid support number %d",
						 validation->opfamily_name, "annoy",
						 format_procedure(entry->amproc), entry->amprocnum);
			return;
	}

	if (!good)
		report_fault(validation,
					 "operator family \"%s\" of access method %s contains function %s with wrong signature for support number %d",
					 validation->opfamily_name, "annoy",
					 format_procedure(entry->amproc), entry->amprocnum);
}

/* One operator: known strategy, used for ordering, right signature. */
static void
check_operator(Validation *validation, Form_pg_amop entry)
{
	Oid			distance;

	if (entry->amopstrategy != ANNOY_DISTANCE_STRATEGY)
	{
		report_fault(validation,
					 "operator family \"%s\" of access method %s contains operator %s with invalid strategy number %d",
					 validation->opfamily_name, "annoy",
					 format_operator(entry->amopopr), entry->amopstrategy);
		return;
	}

	if (entry->amoppurpose != AMOP_ORDER)
		report_fault(validation,
					 "operator family \"%s\" of access method %s contains operator %s that is not FOR ORDER BY",
					 validation->opfamily_name, "annoy",
					 format_operator(entry->amopopr));
	else if (!opfamily_can_sort_type(entry->amopsortfamily,
									 get_op_rettype(entry->amopopr)))
		report_fault(validation,
					 "operator family \"%s\" of access method %s contains incorrect ORDER BY opfamily specification for operator %s",
					 validation->opfamily_name, "annoy",
					 format_operator(entry->amopopr));

	if (!check_amop_signature(entry->amopopr, FLOAT8OID,
							  entry->amoplefttype, entry->amoprighttype))
	{
		report_fault(validation,
					 "operator family \"%s\" of access method %s contains operator %s with wrong signature",
					 validation->opfamily_name, "annoy",
					 format_operator(entry->amopopr));
		return;
	}

	/* that the function is missing is reported for the group */
	distance = get_opfamily_proc(validation->opfamily, entry->amoplefttype,
								 entry->amoprighttype, ANNOY_DISTANCE_PROC);
	if (OidIsValid(distance) && distance != get_opcode(entry->amopopr))
		report_fault(validation,
					 "operator family \"%s\" of access method %s contains operator %s whose function is not support function %d, %s",
					 validation->opfamily_name, "annoy",
					 format_operator(entry->amopopr), ANNOY_DISTANCE_PROC,
					 format_procedure(distance));
}

/*
 * What a pair of input types must have; a member can only be missing, since
 * the catalogs' unique keys exclude a second one.
 */
static void
check_group(Validation *validation, OpFamilyOpFuncGroup *group)
{
	const uint64 operators = UINT64CONST(1) << ANNOY_DISTANCE_STRATEGY;

	if ((group->operatorset & operators) != operators)
		report_fault(validation,
					 "operator family \"%s\" of access method %s is missing operator %d for types %s and %s",
					 validation->opfamily_name, "annoy",
					 ANNOY_DISTANCE_STRATEGY,
					 format_type_be(group->lefttype),
					 format_type_be(group->righttype));

	for (int number = 1; number <= ANNOY_PROC_COUNT; number++)
		if ((group->functionset & (UINT64CONST(1) << number)) == 0)
			report_fault(validation,
						 "operator family \"%s\" of access method %s is missing support function %d for types %s and %s",
						 validation->opfamily_name, "annoy", number,
						 format_type_be(group->lefttype),
						 format_type_be(group->righttype));
}

/* The family's members by pairs of types; the class's own pair must be there. */
static void
check_groups(Validation *validation)
{
	List	   *groups = identify_opfamily_groups(validation->operators,
												  validation->functions);
	bool		found = false;
	ListCell   *cell;

	foreach(cell, groups)
	{
		OpFamilyOpFuncGroup *group = lfirst(cell);

		if (group->lefttype == validation->type &&
			group->righttype == validation->type)
			found = true;
		check_group(validation, group);
	}

	if (!found)
		report_fault(validation,
					 "operator class \"%s\" of access method %s has no members for its own type %s",
					 validation->opclass_name, "annoy",
					 format_type_be(validation->type));
}

static char *
opfamily_name(Oid opfamily)
{
	HeapTuple	tuple = SearchSysCache1(OPFAMILYOID, ObjectIdGetDatum(opfamily));
	char	   *name;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for operator family %u", opfamily);
	name = pstrdup(NameStr(((Form_pg_opfamily) GETSTRUCT(tuple))->opfname));
	ReleaseSysCache(tuple);
	return name;
}

/*
 * amvalidate: reports every fault of the operator class, and of its family, as
 * INFO; false if there is any.
 */
bool
annoyvalidate(Oid opclass)
{
	Validation	validation = {0};
	HeapTuple	tuple;
	Form_pg_opclass form;

	tuple = SearchSysCache1(CLAOID, ObjectIdGetDatum(opclass));
	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for operator class %u", opclass);
	form = (Form_pg_opclass) GETSTRUCT(tuple);

	validation.valid = true;
	validation.opclass_name = pstrdup(NameStr(form->opcname));
	validation.opfamily = form->opcfamily;
	validation.opfamily_name = opfamily_name(form->opcfamily);
	validation.type = form->opcintype;

	if (OidIsValid(form->opckeytype) && form->opckeytype != form->opcintype)
		report_fault(&validation,
					 "operator class \"%s\" of access method %s has a storage type of its own",
					 validation.opclass_name, "annoy");
	ReleaseSysCache(tuple);

	validation.operators = SearchSysCacheList1(AMOPSTRATEGY,
											   ObjectIdGetDatum(validation.opfamily));
	validation.functions = SearchSysCacheList1(AMPROCNUM,
											   ObjectIdGetDatum(validation.opfamily));

	for (int i = 0; i < validation.functions->n_members; i++)
		check_function(&validation, (Form_pg_amproc)
					   GETSTRUCT(&validation.functions->members[i]->tuple));
	for (int i = 0; i < validation.operators->n_members; i++)
		check_operator(&validation, (Form_pg_amop)
					   GETSTRUCT(&validation.operators->members[i]->tuple));
	check_groups(&validation);

	ReleaseCatCacheList(validation.functions);
	ReleaseCatCacheList(validation.operators);

	return validation.valid;
}

/*
 * amadjustmembers: operators belong to the family loosely, as the index works
 * without them; the support functions are what makes the class, so dropping
 * one takes the class along.
 */
void
annoyadjustmembers(Oid opfamily, Oid opclass, List *operators,
				   List *functions)
{
	ListCell   *cell;

	foreach(cell, operators)
	{
		OpFamilyMember *member = lfirst(cell);

		member->ref_is_hard = false;
		member->ref_is_family = true;
		member->refobjid = opfamily;
	}

	foreach(cell, functions)
	{
		OpFamilyMember *member = lfirst(cell);

		switch (member->number)
		{
			case ANNOY_DISTANCE_PROC:
			case ANNOY_INFO_PROC:
				/* required: what they refer to is set already */
				member->ref_is_hard = true;
				break;
			default:
				ereport(ERROR,
						(errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
						 errmsg("support function number %d is invalid for access method %s",
								member->number, "annoy")));
		}
	}
}

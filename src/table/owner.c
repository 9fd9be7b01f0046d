/*-------------------------------------------------------------------------
 *
 * owner.c
 *	  Running the code of a table's owner: the expression and the condition of
 *	  an index.
 *
 * That code must not get the rights of whoever asks (a superuser, say), and
 * whoever asks must not get the owner's.  So it runs as the owner, in a
 * security-restricted operation, as in the server's own maintenance commands.
 * Those, however, are for roles that have the owner's rights, or were granted
 * MAINTAIN; our functions are for all who may read the table, and run in their
 * session.  There they may have prepared what the owner's code will meet:
 *
 * - Settings.  A search path that leads to objects of their own; ways to read
 *	 a string constant, or to write a value as text, that change the meaning of
 *	 a statement which the owner's code puts together.  All get fixed values.
 * - What the session remembers of earlier calls under such settings.  The
 *	 relation cache has expressions into which SQL functions were expanded,
 *	 with what their names meant then; we make them anew from the catalog.
 *	 PL/pgSQL keeps the types of a compiled function's variables; nothing can
 *	 be done about that.
 * - Temporary objects.  They are looked for whatever the search path is, and
 *	 before all others in a function that sets a path of its own without
 *	 pg_temp.  A domain, a view or a trigger there calls any function.
 *
 * Against the last two, and what was overlooked, no function is run as the
 * owner on behalf of others unless its author could do so anyway, having the
 * owner's rights, or having written a function that the owner has put into the
 * index.  The server tells us of functions by object_access_hook when it
 * prepares to run them.  It must not have done so before, for the caller:
 * PL/pgSQL prepares an expression once in a transaction, but again after its
 * plan has been invalidated.  Of triggers we are not told, so other roles'
 * tables cannot be changed.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/index.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_class.h"
#include "catalog/pg_index.h"
#include "catalog/pg_proc.h"
#include "executor/executor.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "nodes/execnodes.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "parser/parsetree.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/plancache.h"
#include "utils/regproc.h"
#include "utils/syscache.h"

#include "annoycompat.h"
#include "table/owner.h"

/*
 * Settings that everybody may change and that change what code means: how
 * names are found, how its text is read, and what text it makes of values.
 * They get the values of a server without configuration.  Left out are those
 * that only superusers may change, that matter to DDL or to speed only, and
 * default_text_search_config, which runs no code, and which an owner may
 * rightly rely on.
 */
static const struct
{
	const char *name;
	const char *value;
}			settings[] = {
	/* temporary objects last: not being named, they would come first */
	{"search_path", "pg_catalog, pg_temp"},
	{"row_security", "on"},

	/* text of statements and constants */
	{"standard_conforming_strings", "on"},
	{"backslash_quote", "safe_encoding"},
	{"transform_null_equals", "off"},
	{"array_nulls", "on"},
	{"xmloption", "content"},

	/* text of values: quotes may be in a time zone's name, or in bytes */
	{"bytea_output", "hex"},
	{"xmlbinary", "base64"},
	{"DateStyle", "ISO, MDY"},
	{"IntervalStyle", "postgres"},
	{"TimeZone", "GMT"},
	{"extra_float_digits", "1"},
	{"lc_monetary", "C"},
	{"lc_numeric", "C"},
	{"lc_time", "C"},

	/* of a module that may not be there */
	{"plpgsql.check_asserts", "on"}
};

/*
 * OIDs of the authors of functions that the index names, while the owner is in
 * force for somebody without the owner's rights; else NULL.  It is a setting,
 * of those that only C code can change, to be undone with the others however
 * the work ends.
 */
static char *trusted_authors = NULL;

#define UNTRUSTED_DETAIL \
	"It was reached from an index expression or condition, and its owner, role \"%s\", does not have that role's privileges."

static object_access_hook_type next_object_access_hook = NULL;
static ExecutorStart_hook_type next_executor_start_hook = NULL;

Node *
AnnoyReadIndexTree(Relation index, AttrNumber source)
{
	bool		isnull;
	Datum		tree = SysCacheGetAttr(INDEXRELID, index->rd_indextuple, source,
									   &isnull);

	return isnull ? NULL : stringToNode(TextDatumGetCString(tree));
}

static Oid
get_author(Oid function)
{
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	Oid			author;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for function %u", function);
	author = ((Form_pg_proc) GETSTRUCT(tuple))->proowner;
	ReleaseSysCache(tuple);
	return author;
}

/* check_functions_in_node */
static bool
add_author(Oid function, void *context)
{
	List	  **authors = context;

	*authors = list_append_unique_oid(*authors, get_author(function));
	return false;
}

/* expression_tree_walker */
static bool
add_authors(Node *node, void *authors)
{
	if (node == NULL)
		return false;
	(void) check_functions_in_node(node, add_author, authors);
	return expression_tree_walker(node, add_authors, authors);
}

/* The authors of the functions that the index names, as text. */
static char *
list_authors(Relation index)
{
	List	   *authors = NIL;
	ListCell   *cell;
	StringInfoData list;

	(void) add_authors(AnnoyReadIndexTree(index, Anum_pg_index_indexprs),
					   &authors);
	(void) add_authors(AnnoyReadIndexTree(index, Anum_pg_index_indpred),
					   &authors);
	initStringInfo(&list);
	foreach(cell, authors)
		appendStringInfo(&list, "%u,", lfirst_oid(cell));
	return list.data;
}

static bool
is_trusted(Oid author)
{
	const char *next = trusted_authors;

	while (*next != '\0')
	{
		char	   *end;

		if ((Oid) strtoul(next, &end, 10) == author)
			return true;
		next = end + 1;
	}
	return has_privs_of_role(author, GetUserId());
}

/* object_access_hook */
static void
check_function(ObjectAccessType access, Oid class, Oid object, int part,
			   void *argument)
{
	if (access == OAT_FUNCTION_EXECUTE && trusted_authors != NULL &&
		!is_trusted(get_author(object)))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("function %s must not run as role \"%s\"",
						format_procedure(object),
						GetUserNameFromId(GetUserId(), false)),
				 errdetail(UNTRUSTED_DETAIL,
						   GetUserNameFromId(get_author(object), false))));
	if (next_object_access_hook)
		next_object_access_hook(access, class, object, part, argument);
}

static void
check_change(Oid table)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(table));
	Oid			owner;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for relation %u", table);
	owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
	ReleaseSysCache(tuple);
	if (!is_trusted(owner))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("table \"%s\" must not be changed as role \"%s\"",
						get_rel_name(table),
						GetUserNameFromId(GetUserId(), false)),
				 errdetail(UNTRUSTED_DETAIL,
						   GetUserNameFromId(owner, false))));
}

/* ExecutorStart_hook */
static void
check_changes(QueryDesc *query, int flags)
{
	const PlannedStmt *plan = query->plannedstmt;

	if (trusted_authors != NULL)
	{
		Bitmapset  *changed = ANNOY_RESULT_RELATIONS(plan);
		int			relation = -1;

		while ((relation = bms_next_member(changed, relation)) >= 0)
			check_change(rt_fetch(relation, plan->rtable)->relid);
	}
	if (next_executor_start_hook)
		next_executor_start_hook(query, flags);
	else
		standard_ExecutorStart(query, flags);
}

/* Until the present nest level ends. */
static void
fix_setting(const char *name, const char *value, GucContext context)
{
	(void) set_config_option(name, value, context, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
}

void
AnnoyBecomeOwner(AnnoyCaller *caller, Relation heap, Relation index)
{
	Oid			owner = heap->rd_rel->relowner;
	bool		guarded;

	GetUserIdAndSecContext(&caller->user, &caller->security_context);

	/* a SECURITY DEFINER function of the owner's runs in another's session */
	guarded = !has_privs_of_role(caller->user, owner) ||
		!has_privs_of_role(GetSessionUserId(), owner);

	SetUserIdAndSecContext(owner, caller->security_context |
						   SECURITY_RESTRICTED_OPERATION);
	caller->nest_level = NewGUCNestLevel();
	for (int i = 0; i < lengthof(settings); i++)
		if (GetConfigOption(settings[i].name, true, false) != NULL)
			fix_setting(settings[i].name, settings[i].value, PGC_USERSET);
	if (guarded)
	{
		fix_setting("annoy.trusted_authors", list_authors(index), PGC_INTERNAL);
		ResetPlanCache();
	}
}

void
AnnoyBecomeCaller(const AnnoyCaller *caller)
{
	AtEOXact_GUC(false, caller->nest_level);
	SetUserIdAndSecContext(caller->user, caller->security_context);
}

IndexInfo *
AnnoyBuildIndexInfo(Relation index)
{
	IndexInfo  *info = BuildDummyIndexInfo(index);

	/* not simplified; who evaluates them does it */
	info->ii_Expressions =
		(List *) AnnoyReadIndexTree(index, Anum_pg_index_indexprs);
	info->ii_Predicate =
		make_ands_implicit((Expr *) AnnoyReadIndexTree(index,
													   Anum_pg_index_indpred));
	return info;
}

void
AnnoyInitOwner(void)
{
	DefineCustomStringVariable("annoy.trusted_authors",
							   "Authors of an index's functions while these run as the table's owner.",
							   NULL,
							   &trusted_authors,
							   NULL,
							   PGC_INTERNAL,
							   GUC_NO_SHOW_ALL | GUC_NOT_IN_SAMPLE | GUC_DISALLOW_IN_FILE,
							   NULL, NULL, NULL);
	next_object_access_hook = object_access_hook;
	object_access_hook = check_function;
	next_executor_start_hook = ExecutorStart_hook;
	ExecutorStart_hook = check_changes;
}

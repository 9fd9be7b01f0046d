/*-------------------------------------------------------------------------
 *
 * extension.c
 *	  What the extension's own scripts cannot do in SQL.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/dependency.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "fmgr.h"

#include "annoycompat.h"

PG_FUNCTION_INFO_V1(annoy_record_dependency);

/*
 * annoy_record_dependency(type regtype): makes the extension whose script is
 * running, which must be the one that this function belongs to, depend on the
 * extension that the type belongs to, as "requires" in its control file would.
 *
 * DROP EXTENSION then refuses to drop the other without CASCADE, and pg_dump
 * puts the other first, also in pg_upgrade.
 */
Datum
annoy_record_dependency(PG_FUNCTION_ARGS)
{
	Oid			type = PG_GETARG_OID(0);
	Oid			extension = getExtensionOfObject(TypeRelationId, type);
	ObjectAddress depender;
	ObjectAddress dependee;

	if (!creating_extension ||
		getExtensionOfObject(ProcedureRelationId,
							 fcinfo->flinfo->fn_oid) != CurrentExtensionObject)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("annoy_record_dependency can only be called by a script of extension annoy")));

	/* our own type, or nobody's */
	if (!OidIsValid(extension) || extension == CurrentExtensionObject)
		PG_RETURN_VOID();

	ObjectAddressSet(depender, ExtensionRelationId, CurrentExtensionObject);
	ObjectAddressSet(dependee, ExtensionRelationId, extension);
	recordDependencyOn(&depender, &dependee, DEPENDENCY_NORMAL);
	PG_RETURN_VOID();
}

/*-------------------------------------------------------------------------
 *
 * owner.h
 *	  Running the code of a table's owner: the expression and the condition of
 *	  an index.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ANNOY_OWNER_H
#define ANNOY_OWNER_H

#include "nodes/execnodes.h"
#include "utils/rel.h"

/* The caller, while the table's owner is in force. */
typedef struct AnnoyCaller
{
	Oid			user;
	int			security_context;
	int			nest_level;
} AnnoyCaller;

/*
 * Between the two calls the user is the table's owner, in a security-restricted
 * operation and with fixed values of the settings that can change what code
 * means; so nothing else that depends on the user or on settings may be done
 * there.  An error that ends the transaction or subtransaction undoes it, too.
 * owner.c says what the owner is protected from.
 */
extern void AnnoyBecomeOwner(AnnoyCaller *caller, Relation heap, Relation index);
extern void AnnoyBecomeCaller(const AnnoyCaller *caller);

/*
 * BuildIndexInfo for those who evaluate expression and condition while the owner
 * is in force.
 */
extern struct IndexInfo *AnnoyBuildIndexInfo(Relation index);

/*
 * The expressions or the condition of an index (source: their column of
 * pg_index), as they were written in CREATE INDEX; NULL if there are none.  The
 * relation cache has them simplified, with SQL functions expanded and calls of
 * constants replaced by their results.
 */
extern Node *AnnoyReadIndexTree(Relation index, AttrNumber source);

/* For _PG_init. */
extern void AnnoyInitOwner(void);

#endif							/* ANNOY_OWNER_H */

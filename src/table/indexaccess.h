/*-------------------------------------------------------------------------
 *
 * indexaccess.h
 *	  Opening an index that a user has named, with what a query would check.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ANNOY_INDEXACCESS_H
#define ANNOY_INDEXACCESS_H

#include "utils/rel.h"

/*
 * Opens a valid index of this access method with AccessShareLock; errors out
 * if the relation is anything else, or cannot be read by this session.
 */
extern Relation AnnoyOpenIndex(Oid oid);

/* Errors out if the index has no contents here: unlogged, on a standby. */
extern void AnnoyCheckRecovery(Relation index);

/*
 * Opens an index and its table for a function that reads the table's rows
 * through it, both with AccessShareLock, the table first.  Errors out where a
 * query that orders by the index could not be run by this user, or not with
 * this index:
 *
 * - no USAGE of the table's schema;
 * - no SELECT on the table, nor on all columns that the index is made of, those
 *	 of its expression and its condition included;
 * - no EXECUTE on a function of these, or the operator's;
 * - a row-level security policy applies;
 * - the transaction's snapshots may see row versions that are not in the index
 *	 (pg_index.indcheckxmin).
 *
 * The locks should be kept until the end of the transaction, as a query's are:
 * then the TIDs that the function has told stay what they are.
 */
extern void AnnoyOpenIndexAndTable(Oid oid, Relation *index, Relation *heap);

#endif							/* ANNOY_INDEXACCESS_H */

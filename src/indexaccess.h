/*-------------------------------------------------------------------------
 *
 * indexaccess.h
 *	  Opening an index that a user has named.
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

#endif							/* ANNOY_INDEXACCESS_H */

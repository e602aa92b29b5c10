/*
 * admin - the procedures of schema mssqld: situations of a server, made on demand by tests.
 *
 * They exist in this test server only and are for sysadmins only.  README.md has the list.
 */
#ifndef MSSQLD_ADMIN_H
#define MSSQLD_ADMIN_H

#include "tests/mssqld/sql/session.h"

struct proc_call;

/* False when the name is not of schema mssqld; else *rc is the result, -1 with session.error. */
bool admin_procedure(struct session *s, const struct proc_call *call, int *rc);

#endif

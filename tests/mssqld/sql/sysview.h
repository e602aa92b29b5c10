/* sysview - catalog views: what sys.tables and its like are made of. */
#ifndef MSSQLD_SYSVIEW_H
#define MSSQLD_SYSVIEW_H

#include "tests/mssqld/sql/bind.h"

/*
 * Finds a view or a table-valued function of schema sys or INFORMATION_SCHEMA.  On success
 * fills out (column SQL prefixed by sql_alias) and writes the subquery's text to o: 1; 0 = there is
 * none of that name, -1 = error.
 */
int sysview_bind(struct binder *b, struct database *d, const char *schema, const struct from *f,
                 const char *sql_alias, struct rel *out, struct sbuf *o);

/* cdc.fn_cdc_get_all_changes_<instance>(from, to, filter); -1 = error, 0 = not it, 1 = done. */
int sysview_bind_changes(struct binder *b, struct database *d, const struct from *f,
                         const char *sql_alias, struct rel *out, struct sbuf *o);

/* Membership of the gating role (NULL: none) and SELECT on the source's columns. */
bool cdc_may_read(struct session *s, struct database *d, int source_id, const char *role);

#endif

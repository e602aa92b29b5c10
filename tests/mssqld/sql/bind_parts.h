/* bind_parts - what the files of function calls share; not for others. */
#ifndef MSSQLD_BIND_PARTS_H
#define MSSQLD_BIND_PARTS_H

#include "tests/mssqld/sql/bind.h"

/* Is the name one of a NULL-ended list, whatever its case? */
bool call_one_of(const char *name, const char *const *list);

/* bind_special.c: ISNULL, COALESCE, NULLIF, IIF (arguments bound); CHECKSUM(*); $PARTITION.f(x). */
bool call_is_special(const char *name);
int call_bind_special(struct binder *b, struct expr *x);
int call_bind_checksum(struct binder *b, struct expr *x);
int call_bind_partition(struct binder *b, struct expr *x);
void call_emit_special(struct binder *b, struct sbuf *o, const struct expr *x);
void call_emit_partition(struct binder *b, struct sbuf *o, const struct expr *x);

#endif

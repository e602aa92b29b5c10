/* value_parts - the conversions by target, shared between value.c, value_bytes.c and value_clr.c only. */
#ifndef MSSQLD_VALUE_PARTS_H
#define MSSQLD_VALUE_PARTS_H

#include "tests/mssqld/sql/value.h"

/* Error 529; returns -1. */
int value_not_allowed(const struct value_context *c, enum sql_base from, enum sql_base to);

int value_to_text(const struct value_context *c, const struct sql_type *from,
                  const struct sql_value *v, const struct sql_type *to, struct sql_value *out);
int value_to_number(const struct value_context *c, const struct sql_type *from,
                    const struct sql_value *v, const struct sql_type *to, struct sql_value *out);
int value_to_time(const struct value_context *c, const struct sql_type *from,
                  const struct sql_value *v, const struct sql_type *to, struct sql_value *out);

/* value_clr.c: a text path; error 6522. */
int value_to_hierarchyid(const struct value_context *c, const struct sql_value *v,
                         struct sql_value *out);
/* Byte order mark and declaration are not kept. */
void value_trim_xml(struct sql_value *v);

#endif

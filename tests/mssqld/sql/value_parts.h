/* value_parts - the conversions by target, shared between value.c and value_bytes.c only. */
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

#endif

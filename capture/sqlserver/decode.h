/*
 * decode - what decode.c and decode_special.c share: values that take more than a copy.
 *
 * Each fills *out with memory of a.  ERR_DATA for bytes that are no such value, ERR_NOMEM.
 */
#ifndef WEIR_SQLSERVER_DECODE_H
#define WEIR_SQLSERVER_DECODE_H

#include "capture/sqlserver/types.h"

/* UTF-16LE. */
int decode_wide(const void *data, size_t size, struct arena *a, struct value *out, struct err *e);

/* hierarchyid: its path as text. */
int decode_path(const void *data, size_t size, struct arena *a, struct value *out, struct err *e);

/* geometry, geography: EWKB. */
int decode_spatial(enum type_wire wire, const void *data, size_t size, struct arena *a,
                   struct value *out, struct err *e);

/* sql_variant as type_add_select() asks for it: text. */
int
decode_variant(const void *data, size_t size, struct arena *a, struct value *out, struct err *e);

#endif

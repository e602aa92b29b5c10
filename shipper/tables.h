/*
 * tables - what was delivered, table by table, for `weirctl tables`.
 *
 * Names come from the catalogue when a table id is met first.
 */
#ifndef WEIR_SHIPPER_TABLES_H
#define WEIR_SHIPPER_TABLES_H

#include "shipper/window.h"

struct stage;
struct tables;

int tables_open(const struct stage *stage, struct tables **out, struct err *e);
void tables_close(struct tables **pointer);

/* Counts a stored record: rows by operation, bytes, position, and the time it took. */
void tables_count(struct tables *t, const struct unit *u, int64_t now_real_ns, int64_t now_mono_ns);

/* "schema.table" of an id, or "table N" when the catalogue does not know it. */
const char *tables_name(struct tables *t, uint32_t table_id);

#endif

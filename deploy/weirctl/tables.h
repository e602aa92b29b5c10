/*
 * tables - table statistics of a snapshot, as text and with DMS's member names.
 */
#ifndef WEIR_WEIRCTL_TABLES_H
#define WEIR_WEIRCTL_TABLES_H

#include "deploy/weirctl/snapshot.h"

#include <jansson.h>
#include <stdio.h>

/* {"TableStatistics": [...]}, a fresh reference. */
json_t *tables_json(const struct snapshot *s);

/* At most 80 columns, but for names and positions that are longer. */
void tables_print(FILE *out, const struct snapshot *s);

#endif

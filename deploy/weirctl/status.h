/*
 * status - a snapshot as a screen of 80 columns, and as JSON.
 */
#ifndef WEIR_WEIRCTL_STATUS_H
#define WEIR_WEIRCTL_STATUS_H

#include "deploy/weirctl/snapshot.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

struct status_look {
    bool has_colour;
    size_t max_tables; /* the busiest come first; 0 = all, by name */
};

/* Rates are those between the two snapshots; before may be NULL (rates are shown as "-"). */
void status_print(FILE *out, const struct snapshot *now, const struct snapshot *before,
                  const struct status_look *look);

/* The part of it that wants attention; nothing when nothing does. */
void status_print_alarms(FILE *out, const struct snapshot *s, bool has_colour);

/* {"format": 1, ...}, a fresh reference. */
json_t *status_json(const struct snapshot *s);

#endif

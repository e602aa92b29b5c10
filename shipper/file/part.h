/*
 * part - the file a file target is writing: <directory>/<task>.<shipper>.<number>.ndjson.part.
 *
 * Lines are gathered, written with one call, and made durable with another.  A write that fails
 * half-way is taken back, so the file always ends with a whole line.  part_finish() renames the
 * file to its final name; the next line opens the next number.
 */
#ifndef WEIR_SHIPPER_FILE_PART_H
#define WEIR_SHIPPER_FILE_PART_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct part;

struct part_config {
    const char *directory;
    const char *task;
    uint32_t shipper;
    uint64_t max_bytes; /* the file is due when it is larger */
    int64_t max_age_ns; /* or older, if it holds anything */
};

/* Goes on with what a former life left, cut behind its last whole line; else the next number.
   ERR_ACCESS, ERR_NOSPACE, ERR_IO, ERR_NOMEM. */
int part_open(const struct part_config *config, struct part **out, struct err *e);
void part_close(struct part **pointer);

/* Gathers one record; a newline is added when it has none at its end.  ERR_NOMEM. */
int part_add(struct part *p, const void *data, size_t size, struct err *e);

/* Forgets what was gathered. */
void part_undo(struct part *p);

/* Writes what was gathered: all of it, or, on error, nothing.  ERR_NOSPACE, ERR_IO. */
int part_write(struct part *p, struct err *e);

/* ERR_IO: close it; what came after the last success may be there or not. */
int part_sync(struct part *p, struct err *e);

/* It is time to finish it. */
bool part_is_due(const struct part *p);

/* Gives the file its final name; everything in it is synced.  Nothing when it is empty. */
int part_finish(struct part *p, struct err *e);

#endif

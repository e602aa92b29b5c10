/*
 * letters - records that Kinesis will never take, put aside by Weir.RefusedRecordPolicy.
 *
 * <state>/dead-letters.<shipper>.ndjson gets one JSON object a line: time, table, operation,
 * position, reason, partition key, and the record's data as text ("data") or, when that is no UTF-8,
 * in base64 ("data-base64").  A line is on disk before its record counts as handled.  A shipper
 * that dies in between writes the line again; its position says so.  The file is only ever
 * appended to; who has dealt with it moves it away, at any time.
 */
#ifndef WEIR_SHIPPER_LETTERS_H
#define WEIR_SHIPPER_LETTERS_H

#include "shipper/window.h"

struct err;
struct task;

struct letter {
    const struct unit *unit;
    const char *table;  /* "schema.table" */
    const char *reason; /* one sentence */
    int64_t real_ns;    /* now */
};

/* Appends and syncs.  ERR_NOSPACE, ERR_ACCESS, ERR_IO, ERR_NOMEM: nothing may be passed over. */
int letters_write(const struct task *task, uint32_t shipper, const struct letter *l, struct err *e);

#endif

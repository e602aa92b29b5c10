/*
 * bounds - where a task begins and ends in its source's log: the texts of CdcStartPosition,
 * CdcStartTime and CdcStopPosition, and of `weirctl start --from`.
 *
 * Forms of a start:
 *   now                            behind everything that is committed
 *   earliest                       all that the source still has
 *   2026-03-05T08:00:00[.fff][Z]   what was committed at that time or later; UTC, or with an offset
 *   1772697600[.5]                 the same, seconds since 1970 (CdcStartTime only)
 *   00000014:00000061:0001         an LSN as SQL Server prints it, or 0x and 20 hexadecimal digits:
 *                                  the transaction that committed there, and later ones
 *   a stream-position              what comes behind that record
 *   checkpoint:V1#...#LSN#...      a RecoveryCheckpoint of DMS that holds an LSN
 *
 * Forms of a stop: commit_time:TIME, server_time:TIME, an LSN, a stream-position.  What was
 * committed up to that time, that LSN included, is the last to be delivered.
 *
 * Blocking: never.  Allocation: never.
 */
#ifndef WEIR_BOUNDS_H
#define WEIR_BOUNDS_H

#include "common/position.h"

#include <stdint.h>

enum start_kind { START_NONE, START_NOW, START_EARLIEST, START_TIME, START_POSITION };
enum stop_kind { STOP_NONE, STOP_COMMIT_TIME, STOP_SERVER_TIME, STOP_POSITION };

struct start_bound {
    enum start_kind kind;
    int64_t real_ns;          /* START_TIME: UTC; what was committed then counts */
    struct position position; /* START_POSITION: all behind it counts */
};

struct stop_bound {
    enum stop_kind kind;
    int64_t real_ns;          /* times: UTC; what was committed then still counts */
    struct position position; /* STOP_POSITION: the last that counts */
};

/* Each returns NULL, or what is wrong with the text, for "found the text ...: %s". */
const char *bounds_start(const char *text, struct start_bound *out);
const char *bounds_stop(const char *text, struct stop_bound *out);

/* A time of CdcStartTime: also a number of seconds since 1970. */
const char *bounds_time(const char *text, int64_t *real_ns);

/* The shortest start that asks for what lies behind p: an LSN when p is all of the one before, else
   its stream-position.  buf holds POSITION_TEXT_SIZE bytes; returns buf. */
const char *bounds_start_text(const struct position *p, char *buf);

#endif

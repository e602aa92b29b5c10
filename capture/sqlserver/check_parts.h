/*
 * check_parts - what the files behind `weirctl check` share.
 *
 * Each finding says what was looked at and what was found, and carries the statement that mends it
 * where the database runs.  What the login may not see is no finding here: check_rights names the
 * right that is missing.
 */
#ifndef WEIR_SQLSERVER_CHECK_PARTS_H
#define WEIR_SQLSERVER_CHECK_PARTS_H

#include "capture/sqlserver/sqlserver.h"

struct check {
    struct sqlserver *s;
    struct source_findings *findings;
    struct err *e; /* for want of memory */
};

/* Adds a finding.  -1 without memory. */
int check_add(struct check *c, enum source_level level, const char *remedy, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* A number of the only row of a query.  False when there is none, and when it is refused. */
bool check_number(struct check *c, const char *sql, int column, int64_t *out);

/* Capture and cleanup job, Agent, their settings, retention. */
int check_jobs(struct check *c);

/* The database and the server: replication, limits, the cdc user. */
int check_database(struct check *c);

/* What a table is and has become: kinds that are not captured, columns since, instances. */
int check_table_kind(struct check *c, const struct instance *in);

#endif

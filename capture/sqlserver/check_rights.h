/*
 * check_rights - which rights the login lacks, and the statement that grants each.
 *
 * Only rights weir uses are looked for: deploy/sqlserver lists them.  A right that is needed is an
 * error; one without which something works less well is a warning that says what.
 */
#ifndef WEIR_SQLSERVER_CHECK_RIGHTS_H
#define WEIR_SQLSERVER_CHECK_RIGHTS_H

#include <stdbool.h>

struct err;
struct instance;
struct source_findings;
struct sqlserver;

/* Rights on the change log and the server's views.  *usable: the log can be read.  -1: memory. */
int
check_rights(struct sqlserver *s, struct source_findings *findings, bool *usable, struct err *e);

/* The right to read a table of the task. */
int check_rights_table(struct sqlserver *s, const struct instance *in,
                       struct source_findings *findings, bool *granted, struct err *e);

/* Tables under change data capture that the login cannot even see, and so nobody misses. */
int check_rights_unseen(struct sqlserver *s, struct source_findings *findings, struct err *e);

#endif

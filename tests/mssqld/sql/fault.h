/*
 * fault - errors on demand: the next statements or logins that match a pattern fail.
 *
 * Rules belong to the engine and are made by the procedure mssqld.fail_next.  While there is
 * none, a statement costs one atomic load.  A rule names an error number; what the number
 * means (severity, text, whether the connection ends) is known here for the usual ones.
 */
#ifndef MSSQLD_FAULT_H
#define MSSQLD_FAULT_H

#include "tests/mssqld/sql/session.h"

enum fault_cut {
    FAULT_KEEP,  /* the connection stays */
    FAULT_CLOSE, /* the error is sent, then the connection is closed */
    FAULT_ABORT, /* the connection is closed at once, the error never sent */
};

struct fault_order {
    int32_t number;
    int times;           /* <= 0: until cleared */
    int skip;            /* matching statements let through first */
    const char *like;    /* LIKE pattern of the statement's text, of the user's name at login */
    int64_t after_rows;  /* < 0: before the statement runs */
    int cut;             /* enum fault_cut, or -1: what the number usually does */
    int severity;        /* 0: the number's own */
    const char *message; /* NULL: the number's own */
    bool login;
    const char *sql;              /* instead of an error: run by sa just before the statement */
    const struct session *except; /* whose statements do not count; NULL = everybody's do */
};

void fault_add(struct engine *g, const struct fault_order *order);
/* Forgets all rules; gives how many had not been used up. */
int fault_clear(struct engine *g);
void fault_free(struct engine *g);

/*
 * The rule of a statement about to run, used once: -1 with session.error when it fails here and
 * now.  A rule that waits for rows is noted in session.fault_after and comes due in fault_row().
 */
int fault_statement(struct session *s, const char *text, size_t size);
/* Before row number `rows` (from 0) of a result, and once more behind its last row. */
int fault_row(struct session *s, int64_t rows, bool last);
/* The refusal of a login: false when there is none. */
bool fault_login(struct engine *g, const char *user, struct sqlerr *e);

#endif

/*
 * recovery - databases put back, taken over, taken away: restore, fail-over, states.
 *
 * A backup is a copy of the database's file beside it.  A restore writes the copy over the
 * database: rows, change tables, pending log and the end of the log are those of the backup, so
 * LSNs will be used again.  Who the database is changes as on SQL Server: a new recovery fork
 * that begins at the backup's last LSN, and usually a new create_date.
 */
#ifndef MSSQLD_RECOVERY_H
#define MSSQLD_RECOVERY_H

#include "tests/mssqld/sql/session.h"

enum database_state {
    STATE_ONLINE = 0,
    STATE_RESTORING = 1,
    STATE_RECOVERING = 2,
    STATE_SUSPECT = 4,
    STATE_OFFLINE = 6,
    /* Of an availability group's replica; sys.databases shows them ONLINE. */
    STATE_NOT_READABLE = 20, /* 976 */
    STATE_READ_INTENT = 21,  /* 978 unless the connection is for reading */
    STATE_RESOLVING = 22,    /* 983 */
};

struct restore_order {
    const char *backup;
    const char *as; /* another database, made for it; NULL = over the current one */
    bool new_create_date;
    bool keep_cdc;
};

struct failover_order {
    const char *server; /* the new primary's name; NULL = as before */
    const char *backup; /* what had reached it; NULL = everything */
    bool new_fork;
    bool new_create_date;
    bool keep_jobs;
};

/* All: 0, or -1 with session.error.  Other sessions of the database are cut. */
int recovery_backup(struct session *s, const char *name);
int recovery_restore(struct session *s, const struct restore_order *o);
int recovery_failover(struct session *s, const struct failover_order *o);
/* By name: ONLINE, OFFLINE, RESTORING, RECOVERING, SUSPECT, NOT_READABLE, READ_INTENT, RESOLVING. */
int recovery_set_state(struct session *s, struct database *d, const char *state);
/* A replica that can be read only; sessions that stand for the primary still write. */
int recovery_read_only(struct session *s, struct database *d, bool on, bool secondary);

/* Cuts the other sessions of a database; NULL: all others of the server. */
void recovery_cut_others(struct session *s, const struct database *d);

/* May the session use the database as it is now?  Errors 927, 922, 926, 942, 976, 978, 983. */
int recovery_check(struct session *s, const struct database *d);

#endif

/*
 * job - the capture job: when the changes of committed transactions reach the change tables.
 *
 * Usually at once: the transaction itself writes its change rows (cdc.c), as if a job without
 * any delay had followed it.  Everything else is deferred capture: a transaction writes its rows
 * into the pending log (tables p<object id>, sys_pending, sys_pending_actions of its database)
 * and a scan moves them, in commit order.  Capture is deferred while the job is stopped,
 * missing, failing, polls with an interval, or SQL Server Agent does not run; and after that
 * until the log is empty.
 *
 * The flag database.deferred changes only while the writer's turn is held, so that no
 * transaction is half the one and half the other.  What the job is told belongs to engine.mutex.
 */
#ifndef MSSQLD_JOB_H
#define MSSQLD_JOB_H

#include "tests/mssqld/sql/session.h"

#define JOB_AT_ONCE (-1) /* interval: no delay */

void job_free(struct job *j);
/* The thread of rounds and dummy rows; safe to call again. */
void job_thread_start(struct engine *g);
void job_thread_stop(struct engine *g);
/* After a server start: databases whose log is not empty are read to the end. */
void job_recover(struct engine *g);

/* Orders.  Each takes effect before it returns, -1 with session.error. */
int job_add(struct session *s, struct database *d);  /* there is a job, and it runs */
int job_drop(struct session *s, struct database *d); /* there is none, as after a fail-over */
int job_start(struct session *s, struct database *d);
int job_stop(struct session *s, struct database *d);
int job_agent(struct session *s, bool running);
/*
 * The pause between rounds from now on (JOB_AT_ONCE: none), or from the next start on.  lag_ms:
 * only transactions that old are read, as by a job that has much to do.
 */
int job_set_interval(struct session *s, struct database *d, int64_t ms, int64_t lag_ms);
void job_set_next_interval(struct session *s, struct database *d, int64_t ms);
void job_set_limits(struct session *s, struct database *d, int maxtrans, int maxscans);
/* The next scans fail with this error; number 0 ends it. */
int job_fail(struct session *s, struct database *d, int32_t number, const char *text, int times);
bool job_is_running(struct session *s, struct database *d);
bool job_is_missing(struct session *s, struct database *d);
/* Capture is switched off: a later job starts anew. */
void job_forget(struct engine *g, struct database *d);
/* One round: up to maxscans scans of up to maxtrans transactions (0: the job's own numbers). */
int job_round(struct session *s, struct database *d, int maxtrans, int maxscans);
/* A transaction of deferred capture has committed. */
void job_committed(struct session *s, struct database *d);

/* Rows of the monitoring views, as JSON: sessions, errors, jobs, activity, history. */
void job_rows(struct session *s, struct database *d, const char *what, struct sbuf *out);

#endif

/*
 * health - is SQL Server still capturing, and for how long does it keep what was captured?
 *
 * Change tables are filled by a job that nobody watches: when it stops, the stream stands still
 * without any error.  Everything here is asked of views a login may lack the right to see; such a
 * view is asked for once a connection and then left out.
 */
#ifndef WEIR_SQLSERVER_HEALTH_H
#define WEIR_SQLSERVER_HEALTH_H

#include "capture/sqlserver/sqlserver.h"

/* Where the database runs: what its jobs are, and the words that mend them. */
enum flavour { FLAVOUR_BOX, FLAVOUR_RDS, FLAVOUR_AZURE, FLAVOUR_MANAGED };

/* The jobs' settings, as in msdb.dbo.cdc_jobs. */
struct health_jobs {
    bool is_known; /* somebody told us */
    bool has_capture;
    bool has_cleanup;
    int64_t maxtrans;
    int64_t maxscans;
    bool is_continuous;
    int64_t pollinginterval_s;
    int64_t retention_min;
    int64_t threshold;
};

/* What the views say of the capture job; ages in seconds by the server's clock, -1 = not known. */
struct health_scan {
    bool is_known;       /* sys.dm_cdc_log_scan_sessions could be read and is not empty */
    int64_t good_age_s;  /* since the last scan without error */
    int64_t last_age_s;  /* since the last one of any kind */
    int64_t latency_s;   /* of the last scan that found transactions */
    int64_t error_age_s; /* since the newest row of sys.dm_cdc_errors */
    int64_t error_number;
    char error_text[240];
};

enum health_seen { HEALTH_UNKNOWN, HEALTH_NO, HEALTH_YES };

struct health_facts {
    enum flavour flavour;
    bool is_secondary; /* a read-only replica: its jobs and views are not those of the primary */
    bool
        is_published; /* transactional replication: its Log Reader Agent captures, there is no job */
    struct health_jobs jobs;
    struct health_scan scan;
    enum health_seen agent_runs;
    enum health_seen job_runs;
    int64_t quiet_s;   /* age of the newest entry of the change log; -1 = there is none */
    int64_t newest_ns; /* its commit time, UTC */
    int64_t oldest_ns; /* of the oldest entry still there */
    int64_t needed_ns; /* of the first one behind the place asked for; the newest when none is */
};

/* Gathers.  -1 only when the connection is lost. */
int health_gather(struct sqlserver *s, const struct position *safe, struct health_facts *out,
                  struct err *e);

/* What the facts amount to. */
void health_judge(const struct health_facts *f, struct source_health *out);

/* Where the database runs, alone.  -1 only when the connection is lost. */
int
health_read_flavour(struct sqlserver *s, enum flavour *flavour, bool *is_secondary, struct err *e);

/* Member of struct source_engine. */
int health_source(struct source *base, const struct position *safe, struct source_health *out,
                  struct err *e);

#endif

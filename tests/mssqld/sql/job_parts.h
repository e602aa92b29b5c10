/* job_parts - what the files of the capture job share; not for others. */
#ifndef MSSQLD_JOB_PARTS_H
#define MSSQLD_JOB_PARTS_H

#include "tests/mssqld/sql/job.h"

#define JOB_SESSIONS 32 /* scans remembered */
#define JOB_ERRORS   32

/* One row of sys.dm_cdc_log_scan_sessions. */
struct scan {
    int64_t id;
    int64_t start; /* ticks, local */
    int64_t end;
    bool failed;
    uint8_t start_lsn[LSN_SIZE];
    uint8_t end_lsn[LSN_SIZE];
    uint8_t first_begin_lsn[LSN_SIZE];
    uint8_t commit_lsn[LSN_SIZE]; /* the last transaction's; zero when there was none */
    int64_t commit_time;
    int64_t trans;
    int64_t commands;
    int64_t empty; /* scans in a row that found nothing, told by this row */
};

struct scan_error {
    int64_t session;
    int64_t time;
    int32_t number;
    char text[256];
};

struct job {
    bool missing;
    bool stopped;
    int64_t interval_ms;
    int64_t next_interval_ms;
    int64_t lag_ms; /* transactions younger than this are left */
    int maxtrans;
    int maxscans;
    int next_maxtrans;
    int next_maxscans;
    int64_t next_round_ns;
    int32_t fail_number;
    int fail_left; /* <= 0: until told otherwise */
    char fail_text[256];
    int64_t started; /* ticks, local */
    int64_t ended;
    bool last_failed;
    int64_t n_runs;  /* runs of the job that have ended */
    struct scan sum; /* of all scans: the row with session_id 0 */
    struct scan scans[JOB_SESSIONS];
    int64_t n_scans; /* ever; scan i stands in scans[(i - 1) % JOB_SESSIONS] */
    struct scan_error errors[JOB_ERRORS];
    int64_t n_errors;
    int64_t n_failed;
};

struct job *job_of(struct database *d); /* made when there is none; under mutex */
bool job_runs(const struct engine *g, const struct job *j);
int64_t job_now(void);
/* Writes down a scan that has ended; empty ones in a row share a row. */
void job_note(struct engine *g, struct job *j, const struct scan *scan);
/* A job that reads at once has just looked and found nothing: said before it stops. */
void job_note_idle(struct session *s, struct database *d);
void job_note_error(struct job *j, int32_t number, const char *text);

#endif

/* cdc_parts - what the files of the procedures sp_cdc_* share; not for others. */
#ifndef MSSQLD_CDC_PARTS_H
#define MSSQLD_CDC_PARTS_H

#include "tests/mssqld/sql/cdc.h"
#include "tests/mssqld/sql/plan.h"

/* T-SQL as the engine itself, answers dropped; the current database stays. */
int cdc_run(struct session *s, const char *sql);
/* N'...' and [...] with the closing mark doubled; NULL is quoted as NULL.  Memory of the run. */
const char *cdc_quote(struct session *s, const char *text);
const char *cdc_bracket(struct session *s, const char *text);
/* 0x and 20 digits. */
const char *cdc_lsn_text(struct session *s, const uint8_t *lsn);
int cdc_not_enabled(struct session *s); /* error 22901; returns -1 */

/* The procedures of jobs (cdc_job.c); *known is set when name (behind sp_cdc_) is one. */
int
cdc_job_procedure(struct session *s, const struct proc_call *call, const char *name, bool *known);
/* Orders to the capture job take effect step by step, not in one transaction. */
bool cdc_steers_job(const char *procedure);
/* A query whose rows go to the client. */
int cdc_answer(struct session *s, const char *sql);
int cdc_create_jobs(struct session *s); /* rows of msdb.dbo.cdc_jobs, unless there are */

int cdc_cleanup_table(struct session *s, const struct proc_call *call);
int cdc_cleanup_job(struct session *s); /* all instances, by the job's retention */
/* While paused a cleanup moves the bounds and leaves the rows; the end of the pause removes them. */
int cdc_cleanup_pause(struct session *s, bool on);

int cdc_enable_table(struct session *s, const struct proc_call *call);

#endif

/*
 * cdc - change data capture: the rows of cdc.<instance>_CT and cdc.lsn_time_mapping.
 *
 * With deferred capture (job.h) the same rows go to the pending log, d<n>.p<object id> for
 * d<n>.t<object id> and sys_pending for the mapping, until a scan moves them.
 *
 * Rows are written while the statement runs, in its own SQLite transaction, so that a
 * rollback leaves nothing.  The commit LSN is chosen at the transaction's first captured
 * change: the database has one writer at a time, hence nobody can commit in between.  An LSN is
 * VLF (4 bytes), log block (4), slot (2); a transaction owns LSN_BLOCKS blocks, its rows take
 * slots from the first on and its commit record stands in the last.  A transaction that has
 * taken them all (1.07 thousand million rows) gets error 9002, as of a full log; what it did
 * before may still be committed.
 */
#ifndef MSSQLD_CDC_H
#define MSSQLD_CDC_H

#include "tests/mssqld/sql/catalog.h"

#define LSN_BLOCKS     0x4000U
#define LSN_VLF_BLOCKS 0x40000U

extern const char CDC_JOBS_TABLE[]; /* T-SQL that makes msdb.dbo.cdc_jobs */

/* One statement that changes rows: counts commands. */
int cdc_begin_statement(struct session *s, struct database *d);

/* __$command_id of change tables: as today; not there (before KB3030352); there, NULL in rows. */
enum cdc_command_ids { COMMAND_IDS = 0, NO_COMMAND_IDS = 1, NULL_COMMAND_IDS = 2 };

enum cdc_operation { CDC_DELETE = 1, CDC_INSERT = 2, CDC_BEFORE = 3, CDC_AFTER = 4 };

/*
 * A row of the table went (values: stored values by table position).  changed marks the columns
 * of an update, NULL for inserts and deletes.
 */
int cdc_row(struct session *s, struct table *t, enum cdc_operation op, const struct stored *values,
            const bool *changed);
/*
 * Rows of one update pair share a sequence value: call before each pair, insert or delete.
 * -1 and error 9002 when the transaction's LSNs are used up.
 */
int cdc_next_row(struct session *s);
/* The inserts of a deferred update are a command of their own. */
void cdc_next_command(struct session *s);

/*
 * T-SQL about the running transaction's capture (a first LSN, a row of ddl_history): run now, or
 * with deferred capture when a scan reads the transaction.  After cdc_begin_statement().
 */
int cdc_at_capture(struct session *s, struct database *d, const char *sql);

int cdc_before_commit(struct session *s);
int cdc_write_dummy(struct session *s, struct database *d);

/* 80-bit arithmetic on LSNs. */
void lsn_add(uint8_t lsn[LSN_SIZE], int by);

/* The procedures sys.sp_cdc_*; false when the name is none of them. */
struct proc_call;
bool cdc_procedure(struct session *s, const struct proc_call *call, int *rc);

/* Removes one capture instance with its change table. */
int cdc_drop_instance(struct session *s, struct database *d, int object_id);

/* ALTER TABLE on a tracked table: ddl_history. */
int cdc_note_ddl(struct session *s, struct table *t, const char *command, bool required_update);

#endif

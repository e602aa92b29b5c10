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

int cdc_enable_table(struct session *s, const struct proc_call *call);

#endif

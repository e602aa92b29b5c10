/*
 * log - the two halves of following the change tables.
 *
 * log.c decides what may be read (window of LSNs, low-water mark) and in which order it is given
 * on; log_probe.c asks which tables have rows; log_page.c reads pages of one change table.
 */
#ifndef WEIR_SQLSERVER_LOG_H
#define WEIR_SQLSERVER_LOG_H

#include "capture/sqlserver/sqlserver.h"

/* Values before the captured columns in every row of a change table page. */
enum { CT_START_LSN, CT_COMMAND_ID, CT_SEQVAL, CT_OPERATION, CT_UPDATE_MASK, CT_COLUMNS };

enum { CT_DELETE = 1, CT_INSERT = 2, CT_UPDATE_BEFORE = 3, CT_UPDATE_AFTER = 4 };

/* What is put in front of an instance's name. */
#define LOG_FUNCTION "fn_cdc_get_all_changes_"

/* What one round reads: lo < LSN <= hi; of transaction lo + 1, when is_inside, only what comes
   behind `from`. */
struct log_range {
    struct lsn lo;
    struct lsn hi;
    bool is_inside;
    struct position_sqlserver from;
};

/* Everything but hi. */
void log_range_make(const struct position *from, struct log_range *r);

/* True when the instance has a part of its own in the range: after < LSN <= last. */
bool
log_clip(const struct instance *in, const struct log_range *r, struct lsn *after, struct lsn *last);

/* True when the instance takes part in the transaction that `from` lies in. */
bool log_is_behind(const struct instance *in, const struct log_range *r);

/* What follows FROM: the change table, or its function with both bounds inclusive. */
void log_add_rows(struct sql *q, const struct instance *in, const struct lsn *first,
                  const struct lsn *last);

/* WHERE: the rows of p's transaction up to p. */
void log_add_upto(struct sql *q, const struct instance *in, const struct position_sqlserver *p);

/* ---- log_page.c ---- */

/* Reads the first page of the range. */
int log_page_first(struct sqlserver *s, struct instance *in, const struct log_range *r,
                   size_t target, struct err *e);

/* Reads the page behind the last row of this one. */
int log_page_next(struct sqlserver *s, struct instance *in, const struct log_range *r,
                  size_t target, struct err *e);

/* Bit of column ordinal (from 1) in an update mask: the LAST byte holds ordinals 1 to 8. */
bool log_mask_bit(const uint8_t *mask, size_t size, unsigned ordinal);

/* Turns the NULLs of a row that mean "not in the log" into VALUE_UNAVAILABLE. */
void log_mark_unavailable(const struct instance *in, int operation, const uint8_t *mask,
                          size_t mask_size, struct value *values);

/* Gives all memory of the instance's pages back. */
void log_page_free(struct instance *in);

/* ---- log_way.c ---- */

/* Makes the way each instance is read durable before it is gone; inside a transaction it stays what
   it was.  ERR_ACCESS when that is no longer possible. */
int log_settle_ways(struct sqlserver *s, const struct log_range *r, struct err *e);

/* ---- log_pair.c: Weir.MergeDeferredUpdates ---- */

bool log_is_pairing(const struct sqlserver *s);

/* Finds the deletes and inserts of the page just read that are one update: in->partner.  behind: the
   row the page was read behind, NULL = it begins with a transaction. */
int log_pair(struct sqlserver *s, struct instance *in, const struct position_sqlserver *behind,
             struct err *e);

/* ---- log_fresh.c: Weir.RereadUnavailable ---- */

/* Fills what the log left out of row in->next and of rows behind it from the table, by key. */
int log_fresh(struct sqlserver *s, struct instance *in, struct err *e);

/* ---- log_probe.c ---- */

/* Fills s->active with the instances that may have rows in the range.  One round trip. */
int log_find_active(struct sqlserver *s, const struct log_range *r, size_t *n, struct err *e);

/* How many changes of the transaction that `from` lies in come up to `from`. */
int log_count_given(struct sqlserver *s, const struct log_range *r, uint32_t *count, struct err *e);

#endif

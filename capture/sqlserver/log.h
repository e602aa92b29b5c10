/*
 * log - the two halves of following the change tables.
 *
 * log.c decides what may be read (window of LSNs, low-water mark, tables with rows) and in which
 * order it is given on; log_page.c reads pages of one change table.
 */
#ifndef WEIR_SQLSERVER_LOG_H
#define WEIR_SQLSERVER_LOG_H

#include "capture/sqlserver/sqlserver.h"

/* Values before the captured columns in every row of a change table page. */
enum { CT_START_LSN, CT_COMMAND_ID, CT_SEQVAL, CT_OPERATION, CT_UPDATE_MASK, CT_COLUMNS };

enum { CT_DELETE = 1, CT_INSERT = 2, CT_UPDATE_BEFORE = 3, CT_UPDATE_AFTER = 4 };

/* cdc.[instance_CT] */
void log_add_table(struct sql *q, const struct instance *in);

/* Reads the first page of lo < LSN <= hi, clipped to the instance's own range. */
int log_page_first(struct sqlserver *s, struct instance *in, const struct lsn *lo,
                   const struct lsn *hi, size_t target, struct err *e);

/* Reads the page behind the last row of this one. */
int log_page_next(struct sqlserver *s, struct instance *in, const struct lsn *hi, size_t target,
                  struct err *e);

/* True when the instance has a range of its own in lo < LSN <= hi; first and last are its ends. */
bool log_clip(const struct instance *in, const struct lsn *lo, const struct lsn *hi,
              struct lsn *after, struct lsn *last);

/* Bit of column ordinal (from 1) in an update mask: the LAST byte holds ordinals 1 to 8. */
bool log_mask_bit(const uint8_t *mask, size_t size, unsigned ordinal);

/* Turns the NULLs of a row that mean "not in the log" into VALUE_UNAVAILABLE. */
void log_mark_unavailable(const struct instance *in, int operation, const uint8_t *mask,
                          size_t mask_size, struct value *values);

#endif

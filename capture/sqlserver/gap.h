/*
 * gap - was something of a table's changes removed before it was read?
 *
 * cdc.change_tables.start_lsn is the low-water mark of an instance: cleanup moves it first and
 * deletes rows afterwards, so the mark is what counts, not the rows that are still there.
 */
#ifndef WEIR_SQLSERVER_GAP_H
#define WEIR_SQLSERVER_GAP_H

#include "capture/sqlserver/sqlserver.h"

/* Compares the marks as last read with what is needed next: of one instance, or (NULL) of all.
   A table with a hole is suspended: sink.lost, table.refused. */
int
gap_look(struct sqlserver *s, struct instance *only, const struct source_sink *sink, struct err *e);

#endif

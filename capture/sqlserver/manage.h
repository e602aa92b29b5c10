/*
 * manage - capture instances made and dropped by weir itself: Weir.ManageCaptureInstances and
 * MicrosoftSQLServerSettings.SetUpMsCdcForTables.  Off by default: it takes db_owner (sysadmin to
 * enable the database), and changes the source.
 *
 * A column that is added is in no change table until the table has a new instance.  With `own` weir
 * makes <schema>_<table>_w<n> like the old one (role, index, file group), and drops an instance of
 * that name once a newer one took over and everything in it is acknowledged by the target.  `all` drops
 * replaced instances of other names too.  Nothing has to be remembered: what is wanted follows from
 * what is there, so a death between making an instance and reading it makes no second one.
 */
#ifndef WEIR_SQLSERVER_MANAGE_H
#define WEIR_SQLSERVER_MANAGE_H

#include "capture/sqlserver/sqlserver.h"

/* Makes instances for tables that got columns.  -1: the connection is used up (RETRY). */
int manage_make(struct sqlserver *s, struct err *e);

/* Drops what was replaced and is acknowledged up to s->confirmed.  Likewise. */
int manage_drop(struct sqlserver *s, struct err *e);

/* Enables change data capture for the database and for the tables that lack it. */
int manage_enable_database(struct sqlserver *s, struct err *e);
int manage_enable_tables(struct sqlserver *s, bool *any, struct err *e);

/* What an operator should know: instances that can go, columns nobody captures, full places. */
void manage_alarms(struct sqlserver *s, struct source_health *out);

#endif

#include "capture/sqlserver/check_parts.h"
#include "capture/sqlserver/check_rights.h"
#include "capture/sqlserver/db.h"
#include "capture/sqlserver/sqlserver.h"
#include "common/err.h"
#include "common/task.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define QUIET_MINUTES 15 /* a log that stands still so long deserves a look */

static int
add_error(struct check *c, const struct err *why)
{
    return check_add(c, SOURCE_ERROR, why->hint, "%s", why->text);
}

/* ---- the connection ---- */

static int
check_connection(struct check *c, bool *connected)
{
    const struct source_endpoint *ep = &c->s->config.task->source;
    struct source_identity identity;
    const struct db_peer *peer;
    struct err why = ERR_INIT;

    *connected = false;
    if (sqlserver_engine.connect(&c->s->base, &identity, &why) != 0)
        return add_error(c, &why);
    *connected = true;
    peer = db_peer(c->s->db);
    if (check_add(c, SOURCE_OK, "", "connected to %s:%u, server %s, database %s, as %s", peer->host,
                  peer->port, identity.server, identity.database,
                  peer->user[0] != '\0' ? peer->user : "Kerberos says") != 0)
        return -1;
    if (ep->ssl_mode == SSL_NONE)
        return check_add(
            c, SOURCE_WARNING,
            "set SourceEndpoint.SslMode to verify-full and name the authority's file in "
            "Weir.SourceCaFile",
            "the connection is not encrypted (SslMode none)");
    if (ep->ssl_mode == SSL_REQUIRE)
        return check_add(c, SOURCE_WARNING, "set SourceEndpoint.SslMode to verify-full",
                         "the server's certificate is not verified (SslMode require)");
    return 0;
}

/* ---- the log ---- */

/* The capture job writes a dummy row from time to time even when nothing changes. */
static int
check_log(struct check *c, bool *usable)
{
    static const char remedy[] =
        "start SQL Server Agent and the capture job (EXEC sys.sp_cdc_start_job); after a fail-over "
        "add it on the new primary (EXEC sys.sp_cdc_add_job @job_type = N'capture')";
    struct err why = ERR_INIT;
    int64_t minutes = 0;
    int rc;
    bool empty = true;

    *usable = false;
    if (db_query(c->s->db,
                 "SELECT DATEDIFF(minute, MAX(m.tran_end_time), GETDATE()) FROM "
                 "cdc.lsn_time_mapping AS m",
                 &why) != 0)
        return add_error(c, &why);
    while ((rc = db_next(c->s->db, &why)) == 1) {
        size_t size;

        empty = db_data(c->s->db, 0, &size) == NULL;
        minutes = db_int(c->s->db, 0);
    }
    if (rc < 0)
        return add_error(c, &why);
    *usable = true;
    if (empty)
        return check_add(c, SOURCE_WARNING, remedy,
                         "the change log is empty: the capture job has not run yet");
    if (minutes >= QUIET_MINUTES)
        return check_add(c, SOURCE_WARNING, remedy,
                         "the newest entry of the change log is %" PRId64
                         " minutes old: the database is idle, or the capture job stands still",
                         minutes);
    return check_add(c, SOURCE_OK, "",
                     "the change log is alive (newest entry %" PRId64 " minutes old)", minutes);
}

/* ---- the tables ---- */

/* Text stored in another code page than the database's is damaged by the capture job itself. */
static int
check_collations(struct check *c, const struct instance *in)
{
    for (uint16_t i = 0; i < in->n_columns; i++)
        if (in->types[i].collation != NULL && (strncmp(in->types[i].name, "char", 4) == 0 ||
                                               strncmp(in->types[i].name, "varchar", 7) == 0))
            return check_add(
                c, SOURCE_WARNING, "use nvarchar for the column, or the database's collation",
                "table %s.%s, column %s: its collation %s is not the database's; change "
                "data capture may store characters outside ASCII damaged",
                in->table.def->schema, in->table.def->name, in->table.def->columns[i].name,
                in->types[i].collation);
    return 0;
}

/* Most reasons end in their remedy. */
static int
add_refused(struct check *c, const struct instance *in)
{
    const struct table_def *d = in->table.def;
    const char *why = in->table.refused;
    const char *remedy = strstr(why, ": run ");

    if (remedy == NULL)
        return check_add(c, SOURCE_ERROR,
                         "follow the advice, or exclude the table by a selection rule",
                         "table %s.%s: %s", d->schema, d->name, why);
    return check_add(c, SOURCE_ERROR, remedy + 2, "table %s.%s: %.*s", d->schema, d->name,
                     (int)(remedy - why), why);
}

static int
check_table(struct check *c, const struct instance *in)
{
    const struct table_def *d = in->table.def;
    bool granted;

    if (check_table_kind(c, in) != 0)
        return -1;
    if (in->table.refused != NULL)
        return add_refused(c, in);
    if (check_rights_table(c->s, in, c->findings, &granted, c->e) != 0 ||
        check_collations(c, in) != 0)
        return -1;
    if (!granted)
        return 0;
    if (in->masked != NULL && check_add(c, SOURCE_WARNING, "GRANT UNMASK to the login",
                                        "table %s.%s: the login sees masks instead of data in %s",
                                        d->schema, d->name, in->masked) != 0)
        return -1;
    if (in->table.left_out != NULL && check_add(c, SOURCE_OK, "", "table %s.%s: not captured: %s",
                                                d->schema, d->name, in->table.left_out) != 0)
        return -1;
    if (d->n_key == 0)
        return check_add(
            c, SOURCE_WARNING, "add a primary key before change data capture is enabled",
            "table %s.%s has no primary key (captured whole): it is loaded in one piece and "
            "its changes keep their order through a single partition key",
            d->schema, d->name);
    return check_add(c, SOURCE_OK, "", "table %s.%s: %u columns, key of %u, instance %s", d->schema,
                     d->name, d->n_columns, d->n_key, in->table.instance);
}

static int
check_tables(struct check *c)
{
    struct err why = ERR_INIT;
    size_t n = 0;

    if (meta_load(c->s, &why) != 0)
        return add_error(c, &why);
    for (size_t i = 0; i < c->s->n_instances; i++) {
        if (c->s->instances[i]->is_gone)
            continue;
        if (check_table(c, c->s->instances[i]) != 0)
            return -1;
        n++;
    }
    if (check_rights_unseen(c->s, c->findings, c->e) != 0)
        return -1;
    if (n == 0)
        return check_add(
            c, SOURCE_ERROR,
            "check schema-name and table-name in TableMappings; the login sees only tables "
            "it may read",
            "the selection rules pick no table of the database");
    return 0;
}

int
check_source(struct source *base, struct source_findings *findings, struct err *e)
{
    struct check c = {.s = (struct sqlserver *)base, .findings = findings, .e = e};
    bool go_on = false;

    if (check_connection(&c, &go_on) != 0)
        return -1;
    if (!go_on)
        return 0;
    if (check_rights(c.s, c.findings, &go_on, e) != 0)
        return -1;
    if (!go_on)
        return 0;
    if (check_log(&c, &go_on) != 0)
        return -1;
    if (!go_on)
        return 0;
    if (check_jobs(&c) != 0 || check_tables(&c) != 0)
        return -1;
    return check_database(&c);
}

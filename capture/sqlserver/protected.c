/*
 * Columns whose values the server does not show as they are: encrypted with Always Encrypted (they are
 * refused: their bytes are nobody's without the keys), or masked for a login without UNMASK (what comes
 * then is "xxxx" in place of data: a warning).
 */
#include "capture/sqlserver/db.h"
#include "capture/sqlserver/sqlserver.h"
#include "common/err.h"
#include "common/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME_MAX_BYTES 520
#define WHY_MAX        (NAME_MAX_BYTES + 400)

enum { NO_SUCH_COLUMN = 207 }; /* before SQL Server 2016 there were no such columns */

static bool
has_column(const struct instance *in, const char *name)
{
    const struct table_def *d = in->table.def;

    for (uint16_t i = 0; i < d->n_columns; i++)
        if (d->columns[i].name != NULL && strcmp(d->columns[i].name, name) == 0)
            return true;
    return false;
}

static int
refuse_encrypted(struct instance *in, const char *name, struct err *e)
{
    char why[WHY_MAX];

    (void)snprintf(
        why, sizeof(why),
        "column %s is encrypted (Always Encrypted), and weir has no keys: leave it out, by "
        "a capture instance with a @captured_column_list without it",
        name);
    return meta_refuse(in, why, e);
}

/* Adds the name to the list; logged when the list is complete. */
static int
add_masked(struct instance *in, const char *name, struct err *e)
{
    size_t old = in->masked != NULL ? strlen(in->masked) : 0;
    size_t size = old + strlen(name) + 3;
    char *text = realloc(in->masked, size);

    if (text == NULL)
        return err_set(e, ERR_NOMEM, "masked columns");
    (void)snprintf(text + old, size - old, "%s%s", old > 0 ? ", " : "", name);
    in->masked = text;
    return 0;
}

static int
take_row(struct sqlserver *s, struct err *e)
{
    int32_t object = (int32_t)db_int(s->db, 0);
    bool is_encrypted = db_int(s->db, 2) != 0;
    bool is_masked = db_int(s->db, 3) != 0 && db_int(s->db, 4) == 0;
    char name[NAME_MAX_BYTES];

    db_text(s->db, 1, name, sizeof(name));
    for (size_t i = 0; i < s->n_instances; i++) {
        struct instance *in = s->instances[i];

        if (in->source_object != object || !has_column(in, name))
            continue;
        if ((is_encrypted && refuse_encrypted(in, name, e) != 0) ||
            (is_masked && !in->is_masked_told && add_masked(in, name, e) != 0))
            return -1;
    }
    return 0;
}

static void
tell_masked(struct sqlserver *s)
{
    for (size_t i = 0; i < s->n_instances; i++) {
        struct instance *in = s->instances[i];
        struct log_site site = {0}; /* each table's line is its own */
        char quoted[600];

        if (in->masked != NULL && !in->is_masked_told)
            log_write(LOG_WARN, &site, "columns-masked",
                      "table=%s.%s columns=%s remedy=\"GRANT UNMASK to the login\"",
                      in->table.def->schema, in->table.def->name,
                      log_quote(in->masked, quoted, sizeof(quoted)));
        in->is_masked_told = in->masked != NULL;
    }
}

int
meta_protected(struct sqlserver *s, struct err *e)
{
    struct err why = ERR_INIT;
    int rc;

    if (db_query(
            s->db,
            "SELECT c.object_id, c.name, CASE WHEN c.encryption_type IS NULL THEN 0 ELSE 1 END, "
            "CONVERT(int, c.is_masked), HAS_PERMS_BY_NAME(DB_NAME(), N'DATABASE', N'UNMASK') "
            "FROM sys.columns AS c WHERE c.encryption_type IS NOT NULL OR c.is_masked = 1",
            &why) != 0) {
        if (why.code == ERR_SQL && why.sys == NO_SUCH_COLUMN)
            return 0;
        *e = why;
        return err_context(e, "look for protected columns");
    }
    while ((rc = db_next(s->db, e)) == 1)
        if (take_row(s, e) != 0)
            return -1;
    if (rc < 0 || db_result(s->db, e) < 0)
        return err_context(e, "look for protected columns");
    tell_masked(s);
    return 0;
}

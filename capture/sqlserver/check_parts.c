#include "capture/sqlserver/check_parts.h"

#include "capture/sqlserver/db.h"
#include "common/err.h"

#include <stdarg.h>
#include <stdio.h>

int
check_add(struct check *c, enum source_level level, const char *remedy, const char *fmt, ...)
{
    char what[ERR_TEXT_MAX + ERR_HINT_MAX];
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(what, sizeof(what), fmt, ap);
    va_end(ap);
    return source_finding_add(c->findings, level, what, remedy, c->e);
}

bool
check_number(struct check *c, const char *sql, int column, int64_t *out)
{
    struct err ignored = ERR_INIT;
    bool found = false;
    int rc;

    if (db_query(c->s->db, sql, &ignored) != 0)
        return false;
    while ((rc = db_next(c->s->db, &ignored)) == 1) {
        size_t size;

        if (db_columns(c->s->db) > column && db_data(c->s->db, column, &size) != NULL) {
            *out = db_int(c->s->db, column);
            found = true;
        }
    }
    return rc == 0 && found;
}

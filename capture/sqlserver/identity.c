/*
 * Which history does this database belong to?  sys.database_recovery_status says it best: the
 * recovery fork changes with every restore and with a fail-over that lost something, and the fork's
 * parent and place say what both branches share.  It takes a right the login need not have.
 */
#include "capture/sqlserver/db.h"
#include "capture/sqlserver/sqlserver.h"
#include "common/err.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Runs a query that may be refused.  1 = the current row is its first; 0 = none, or refused; -1 = the
   connection is lost. */
static int
try_query(struct sqlserver *s, const char *sql, struct err *e)
{
    int rc = db_query(s->db, sql, e);

    if (rc == 0)
        rc = db_next(s->db, e);
    if (rc < 0 && (e->code == ERR_CONNECT || e->code == ERR_TIMEOUT || e->code == ERR_STOPPED))
        return -1;
    if (rc >= 0)
        return rc;
    err_clear(e);
    return 0;
}

/* An LSN as a number, numeric(25, 0): VLF * 10^15 + block * 10^5 + slot. */
static bool
lsn_of_number(const char *text, struct lsn *out)
{
    enum { SLOT_DIGITS = 5, BLOCK_DIGITS = 10, DIGITS_MAX = 25 };
    char padded[DIGITS_MAX + 1];
    char part[BLOCK_DIGITS + 1];
    size_t n = strlen(text);
    uint64_t vlf;
    uint64_t block;
    uint64_t slot;

    if (n == 0 || n > DIGITS_MAX || strspn(text, "0123456789") != n)
        return false;
    memset(padded, '0', DIGITS_MAX);
    memcpy(padded + DIGITS_MAX - n, text, n + 1);
    slot = strtoull(padded + DIGITS_MAX - SLOT_DIGITS, NULL, 10);
    (void)snprintf(part, sizeof(part), "%.10s", padded + BLOCK_DIGITS);
    block = strtoull(part, NULL, 10);
    (void)snprintf(part, sizeof(part), "%.10s", padded);
    vlf = strtoull(part, NULL, 10);
    if (vlf > UINT32_MAX || block > UINT32_MAX || slot > UINT16_MAX)
        return false;
    for (int i = 0; i < 4; i++) {
        out->b[i] = (uint8_t)(vlf >> (24 - 8 * i));
        out->b[4 + i] = (uint8_t)(block >> (24 - 8 * i));
    }
    out->b[8] = (uint8_t)(slot >> 8);
    out->b[9] = (uint8_t)slot;
    return true;
}

int
identity_read(struct sqlserver *s, struct source_identity *out, struct err *e)
{
    char number[40] = "";
    char updateable[32] = "";
    struct lsn point;
    int rc = try_query(s,
                       "SELECT CONVERT(nvarchar(36), r.recovery_fork_guid), CONVERT(nvarchar(36), "
                       "r.first_recovery_fork_guid), CONVERT(nvarchar(36), r.family_guid), "
                       "CONVERT(nvarchar(40), r.fork_point_lsn) FROM sys.database_recovery_status "
                       "AS r WHERE r.database_id = DB_ID()",
                       e);

    if (rc == 1) {
        db_text(s->db, 0, out->fork, sizeof(out->fork));
        db_text(s->db, 1, out->fork_parent, sizeof(out->fork_parent));
        db_text(s->db, 2, out->family, sizeof(out->family));
        db_text(s->db, 3, number, sizeof(number));
        if (lsn_of_number(number, &point))
            position_lsn_complete(point.b, &out->fork_point);
    }
    if (rc >= 0)
        rc = try_query(s,
                       "SELECT CONVERT(nvarchar(36), d.group_database_id), CONVERT(nvarchar(30), "
                       "DATABASEPROPERTYEX(DB_NAME(), 'Updateability')) FROM sys.databases AS d "
                       "WHERE d.database_id = DB_ID()",
                       e);
    if (rc == 1) {
        db_text(s->db, 0, out->group, sizeof(out->group));
        db_text(s->db, 1, updateable, sizeof(updateable));
    }
    s->is_secondary = out->group[0] != '\0' && strcmp(updateable, "READ_ONLY") == 0;
    return rc < 0 ? -1 : 0;
}

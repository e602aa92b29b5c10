#include "common/clock.h"
#include "tests/mssqld/sql/cdc_parts.h"

#define MASK_MAX 128

void
lsn_add(uint8_t lsn[LSN_SIZE], int by)
{
    int carry = by;

    for (int i = LSN_SIZE - 1; i >= 0 && carry != 0; i--) {
        int sum = lsn[i] + carry;

        lsn[i] = (uint8_t)(sum & 0xFF);
        carry = (sum - (sum & 0xFF)) / 256;
    }
}

static void
lsn_make(uint8_t lsn[LSN_SIZE], uint32_t vlf, uint32_t block, uint16_t slot)
{
    for (int i = 0; i < 4; i++) {
        lsn[i] = (uint8_t)(vlf >> (24 - 8 * i));
        lsn[4 + i] = (uint8_t)(block >> (24 - 8 * i));
    }
    lsn[8] = (uint8_t)(slot >> 8);
    lsn[9] = (uint8_t)slot;
}

static uint32_t
word_at(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* Takes the blocks behind the last commit of the database. */
static int
begin(struct session *s, struct database *d)
{
    struct cdc_tx *c = &s->cdc;
    sqlite3_stmt *q;
    uint32_t vlf;
    uint32_t block;
    int rc = -1;

    q = session_prepare(
        s, arena_printf(&s->exec_arena, "SELECT v FROM d%d.sys_meta WHERE k = 'last_lsn'", d->id));
    if (q == NULL)
        return -1;
    if (sqlite3_step(q) == SQLITE_ROW && sqlite3_column_bytes(q, 0) == LSN_SIZE) {
        const uint8_t *last = sqlite3_column_blob(q, 0);

        vlf = word_at(last);
        block = word_at(last + 4) + 1;
        if (block + LSN_BLOCKS > LSN_VLF_BLOCKS) {
            vlf++;
            block = 16;
        }
        lsn_make(c->begin_lsn, vlf, block, 1);
        lsn_make(c->seqval, vlf, block, 1);
        lsn_make(c->commit_lsn, vlf, block + LSN_BLOCKS - 1, 1);
        rc = 0;
    }
    (void)sqlite3_finalize(q);
    if (rc != 0)
        return sqlerr_set(&s->error, 50000, 17, 1, "internal: no LSN in database %s", d->name);
    c->active = true;
    c->deferred = atomic_load(&d->deferred);
    c->db = d;
    c->command_id = 0;
    c->begin_time = s->tran_begin;
    c->tran_id = atomic_fetch_add(&s->engine->next_transaction, 1);
    return 0;
}

int
cdc_begin_statement(struct session *s, struct database *d)
{
    if (s->cdc.active && s->cdc.db != d)
        return sqlerr_set(&s->error, 50000, 16, 1,
                          "Changes captured in two databases by one transaction are not supported "
                          "by this test server.");
    if (!s->cdc.active && begin(s, d) != 0)
        return -1;
    s->cdc.command_id++;
    return 0;
}

int
cdc_next_row(struct session *s)
{
    uint8_t next[LSN_SIZE];

    memcpy(next, s->cdc.seqval, LSN_SIZE);
    /* Slots end at 0xFFFF; slot 0 of the next block is skipped. */
    lsn_add(next, next[8] == 0xFF && next[9] == 0xFF ? 2 : 1);
    if (memcmp(next, s->cdc.commit_lsn, LSN_SIZE) >= 0)
        return sqlerr_set(&s->error, 9002, 17, 4,
                          "The transaction log for database '%s' is full due to "
                          "'ACTIVE_TRANSACTION'.",
                          s->cdc.db->name);
    memcpy(s->cdc.seqval, next, LSN_SIZE);
    return 0;
}

void
cdc_next_command(struct session *s)
{
    s->cdc.command_id++;
}

/* An update of other columns than these leaves no row. */
static bool
concerns(const struct instance *n, const bool *changed)
{
    if (changed == NULL)
        return true;
    for (int i = 0; i < n->n_columns; i++)
        if (n->columns[i] >= 0 && changed[n->columns[i]])
            return true;
    return false;
}

/* Lowest ordinal in the last byte's lowest bit. */
static size_t
make_mask(const struct instance *n, const bool *changed, uint8_t mask[MASK_MAX])
{
    size_t size = ((size_t)n->n_columns + 7) / 8;

    memset(mask, 0, size);
    for (int i = 0; i < n->n_columns; i++) {
        int c = n->columns[i];

        if (changed == NULL || (c >= 0 && changed[c]))
            mask[size - 1 - (size_t)i / 8] |= (uint8_t)(1U << (i % 8));
    }
    return size;
}

/* Values a change table does not carry: see the rules of each operation. */
static bool
is_left_out(const struct column *c, enum cdc_operation op, bool changed)
{
    if (c->computed_text != NULL)
        return true;
    if (type_is_lob(&c->type))
        return op == CDC_DELETE || op == CDC_BEFORE;
    if (c->type.length == SQL_LENGTH_MAX)
        return op == CDC_BEFORE && !changed;
    return false;
}

static int
prepare(struct session *s, struct table *t, struct instance *n, sqlite3_stmt **insert)
{
    struct sbuf sql = {0};

    if (*insert != NULL)
        return 0;
    sbuf_fmt(&sql, "INSERT INTO d%d.%c%d VALUES(?1,NULL,?2,?3,?4", t->db->id,
             s->cdc.deferred ? 'p' : 't', n->object_id);
    for (int i = 0; i < n->n_columns; i++)
        sbuf_fmt(&sql, ",?%d", i + 6);
    sbuf_add(&sql, n->command_ids ? ",?5)" : ")");
    *insert = session_prepare(s, sql.data);
    sbuf_free(&sql);
    return *insert == NULL ? -1 : 0;
}

int
cdc_row(struct session *s, struct table *t, enum cdc_operation op, const struct stored *values,
        const bool *changed)
{
    uint8_t mask[MASK_MAX];

    for (int k = 0; k < t->n_instances; k++) {
        struct instance *n = &t->instances[k];
        sqlite3_stmt **kept = &n->insert[s->cdc.deferred ? 1 : 0];
        sqlite3_stmt *q;
        size_t size = make_mask(n, changed, mask);
        int rc;

        if (!concerns(n, changed))
            continue;
        if (prepare(s, t, n, kept) != 0)
            return -1;
        q = *kept;
        (void)sqlite3_bind_blob(q, 1, s->cdc.commit_lsn, LSN_SIZE, SQLITE_STATIC);
        (void)sqlite3_bind_blob(q, 2, s->cdc.seqval, LSN_SIZE, SQLITE_STATIC);
        (void)sqlite3_bind_int(q, 3, (int)op);
        (void)sqlite3_bind_blob(q, 4, mask, (int)size, SQLITE_STATIC);
        if (n->command_nulls && atomic_load(&t->db->command_ids) == NULL_COMMAND_IDS)
            (void)sqlite3_bind_null(q, 5);
        else
            (void)sqlite3_bind_int(q, 5, s->cdc.command_id);
        for (int i = 0; i < n->n_columns; i++) {
            int c = n->columns[i];

            if (c < 0 || is_left_out(&t->columns[c], op, changed != NULL && changed[c]))
                (void)sqlite3_bind_null(q, i + 6);
            else
                (void)stored_bind(q, i + 6, &values[c]);
        }
        rc = sqlite3_step(q) == SQLITE_DONE ? 0 : session_sqlite_error(s);
        (void)sqlite3_reset(q);
        if (rc != 0)
            return -1;
    }
    return 0;
}

static struct stored
blob(const void *data, size_t size)
{
    return (struct stored){.kind = SQLITE_BLOB, .data = data, .size = size};
}

/* The log ends behind the transaction, captured or not. */
static int
write_log_end(struct session *s, struct database *d)
{
    sqlite3_stmt *q = session_prepare(
        s,
        arena_printf(&s->exec_arena, "UPDATE d%d.sys_meta SET v = ?1 WHERE k = 'last_lsn'", d->id));
    int rc;

    if (q == NULL)
        return -1;
    (void)sqlite3_bind_blob(q, 1, s->cdc.commit_lsn, LSN_SIZE, SQLITE_STATIC);
    rc = sqlite3_step(q) == SQLITE_DONE ? 0 : session_sqlite_error(s);
    (void)sqlite3_finalize(q);
    return rc;
}

/* Deferred capture: the mapping row waits for the scan. */
static int
write_pending(struct session *s, struct database *d, const struct stored row[5])
{
    sqlite3_stmt *q = session_prepare(
        s,
        arena_printf(&s->exec_arena, "INSERT INTO d%d.sys_pending VALUES (?1,?2,?3,?4,?5)", d->id));
    int rc = q == NULL ? -1 : 0;

    for (int i = 0; i < 5 && rc == 0; i++)
        rc = stored_bind(q, i + 1, &row[i]) == SQLITE_OK ? 0 : session_sqlite_error(s);
    if (rc == 0 && sqlite3_step(q) != SQLITE_DONE)
        rc = session_sqlite_error(s);
    (void)sqlite3_finalize(q);
    return rc;
}

int
cdc_at_capture(struct session *s, struct database *d, const char *sql)
{
    sqlite3_stmt *q;
    int rc;

    if (!s->cdc.deferred)
        return cdc_run(s, sql);
    q = session_prepare(
        s,
        arena_printf(&s->exec_arena, "INSERT INTO d%d.sys_pending_actions VALUES (?1,?2)", d->id));
    if (q == NULL)
        return -1;
    (void)sqlite3_bind_blob(q, 1, s->cdc.commit_lsn, LSN_SIZE, SQLITE_STATIC);
    (void)sqlite3_bind_text(q, 2, sql, -1, SQLITE_STATIC);
    rc = sqlite3_step(q) == SQLITE_DONE ? 0 : session_sqlite_error(s);
    (void)sqlite3_finalize(q);
    return rc;
}

static int
write_mapping(struct session *s, struct database *d, const uint8_t *tran_id, size_t id_size)
{
    struct name name = {.database = d->name, .schema = "cdc", .object = "lsn_time_mapping"};
    struct stored row[5];
    struct table *t;
    struct moment utc;
    struct moment local;

    catalog_refresh(s);
    t = catalog_find(s, &name, 'U');
    if (t == NULL)
        return 0; /* capture was switched off in this very transaction */
    datetime_now(&utc, &local);
    row[0] = blob(s->cdc.commit_lsn, LSN_SIZE);
    row[2] = (struct stored){.kind = SQLITE_INTEGER,
                             .i = local.days * TICKS_PER_DAY + datetime_grid(local.ticks)};
    row[1] = row[2];
    if (s->cdc.begin_time != 0)
        row[1].i = s->cdc.begin_time;
    row[3] = blob(tran_id, id_size);
    row[4] = blob(s->cdc.begin_lsn, LSN_SIZE);
    if ((s->cdc.deferred ? write_pending(s, d, row) : dml_append(s, t, row)) != 0)
        return -1;
    return write_log_end(s, d);
}

int
cdc_before_commit(struct session *s)
{
    uint8_t id[6] = {0};
    uint64_t n = s->cdc.tran_id;

    if (!s->cdc.active)
        return 0;
    for (int i = 5; i >= 0; i--, n >>= 8)
        id[i] = (uint8_t)n;
    return write_mapping(s, s->cdc.db, id, sizeof id);
}

int
cdc_write_dummy(struct session *s, struct database *d)
{
    static const uint8_t NO_TRANSACTION[1] = {0};
    int rc;

    arena_reset(&s->exec_arena);
    s->error.number = 0;
    if (session_attach(s, d) != 0 || tx_begin_write(s, d, 0) != 0)
        return -1;
    s->cdc.begin_time = 0;
    rc = begin(s, d);
    if (rc == 0 && s->cdc.deferred &&
        session_int(s, 0, "SELECT count(*) FROM d%d.sys_pending", d->id) == 0)
        s->cdc.deferred = false; /* the scan itself has found the log empty */
    if (rc == 0)
        rc = write_mapping(s, d, NO_TRANSACTION, sizeof NO_TRANSACTION);
    s->cdc.active = false;
    catalog_release(s);
    return tx_end_statement(s, rc == 0) != 0 ? -1 : rc;
}

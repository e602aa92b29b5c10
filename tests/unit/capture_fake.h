/*
 * capture_fake - a source that lives in arrays: two tables, a scripted log, faults on demand.
 *
 * Table dbo.k (id int key, v nvarchar) has FAKE_ROWS rows, dbo.h has no key.  The log is FAKE_LOG
 * transactions of two changes each.  follow() gives FAKE_WINDOW transactions a round and begins at
 * the start of the transaction `from` lies in, as the contract allows; when the log is over it
 * answers "stopped".
 */
#ifndef CAPTURE_FAKE_H
#define CAPTURE_FAKE_H

#include "capture/source.h"
#include "common/err.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FAKE_ROWS   25
#define FAKE_WINDOW 3
#define FAKE_JOIN   100 /* LSN of the load */

struct fake {
    struct source base;
    struct source_table tables[2];
    struct source_table *list[2];
    bool known[2];
};

/* The script: set by tests before capture_run(). */
static struct {
    int transactions;     /* of the log, LSNs FAKE_JOIN + 1 ... */
    size_t text_size;     /* of v in the log */
    const char *created;  /* identity */
    const char *refuse;   /* name of a table that is refused */
    int connect_failures; /* connections that fail first */
    int break_after;      /* changes after which the connection breaks once; 0 = never */
    int changes;          /* given so far */
    uint64_t lose[2];     /* from this LSN on changes of table k, h are lost; 0 = never */
    bool seconds;         /* the transaction at LSN n is committed at second n */
    uint64_t short_start; /* transactions of the log that are gone for table h */
    int connects;
} fake_script;

static inline void
fake_lsn(uint64_t n, uint8_t lsn[LSN_SIZE])
{
    for (int i = LSN_SIZE - 1; i >= 0; i--, n >>= 8)
        lsn[i] = (uint8_t)n;
}

static inline uint64_t
fake_lsn_of(const struct position *p)
{
    uint64_t n = 0;

    for (int i = 2; i < LSN_SIZE; i++)
        n = n << 8 | p->b[i];
    return n;
}

static inline void
fake_define(struct source_table *t, const char *name, bool has_key)
{
    struct table_def *d = calloc(1, sizeof(*d));
    struct err e = ERR_INIT;

    d->schema = strdup("dbo");
    d->name = strdup(name);
    d->n_columns = 2;
    d->columns = calloc(2, sizeof(*d->columns));
    d->columns[0] = (struct column_def){.name = strdup("id"),
                                        .source_type = strdup("int"),
                                        .type = DMS_INT4,
                                        .key_ordinal = has_key ? 1 : 0};
    d->columns[1] = (struct column_def){.name = strdup("v"),
                                        .source_type = strdup("nvarchar(50)"),
                                        .type = DMS_WSTRING,
                                        .length = 50,
                                        .nullable = true};
    ck_assert_int_eq(catalog_finish(d, &e), 0);
    t->def = d;
    t->instance = strdup(name);
}

static inline int fake_open(const struct source_config *config, struct source **out, struct err *e);

static inline void
fake_close(struct source **s)
{
    struct fake *f = (struct fake *)*s;

    for (int i = 0; i < 2; i++) {
        catalog_table_free(&f->tables[i].def);
        free(f->tables[i].instance);
        free(f->tables[i].refused);
    }
    free(f);
    *s = NULL;
}

static inline int
fake_connect(struct source *s, struct source_identity *identity, struct err *e)
{
    (void)s;
    memset(identity, 0, sizeof(*identity));
    fake_script.connects++;
    if (fake_script.connect_failures > 0) {
        fake_script.connect_failures--;
        return err_set(e, ERR_CONNECT, "refused");
    }
    (void)snprintf(identity->server, sizeof(identity->server), "S");
    (void)snprintf(identity->database, sizeof(identity->database), "D");
    (void)snprintf(identity->created, sizeof(identity->created), "%s", fake_script.created);
    return 0;
}

static inline int
fake_tables(struct source *s, struct source_table ***out, size_t *n, struct err *e)
{
    struct fake *f = (struct fake *)s;

    (void)e;
    for (int i = 0; i < 2; i++)
        if (fake_script.refuse != NULL && f->tables[i].refused == NULL &&
            strcmp(f->tables[i].def->name, fake_script.refuse) == 0)
            f->tables[i].refused = strdup("it is odd");
    *out = f->list;
    *n = 2;
    return 0;
}

static inline void
fake_known(struct source *s, struct source_table *t, const struct position *since)
{
    struct fake *f = (struct fake *)s;

    t->since = *since;
    f->known[t - f->tables] = true;
}

static inline int
fake_join(struct source *s, struct position *out, struct err *e)
{
    uint8_t lsn[LSN_SIZE];

    (void)s;
    (void)e;
    fake_lsn(FAKE_JOIN, lsn);
    position_lsn_complete(lsn, out);
    return 0;
}

/* The log of table k reaches back to LSN FAKE_JOIN, that of h to fake_script.short_start. */
static inline int
fake_ranges(struct source *s, struct source_ranges *out, struct err *e)
{
    struct fake *f = (struct fake *)s;
    struct position oldest;
    uint8_t lsn[LSN_SIZE];

    for (int i = 0; i < 2; i++) {
        fake_lsn(FAKE_JOIN + (i == 1 ? fake_script.short_start : 0), lsn);
        position_lsn_complete(lsn, &oldest);
        if (source_range_add(out, &f->tables[i], &oldest, 0, e) != 0)
            return -1;
    }
    fake_lsn((uint64_t)FAKE_JOIN + (uint64_t)fake_script.transactions, lsn);
    position_lsn_complete(lsn, &out->newest);
    return 0;
}

/* A commit takes a second, the first one at second FAKE_JOIN + 1. */
static inline int
fake_at_time(struct source *s, int64_t real_ns, struct position *out, struct err *e)
{
    uint8_t lsn[LSN_SIZE];

    (void)s;
    (void)e;
    fake_lsn((uint64_t)(real_ns / 1000000000) - 1, lsn);
    position_lsn_complete(lsn, out);
    return 0;
}

static inline void
fake_load_position(const struct position *join, uint64_t chunk, struct position *out)
{
    position_chunk_behind(join, chunk, out);
}

static inline int
fake_number(const char *text)
{
    return (int)strtol(text, NULL, 10);
}

static inline int
fake_bound(struct source *s, struct source_table *t, const struct source_key *from, uint32_t rows,
           struct source_key *out, struct err *e)
{
    int upto = (from->n > 0 ? fake_number(from->part[0]) : 0) + (int)rows;
    char text[16];

    (void)s;
    (void)e;
    out->n = 0;
    if (t->def->n_key == 0 || upto >= FAKE_ROWS)
        return 0;
    (void)snprintf(text, sizeof(text), "%d", upto);
    out->part[0] = strdup(text);
    out->n = 1;
    return 0;
}

static inline int
fake_read(struct source *s, struct source_table *t, const struct source_key *from,
          const struct source_key *upto, const struct source_sink *sink, struct err *e)
{
    int first = from->n > 0 ? fake_number(from->part[0]) + 1 : 1;
    int last = upto->n > 0 ? fake_number(upto->part[0]) : FAKE_ROWS;

    (void)s;
    for (int id = first; id <= last; id++) {
        const struct value values[2] = {
            {.kind = VALUE_INT, .i = id},
            {.kind = VALUE_TEXT, .bytes = {.data = "row", .size = 3}},
        };
        struct event ev = {.operation = EVENT_LOAD, .n_after = 2, .after = values};

        if (sink->change(sink->arg, t, &ev, e) != 0)
            return -1;
    }
    return 0;
}

/* Tells of the holes that begin at or before lsn. */
static inline int
fake_lose(struct fake *f, uint64_t lsn, const struct source_sink *sink, struct err *e)
{
    for (int i = 0; i < 2; i++) {
        struct source_gap gap = {.upto_real_ns = 1704067200000000000, /* 2024-01-01 */
                                 .why = "somebody swept",
                                 .remedy = "sweep less"};
        uint8_t upto[LSN_SIZE];

        if (fake_script.lose[i] == 0 || lsn < fake_script.lose[i] || f->tables[i].refused != NULL)
            continue;
        fake_lsn(fake_script.lose[i], gap.from.b);
        fake_lsn(fake_script.lose[i] + 1, upto);
        position_lsn_complete(upto, &gap.upto);
        if (sink->lost(sink->arg, &f->tables[i], &gap, e) != 0)
            return -1;
    }
    return 0;
}

static inline int64_t
fake_commit_ns(uint64_t lsn)
{
    return fake_script.seconds ? (int64_t)lsn * 1000000000 : 0;
}

/* Change i (0, 1) of the transaction at lsn: an insert of id = lsn into table i. */
static inline int
fake_change(struct fake *f, uint64_t lsn, int i, const char *text, const struct source_sink *sink,
            struct err *e)
{
    const struct value values[2] = {
        {.kind = VALUE_INT, .i = (int64_t)lsn},
        {.kind = VALUE_TEXT, .bytes = {.data = text, .size = (uint32_t)fake_script.text_size}},
    };
    struct position_sqlserver at = {.command_id = i + 1, .operation = 2};
    struct event ev = {.operation = EVENT_INSERT,
                       .n_after = 2,
                       .after = values,
                       .commit_real_ns = fake_commit_ns(lsn),
                       .record_number = (uint32_t)(i + 1)};

    fake_lsn(lsn, at.start_lsn);
    fake_lsn((uint64_t)i, at.seqval);
    position_from_sqlserver(&at, &ev.position);
    if (f->tables[i].refused != NULL)
        return 0;
    if (fake_script.break_after > 0 && ++fake_script.changes > fake_script.break_after) {
        fake_script.break_after = 0;
        return err_set(e, ERR_CONNECT, "connection gone");
    }
    return sink->change(sink->arg, &f->tables[i], &ev, e);
}

static inline int
fake_follow(struct source *s, const struct position *from, const struct source_sink *sink,
            struct source_status *status, struct err *e)
{
    static char text[1 << 20];
    struct fake *f = (struct fake *)s;
    struct position complete;
    uint8_t lsn[LSN_SIZE];
    uint64_t last = (uint64_t)FAKE_JOIN + (uint64_t)fake_script.transactions;
    uint64_t first = fake_lsn_of(from);
    uint64_t top;

    memset(text, 'x', fake_script.text_size);
    fake_lsn(first, lsn);
    position_lsn_complete(lsn, &complete);
    if (position_compare(from, &complete) >= 0)
        first++; /* all of it is given */
    if (first > last)
        return err_set(e, ERR_STOPPED, "the script is over");
    top = first + FAKE_WINDOW - 1 < last ? first + FAKE_WINDOW - 1 : last;
    for (uint64_t n = first; n <= top; n++) {
        if (fake_lose(f, n, sink, e) != 0)
            return -1;
        for (int i = 0; i < 2; i++)
            if (fake_change(f, n, i, text, sink, e) != 0)
                return -1;
    }
    status->more = true;
    fake_lsn(top, lsn);
    position_lsn_complete(lsn, &complete);
    return sink->complete(sink->arg, &complete, fake_commit_ns(top), (uint32_t)(top - first + 1),
                          e);
}

static inline int
fake_confirm(struct source *s, const struct position *position, struct err *e)
{
    (void)s;
    (void)position;
    (void)e;
    return 0;
}

static inline int
fake_check(struct source *s, struct source_findings *findings, struct err *e)
{
    (void)s;
    (void)findings;
    (void)e;
    return 0;
}

static const struct source_engine fake_engine = {
    .name = "fake",
    .open = fake_open,
    .close = fake_close,
    .connect = fake_connect,
    .tables = fake_tables,
    .known = fake_known,
    .join = fake_join,
    .ranges = fake_ranges,
    .at_time = fake_at_time,
    .load_position = fake_load_position,
    .chunk_bound = fake_bound,
    .chunk_read = fake_read,
    .follow = fake_follow,
    .confirm = fake_confirm,
    .check = fake_check,
};

static inline int
fake_open(const struct source_config *config, struct source **out, struct err *e)
{
    struct fake *f = calloc(1, sizeof(*f));

    (void)config;
    (void)e;
    f->base.engine = &fake_engine;
    fake_define(&f->tables[0], "k", true);
    fake_define(&f->tables[1], "h", false);
    f->list[0] = &f->tables[1]; /* by name: h, k */
    f->list[1] = &f->tables[0];
    *out = &f->base;
    return 0;
}

#endif

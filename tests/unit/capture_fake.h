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
    int transactions;    /* of the log, LSNs FAKE_JOIN + 1 ... */
    size_t text_size;    /* of v in the log */
    const char *created; /* identity */
    const char *server;  /* NULL: "S" */
    const char *family;
    const char *group;
    const char *fork;
    const char *fork_parent;
    uint64_t fork_point;  /* LSN; 0 = not known */
    const char *refuse;   /* name of a table that is refused */
    int connect_failures; /* connections that fail first */
    int break_after;      /* changes after which the connection breaks once; 0 = never */
    int changes;          /* given so far */
    uint64_t lose[2];     /* from this LSN on changes of table k, h are lost; 0 = never */
    bool seconds;         /* the transaction at LSN n is committed at second n */
    uint64_t short_start; /* transactions of the log that are gone for table h */
    int connects;
    const char *bad_table; /* name of a table whose rows cannot be read */
    bool has_views;
    int moment; /* of a view, in transactions behind the join */
    int views;  /* readers in a view now, or asked for in vain */
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

static inline void
fake_say(char *to, size_t size, const char *text)
{
    (void)snprintf(to, size, "%s", text != NULL ? text : "");
}

static inline int
fake_connect(struct source *s, struct source_identity *identity, struct err *e)
{
    uint8_t lsn[LSN_SIZE];

    (void)s;
    memset(identity, 0, sizeof(*identity));
    fake_script.connects++;
    if (fake_script.connect_failures > 0) {
        fake_script.connect_failures--;
        return err_set(e, ERR_CONNECT, "refused");
    }
    fake_say(identity->server, sizeof(identity->server),
             fake_script.server != NULL ? fake_script.server : "S");
    fake_say(identity->family, sizeof(identity->family), fake_script.family);
    fake_say(identity->group, sizeof(identity->group), fake_script.group);
    fake_say(identity->fork, sizeof(identity->fork), fake_script.fork);
    fake_say(identity->fork_parent, sizeof(identity->fork_parent), fake_script.fork_parent);
    if (fake_script.fork_point != 0) {
        fake_lsn(fake_script.fork_point, lsn);
        position_lsn_complete(lsn, &identity->fork_point);
    }
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

static inline int
fake_known(struct source *s, struct source_table *t, const struct position *since,
           const struct table_def *was, struct err *e)
{
    struct fake *f = (struct fake *)s;

    (void)was;
    (void)e;
    t->since = *since;
    f->known[t - f->tables] = true;
    return 0;
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

/* ---- loading: table k in two pieces in key order, table h in two without order ---- */

#define FAKE_HALF 12 /* k's first piece ends here; h's pieces are odd and even ids */

static inline int
fake_cut(struct source *s, struct source_table *t, uint32_t want, uint64_t *rows,
         struct source_piece **out, size_t *n, struct err *e)
{
    (void)s;
    (void)e;
    (void)want;
    *rows = FAKE_ROWS;
    *n = 2;
    *out = calloc(2, sizeof(**out));
    for (size_t i = 0; i < 2; i++)
        (*out)[i] = (struct source_piece){.where = strdup(i == 0 ? "first" : "second"),
                                          .is_ordered = t->def->n_key > 0};
    return 0;
}

struct fake_reader {
    struct source_reader base;
    const struct source_table *table;
    bool is_ordered;
    bool is_second;
    int next;
    int last;
};

struct fake_page {
    struct source_page base;
    struct value values[2 * FAKE_ROWS];
};

static inline int
fake_reader_open(struct source *s, struct source_reader **out, struct err *e)
{
    struct fake_reader *r = calloc(1, sizeof(*r));

    (void)e;
    r->base.engine = s->engine;
    *out = &r->base;
    return 0;
}

static inline void
fake_reader_close(struct source_reader **r)
{
    free(*r);
    *r = NULL;
}

static inline int
fake_reader_begin(struct source_reader *base, const struct source_part *part, struct err *e)
{
    struct fake_reader *r = (struct fake_reader *)base;

    (void)e;
    r->table = part->table;
    r->is_ordered = part->is_ordered;
    r->is_second = strcmp(part->where, "second") == 0;
    r->next = 1;
    r->last = FAKE_ROWS;
    if (!r->is_ordered)
        return 0;
    r->next = r->is_second ? FAKE_HALF + 1 : 1;
    r->last = r->is_second ? FAKE_ROWS : FAKE_HALF;
    if (part->from->n > 0)
        r->next = fake_number(part->from->part[0]) + 1;
    if (part->upto->n > 0)
        r->last = fake_number(part->upto->part[0]);
    return 0;
}

static inline int
fake_reader_page(struct source_reader *base, uint32_t rows, size_t bytes, struct source_page *page,
                 struct err *e)
{
    struct fake_reader *r = (struct fake_reader *)base;
    struct fake_page *p = (struct fake_page *)page;
    char text[16];

    (void)bytes;
    if (fake_script.bad_table != NULL && strcmp(r->table->def->name, fake_script.bad_table) == 0)
        return err_set(e, ERR_DATA, "a value that cannot be carried");
    page->n_rows = 0;
    page->values = p->values;
    source_key_free(&page->last);
    for (; r->next <= r->last && page->n_rows < rows; r->next++) {
        if (!r->is_ordered && r->next % 2 != (r->is_second ? 0 : 1))
            continue;
        p->values[2 * page->n_rows] = (struct value){.kind = VALUE_INT, .i = r->next};
        p->values[2 * page->n_rows + 1] =
            (struct value){.kind = VALUE_TEXT, .bytes = {.data = "row", .size = 3}};
        page->n_rows++;
    }
    page->is_end = r->next > r->last;
    if (r->is_ordered && !page->is_end) {
        (void)snprintf(text, sizeof(text), "%d", r->next - 1);
        page->last.part[0] = strdup(text);
        page->last.n = 1;
    }
    return 0;
}

static inline struct source_page *
fake_page_new(struct source *s)
{
    struct fake_page *p = calloc(1, sizeof(*p));

    p->base.engine = s->engine;
    return &p->base;
}

static inline void
fake_page_free(struct source_page **page)
{
    source_key_free(&(*page)->last);
    free(*page);
    *page = NULL;
}

static inline int
fake_view_begin(struct source *s, struct source_table *t, struct source_reader *const *readers,
                size_t n, struct position *since, struct err *e)
{
    uint8_t lsn[LSN_SIZE];

    (void)s;
    (void)t;
    (void)readers;
    fake_script.views += (int)n;
    if (!fake_script.has_views) {
        err_set(e, ERR_CONFIG, "no views here");
        err_hint(e, "look elsewhere");
        return 1;
    }
    fake_lsn((uint64_t)FAKE_JOIN + (uint64_t)fake_script.moment, lsn);
    position_lsn_complete(lsn, since);
    return 0;
}

static inline int
fake_view_end(struct source_reader *r, struct err *e)
{
    (void)r;
    (void)e;
    fake_script.views--;
    return 0;
}

static inline int
fake_readmit(struct source *s, struct source_table *t, struct err *e)
{
    (void)s;
    (void)t;
    (void)e;
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
    struct position whole;
    struct position_sqlserver at = {.command_id = i + 1, .operation = 2};
    struct event ev = {.operation = EVENT_INSERT,
                       .n_after = 2,
                       .after = values,
                       .commit_real_ns = fake_commit_ns(lsn),
                       .record_number = (uint32_t)(i + 1)};

    fake_lsn(lsn, at.start_lsn);
    fake_lsn((uint64_t)i, at.seqval);
    position_from_sqlserver(&at, &ev.position);
    position_lsn_complete(at.start_lsn, &whole);
    if (f->tables[i].refused != NULL || position_compare(&whole, &f->tables[i].since) <= 0)
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
    .cut = fake_cut,
    .reader_open = fake_reader_open,
    .reader_close = fake_reader_close,
    .reader_begin = fake_reader_begin,
    .reader_page = fake_reader_page,
    .page_new = fake_page_new,
    .page_free = fake_page_free,
    .view_begin = fake_view_begin,
    .view_end = fake_view_end,
    .readmit = fake_readmit,
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

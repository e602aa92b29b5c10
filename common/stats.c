/*
 * The writing side of a statistics file: one process, one thread, plain loads and stores.
 */
#include "common/stats.h"

#include "common/clock.h"
#include "common/err.h"
#include "common/fault.h"
#include "common/stats_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define USAGE_EVERY_NS (250 * NS_PER_MS)
#define SLOW_LOOP_NS   NS_PER_S
#define OTHERS         "(others)"

/* ---- words ---- */

static void
word_add(_Atomic uint64_t *word, uint64_t n)
{
    /* One writer: load and store, twenty times cheaper than an atomic addition. */
    atomic_store_explicit(word, atomic_load_explicit(word, memory_order_relaxed) + n,
                          memory_order_relaxed);
}

static void
word_set(_Atomic uint64_t *word, uint64_t value)
{
    atomic_store_explicit(word, value, memory_order_relaxed);
}

/* A death inside leaves seq odd; readers give up after a while and mark the value. */
static void
cell_write(_Atomic uint32_t *seq, _Atomic uint64_t *words, const uint64_t *in, size_t n)
{
    uint32_t before = atomic_load_explicit(seq, memory_order_relaxed);

    atomic_store_explicit(seq, before + 1, memory_order_relaxed);
    CRASH_POINT("stats-cell-odd");
    /* Pairs with the acquire fence in stats_cell_read: no word may be seen before the odd seq. */
    atomic_thread_fence(memory_order_release);
    for (size_t i = 0; i < n; i++) {
        atomic_store_explicit(&words[i], in[i], memory_order_relaxed);
        CRASH_POINT("stats-cell-word");
    }
    /* Pairs with the acquire load in stats_cell_read. */
    atomic_store_explicit(seq, before + 2, memory_order_release);
    CRASH_POINT("stats-cell-even");
}

static void
position_write(struct stats_cell *c, const struct stats_position *p)
{
    uint64_t w[STATS_POSITION_WORDS];

    position_to_words(&p->position, w);
    w[4] = (uint64_t)p->commit_real_ns;
    w[5] = (uint64_t)p->seen_mono_ns;
    cell_write(&c->seq, c->words, w, STATS_POSITION_WORDS);
}

/* ---- the process ---- */

void
stats_add(struct stats *s, enum stat_id id, uint64_t n)
{
    word_add(&s->stage->counters[id], n);
}

void
stats_set(struct stats *s, enum stat_id id, uint64_t value)
{
    word_set(&s->stage->counters[id], value);
}

void
stats_state(struct stats *s, enum stage_state state)
{
    atomic_store_explicit(&s->live->state, (uint32_t)state, memory_order_relaxed);
}

static uint64_t
timeval_ns(const struct timeval *t)
{
    return (uint64_t)t->tv_sec * (uint64_t)NS_PER_S + (uint64_t)t->tv_usec * 1000U;
}

/* Resident pages without the shared ones: rings and statistics are counted by themselves. */
static void
update_usage(struct stats *s)
{
    struct rusage usage;
    char text[128];
    ssize_t n = s->statm_fd >= 0 ? pread(s->statm_fd, text, sizeof(text) - 1, 0) : -1;

    if (getrusage(RUSAGE_SELF, &usage) == 0) {
        stats_set(s, STAT_CPU_USER_NS, timeval_ns(&usage.ru_utime));
        stats_set(s, STAT_CPU_SYS_NS, timeval_ns(&usage.ru_stime));
    }
    if (n > 0) {
        char *p = text;
        unsigned long long resident;
        unsigned long long shared;

        text[n] = '\0';
        (void)strtoull(p, &p, 10);
        resident = strtoull(p, &p, 10);
        shared = strtoull(p, &p, 10);
        if (shared <= resident)
            stats_set(s, STAT_RSS_BYTES, (resident - shared) * (uint64_t)s->page_bytes);
    }
}

void
stats_beat(struct stats *s, int64_t now_ns)
{
    if (s->last_beat_ns != 0 && now_ns > s->last_beat_ns) {
        uint64_t loop_ns = (uint64_t)(now_ns - s->last_beat_ns);

        if (loop_ns > atomic_load_explicit(&s->live->max_loop_ns, memory_order_relaxed))
            word_set(&s->live->max_loop_ns, loop_ns);
        if (loop_ns >= (uint64_t)SLOW_LOOP_NS)
            word_add(&s->live->slow_loops, 1);
    }
    s->last_beat_ns = now_ns;
    word_add(&s->live->loop_count, 1);
    word_add(&s->stage->counters[STAT_LOOPS], 1);
    word_set(&s->live->heartbeat_mono_ns, (uint64_t)now_ns);
    if (s->last_usage_ns == 0 || now_ns - s->last_usage_ns >= USAGE_EVERY_NS) {
        s->last_usage_ns = now_ns;
        update_usage(s);
    }
}

void
stats_position(struct stats *s, struct stats_table *t, const struct stats_position *p)
{
    position_write(t != NULL ? &t->position : &s->stage->position, p);
}

void
stats_hist(struct stats *s, enum hist_id id, uint64_t ns)
{
    struct stats_histogram *h = &s->hists[id];

    word_add(&h->buckets[stats_bucket(ns)], 1);
    word_add(&h->count, 1);
    word_add(&h->sum_ns, ns);
    if (ns > atomic_load_explicit(&h->max_ns, memory_order_relaxed))
        word_set(&h->max_ns, ns);
}

/* ---- tables ---- */

static uint64_t
name_hash(const char *name)
{
    uint64_t h = 0xCBF29CE484222325ULL;

    for (; *name != '\0'; name++)
        h = (h ^ (unsigned char)*name) * 0x100000001B3ULL;
    return h;
}

/* Bytes of name to keep: as many whole characters as have room. */
static uint32_t
name_kept(const char *name)
{
    size_t n = strlen(name);

    while (n > STATS_NAME_BYTES) {
        n--;
        while (n > 0 && ((unsigned char)name[n] & 0xC0) == 0x80)
            n--;
    }
    return (uint32_t)n;
}

static struct stats_table *
record_fill(struct stats_table *t, uint32_t table_id, const char *name)
{
    t->table_id = table_id;
    t->name_hash = name_hash(name);
    t->name_bytes = name_kept(name);
    memcpy(t->name, name, t->name_bytes);
    CRASH_POINT("stats-table-filled");
    /* Pairs with the acquire load in stats_view_table. */
    atomic_store_explicit(&t->record_state, STATS_LIVE, memory_order_release);
    return t;
}

/* A place in the index: that of table_id, or the free one where it belongs. */
static uint32_t *
index_slot(struct stats *s, uint32_t table_id)
{
    uint32_t at = (table_id * 0x9E3779B1U) & s->index_mask;

    while (s->index[at] != 0 && s->tables[s->index[at] - 1].table_id != table_id)
        at = (at + 1) & s->index_mask;
    return &s->index[at];
}

struct stats_table *
stats_table(struct stats *s, uint32_t table_id, const char *name)
{
    uint32_t *slot = index_slot(s, table_id);
    uint32_t used = atomic_load_explicit(&s->tables_section->used, memory_order_relaxed);
    uint32_t last = s->tables_section->capacity - 1;
    struct stats_table *t;

    if (*slot != 0) {
        t = &s->tables[*slot - 1];
        if (t->name_hash == name_hash(name) || strlen(name) >= STATS_NAME_BYTES)
            return t;
        /* The id was given to another table, after a start from scratch. */
        atomic_store_explicit(&t->record_state, STATS_RETIRED, memory_order_relaxed);
    }
    if (used == last) {
        t = &s->tables[last];
        if (atomic_load_explicit(&t->record_state, memory_order_relaxed) == STATS_FREE)
            record_fill(t, 0, OTHERS);
        return t;
    }
    t = record_fill(&s->tables[used], table_id, name);
    *slot = used + 1;
    /* Pairs with the acquire load in table_record. */
    atomic_store_explicit(&s->tables_section->used, used + 1, memory_order_release);
    CRASH_POINT("stats-table-used");
    return t;
}

void
stats_table_add(struct stats_table *t, enum tstat_id id, uint64_t n)
{
    word_add(&t->counters[id], n);
}

void
stats_table_set(struct stats_table *t, enum tstat_id id, uint64_t value)
{
    word_set(&t->counters[id], value);
}

uint64_t
stats_table_get(const struct stats_table *t, enum tstat_id id)
{
    return atomic_load_explicit(&t->counters[id], memory_order_relaxed);
}

void
stats_table_state(struct stats_table *t, enum table_state state)
{
    atomic_store_explicit(&t->state, (uint32_t)state, memory_order_relaxed);
}

/* ---- errors ---- */

static void
error_body(const struct stats_error_slot *slot, struct stats_error_body *out)
{
    uint64_t words[STATS_ERROR_WORDS] = {0};

    for (size_t i = 0; i < STATS_ERROR_WORDS; i++)
        words[i] = atomic_load_explicit(&slot->words[i], memory_order_relaxed);
    memcpy(out, words, sizeof(*out));
}

/* The slot of this kind of error, a free one, or the one not seen for the longest time. */
static uint32_t
error_slot(const struct stats *s, const struct stats_error_body *wanted,
           struct stats_error_body *found)
{
    uint32_t used = atomic_load_explicit(&s->errors_section->used, memory_order_relaxed);
    uint32_t oldest = 0;
    int64_t oldest_ns = INT64_MAX;

    for (uint32_t i = 0; i < used; i++) {
        error_body(&s->errors[i], found);
        if (found->line == wanted->line && found->table_id == wanted->table_id &&
            strcmp(found->code, wanted->code) == 0 && strcmp(found->file, wanted->file) == 0)
            return i;
        if (found->last_real_ns < oldest_ns) {
            oldest_ns = found->last_real_ns;
            oldest = i;
        }
    }
    memset(found, 0, sizeof(*found));
    return used < STATS_ERROR_SLOTS ? used : oldest;
}

void
stats_error(struct stats *s, const struct err *e, uint32_t table_id)
{
    struct stats_error_body body = {.line = (uint32_t)e->line, .table_id = table_id};
    struct stats_error_body old;
    uint64_t words[STATS_ERROR_WORDS];
    uint32_t i;

    stats_add(s, STAT_ERRORS, 1);
    (void)snprintf(body.code, sizeof(body.code), "%s", err_name(e->code));
    (void)snprintf(body.file, sizeof(body.file), "%s", e->file != NULL ? e->file : "?");
    (void)snprintf(body.text, sizeof(body.text), "%.*s", (int)sizeof(body.text) - 1, e->text);
    i = error_slot(s, &body, &old);
    body.last_real_ns = clock_real_ns();
    body.first_real_ns = old.count != 0 ? old.first_real_ns : body.last_real_ns;
    body.count = old.count + 1;
    memcpy(words, &body, sizeof(body));
    cell_write(&s->errors[i].seq, s->errors[i].words, words, STATS_ERROR_WORDS);
    if (old.count != 0)
        return;
    if (i == atomic_load_explicit(&s->errors_section->used, memory_order_relaxed))
        /* Pairs with the acquire load in stats_view_error. */
        atomic_store_explicit(&s->errors_section->used, i + 1, memory_order_release);
    atomic_store_explicit(&s->live->error_seq,
                          atomic_load_explicit(&s->live->error_seq, memory_order_relaxed) + 1,
                          memory_order_relaxed);
}

/* ---- alarms ---- */

static void
alarm_body(const struct stats_alarm_slot *slot, struct stats_alarm_body *out)
{
    uint64_t words[STATS_ALARM_WORDS] = {0};

    for (size_t i = 0; i < STATS_ALARM_WORDS; i++)
        words[i] = atomic_load_explicit(&slot->words[i], memory_order_relaxed);
    memcpy(out, words, sizeof(*out));
}

static void
alarm_write(struct stats_alarm_slot *slot, const struct stats_alarm_body *body)
{
    uint64_t words[STATS_ALARM_WORDS];

    memcpy(words, body, sizeof(words));
    cell_write(&slot->seq, slot->words, words, STATS_ALARM_WORDS);
}

/* The slot of the raised alarm `code`, else a free one; STATS_ALARM_SLOTS when there is none. */
static uint32_t
alarm_slot(const struct stats *s, const char *code, struct stats_alarm_body *found)
{
    uint32_t used = atomic_load_explicit(&s->alarms_section->used, memory_order_relaxed);
    uint32_t spare = used;

    for (uint32_t i = 0; i < used; i++) {
        alarm_body(&s->alarms[i], found);
        if (found->is_raised != 0 && strcmp(found->code, code) == 0)
            return i;
        if (found->is_raised == 0)
            spare = i;
    }
    memset(found, 0, sizeof(*found));
    return spare;
}

void
stats_alarm(struct stats *s, const char *code, enum stats_alarm_level level, const char *text,
            const char *remedy)
{
    struct stats_alarm_body old;
    struct stats_alarm_body body = {.level = (uint32_t)level, .is_raised = 1};
    uint32_t i = alarm_slot(s, code, &old);

    if (i == STATS_ALARM_SLOTS)
        return;
    body.last_real_ns = clock_real_ns();
    body.since_real_ns = old.is_raised != 0 ? old.since_real_ns : body.last_real_ns;
    (void)snprintf(body.code, sizeof(body.code), "%s", code);
    (void)snprintf(body.text, sizeof(body.text), "%s", text);
    (void)snprintf(body.remedy, sizeof(body.remedy), "%s", remedy);
    alarm_write(&s->alarms[i], &body);
    if (i == atomic_load_explicit(&s->alarms_section->used, memory_order_relaxed))
        /* Pairs with the acquire load in stats_view_alarm. */
        atomic_store_explicit(&s->alarms_section->used, i + 1, memory_order_release);
}

void
stats_alarm_clear(struct stats *s, const char *code)
{
    struct stats_alarm_body body;
    uint32_t i = alarm_slot(s, code, &body);

    if (i == STATS_ALARM_SLOTS || body.is_raised == 0)
        return;
    body.is_raised = 0;
    alarm_write(&s->alarms[i], &body);
}

/*
 * The reading side of a statistics file.  Whatever the file holds, nothing here loops without
 * end or reads outside it: it may be older, newer, damaged, or half rewritten by a dying process.
 */
#include "common/clock.h"
#include "common/crc32c.h"
#include "common/err.h"
#include "common/file.h"
#include "common/stats.h"
#include "common/stats_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define CELL_TRIES 1000
#define CELL_SPINS 100

/* Records and cells begin on pairs of cache lines. */
#define SECTION_ALIGNMENT 128

/* A section as it was found at the start: the file may be cut afterwards. */
struct section {
    uint64_t offset;
    uint32_t stride;
    uint32_t capacity;
    uint32_t fields;
    uint32_t bytes;
    const _Atomic uint32_t *used; /* lives in the file */
};

struct stats_view {
    char *path;
    int fd;
    dev_t dev;
    ino_t ino;
    const char *map;
    size_t size;
    const struct stats_header *header;
    struct section stage;
    struct section tables;
    struct section hists;
    struct section errors;
    struct section alarms; /* capacity 0 in files of before 1.2 */
    struct section schema;
};

/* ---- opening ---- */

uint32_t
stats_section_crc(const struct stats_header *h)
{
    uint32_t crc = 0;

    for (size_t i = 0; i < STATS_SECTIONS; i++) {
        const struct stats_section *s = &h->sections[i];

        crc = crc32c(crc, s, offsetof(struct stats_section, used));
        crc = crc32c(crc, &s->bytes, sizeof(s->bytes));
    }
    return crc;
}

static bool
find_section(const struct stats_view *v, enum stats_kind kind, uint32_t least_stride,
             struct section *out)
{
    for (size_t i = 0; i < STATS_SECTIONS; i++) {
        const struct stats_section *s = &v->header->sections[i];

        if (s->kind != (uint32_t)kind)
            continue;
        *out = (struct section){.offset = s->offset,
                                .stride = s->stride,
                                .capacity = s->capacity,
                                .fields = s->fields,
                                .bytes = s->bytes,
                                .used = &s->used};
        return s->stride >= least_stride && s->offset % SECTION_ALIGNMENT == 0 &&
               (s->capacity <= 1 || s->stride % SECTION_ALIGNMENT == 0) && s->offset <= v->size &&
               (uint64_t)s->stride * s->capacity <= v->size - s->offset;
    }
    return false;
}

static int
check_header(struct stats_view *v, struct err *e)
{
    const struct stats_identity *id = &v->header->identity;

    if (id->magic != STATS_MAGIC)
        return err_set(e, ERR_LAYOUT, "%s is not a statistics file of weir", v->path);
    if (id->major != STATS_MAJOR) {
        err_set(e, ERR_LAYOUT, "%s has layout %u.%u, this program reads %u.x", v->path, id->major,
                id->minor, STATS_MAJOR);
        return err_hint(e, "use the weirctl of the same release as the stages");
    }
    if (id->crc32c != crc32c(0, id, offsetof(struct stats_identity, crc32c)) ||
        id->section_crc32c != stats_section_crc(v->header))
        return err_set(e, ERR_LAYOUT, "%s has a damaged header (checksum)", v->path);
    if (id->total_bytes > v->size)
        return err_set(e, ERR_LAYOUT, "%s is cut: %zu of %llu bytes", v->path, v->size,
                       (unsigned long long)id->total_bytes);
    if (!find_section(v, STATS_KIND_SCHEMA, 0, &v->schema) ||
        !find_section(v, STATS_KIND_STAGE, sizeof(struct stats_stage_section), &v->stage) ||
        !find_section(v, STATS_KIND_TABLE, sizeof(struct stats_table), &v->tables) ||
        !find_section(v, STATS_KIND_HISTOGRAM, sizeof(struct stats_histogram), &v->hists) ||
        !find_section(v, STATS_KIND_ERROR, sizeof(struct stats_error_slot), &v->errors) ||
        v->schema.bytes > v->schema.stride || v->schema.capacity < 1 || v->stage.capacity < 1)
        return err_set(e, ERR_LAYOUT, "%s lacks a section", v->path);
    if (!find_section(v, STATS_KIND_ALARM, sizeof(struct stats_alarm_slot), &v->alarms))
        v->alarms = (struct section){.capacity = 0};
    return 0;
}

static int
map_view(struct stats_view *v, struct err *e)
{
    struct stat st;
    void *map;

    v->fd = open(v->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (v->fd < 0)
        return err_sys(e,
                       errno == ENOENT   ? ERR_NOT_FOUND
                       : errno == EACCES ? ERR_ACCESS
                                         : ERR_IO,
                       errno, "open %s", v->path);
    if (fstat(v->fd, &st) != 0)
        return err_sys(e, ERR_IO, errno, "stat %s", v->path);
    if (st.st_size < (off_t)STATS_HEADER_BYTES)
        return err_set(e, ERR_LAYOUT, "%s has %lld bytes, less than a header", v->path,
                       (long long)st.st_size);
    v->dev = st.st_dev;
    v->ino = st.st_ino;
    v->size = (size_t)st.st_size;
    map = mmap(NULL, v->size, PROT_READ, MAP_SHARED, v->fd, 0);
    if (map == MAP_FAILED)
        return err_sys(e, ERR_IO, errno, "map %s", v->path);
    v->map = map;
    v->header = map;
    return check_header(v, e);
}

int
stats_open(const char *path, struct stats_view **out, struct err *e)
{
    struct stats_view *v = calloc(1, sizeof(*v));

    *out = NULL;
    if (v == NULL || (v->path = strdup(path)) == NULL) {
        free(v);
        return err_set(e, ERR_NOMEM, "statistics view of %s", path);
    }
    v->fd = -1;
    if (map_view(v, e) != 0) {
        stats_view_close(&v);
        return -1;
    }
    *out = v;
    return 0;
}

void
stats_view_close(struct stats_view **view)
{
    struct stats_view *v = *view;

    if (v == NULL)
        return;
    *view = NULL;
    if (v->header != NULL)
        (void)munmap((void *)(uintptr_t)v->map, v->size);
    if (v->fd >= 0)
        (void)close(v->fd);
    free(v->path);
    free(v);
}

/* A file cut behind our back would end us with SIGBUS at the next look. */
static bool
is_whole(const struct stats_view *v)
{
    struct stat st;

    return fstat(v->fd, &st) == 0 && (uint64_t)st.st_size >= v->size;
}

bool
stats_view_stale(const struct stats_view *v)
{
    struct stat st;

    return stat(v->path, &st) != 0 || st.st_dev != v->dev || st.st_ino != v->ino || !is_whole(v);
}

/* ---- cells ---- */

bool
stats_cell_read(const _Atomic uint32_t *seq, const _Atomic uint64_t *words, size_t n, uint64_t *out)
{
    for (int i = 0; i < CELL_TRIES; i++) {
        uint32_t before = atomic_load_explicit(seq, memory_order_acquire);

        for (size_t w = 0; w < n; w++)
            out[w] = atomic_load_explicit(&words[w], memory_order_relaxed);
        /* Pairs with the release fence in stats_cell_write: words seen new show seq moved. */
        atomic_thread_fence(memory_order_acquire);
        if ((before & 1U) == 0 && atomic_load_explicit(seq, memory_order_relaxed) == before)
            return true;
        /* The writer may wait for the very processor we spin on. */
        if (i >= CELL_SPINS)
            (void)sched_yield();
    }
    return false;
}

/* True when the position is torn: it is shown, with a mark. */
static bool
read_position(const struct stats_cell *c, struct stats_position *out)
{
    uint64_t w[STATS_POSITION_WORDS];
    bool is_whole_cell = stats_cell_read(&c->seq, c->words, STATS_POSITION_WORDS, w);

    position_from_words(w, &out->position);
    out->commit_real_ns = (int64_t)w[4];
    out->seen_mono_ns = (int64_t)w[5];
    return !is_whole_cell;
}

static uint64_t
look(const _Atomic uint64_t *word)
{
    return atomic_load_explicit(word, memory_order_relaxed);
}

/* ---- what a process says of itself ---- */

/* The owner holds a write lock on the file; pids can be reused, locks cannot. */
static bool
owner_lives(const struct stats_view *v)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

    return fcntl(v->fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

void
stats_view_summary(const struct stats_view *v, struct stats_summary *out)
{
    const struct stats_identity *id = &v->header->identity;
    const struct stats_live *live = &v->header->live;
    const struct stats_stage_section *stage = (const void *)(v->map + v->stage.offset);
    char boot[sizeof(id->boot_id)];
    uint64_t beat;

    memset(out, 0, sizeof(*out));
    out->state = STATE_STOPPED;
    if (!is_whole(v))
        return;
    (void)snprintf(out->stage, sizeof(out->stage), "%.*s", (int)sizeof(id->stage), id->stage);
    (void)snprintf(out->task, sizeof(out->task), "%.*s", (int)sizeof(id->task), id->task);
    (void)snprintf(out->build, sizeof(out->build), "%.*s", (int)sizeof(id->build), id->build);
    out->epoch = id->epoch;
    out->pid = id->pid;
    out->alive = owner_lives(v);
    out->state = (enum stage_state)atomic_load_explicit(&live->state, memory_order_relaxed);
    out->start_real_ns = id->start_real_ns;
    out->max_loop_ns = look(&live->max_loop_ns);
    out->slow_loops = look(&live->slow_loops);
    out->error_seq = atomic_load_explicit(&live->error_seq, memory_order_relaxed);
    beat = look(&live->heartbeat_mono_ns);
    stats_boot_id(boot, sizeof(boot));
    out->heartbeat_age_ns =
        memcmp(boot, id->boot_id, sizeof(boot)) == 0 ? clock_mono_ns() - (int64_t)beat : -1;
    for (uint32_t i = 0; i < STAT_COUNT && i < v->stage.fields; i++)
        out->counters[i] = look(&stage->counters[i]);
    out->position_torn = read_position(&stage->position, &out->position);
}

bool
stats_view_counter(const struct stats_view *v, uint32_t i, uint64_t *out)
{
    const struct stats_stage_section *stage = (const void *)(v->map + v->stage.offset);

    if (i >= v->stage.fields || i >= STATS_STAGE_SLOTS || !is_whole(v))
        return false;
    *out = look(&stage->counters[i]);
    return true;
}

const char *
stats_view_schema(const struct stats_view *v, size_t *size)
{
    *size = is_whole(v) ? v->schema.bytes : 0;
    return v->map + v->schema.offset;
}

/* ---- tables ---- */

/* The last record is "(others)"; it stands behind those in use. */
static const struct stats_table *
table_record(const struct stats_view *v, uint32_t i)
{
    uint32_t used = atomic_load_explicit(v->tables.used, memory_order_acquire);

    if (v->tables.capacity == 0)
        return NULL;
    if (used > v->tables.capacity - 1)
        used = v->tables.capacity - 1;
    if (i > used)
        return NULL;
    if (i == used)
        i = v->tables.capacity - 1;
    return (const void *)(v->map + v->tables.offset + (uint64_t)i * v->tables.stride);
}

bool
stats_view_table(const struct stats_view *v, uint32_t i, struct stats_table_view *out)
{
    const struct stats_table *t = is_whole(v) ? table_record(v, i) : NULL;
    uint32_t record_state = STATS_FREE;
    uint32_t bytes;

    memset(out, 0, sizeof(*out));
    /* Pairs with the release store in stats.c: a live record has its id and its name. */
    if (t != NULL)
        record_state = atomic_load_explicit(&t->record_state, memory_order_acquire);
    if (record_state == STATS_FREE)
        return false;
    out->is_retired = record_state == STATS_RETIRED;
    out->table_id = t->table_id;
    bytes = t->name_bytes < STATS_NAME_BYTES ? t->name_bytes : STATS_NAME_BYTES;
    memcpy(out->name, t->name, bytes);
    out->state = (enum table_state)atomic_load_explicit(&t->state, memory_order_relaxed);
    for (uint32_t f = 0; f < TSTAT_COUNT && f < v->tables.fields; f++)
        out->counters[f] = look(&t->counters[f]);
    out->position_torn = read_position(&t->position, &out->position);
    return true;
}

/* ---- histograms ---- */

void
stats_view_distribution(const struct stats_view *v, enum hist_id id, struct stats_distribution *out)
{
    const struct stats_histogram *h;

    memset(out, 0, sizeof(*out));
    if ((uint32_t)id >= v->hists.capacity || !is_whole(v))
        return;
    h = (const void *)(v->map + v->hists.offset + (uint64_t)id * v->hists.stride);
    out->sum_ns = look(&h->sum_ns);
    out->max_ns = look(&h->max_ns);
    /* The count is that of the buckets read, so that quantiles never run off the end. */
    for (uint32_t b = 0; b < STATS_HIST_BUCKETS; b++) {
        out->buckets[b] = look(&h->buckets[b]);
        out->count += out->buckets[b];
    }
}

void
stats_distribution_subtract(struct stats_distribution *d, const struct stats_distribution *earlier)
{
    uint64_t count = 0;

    for (uint32_t b = 0; b < STATS_HIST_BUCKETS; b++) {
        /* The writer was restarted in between: what it has now is all new. */
        if (d->buckets[b] < earlier->buckets[b])
            return;
        count += d->buckets[b] - earlier->buckets[b];
    }
    for (uint32_t b = 0; b < STATS_HIST_BUCKETS; b++)
        d->buckets[b] -= earlier->buckets[b];
    d->count = count;
    d->sum_ns -= earlier->sum_ns < d->sum_ns ? earlier->sum_ns : d->sum_ns;
}

void
stats_distribution_add(struct stats_distribution *d, const struct stats_distribution *other)
{
    for (uint32_t b = 0; b < STATS_HIST_BUCKETS; b++)
        d->buckets[b] += other->buckets[b];
    d->count += other->count;
    d->sum_ns += other->sum_ns;
    if (other->max_ns > d->max_ns)
        d->max_ns = other->max_ns;
}

uint64_t
stats_distribution_quantile(const struct stats_distribution *d, double q)
{
    uint64_t wanted;
    uint64_t seen = 0;

    if (d->count == 0)
        return 0;
    wanted = (uint64_t)(q * (double)d->count);
    if (wanted >= d->count)
        wanted = d->count - 1;
    for (uint32_t b = 0; b < STATS_HIST_BUCKETS; b++) {
        seen += d->buckets[b];
        if (seen > wanted) {
            uint64_t top = stats_bucket_top(b);

            return d->max_ns != 0 && top > d->max_ns ? d->max_ns : top;
        }
    }
    return d->max_ns;
}

uint64_t
stats_view_quantile(const struct stats_view *v, enum hist_id id, double q)
{
    struct stats_distribution d;

    stats_view_distribution(v, id, &d);
    return stats_distribution_quantile(&d, q);
}

/* ---- errors ---- */

bool
stats_view_error(const struct stats_view *v, uint32_t i, struct stats_error_view *out)
{
    const struct stats_error_slot *slot;
    uint64_t words[STATS_ERROR_WORDS];
    struct stats_error_body body;

    memset(out, 0, sizeof(*out));
    if (!is_whole(v) || i >= v->errors.capacity ||
        i >= atomic_load_explicit(v->errors.used, memory_order_acquire))
        return false;
    slot = (const void *)(v->map + v->errors.offset + (uint64_t)i * v->errors.stride);
    (void)stats_cell_read(&slot->seq, slot->words, STATS_ERROR_WORDS, words);
    memcpy(&body, words, sizeof(body));
    (void)snprintf(out->code, sizeof(out->code), "%.*s", (int)sizeof(body.code), body.code);
    (void)snprintf(out->file, sizeof(out->file), "%.*s", (int)sizeof(body.file), body.file);
    (void)snprintf(out->text, sizeof(out->text), "%.*s", (int)sizeof(body.text), body.text);
    out->line = body.line;
    out->table_id = body.table_id;
    out->count = body.count;
    out->first_real_ns = body.first_real_ns;
    out->last_real_ns = body.last_real_ns;
    return true;
}

/* ---- alarms ---- */

bool
stats_view_alarm(const struct stats_view *v, uint32_t i, struct stats_alarm_view *out)
{
    const struct stats_alarm_slot *slot;
    uint64_t words[STATS_ALARM_WORDS];
    struct stats_alarm_body body;

    memset(out, 0, sizeof(*out));
    if (!is_whole(v) || i >= v->alarms.capacity ||
        i >= atomic_load_explicit(v->alarms.used, memory_order_acquire))
        return false;
    slot = (const void *)(v->map + v->alarms.offset + (uint64_t)i * v->alarms.stride);
    (void)stats_cell_read(&slot->seq, slot->words, STATS_ALARM_WORDS, words);
    memcpy(&body, words, sizeof(body));
    out->is_raised = body.is_raised != 0;
    out->level =
        body.level <= STATS_ALARM_ERROR ? (enum stats_alarm_level)body.level : STATS_ALARM_ERROR;
    (void)snprintf(out->code, sizeof(out->code), "%.*s", (int)sizeof(body.code), body.code);
    (void)snprintf(out->text, sizeof(out->text), "%.*s", (int)sizeof(body.text), body.text);
    (void)snprintf(out->remedy, sizeof(out->remedy), "%.*s", (int)sizeof(body.remedy), body.remedy);
    out->since_real_ns = body.since_real_ns;
    out->last_real_ns = body.last_real_ns;
    return true;
}

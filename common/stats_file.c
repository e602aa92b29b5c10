/*
 * The life of a statistics file: it is built as <path>.new under the owner's lock, the one in
 * place becomes <path>.prev, and the new one gets the name.  A reader that holds the old one sees
 * frozen numbers and finds another inode at the path.
 */
#include "common/clock.h"
#include "common/crc32c.h"
#include "common/err.h"
#include "common/fault.h"
#include "common/stats.h"
#include "common/stats_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef WEIR_VERSION
#define WEIR_VERSION "unknown"
#endif

#define FILE_MODE    0640
#define ATTACH_TRIES 16

void
stats_boot_id(char *buf, size_t size)
{
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    ssize_t n = 0;

    memset(buf, 0, size);
    if (fd < 0)
        return;
    n = read(fd, buf, size - 1);
    (void)close(fd);
    if (n > 0 && buf[n - 1] == '\n')
        buf[n - 1] = '\0';
}

static int
fail(struct err *e, int error, const char *what, const char *path)
{
    enum err_code code = ERR_IO;

    if (error == ENOSPC || error == EDQUOT)
        code = ERR_NOSPACE;
    else if (error == EACCES || error == EPERM)
        code = ERR_ACCESS;
    else if (error == ENOENT)
        code = ERR_NOT_FOUND;
    err_sys(e, code, error, "statistics file: %s %s", what, path);
    if (code == ERR_NOSPACE)
        err_hint(e, "make room on the file system of %s, or point Weir.RuntimeDirectory elsewhere",
                 path);
    return -1;
}

/* The pid its owner wrote into the file; 0 while it is being made. */
static int
owner_of(int fd)
{
    struct stats_identity id;

    if (pread(fd, &id, sizeof(id), 0) != (ssize_t)sizeof(id) || id.magic != STATS_MAGIC)
        return 0;
    return id.pid;
}

/* 1 = locked and still in place, 0 = the path moved on, -1 = error (ERR_BUSY: its owner lives). */
static int
lock_in_place(int fd, const char *path, const char *stage, struct err *e)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    struct stat have;
    struct stat named;

    if (fcntl(fd, F_OFD_SETLK, &lock) != 0) {
        if (errno != EAGAIN && errno != EACCES)
            return fail(e, errno, "lock", path);
        err_set(e, ERR_BUSY, "process %d is %s of this task already (it holds %s)", owner_of(fd),
                stage, path);
        return err_hint(e, "stop it first; a task has one process of each stage and number");
    }
    if (fstat(fd, &have) != 0)
        return fail(e, errno, "stat", path);
    if (stat(path, &named) != 0)
        return errno == ENOENT ? 0 : fail(e, errno, "stat", path);
    return have.st_dev == named.st_dev && have.st_ino == named.st_ino;
}

/* Takes the lock of the file in place.  *fd = -1 when there is none.  Returns as lock_in_place. */
static int
take_old(const char *path, const char *stage, int *fd, struct err *e)
{
    int rc;

    *fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (*fd < 0)
        return errno == ENOENT ? 1 : fail(e, errno, "open", path);
    rc = lock_in_place(*fd, path, stage, e);
    if (rc != 1) {
        (void)close(*fd);
        *fd = -1;
    }
    return rc;
}

/*
 * Owns both names, or says who does.  Two starts at once meet at the lock of <path>.new; one that
 * comes when the other has already renamed it finds the path changed and begins again.
 */
static int
take_both(const struct stats_config *config, const char *new_path, int *old_fd, int *new_fd,
          struct err *e)
{
    for (int i = 0; i < ATTACH_TRIES; i++) {
        int rc = take_old(config->path, config->stage, old_fd, e);

        if (rc < 0)
            return -1;
        if (rc == 0)
            continue;
        *new_fd = open(new_path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, FILE_MODE);
        rc = *new_fd < 0 ? fail(e, errno, "create", new_path)
                         : lock_in_place(*new_fd, new_path, config->stage, e);
        if (rc == 1 && (*old_fd >= 0 || access(config->path, F_OK) != 0))
            return 0;
        if (*new_fd >= 0)
            (void)close(*new_fd);
        if (*old_fd >= 0)
            (void)close(*old_fd);
        *new_fd = -1;
        *old_fd = -1;
        if (rc < 0)
            return -1;
    }
    return err_set(e, ERR_BUSY, "another process is becoming %s of this task", config->stage);
}

static uint64_t
add_section(struct stats_header *h, uint32_t i, const struct stats_section *s, uint64_t at)
{
    h->sections[i] = *s;
    h->sections[i].offset = at;
    at += (uint64_t)s->stride * s->capacity;
    return (at + STATS_PAGE - 1) / STATS_PAGE * STATS_PAGE;
}

/* Fills the directory and returns the size of the file. */
static uint64_t
lay_out(struct stats_header *h, uint32_t tables)
{
    uint32_t schema_bytes = (uint32_t)strlen(stats_schema());
    uint64_t at = STATS_HEADER_BYTES;

    at = add_section(h, 0,
                     &(struct stats_section){.kind = STATS_KIND_SCHEMA,
                                             .stride = (schema_bytes + 7) / 8 * 8,
                                             .capacity = 1,
                                             .bytes = schema_bytes},
                     at);
    at = add_section(h, 1,
                     &(struct stats_section){.kind = STATS_KIND_STAGE,
                                             .fields = STAT_COUNT,
                                             .stride = sizeof(struct stats_stage_section),
                                             .capacity = 1,
                                             .used = 1},
                     at);
    at = add_section(h, 2,
                     &(struct stats_section){.kind = STATS_KIND_TABLE,
                                             .fields = TSTAT_COUNT,
                                             .stride = sizeof(struct stats_table),
                                             .capacity = tables + 1},
                     at);
    at = add_section(h, 3,
                     &(struct stats_section){.kind = STATS_KIND_HISTOGRAM,
                                             .stride = sizeof(struct stats_histogram),
                                             .capacity = HIST_COUNT,
                                             .used = HIST_COUNT},
                     at);
    at = add_section(h, 4,
                     &(struct stats_section){.kind = STATS_KIND_ERROR,
                                             .stride = sizeof(struct stats_error_slot),
                                             .capacity = STATS_ERROR_SLOTS},
                     at);
    return add_section(h, 5,
                       &(struct stats_section){.kind = STATS_KIND_ALARM,
                                               .stride = sizeof(struct stats_alarm_slot),
                                               .capacity = STATS_ALARM_SLOTS},
                       at);
}

static void
fill_identity(struct stats_header *h, const struct stats_config *config, uint64_t size)
{
    struct stats_identity *id = &h->identity;

    id->magic = STATS_MAGIC;
    id->major = STATS_MAJOR;
    id->minor = STATS_MINOR;
    id->header_bytes = STATS_HEADER_BYTES;
    id->total_bytes = size;
    if (getrandom(&id->epoch, sizeof(id->epoch), GRND_NONBLOCK) != (ssize_t)sizeof(id->epoch))
        id->epoch = (uint64_t)clock_mono_ns();
    id->start_real_ns = clock_real_ns();
    id->mono_to_real_ns = id->start_real_ns - clock_mono_ns();
    id->pid = getpid();
    stats_boot_id(id->boot_id, sizeof(id->boot_id));
    (void)snprintf(id->build, sizeof(id->build), "%s", WEIR_VERSION);
    (void)snprintf(id->stage, sizeof(id->stage), "%s", config->stage);
    (void)snprintf(id->task, sizeof(id->task), "%s", config->task);
    id->section_crc32c = stats_section_crc(h);
    id->crc32c = crc32c(0, id, offsetof(struct stats_identity, crc32c));
    atomic_store_explicit(&h->live.heartbeat_mono_ns, (uint64_t)clock_mono_ns(),
                          memory_order_relaxed);
}

static void *
section_at(const struct stats *s, uint32_t i)
{
    return s->map + s->header->sections[i].offset;
}

static int
build(struct stats *s, const struct stats_config *config, const char *path, struct err *e)
{
    struct stats_header h;
    uint32_t tables = config->tables < STATS_TABLES_MAX ? config->tables : STATS_TABLES_MAX;
    uint32_t slots = 64;
    void *map;
    int error;

    memset(&h, 0, sizeof(h));
    s->size = (size_t)lay_out(&h, tables);
    /* Reserved now, so that no later store meets a full memory file system. */
    if (ftruncate(s->fd, 0) != 0)
        return fail(e, errno, "empty", path);
    error = FAULT("stats-reserve");
    if (error == 0)
        error = posix_fallocate(s->fd, 0, (off_t)s->size);
    if (error != 0)
        return fail(e, error, "reserve", path);
    map = mmap(NULL, s->size, PROT_READ | PROT_WRITE, MAP_SHARED, s->fd, 0);
    if (map == MAP_FAILED)
        return fail(e, errno, "map", path);
    s->map = map;
    s->header = map;
    while (slots < 2 * (tables + 1))
        slots *= 2;
    s->index = calloc(slots, sizeof(s->index[0]));
    if (s->index == NULL)
        return err_set(e, ERR_NOMEM, "statistics file: index of %u tables", tables);
    s->index_mask = slots - 1;
    memcpy(s->map, &h, sizeof(h));
    fill_identity(s->header, config, s->size);
    s->live = &s->header->live;
    memcpy(section_at(s, 0), stats_schema(), strlen(stats_schema()));
    s->stage = section_at(s, 1);
    s->tables_section = &s->header->sections[2];
    s->tables = section_at(s, 2);
    s->hists = section_at(s, 3);
    s->errors_section = &s->header->sections[4];
    s->errors = section_at(s, 4);
    s->alarms_section = &s->header->sections[5];
    s->alarms = section_at(s, 5);
    return 0;
}

/* The counters of a table count the task's life: the predecessor's go on. */
static void
carry_over(struct stats *s, const struct stats_config *config, const char *path)
{
    struct stats_view *old;
    struct stats_summary summary;
    struct stats_table_view t;

    if (stats_open(path, &old, NULL) != 0)
        return;
    stats_view_summary(old, &summary);
    if (strcmp(summary.stage, config->stage) == 0 && strcmp(summary.task, config->task) == 0) {
        for (uint32_t i = 0; stats_view_table(old, i, &t); i++) {
            struct stats_table *record;

            if (t.table_id == 0 || t.is_retired)
                continue;
            record = stats_table(s, t.table_id, t.name);
            for (uint32_t f = 0; f < TSTAT_COUNT; f++)
                stats_table_set(record, (enum tstat_id)f, t.counters[f]);
            stats_table_state(record, t.state);
            if (!t.position_torn)
                stats_position(s, record, &t.position);
        }
    }
    stats_view_close(&old);
}

static int
create(struct stats *s, const struct stats_config *config, struct err *e)
{
    char new_path[4096];
    char prev_path[4096];
    int old_fd = -1;
    int rc;

    (void)snprintf(new_path, sizeof(new_path), "%s.new", config->path);
    (void)snprintf(prev_path, sizeof(prev_path), "%s.prev", config->path);
    if (take_both(config, new_path, &old_fd, &s->fd, e) != 0)
        return -1;
    rc = build(s, config, new_path, e);
    if (rc == 0) {
        CRASH_POINT("stats-built");
        /* Without a file in place, the predecessor died between the two renames below. */
        carry_over(s, config, old_fd >= 0 ? config->path : prev_path);
        CRASH_POINT("stats-carried");
        if (old_fd >= 0 && rename(config->path, prev_path) != 0)
            rc = fail(e, errno, "keep", prev_path);
    }
    if (rc == 0) {
        CRASH_POINT("stats-kept");
        if (rename(new_path, config->path) != 0)
            rc = fail(e, errno, "rename to", config->path);
        CRASH_POINT("stats-placed");
    }
    if (rc != 0)
        (void)unlink(new_path);
    if (old_fd >= 0)
        (void)close(old_fd);
    return rc;
}

int
stats_create(const struct stats_config *config, struct stats **out, struct err *e)
{
    struct stats *s = calloc(1, sizeof(*s));

    *out = NULL;
    if (s == NULL)
        return err_set(e, ERR_NOMEM, "statistics");
    s->fd = -1;
    s->page_bytes = sysconf(_SC_PAGESIZE);
    s->statm_fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    if (create(s, config, e) != 0) {
        stats_close(&s);
        return -1;
    }
    *out = s;
    return 0;
}

void
stats_close(struct stats **stats)
{
    struct stats *s = *stats;

    if (s == NULL)
        return;
    *stats = NULL;
    if (s->map != NULL)
        (void)munmap(s->map, s->size);
    if (s->fd >= 0)
        (void)close(s->fd);
    if (s->statm_fd >= 0)
        (void)close(s->statm_fd);
    free(s->index);
    free(s);
}

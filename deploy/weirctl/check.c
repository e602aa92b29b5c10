/*
 * weirctl check - the task file, the host, the source, the stream; every problem with its remedy.
 *
 * Each part is looked at by the code that later uses it: the task file by the loader, the source
 * by its engine, the stream by the shipper's client.
 */
#include "deploy/weirctl/weirctl.h"

#include "capture/source.h"
#include "common/clock.h"
#include "common/err.h"
#include "common/task.h"
#include "deploy/weirctl/text.h"
#include "shipper/kinesis/client.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#define USAGE          "check TASK"
#define MAX_COMPLAINTS 100
#define TMPFS_MAGIC    0x01021994
#define RAMFS_MAGIC    0x858458F6
#define STATS_BYTES    (9ULL << 20) /* of one stage: its file and the one before, all reserved */

/* Signatures are refused from five minutes on. */
#define CLOCK_WARN_NS (60 * NS_PER_S)
#define CLOCK_FAIL_NS (300 * NS_PER_S)

enum level { LEVEL_OK, LEVEL_WARN, LEVEL_FAIL };

struct tally {
    unsigned problems;
    unsigned warnings;
};

__attribute__((format(printf, 4, 5))) static void
say(struct tally *t, enum level level, const char *remedy, const char *fmt, ...)
{
    static const char *const marks[] = {"  ok   ", "  warn ", "  FAIL "};
    va_list ap;

    t->problems += level == LEVEL_FAIL;
    t->warnings += level == LEVEL_WARN;
    (void)fputs(marks[level], stdout);
    va_start(ap, fmt);
    (void)vprintf(fmt, ap);
    va_end(ap);
    (void)printf("\n");
    if (remedy != NULL && remedy[0] != '\0')
        (void)printf("         do: %s\n", remedy);
}

static void
say_err(struct tally *t, enum level level, const struct err *e)
{
    say(t, level, e->hint, "%s", e->text);
}

/* ---- task file ---- */

static struct task *
check_task(struct tally *t, const char *path)
{
    char *complaints[MAX_COMPLAINTS];
    struct task *task;
    struct err e = ERR_INIT;
    size_t n;

    (void)printf("task file\n");
    if (task_check(path, &task, complaints, MAX_COMPLAINTS, &n, &e) != 0) {
        for (size_t i = 0; i < n; i++) {
            say(t, LEVEL_FAIL, NULL, "%s", complaints[i]);
            free(complaints[i]);
        }
        return NULL;
    }
    say(t, LEVEL_OK, NULL, "%s: task %s, %s %s to stream %s, %zu selection rule%s", path,
        task->identifier, task->source.engine_name, task->source.database_name,
        task->target.stream_name, task->n_selections, task->n_selections == 1 ? "" : "s");
    for (size_t i = 0; i < task->n_warnings; i++)
        say(t, LEVEL_WARN, NULL, "%s", task->warnings[i]);
    return task;
}

/* ---- host ---- */

/* The nearest part of path that exists. */
static void
existing_part(const char *path, char *buf, size_t size)
{
    (void)snprintf(buf, size, "%s", path);
    while (access(buf, F_OK) != 0 && errno == ENOENT) {
        char *slash = strrchr(buf, '/');

        if (slash == NULL) {
            (void)snprintf(buf, size, ".");
            return;
        }
        if (slash == buf) {
            buf[1] = '\0';
            return;
        }
        *slash = '\0';
    }
}

static bool
check_writable(struct tally *t, const char *setting, const char *path, char *part, size_t size)
{
    char remedy[PATH_MAX + 128];
    struct stat st;

    existing_part(path, part, size);
    (void)snprintf(remedy, sizeof(remedy), "create %s, owned by the user that runs the stages",
                   path);
    if (stat(part, &st) == 0 && !S_ISDIR(st.st_mode)) {
        say(t, LEVEL_FAIL, "remove it, or name another directory", "%s %s: %s is not a directory",
            setting, path, part);
        return false;
    }
    if (access(part, W_OK | X_OK) != 0) {
        say(t, LEVEL_FAIL, remedy, "%s %s: no permission to write in %s", setting, path, part);
        return false;
    }
    return true;
}

static void
check_host(struct tally *t, const struct task *task)
{
    const struct weir_settings *w = &task->weir;
    uint64_t wanted = w->encoders * w->change_ring_size +
                      (uint64_t)w->encoders * w->shippers * w->record_ring_size +
                      (1ULL + w->encoders + w->shippers) * STATS_BYTES;
    char part[PATH_MAX];
    char want[TEXT_NUMBER];
    char have[TEXT_NUMBER];
    struct statfs fs;

    (void)printf("host\n");
    if (check_writable(t, "Weir.StateDirectory", w->state_directory, part, sizeof(part)))
        say(t, LEVEL_OK, NULL, "Weir.StateDirectory %s can be written", w->state_directory);
    if (!check_writable(t, "Weir.RuntimeDirectory", w->runtime_directory, part, sizeof(part)))
        return;
    if (statfs(part, &fs) != 0)
        return;
    if (fs.f_type != TMPFS_MAGIC && fs.f_type != RAMFS_MAGIC)
        say(t, LEVEL_WARN, "use a directory on tmpfs, /dev/shm for instance",
            "Weir.RuntimeDirectory %s is not in memory: rings will be written to a disk",
            w->runtime_directory);
    (void)text_bytes(wanted, want, sizeof(want));
    (void)text_bytes((uint64_t)fs.f_bavail * (uint64_t)fs.f_bsize, have, sizeof(have));
    /* What a running or former task holds there already is not asked for twice. */
    if ((uint64_t)fs.f_bavail * (uint64_t)fs.f_bsize >= wanted)
        say(t, LEVEL_OK, NULL, "Weir.RuntimeDirectory %s has room: %sB wanted, %sB free",
            w->runtime_directory, want, have);
    else if (access(w->runtime_directory, F_OK) == 0)
        say(t, LEVEL_WARN,
            "enlarge the file system, or lower Weir.ChangeRingSize and Weir.RecordRingSize",
            "Weir.RuntimeDirectory %s has %sB free, all rings together take %sB",
            w->runtime_directory, have, want);
    else
        say(t, LEVEL_FAIL,
            "enlarge the file system, or lower Weir.ChangeRingSize and Weir.RecordRingSize",
            "Weir.RuntimeDirectory %s has %sB free, rings and statistics take %sB",
            w->runtime_directory, have, want);
}

/* ---- source ---- */

static void
check_source(struct tally *t, const struct task *task)
{
    static const enum level levels[] = {
        [SOURCE_OK] = LEVEL_OK, [SOURCE_WARNING] = LEVEL_WARN, [SOURCE_ERROR] = LEVEL_FAIL};
    struct source_findings findings = {0};
    struct err e = ERR_INIT;

    (void)printf("source\n");
    (void)fflush(stdout);
    if (source_check(task, &findings, &e) != 0)
        say_err(t, LEVEL_FAIL, &e);
    for (size_t i = 0; i < findings.n; i++)
        say(t, levels[findings.items[i].level], findings.items[i].remedy, "%s",
            findings.items[i].what);
    source_findings_free(&findings);
}

/* ---- stream ---- */

static void
check_stream_state(struct tally *t, const struct task *task, const struct kinesis_stream *s)
{
    char size[TEXT_NUMBER];

    if (s->status == KINESIS_ACTIVE || s->status == KINESIS_UPDATING)
        say(t, LEVEL_OK, NULL, "stream %s is %s, %s, records up to %sB%s", task->target.stream_name,
            s->status_text, s->is_on_demand ? "on demand" : "provisioned",
            text_bytes(s->max_record_bytes, size, sizeof(size)),
            s->is_encrypted ? ", encrypted" : "");
    else
        say(t, LEVEL_FAIL,
            s->status == KINESIS_CREATING ? "wait until it is ACTIVE; the shipper waits too"
                                          : "name a stream that is ACTIVE",
            "stream %s is %s and takes no records", task->target.stream_name, s->status_text);
    if (s->ignores_keys)
        say(t, LEVEL_FAIL, "set the stream's record distribution strategy to partition keys",
            "stream %s spreads records without regard to partition keys: no order is kept",
            task->target.stream_name);
    if (s->retention_hours > 0 && s->retention_hours < 24)
        say(t, LEVEL_WARN, "raise the retention period",
            "stream %s keeps records for %u hours only", task->target.stream_name,
            s->retention_hours);
}

static bool
check_shards(struct tally *t, struct kinesis *k)
{
    struct target_shard *shards = NULL;
    struct err e = ERR_INIT;
    size_t n = 0;

    if (kinesis_list_shards(k, true, &shards, &n, &e) != 0) {
        say_err(t, LEVEL_FAIL, &e);
        return false;
    }
    say(t, LEVEL_OK, NULL, "%zu open shard%s: up to %zu MB and %zu records a second", n,
        n == 1 ? "" : "s", n, n * 1000);
    free(shards);
    return true;
}

static void
check_clock(struct tally *t, const struct kinesis *k)
{
    int64_t offset = kinesis_clock_offset_ns(k);
    int64_t size = offset < 0 ? -offset : offset;
    char text[TEXT_NUMBER];

    if (size < CLOCK_WARN_NS)
        return;
    say(t, size >= CLOCK_FAIL_NS ? LEVEL_FAIL : LEVEL_WARN,
        "synchronise this host's clock (chrony, systemd-timesyncd)",
        "this host's clock is %s %s the service's", text_duration(size, text, sizeof(text)),
        offset < 0 ? "ahead of" : "behind");
}

static void
check_put(struct tally *t, struct kinesis *k)
{
    struct err e = ERR_INIT;
    bool was_written = false;

    if (kinesis_probe_put(k, &was_written, &e) != 0)
        say_err(t, LEVEL_FAIL, &e);
    else if (was_written)
        say(t, LEVEL_WARN, "ignore the record with partition key weir-check",
            "PutRecords is permitted; this service knows no DryRun and stored the probe");
    else
        say(t, LEVEL_OK, NULL, "PutRecords is permitted (DryRun, nothing was written)");
}

static void
check_stream(struct tally *t, const struct task *task)
{
    struct kinesis_config config = {.stream_arn = task->target.stream_arn,
                                    .endpoint_url = task->target.endpoint_url,
                                    .ca_file = task->target.ca_file,
                                    .timeout_ms = task->weir.request_timeout_ms,
                                    .wake_fd = -1};
    struct kinesis *k = NULL;
    struct kinesis_stream stream;
    struct err e = ERR_INIT;
    const char *where;

    (void)printf("stream\n");
    (void)fflush(stdout);
    if (kinesis_open(&config, &k, &e) != 0 || kinesis_find_credentials(k, &where, &e) != 0) {
        say_err(t, LEVEL_FAIL, &e);
        kinesis_close(&k);
        return;
    }
    say(t, LEVEL_OK, NULL, "credentials from %s, for %s", where, kinesis_endpoint(k));
    if (kinesis_describe(k, &stream, &e) != 0) {
        say_err(t, LEVEL_FAIL, &e);
    } else {
        check_stream_state(t, task, &stream);
        if (check_shards(t, k))
            check_put(t, k);
        check_clock(t, k);
    }
    kinesis_close(&k);
}

static void
check_files(struct tally *t, const struct task *task)
{
    const char *directory = task->target.file_directory;
    char part[PATH_MAX];
    struct statfs fs;

    (void)printf("files\n");
    if (!check_writable(t, "FileSettings.Directory", directory, part, sizeof(part)))
        return;
    say(t, LEVEL_OK, NULL, "FileSettings.Directory %s can be written", directory);
    if (statfs(part, &fs) == 0 && (fs.f_type == TMPFS_MAGIC || fs.f_type == RAMFS_MAGIC))
        say(t, LEVEL_WARN, "choose a directory on a disk",
            "FileSettings.Directory %s lies in memory: a restart of the host empties it",
            directory);
}

int
check_command(int argc, char **argv)
{
    struct tally t = {0};
    struct task *task;

    if (argc == 2 && strcmp(argv[1], "--help") == 0) {
        (void)printf(
            "usage: weirctl %s\n\n"
            "Reads the task file, looks at this host, logs in to the source and asks the "
            "stream.\nChanges nothing.  Exit status: 0 all is well, 1 problems, 2 usage.\n",
            USAGE);
        return WEIRCTL_OK;
    }
    if (argc != 2 || argv[1][0] == '-')
        return weirctl_usage(USAGE);
    task = check_task(&t, argv[1]);
    if (task != NULL) {
        check_host(&t, task);
        check_source(&t, task);
        if (strcmp(task->target.engine_name, "file") == 0)
            check_files(&t, task);
        else
            check_stream(&t, task);
        task_free(&task);
    }
    (void)printf("%u problem%s, %u warning%s\n", t.problems, t.problems == 1 ? "" : "s", t.warnings,
                 t.warnings == 1 ? "" : "s");
    return t.problems > 0 ? WEIRCTL_PROBLEMS : WEIRCTL_OK;
}

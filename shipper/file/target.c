/*
 * Files as a target: newline-delimited JSON in a directory, for whoever has no Kinesis at hand.
 *
 * Each shipper writes <task>.<shipper>.<number>.ndjson.part, appends a request at a time, and
 * makes many requests durable with one fdatasync.  A full or old file loses its ".part" and is never
 * touched again; numbers rise.  What a dead shipper left is cut behind its last whole line and
 * gone on with: what it held beyond that was not acknowledged, and comes again.
 *
 * Invariant: a request is answered only after an fdatasync that began behind its last byte.
 */
#include "shipper/target.h"

#include "common/clock.h"
#include "common/fault.h"
#include "common/file.h"
#include "common/task.h"
#include "shipper/file/part.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define RECORD_MAX (64U << 20)

struct request {
    void *tag;
    size_t n;
    int64_t started_ns;
};

struct file_writer {
    struct target base; /* first */
    const struct task *task;
    uint32_t shipper;
    int wake_fd;
    struct part *part;
    struct request *requests; /* ring of those not yet given to put_next() */
    uint32_t n_requests;      /* room */
    uint32_t first;
    uint32_t n_open;   /* in the ring */
    uint32_t n_synced; /* of them, from the first */
    bool is_refreshing;
    struct err sync_error; /* what the answers of the unsynced ones are */
    struct target_answer answer;
    struct target_result results[TARGET_MAX_RECORDS];
};

static struct file_writer *
writer_of(struct target *t)
{
    return (struct file_writer *)t;
}

static int
writer_open(const struct target_config *config, struct target **out, struct err *e)
{
    struct file_writer *w = calloc(1, sizeof(*w));

    if (w == NULL)
        return err_set(e, ERR_NOMEM, "a file target");
    w->base.ops = &file_target;
    w->task = config->task;
    w->shipper = config->shipper;
    w->wake_fd = config->wake_fd;
    w->n_requests = config->requests_in_flight;
    w->requests = calloc(w->n_requests, sizeof(*w->requests));
    if (w->requests == NULL) {
        free(w);
        return err_set(e, ERR_NOMEM, "%u requests in flight", config->requests_in_flight);
    }
    *out = &w->base;
    return 0;
}

static void
writer_close(struct target **t)
{
    struct file_writer *w = writer_of(*t);
    struct err ignored = ERR_INIT;

    if (w == NULL)
        return;
    /* A stop ends the file too; what cannot be ended now is gone on with by the next life. */
    if (w->part != NULL && w->n_open == w->n_synced)
        (void)part_finish(w->part, &ignored);
    part_close(&w->part);
    free(w->requests);
    free(w);
    *t = NULL;
}

static const char *
writer_where(const struct target *t)
{
    return ((const struct file_writer *)t)->task->target.file_directory;
}

static bool
writer_put_possible(const struct target *t)
{
    const struct file_writer *w = (const struct file_writer *)t;

    return w->n_open < w->n_requests;
}

/* Not before the first request: until then another instance may be writing, and be noticed. */
static int
ensure_part(struct file_writer *w, struct err *e)
{
    const struct target_endpoint *target = &w->task->target;
    const struct part_config config = {.directory = target->file_directory,
                                       .task = w->task->identifier,
                                       .shipper = w->shipper,
                                       .max_bytes = target->file_max_size,
                                       .max_age_ns = (int64_t)target->file_max_age_s * NS_PER_S};

    return w->part != NULL ? 0 : part_open(&config, &w->part, e);
}

/* Everything written so far is durable, or its answers are errors. */
static int
sync_all(struct file_writer *w, struct err *e)
{
    if (w->n_synced == w->n_open)
        return 0;
    if (part_sync(w->part, e) != 0) {
        w->sync_error = *e;
        /* What the disk has of it nobody knows: begin anew behind what is certain. */
        part_close(&w->part);
        return -1;
    }
    CRASH_POINT("file-target-synced");
    w->n_synced = w->n_open;
    return 0;
}

static int
writer_put_start(struct target *t, const struct target_entry *entries, size_t n, bool fresh,
                 void *tag, struct err *e)
{
    struct file_writer *w = writer_of(t);

    (void)fresh;
    if (w->n_open > w->n_synced && w->sync_error.code != ERR_NONE)
        return err_set(e, ERR_IO, "the file is not usable before its failed requests are answered");
    if (ensure_part(w, e) != 0)
        return -1;
    if (part_is_due(w->part) && (sync_all(w, e) != 0 || part_finish(w->part, e) != 0))
        return -1;
    for (size_t i = 0; i < n; i++)
        if (part_add(w->part, entries[i].data, entries[i].data_size, e) != 0) {
            part_undo(w->part);
            return -1;
        }
    if (part_write(w->part, e) != 0)
        return -1;
    CRASH_POINT("file-target-written");
    w->requests[(w->first + w->n_open) % w->n_requests] =
        (struct request){.tag = tag, .n = n, .started_ns = clock_mono_ns()};
    w->n_open++;
    return 0;
}

static void
writer_poll(struct target *t, int timeout_ms)
{
    struct file_writer *w = writer_of(t);
    struct pollfd wake = {.fd = w->wake_fd, .events = POLLIN};
    struct err why = ERR_INIT;

    if (w->n_open == 0 && !w->is_refreshing)
        (void)poll(&wake, w->wake_fd >= 0 ? 1 : 0, timeout_ms);
    else if (w->sync_error.code == ERR_NONE)
        (void)sync_all(w, &why);
}

static const struct target_answer *
writer_put_next(struct target *t)
{
    struct file_writer *w = writer_of(t);
    const struct request *r = &w->requests[w->first];
    bool is_stored = w->n_synced > 0;

    if (w->n_open == 0 || (!is_stored && w->sync_error.code == ERR_NONE))
        return NULL;
    w->answer = (struct target_answer){.tag = r->tag,
                                       .n = r->n,
                                       .results = w->results,
                                       .is_answered = is_stored,
                                       .is_ambiguous = !is_stored,
                                       .elapsed_ns = clock_mono_ns() - r->started_ns};
    if (!is_stored)
        w->answer.error = w->sync_error;
    w->first = (w->first + 1) % w->n_requests;
    w->n_open--;
    w->n_synced -= is_stored;
    if (w->n_open == 0)
        err_clear(&w->sync_error);
    return &w->answer;
}

static int
check_directory(const char *path, struct err *e)
{
    struct stat st;

    if (file_make_directory(path, 0750, e) != 0)
        return -1;
    if (stat(path, &st) != 0)
        return err_sys(e, ERR_IO, errno, "look at %s", path);
    if (!S_ISDIR(st.st_mode)) {
        err_set(e, ERR_CONFIG, "FileSettings.Directory %s is not a directory", path);
        return err_hint(e, "remove it, or name another directory");
    }
    if (access(path, W_OK | X_OK) == 0)
        return 0;
    err_sys(e, ERR_ACCESS, errno, "FileSettings.Directory %s cannot be written", path);
    return err_hint(e, "give the user of weir-shipper write permission there");
}

/* An old file is ended also while nothing comes. */
static int
writer_refresh_start(struct target *t, struct err *e)
{
    struct file_writer *w = writer_of(t);

    if (check_directory(w->task->target.file_directory, e) != 0)
        return -1;
    if (w->part != NULL && w->n_open == 0 && part_is_due(w->part) && part_finish(w->part, e) != 0)
        return -1;
    w->is_refreshing = true;
    return 0;
}

static int
writer_refresh_next(struct target *t, struct target_state *state, struct target_shard **shards,
                    size_t *n, struct err *e)
{
    struct file_writer *w = writer_of(t);
    struct target_shard *one = calloc(1, sizeof(*one));

    w->is_refreshing = false;
    if (one == NULL)
        return err_set(e, ERR_NOMEM, "a file target");
    one->is_open = true;
    memcpy(one->id, "file", sizeof("file"));
    memset(one->last_hash, 0xff, sizeof(one->last_hash));
    *shards = one;
    *n = 1;
    *state = (struct target_state){
        .is_open = true, .text = "open", .max_record_bytes = RECORD_MAX, .open_shards = 1};
    return 1;
}

const struct target_ops file_target = {
    .name = "file",
    .open = writer_open,
    .close = writer_close,
    .where = writer_where,
    .put_possible = writer_put_possible,
    .put_start = writer_put_start,
    .poll = writer_poll,
    .put_next = writer_put_next,
    .refresh_start = writer_refresh_start,
    .refresh_next = writer_refresh_next,
};

/*
 * CdcStopPosition: where a task ends by itself.
 *
 * Reached by the first change, or the first complete place of the log, that lies behind the stop:
 * what is committed up to the stop has been given then, because a log is given in commit order.
 * An idle source gets there too, its log goes on with its clock.  Times count to the millisecond,
 * which is finer than the times SQL Server keeps.
 *
 * The task has ended once every shipper's checkpoint is behind all of that; then, and not before,
 * <state>/ended.json says so.  While that file names the stop of the task file, a start ends at
 * once.  Another stop in the task file, or none, lets the task go on; so does a resume, behind the
 * same stop.
 *
 * Crash safety: a death before the file is written comes to the same stop again, and repeats the
 * waiting.  The file is replaced as a whole.
 */
#include "capture/capture_internal.h"
#include "common/checkpoint.h"
#include "common/clock.h"
#include "common/err.h"
#include "common/fault.h"
#include "common/file.h"
#include "common/log.h"
#include "common/task.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ENDED_FILE     "ended.json"
#define ENDED_FILE_MAX 65536
#define LOOK_MS        20

/* ---- is it reached? ---- */

static bool
is_later(int64_t commit_real_ns, const struct stop_bound *stop)
{
    return commit_real_ns / NS_PER_MS > stop->real_ns / NS_PER_MS;
}

bool
stop_lies_before(struct capture *c, const struct position *position, int64_t commit_real_ns)
{
    switch (c->stop.kind) {
    case STOP_COMMIT_TIME:
    case STOP_SERVER_TIME:
        c->stop_reached |= is_later(commit_real_ns, &c->stop);
        break;
    case STOP_POSITION:
        c->stop_reached |= position_compare(position, &c->stop.position) > 0;
        break;
    case STOP_NONE:
    default:
        break;
    }
    return c->stop_reached;
}

void
stop_note_complete(struct capture *c, const struct position *position, int64_t commit_real_ns)
{
    if (!stop_lies_before(c, position, commit_real_ns) && c->stop.kind == STOP_POSITION)
        c->stop_reached = position_compare(position, &c->stop.position) == 0;
}

/* ---- the end ---- */

static int
write_ended(const struct capture *c, const struct position *at, bool is_passed, struct err *e)
{
    char path[TOPOLOGY_PATH_MAX];
    char hex[POSITION_HEX_SIZE];
    char text[POSITION_TEXT_SIZE];
    char iso[CLOCK_ISO_SIZE];
    json_t *root;
    char *body;
    int rc;

    position_hex(at, hex);
    (void)position_text(at, text);
    root =
        json_pack("{s:i, s:s, s:s, s:s, s:s, s:b, s:s}", "format", 1, "task", c->task->identifier,
                  "stop", c->task->cdc_stop_position, "position", hex, "text", text, "resumed",
                  is_passed ? 1 : 0, "written", clock_iso(clock_real_ns(), iso));
    body = root != NULL ? json_dumps(root, JSON_INDENT(1)) : NULL;
    json_decref(root);
    if (body == NULL)
        return err_set(e, ERR_NOMEM, "writing %s", ENDED_FILE);
    rc = file_replace(topology_state_file(c->task, ENDED_FILE, path), body, strlen(body), 0640, e);
    free(body);
    return rc;
}

/* Waits until every shipper says durably that it has delivered everything up to `at`. */
static int
wait_acknowledged(struct capture *c, const struct position *at, struct err *e)
{
    struct position acknowledged;

    for (;;) {
        if (checkpoint_task_position(c->task, &c->topo, &acknowledged, e) != 0)
            return -1;
        if (position_compare(&acknowledged, at) >= 0)
            return 0;
        if (stage_sleep(c->stage, LOOK_MS))
            return err_set(e, ERR_STOPPED, "stopped before everything was acknowledged");
        if (output_beat(c->output, e) != 0)
            return -1;
    }
}

int
stop_end(struct capture *c, struct err *e)
{
    struct position at;
    char text[POSITION_TEXT_SIZE];

    /* Right behind what was given last, and higher than it: a ring that has the last change from
       an earlier life still gets this watermark. */
    c->engine->load_position(output_position(c->output), c->state.next_chunk, &at);
    (void)position_text(&at, text);
    log_info("stop-reached", "stop=%s at=%s text=\"waits until all of it is acknowledged\"",
             c->task->cdc_stop_position, text);
    CRASH_POINT("capture.stop-reached");
    if (output_watermark(c->output, &at, c->reached_real_ns, e) != 0 ||
        wait_acknowledged(c, &at, e) != 0)
        return -1;
    CRASH_POINT("capture.stop-acknowledged");
    if (write_ended(c, &at, false, e) != 0)
        return -1;
    log_info("task-ends", "stop=%s at=%s", c->task->cdc_stop_position, text);
    return 0;
}

/* ---- a start afterwards ---- */

struct ended {
    char stop[256];
    struct position at;
    char when[CLOCK_ISO_SIZE];
    bool is_passed;
};

static int
parse_ended(const struct task *t, const char *path, const char *text, size_t size,
            struct ended *out, struct err *e)
{
    json_error_t je;
    json_t *root = json_loadb(text, size, JSON_REJECT_DUPLICATES, &je);
    const char *task = NULL;
    const char *stop = NULL;
    const char *position = NULL;
    const char *when = NULL;
    int passed = 0;
    int format = 0;
    int rc = 0;

    if (root == NULL ||
        json_unpack(root, "{s:i, s:s, s:s, s:s, s:b, s:s}", "format", &format, "task", &task,
                    "stop", &stop, "position", &position, "resumed", &passed, "written",
                    &when) != 0 ||
        format != 1 || position_parse(position, &out->at) != 0 ||
        strcmp(task, t->identifier) != 0) {
        err_set(e, ERR_LAYOUT, "%s is damaged, or of another task", path);
        rc = err_hint(e, "it only says at which CdcStopPosition the task ended; remove it to let "
                         "the task go on");
    } else {
        (void)snprintf(out->stop, sizeof(out->stop), "%s", stop);
        (void)snprintf(out->when, sizeof(out->when), "%s", when);
        out->is_passed = passed != 0;
    }
    json_decref(root);
    return rc;
}

/* 1 = read, 0 = there is none. */
static int
read_ended(const struct task *t, struct ended *out, struct err *e)
{
    char path[TOPOLOGY_PATH_MAX];
    char *text;
    size_t size;
    int rc;

    if (file_read(topology_state_file(t, ENDED_FILE, path), ENDED_FILE_MAX, &text, &size, e) != 0)
        return e->code == ERR_NOT_FOUND ? 0 : -1;
    rc = parse_ended(t, path, text, size, out, e);
    free(text);
    return rc == 0 ? 1 : -1;
}

int
stop_look_back(struct capture *c, bool *has_ended, struct err *e)
{
    char path[TOPOLOGY_PATH_MAX];
    struct ended was;
    int rc = read_ended(c->task, &was, e);

    *has_ended = false;
    if (rc <= 0)
        return rc;
    if (strcmp(was.stop, c->task->cdc_stop_position) != 0) {
        log_info("stop-position-changed", "was=%s is=%s text=\"the task goes on\"", was.stop,
                 c->task->cdc_stop_position[0] != '\0' ? c->task->cdc_stop_position : "none");
        if (unlink(topology_state_file(c->task, ENDED_FILE, path)) != 0 && errno != ENOENT)
            return err_sys(e, ERR_IO, errno, "remove %s", path);
    } else if (was.is_passed) {
        c->stop.kind = STOP_NONE;
    } else {
        *has_ended = true;
        log_info("task-has-ended",
                 "stop=%s when=%s text=\"change or remove CdcStopPosition, or `weirctl resume`, to "
                 "let it go on\"",
                 was.stop, was.when);
    }
    return 0;
}

int
stop_pass(struct capture *c, struct err *e)
{
    struct ended was;
    int rc = read_ended(c->task, &was, e);

    if (rc <= 0)
        return rc;
    if (strcmp(was.stop, c->task->cdc_stop_position) != 0 || was.is_passed)
        return 0;
    return write_ended(c, &was.at, true, e);
}

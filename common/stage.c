#include "common/stage.h"

#include "common/clock.h"
#include "common/err.h"
#include "common/file.h"
#include "common/log.h"
#include "common/stats.h"
#include "common/task.h"

#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define EXIT_USAGE    2
#define EXIT_RESTART  75
#define EXIT_OPERATOR 78
#define STATS_TABLES  4096
#define TOPOLOGY_POLL 50 /* ms between two looks at topology.json */
#define MIN_LIFE_MS   1000

/* Written by the signal handler only; the one global of a stage. */
static volatile sig_atomic_t stop_asked;
static int stop_event = -1;

static void
on_stop_signal(int sig)
{
    static const uint64_t one = 1;
    int saved = errno;

    (void)sig;
    stop_asked = 1;
    if (write(stop_event, &one, sizeof(one)) < 0)
        stop_asked = 1; /* the counter is full: it is readable anyway */
    errno = saved;
}

static int
signals_install(struct err *e)
{
    struct sigaction stop = {.sa_handler = on_stop_signal};
    struct sigaction ignore = {.sa_handler = SIG_IGN};

    stop_event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (stop_event < 0)
        return err_sys(e, ERR_IO, errno, "eventfd");
    (void)sigemptyset(&stop.sa_mask);
    (void)sigemptyset(&ignore.sa_mask);
    if (sigaction(SIGTERM, &stop, NULL) != 0 || sigaction(SIGINT, &stop, NULL) != 0 ||
        sigaction(SIGPIPE, &ignore, NULL) != 0)
        return err_sys(e, ERR_IO, errno, "sigaction");
    return 0;
}

static void
print_help(const struct stage_def *def)
{
    printf("weir-%s TASK%s [--log-level error|warn|info|debug]\n\n"
           "%s\n\n"
           "TASK is the task file (JSON).%s\n"
           "Exit status: 0 stopped or finished, 75 restart it, 78 the operator is needed,\n"
           "2 wrong arguments.\n",
           def->name, def->is_indexed ? " [-i N]" : "", def->about,
           def->is_indexed ? "  -i N says which of them this is, from 0." : "");
}

struct arguments {
    const char *task_path;
    const char *log_level;
    uint32_t index;
};

/* Returns -1 to go on, else the exit status. */
static int
arguments_parse(int argc, char **argv, const struct stage_def *def, struct arguments *a)
{
    static const struct option options[] = {
        {"index", required_argument, NULL, 'i'},
        {"log-level", required_argument, NULL, 'l'},
        {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, 'V'},
        {NULL, 0, NULL, 0},
    };
    char *end;
    int c;

    while ((c = getopt_long(argc, argv, "i:h", options, NULL)) != -1) {
        switch (c) {
        case 'i':
            errno = 0;
            a->index = (uint32_t)strtoul(optarg, &end, 10);
            if (!def->is_indexed || *end != '\0' || end == optarg || errno != 0) {
                (void)fprintf(stderr, "weir-%s: -i %s is not allowed here\n", def->name, optarg);
                return EXIT_USAGE;
            }
            break;
        case 'l':
            a->log_level = optarg;
            break;
        case 'h':
            print_help(def);
            return 0;
        case 'V':
            printf("weir %s\n", WEIR_VERSION);
            return 0;
        default:
            (void)fprintf(stderr, "try weir-%s --help\n", def->name);
            return EXIT_USAGE;
        }
    }
    if (argc - optind != 1) {
        (void)fprintf(stderr, "weir-%s: exactly one task file is needed; try --help\n", def->name);
        return EXIT_USAGE;
    }
    a->task_path = argv[optind];
    return -1;
}

static int
stage_setup(struct stage *stage, const struct arguments *a, const struct stage_def *def,
            struct err *e)
{
    char path[TOPOLOGY_PATH_MAX];
    enum log_level level = LOG_INFO;
    const struct weir_settings *w;

    if (def->is_indexed)
        (void)snprintf(stage->name, sizeof(stage->name), "%s.%u", def->name, a->index);
    else
        (void)snprintf(stage->name, sizeof(stage->name), "%s", def->name);
    stage->index = a->index;
    log_init(stage->name, LOG_INFO);
    if (task_load(a->task_path, &stage->task, e) != 0)
        return -1;
    w = &stage->task->weir;
    if (log_level_parse(a->log_level != NULL ? a->log_level : w->log_level, &level) != 0)
        return err_set(e, ERR_USAGE, "log level '%s' is none of error, warn, info, debug",
                       a->log_level != NULL ? a->log_level : w->log_level);
    log_init(stage->name, level);
    (void)umask(027);
    if (file_make_directory(w->state_directory, 0750, e) != 0 ||
        file_make_directory(w->runtime_directory, 0750, e) != 0 || signals_install(e) != 0)
        return -1;
    stage->stop_fd = stop_event;
    return stats_create(
        &(struct stats_config){.path = topology_stats(stage->task, stage->name, path),
                               .stage = stage->name,
                               .task = stage->task->identifier,
                               .tables = STATS_TABLES},
        &stage->stats, e);
}

/*
 * A stage that fails at once must not make its supervisor spin: it waits out the rest of
 * its first second.  Supervisors differ in how they damp restarts; this needs none of it.
 */
static void
damp_restart(const struct stage *stage, int64_t started_ns)
{
    int64_t left_ms = MIN_LIFE_MS - (clock_mono_ns() - started_ns) / NS_PER_MS;

    if (left_ms > 0 && stage->stop_fd >= 0)
        (void)stage_sleep(stage, (uint32_t)left_ms);
}

static int
finish(struct stage *stage, int rc, const struct err *e, int64_t started_ns)
{
    int status = 0;

    if (rc != 0 && e->code != ERR_STOPPED) {
        status = err_exit_status(e);
        log_err(LOG_ERROR, status == EXIT_OPERATOR ? "needs-operator" : "stage-failed", e);
    }
    if (stage->stats != NULL) {
        if (status != 0)
            stats_error(stage->stats, e, 0);
        stats_state(stage->stats, status != 0 ? STATE_FATAL : STATE_STOPPED);
        stats_close(&stage->stats);
    }
    if (status == EXIT_RESTART)
        damp_restart(stage, started_ns);
    log_info("stage-ends", "status=%d", status);
    task_free(&stage->task);
    return status;
}

int
stage_main(int argc, char **argv, const struct stage_def *def)
{
    struct arguments a = {0};
    struct stage stage = {.stop_fd = -1};
    struct err e = ERR_INIT;
    int64_t started_ns = clock_mono_ns();
    int rc = arguments_parse(argc, argv, def, &a);

    if (rc >= 0)
        return rc;
    rc = stage_setup(&stage, &a, def, &e);
    if (rc == 0) {
        uint32_t limit = strcmp(def->name, "encoder") == 0 ? stage.task->weir.encoders
                                                           : stage.task->weir.shippers;

        log_info("stage-starts", "task=%s pid=%ld version=%s", stage.task->identifier,
                 (long)getpid(), WEIR_VERSION);
        for (size_t i = 0; i < stage.task->n_warnings; i++) {
            char quoted[1024];

            log_info("task-warning", "text=%s",
                     log_quote(stage.task->warnings[i], quoted, sizeof(quoted)));
        }
        if (def->is_indexed && stage.index >= limit)
            rc = err_set(&e, ERR_USAGE, "-i %u: the task file has %u of them, numbered from 0",
                         stage.index, limit);
        else
            rc = def->run(&stage, &e);
    }
    return finish(&stage, rc, &e, started_ns);
}

bool
stage_stopping(const struct stage *stage)
{
    (void)stage;
    return stop_asked != 0;
}

bool
stage_sleep(const struct stage *stage, uint32_t ms)
{
    struct pollfd p = {.fd = stage->stop_fd, .events = POLLIN};
    int64_t until = clock_mono_ns() + (int64_t)ms * NS_PER_MS;

    while (!stage_stopping(stage)) {
        int64_t left = until - clock_mono_ns();

        if (left <= 0)
            break;
        (void)poll(&p, 1, (int)((left + NS_PER_MS - 1) / NS_PER_MS));
    }
    return stage_stopping(stage);
}

uint32_t
stage_backoff_next(struct stage_backoff *b)
{
    uint64_t most = (uint64_t)b->base_ms << (b->tries < 20 ? b->tries : 20);
    uint32_t random = 0;

    if (most > b->cap_ms)
        most = b->cap_ms;
    b->tries++;
    if (getrandom(&random, sizeof(random), GRND_NONBLOCK) != (ssize_t)sizeof(random))
        random = (uint32_t)clock_mono_ns();
    return (uint32_t)(random % (most + 1));
}

void
stage_backoff_reset(struct stage_backoff *b)
{
    b->tries = 0;
}

int
stage_wait_topology(struct stage *stage, struct topology *out, struct err *e)
{
    const struct weir_settings *w = &stage->task->weir;

    for (;;) {
        if (topology_read(stage->task, out, e) == 0) {
            if (out->encoders == w->encoders && out->shippers == w->shippers)
                return 0;
        } else if (e->code != ERR_NOT_FOUND) {
            return -1;
        }
        stats_beat(stage->stats, clock_mono_ns());
        log_debug("waits-for-capture", "encoders=%u shippers=%u", w->encoders, w->shippers);
        if (stage_sleep(stage, TOPOLOGY_POLL))
            return err_set(e, ERR_STOPPED, "stopped while waiting for capture");
    }
}

/*
 * weirctl status - one look, or one after the other.
 */
#include "deploy/weirctl/status.h"

#include "common/clock.h"
#include "common/err.h"
#include "common/task.h"
#include "deploy/weirctl/weirctl.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define USAGE "status TASK [--watch [SECONDS]] [--json] [--max-lag SECONDS]"

/* Between the two looks that rates are made from, when only one screen is asked for. */
#define ONE_SHOT_MS 400

#define CURSOR_OFF "\033[?25l\033[?7l"
#define CURSOR_ON  "\033[?25h\033[?7h"
#define HOME       "\033[H"
#define END_OF_ROW "\033[K"
#define REST       "\033[J"

struct options {
    const char *path;
    bool as_json;
    bool is_watch;
    unsigned long every_s;
    unsigned long max_lag_s;
};

static volatile sig_atomic_t stop_asked;

static void
ask_stop(int number)
{
    (void)number;
    stop_asked = 1;
}

static int
parse(int argc, char **argv, struct options *o)
{
    *o = (struct options){.every_s = 2, .max_lag_s = 300};
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--json") == 0) {
            o->as_json = true;
        } else if (strcmp(argv[i], "--watch") == 0) {
            o->is_watch = true;
            if (i + 1 < argc && weirctl_number(argv[i + 1], 1, 3600, &o->every_s))
                i++;
        } else if (strcmp(argv[i], "--max-lag") == 0) {
            if (i + 1 == argc || !weirctl_number(argv[++i], 1, 31536000, &o->max_lag_s))
                return weirctl_usage(USAGE);
        } else if (strcmp(argv[i], "--help") == 0) {
            (void)printf(
                "usage: weirctl %s\n\n"
                "  --watch      draw anew every 2 (or SECONDS) seconds\n"
                "  --json       counters with type, unit and help; no rates\n"
                "  --max-lag    lag above which the task counts as degraded (300)\n\n"
                "exit status: 0 good; 1 a stage is dead, hung or FATAL, the lag too large, "
                "or an\nalarm is raised (a note is none); 2 nothing is there; 3 files of "
                "another release\n",
                USAGE);
            return WEIRCTL_OK;
        } else if (argv[i][0] == '-' || o->path != NULL) {
            return weirctl_usage(USAGE);
        } else {
            o->path = argv[i];
        }
    }
    return o->path != NULL ? -1 : weirctl_usage(USAGE);
}

static void
pause_ms(unsigned long ms)
{
    struct timespec t = {.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000L};

    /* A signal ends the pause: it is the one that asks to stop. */
    (void)nanosleep(&t, NULL);
}

static bool
wants_colour(void)
{
    const char *term = getenv("TERM");

    return isatty(STDOUT_FILENO) && getenv("NO_COLOR") == NULL && term != NULL &&
           strcmp(term, "dumb") != 0;
}

static size_t
screen_rows(void)
{
    struct winsize w;

    return ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_row > 0 ? w.ws_row : 0;
}

/* Writes over the last screen line by line: clearing it first would flicker. */
static void
redraw(const char *text, size_t rows)
{
    (void)fputs(HOME, stdout);
    for (size_t row = 0; *text != '\0' && (rows == 0 || row + 1 < rows); row++) {
        size_t n = strcspn(text, "\n");

        (void)fwrite(text, 1, n, stdout);
        (void)fputs(END_OF_ROW "\n", stdout);
        text += n + (text[n] == '\n');
    }
    (void)fputs(REST, stdout);
    (void)fflush(stdout);
}

static void
show(const struct snapshot *now, const struct snapshot *before, bool is_redrawn)
{
    struct status_look look = {.has_colour = wants_colour()};
    size_t rows = is_redrawn ? screen_rows() : 0;
    size_t fixed = 22 + now->n_stages + now->n_rings + 5 * snapshot_alarms(now);
    char *text = NULL;
    size_t size = 0;
    FILE *out;

    if (!is_redrawn) {
        status_print(stdout, now, before, &look);
        (void)fflush(stdout);
        return;
    }
    look.max_tables = rows > fixed + 3 ? rows - fixed : 3;
    out = open_memstream(&text, &size);
    CHECK(out != NULL);
    status_print(out, now, before, &look);
    (void)fclose(out);
    redraw(text, rows);
    free(text);
}

static int
watch(const struct task *task, const struct options *o)
{
    struct snapshot before;
    struct snapshot now;
    bool is_redrawn = isatty(STDOUT_FILENO) != 0;
    const struct sigaction action = {.sa_handler = ask_stop};
    int status;

    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGTERM, &action, NULL);
    if (is_redrawn)
        (void)fputs(CURSOR_OFF HOME REST, stdout);
    snapshot_take(task, &before);
    pause_ms(ONE_SHOT_MS);
    for (;;) {
        snapshot_take(task, &now);
        show(&now, &before, is_redrawn);
        if (!is_redrawn)
            (void)printf("\n");
        status = snapshot_exit(&now, (int64_t)o->max_lag_s * NS_PER_S);
        snapshot_free(&before);
        before = now;
        if (stop_asked)
            break;
        pause_ms(o->every_s * 1000);
        if (stop_asked || ferror(stdout))
            break;
    }
    snapshot_free(&before);
    if (is_redrawn)
        (void)fputs(CURSOR_ON, stdout);
    return status;
}

static void
print_json(const struct snapshot *s)
{
    json_t *o = status_json(s);

    (void)json_dumpf(o, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
    (void)printf("\n");
    json_decref(o);
}

static int
one_look(const struct task *task, const struct options *o)
{
    struct snapshot before;
    struct snapshot now;
    int status;

    snapshot_take(task, &now);
    if (o->as_json) {
        print_json(&now);
    } else {
        before = now;
        pause_ms(ONE_SHOT_MS);
        snapshot_take(task, &now);
        show(&now, &before, false);
        snapshot_free(&before);
    }
    status = snapshot_exit(&now, (int64_t)o->max_lag_s * NS_PER_S);
    snapshot_free(&now);
    return status;
}

int
status_command(int argc, char **argv)
{
    struct options o;
    struct task *task;
    int status = parse(argc, argv, &o);

    if (status >= 0)
        return status;
    if (o.is_watch && o.as_json)
        return weirctl_usage(USAGE);
    status = weirctl_load("status", o.path, &task);
    if (status != WEIRCTL_OK)
        return status;
    status = o.is_watch ? watch(task, &o) : one_look(task, &o);
    task_free(&task);
    return status;
}

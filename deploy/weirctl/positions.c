/*
 * weirctl positions - where a task is, and what its source still has.
 *
 * Every position is printed so that it can be copied into CdcStartPosition.
 */
#include "deploy/weirctl/weirctl.h"

#include "capture/source.h"
#include "common/clock.h"
#include "common/err.h"
#include "common/file.h"
#include "common/task.h"
#include "common/topology.h"
#include "deploy/weirctl/snapshot.h"
#include "deploy/weirctl/text.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define USAGE      "positions TASK [--json]"
#define NAME_WIDTH 24
#define ENDED_MAX  65536

struct place {
    const char *name;
    const char *json;
    struct position position;
    int64_t real_ns; /* 0 = not known */
};

/* What capture has given, and what is delivered and safe. */
static size_t
task_places(const struct snapshot *s, struct place out[2])
{
    size_t n = 0;

    for (size_t i = 0; i < s->n_stages; i++) {
        const struct stage_row *row = &s->stages[i];

        if (row->role == ROLE_CAPTURE && row->is_present &&
            !position_is_zero(&row->summary.position.position))
            out[n++] = (struct place){.name = "captured",
                                      .json = "Captured",
                                      .position = row->summary.position.position,
                                      .real_ns = row->summary.position.commit_real_ns};
    }
    if (s->has_position)
        out[n++] = (struct place){.name = "safe",
                                  .json = "Safe",
                                  .position = s->position,
                                  .real_ns = s->position_commit_ns};
    return n;
}

static const char *
lsn_of(const struct position *p, char *buf)
{
    (void)position_text(p, buf);
    buf[strcspn(buf, ".")] = '\0';
    return buf;
}

static const char *
time_or_dash(int64_t real_ns, char *buf)
{
    if (real_ns == 0)
        (void)snprintf(buf, CLOCK_ISO_SIZE, "-");
    else
        (void)clock_iso(real_ns, buf);
    return buf;
}

/* The stop at which the task has ended, and when; false when it has not. */
static bool
task_has_ended(const struct task *t, char *stop, size_t size, char *when)
{
    char path[TOPOLOGY_PATH_MAX];
    struct err ignored = ERR_INIT;
    const char *stop_text = NULL;
    const char *when_text = NULL;
    char *text;
    size_t length;
    int resumed = 0;
    json_t *root;
    bool has_ended;

    if (file_read(topology_state_file(t, "ended.json", path), ENDED_MAX, &text, &length,
                  &ignored) != 0)
        return false;
    root = json_loadb(text, length, 0, NULL);
    free(text);
    has_ended = json_unpack(root, "{s:s, s:s, s:b}", "stop", &stop_text, "written", &when_text,
                            "resumed", &resumed) == 0 &&
                resumed == 0;
    if (has_ended) {
        (void)snprintf(stop, size, "%s", stop_text);
        (void)snprintf(when, CLOCK_ISO_SIZE, "%s", when_text);
    }
    json_decref(root);
    return has_ended;
}

/* ---- text ---- */

static void
print_place(const struct place *p)
{
    char text[POSITION_TEXT_SIZE];
    char iso[CLOCK_ISO_SIZE];

    (void)position_text(&p->position, text);
    (void)printf("%-10s %s\n", p->name, text);
    (void)printf("%-10s LSN %s", "", lsn_of(&p->position, text));
    (void)printf("   committed %s\n", time_or_dash(p->real_ns, iso));
}

static void
print_ranges(const struct source_ranges *r)
{
    char text[POSITION_TEXT_SIZE];
    char iso[CLOCK_ISO_SIZE];
    char name[4 * NAME_WIDTH + 1];

    (void)printf("\n%-*s %-22s %s\n", NAME_WIDTH, "THE SOURCE HAS", "FROM LSN", "FROM TIME (UTC)");
    for (size_t i = 0; i < r->n; i++)
        (void)printf(
            "%s %-22s %s%s\n", text_fit(r->items[i].table, NAME_WIDTH, 1, name, sizeof(name)),
            bounds_start_text(&r->items[i].oldest, text),
            time_or_dash(r->items[i].oldest_real_ns, iso), r->items[i].is_usable ? "" : " refused");
    (void)printf("%-*s %-22s ", NAME_WIDTH, "newest change",
                 position_is_zero(&r->newest) ? "-" : lsn_of(&r->newest, text));
    (void)printf("%s\n", time_or_dash(r->newest_real_ns, iso));
    (void)printf("%-*s %-22s %s\n", NAME_WIDTH, "its clock", "",
                 time_or_dash(r->server_real_ns, iso));
}

/* ---- JSON ---- */

static json_t *
time_json(int64_t real_ns)
{
    char iso[CLOCK_ISO_SIZE];

    return real_ns != 0 ? json_string(clock_iso(real_ns, iso)) : json_null();
}

static json_t *
place_json(const struct position *p, int64_t real_ns)
{
    char text[POSITION_TEXT_SIZE];
    char lsn[POSITION_TEXT_SIZE];

    if (position_is_zero(p))
        return json_null();
    (void)position_text(p, text);
    return json_pack("{s:s, s:s, s:o}", "StreamPosition", text, "Lsn", lsn_of(p, lsn), "CommitTime",
                     time_json(real_ns));
}

static json_t *
ranges_json(const struct source_ranges *r)
{
    json_t *list = json_array();
    char text[POSITION_TEXT_SIZE];

    for (size_t i = 0; i < r->n; i++)
        (void)json_array_append_new(list,
                                    json_pack("{s:s, s:b, s:s, s:o}", "Table", r->items[i].table,
                                              "Usable", r->items[i].is_usable ? 1 : 0, "From",
                                              bounds_start_text(&r->items[i].oldest, text),
                                              "FromTime", time_json(r->items[i].oldest_real_ns)));
    return json_pack("{s:o, s:o, s:o}", "Tables", list, "Newest",
                     place_json(&r->newest, r->newest_real_ns), "Clock",
                     time_json(r->server_real_ns));
}

/* ---- the command ---- */

static void
print_text(const struct task *t, const struct place *places, size_t n,
           const struct source_ranges *ranges)
{
    char stop[256];
    char when[CLOCK_ISO_SIZE];

    (void)printf("task %s\n", t->identifier);
    if (task_has_ended(t, stop, sizeof(stop), when))
        (void)printf("ended at CdcStopPosition %s on %s\n", stop, when);
    (void)printf("\n");
    for (size_t i = 0; i < n; i++)
        print_place(&places[i]);
    if (n == 0)
        (void)printf("it has no position yet\n");
    if (ranges != NULL)
        print_ranges(ranges);
}

static void
print_json(const struct task *t, const struct place *places, size_t n,
           const struct source_ranges *ranges)
{
    json_t *o = json_pack("{s:s}", "ReplicationTaskIdentifier", t->identifier);
    char stop[256];
    char when[CLOCK_ISO_SIZE];

    if (task_has_ended(t, stop, sizeof(stop), when))
        (void)json_object_set_new(o, "Ended",
                                  json_pack("{s:s, s:s}", "CdcStopPosition", stop, "Time", when));
    for (size_t i = 0; i < n; i++)
        (void)json_object_set_new(o, places[i].json,
                                  place_json(&places[i].position, places[i].real_ns));
    (void)json_object_set_new(o, "Source", ranges != NULL ? ranges_json(ranges) : json_null());
    (void)json_dumpf(o, stdout, JSON_INDENT(2));
    (void)printf("\n");
    json_decref(o);
}

static int
show(const struct task *t, bool as_json)
{
    const struct start_bound none = {.kind = START_NONE};
    struct source_ranges ranges;
    struct position ignored;
    struct place places[2];
    struct err e = ERR_INIT;
    struct snapshot s;
    size_t n;
    bool is_reached;

    snapshot_take(t, &s);
    n = task_places(&s, places);
    is_reached = source_look(t, &none, &ignored, &ranges, &e) == 0;
    (as_json ? print_json : print_text)(t, places, n, is_reached ? &ranges : NULL);
    source_ranges_free(&ranges);
    snapshot_free(&s);
    return is_reached ? WEIRCTL_OK : weirctl_fail("positions", &e, WEIRCTL_PROBLEMS);
}

int
positions_command(int argc, char **argv)
{
    bool as_json = false;
    const char *path = NULL;
    struct task *t;
    int status;

    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--json") == 0)
            as_json = true;
        else if (strcmp(argv[i], "--help") == 0) {
            (void)printf(
                "usage: weirctl %s\n\n"
                "captured: what capture has read.  safe: what Kinesis has, and every host "
                "crash leaves.\nEvery position can be copied into CdcStartPosition: an LSN "
                "counts itself, behind a\nstream-position comes the next record.\n",
                USAGE);
            return WEIRCTL_OK;
        } else if (argv[i][0] == '-' || path != NULL)
            return weirctl_usage(USAGE);
        else
            path = argv[i];
    }
    if (path == NULL)
        return weirctl_usage(USAGE);
    status = weirctl_load("positions", path, &t);
    if (status != WEIRCTL_OK)
        return status;
    status = show(t, as_json);
    task_free(&t);
    return status;
}

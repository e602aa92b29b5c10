/*
 * Is this still the history the task's positions belong to?
 *
 * The fork names a history whatever server holds it, so that a fail-over is survived.  A new fork is
 * another history, with one exception that can be proven: it came from ours, within the same group of
 * copies, and branched off behind everything that was ever given.
 */
#include "capture/capture_internal.h"
#include "common/err.h"
#include "common/fault.h"
#include "common/log.h"
#include "common/request.h"
#include "common/task.h"

#include <stdio.h>
#include <string.h>

#define ANEW "point the task at the old database again; or " REQUEST_RELOAD_HINT
#define UNDONE                                                                                     \
    ". What was delivered from behind the place it went back to is undone in the database and "    \
    "stays in the stream: tell its consumers"

static bool
differ(const char *was, const char *is)
{
    return was[0] != '\0' && is[0] != '\0' && strcmp(was, is) != 0;
}

static bool
same(const char *was, const char *is)
{
    return was[0] != '\0' && strcmp(was, is) == 0;
}

static int
changed(const char *what, const char *was, const char *is, const char *more, struct err *e)
{
    err_set(e, ERR_HISTORY,
            "the source's %s was '%s' and is '%s': positions of one history mean nothing in "
            "another%s",
            what, was, is, more);
    return err_hint(e, ANEW);
}

/* A new fork of the same history, all of whose own part lies behind what was given. */
static bool
is_continued(const struct capture *c, const struct source_identity *was,
             const struct source_identity *is)
{
    return strcmp(was->server, is->server) != 0 && same(was->group, is->group) &&
           strcmp(was->fork, is->fork_parent) == 0 && !position_is_zero(&is->fork_point) &&
           position_compare(output_high(c->output), &is->fork_point) <= 0;
}

static int
new_fork(const struct capture *c, const struct source_identity *was,
         const struct source_identity *is, struct err *e)
{
    char given[POSITION_TEXT_SIZE];
    char point[POSITION_TEXT_SIZE];
    char more[3 * POSITION_TEXT_SIZE + 400];

    if (is_continued(c, was, is))
        return 0;
    if (strcmp(was->fork, is->fork_parent) != 0 || position_is_zero(&is->fork_point))
        return changed("recovery fork", was->fork, is->fork,
                       " (the database was restored, or failed over with loss)" UNDONE, e);
    (void)position_text(output_high(c->output), given);
    (void)position_text(&is->fork_point, point);
    given[strcspn(given, ".")] = '\0';
    point[strcspn(point, ".")] = '\0';
    (void)snprintf(more, sizeof(more),
                   " (the database was restored, or failed over with loss: it went back to LSN %s, "
                   "and everything up to %s was read)%s",
                   point, given,
                   position_compare(output_high(c->output), &is->fork_point) > 0
                       ? UNDONE
                       : "; nothing that was delivered is undone");
    return changed("recovery fork", was->fork, is->fork, more, e);
}

static int
check(const struct capture *c, const struct source_identity *was, const struct source_identity *is,
      struct err *e)
{
    if (strcmp(was->database, is->database) != 0)
        return changed("database", was->database, is->database, "", e);
    if (differ(was->family, is->family))
        return changed("family of backups", was->family, is->family,
                       " (another database has its name)", e);
    if (differ(was->fork, is->fork))
        return new_fork(c, was, is, e);
    if (same(was->fork, is->fork))
        return 0;
    /* The login may not see forks: server and creation say what they can. */
    if (strcmp(was->server, is->server) != 0)
        return same(was->group, is->group)
                   ? 0
                   : changed("server name", was->server, is->server,
                             "; the right to see recovery forks (VIEW ANY DEFINITION) would tell a "
                             "moved database from another one",
                             e);
    if (strcmp(was->created, is->created) != 0)
        return changed("date of creation", was->created, is->created,
                       " (the database was restored, or another one has its name)" UNDONE, e);
    return 0;
}

/* What the source says now; what it no longer says stays known. */
static void
adopt(struct source_identity *was, const struct source_identity *is)
{
    struct source_identity before = *was;

    *was = *is;
    if (is->fork[0] == '\0')
        memcpy(was->fork, before.fork, sizeof(was->fork));
    if (is->family[0] == '\0')
        memcpy(was->family, before.family, sizeof(was->family));
    if (is->group[0] == '\0')
        memcpy(was->group, before.group, sizeof(was->group));
}

int
identity_check(struct capture *c, const struct source_identity *is, struct err *e)
{
    struct source_identity *was = &c->state.identity;

    if (c->state.is_new) {
        *was = *is;
        return 0;
    }
    if (check(c, was, is, e) != 0)
        return -1;
    if (strcmp(was->server, is->server) == 0 && strcmp(was->fork, is->fork) == 0 &&
        strcmp(was->created, is->created) == 0 && strcmp(was->family, is->family) == 0 &&
        strcmp(was->group, is->group) == 0)
        return 0;
    if (strcmp(was->server, is->server) != 0)
        log_warn("source-moved", "from=%s to=%s fork=%s", was->server, is->server,
                 same(was->fork, is->fork) ? "same" : "continued");
    adopt(was, is);
    CRASH_POINT("capture.identity");
    return state_write(c->task, &c->state, e);
}

#include "shipper/identity.h"

#include "common/file.h"
#include "common/stage.h"
#include "common/task.h"
#include "common/topology.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILE_MAX 4096

static int
remember(const char *path, const struct task *task, const char *identity, struct err *e)
{
    json_t *o = json_pack("{s:i, s:s, s:s}", "format", 1, "stream", task->target.stream_arn,
                          "created", identity);
    char *text = o != NULL ? json_dumps(o, JSON_INDENT(1)) : NULL;
    int rc;

    json_decref(o);
    if (text == NULL)
        return err_set(e, ERR_NOMEM, "%s", path);
    rc = file_replace(path, text, strlen(text), 0640, e);
    free(text);
    return rc;
}

static int
damaged(const char *path, struct err *e)
{
    err_set(e, ERR_LAYOUT, "%s does not say which stream was written to", path);
    return err_hint(e, "restore the file; or remove it, if nobody has exchanged the stream");
}

static int
compare(const char *path, const char *text, const struct task *task, const char *identity,
        struct err *e)
{
    json_t *o = json_loads(text, 0, NULL);
    const char *stream = json_string_value(json_object_get(o, "stream"));
    const char *was = json_string_value(json_object_get(o, "created"));
    int rc = 0;

    if (stream == NULL || was == NULL) {
        rc = damaged(path, e);
    } else if (strcmp(stream, task->target.stream_arn) == 0 && strcmp(was, identity) != 0) {
        err_set(
            e, ERR_HISTORY,
            "%s was deleted and made again: it was created %s, and the one written to before %s; "
            "what that one held and nobody read is gone",
            stream, identity, was);
        err_hint(e,
                 "to deliver everything anew, reload the task; to go on into the new stream with "
                 "what comes now, remove %s",
                 path);
        rc = -1;
    }
    json_decref(o);
    return rc;
}

int
identity_check(const struct stage *stage, const struct topology *topology,
               const struct target_state *state, struct err *e)
{
    char path[TOPOLOGY_PATH_MAX];
    char name[64];
    char *text;
    size_t size;
    int rc;

    if (state->identity[0] == '\0')
        return 0;
    (void)snprintf(name, sizeof(name), "stream.%" PRIu64 ".%u.json", topology->generation,
                   stage->index);
    (void)topology_state_file(stage->task, name, path);
    if (file_read(path, FILE_MAX, &text, &size, e) != 0) {
        if (e->code != ERR_NOT_FOUND)
            return -1;
        err_clear(e);
        return remember(path, stage->task, state->identity, e);
    }
    rc = compare(path, text, stage->task, state->identity, e);
    free(text);
    return rc;
}

#include "common/checkpoint.h"

#include "common/clock.h"
#include "common/err.h"
#include "common/fault.h"
#include "common/file.h"
#include "common/topology.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#define CHECKPOINT_FILE_MAX 65536

static const char *
checkpoint_path(const struct task *t, uint64_t generation, uint32_t shipper, char *buf)
{
    char name[64];

    (void)snprintf(name, sizeof(name), "checkpoint.%" PRIu64 ".%" PRIu32 ".json", generation,
                   shipper);
    return topology_state_file(t, name, buf);
}

int
checkpoint_write(const struct task *t, const struct checkpoint *c, struct err *e)
{
    char path[TOPOLOGY_PATH_MAX];
    char hex[POSITION_HEX_SIZE];
    char text[POSITION_TEXT_SIZE];
    char iso[CLOCK_ISO_SIZE];
    char body[1024];
    int n;

    position_hex(&c->position, hex);
    (void)position_text(&c->position, text);
    n = snprintf(body, sizeof(body),
                 "{\"generation\": %" PRIu64 ", \"shipper\": %" PRIu32 ",\n"
                 " \"position\": \"%s\",\n \"text\": \"%s\",\n"
                 " \"commit_ns\": %" PRId64 ", \"written_ns\": %" PRId64 ", \"written\": \"%s\"}\n",
                 c->generation, c->shipper, hex, text, c->commit_real_ns, c->written_real_ns,
                 clock_iso(c->written_real_ns, iso));
    CRASH_POINT("checkpoint.before");
    if (file_replace(checkpoint_path(t, c->generation, c->shipper, path), body, (size_t)n, 0640,
                     e) != 0)
        return err_context(e, "checkpoint of shipper %" PRIu32, c->shipper);
    CRASH_POINT("checkpoint.after");
    return 0;
}

static int
parse(const char *path, const char *text, size_t size, struct checkpoint *out, struct err *e)
{
    json_error_t je;
    json_t *root = json_loadb(text, size, 0, &je);
    json_int_t generation = 0;
    json_int_t shipper = 0;
    json_int_t commit = 0;
    json_int_t written = 0;
    const char *position = NULL;
    int rc = 0;

    if (root == NULL ||
        json_unpack(root, "{s:I, s:I, s:s, s:I, s:I}", "generation", &generation, "shipper",
                    &shipper, "position", &position, "commit_ns", &commit, "written_ns",
                    &written) != 0 ||
        position_parse(position, &out->position) != 0) {
        err_set(e, ERR_LAYOUT, "%s is damaged", path);
        rc = err_hint(e, "restore it from a backup, or remove it: the task then goes back to the "
                         "start of its generation and sends everything since again");
    } else {
        out->generation = (uint64_t)generation;
        out->shipper = (uint32_t)shipper;
        out->commit_real_ns = commit;
        out->written_real_ns = written;
    }
    json_decref(root);
    return rc;
}

int
checkpoint_read(const struct task *t, uint64_t generation, uint32_t shipper, struct checkpoint *out,
                struct err *e)
{
    char path[TOPOLOGY_PATH_MAX];
    char *text;
    size_t size;
    int rc;

    if (file_read(checkpoint_path(t, generation, shipper, path), CHECKPOINT_FILE_MAX, &text, &size,
                  e) != 0)
        return -1;
    rc = parse(path, text, size, out, e);
    free(text);
    if (rc == 0 && (out->generation != generation || out->shipper != shipper)) {
        err_set(e, ERR_LAYOUT,
                "%s is of generation %" PRIu64 " and shipper %" PRIu32
                ", not of what its name says",
                path, out->generation, out->shipper);
        return err_hint(e, "it was copied or renamed; put the right file back");
    }
    return rc;
}

int
checkpoint_task_lowest(const struct task *t, const struct topology *topo, struct position *position,
                       int64_t *commit_real_ns, struct err *e)
{
    struct checkpoint lowest = {.position = topo->baseline};

    for (uint32_t s = 0; s < topo->shippers; s++) {
        struct checkpoint c = {.position = topo->baseline};

        if (checkpoint_read(t, topo->generation, s, &c, e) != 0) {
            if (e->code != ERR_NOT_FOUND)
                return -1;
            c = (struct checkpoint){.position = topo->baseline};
        }
        if (s == 0 || position_compare(&c.position, &lowest.position) < 0)
            lowest = c;
    }
    *position = lowest.position;
    *commit_real_ns = lowest.commit_real_ns;
    return 0;
}

int
checkpoint_task_position(const struct task *t, const struct topology *topo, struct position *out,
                         struct err *e)
{
    int64_t ignored;

    return checkpoint_task_lowest(t, topo, out, &ignored, e);
}

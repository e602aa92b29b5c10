#include "common/topology.h"

#include "common/err.h"
#include "common/file.h"
#include "common/task.h"

#include <ftw.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TOPOLOGY_FILE     "topology.json"
#define TOPOLOGY_FILE_MAX 65536

static int
parse(const char *path, const char *text, size_t size, struct topology *out, struct err *e)
{
    json_error_t je;
    json_t *root = json_loadb(text, size, 0, &je);
    json_int_t generation = 0;
    json_int_t encoders = 0;
    json_int_t shippers = 0;
    const char *baseline = NULL;
    const char *request = "";
    const char *start = "";
    int rc = 0;

    if (root == NULL ||
        json_unpack(root, "{s:I, s:I, s:I, s:s, s?s, s?s}", "generation", &generation, "encoders",
                    &encoders, "shippers", &shippers, "baseline", &baseline, "request", &request,
                    "start", &start) != 0 ||
        generation < 1 || encoders < 1 || shippers < 1 || strlen(request) >= REQUEST_ID_SIZE ||
        strlen(start) >= REQUEST_FROM_SIZE || position_parse(baseline, &out->baseline) != 0) {
        err_set(e, ERR_LAYOUT, "%s is damaged", path);
        rc = err_hint(
            e, "it holds the task's generation; restore it from a backup, or " REQUEST_RELOAD_HINT);
    } else {
        out->generation = (uint64_t)generation;
        out->encoders = (uint32_t)encoders;
        out->shippers = (uint32_t)shippers;
        (void)snprintf(out->request, sizeof(out->request), "%s", request);
        (void)snprintf(out->start, sizeof(out->start), "%s", start);
    }
    json_decref(root);
    return rc;
}

int
topology_read(const struct task *t, struct topology *out, struct err *e)
{
    char path[TOPOLOGY_PATH_MAX];
    char *text;
    size_t size;
    int rc;

    if (file_read(topology_state_file(t, TOPOLOGY_FILE, path), TOPOLOGY_FILE_MAX, &text, &size,
                  e) != 0)
        return -1;
    rc = parse(path, text, size, out, e);
    free(text);
    return rc;
}

int
topology_write(const struct task *t, const struct topology *topo, struct err *e)
{
    char path[TOPOLOGY_PATH_MAX];
    char baseline[POSITION_HEX_SIZE];
    json_t *root;
    char *text;
    int rc;

    position_hex(&topo->baseline, baseline);
    root = json_pack("{s:I, s:I, s:I, s:s, s:s, s:s}", "generation", (json_int_t)topo->generation,
                     "encoders", (json_int_t)topo->encoders, "shippers", (json_int_t)topo->shippers,
                     "baseline", baseline, "request", topo->request, "start", topo->start);
    text = root != NULL ? json_dumps(root, JSON_INDENT(1)) : NULL;
    json_decref(root);
    if (text == NULL)
        return err_set(e, ERR_NOMEM, "writing %s", TOPOLOGY_FILE);
    rc = file_replace(topology_state_file(t, TOPOLOGY_FILE, path), text, strlen(text), 0640, e);
    free(text);
    return rc;
}

static int
remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

void
topology_remove_rings(const struct task *t, const struct topology *topo)
{
    char path[TOPOLOGY_PATH_MAX];

    (void)nftw(topology_ring_directory(t, topo, path), remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

const char *
topology_ring_directory(const struct task *t, const struct topology *topo, char *buf)
{
    (void)snprintf(buf, TOPOLOGY_PATH_MAX, "%s/g%" PRIu64, t->weir.runtime_directory,
                   topo->generation);
    return buf;
}

const char *
topology_change_ring(const struct task *t, const struct topology *topo, uint32_t encoder, char *buf)
{
    (void)snprintf(buf, TOPOLOGY_PATH_MAX, "%s/g%" PRIu64 "/change.%" PRIu32 ".ring",
                   t->weir.runtime_directory, topo->generation, encoder);
    return buf;
}

const char *
topology_record_ring(const struct task *t, const struct topology *topo, uint32_t encoder,
                     uint32_t shipper, char *buf)
{
    (void)snprintf(buf, TOPOLOGY_PATH_MAX, "%s/g%" PRIu64 "/record.%" PRIu32 ".%" PRIu32 ".ring",
                   t->weir.runtime_directory, topo->generation, encoder, shipper);
    return buf;
}

const char *
topology_stats(const struct task *t, const char *stage, char *buf)
{
    (void)snprintf(buf, TOPOLOGY_PATH_MAX, "%s/stats.%s", t->weir.runtime_directory, stage);
    return buf;
}

const char *
topology_state_file(const struct task *t, const char *name, char *buf)
{
    (void)snprintf(buf, TOPOLOGY_PATH_MAX, "%s/%s", t->weir.state_directory, name);
    return buf;
}

uint32_t
topology_encoder_of(const void *key, size_t size, uint32_t encoders)
{
    const unsigned char *at = key;
    uint64_t h = 0xcbf29ce484222325ULL;

    if (encoders == 1)
        return 0;
    /* FNV-1a; the closing multiplication spreads it to the high bits the range step uses. */
    for (size_t i = 0; i < size; i++)
        h = (h ^ at[i]) * 0x100000001b3ULL;
    h ^= h >> 32;
    h *= 0x9e3779b97f4a7c15ULL;
    return (uint32_t)(((h >> 32) * encoders) >> 32);
}

uint32_t
topology_shipper_of(const uint8_t hash[16], uint32_t shippers)
{
    uint32_t top = 0;

    for (int i = 0; i < 4; i++)
        top = top << 8 | hash[i];
    return (uint32_t)(((uint64_t)top * shippers) >> 32);
}

#include "capture/state.h"

#include "common/err.h"
#include "common/file.h"
#include "common/task.h"
#include "common/topology.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STATE_FILE     "capture.json"
#define STATE_FILE_MAX ((size_t)64 << 20)
#define STATE_FORMAT   1

/* ---- reading ---- */

/* True when text is a printable ASCII literal: what an engine makes for keys. */
static bool
is_literal(const char *text)
{
    for (; *text != '\0'; text++)
        if (*text < ' ' || *text > '~')
            return false;
    return true;
}

static bool
parse_key(const json_t *array, struct source_key *out)
{
    if (!json_is_array(array) || json_array_size(array) > SOURCE_KEY_MAX)
        return false;
    for (size_t i = 0; i < json_array_size(array); i++) {
        const char *part = json_string_value(json_array_get(array, i));

        if (part == NULL || !is_literal(part) || (out->part[i] = strdup(part)) == NULL)
            return false;
        out->n = (uint16_t)(i + 1);
    }
    return true;
}

static bool
parse_lost(json_t *item, struct state_lost *out)
{
    const char *from = NULL;
    const char *upto = NULL;
    const char *given = NULL;
    json_int_t from_real_ns = 0;
    json_int_t upto_real_ns = 0;

    if (item == NULL)
        return true;
    if (json_unpack(item, "{s:s,s:s,s:s,s:I,s:I}", "from", &from, "upto", &upto, "given", &given,
                    "from_real_ns", &from_real_ns, "upto_real_ns", &upto_real_ns) != 0 ||
        position_parse(from, &out->from) != 0 || position_parse(upto, &out->upto) != 0 ||
        position_parse(given, &out->given) != 0)
        return false;
    out->is_set = true;
    out->from_real_ns = from_real_ns;
    out->upto_real_ns = upto_real_ns;
    return true;
}

static bool
parse_table(json_t *item, struct state *s)
{
    struct source_table like = {.def = &(struct table_def){.id = 0}};
    const char *since = NULL;
    const char *suspended = NULL;
    int wants_load = 0;
    int is_planned = 0;
    json_int_t id = 0;
    json_int_t version = 0;
    struct state_table *t;

    if (json_unpack(item, "{s:I,s:I,s:s,s:s,s:s,s:s,s:b,s:b,s?s}", "id", &id, "version", &version,
                    "schema", &like.def->schema, "name", &like.def->name, "instance",
                    &like.instance, "since", &since, "load", &wants_load, "planned", &is_planned,
                    "suspended", &suspended) != 0 ||
        id < 1 || id > UINT32_MAX || version < 1 || version > UINT32_MAX)
        return false;
    t = state_add_table(s, &like, NULL);
    if (t == NULL || position_parse(since, &t->since) != 0)
        return false;
    t->id = (uint32_t)id;
    t->version = (uint32_t)version;
    t->wants_load = wants_load != 0;
    t->is_planned = is_planned != 0;
    if (suspended != NULL && (t->suspended = strdup(suspended)) == NULL)
        return false;
    return parse_lost(json_object_get(item, "lost"), &t->lost);
}

static bool
parse_chunk(json_t *item, struct state *s)
{
    json_int_t number = 0;
    json_int_t table = 0;
    int is_first = 0;
    const json_t *upto = NULL;
    struct state_chunk *c;

    if (json_unpack(item, "{s:I,s:I,s:b,s:o}", "number", &number, "table", &table, "first",
                    &is_first, "upto", &upto) != 0 ||
        number < 1 || table < 0 || (size_t)table >= s->n_tables)
        return false;
    if (s->n_chunks > 0 && (uint64_t)number != s->chunks[s->n_chunks - 1].number + 1)
        return false;
    c = state_add_chunk(s, NULL);
    if (c == NULL)
        return false;
    c->number = (uint64_t)number;
    c->table = (uint32_t)table;
    c->is_first = is_first != 0;
    return parse_key(upto, &c->upto);
}

static void
copy_text(char *to, size_t size, const char *from)
{
    (void)snprintf(to, size, "%s", from);
}

static bool
parse_identity(json_t *item, struct source_identity *out)
{
    const char *server = NULL;
    const char *database = NULL;
    const char *created = NULL;
    const char *fork = NULL;

    if (json_unpack(item, "{s:s,s:s,s:s,s:s}", "server", &server, "database", &database, "created",
                    &created, "fork", &fork) != 0)
        return false;
    copy_text(out->server, sizeof(out->server), server);
    copy_text(out->database, sizeof(out->database), database);
    copy_text(out->created, sizeof(out->created), created);
    copy_text(out->fork, sizeof(out->fork), fork);
    return true;
}

static bool
parse_lists(const json_t *tables, const json_t *chunks, struct state *s)
{
    size_t i;
    json_t *item;

    json_array_foreach(tables, i, item)
    {
        if (!parse_table(item, s))
            return false;
    }
    json_array_foreach(chunks, i, item)
    {
        if (!parse_chunk(item, s))
            return false;
    }
    return s->n_chunks == 0 || s->chunks[s->n_chunks - 1].number + 1 == s->next_chunk;
}

static bool
parse_root(json_t *root, struct state *s, const char **task)
{
    const char *join = NULL;
    json_t *identity = NULL;
    json_t *tables = NULL;
    json_t *chunks = NULL;
    json_int_t next_chunk = 0;
    int format = 0;

    if (json_unpack(root, "{s:i,s:s,s:o,s:s,s:I,s:o,s:o}", "format", &format, "task", task,
                    "identity", &identity, "join", &join, "next_chunk", &next_chunk, "tables",
                    &tables, "chunks", &chunks) != 0 ||
        format != STATE_FORMAT || next_chunk < 1 || position_parse(join, &s->join) != 0 ||
        !json_is_array(tables) || !json_is_array(chunks) || !parse_identity(identity, &s->identity))
        return false;
    s->next_chunk = (uint64_t)next_chunk;
    return parse_lists(tables, chunks, s);
}

static int
damaged(const char *path, const char *what, struct err *e)
{
    err_set(e, ERR_LAYOUT, "%s %s", path, what);
    return err_hint(e, "restore the file, or load from scratch: stop the task, remove its state "
                       "directory, start it");
}

int
state_read(const struct task *t, struct state *out, struct err *e)
{
    char path[TOPOLOGY_PATH_MAX];
    char what[128];
    const char *task = NULL;
    char *text = NULL;
    size_t size = 0;
    json_error_t je;
    json_t *root;
    int rc = -1;

    *out = (struct state){.next_chunk = 1};
    (void)topology_state_file(t, STATE_FILE, path);
    if (file_read(path, STATE_FILE_MAX, &text, &size, e) != 0) {
        out->is_new = e->code == ERR_NOT_FOUND;
        return out->is_new ? 0 : -1;
    }
    root = json_loadb(text, size, JSON_REJECT_DUPLICATES, &je);
    free(text);
    if (root == NULL) {
        (void)snprintf(what, sizeof(what), "is damaged: line %d is not JSON", je.line);
        rc = damaged(path, what, e);
    } else if (!parse_root(root, out, &task)) {
        rc = damaged(path, "is damaged or of another version", e);
    } else if (strcmp(task, t->identifier) != 0) {
        rc = damaged(path, "belongs to another task", e);
    } else {
        rc = 0;
    }
    json_decref(root);
    if (rc != 0)
        state_free(out);
    return rc;
}

/* ---- writing ---- */

static json_t *
pack_key(const struct source_key *key)
{
    json_t *array = json_array();

    for (uint16_t i = 0; array != NULL && i < key->n; i++)
        (void)json_array_append_new(array, json_string(key->part[i]));
    return array;
}

static json_t *
pack_lost(const struct state_lost *lost)
{
    char from[POSITION_HEX_SIZE];
    char upto[POSITION_HEX_SIZE];
    char given[POSITION_HEX_SIZE];

    if (!lost->is_set)
        return NULL;
    position_hex(&lost->from, from);
    position_hex(&lost->upto, upto);
    position_hex(&lost->given, given);
    return json_pack("{s:s,s:s,s:s,s:I,s:I}", "from", from, "upto", upto, "given", given,
                     "from_real_ns", (json_int_t)lost->from_real_ns, "upto_real_ns",
                     (json_int_t)lost->upto_real_ns);
}

static json_t *
pack_tables(const struct state *s)
{
    json_t *array = json_array();

    for (size_t i = 0; i < s->n_tables; i++) {
        const struct state_table *t = &s->tables[i];
        char since[POSITION_HEX_SIZE];

        position_hex(&t->since, since);
        (void)json_array_append_new(
            array, json_pack("{s:I,s:I,s:s,s:s,s:s,s:s,s:b,s:b,s:s*,s:o*}", "id", (json_int_t)t->id,
                             "version", (json_int_t)t->version, "schema", t->schema, "name",
                             t->name, "instance", t->instance, "since", since, "load",
                             t->wants_load ? 1 : 0, "planned", t->is_planned ? 1 : 0, "suspended",
                             t->suspended, "lost", pack_lost(&t->lost)));
    }
    return array;
}

static json_t *
pack_chunks(const struct state *s)
{
    json_t *array = json_array();

    for (size_t i = 0; i < s->n_chunks; i++) {
        const struct state_chunk *c = &s->chunks[i];

        (void)json_array_append_new(array,
                                    json_pack("{s:I,s:I,s:b,s:o}", "number", (json_int_t)c->number,
                                              "table", (json_int_t)c->table, "first",
                                              c->is_first ? 1 : 0, "upto", pack_key(&c->upto)));
    }
    return array;
}

int
state_write(const struct task *t, const struct state *s, struct err *e)
{
    char path[TOPOLOGY_PATH_MAX];
    char join[POSITION_HEX_SIZE];
    json_t *root;
    char *text;
    int rc;

    position_hex(&s->join, join);
    root = json_pack("{s:i,s:s,s:{s:s,s:s,s:s,s:s},s:s,s:I,s:o,s:o}", "format", STATE_FORMAT,
                     "task", t->identifier, "identity", "server", s->identity.server, "database",
                     s->identity.database, "created", s->identity.created, "fork", s->identity.fork,
                     "join", join, "next_chunk", (json_int_t)s->next_chunk, "tables",
                     pack_tables(s), "chunks", pack_chunks(s));
    text = root != NULL ? json_dumps(root, JSON_INDENT(1)) : NULL;
    json_decref(root);
    if (text == NULL)
        return err_set(e, ERR_NOMEM, "writing %s", STATE_FILE);
    (void)topology_state_file(t, STATE_FILE, path);
    rc = file_replace(path, text, strlen(text), 0640, e);
    free(text);
    return rc;
}

/* ---- memory ---- */

static void
free_chunk(struct state_chunk *c)
{
    source_key_free(&c->upto);
}

void
state_free(struct state *s)
{
    for (size_t i = 0; i < s->n_tables; i++) {
        free(s->tables[i].schema);
        free(s->tables[i].name);
        free(s->tables[i].instance);
        free(s->tables[i].suspended);
    }
    for (size_t i = 0; i < s->n_chunks; i++)
        free_chunk(&s->chunks[i]);
    free(s->tables);
    free(s->chunks);
    *s = (struct state){.next_chunk = 1};
}

struct state_table *
state_add_table(struct state *s, const struct source_table *t, struct err *e)
{
    struct state_table *list = realloc(s->tables, (s->n_tables + 1) * sizeof(*list));
    struct state_table *added;

    if (list == NULL) {
        err_set(e, ERR_NOMEM, "%zu tables", s->n_tables);
        return NULL;
    }
    s->tables = list;
    added = &list[s->n_tables];
    *added = (struct state_table){.id = t->def->id,
                                  .version = t->def->version,
                                  .schema = strdup(t->def->schema),
                                  .name = strdup(t->def->name),
                                  .instance = strdup(t->instance)};
    s->n_tables++;
    if (added->schema == NULL || added->name == NULL || added->instance == NULL) {
        err_set(e, ERR_NOMEM, "%zu tables", s->n_tables);
        return NULL;
    }
    return added;
}

struct state_chunk *
state_add_chunk(struct state *s, struct err *e)
{
    struct state_chunk *list = realloc(s->chunks, (s->n_chunks + 1) * sizeof(*list));

    if (list == NULL) {
        err_set(e, ERR_NOMEM, "%zu chunks", s->n_chunks);
        return NULL;
    }
    s->chunks = list;
    list[s->n_chunks] = (struct state_chunk){.number = 0};
    return &list[s->n_chunks++];
}

void
state_prune(struct state *s, uint64_t acknowledged)
{
    size_t drop = 0;

    while (drop + 1 < s->n_chunks && s->chunks[drop + 1].number <= acknowledged)
        drop++;
    if (drop == 0)
        return;
    for (size_t i = 0; i < drop; i++)
        free_chunk(&s->chunks[i]);
    memmove(s->chunks, s->chunks + drop, (s->n_chunks - drop) * sizeof(*s->chunks));
    s->n_chunks -= drop;
}

struct state_table *
state_find(const struct state *s, const char *schema, const char *name, const char *instance)
{
    for (size_t i = 0; i < s->n_tables; i++)
        if (strcmp(s->tables[i].schema, schema) == 0 && strcmp(s->tables[i].name, name) == 0 &&
            strcmp(s->tables[i].instance, instance) == 0)
            return &s->tables[i];
    return NULL;
}

#include "capture/state.h"

#include "common/err.h"
#include "common/file.h"
#include "common/request.h"
#include "common/task.h"
#include "common/topology.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STATE_FILE     "capture.json"
#define STATE_FILE_MAX ((size_t)64 << 20)
#define STATE_FORMAT   2

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

/* One line of an engine's words. */
static bool
is_line(const char *text)
{
    for (; *text != '\0'; text++)
        if ((unsigned char)*text < ' ' || *text == 0x7f)
            return false;
    return true;
}

static bool
parse_piece(json_t *item, struct state_piece *out)
{
    const char *where = NULL;
    const json_t *next = NULL;
    int is_ordered = 0;
    int is_done = 0;

    if (json_unpack(item, "{s:s,s:b,s:o,s:b}", "where", &where, "ordered", &is_ordered, "next",
                    &next, "done", &is_done) != 0 ||
        !is_line(where))
        return false;
    out->piece.is_ordered = is_ordered != 0;
    out->is_done = is_done != 0;
    out->piece.where = strdup(where);
    return out->piece.where != NULL && parse_key(next, &out->next);
}

static bool
parse_pieces(const json_t *array, struct state_table *t)
{
    size_t i;
    json_t *item;

    if (array == NULL)
        return true;
    if (!json_is_array(array))
        return false;
    t->pieces = calloc(json_array_size(array) + 1, sizeof(*t->pieces));
    if (t->pieces == NULL)
        return false;
    json_array_foreach(array, i, item)
    {
        t->n_pieces++;
        if (!parse_piece(item, &t->pieces[i]))
            return false;
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
    const char *announced = NULL;
    const char *suspended = NULL;
    const json_t *pieces = NULL;
    const char *ended = NULL;
    int wants_load = 0;
    int is_begun = 0;
    int is_planned = 0;
    int wants_reload = 0;
    int is_reload = 0;
    json_int_t id = 0;
    json_int_t version = 0;
    json_int_t object = 0;
    struct state_table *t;

    if (json_unpack(item, "{s:I,s:I,s:s,s:s,s:s,s:s,s:s,s:b,s:b,s:b,s:b,s:b,s?o,s?s,s?I,s?s}", "id",
                    &id, "version", &version, "schema", &like.def->schema, "name", &like.def->name,
                    "instance", &like.instance, "since", &since, "announced", &announced, "load",
                    &wants_load, "begun", &is_begun, "planned", &is_planned, "wants_reload",
                    &wants_reload, "reload", &is_reload, "pieces", &pieces, "suspended", &suspended,
                    "object", &object, "ended", &ended) != 0 ||
        id < 1 || id > UINT32_MAX || version < 1 || version > UINT32_MAX)
        return false;
    t = state_add_table(s, &like, NULL);
    if (t == NULL || position_parse(since, &t->since) != 0 ||
        position_parse(announced, &t->announced) != 0 || !parse_pieces(pieces, t) ||
        (ended != NULL && position_parse(ended, &t->ended) != 0))
        return false;
    t->id = (uint32_t)id;
    t->version = (uint32_t)version;
    t->object = (uint64_t)object;
    t->wants_load = wants_load != 0;
    t->is_begun = is_begun != 0;
    t->is_planned = is_planned != 0;
    t->wants_reload = wants_reload != 0;
    t->is_reload = is_reload != 0;
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
    int is_last = 0;
    int is_ordered = 0;
    const char *at = NULL;
    const char *where = NULL;
    const json_t *from = NULL;
    const json_t *upto = NULL;
    struct state_chunk *c;

    if (json_unpack(item, "{s:I,s:s,s:I,s:b,s:b,s?s,s:b,s:o,s:o}", "number", &number, "at", &at,
                    "table", &table, "first", &is_first, "last", &is_last, "where", &where,
                    "ordered", &is_ordered, "from", &from, "upto", &upto) != 0 ||
        number < 1 || table < 0 || (size_t)table >= s->n_tables)
        return false;
    if (s->n_chunks > 0 && (uint64_t)number != s->chunks[s->n_chunks - 1].number + 1)
        return false;
    c = state_add_chunk(s, NULL);
    if (c == NULL || position_parse(at, &c->at) != 0)
        return false;
    c->number = (uint64_t)number;
    c->table = (uint32_t)table;
    c->is_first = is_first != 0;
    c->is_last = is_last != 0;
    c->is_ordered = is_ordered != 0;
    if (where != NULL && (!is_line(where) || (c->where = strdup(where)) == NULL))
        return false;
    return parse_key(from, &c->from) && parse_key(upto, &c->upto);
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
    const char *family = "";
    const char *group = "";

    if (json_unpack(item, "{s:s,s:s,s:s,s:s,s?s,s?s}", "server", &server, "database", &database,
                    "created", &created, "fork", &fork, "family", &family, "group", &group) != 0)
        return false;
    copy_text(out->family, sizeof(out->family), family);
    copy_text(out->group, sizeof(out->group), group);
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
    const char *stop = NULL;
    int is_loaded = 0;
    int has_stopped = 0;
    int format = 0;

    if (json_unpack(root, "{s:i,s:s,s:o,s:s,s:b,s:b,s:s,s:I,s:o,s:o}", "format", &format, "task",
                    task, "identity", &identity, "join", &join, "loaded", &is_loaded, "stopped",
                    &has_stopped, "stop", &stop, "next_chunk", &next_chunk, "tables", &tables,
                    "chunks", &chunks) != 0 ||
        format != STATE_FORMAT || next_chunk < 1 || position_parse(join, &s->join) != 0 ||
        position_parse(stop, &s->stop) != 0 || !json_is_array(tables) || !json_is_array(chunks) ||
        !parse_identity(identity, &s->identity))
        return false;
    s->next_chunk = (uint64_t)next_chunk;
    s->is_loaded = is_loaded != 0;
    s->has_stopped = has_stopped != 0;
    return parse_lists(tables, chunks, s);
}

static int
damaged(const char *path, const char *what, struct err *e)
{
    err_set(e, ERR_LAYOUT, "%s %s", path, what);
    return err_hint(e, "restore the file, or " REQUEST_RELOAD_HINT);
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
pack_pieces(const struct state_table *t)
{
    json_t *array = t->n_pieces > 0 ? json_array() : NULL;

    for (size_t i = 0; array != NULL && i < t->n_pieces; i++) {
        const struct state_piece *p = &t->pieces[i];

        (void)json_array_append_new(array,
                                    json_pack("{s:s,s:b,s:o,s:b}", "where", p->piece.where,
                                              "ordered", p->piece.is_ordered ? 1 : 0, "next",
                                              pack_key(&p->next), "done", p->is_done ? 1 : 0));
    }
    return array;
}

static json_t *
pack_tables(const struct state *s)
{
    json_t *array = json_array();

    for (size_t i = 0; i < s->n_tables; i++) {
        const struct state_table *t = &s->tables[i];
        char since[POSITION_HEX_SIZE];
        char announced[POSITION_HEX_SIZE];
        char ended[POSITION_HEX_SIZE];

        position_hex(&t->since, since);
        position_hex(&t->announced, announced);
        position_hex(&t->ended, ended);
        (void)json_array_append_new(
            array,
            json_pack("{s:I,s:I,s:s,s:s,s:s,s:s,s:s,s:b,s:b,s:b,s:b,s:b,s:o*,s:s*,s:o*,s:I,s:s*}",
                      "id", (json_int_t)t->id, "version", (json_int_t)t->version, "schema",
                      t->schema, "name", t->name, "instance", t->instance, "since", since,
                      "announced", announced, "load", t->wants_load ? 1 : 0, "begun",
                      t->is_begun ? 1 : 0, "planned", t->is_planned ? 1 : 0, "wants_reload",
                      t->wants_reload ? 1 : 0, "reload", t->is_reload ? 1 : 0, "pieces",
                      pack_pieces(t), "suspended", t->suspended, "lost", pack_lost(&t->lost),
                      "object", (json_int_t)t->object, "ended",
                      position_is_zero(&t->ended) ? NULL : ended));
    }
    return array;
}

static json_t *
pack_chunks(const struct state *s)
{
    json_t *array = json_array();

    for (size_t i = 0; i < s->n_chunks; i++) {
        const struct state_chunk *c = &s->chunks[i];
        char at[POSITION_HEX_SIZE];

        position_hex(&c->at, at);
        (void)json_array_append_new(
            array,
            json_pack("{s:I,s:s,s:I,s:b,s:b,s:s*,s:b,s:o,s:o}", "number", (json_int_t)c->number,
                      "at", at, "table", (json_int_t)c->table, "first", c->is_first ? 1 : 0, "last",
                      c->is_last ? 1 : 0, "where", c->where, "ordered", c->is_ordered ? 1 : 0,
                      "from", pack_key(&c->from), "upto", pack_key(&c->upto)));
    }
    return array;
}

int
state_write(const struct task *t, const struct state *s, struct err *e)
{
    char path[TOPOLOGY_PATH_MAX];
    char join[POSITION_HEX_SIZE];
    char stop[POSITION_HEX_SIZE];
    json_t *root;
    char *text;
    int rc;

    position_hex(&s->join, join);
    position_hex(&s->stop, stop);
    root = json_pack("{s:i,s:s,s:{s:s,s:s,s:s,s:s,s:s,s:s},s:s,s:b,s:b,s:s,s:I,s:o,s:o}", "format",
                     STATE_FORMAT, "task", t->identifier, "identity", "server", s->identity.server,
                     "database", s->identity.database, "created", s->identity.created, "fork",
                     s->identity.fork, "family", s->identity.family, "group", s->identity.group,
                     "join", join, "loaded", s->is_loaded ? 1 : 0, "stopped",
                     s->has_stopped ? 1 : 0, "stop", stop, "next_chunk", (json_int_t)s->next_chunk,
                     "tables", pack_tables(s), "chunks", pack_chunks(s));
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
    free(c->where);
    source_key_free(&c->from);
    source_key_free(&c->upto);
}

void
state_clear_pieces(struct state_table *t)
{
    for (size_t i = 0; i < t->n_pieces; i++) {
        free(t->pieces[i].piece.where);
        source_key_free(&t->pieces[i].next);
    }
    free(t->pieces);
    t->pieces = NULL;
    t->n_pieces = 0;
}

int
state_set_pieces(struct state_table *t, struct source_piece **pieces, size_t n, struct err *e)
{
    struct state_piece *list = calloc(n + 1, sizeof(*list));

    if (list == NULL)
        return err_set(e, ERR_NOMEM, "%zu pieces", n);
    state_clear_pieces(t);
    for (size_t i = 0; i < n; i++)
        list[i].piece = (*pieces)[i];
    free(*pieces);
    *pieces = NULL;
    t->pieces = list;
    t->n_pieces = n;
    return 0;
}

void
state_free(struct state *s)
{
    for (size_t i = 0; i < s->n_tables; i++) {
        free(s->tables[i].schema);
        free(s->tables[i].name);
        free(s->tables[i].instance);
        free(s->tables[i].suspended);
        state_clear_pieces(&s->tables[i]);
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
                                  .instance = strdup(t->instance),
                                  .object = t->object};
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
state_drop_chunk(struct state *s)
{
    free_chunk(&s->chunks[--s->n_chunks]);
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
    for (size_t i = s->n_tables; i > 0; i--)
        if (strcmp(s->tables[i - 1].schema, schema) == 0 &&
            strcmp(s->tables[i - 1].name, name) == 0 &&
            strcmp(s->tables[i - 1].instance, instance) == 0)
            return &s->tables[i - 1];
    return NULL;
}

struct state_table *
state_find_definition(const struct state *s, const struct source_table *t)
{
    for (size_t i = 0; i < s->n_tables; i++) {
        struct state_table *st = &s->tables[i];

        if (st->id == t->def->id && st->version == t->def->version && st->object == t->object &&
            strcmp(st->instance, t->instance) == 0)
            return st;
    }
    return NULL;
}

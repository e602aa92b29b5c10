#include "common/catalog.h"

#include "common/err.h"
#include "common/file.h"
#include "common/request.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CATALOG_FILE_MAX (4U << 20)

static const char *const type_names[] = {
#define X(name) [DMS_##name] = #name,
    CATALOG_TYPES(X)
#undef X
};

const char *
catalog_type_name(enum dms_type type)
{
    return (unsigned)type < DMS_TYPE_COUNT ? type_names[type] : "?";
}

int
catalog_finish(struct table_def *t, struct err *e)
{
    t->n_key = 0;
    for (uint16_t i = 0; i < t->n_columns; i++)
        t->n_key = (uint16_t)(t->n_key + (t->columns[i].key_ordinal != 0 ? 1 : 0));
    free(t->key);
    t->key = t->n_key > 0 ? calloc(t->n_key, sizeof(*t->key)) : NULL;
    if (t->n_key > 0 && t->key == NULL)
        return err_set(e, ERR_NOMEM, "definition of %s.%s", t->schema, t->name);
    for (uint16_t k = 1; k <= t->n_key; k++) {
        uint16_t found = 0;

        for (uint16_t i = 0; i < t->n_columns; i++) {
            if (t->columns[i].key_ordinal == k) {
                t->key[k - 1] = i;
                found++;
            }
        }
        if (found != 1)
            return err_set(e, ERR_DATA,
                           "definition of %s.%s: key column %u is given %u times, not once",
                           t->schema, t->name, k, found);
    }
    return 0;
}

void
catalog_table_free(struct table_def **t)
{
    struct table_def *d = *t;

    *t = NULL;
    if (d == NULL)
        return;
    for (uint16_t i = 0; d->columns != NULL && i < d->n_columns; i++) {
        free(d->columns[i].name);
        free(d->columns[i].source_type);
    }
    free(d->columns);
    free(d->key);
    free(d->schema);
    free(d->name);
    free(d);
}

static void
catalog_path(const char *state_directory, uint32_t id, uint32_t version, char *buf)
{
    (void)snprintf(buf, PATH_MAX, "%s/catalog/%" PRIu32 ".%" PRIu32 ".json", state_directory, id,
                   version);
}

static json_t *
column_json(const struct column_def *c)
{
    return json_pack("{s:s, s:s, s:s, s:I, s:i, s:i, s:b, s:b, s:b, s:i}", "name", c->name,
                     "source_type", c->source_type, "type", catalog_type_name(c->type), "length",
                     (json_int_t)c->length, "precision", (int)c->precision, "scale", (int)c->scale,
                     "nullable", (int)c->nullable, "lob", (int)c->is_lob, "fixed_text",
                     (int)c->is_fixed_text, "key", (int)c->key_ordinal);
}

/* The text of a definition: the same for the same definition, so that files can be compared. */
static char *
table_text(const struct table_def *t)
{
    json_t *columns = json_array();
    json_t *root;
    char *text;

    for (uint16_t i = 0; i < t->n_columns; i++)
        (void)json_array_append_new(columns, column_json(&t->columns[i]));
    root = json_pack("{s:I, s:I, s:s, s:s, s:o}", "id", (json_int_t)t->id, "version",
                     (json_int_t)t->version, "schema", t->schema, "table", t->name, "columns",
                     columns);
    text = root != NULL ? json_dumps(root, JSON_INDENT(1)) : NULL;
    json_decref(root);
    return text;
}

int
catalog_write(const char *state_directory, const struct table_def *t, struct err *e)
{
    char dir[PATH_MAX];
    char path[PATH_MAX];
    struct err seen = ERR_INIT;
    char *text = table_text(t);
    char *old = NULL;
    size_t size;
    int rc = -1;

    if (text == NULL)
        return err_set(e, ERR_DATA, "definition of %s.%s cannot be written: a name is not UTF-8",
                       t->schema, t->name);
    (void)snprintf(dir, sizeof(dir), "%s/catalog", state_directory);
    catalog_path(state_directory, t->id, t->version, path);
    if (file_read(path, CATALOG_FILE_MAX, &old, &size, &seen) == 0) {
        if (strcmp(old, text) == 0) {
            rc = 0;
        } else {
            err_set(e, ERR_LAYOUT, "%s holds another definition of %s.%s", path, t->schema,
                    t->name);
            err_hint(e, "a definition never changes under its version; two tasks seem to share "
                        "this state directory");
        }
    } else if (seen.code == ERR_NOT_FOUND) {
        if (file_make_directory(dir, 0750, e) == 0)
            rc = file_replace(path, text, strlen(text), 0640, e);
    } else {
        *e = seen;
    }
    free(old);
    free(text);
    return rc;
}

static int
parse_column(const json_t *o, struct column_def *c)
{
    const char *name = NULL;
    const char *source_type = NULL;
    const char *type = NULL;
    json_int_t length = 0;
    int precision = 0;
    int scale = 0;
    int nullable = 0;
    int lob = 0;
    int fixed = 0;
    int key = 0;

    /* json_unpack reads only; its signature has no const. */
    if (json_unpack((json_t *)(uintptr_t)o, "{s:s, s:s, s:s, s:I, s:i, s:i, s:b, s:b, s:b, s:i}",
                    "name", &name, "source_type", &source_type, "type", &type, "length", &length,
                    "precision", &precision, "scale", &scale, "nullable", &nullable, "lob", &lob,
                    "fixed_text", &fixed, "key", &key) != 0)
        return -1;
    c->type = DMS_TYPE_COUNT;
    for (unsigned i = 0; i < DMS_TYPE_COUNT; i++) {
        if (strcmp(type_names[i], type) == 0)
            c->type = (enum dms_type)i;
    }
    if (c->type == DMS_TYPE_COUNT || length < 0 || length > UINT32_MAX || precision < 0 ||
        precision > 255 || scale < 0 || scale > 255 || key < 0 || key > UINT16_MAX)
        return -1;
    c->name = strdup(name);
    c->source_type = strdup(source_type);
    c->length = (uint32_t)length;
    c->precision = (uint8_t)precision;
    c->scale = (uint8_t)scale;
    c->nullable = nullable != 0;
    c->is_lob = lob != 0;
    c->is_fixed_text = fixed != 0;
    c->key_ordinal = (uint16_t)key;
    return c->name != NULL && c->source_type != NULL ? 0 : -1;
}

static struct table_def *
parse_table(const char *text, size_t size, struct err *e)
{
    json_error_t je;
    json_t *root = json_loadb(text, size, 0, &je);
    json_t *columns = NULL;
    const char *schema = NULL;
    const char *name = NULL;
    json_int_t id = 0;
    json_int_t version = 0;
    struct table_def *t = calloc(1, sizeof(*t));

    if (t == NULL || root == NULL ||
        json_unpack(root, "{s:I, s:I, s:s, s:s, s:o}", "id", &id, "version", &version, "schema",
                    &schema, "table", &name, "columns", &columns) != 0 ||
        !json_is_array(columns) || json_array_size(columns) == 0 ||
        json_array_size(columns) > UINT16_MAX)
        goto damaged;
    t->id = (uint32_t)id;
    t->version = (uint32_t)version;
    t->schema = strdup(schema);
    t->name = strdup(name);
    t->columns = calloc(json_array_size(columns), sizeof(*t->columns));
    if (t->schema == NULL || t->name == NULL || t->columns == NULL)
        goto damaged;
    for (size_t i = 0; i < json_array_size(columns); i++) {
        t->n_columns++;
        if (parse_column(json_array_get(columns, i), &t->columns[i]) != 0)
            goto damaged;
    }
    if (catalog_finish(t, e) != 0)
        goto damaged;
    json_decref(root);
    return t;

damaged:
    json_decref(root);
    catalog_table_free(&t);
    return NULL;
}

int
catalog_read(const char *state_directory, uint32_t id, uint32_t version, struct table_def **out,
             struct err *e)
{
    char path[PATH_MAX];
    char *text;
    size_t size;
    struct table_def *t;

    catalog_path(state_directory, id, version, path);
    if (file_read(path, CATALOG_FILE_MAX, &text, &size, e) != 0)
        return -1;
    t = parse_table(text, size, e);
    free(text);
    if (t == NULL || t->id != id || t->version != version) {
        catalog_table_free(&t);
        err_set(e, ERR_CORRUPT, "%s is damaged", path);
        return err_hint(
            e, "restore it from a backup, or remove the folder it is in and " REQUEST_RELOAD_HINT);
    }
    *out = t;
    return 0;
}

/* Keeps the newest version of each id in list[]. */
static int
collect(const char *state_directory, uint32_t id, uint32_t version, struct table_def ***list,
        size_t *n, struct err *e)
{
    struct table_def *t;
    struct table_def **grown;
    size_t at = 0;

    while (at < *n && (*list)[at]->id != id)
        at++;
    if (at < *n && (*list)[at]->version >= version)
        return 0;
    if (catalog_read(state_directory, id, version, &t, e) != 0)
        return -1;
    if (at < *n) {
        catalog_table_free(&(*list)[at]);
        (*list)[at] = t;
        return 0;
    }
    grown = realloc(*list, (*n + 1) * sizeof(struct table_def *));
    if (grown == NULL) {
        catalog_table_free(&t);
        return err_set(e, ERR_NOMEM, "catalogue of %zu tables", *n + 1);
    }
    *list = grown;
    (*list)[(*n)++] = t;
    return 0;
}

int
catalog_read_all(const char *state_directory, struct table_def ***out, size_t *n, struct err *e)
{
    char dir[PATH_MAX];
    struct table_def **list = NULL;
    size_t have = 0;
    struct dirent *d;
    int rc = 0;
    DIR *stream;

    *out = NULL;
    *n = 0;
    (void)snprintf(dir, sizeof(dir), "%s/catalog", state_directory);
    stream = opendir(dir);
    if (stream == NULL) {
        if (errno == ENOENT)
            return 0; /* nothing captured yet */
        return err_sys(e, ERR_ACCESS, errno, "read directory %s", dir);
    }
    while (rc == 0 && (d = readdir(stream)) != NULL) {
        char *end;
        unsigned long id = strtoul(d->d_name, &end, 10);
        unsigned long version = *end == '.' ? strtoul(end + 1, &end, 10) : 0;

        if (id == 0 || version == 0 || id > UINT32_MAX || version > UINT32_MAX ||
            strcmp(end, ".json") != 0)
            continue; /* ".", "..", a temporary file */
        rc = collect(state_directory, (uint32_t)id, (uint32_t)version, &list, &have, e);
    }
    (void)closedir(stream);
    if (rc != 0) {
        for (size_t i = 0; i < have; i++)
            catalog_table_free(&list[i]);
        free(list);
        return -1;
    }
    *out = list;
    *n = have;
    return 0;
}

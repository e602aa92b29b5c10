/* The parallel-load member of a table-settings rule. */
#include "common/err.h"
#include "common/settings.h"
#include "common/task.h"
#include "common/task_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TYPES "none|ranges|partitions-auto|partitions-list|subpartitions-auto|subpartitions"

enum { TYPE_NONE, TYPE_RANGES, TYPE_PARTITIONS_AUTO, TYPE_PARTITIONS_LIST, TYPE_SUBPARTITIONS };

static int
find_type(struct task_doc *doc, const json_t *object, const struct place *at)
{
    const struct place here = {.up = at, .key = "type"};
    const char *text = json_string_value(json_object_get(object, "type"));
    char allowed[256];
    char word[64];

    for (int i = 0; text != NULL && settings_word(TYPES, (size_t)i, word, sizeof(word)); i++)
        if (strcmp(word, text) == 0)
            return i;
    doc_complain(doc, text != NULL ? &here : at, "type is missing or unknown; allowed is %s",
                 settings_words_text(TYPES, allowed, sizeof(allowed)));
    return -1;
}

static void
check_members(struct task_doc *doc, const json_t *object, const struct place *at)
{
    static const char *const known[] = {"type", "columns", "boundaries", "partitions"};

    for (void *it = json_object_iter((json_t *)(uintptr_t)object); it != NULL;
         it = json_object_iter_next((json_t *)(uintptr_t)object, it)) {
        const struct place here = {.up = at, .key = json_object_iter_key(it)};
        bool is_known = false;

        for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
            is_known = is_known || strcmp(known[i], here.key) == 0;
        if (!is_known)
            doc_complain(doc, &here, "is unknown in parallel-load of a table weir can read");
    }
}

/* An array that is not empty, of at most `most`; NULL after a complaint. */
static const json_t *
list_member(struct task_doc *doc, const json_t *object, const char *name, size_t most,
            const struct place *at)
{
    const struct place here = {.up = at, .key = name};
    const json_t *list = json_object_get(object, name);

    if (json_is_array(list) && json_array_size(list) > 0 && json_array_size(list) <= most)
        return list;
    doc_complain(doc, list != NULL ? &here : at, "%s must be a list of 1 to %zu", name, most);
    return NULL;
}

static void *
zeroed(size_t n, size_t size)
{
    void *p = calloc(n, size);

    CHECK(p != NULL);
    return p;
}

/* Texts, and numbers as AWS prints them too; NULL after a complaint. */
static char *
boundary_text(struct task_doc *doc, const json_t *v, const struct place *at)
{
    char number[32];

    if (json_is_string(v))
        return doc_strdup(json_string_value(v));
    if (json_is_integer(v)) {
        (void)snprintf(number, sizeof(number), "%lld", (long long)json_integer_value(v));
        return doc_strdup(number);
    }
    doc_complain(doc, at, "a boundary is a text or a whole number");
    return NULL;
}

static void
read_columns(struct task_doc *doc, const json_t *list, struct parallel_load *out,
             const struct place *at)
{
    const struct place up = {.up = at, .key = "columns"};

    out->columns = zeroed(json_array_size(list), sizeof(*out->columns));
    for (size_t i = 0; i < json_array_size(list); i++) {
        const struct place here = {.up = &up, .index = i};
        const char *text = json_string_value(json_array_get(list, i));

        if (text == NULL || text[0] == '\0')
            doc_complain(doc, &here, "a column is named by a text");
        else
            out->columns[out->n_columns++] = doc_strdup(text);
    }
}

static void
read_boundary(struct task_doc *doc, const json_t *tuple, struct parallel_load *out,
              const struct place *at)
{
    char **values = out->boundaries + out->n_boundaries * out->n_columns;

    if (!json_is_array(tuple) || json_array_size(tuple) != out->n_columns) {
        doc_complain(doc, at, "a boundary is a list with one value for each of the %zu columns",
                     out->n_columns);
        return;
    }
    for (size_t k = 0; k < out->n_columns; k++) {
        const struct place here = {.up = at, .index = k};

        values[k] = boundary_text(doc, json_array_get(tuple, k), &here);
    }
    out->n_boundaries++;
}

static void
read_ranges(struct task_doc *doc, const json_t *object, struct parallel_load *out,
            const struct place *at)
{
    const struct place up = {.up = at, .key = "boundaries"};
    const json_t *columns = list_member(doc, object, "columns", PARALLEL_LOAD_COLUMNS, at);
    const json_t *list = list_member(doc, object, "boundaries", PARALLEL_LOAD_PARTS, at);

    out->type = PARALLEL_LOAD_RANGES;
    if (columns == NULL || list == NULL)
        return;
    read_columns(doc, columns, out, at);
    if (out->n_columns != json_array_size(columns))
        return;
    out->boundaries = zeroed(json_array_size(list) * out->n_columns, sizeof(*out->boundaries));
    for (size_t i = 0; i < json_array_size(list); i++) {
        const struct place here = {.up = &up, .index = i};

        read_boundary(doc, json_array_get(list, i), out, &here);
    }
}

static void
read_partitions(struct task_doc *doc, const json_t *object, struct parallel_load *out,
                const struct place *at)
{
    const struct place up = {.up = at, .key = "partitions"};
    const json_t *list = list_member(doc, object, "partitions", PARALLEL_LOAD_PARTS, at);

    if (list == NULL)
        return;
    out->partitions = zeroed(json_array_size(list), sizeof(*out->partitions));
    for (size_t i = 0; i < json_array_size(list); i++) {
        const struct place here = {.up = &up, .index = i};
        long long n;

        if (!task_number(json_array_get(list, i), &n) || n < 1 || n > UINT16_MAX)
            doc_complain(doc, &here, "SQL Server's partitions have numbers, from 1");
        else
            out->partitions[out->n_partitions++] = (uint32_t)n;
    }
    doc_warn(doc, &up,
             "the load reads these partitions only, as with DMS; changes of the others "
             "are followed all the same");
}

void
task_parallel_parse(struct task_doc *doc, struct task *t, const json_t *object, const char *schema,
                    const char *table, const struct place *at)
{
    size_t bytes = (t->n_parallel_loads + 1) * sizeof(t->parallel_loads[0]);
    struct parallel_load *out;
    char where[PLACE_TEXT_MAX * 2];
    char found[128];
    int type;

    if (!json_is_object(object)) {
        doc_complain(doc, at, "found %s; allowed is an object with type",
                     doc_found(object, found, sizeof(found)));
        return;
    }
    check_members(doc, object, at);
    type = find_type(doc, object, at);
    if (type >= TYPE_SUBPARTITIONS) {
        doc_complain(doc, at, "SQL Server has no subpartitions; use partitions-auto or ranges");
        return;
    }
    if (type < 0)
        return;
    out = realloc(t->parallel_loads, bytes);
    CHECK(out != NULL);
    t->parallel_loads = out;
    out += t->n_parallel_loads++;
    doc_where(doc, at, where, sizeof(where));
    *out = (struct parallel_load){.schema_name = doc_strdup(schema),
                                  .table_name = doc_strdup(table),
                                  .where = doc_strdup(where)};
    if (type == TYPE_RANGES)
        read_ranges(doc, object, out, at);
    else if (type != TYPE_NONE)
        out->type = PARALLEL_LOAD_PARTITIONS;
    if (type == TYPE_PARTITIONS_LIST)
        read_partitions(doc, object, out, at);
}

void
task_parallel_free(struct task *t)
{
    for (size_t i = 0; i < t->n_parallel_loads; i++) {
        struct parallel_load *p = &t->parallel_loads[i];

        for (size_t k = 0; k < p->n_columns; k++)
            free(p->columns[k]);
        for (size_t k = 0; p->boundaries != NULL && k < p->n_boundaries * p->n_columns; k++)
            free(p->boundaries[k]);
        free(p->columns);
        free(p->boundaries);
        free(p->partitions);
        free(p->schema_name);
        free(p->table_name);
        free(p->where);
    }
    free(t->parallel_loads);
}

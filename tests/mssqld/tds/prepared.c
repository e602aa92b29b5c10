#include "tests/mssqld/tds/prepared.h"

#include "common/err.h"
#include "tests/mssqld/tds/pool.h"

#include <strings.h>

static void
free_entry(struct prepared *entry)
{
    free(entry->text);
    free(entry->declared);
}

void
prepared_free(struct prepared_table *table)
{
    for (size_t i = 0; i < table->n; i++)
        free_entry(&table->entries[i]);
    free(table->entries);
    *table = (struct prepared_table){.entries = NULL};
}

int
prepared_add(struct prepared_table *table, const char *text, const char *declaration,
             int32_t *handle, struct err *e)
{
    struct prepared entry = {.text = NULL};

    if (table->n == table->cap) {
        size_t cap = table->cap == 0 ? 8 : table->cap * 2;
        struct prepared *wider = realloc(table->entries, cap * sizeof(*wider));

        if (wider == NULL)
            return err_set(e, ERR_NOMEM, "no memory for a prepared statement");
        table->entries = wider;
        table->cap = cap;
    }
    if (engine_parse_params(declaration, &entry.declared, &entry.n_declared, e) != 0)
        return -1;
    entry.text = strdup(text);
    if (entry.text == NULL) {
        free_entry(&entry);
        return err_set(e, ERR_NOMEM, "no memory for a prepared statement");
    }
    entry.handle = ++table->last_handle;
    table->entries[table->n++] = entry;
    *handle = entry.handle;
    return 0;
}

const struct prepared *
prepared_find(const struct prepared_table *table, int32_t handle)
{
    for (size_t i = 0; i < table->n; i++) {
        if (table->entries[i].handle == handle)
            return &table->entries[i];
    }
    return NULL;
}

int
prepared_remove(struct prepared_table *table, int32_t handle)
{
    for (size_t i = 0; i < table->n; i++) {
        if (table->entries[i].handle == handle) {
            free_entry(&table->entries[i]);
            table->entries[i] = table->entries[--table->n];
            return 0;
        }
    }
    return -1;
}

static int
find_declared(const struct sql_param *declared, int n, const char *name)
{
    for (int i = 0; i < n; i++) {
        if (strcasecmp(declared[i].name, name) == 0)
            return i;
    }
    return -1;
}

int
prepared_bind(const struct sql_param *declared, int n_declared, const struct sql_param *values,
              int n_values, struct pool *pool, struct sql_param **out, struct err *e)
{
    struct sql_param *bound = pool_alloc(pool, ((size_t)n_declared + 1) * sizeof(*bound));

    if (bound == NULL)
        return err_set(e, ERR_NOMEM, "no memory for parameters");
    for (int i = 0; i < n_declared; i++)
        bound[i].use_default = true; /* until a value comes */
    for (int i = 0; i < n_values; i++) {
        bool named = values[i].name != NULL && values[i].name[0] != '\0';
        int at = named ? find_declared(declared, n_declared, values[i].name) : i;

        if (at < 0)
            return err_sys(e, ERR_SQL, 8145, "%s is not a parameter for procedure .",
                           values[i].name);
        if (at >= n_declared)
            return err_sys(e, ERR_SQL, 8144,
                           "Procedure or function has too many arguments specified.");
        bound[at] = values[i];
        bound[at].name = declared[at].name;
        bound[at].declared = &declared[at].type;
    }
    for (int i = 0; i < n_declared; i++) {
        if (bound[i].use_default)
            return err_sys(e, ERR_SQL, 8178,
                           "The parameterized query expects the parameter '%s', which was not "
                           "supplied.",
                           declared[i].name);
    }
    *out = bound;
    return 0;
}

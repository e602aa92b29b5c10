#include "common/err.h"
#include "common/settings.h"
#include "common/task.h"
#include "common/task_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RULE_TYPES   "selection|transformation|table-settings|object-mapping"
#define RULE_ACTIONS "include|exclude|explicit"

struct rules {
    struct task_doc *doc;
    struct task *task;
    json_t *ids;   /* rule-id -> index, to find it twice */
    json_t *names; /* rule-name -> index */
};

bool
task_number(const json_t *value, long long *out)
{
    char *end;

    if (json_is_integer(value)) {
        *out = json_integer_value(value);
        return true;
    }
    if (!json_is_string(value) || json_string_length(value) == 0 ||
        json_string_length(value) > 18 ||
        strspn(json_string_value(value), "0123456789") != json_string_length(value))
        return false;
    *out = strtoll(json_string_value(value), &end, 10);
    return true;
}

static void
complain_member(struct rules *r, const struct place *at, const char *known)
{
    char word[64];
    char best[64] = "";
    size_t nearest = strlen(at->key) / 3 + 2;

    for (size_t i = 0; settings_word(known, i, word, sizeof(word)); i++) {
        size_t d = settings_distance(at->key, word);

        if (d < nearest) {
            nearest = d;
            memcpy(best, word, sizeof(best));
        }
    }
    if (best[0] != '\0')
        doc_complain(r->doc, at, "is unknown; did you mean %s?", best);
    else
        doc_complain(r->doc, at, "is unknown in a rule of this type");
}

/* Complains about each member of object that is not one of known. */
static void
check_members(struct rules *r, const json_t *object, const struct place *at, const char *known)
{
    for (void *it = json_object_iter((json_t *)(uintptr_t)object); it != NULL;
         it = json_object_iter_next((json_t *)(uintptr_t)object, it)) {
        const struct place here = {.up = at, .key = json_object_iter_key(it)};
        char word[64];
        bool is_known = false;

        for (size_t i = 0; settings_word(known, i, word, sizeof(word)); i++)
            is_known = is_known || strcmp(word, here.key) == 0;
        if (!is_known)
            complain_member(r, &here, known);
    }
}

/* A member that must be text; NULL after a complaint. */
static const char *
text_member(struct rules *r, const json_t *object, const char *name, const struct place *at)
{
    const struct place here = {.up = at, .key = name};
    const json_t *v = json_object_get(object, name);
    char found[128];

    if (v == NULL)
        doc_complain(r->doc, at, "%s is missing", name);
    else if (!json_is_string(v) || json_string_length(v) == 0)
        doc_complain(r->doc, &here, "found %s; allowed is a text that is not empty",
                     doc_found(v, found, sizeof(found)));
    else
        return json_string_value(v);
    return NULL;
}

/* The index of a word member; -1 after a complaint. */
static int
word_member(struct rules *r, const json_t *object, const char *name, const char *words,
            const struct place *at)
{
    const struct place here = {.up = at, .key = name};
    const char *text = text_member(r, object, name, at);
    char allowed[256];
    char word[64];

    if (text == NULL)
        return -1;
    for (int i = 0; settings_word(words, (size_t)i, word, sizeof(word)); i++)
        if (strcmp(word, text) == 0)
            return i;
    doc_complain(r->doc, &here, "found the text \"%.60s\"; allowed is %s", text,
                 settings_words_text(words, allowed, sizeof(allowed)));
    return -1;
}

static void
check_unique(struct rules *r, json_t *seen, const char *text, size_t index, const struct place *at)
{
    const json_t *first = json_object_get(seen, text);

    if (first != NULL)
        doc_complain(r->doc, at, "\"%.60s\" is also that of rules[%lld]; it must be unique", text,
                     (long long)json_integer_value(first));
    else
        (void)json_object_set_new(seen, text, json_integer((json_int_t)index));
}

/* Every rule has a unique number and a unique name.  False after a complaint about the number. */
static bool
check_identity(struct rules *r, const json_t *rule, size_t index, const struct place *at, char *id,
               size_t size)
{
    const struct place id_at = {.up = at, .key = "rule-id"};
    const struct place name_at = {.up = at, .key = "rule-name"};
    const json_t *v = json_object_get(rule, "rule-id");
    const char *name = text_member(r, rule, "rule-name", at);
    char found[128];
    long long n;

    if (name != NULL)
        check_unique(r, r->names, name, index, &name_at);
    if (v == NULL) {
        doc_complain(r->doc, at, "rule-id is missing");
        return false;
    }
    if (!task_number(v, &n) || n < 1) {
        doc_complain(r->doc, &id_at, "found %s; allowed is a whole number from 1",
                     doc_found(v, found, sizeof(found)));
        return false;
    }
    (void)snprintf(id, size, "%lld", n);
    check_unique(r, r->ids, id, index, &id_at);
    return true;
}

static bool
check_pattern(struct rules *r, const char *text, const char *name, bool is_explicit,
              const struct place *locator)
{
    const struct place here = {.up = locator, .key = name};
    const char *fault;

    if (is_explicit) {
        if (strchr(text, '%') == NULL)
            return true;
        doc_complain(r->doc, &here,
                     "found \"%.100s\"; an explicit rule names one table and takes no wildcards, "
                     "use rule-action include",
                     text);
        return false;
    }
    fault = task_pattern_fault(text);
    if (fault != NULL)
        doc_complain(r->doc, &here, "found \"%.100s\", in which %s", text, fault);
    return fault == NULL;
}

static bool
check_filters(struct rules *r, const json_t *rule, const char *id, const struct place *at)
{
    const struct place here = {.up = at, .key = "filters"};
    const json_t *v = json_object_get(rule, "filters");
    char found[128];

    if (v == NULL || json_is_null(v) || (json_is_array(v) && json_array_size(v) == 0))
        return true;
    if (json_is_array(v))
        doc_complain(r->doc, &here,
                     "filters (rule-id %s) are not implemented yet; without them weir would send "
                     "all rows of the table",
                     id);
    else
        doc_complain(r->doc, &here, "found %s; allowed is a list",
                     doc_found(v, found, sizeof(found)));
    return false;
}

static bool
read_load_order(struct rules *r, const json_t *rule, const struct place *at, uint32_t *out)
{
    const struct place here = {.up = at, .key = "load-order"};
    const json_t *v = json_object_get(rule, "load-order");
    char found[128];
    long long n;

    *out = 0;
    if (v == NULL || json_is_null(v))
        return true;
    if (!task_number(v, &n) || n < 1 || n > INT32_MAX) {
        doc_complain(r->doc, &here, "found %s; allowed is a whole number 1..2147483647",
                     doc_found(v, found, sizeof(found)));
        return false;
    }
    *out = (uint32_t)n;
    return true;
}

static bool
check_table_type(struct rules *r, const json_t *locator, const char *id, const struct place *at)
{
    const struct place here = {.up = at, .key = "table-type"};
    int type;

    if (json_object_get(locator, "table-type") == NULL)
        return true;
    type = word_member(r, locator, "table-type", "table|view|all", at);
    if (type > 0)
        doc_complain(r->doc, &here,
                     "views (rule-id %s) are not implemented yet; weir reads tables: set it to "
                     "table",
                     id);
    return type == 0;
}

static void
add_selection(struct rules *r, const struct selection_rule *rule, const struct place *at)
{
    struct task *t = r->task;
    size_t bytes = (t->n_selections + 1) * sizeof(t->selections[0]);
    struct selection_rule *grown = realloc(t->selections, bytes);
    char where[1024];

    CHECK(grown != NULL);
    doc_where(r->doc, at, where, sizeof(where));
    t->selections = grown;
    grown[t->n_selections++] = (struct selection_rule){
        .rule_id = doc_strdup(rule->rule_id),
        .rule_name = doc_strdup(rule->rule_name != NULL ? rule->rule_name : ""),
        .action = rule->action,
        .schema_name = doc_strdup(rule->schema_name),
        .table_name = doc_strdup(rule->table_name),
        .load_order = rule->load_order,
        .where = doc_strdup(where),
    };
}

static void
parse_selection(struct rules *r, const json_t *rule, char *id, const struct place *at)
{
    const struct place locator_at = {.up = at, .key = "object-locator"};
    const json_t *locator = json_object_get(rule, "object-locator");
    const json_t *name = json_object_get(rule, "rule-name");
    struct selection_rule out = {.rule_id = id};
    const char *schema;
    const char *table;
    int action;
    bool is_right;

    check_members(r, rule, at,
                  "rule-type|rule-id|rule-name|rule-action|object-locator|filters|load-order|"
                  "value|old-value|rule-target");
    action = word_member(r, rule, "rule-action", RULE_ACTIONS, at);
    is_right = check_filters(r, rule, id, at);
    is_right = read_load_order(r, rule, at, &out.load_order) && is_right;
    if (!json_is_object(locator)) {
        doc_complain(r->doc, at, "object-locator is missing or not an object");
        return;
    }
    check_members(r, locator, &locator_at, "schema-name|table-name|table-type");
    schema = text_member(r, locator, "schema-name", &locator_at);
    table = text_member(r, locator, "table-name", &locator_at);
    is_right = check_table_type(r, locator, id, &locator_at) && is_right;
    if (schema == NULL || table == NULL || action < 0)
        return;
    out.action = (enum selection_action)action;
    is_right =
        check_pattern(r, schema, "schema-name", out.action == SELECTION_EXPLICIT, &locator_at) &&
        is_right;
    is_right =
        check_pattern(r, table, "table-name", out.action == SELECTION_EXPLICIT, &locator_at) &&
        is_right;
    if (!is_right)
        return;

    char *schema_copy = doc_strdup(schema);
    char *table_copy = doc_strdup(table);
    char *name_copy = doc_strdup(json_is_string(name) ? json_string_value(name) : "");

    out.schema_name = schema_copy;
    out.table_name = table_copy;
    out.rule_name = name_copy;
    add_selection(r, &out, at);
    free(schema_copy);
    free(table_copy);
    free(name_copy);
}

/* How one table is loaded; large values are never cut, so lob-settings mean nothing. */
static void
parse_table_settings(struct rules *r, const json_t *rule, const struct place *at)
{
    const struct place locator_at = {.up = at, .key = "object-locator"};
    const struct place parallel_at = {.up = at, .key = "parallel-load"};
    const struct place lobs_at = {.up = at, .key = "lob-settings"};
    const json_t *locator = json_object_get(rule, "object-locator");
    const json_t *parallel = json_object_get(rule, "parallel-load");
    const char *schema;
    const char *table;

    check_members(r, rule, at,
                  "rule-type|rule-id|rule-name|object-locator|parallel-load|lob-settings");
    if (!json_is_object(locator)) {
        doc_complain(r->doc, at, "object-locator is missing or not an object");
        return;
    }
    check_members(r, locator, &locator_at, "schema-name|table-name");
    schema = text_member(r, locator, "schema-name", &locator_at);
    table = text_member(r, locator, "table-name", &locator_at);
    if (json_object_get(rule, "lob-settings") != NULL)
        doc_warn(r->doc, &lobs_at, "has no effect: weir never cuts a value");
    if (schema == NULL || table == NULL)
        return;
    if (strchr(schema, '%') != NULL || strchr(table, '%') != NULL)
        doc_complain(r->doc, &locator_at,
                     "a table-settings rule names one table and takes no wildcards");
    else if (parallel != NULL)
        task_parallel_parse(r->doc, r->task, parallel, schema, table, &parallel_at);
}

static void
parse_rule(struct rules *r, const json_t *rule, size_t index, const struct place *at)
{
    static const char *const consequences[] = {
        [1] = "weir sends names and columns as they are in the source",
        [3] = "weir makes partition keys from the primary key",
    };
    char found[128];
    char id[32] = "?";
    int type;

    if (!json_is_object(rule)) {
        doc_complain(r->doc, at, "found %s; a rule is an object",
                     doc_found(rule, found, sizeof(found)));
        return;
    }
    type = word_member(r, rule, "rule-type", RULE_TYPES, at);
    (void)check_identity(r, rule, index, at, id, sizeof(id));
    if (type == 0)
        parse_selection(r, rule, id, at);
    else if (type == 2)
        parse_table_settings(r, rule, at);
    else if (type > 0)
        doc_complain(r->doc, at, "%s rules (rule-id %s) are not implemented yet; %s",
                     json_string_value(json_object_get(rule, "rule-type")), id, consequences[type]);
}

static void
parse_document(struct rules *r, const json_t *document, const struct place *at)
{
    const struct place rules_at = {.up = at, .key = "rules"};
    const json_t *list = json_object_get(document, "rules");
    size_t before = r->doc->n_complaints;
    bool includes = false;

    check_members(r, document, at, "rules");
    if (!json_is_array(list)) {
        doc_complain(r->doc, at, "found no list \"rules\"; allowed is {\"rules\": [...]}");
        return;
    }
    for (size_t i = 0; i < json_array_size(list); i++) {
        const struct place here = {.up = &rules_at, .index = i};

        parse_rule(r, json_array_get(list, i), i, &here);
    }
    for (size_t i = 0; i < r->task->n_selections; i++)
        includes = includes || r->task->selections[i].action != SELECTION_EXCLUDE;
    if (!includes && r->doc->n_complaints == before)
        doc_complain(r->doc, &rules_at,
                     "no rule selects a table; at least one selection rule with rule-action "
                     "include or explicit is needed");
}

void
task_rules_parse(struct task_doc *doc, struct task *t, const json_t *value, const struct place *at)
{
    struct rules r = {.doc = doc, .task = t, .ids = json_object(), .names = json_object()};
    json_t *inner = NULL;
    char found[128];

    CHECK(r.ids != NULL && r.names != NULL);
    if (json_is_string(value)) {
        inner = doc_embedded(doc, at, value);
        value = inner;
    }
    if (json_is_object(value))
        parse_document(&r, value, at);
    else if (value != NULL)
        doc_complain(doc, at,
                     "found %s; allowed is {\"rules\": [...]}, as an object or as a string",
                     doc_found(value, found, sizeof(found)));
    json_decref(inner);
    json_decref(r.ids);
    json_decref(r.names);
}

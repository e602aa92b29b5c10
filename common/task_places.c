/*
 * Settings that the DMS API knows in more than one place: members of MicrosoftSQLServerSettings
 * that repeat members of the endpoint, and ExtraConnectionAttributes, which holds any of an
 * engine's settings as one string, "Name=value;Name=value".  The same setting in two places must
 * have the same value in both.  No value is ever printed from here: it may be a password.
 */
#include "common/err.h"
#include "common/settings.h"
#include "common/task.h"
#include "common/task_internal.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define NAME_SIZE  64
#define VALUE_SIZE 2048

/* The object of a dotted section; NULL when it is not there. */
static const json_t *
section_object(const struct task_doc *doc, const char *section)
{
    const json_t *at = doc->root;
    char key[NAME_SIZE];

    while (at != NULL && section[0] != '\0') {
        size_t n = strcspn(section, ".");

        (void)snprintf(key, sizeof(key), "%.*s", (int)n, section);
        at = json_object_get(at, key);
        section += n + (section[n] == '.');
    }
    return at;
}

static const json_t *
given(const struct task_doc *doc, const char *section, const char *name)
{
    const json_t *v = json_object_get(section_object(doc, section), name);

    return json_is_null(v) ? NULL : v;
}

/* Numbers come with quotes and without. */
static bool
same_value(const json_t *a, const json_t *b)
{
    long long x;
    long long y;

    return json_equal(a, b) || (task_number(a, &x) && task_number(b, &y) && x == y);
}

/* False after a complaint: the setting has another value where it is looked for first. */
static bool
agrees(struct task_loader *l, const char *section, const char *name, const json_t *v,
       const struct place *at)
{
    const json_t *other = given(&l->doc, section, name);

    if (other == NULL || same_value(other, v))
        return true;
    doc_complain(&l->doc, at, "differs from %s.%s; leave one of the two out", section, name);
    return false;
}

void
task_second_place(struct task_loader *l, const struct setting *s, const json_t *v,
                  const struct place *at)
{
    const struct setting *first = settings_find(s->second_of, s->name);

    CHECK(first != NULL);
    if (!json_is_null(v) && agrees(l, s->second_of, s->name, v, at))
        task_value_apply(l, first, v, at);
}

bool
task_has_second_place(const struct task_loader *l, const char *section, const char *name)
{
    for (size_t i = 0; i < settings_count; i++) {
        const struct setting *s = &settings_table[i];

        if (s->second_of != NULL && strcmp(s->second_of, section) == 0 &&
            strcmp(s->name, name) == 0 && given(&l->doc, s->section, name) != NULL)
            return true;
    }
    return false;
}

/* ---- attributes in a string ---- */

/* DMS does not mind the case of an attribute's name. */
static const struct setting *
find_attribute(const char *section, const char *name)
{
    for (size_t i = 0; i < settings_count; i++)
        if (strcmp(settings_table[i].section, section) == 0 &&
            strcasecmp(settings_table[i].name, name) == 0)
            return &settings_table[i];
    return NULL;
}

/* The text as the JSON value the setting takes; what does not fit is complained about there. */
static json_t *
attribute_value(const struct setting *s, const char *text)
{
    const struct setting *first =
        s->second_of != NULL ? settings_find(s->second_of, s->name) : NULL;
    enum setting_type type = first != NULL ? first->type : s->type;
    char *end;
    long long n = strtoll(text, &end, 10);

    if (type == SETTING_BOOL && (strcasecmp(text, "true") == 0 || strcasecmp(text, "false") == 0))
        return json_boolean(strcasecmp(text, "true") == 0);
    if (type == SETTING_NUMBER && end != text && *end == '\0')
        return json_integer(n);
    return json_string(text);
}

/* One "Name=value" without the blanks around it; false when it is none. */
static bool
split(const char *pair, size_t size, char name[NAME_SIZE], char value[VALUE_SIZE])
{
    const char *end = pair + size;
    const char *mark;
    size_t n;

    while (pair < end && isspace((unsigned char)*pair))
        pair++;
    mark = memchr(pair, '=', (size_t)(end - pair));
    if (mark == NULL)
        return false;
    n = (size_t)(mark - pair);
    while (n > 0 && isspace((unsigned char)pair[n - 1]))
        n--;
    for (mark++; mark < end && isspace((unsigned char)*mark); mark++)
        continue;
    while (end > mark && isspace((unsigned char)end[-1]))
        end--;
    if (n == 0 || n >= NAME_SIZE || end - mark >= VALUE_SIZE)
        return false;
    (void)snprintf(name, NAME_SIZE, "%.*s", (int)n, pair);
    (void)snprintf(value, VALUE_SIZE, "%.*s", (int)(end - mark), mark);
    return true;
}

static void
apply_attribute(struct task_loader *l, const char *section, const char *name, const char *text,
                const struct place *at)
{
    const struct setting *s = find_attribute(section, name);
    struct place here = {.up = at, .key = s != NULL ? s->name : name};
    json_t *v;

    if (s == NULL) {
        doc_complain(&l->doc, &here, "is unknown; attributes are the members of %s", section);
        return;
    }
    v = attribute_value(s, text);
    if (v == NULL)
        doc_complain(&l->doc, &here, "is not UTF-8");
    else if (agrees(l, section, s->name, v, &here))
        task_value_apply(l, s, v, &here);
    json_decref(v);
}

void
task_attributes_parse(struct task_loader *l, const struct setting *s, const json_t *v,
                      const struct place *at)
{
    const char *text = json_string_value(v);
    size_t number = 1;

    if (text == NULL) {
        doc_complain(&l->doc, at, "found no text; allowed is \"Name=value;Name=value\"");
        return;
    }
    for (const char *p = text; *p != '\0'; number++) {
        size_t n = strcspn(p, ";");
        char name[NAME_SIZE];
        char value[VALUE_SIZE];

        if (split(p, n, name, value))
            apply_attribute(l, s->words, name, value, at);
        else if (strspn(p, " \t\r\n") < n)
            doc_complain(&l->doc, at, "attribute %zu of it is no Name=value", number);
        p += n + (p[n] == ';');
    }
}

/*
 * The settings table as text, as a JSON Schema and as the reference page.
 */
#include "common/settings.h"
#include "common/task.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

static const char *
title(const char *section)
{
    return section[0] != '\0' ? section : "(top of the file)";
}

static const char *
preset_text(const struct setting *s)
{
    if (s->preset == NULL)
        return "required";
    return s->preset[0] != '\0' ? s->preset : "(empty)";
}

static const char *
status_text(const struct setting *s)
{
    switch (s->status) {
    case SETTING_NO_MEANING:
        return "ignored";
    case SETTING_NOT_YET:
        return "not yet";
    case SETTING_USED:
    default:
        return "";
    }
}

int
task_print_settings(int fd)
{
    const char *section = NULL;
    char type[512];
    bool is_ok = true;

    for (size_t i = 0; i < settings_count; i++) {
        const struct setting *s = &settings_table[i];

        if (section == NULL || strcmp(section, s->section) != 0)
            is_ok =
                dprintf(fd, "%s%s\n", section != NULL ? "\n" : "", title(s->section)) > 0 && is_ok;
        section = s->section;
        is_ok =
            dprintf(fd, "  %s (%s; %s%s): %s\n", s->name, settings_type_text(s, type, sizeof(type)),
                    s->preset != NULL ? "default " : "", preset_text(s), s->help) > 0 &&
            is_ok;
        if (s->reason != NULL)
            is_ok = dprintf(fd, "      %s: %s\n", status_text(s), s->reason) > 0 && is_ok;
    }
    return is_ok ? 0 : -1;
}

/* ---- reference page ---- */

static void
markdown_cell(int fd, const char *text)
{
    char out[1024];
    size_t n = 0;

    for (; *text != '\0' && n + 2 < sizeof(out); text++) {
        if (*text == '|' || *text == '<')
            out[n++] = '\\';
        out[n++] = *text;
    }
    out[n] = '\0';
    (void)dprintf(fd, " %s |", out);
}

int
task_print_markdown(int fd)
{
    const char *section = NULL;
    char type[512];

    if (dprintf(fd, "# Settings of the task file\n\nMade by `weirctl settings --markdown`.\n") < 0)
        return -1;
    for (size_t i = 0; i < settings_count; i++) {
        const struct setting *s = &settings_table[i];
        char note[512];

        if (section == NULL || strcmp(section, s->section) != 0)
            (void)dprintf(fd,
                          "\n## %s\n\n| setting | allowed | default | meaning | in weir |\n"
                          "| --- | --- | --- | --- | --- |\n",
                          title(s->section));
        section = s->section;
        (void)snprintf(note, sizeof(note), "%s%s%s",
                       s->status == SETTING_USED ? "used" : status_text(s),
                       s->reason != NULL ? ": " : "", s->reason != NULL ? s->reason : "");
        (void)dprintf(fd, "|");
        markdown_cell(fd, s->name);
        markdown_cell(fd, settings_type_text(s, type, sizeof(type)));
        markdown_cell(fd, preset_text(s));
        markdown_cell(fd, s->help);
        markdown_cell(fd, note);
        if (dprintf(fd, "\n") < 0)
            return -1;
    }
    return 0;
}

/* ---- JSON Schema ---- */

static json_t *
schema_text(void)
{
    return json_pack("{s:s}", "type", "string");
}

static json_t *
schema_words(const char *words)
{
    json_t *list = json_array();
    char word[128];

    for (size_t i = 0; settings_word(words, i, word, sizeof(word)); i++)
        (void)json_array_append_new(list, json_string(word));
    return json_pack("{s:o}", "enum", list);
}

/* An object with exactly one of the three ways to a password, or the password itself. */
static json_t *
schema_secret(void)
{
    static const char *const keys[] = {"File", "Env", "SecretsManagerSecretId"};
    json_t *any = json_array();

    (void)json_array_append_new(any, schema_text());
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
        (void)json_array_append_new(any,
                                    json_pack("{s:s, s:{s:{s:s}}, s:[s], s:b}", "type", "object",
                                              "properties", keys[i], "type", "string", "required",
                                              keys[i], "additionalProperties", 0));
    return json_pack("{s:o}", "anyOf", any);
}

static json_t *
schema_rules(void)
{
    json_t *number = json_pack("{s:[{s:s, s:i},{s:s, s:s}]}", "anyOf", "type", "integer", "minimum",
                               1, "type", "string", "pattern", "^[0-9]+$");
    json_t *locator =
        json_pack("{s:s, s:{s:{s:s}, s:{s:s}, s:o}, s:[s,s]}", "type", "object", "properties",
                  "schema-name", "type", "string", "table-name", "type", "string", "table-type",
                  schema_words("table"), "required", "schema-name", "table-name");
    json_t *properties = json_pack(
        "{s:o, s:O, s:{s:s}, s:o, s:o, s:O}", "rule-type", schema_words("selection"), "rule-id",
        number, "rule-name", "type", "string", "rule-action",
        schema_words("include|exclude|explicit"), "object-locator", locator, "load-order", number);
    json_t *rule =
        json_pack("{s:s, s:o, s:[s,s,s,s,s]}", "type", "object", "properties", properties,
                  "required", "rule-type", "rule-id", "rule-name", "rule-action", "object-locator");

    json_decref(number);
    return json_pack("{s:[{s:s},{s:s, s:{s:{s:s, s:o}}, s:[s]}]}", "anyOf", "type", "string",
                     "type", "object", "properties", "rules", "type", "array", "items", rule,
                     "required", "rules");
}

static json_t *
schema_type(const struct setting *s)
{
    switch (s->type) {
    case SETTING_BOOL:
        return json_pack("{s:s}", "type", "boolean");
    case SETTING_NUMBER:
        return json_pack("{s:s, s:I, s:I}", "type", "integer", "minimum", (json_int_t)s->minimum,
                         "maximum", (json_int_t)s->maximum);
    case SETTING_TEXT:
    case SETTING_PATH:
        return json_pack("{s:s, s:I, s:I}", "type", "string", "minLength", (json_int_t)s->minimum,
                         "maxLength", (json_int_t)s->maximum);
    case SETTING_WORD:
        return schema_words(s->words);
    case SETTING_SIZE:
    case SETTING_RING:
        return json_pack("{s:[{s:s, s:I, s:I},{s:s, s:s}]}", "anyOf", "type", "integer", "minimum",
                         (json_int_t)s->minimum, "maximum", (json_int_t)s->maximum, "type",
                         "string", "pattern", "^[0-9]+ *([KMG]iB|B)?$");
    case SETTING_ARN:
        return json_pack("{s:s, s:s}", "type", "string", "pattern",
                         "^arn:aws(-cn|-us-gov)?:kinesis:[a-z0-9-]+:[0-9]{12}:stream/"
                         "[A-Za-z0-9_.-]{1,128}$");
    case SETTING_TIME:
        return json_pack("{s:[{s:s},{s:s}]}", "anyOf", "type", "number", "type", "string");
    case SETTING_SECRET:
        return schema_secret();
    case SETTING_RULES:
        return schema_rules();
    case SETTING_ATTRIBUTES:
        return schema_text();
    case SETTING_ANY:
    default:
        return json_object();
    }
}

static json_t *schema_section(const char *section);

static void
schema_child(const char *path, const char *name, void *arg)
{
    json_t *schema = arg;
    json_t *properties = json_object_get(schema, "properties");

    (void)json_object_set_new(properties, name, schema_section(path));
    if (settings_section_required(path))
        (void)json_array_append_new(json_object_get(schema, "required"), json_string(name));
}

static json_t *
schema_section(const char *section)
{
    json_t *schema = json_pack("{s:s, s:b, s:{}, s:[]}", "type", "object", "additionalProperties",
                               0, "properties", "required");
    json_t *properties = json_object_get(schema, "properties");

    for (size_t i = 0; i < settings_count; i++) {
        const struct setting *s = &settings_table[i];
        json_t *one;
        char text[1024];

        if (strcmp(s->section, section) != 0)
            continue;
        one = schema_type(s);
        (void)snprintf(text, sizeof(text), "%s%s%s%s%s", s->help, s->reason != NULL ? " [" : "",
                       status_text(s), s->reason != NULL ? "] " : "",
                       s->reason != NULL ? s->reason : "");
        (void)json_object_set_new(one, "description", json_string(text));
        if (s->preset != NULL && s->preset[0] != '\0')
            (void)json_object_set_new(one, "default", json_string(s->preset));
        (void)json_object_set_new(properties, s->name, one);
        if (s->preset == NULL)
            (void)json_array_append_new(json_object_get(schema, "required"), json_string(s->name));
    }
    settings_each_section(section, schema_child, schema);
    return schema;
}

int
task_print_schema(int fd)
{
    json_t *schema = schema_section("");
    int rc;

    (void)json_object_set_new(schema, "$schema",
                              json_string("https://json-schema.org/draft/2020-12/schema"));
    (void)json_object_set_new(schema, "title", json_string("weir task file"));
    rc = json_dumpfd(schema, fd, JSON_INDENT(2));
    json_decref(schema);
    return rc == 0 && dprintf(fd, "\n") > 0 ? 0 : -1;
}

/*
 * One value of the task file: is it what its setting allows, what does weir make of it, and where
 * in struct task does it go.
 */
#include "common/err.h"
#include "common/settings.h"
#include "common/task.h"
#include "common/task_internal.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- fields of struct task ---- */

void *
task_field(struct task *t, const struct setting *s)
{
    return (char *)t + s->offset;
}

static void
store_number(struct task *t, const struct setting *s, int64_t v)
{
    void *at = task_field(t, s);

    switch (s->store) {
    case STORE_BOOL:
        *(bool *)at = v != 0;
        break;
    case STORE_U16:
        *(uint16_t *)at = (uint16_t)v;
        break;
    case STORE_U32:
        *(uint32_t *)at = (uint32_t)v;
        break;
    case STORE_U64:
        *(uint64_t *)at = (uint64_t)v;
        break;
    case STORE_NONE:
    case STORE_STRING:
    case STORE_SECRET:
    default:
        break;
    }
}

static void
store_string(struct task *t, const struct setting *s, const char *text)
{
    char **at = task_field(t, s);

    if (s->store != STORE_STRING)
        return;
    free(*at);
    *at = doc_strdup(text);
}

static int
word_index(const char *words, const char *text)
{
    char word[128];

    for (size_t i = 0; settings_word(words, i, word, sizeof(word)); i++)
        if (strcmp(word, text) == 0)
            return (int)i;
    return -1;
}

/* "64MiB", "1024", "1GiB".  Returns -1 when text is no size. */
static int
parse_size(const char *text, int64_t *out)
{
    static const struct {
        const char *unit;
        unsigned shift;
    } units[] = {{"", 0}, {"B", 0}, {"KiB", 10}, {"MiB", 20}, {"GiB", 30}};
    char *end;
    unsigned long long n;

    if (!isdigit((unsigned char)text[0]))
        return -1;
    n = strtoull(text, &end, 10);
    while (*end == ' ')
        end++;
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (strcmp(end, units[i].unit) != 0)
            continue;
        if (n > (unsigned long long)INT64_MAX >> units[i].shift)
            return -1;
        *out = (int64_t)(n << units[i].shift);
        return 0;
    }
    return -1;
}

void
task_value_preset(struct task *t, const struct setting *s)
{
    const char *preset = s->preset != NULL ? s->preset : "";
    int64_t n = 0;

    switch (s->store) {
    case STORE_NONE:
        return;
    case STORE_STRING:
        store_string(t, s, preset);
        return;
    case STORE_SECRET:
        ((struct secret *)task_field(t, s))->value = doc_strdup("");
        return;
    case STORE_BOOL:
    case STORE_U16:
    case STORE_U32:
    case STORE_U64:
    default:
        break;
    }
    if (s->type == SETTING_WORD)
        n = word_index(s->words, preset);
    else if (s->type == SETTING_BOOL)
        n = strcmp(preset, "true") == 0;
    else
        (void)parse_size(preset, &n);
    store_number(t, s, n);
}

/* ---- one value ---- */

static bool
want(struct task_loader *l, const struct setting *s, const json_t *v, const struct place *at,
     bool is_right)
{
    char found[128];
    char allowed[512];

    if (!is_right)
        doc_complain(&l->doc, at, "found %s; allowed is %s", doc_found(v, found, sizeof(found)),
                     settings_type_text(s, allowed, sizeof(allowed)));
    return is_right;
}

static bool
check_text(struct task_loader *l, const struct setting *s, const json_t *v, const struct place *at)
{
    char allowed[512];
    int64_t n;

    if (!want(l, s, v, at, json_is_string(v)))
        return false;
    n = (int64_t)json_string_length(v);
    if (n < s->minimum || n > s->maximum) {
        doc_complain(&l->doc, at, "found a text of %lld bytes; allowed is %s", (long long)n,
                     settings_type_text(s, allowed, sizeof(allowed)));
        return false;
    }
    for (const char *p = json_string_value(v); *p != '\0'; p++) {
        if ((unsigned char)*p < 0x20 || *p == 0x7F) {
            doc_complain(&l->doc, at, "holds a control character");
            return false;
        }
    }
    return true;
}

static bool
check_word(struct task_loader *l, const struct setting *s, const json_t *v, const struct place *at)
{
    char allowed[512];
    char word[128];
    char best[128] = "";
    const char *text;
    size_t nearest = 4;

    if (!want(l, s, v, at, json_is_string(v)))
        return false;
    text = json_string_value(v);
    if (word_index(s->words, text) >= 0)
        return true;
    for (size_t i = 0; settings_word(s->words, i, word, sizeof(word)); i++) {
        size_t d = settings_distance(text, word);

        if (d < nearest && d < strlen(word)) {
            nearest = d;
            memcpy(best, word, sizeof(best));
        }
    }
    doc_complain(&l->doc, at, "found the text \"%.60s\"; allowed is %s%s%s%s", text,
                 settings_words_text(s->words, allowed, sizeof(allowed)),
                 best[0] != '\0' ? " (did you mean \"" : "", best, best[0] != '\0' ? "\"?)" : "");
    return false;
}

static bool
check_size(struct task_loader *l, const struct setting *s, const json_t *v, const struct place *at,
           int64_t *out)
{
    char allowed[512];
    bool is_size = false;

    if (json_is_integer(v)) {
        *out = json_integer_value(v);
        is_size = true;
    } else if (json_is_string(v)) {
        is_size = parse_size(json_string_value(v), out) == 0;
    }
    if (!want(l, s, v, at, is_size))
        return false;
    if (*out < s->minimum || *out > s->maximum ||
        (s->type == SETTING_RING && (*out & (*out - 1)) != 0)) {
        doc_complain(&l->doc, at, "found %lld bytes; allowed is %s", (long long)*out,
                     settings_type_text(s, allowed, sizeof(allowed)));
        return false;
    }
    return true;
}

/* arn:aws[-cn|-us-gov]:kinesis:region:12 digits:stream/name */
static bool
parse_stream_arn(struct task *t, const char *arn, const char **fault)
{
    char partition[16];
    char region[40];
    char account[16];
    char name[132];
    int end = 0;

    *fault = "is not arn:aws:kinesis:REGION:ACCOUNT:stream/NAME";
    if (sscanf(arn, "arn:%15[^:]:kinesis:%39[^:]:%15[^:]:stream/%131[^:]%n", partition, region,
               account, name, &end) != 4 ||
        arn[end] != '\0')
        return false;
    *fault = "has a partition other than aws, aws-cn or aws-us-gov";
    if (strcmp(partition, "aws") != 0 && strcmp(partition, "aws-cn") != 0 &&
        strcmp(partition, "aws-us-gov") != 0)
        return false;
    *fault = "has a region that is not like us-east-1";
    if (strspn(region, "abcdefghijklmnopqrstuvwxyz0123456789-") != strlen(region))
        return false;
    *fault = "has an account that is not 12 digits";
    if (strlen(account) != 12 || strspn(account, "0123456789") != 12)
        return false;
    *fault = "has a stream name that is not 1 to 128 letters, digits, '_', '.' or '-'";
    for (const char *p = name; *p != '\0'; p++)
        if (!isalnum((unsigned char)*p) && strchr("_.-", *p) == NULL)
            return false;
    if (strlen(name) > 128)
        return false;
    free(t->target.region);
    free(t->target.stream_name);
    t->target.region = doc_strdup(region);
    t->target.stream_name = doc_strdup(name);
    return true;
}

static bool
check_arn(struct task_loader *l, const struct setting *s, const json_t *v, const struct place *at)
{
    const char *fault;

    if (!want(l, s, v, at, json_is_string(v)))
        return false;
    if (parse_stream_arn(l->task, json_string_value(v), &fault))
        return true;
    doc_complain(&l->doc, at,
                 "\"%.200s\" %s; `aws kinesis describe-stream-summary` prints it as StreamARN",
                 json_string_value(v), fault);
    return false;
}

/* AWS prints times as text or as a number of seconds.  What the text says is looked at once all of
   the file is known. */
static bool
check_time(struct task_loader *l, const struct setting *s, const json_t *v, const struct place *at)
{
    char text[64];

    if (!want(l, s, v, at, json_is_string(v) || json_is_number(v)))
        return false;
    if (json_is_integer(v))
        (void)snprintf(text, sizeof(text), "%lld", (long long)json_integer_value(v));
    else if (json_is_real(v))
        (void)snprintf(text, sizeof(text), "%.6f", json_real_value(v));
    if (!json_is_string(v))
        store_string(l->task, s, text);
    return true;
}

static bool
is_empty(const json_t *v)
{
    return json_is_null(v) || json_is_false(v) ||
           (json_is_string(v) && json_string_length(v) == 0) ||
           (json_is_array(v) && json_array_size(v) == 0) ||
           (json_is_object(v) && json_object_size(v) == 0);
}

static bool
is_preset(const struct setting *s, const json_t *v)
{
    char text[32];

    if (s->type == SETTING_ANY)
        return is_empty(v);
    if (json_is_boolean(v))
        return strcmp(s->preset, json_is_true(v) ? "true" : "false") == 0;
    if (json_is_string(v))
        return strcmp(s->preset, json_string_value(v)) == 0;
    (void)snprintf(text, sizeof(text), "%lld", (long long)json_integer_value(v));
    return strcmp(s->preset, text) == 0;
}

/* The value is of the right type; what does weir do with it? */
static void
judge_status(struct task_loader *l, const struct setting *s, const json_t *v,
             const struct place *at)
{
    char found[128] = "";

    if (s->status == SETTING_USED || is_preset(s, v))
        return;
    if (s->type != SETTING_ANY && s->type != SETTING_TEXT)
        (void)doc_found(v, found, sizeof(found));
    if (s->status == SETTING_NO_MEANING)
        doc_warn(&l->doc, at, "has no meaning here and is ignored: %s", s->reason);
    else if (found[0] != '\0')
        doc_complain(&l->doc, at, "found %s, which is not implemented yet: %s; set it to %s", found,
                     s->reason, s->preset);
    else
        doc_complain(&l->doc, at, "is not implemented yet: %s; leave it out", s->reason);
}

void
task_value_apply(struct task_loader *l, const struct setting *s, const json_t *v,
                 const struct place *at)
{
    struct task *t = l->task;
    int64_t n = 0;
    bool is_right = true;

    /* AWS prints null for what is not set. */
    if (json_is_null(v) && strncmp(s->section, "ReplicationTaskSettings", 23) == 0)
        return;
    if (s->second_of != NULL) {
        task_second_place(l, s, v, at);
        return;
    }
    switch (s->type) {
    case SETTING_BOOL:
        is_right = want(l, s, v, at, json_is_boolean(v));
        n = json_is_true(v);
        break;
    case SETTING_NUMBER:
        n = json_integer_value(v);
        is_right = want(l, s, v, at, json_is_integer(v) && n >= s->minimum && n <= s->maximum);
        break;
    case SETTING_WORD:
        is_right = check_word(l, s, v, at);
        if (is_right)
            n = word_index(s->words, json_string_value(v));
        break;
    case SETTING_SIZE:
    case SETTING_RING:
        is_right = check_size(l, s, v, at, &n);
        break;
    case SETTING_TEXT:
    case SETTING_PATH:
        is_right = check_text(l, s, v, at);
        break;
    case SETTING_ARN:
        is_right = check_arn(l, s, v, at);
        break;
    case SETTING_TIME:
        is_right = check_time(l, s, v, at);
        break;
    case SETTING_SECRET:
        task_secret_parse(&l->doc, v, at, l->folder, task_field(t, s));
        return;
    case SETTING_RULES:
        task_rules_parse(&l->doc, t, v, at);
        return;
    case SETTING_ATTRIBUTES:
        task_attributes_parse(l, s, v, at);
        return;
    case SETTING_ANY:
    default:
        break;
    }
    if (!is_right)
        return;
    judge_status(l, s, v, at);
    if (s->type == SETTING_PATH) {
        char *path = task_resolve_path(l->folder, json_string_value(v));

        store_string(t, s, path);
        free(path);
    } else if (json_is_string(v)) {
        store_string(t, s, json_string_value(v));
    }
    store_number(t, s, n);
}

#include "common/task.h"

#include "common/err.h"
#include "common/settings.h"
#include "common/task_internal.h"

#include <ctype.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define MAX_COMPLAINTS 64

struct loader {
    struct task_doc doc;
    struct task *task;
    char folder[PATH_MAX]; /* of the task file; relative paths start here */
};

/* ---- fields of struct task ---- */

static void *
field_of(struct task *t, const struct setting *s)
{
    return (char *)t + s->offset;
}

static void
store_number(struct task *t, const struct setting *s, int64_t v)
{
    void *at = field_of(t, s);

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
    char **at = field_of(t, s);

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

static void
store_preset(struct task *t, const struct setting *s)
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
        ((struct secret *)field_of(t, s))->value = doc_strdup("");
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
want(struct loader *l, const struct setting *s, const json_t *v, const struct place *at,
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
check_text(struct loader *l, const struct setting *s, const json_t *v, const struct place *at)
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
check_word(struct loader *l, const struct setting *s, const json_t *v, const struct place *at)
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
check_size(struct loader *l, const struct setting *s, const json_t *v, const struct place *at,
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
check_arn(struct loader *l, const struct setting *s, const json_t *v, const struct place *at)
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
judge_status(struct loader *l, const struct setting *s, const json_t *v, const struct place *at)
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

static void
apply(struct loader *l, const struct setting *s, const json_t *v, const struct place *at)
{
    struct task *t = l->task;
    int64_t n = 0;
    bool is_right = true;

    /* AWS prints null for what is not set. */
    if (json_is_null(v) && strncmp(s->section, "ReplicationTaskSettings", 23) == 0)
        return;
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
    case SETTING_SECRET:
        task_secret_parse(&l->doc, v, at, l->folder, field_of(t, s));
        return;
    case SETTING_RULES:
        task_rules_parse(&l->doc, t, v, at);
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

/* ---- sections ---- */

static void
complain_unknown(struct loader *l, const char *section, const char *key, const struct place *at)
{
    const char *near;
    const char *where;

    if (!settings_suggest(section, key, &near, &where))
        doc_complain(&l->doc, at, "is unknown; `weirctl settings` lists what is known");
    else if (where != NULL)
        doc_complain(&l->doc, at, "is unknown here; %s belongs to %s", near,
                     where[0] != '\0' ? where : "the top of the file");
    else
        doc_complain(&l->doc, at, "is unknown; did you mean %s?", near);
}

struct missing {
    struct loader *l;
    const json_t *object;
    const struct place *at;
};

static void
complain_section(const char *path, const char *name, void *arg)
{
    struct missing *m = arg;

    if (settings_section_required(path) && json_object_get(m->object, name) == NULL)
        doc_complain(&m->l->doc, m->at, "%s is missing", name);
}

static void
complain_missing(struct loader *l, const char *section, const json_t *object,
                 const struct place *at)
{
    struct missing m = {.l = l, .object = object, .at = at};

    for (size_t i = 0; i < settings_count; i++) {
        const struct setting *s = &settings_table[i];

        if (s->preset == NULL && strcmp(s->section, section) == 0 &&
            json_object_get(object, s->name) == NULL)
            doc_complain(&l->doc, at, "%s is missing (%s)", s->name, s->help);
    }
    settings_each_section(section, complain_section, &m);
}

static void
walk(struct loader *l, const char *section, const json_t *object, const struct place *at);

static void
walk_section(struct loader *l, const char *path, const json_t *value, const struct place *at)
{
    char found[128];

    if (json_is_object(value)) {
        walk(l, path, value, at);
    } else if (json_is_string(value) && strcmp(path, "ReplicationTaskSettings") == 0) {
        json_t *inner = doc_embedded(&l->doc, at, value);

        if (json_is_object(inner))
            walk(l, path, inner, at);
        else if (inner != NULL)
            doc_complain(&l->doc, at, "the JSON inside this string is not an object");
        json_decref(inner);
    } else if (!json_is_null(value) || strncmp(path, "ReplicationTaskSettings", 23) != 0) {
        doc_complain(&l->doc, at, "found %s; allowed is an object",
                     doc_found(value, found, sizeof(found)));
    }
}

static void
walk(struct loader *l, const char *section, const json_t *object, const struct place *at)
{
    for (void *it = json_object_iter((json_t *)(uintptr_t)object); it != NULL;
         it = json_object_iter_next((json_t *)(uintptr_t)object, it)) {
        const char *key = json_object_iter_key(it);
        const json_t *value = json_object_iter_value(it);
        struct place here = {.up = at, .key = key};
        const struct setting *s = settings_find(section, key);
        char path[256];

        (void)snprintf(path, sizeof(path), "%s%s%s", section, section[0] != '\0' ? "." : "", key);
        if (s != NULL)
            apply(l, s, value, &here);
        else if (strchr(key, '.') == NULL && settings_is_section(path))
            walk_section(l, path, value, &here);
        else
            complain_unknown(l, section, key, &here);
    }
    complain_missing(l, section, object, at);
}

/* ---- what concerns several settings, or files ---- */

static void
check_identifier(struct loader *l, const struct place *root)
{
    const struct place at = {.up = root, .key = "ReplicationTaskIdentifier"};
    const char *id = l->task->identifier;
    bool is_right = isalpha((unsigned char)id[0]) != 0;

    for (const char *p = id; *p != '\0'; p++)
        if ((!isalnum((unsigned char)*p) && *p != '-') ||
            (*p == '-' && (p[1] == '-' || p[1] == '\0')))
            is_right = false;
    if (id[0] != '\0' && !is_right)
        doc_complain(&l->doc, &at,
                     "found the text \"%.60s\"; allowed are letters, digits and single hyphens, "
                     "beginning with a letter and not ending with a hyphen",
                     id);
}

static void
set_directory(char **field, const char *base, const char *identifier)
{
    size_t size = strlen(base) + strlen(identifier) + 2;

    if (strncmp(*field, base, strlen(base)) != 0 ||
        strcmp(*field + strlen(base), "/<identifier>") != 0)
        return;
    free(*field);
    *field = malloc(size);
    CHECK(*field != NULL);
    (void)snprintf(*field, size, "%s/%s", base, identifier);
}

static void
check_weir(struct loader *l, const struct place *root)
{
    const struct place weir = {.up = root, .key = "Weir"};
    const struct place state = {.up = &weir, .key = "StateDirectory"};
    const struct place url = {.up = &weir, .key = "EndpointUrl"};
    struct task *t = l->task;
    const char *u = t->target.endpoint_url;

    set_directory(&t->weir.runtime_directory, "/dev/shm/weir", t->identifier);
    set_directory(&t->weir.state_directory, "/var/lib/weir", t->identifier);
    if (strcmp(t->weir.runtime_directory, t->weir.state_directory) == 0)
        doc_complain(&l->doc, &state,
                     "is the same as RuntimeDirectory; rings live in memory, the state on a disk");
    else if (strncmp(t->weir.state_directory, "/dev/shm/", 9) == 0)
        doc_warn(&l->doc, &state,
                 "lies in memory: after a restart of the host the task begins from scratch");
    if (u[0] != '\0' && strncmp(u, "http://", 7) != 0 && strncmp(u, "https://", 8) != 0)
        doc_complain(&l->doc, &url,
                     "found the text \"%.60s\"; allowed is http://... or https://...", u);
    else if (strchr(u, '@') != NULL)
        doc_complain(&l->doc, &url, "holds a user name; credentials do not belong into a URL");
}

static bool
is_loopback(const char *server)
{
    return strncmp(server, "127.", 4) == 0 || strcmp(server, "localhost") == 0 ||
           strcmp(server, "::1") == 0;
}

static void
check_secrecy(struct loader *l, const struct place *root)
{
    const struct place source = {.up = root, .key = "SourceEndpoint"};
    const struct place mode = {.up = &source, .key = "SslMode"};
    const struct place password = {.up = &source, .key = "Password"};
    const struct task *t = l->task;
    struct stat st;

    if (t->source.ssl_mode == SSL_NONE && !is_loopback(t->source.server_name))
        doc_warn(&l->doc, &mode,
                 "is none: rows and login cross the network unencrypted; "
                 "verify-full protects both");
    if (stat(t->path, &st) == 0) {
        if ((st.st_mode & S_IWOTH) != 0)
            doc_warn(&l->doc, NULL, "the file can be written by everybody (mode %04o); chmod 0640",
                     (unsigned)(st.st_mode & 07777U));
        if (t->source.password.kind == SECRET_TEXT && (st.st_mode & S_IROTH) != 0)
            doc_warn(&l->doc, &password,
                     "the file can be read by everybody (mode %04o); chmod 0640",
                     (unsigned)(st.st_mode & 07777U));
    }
    if (t->source.password.kind == SECRET_FILE && stat(t->source.password.value, &st) == 0 &&
        (st.st_mode & 0137U) != 0)
        doc_warn(&l->doc, &password, "%s has mode %04o, which is wider than 0640; chmod 0640",
                 t->source.password.value, (unsigned)(st.st_mode & 07777U));
}

/* ---- loading ---- */

char *
task_resolve_path(const char *folder, const char *path)
{
    size_t size = strlen(folder) + strlen(path) + 2;
    char *out;

    if (path[0] == '/' || path[0] == '\0' || folder[0] == '\0')
        return doc_strdup(path);
    out = malloc(size);
    CHECK(out != NULL);
    (void)snprintf(out, size, "%s/%s", folder, path);
    return out;
}

static void
loader_begin(struct loader *l, const char *path)
{
    const char *slash = strrchr(path, '/');

    if (slash != NULL)
        (void)snprintf(l->folder, sizeof(l->folder), "%.*s", (int)(slash - path + (slash == path)),
                       path);
    l->task = calloc(1, sizeof(*l->task));
    CHECK(l->task != NULL);
    l->task->path = doc_strdup(path);
    l->task->target.region = doc_strdup("");
    l->task->target.stream_name = doc_strdup("");
    for (size_t i = 0; i < settings_count; i++)
        store_preset(l->task, &settings_table[i]);
}

static int
load(const char *path, size_t max, struct task **out, struct loader *l, struct err *e)
{
    const struct place root = {.up = NULL};

    *l = (struct loader){.task = NULL};
    *out = NULL;
    if (doc_open(&l->doc, path, max, e) != 0)
        return -1;
    loader_begin(l, path);
    walk(l, "", l->doc.root, &root);
    check_identifier(l, &root);
    check_weir(l, &root);
    check_secrecy(l, &root);
    if (l->doc.n_complaints > 0) {
        size_t more = l->doc.n_complaints + l->doc.n_dropped - 1;

        err_set(e, ERR_CONFIG, "%s", l->doc.complaints[0]);
        if (more > 0)
            err_hint(e, "`weirctl check %s` lists this and %zu more", path, more);
        return -1;
    }
    l->task->warnings = l->doc.warnings;
    l->task->n_warnings = l->doc.n_warnings;
    l->doc.warnings = NULL;
    l->doc.n_warnings = 0;
    *out = l->task;
    l->task = NULL;
    return 0;
}

static void
loader_end(struct loader *l)
{
    task_free(&l->task);
    doc_close(&l->doc);
}

int
task_load(const char *path, struct task **out, struct err *e)
{
    struct loader l;
    int rc = load(path, MAX_COMPLAINTS, out, &l, e);

    loader_end(&l);
    return rc;
}

int
task_check(const char *path, struct task **out, char **complaints, size_t max, size_t *n,
           struct err *e)
{
    struct loader l;
    int rc = load(path, max, out, &l, e);

    *n = 0;
    if (rc != 0 && l.doc.n_complaints == 0 && max > 0)
        complaints[(*n)++] = doc_strdup(e->text);
    for (size_t i = 0; i < l.doc.n_complaints; i++) {
        complaints[(*n)++] = l.doc.complaints[i];
        l.doc.complaints[i] = NULL;
    }
    loader_end(&l);
    return rc;
}

void
task_free(struct task **task)
{
    struct task *t = *task;

    if (t == NULL)
        return;
    *task = NULL;
    for (size_t i = 0; i < settings_count; i++)
        if (settings_table[i].store == STORE_STRING)
            free(*(char **)field_of(t, &settings_table[i]));
    if (t->source.password.value != NULL)
        explicit_bzero(t->source.password.value, strlen(t->source.password.value));
    free(t->source.password.value);
    for (size_t i = 0; i < t->n_selections; i++) {
        free(t->selections[i].rule_id);
        free(t->selections[i].rule_name);
        free(t->selections[i].schema_name);
        free(t->selections[i].table_name);
        free(t->selections[i].where);
    }
    for (size_t i = 0; i < t->n_warnings; i++)
        free(t->warnings[i]);
    free(t->selections);
    free(t->warnings);
    free(t->target.stream_name);
    free(t->target.region);
    free(t->path);
    free(t);
}

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

/* ---- sections ---- */

static void
complain_unknown(struct task_loader *l, const char *section, const char *key,
                 const struct place *at)
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
    struct task_loader *l;
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
complain_missing(struct task_loader *l, const char *section, const json_t *object,
                 const struct place *at)
{
    struct missing m = {.l = l, .object = object, .at = at};

    for (size_t i = 0; i < settings_count; i++) {
        const struct setting *s = &settings_table[i];

        if (s->preset == NULL && strcmp(s->section, section) == 0 &&
            json_object_get(object, s->name) == NULL && !task_has_second_place(l, section, s->name))
            doc_complain(&l->doc, at, "%s is missing (%s)", s->name, s->help);
    }
    settings_each_section(section, complain_section, &m);
}

static void
walk(struct task_loader *l, const char *section, const json_t *object, const struct place *at);

static void
walk_section(struct task_loader *l, const char *path, const json_t *value, const struct place *at)
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
walk(struct task_loader *l, const char *section, const json_t *object, const struct place *at)
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
            task_value_apply(l, s, value, &here);
        else if (strchr(key, '.') == NULL && settings_is_section(path))
            walk_section(l, path, value, &here);
        else
            complain_unknown(l, section, key, &here);
    }
    complain_missing(l, section, object, at);
}

/* ---- what concerns several settings, or files ---- */

static void
check_identifier(struct task_loader *l, const struct place *root)
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
check_weir(struct task_loader *l, const struct place *root)
{
    const struct place weir = {.up = root, .key = "Weir"};
    const struct place state = {.up = &weir, .key = "StateDirectory"};
    const struct place url = {.up = &weir, .key = "EndpointUrl"};
    const struct place packing = {.up = &weir, .key = "Packing"};
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
    if (t->weir.packing == PACKING_LINES && t->target.message_format != FORMAT_JSON_UNFORMATTED)
        doc_complain(&l->doc, &packing,
                     "is lines, where one change is one line; it needs "
                     "TargetEndpoint.KinesisSettings.MessageFormat json-unformatted");
}

static void
check_lobs(struct task_loader *l, const struct place *root)
{
    const struct place settings = {.up = root, .key = "ReplicationTaskSettings"};
    const struct place metadata = {.up = &settings, .key = "TargetMetadata"};
    const struct place at = {.up = &metadata, .key = "LimitedSizeLobMode"};
    const struct place size = {.up = &metadata, .key = "LobMaxSize"};
    const struct lob_settings *lobs = &l->task->lobs;

    if (lobs->is_full && lobs->is_limited)
        doc_complain(&l->doc, &at,
                     "is true beside FullLobMode: large values are either sent whole or cut at "
                     "LobMaxSize; leave one of them out");
    if (lobs->is_limited && lobs->max_kb == 0) /* DMS writes 0 where it does not cut */
        doc_complain(&l->doc, &size,
                     "found 0 where LimitedSizeLobMode cuts; allowed is a number from 1 to 102400, "
                     "and SupportLobs false leaves large values out");
}

static void
complain_needed(struct task_loader *l, const struct place *source, const char *name)
{
    const struct setting *s = settings_find("SourceEndpoint", name);

    doc_complain(&l->doc, source, "%s is missing (%s)", name, s->help);
}

/* Absent or empty; what has a wrong form is complained about already. */
static bool
is_absent(const json_t *object, const char *name)
{
    const json_t *v = json_object_get(object, name);

    return v == NULL || (json_is_string(v) && json_string_length(v) == 0);
}

/* Who logs in where: each part once. */
static void
check_login(struct task_loader *l, const struct place *root)
{
    const struct place source = {.up = root, .key = "SourceEndpoint"};
    const struct place settings = {.up = &source, .key = "MicrosoftSQLServerSettings"};
    const struct place secret = {.up = &settings, .key = "SecretsManagerSecretId"};
    const struct place role = {.up = &settings, .key = "SecretsManagerAccessRoleArn"};
    const struct place method = {.up = &settings, .key = "AuthenticationMethod"};
    const struct source_endpoint *ep = &l->task->source;
    const json_t *object = json_object_get(l->doc.root, "SourceEndpoint");
    bool is_kerberos = ep->authentication == AUTHENTICATION_KERBEROS;
    bool has_secret = ep->secret_id[0] != '\0';
    /* Given here, or in a second place. */
    bool has_server = !is_absent(object, "ServerName") || ep->server_name[0] != '\0';
    bool has_password = !is_absent(object, "Password") || ep->password.kind != SECRET_NONE;
    bool has_user = !is_absent(object, "Username") || ep->username[0] != '\0';

    if (!json_is_object(object))
        return; /* complained about as a whole */
    if (!has_server && !has_secret)
        complain_needed(l, &source, "ServerName");
    if (is_kerberos) {
        if (has_password || has_secret || has_user)
            doc_complain(
                &l->doc, &method,
                "is kerberos, which needs no Username, Password or secret; leave them out");
        return;
    }
    if (has_secret && (has_password || has_user))
        doc_complain(
            &l->doc, &secret,
            "holds user name and password; leave out SourceEndpoint.Username and Password");
    if (!has_secret && !has_password)
        complain_needed(l, &source, "Password");
    if (!has_secret && !has_user && ep->password.kind != SECRET_MANAGER)
        complain_needed(l, &source, "Username");
    if (ep->secret_role_arn[0] != '\0' && !has_secret && ep->password.kind != SECRET_MANAGER)
        doc_complain(&l->doc, &role, "is given, but no secret to read with it");
}

/* What one kind of target needs, another does not know. */
static void
check_target(struct task_loader *l, const struct place *root)
{
    const struct place target = {.up = root, .key = "TargetEndpoint"};
    const struct place kinesis = {.up = &target, .key = "KinesisSettings"};
    const struct place file = {.up = &target, .key = "FileSettings"};
    const struct target_endpoint *t = &l->task->target;
    const json_t *given = json_object_get(l->doc.root, "TargetEndpoint");
    const json_t *settings = json_object_get(given, "KinesisSettings");
    bool is_file = strcmp(t->engine_name, "file") == 0;

    if (given == NULL)
        return; /* which is said already */
    if (!is_file && json_object_get(settings, "StreamArn") == NULL)
        doc_complain(
            &l->doc, &kinesis,
            "StreamArn is missing (the stream: arn:aws:kinesis:REGION:ACCOUNT:stream/NAME)");
    if (is_file && t->file_directory[0] == '\0')
        doc_complain(&l->doc, &file, "Directory is missing (where the files are written)");
    if (is_file && t->message_format != FORMAT_JSON_UNFORMATTED)
        doc_complain(&l->doc, &kinesis,
                     "MessageFormat must be json-unformatted: in the files of EngineName file one "
                     "line is one change");
}

static bool
is_loopback(const char *server)
{
    return strncmp(server, "127.", 4) == 0 || strcmp(server, "localhost") == 0 ||
           strcmp(server, "::1") == 0;
}

static void
check_secrecy(struct task_loader *l, const struct place *root)
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
loader_begin(struct task_loader *l, const char *path)
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
        task_value_preset(l->task, &settings_table[i]);
}

static int
load(const char *path, size_t max, struct task **out, struct task_loader *l, struct err *e)
{
    const struct place root = {.up = NULL};

    *l = (struct task_loader){.task = NULL};
    *out = NULL;
    if (doc_open(&l->doc, path, max, e) != 0)
        return -1;
    loader_begin(l, path);
    walk(l, "", l->doc.root, &root);
    check_identifier(l, &root);
    task_bounds_check(&l->doc, l->task, &root);
    check_weir(l, &root);
    check_lobs(l, &root);
    check_login(l, &root);
    check_target(l, &root);
    check_secrecy(l, &root);
    l->task->source.aws_region = doc_strdup(l->task->target.region);
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
loader_end(struct task_loader *l)
{
    task_free(&l->task);
    doc_close(&l->doc);
}

int
task_load(const char *path, struct task **out, struct err *e)
{
    struct task_loader l;
    int rc = load(path, MAX_COMPLAINTS, out, &l, e);

    loader_end(&l);
    return rc;
}

int
task_check(const char *path, struct task **out, char **complaints, size_t max, size_t *n,
           struct err *e)
{
    struct task_loader l;
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
            free(*(char **)task_field(t, &settings_table[i]));
    if (t->source.password.value != NULL)
        explicit_bzero(t->source.password.value, strlen(t->source.password.value));
    free(t->source.password.value);
    free(t->source.aws_region);
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
    task_parallel_free(t);
    free(t->warnings);
    free(t->target.stream_name);
    free(t->target.region);
    free(t->path);
    free(t);
}

#include "common/task.h"

#include "common/err.h"
#include "common/file.h"
#include "common/task_internal.h"

#include <stdlib.h>
#include <string.h>

#define SECRET_MAX 4096

static void
complain_form(struct task_doc *doc, const struct place *at, const char *found)
{
    doc_complain(doc, at,
                 "found %s; allowed is {\"File\": path}, {\"Env\": variable} or "
                 "{\"SecretsManagerSecretId\": id}",
                 found);
}

void
task_secret_parse(struct task_doc *doc, const json_t *value, const struct place *at,
                  const char *folder, struct secret *out)
{
    static const struct {
        const char *key;
        enum secret_kind kind;
    } forms[] = {
        {"File", SECRET_FILE}, {"Env", SECRET_ENV}, {"SecretsManagerSecretId", SECRET_MANAGER}};
    void *it;
    const char *key;
    const json_t *inner;

    if (json_is_string(value)) {
        free(out->value);
        out->kind = SECRET_TEXT;
        out->value = doc_strdup(json_string_value(value));
        doc_warn(doc, at,
                 "holds the password in plain text; {\"File\": path} or "
                 "{\"Env\": variable} keeps it out of the task file");
        return;
    }
    if (!json_is_object(value)) {
        complain_form(doc, at, "neither text nor an object");
        return;
    }
    if (json_object_size(value) != 1) {
        complain_form(doc, at, "an object with other than one member");
        return;
    }
    it = json_object_iter((json_t *)(uintptr_t)value);
    key = json_object_iter_key(it);
    inner = json_object_iter_value(it);
    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        const struct place here = {.up = at, .key = forms[i].key};

        if (strcmp(key, forms[i].key) != 0)
            continue;
        if (!json_is_string(inner) || json_string_length(inner) == 0) {
            doc_complain(doc, &here, "must be a text that is not empty");
            return;
        }
        free(out->value);
        out->kind = forms[i].kind;
        out->value = out->kind == SECRET_FILE ? task_resolve_path(folder, json_string_value(inner))
                                              : doc_strdup(json_string_value(inner));
        return;
    }
    complain_form(doc, at, "an object with an unknown member");
}

static int
read_secret_file(const char *path, const char *what, char **out, struct err *e)
{
    size_t size;

    if (file_read(path, SECRET_MAX, out, &size, e) != 0) {
        /* It does not come by itself: a person has to write it. */
        if (e != NULL && e->code == ERR_NOT_FOUND)
            e->code = ERR_CONFIG;
        err_context(e, "%s", what);
        return err_hint(e, "write the password into %s, mode 0640, readable by this user", path);
    }
    /* An editor ends the last line; the password does not hold that newline. */
    while (size > 0 && ((*out)[size - 1] == '\n' || (*out)[size - 1] == '\r'))
        (*out)[--size] = '\0';
    if (size == 0 || memchr(*out, '\0', size) != NULL || memchr(*out, '\n', size) != NULL) {
        secret_wipe(out);
        return err_set(e, ERR_CONFIG, "%s: %s holds no password (one line of text)", what, path);
    }
    return 0;
}

int
secret_read(const struct secret *s, const char *what, char **out, struct err *e)
{
    const char *text;

    *out = NULL;
    switch (s->kind) {
    case SECRET_TEXT:
        *out = doc_strdup(s->value);
        return 0;
    case SECRET_FILE:
        return read_secret_file(s->value, what, out, e);
    case SECRET_ENV:
        text = getenv(s->value);
        if (text == NULL || text[0] == '\0') {
            err_set(e, ERR_CONFIG, "%s: the environment variable %s is not set", what, s->value);
            return err_hint(e, "set %s where the stages are started", s->value);
        }
        *out = doc_strdup(text);
        return 0;
    case SECRET_MANAGER:
        return err_set(e, ERR_CONFIG, "%s: the secret %s is read by weir-capture only", what,
                       s->value);
    case SECRET_NONE:
    default:
        return err_set(e, ERR_CONFIG, "%s: no password is given", what);
    }
}

void
secret_wipe(char **text)
{
    if (*text == NULL)
        return;
    explicit_bzero(*text, strlen(*text));
    free(*text);
    *text = NULL;
}

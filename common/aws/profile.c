#include "common/aws/profile.h"

#include "common/err.h"
#include "common/file.h"

#include <ctype.h>
#include <openssl/crypto.h>
#include <strings.h>

#define FILE_MAX (1U << 20)

struct reader {
    enum profile_file kind;
    const char *profile;
    const char *path;
    int line;
    bool is_here;  /* inside the wanted section */
    bool in_block; /* inside the sub-keys of an empty key */
    bool was_seen;
    bool is_explicit; /* [profile default] was seen: it beats [default] */
};

static char *
trim(char *s)
{
    size_t n;

    while (isspace((unsigned char)*s))
        s++;
    n = strlen(s);
    while (n > 0 && isspace((unsigned char)s[n - 1]))
        s[--n] = '\0';
    return s;
}

static void
cut_comment(char *line)
{
    for (char *at = line; *at != '\0'; at++) {
        bool after_blank = at == line || isspace((unsigned char)at[-1]);

        if ((*at == '#' || *at == ';') && after_blank) {
            *at = '\0';
            return;
        }
    }
}

static void
forget(struct profile_key *keys, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (keys[i].value != NULL)
            OPENSSL_cleanse(keys[i].value, keys[i].size);
        keys[i].found = false;
    }
}

/* name is what stands between the brackets, trimmed. */
static void
enter_section(struct reader *r, char *name, struct profile_key *keys, size_t n)
{
    static const char prefix[] = "profile";
    bool has_prefix = strncmp(name, prefix, sizeof(prefix) - 1) == 0 &&
                      isspace((unsigned char)name[sizeof(prefix) - 1]);

    r->in_block = false;
    if (r->kind == PROFILE_CREDENTIALS) {
        r->is_here = strcmp(name, r->profile) == 0;
    } else if (has_prefix) {
        r->is_here = strcmp(trim(name + sizeof(prefix) - 1), r->profile) == 0;
        if (r->is_here && !r->is_explicit) {
            r->is_explicit = true;
            forget(keys, n);
        }
    } else {
        r->is_here =
            !r->is_explicit && strcmp(name, "default") == 0 && strcmp(r->profile, "default") == 0;
    }
    r->was_seen |= r->is_here;
}

static int
take_key(struct reader *r, char *line, struct profile_key *keys, size_t n, struct err *e)
{
    bool is_indented = isspace((unsigned char)*line);
    char *equals = strchr(line, '=');
    char *key;
    char *value;

    if (equals == NULL)
        return 0;
    *equals = '\0';
    key = trim(line);
    value = trim(equals + 1);
    if (r->in_block && is_indented)
        return 0;
    r->in_block = *value == '\0';
    if (r->in_block || !r->is_here)
        return 0;
    for (size_t i = 0; i < n; i++) {
        if (strcasecmp(keys[i].key, key) != 0)
            continue;
        keys[i].found = true;
        if (keys[i].value == NULL)
            continue;
        if (strlen(value) >= keys[i].size)
            return err_set(e, ERR_CREDENTIALS, "%s:%d: %s has %zu characters, at most %zu expected",
                           r->path, r->line, keys[i].key, strlen(value), keys[i].size - 1);
        (void)snprintf(keys[i].value, keys[i].size, "%s", value);
    }
    return 0;
}

static int
take_line(struct reader *r, char *line, struct profile_key *keys, size_t n, struct err *e)
{
    char *text;
    char *end;

    cut_comment(line);
    for (text = line; isspace((unsigned char)*text); text++)
        ;
    if (*text == '\0')
        return 0;
    if (*text == '[') {
        end = strchr(text, ']');
        if (end == NULL) {
            r->is_here = false;
            return 0;
        }
        *end = '\0';
        enter_section(r, trim(text + 1), keys, n);
        return 0;
    }
    return take_key(r, line, keys, n, e);
}

int
profile_read(const char *path, enum profile_file kind, const char *profile,
             struct profile_key *keys, size_t n, struct err *e)
{
    struct reader r = {.kind = kind, .profile = profile, .path = path};
    char *text = NULL;
    size_t size = 0;
    char *next;
    int rc = 0;

    if (file_read(path, FILE_MAX, &text, &size, e) != 0)
        return -1;
    next = text;
    if (size >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
        next += 3;
    while (rc == 0 && *next != '\0') {
        char *line = next;
        size_t length = strcspn(line, "\n");

        next = line[length] == '\n' ? line + length + 1 : line + length;
        line[length] = '\0';
        r.line++;
        rc = take_line(&r, line, keys, n, e);
    }
    OPENSSL_cleanse(text, size);
    free(text);
    return rc != 0 ? -1 : r.was_seen;
}

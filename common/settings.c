#include "common/settings.h"

#include "common/task.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#define MEBI (1 << 20)

#define TASK_MEMBER(m) (((struct task *)0)->m)

/* Enumerations are unsigned int to the compiler, as uint32_t is. */
#define STORE_OF(m)                                                                                \
    _Generic(TASK_MEMBER(m),                                                                       \
             bool                                                                                  \
             : STORE_BOOL, uint16_t                                                                \
             : STORE_U16, uint32_t                                                                 \
             : STORE_U32, uint64_t                                                                 \
             : STORE_U64, char *                                                                   \
             : STORE_STRING, struct secret                                                         \
             : STORE_SECRET)

#define FIELD(m)        .store = STORE_OF(m), .offset = offsetof(struct task, m)
#define NO_FIELD        .store = STORE_NONE, .offset = 0
#define BOOL            .type = SETTING_BOOL
#define U16             .type = SETTING_NUMBER
#define U32             .type = SETTING_NUMBER
#define I32             .type = SETTING_NUMBER
#define TEXT            .type = SETTING_TEXT
#define PATH            .type = SETTING_PATH
#define WORD(w)         .type = SETTING_WORD, .words = (w)
#define SIZE            .type = SETTING_SIZE
#define RING            .type = SETTING_RING
#define ARN             .type = SETTING_ARN
#define TIME            .type = SETTING_TIME
#define SECRET          .type = SETTING_SECRET
#define RULES           .type = SETTING_RULES
#define ATTRIBUTES(of)  .type = SETTING_ATTRIBUTES, .words = (of)
#define ANY             .type = SETTING_ANY
#define REQUIRED        NULL
#define USED            .status = SETTING_USED
#define SECOND_OF(of)   .status = SETTING_USED, .second_of = (of)
#define NO_MEANING(why) .status = SETTING_NO_MEANING, .reason = (why)
#define NOT_YET(what)   .status = SETTING_NOT_YET, .reason = (what)

#define S(section_, name_, field_, type_, minimum_, maximum_, preset_, status_, help_)             \
    {.section = (section_),                                                                        \
     .name = (name_),                                                                              \
     field_,                                                                                       \
     type_,                                                                                        \
     .minimum = (minimum_),                                                                        \
     .maximum = (maximum_),                                                                        \
     .preset = (preset_),                                                                          \
     status_,                                                                                      \
     .help = (help_)},

const struct setting settings_table[] = {
#include "common/settings.def"
};

const size_t settings_count = sizeof(settings_table) / sizeof(settings_table[0]);

#define NAME_MAX_BYTES 64

const struct setting *
settings_find(const char *section, const char *name)
{
    for (size_t i = 0; i < settings_count; i++) {
        const struct setting *s = &settings_table[i];

        if (strcmp(s->name, name) == 0 && strcmp(s->section, section) == 0)
            return s;
    }
    return NULL;
}

/* What follows `prefix.` in path; NULL when path does not lie below prefix. */
static const char *
below(const char *path, const char *prefix)
{
    size_t n = strlen(prefix);

    if (n == 0)
        return path[0] != '\0' ? path : NULL;
    return strncmp(path, prefix, n) == 0 && path[n] == '.' ? path + n + 1 : NULL;
}

bool
settings_is_section(const char *path)
{
    for (size_t i = 0; i < settings_count; i++)
        if (strcmp(settings_table[i].section, path) == 0 ||
            below(settings_table[i].section, path) != NULL)
            return true;
    return false;
}

void
settings_each_section(const char *section,
                      void (*visit)(const char *path, const char *name, void *arg), void *arg)
{
    char last[NAME_MAX_BYTES] = "";

    for (size_t i = 0; i < settings_count; i++) {
        const char *rest = below(settings_table[i].section, section);
        char name[NAME_MAX_BYTES];
        char path[4 * NAME_MAX_BYTES];

        if (rest == NULL)
            continue;
        (void)snprintf(name, sizeof(name), "%.*s", (int)strcspn(rest, "."), rest);
        if (strcmp(name, last) == 0)
            continue;
        memcpy(last, name, sizeof(last));
        (void)snprintf(path, sizeof(path), "%s%s%s", section, section[0] != '\0' ? "." : "", name);
        visit(path, name, arg);
    }
}

bool
settings_section_required(const char *section)
{
    for (size_t i = 0; i < settings_count; i++) {
        const struct setting *s = &settings_table[i];

        if (s->preset == NULL &&
            (strcmp(s->section, section) == 0 || below(s->section, section) != NULL))
            return true;
    }
    return false;
}

size_t
settings_distance(const char *a, const char *b)
{
    size_t row[3][NAME_MAX_BYTES + 1];
    size_t na = strlen(a);
    size_t nb = strlen(b);

    if (na > NAME_MAX_BYTES || nb > NAME_MAX_BYTES)
        return SIZE_MAX;
    for (size_t j = 0; j <= nb; j++)
        row[0][j] = j;
    for (size_t i = 1; i <= na; i++) {
        size_t *cur = row[i % 3];
        const size_t *up = row[(i + 2) % 3];
        const size_t *up2 = row[(i + 1) % 3];

        cur[0] = i;
        for (size_t j = 1; j <= nb; j++) {
            int ca = tolower((unsigned char)a[i - 1]);
            int cb = tolower((unsigned char)b[j - 1]);
            size_t best = up[j - 1] + (ca != cb);

            if (up[j] + 1 < best)
                best = up[j] + 1;
            if (cur[j - 1] + 1 < best)
                best = cur[j - 1] + 1;
            if (i > 1 && j > 1 && ca == tolower((unsigned char)b[j - 2]) &&
                tolower((unsigned char)a[i - 2]) == cb && up2[j - 2] + 1 < best)
                best = up2[j - 2] + 1;
            cur[j] = best;
        }
    }
    return row[na % 3][nb];
}

struct nearest {
    const char *wanted;
    size_t distance;
    const char *name;
    char section_name[NAME_MAX_BYTES];
};

static void
nearest_try(struct nearest *n, const char *name)
{
    size_t d = settings_distance(n->wanted, name);

    if (d < n->distance) {
        n->distance = d;
        n->name = name;
    }
}

static void
nearest_section(const char *path, const char *name, void *arg)
{
    struct nearest *n = arg;
    size_t before = n->distance;

    (void)path;
    nearest_try(n, name);
    if (n->distance == before)
        return;
    (void)snprintf(n->section_name, sizeof(n->section_name), "%s", name);
    /* Points into a table entry, not into the caller's buffer. */
    for (size_t i = 0; i < settings_count; i++) {
        const char *at = strstr(settings_table[i].section, n->section_name);

        if (at != NULL && strcmp(at, n->section_name) == 0)
            n->name = at;
    }
}

bool
settings_suggest(const char *section, const char *name, const char **suggestion, const char **where)
{
    size_t limit = strlen(name) / 3 + 1;
    struct nearest n = {.wanted = name, .distance = limit + 1};

    *where = NULL;
    for (size_t i = 0; i < settings_count; i++)
        if (strcmp(settings_table[i].section, section) == 0)
            nearest_try(&n, settings_table[i].name);
    settings_each_section(section, nearest_section, &n);
    if (n.distance <= limit) {
        *suggestion = n.name;
        return true;
    }
    /* Not here: the same name, near enough, in another section. */
    n.distance = 2;
    for (size_t i = 0; i < settings_count; i++) {
        size_t before = n.distance;

        nearest_try(&n, settings_table[i].name);
        if (n.distance < before)
            *where = settings_table[i].section;
    }
    *suggestion = n.name;
    return n.distance < 2;
}

bool
settings_word(const char *words, size_t i, char *buf, size_t size)
{
    const char *p = words;

    while (i > 0) {
        p = strchr(p, '|');
        if (p == NULL)
            return false;
        p++;
        i--;
    }
    (void)snprintf(buf, size, "%.*s", (int)strcspn(p, "|"), p);
    return true;
}

const char *
settings_words_text(const char *words, char *buf, size_t size)
{
    char word[NAME_MAX_BYTES];
    size_t used = 0;

    buf[0] = '\0';
    for (size_t i = 0; settings_word(words, i, word, sizeof(word)); i++) {
        char next[NAME_MAX_BYTES];
        bool is_last = !settings_word(words, i + 1, next, sizeof(next));
        const char *joint = i == 0 ? "" : is_last ? " or " : ", ";
        int n = snprintf(buf + used, size - used, "%s%s", joint, word);

        if (n < 0 || (size_t)n >= size - used)
            break;
        used += (size_t)n;
    }
    return buf;
}

const char *
settings_type_text(const struct setting *s, char *buf, size_t size)
{
    char words[512];

    switch (s->type) {
    case SETTING_BOOL:
        (void)snprintf(buf, size, "true or false");
        break;
    case SETTING_NUMBER:
        (void)snprintf(buf, size, "whole number %lld..%lld", (long long)s->minimum,
                       (long long)s->maximum);
        break;
    case SETTING_TEXT:
        (void)snprintf(buf, size, "text of %s%lld bytes", s->minimum > 0 ? "1 to " : "at most ",
                       (long long)s->maximum);
        break;
    case SETTING_PATH:
        (void)snprintf(buf, size, "file name");
        break;
    case SETTING_WORD:
        (void)snprintf(buf, size, "%s", settings_words_text(s->words, words, sizeof(words)));
        break;
    case SETTING_SIZE:
    case SETTING_RING:
        (void)snprintf(buf, size, "size %lld%s..%lldMiB%s",
                       (long long)(s->minimum >> (s->minimum < MEBI ? 10 : 20)),
                       s->minimum < MEBI ? "KiB" : "MiB", (long long)(s->maximum >> 20),
                       s->type == SETTING_RING ? ", a power of two" : "");
        break;
    case SETTING_ARN:
        (void)snprintf(buf, size, "ARN of a Kinesis stream");
        break;
    case SETTING_TIME:
        (void)snprintf(buf, size, "UTC time like 2026-03-05T08:00:00, or seconds since 1970");
        break;
    case SETTING_SECRET:
        (void)snprintf(buf, size, "password");
        break;
    case SETTING_RULES:
        (void)snprintf(buf, size, "table mapping rules");
        break;
    case SETTING_ATTRIBUTES:
        (void)snprintf(buf, size, "text of Name=value;Name=value, members of %s", s->words);
        break;
    case SETTING_ANY:
        (void)snprintf(buf, size, "%s", s->second_of != NULL ? "as there" : "anything");
        break;
    default:
        buf[0] = '\0';
        break;
    }
    return buf;
}

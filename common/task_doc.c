#include "common/task_doc.h"

#include "common/err.h"
#include "common/file.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TASK_FILE_MAX (4U << 20)
#define KEY_MAX       256

/* ---- memory: a few kilobytes while a program starts; without them there is no program ---- */

static void *
grown(void *old, size_t bytes)
{
    void *p = realloc(old, bytes);

    CHECK(p != NULL);
    return p;
}

char *
doc_strdup(const char *text)
{
    char *copy = strdup(text);

    CHECK(copy != NULL);
    return copy;
}

/* ---- paths ---- */

static uint64_t
hash_bytes(uint64_t h, const void *data, size_t size)
{
    const unsigned char *p = data;

    for (size_t i = 0; i < size; i++)
        h = (h ^ p[i]) * 0x100000001B3ULL;
    return h;
}

#define HASH_ROOT 0xCBF29CE484222325ULL

static uint64_t
hash_member(uint64_t up, const char *key)
{
    return hash_bytes(hash_bytes(up, ".", 1), key, strlen(key));
}

static uint64_t
hash_element(uint64_t up, size_t index)
{
    return hash_bytes(hash_bytes(up, "[", 1), &index, sizeof(index));
}

static uint64_t
place_hash(const struct place *at)
{
    if (at == NULL || at->up == NULL)
        return HASH_ROOT;
    return at->key != NULL ? hash_member(place_hash(at->up), at->key)
                           : hash_element(place_hash(at->up), at->index);
}

const char *
place_text(const struct place *at, char *buf, size_t size)
{
    size_t used;

    if (at == NULL || at->up == NULL) {
        (void)snprintf(buf, size, "$");
        return buf;
    }
    (void)place_text(at->up, buf, size);
    used = strlen(buf);
    if (at->key != NULL)
        (void)snprintf(buf + used, size - used, ".%s", at->key);
    else
        (void)snprintf(buf + used, size - used, "[%zu]", at->index);
    return buf;
}

static int
line_compare(const void *a, const void *b)
{
    const struct doc_line *x = a;
    const struct doc_line *y = b;

    return (x->hash > y->hash) - (x->hash < y->hash);
}

unsigned
doc_line(const struct task_doc *doc, const struct place *at)
{
    for (;; at = at->up) {
        struct doc_line key = {.hash = place_hash(at)};
        const struct doc_line *found = NULL;

        if (doc->n_lines > 0)
            found = bsearch(&key, doc->lines, doc->n_lines, sizeof(key), line_compare);
        if (found != NULL)
            return found->line;
        if (at == NULL || at->up == NULL)
            return 1;
    }
}

/* ---- the scanner: text is valid JSON of bounded depth ---- */

struct scan {
    struct task_doc *doc;
    const char *p;
    const char *end;
    unsigned line;
};

static void
scan_note(struct scan *s, uint64_t hash, unsigned line)
{
    struct task_doc *doc = s->doc;

    if (doc->n_lines == doc->room) {
        doc->room = doc->room == 0 ? 256 : 2 * doc->room;
        doc->lines = grown(doc->lines, doc->room * sizeof(doc->lines[0]));
    }
    doc->lines[doc->n_lines++] = (struct doc_line){.hash = hash, .line = line};
}

static void
scan_blanks(struct scan *s)
{
    for (; s->p < s->end && (*s->p == ' ' || *s->p == '\t' || *s->p == '\r' || *s->p == '\n');
         s->p++)
        s->line += *s->p == '\n';
}

/* Steps over a string.  Its text without the quotes; escapes stay as they are written. */
static void
scan_string(struct scan *s, const char **start, size_t *size)
{
    s->p++;
    *start = s->p;
    while (s->p < s->end && *s->p != '"')
        s->p += *s->p == '\\' ? 2 : 1;
    *size = (size_t)(s->p - *start);
    s->p++;
}

/* The decoded key of a member into buf; long ones are cut, which costs a line number at most. */
static void
scan_key(struct scan *s, char *buf, size_t size)
{
    const char *start;
    size_t n;
    json_t *decoded;

    scan_string(s, &start, &n);
    if (memchr(start, '\\', n) == NULL) {
        (void)snprintf(buf, size, "%.*s", (int)(n < size ? n : size - 1), start);
        return;
    }
    decoded = json_loadb(start - 1, n + 2, JSON_DECODE_ANY, NULL);
    (void)snprintf(buf, size, "%s", decoded != NULL ? json_string_value(decoded) : "");
    json_decref(decoded);
}

static void
scan_value(struct scan *s, uint64_t hash)
{
    char key[KEY_MAX];
    size_t index = 0;
    const char *start;
    size_t n;

    scan_blanks(s);
    if (s->p >= s->end)
        return;
    if (*s->p == '"') {
        scan_string(s, &start, &n);
        return;
    }
    if (*s->p != '{' && *s->p != '[') {
        while (s->p < s->end && strchr(",]} \t\r\n", *s->p) == NULL)
            s->p++;
        return;
    }

    char close = *s->p == '{' ? '}' : ']';

    s->p++;
    for (;;) {
        uint64_t inner;

        scan_blanks(s);
        if (s->p < s->end && *s->p == ',') {
            s->p++;
            continue;
        }
        if (s->p >= s->end || *s->p == close) {
            s->p++;
            return;
        }
        if (close == '}') {
            unsigned line = s->line;

            scan_key(s, key, sizeof(key));
            inner = hash_member(hash, key);
            scan_note(s, inner, line);
            scan_blanks(s);
            s->p++; /* the colon */
        } else {
            inner = hash_element(hash, index++);
            scan_note(s, inner, s->line);
        }
        scan_value(s, inner);
    }
}

/* ---- complaints ---- */

void
doc_where(const struct task_doc *doc, const struct place *at, char *buf, size_t size)
{
    char text[PLACE_TEXT_MAX];

    (void)snprintf(buf, size, "%s:%u: %s", doc->path, doc_line(doc, at),
                   place_text(at, text, sizeof(text)));
}

/*
 * Names and values of the file end on a terminal and in logs: no control characters, and no
 * characters cut in their middle (values are shown up to a number of bytes).
 */
static void
make_printable(char *text)
{
    for (char *p = text; *p != '\0'; p++) {
        unsigned char c = (unsigned char)*p;
        int more = c >= 0xF0 ? 3 : c >= 0xE0 ? 2 : c >= 0xC0 ? 1 : 0;
        int here = 0;

        while (here < more && ((unsigned char)p[here + 1] & 0xC0) == 0x80)
            here++;
        if (c < 0x20 || c == 0x7F || here < more || (c & 0xC0) == 0x80)
            *p = '?';
        else
            p += here;
    }
}

__attribute__((format(printf, 3, 0))) static char *
sentence(const struct task_doc *doc, const struct place *at, const char *fmt, va_list ap)
{
    char text[1024];
    size_t used;

    doc_where(doc, at, text, sizeof(text));
    used = strlen(text);
    (void)snprintf(text + used, sizeof(text) - used, ": ");
    used = strlen(text);
    (void)vsnprintf(text + used, sizeof(text) - used, fmt, ap);
    make_printable(text);
    return doc_strdup(text);
}

void
doc_complain(struct task_doc *doc, const struct place *at, const char *fmt, ...)
{
    va_list ap;

    if (doc->n_complaints >= doc->max_complaints) {
        doc->n_dropped++;
        return;
    }
    va_start(ap, fmt);
    doc->complaints[doc->n_complaints++] = sentence(doc, at, fmt, ap);
    va_end(ap);
}

void
doc_warn(struct task_doc *doc, const struct place *at, const char *fmt, ...)
{
    va_list ap;

    doc->warnings = grown(doc->warnings, (doc->n_warnings + 1) * sizeof(doc->warnings[0]));
    va_start(ap, fmt);
    doc->warnings[doc->n_warnings++] = sentence(doc, at, fmt, ap);
    va_end(ap);
}

/* ---- parsing ---- */

/*
 * jansson ends most messages with "near '<text of the file>'"; that text may be a password, so
 * it is left out.  Line and column say enough.
 */
static const char *
syntax_text(const json_error_t *error, char *buf, size_t size)
{
    const char *near = strstr(error->text, " near ");
    size_t n = near != NULL ? (size_t)(near - error->text) : strlen(error->text);

    if (json_error_code(error) == json_error_duplicate_key)
        (void)snprintf(buf, size, "a member is given twice in one object");
    else
        (void)snprintf(buf, size, "not valid JSON: %.*s", (int)n, error->text);
    return buf;
}

int
doc_parse(struct task_doc *doc, const char *path, const char *text, size_t size,
          size_t max_complaints, struct err *e)
{
    json_error_t error;
    char what[256];

    *doc = (struct task_doc){.path = path, .max_complaints = max_complaints};
    doc->complaints = grown(NULL, (max_complaints + 1) * sizeof(doc->complaints[0]));
    if (size >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0) {
        text += 3;
        size -= 3;
    }
    doc->root = json_loadb(text, size, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
    if (doc->root == NULL)
        return err_set(e, ERR_CONFIG, "%s:%d:%d: %s", path, error.line, error.column,
                       syntax_text(&error, what, sizeof(what)));
    if (!json_is_object(doc->root))
        return err_set(e, ERR_CONFIG, "%s:1: $: not an object; a task file is one JSON object",
                       path);

    struct scan s = {.doc = doc, .p = text, .end = text + size, .line = 1};

    scan_value(&s, HASH_ROOT);
    qsort(doc->lines, doc->n_lines, sizeof(doc->lines[0]), line_compare);
    return 0;
}

int
doc_open(struct task_doc *doc, const char *path, size_t max_complaints, struct err *e)
{
    char *text;
    size_t size;
    int rc;

    *doc = (struct task_doc){.path = path};
    if (file_read(path, TASK_FILE_MAX, &text, &size, e) != 0) {
        /* Trying again does not help: a person has to name the right file. */
        if (e != NULL && e->code == ERR_NOT_FOUND)
            e->code = ERR_CONFIG;
        return err_context(e, "task file");
    }
    rc = doc_parse(doc, path, text, size, max_complaints, e);
    /* The file may hold a password in plain text. */
    explicit_bzero(text, size);
    free(text);
    return rc;
}

void
doc_close(struct task_doc *doc)
{
    for (size_t i = 0; i < doc->n_complaints; i++)
        free(doc->complaints[i]);
    for (size_t i = 0; i < doc->n_warnings; i++)
        free(doc->warnings[i]);
    free(doc->complaints);
    free(doc->warnings);
    free(doc->lines);
    json_decref(doc->root);
    *doc = (struct task_doc){0};
}

json_t *
doc_embedded(struct task_doc *doc, const struct place *at, const json_t *string)
{
    json_error_t error;
    char what[256];
    json_t *inner = json_loadb(json_string_value(string), json_string_length(string),
                               JSON_REJECT_DUPLICATES, &error);

    if (inner == NULL)
        doc_complain(doc, at, "the JSON inside this string, line %d, column %d: %s", error.line,
                     error.column, syntax_text(&error, what, sizeof(what)));
    return inner;
}

const char *
doc_found(const json_t *value, char *buf, size_t size)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        (void)snprintf(buf, size, "an object");
        break;
    case JSON_ARRAY:
        (void)snprintf(buf, size, "a list");
        break;
    case JSON_STRING:
        (void)snprintf(buf, size, "the text \"%.60s\"", json_string_value(value));
        break;
    case JSON_INTEGER:
        (void)snprintf(buf, size, "the number %lld", (long long)json_integer_value(value));
        break;
    case JSON_REAL:
        (void)snprintf(buf, size, "the number %g", json_real_value(value));
        break;
    case JSON_TRUE:
        (void)snprintf(buf, size, "true");
        break;
    case JSON_FALSE:
        (void)snprintf(buf, size, "false");
        break;
    case JSON_NULL:
    default:
        (void)snprintf(buf, size, "null");
        break;
    }
    return buf;
}

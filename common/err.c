#include "common/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;
    enum err_class class;
} err_table[ERR_CODE_COUNT] = {
#define X(code, name, class) [code] = {name, class},
    ERR_CODES(X)
#undef X
};

static const char *
base_name(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash != NULL ? slash + 1 : path;
}

/* Codes whose `sys` is an errno worth spelling out. */
static bool
sys_is_errno(enum err_code code)
{
    return code == ERR_IO || code == ERR_NOMEM || code == ERR_NOSPACE || code == ERR_NOT_FOUND ||
           code == ERR_ACCESS || code == ERR_BUSY;
}

void
err_set_at(struct err *e, enum err_code code, int sys, const char *file, int line, const char *fmt,
           ...)
{
    va_list ap;
    int n;

    if (e == NULL)
        return;
    e->code = code;
    e->sys = sys;
    e->line = line;
    e->file = base_name(file);
    e->hint[0] = '\0';
    va_start(ap, fmt);
    n = vsnprintf(e->text, sizeof(e->text), fmt, ap);
    va_end(ap);
    if (n >= 0 && (size_t)n < sizeof(e->text) && sys > 0 && sys_is_errno(code)) {
        char buf[128];

        (void)snprintf(e->text + n, sizeof(e->text) - (size_t)n, ": %s",
                       strerror_r(sys, buf, sizeof(buf)));
    }
}

void
err_context_at(struct err *e, const char *fmt, ...)
{
    char old[ERR_TEXT_MAX];
    va_list ap;
    int n;

    if (e == NULL)
        return;
    memcpy(old, e->text, sizeof(old));
    va_start(ap, fmt);
    n = vsnprintf(e->text, sizeof(e->text), fmt, ap);
    va_end(ap);
    if (n >= 0 && (size_t)n < sizeof(e->text)) {
        size_t room = sizeof(e->text) - (size_t)n;

        (void)snprintf(e->text + n, room, ": %.*s", (int)room, old); /* cut where it is too long */
    }
}

void
err_hint_at(struct err *e, const char *fmt, ...)
{
    va_list ap;

    if (e == NULL)
        return;
    va_start(ap, fmt);
    (void)vsnprintf(e->hint, sizeof(e->hint), fmt, ap);
    va_end(ap);
}

void
err_clear(struct err *e)
{
    e->code = ERR_NONE;
    e->sys = 0;
    e->line = 0;
    e->file = "";
    e->text[0] = '\0';
    e->hint[0] = '\0';
}

const char *
err_name(enum err_code code)
{
    return (unsigned)code < ERR_CODE_COUNT ? err_table[code].name : "unknown";
}

enum err_class
err_class(enum err_code code)
{
    return (unsigned)code < ERR_CODE_COUNT ? err_table[code].class : ERR_CLASS_RESTART;
}

int
err_exit_status(const struct err *e)
{
    switch (err_class(e->code)) {
    case ERR_CLASS_OPERATOR:
    case ERR_CLASS_TABLE:
        return 78;
    case ERR_CLASS_RETRY:
    case ERR_CLASS_RESTART:
    default:
        return 75;
    }
}

const char *
err_format(const struct err *e, char *buf, size_t size)
{
    (void)snprintf(buf, size, "%s [%s, %s:%d]%s%s", e->text, err_name(e->code),
                   e->file != NULL ? e->file : "?", e->line, e->hint[0] != '\0' ? "; " : "",
                   e->hint);
    return buf;
}

void
err_check_failed(const char *cond, const char *file, int line)
{
    (void)fprintf(stderr, "CHECK failed: %s at %s:%d\n", cond, base_name(file), line);
    abort();
}

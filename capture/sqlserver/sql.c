#include "capture/sqlserver/sql.h"

#include "capture/sqlserver/wide.h"
#include "common/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SQL_FIRST_SIZE 1024

static bool
grow(struct sql *q, size_t more)
{
    size_t want = q->len + more + 1;
    size_t size = q->size != 0 ? q->size : SQL_FIRST_SIZE;
    char *text;

    if (q->failed)
        return false;
    if (want <= q->size)
        return true;
    while (size < want)
        size *= 2;
    text = realloc(q->text, size);
    if (text == NULL) {
        q->failed = true;
        return false;
    }
    q->text = text;
    q->size = size;
    return true;
}

void
sql_reset(struct sql *q)
{
    q->len = 0;
    q->failed = false;
    if (q->text != NULL)
        q->text[0] = '\0';
}

void
sql_free(struct sql *q)
{
    free(q->text);
    *q = (struct sql){.text = NULL};
}

void
sql_add_n(struct sql *q, const char *text, size_t len)
{
    if (!grow(q, len))
        return;
    memcpy(q->text + q->len, text, len);
    q->len += len;
    q->text[q->len] = '\0';
}

void
sql_add(struct sql *q, const char *fmt, ...)
{
    va_list ap;
    va_list again;
    int n;

    va_start(ap, fmt);
    va_copy(again, ap);
    n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    if (n >= 0 && grow(q, (size_t)n)) {
        (void)vsnprintf(q->text + q->len, (size_t)n + 1, fmt, again);
        q->len += (size_t)n;
    }
    va_end(again);
}

/* text with every `quote` doubled. */
static void
add_doubled(struct sql *q, const char *text, size_t len, char quote)
{
    size_t from = 0;

    for (size_t i = 0; i < len; i++)
        if (text[i] == quote) {
            sql_add_n(q, text + from, i + 1 - from);
            from = i;
        }
    sql_add_n(q, text + from, len - from);
}

void
sql_add_name(struct sql *q, const char *name)
{
    sql_add_n(q, "[", 1);
    add_doubled(q, name, strlen(name), ']');
    sql_add_n(q, "]", 1);
}

void
sql_add_binary(struct sql *q, const uint8_t *bytes, size_t size)
{
    static const char hex[] = "0123456789ABCDEF";

    sql_add_n(q, "0x", 2);
    if (!grow(q, 2 * size))
        return;
    for (size_t i = 0; i < size; i++) {
        q->text[q->len++] = hex[bytes[i] >> 4];
        q->text[q->len++] = hex[bytes[i] & 15];
    }
    q->text[q->len] = '\0';
}

static bool
is_plain(const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (text[i] < ' ' || text[i] > '~')
            return false;
    return true;
}

void
sql_add_string(struct sql *q, const char *utf8, size_t size)
{
    uint8_t *wide;
    size_t n;

    if (is_plain(utf8, size)) {
        sql_add_n(q, "N'", 2);
        add_doubled(q, utf8, size, '\'');
        sql_add_n(q, "'", 1);
        return;
    }
    wide = malloc(2 * size);
    if (wide == NULL) {
        q->failed = true;
        return;
    }
    n = wide_from_utf8(utf8, size, wide);
    if (n > 8000)
        sql_add(q, "CONVERT(nvarchar(max), ");
    else
        sql_add(q, "CONVERT(nvarchar(%zu), ", n / 2);
    sql_add_binary(q, wide, n);
    sql_add_n(q, ")", 1);
    free(wide);
}

const char *
sql_text(struct sql *q, struct err *e)
{
    if (q->failed || !grow(q, 0)) {
        err_set(e, ERR_NOMEM, "building a statement of more than %zu bytes", q->len);
        return NULL;
    }
    return q->text;
}

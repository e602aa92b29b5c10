#include "tests/kinesisd/bytes.h"

#include "common/err.h"

#include <stdarg.h>

static void *
or_die(void *p)
{
    if (p == NULL)
        err_check_failed("memory for the streams", __FILE__, __LINE__);
    return p;
}

void *
bytes_alloc(size_t size)
{
    return or_die(malloc(size));
}

void *
bytes_zalloc(size_t size)
{
    return or_die(calloc(1, size));
}

void *
bytes_realloc(void *p, size_t size)
{
    return or_die(realloc(p, size));
}

char *
bytes_reserve(struct bytes *b, size_t extra)
{
    size_t need = b->len + extra;

    if (need > b->cap) {
        size_t cap = b->cap < 1024 ? 1024 : b->cap;

        while (cap < need)
            cap += cap / 2;
        b->data = bytes_realloc(b->data, cap);
        b->cap = cap;
    }
    return b->data + b->len;
}

void
bytes_add(struct bytes *b, const void *data, size_t len)
{
    if (len == 0)
        return;
    (void)memcpy(bytes_reserve(b, len), data, len);
    b->len += len;
}

void
bytes_puts(struct bytes *b, const char *text)
{
    bytes_add(b, text, strlen(text));
}

void
bytes_printf(struct bytes *b, const char *fmt, ...)
{
    va_list args;
    va_list again;
    int n;

    va_start(args, fmt);
    va_copy(again, args);
    n = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    CHECK(n >= 0);
    (void)vsnprintf(bytes_reserve(b, (size_t)n + 1), (size_t)n + 1, fmt, again);
    va_end(again);
    b->len += (size_t)n;
}

static size_t
json_escape(unsigned char c, char *out)
{
    static const char hex[] = "0123456789abcdef";
    static const char plain[] = "\"\\\b\f\n\r\t";
    static const char letter[] = "\"\\bfnrt";
    const char *at = c == 0 ? NULL : strchr(plain, c);

    out[0] = '\\';
    if (at != NULL) {
        out[1] = letter[at - plain];
        return 2;
    }
    out[1] = 'u';
    out[2] = '0';
    out[3] = '0';
    out[4] = hex[c >> 4];
    out[5] = hex[c & 15];
    return 6;
}

void
bytes_json(struct bytes *b, const char *text, size_t len)
{
    char *out = bytes_reserve(b, len * 6);

    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];

        if (c >= 0x20 && c != '"' && c != '\\')
            *out++ = (char)c;
        else
            out += json_escape(c, out);
    }
    b->len = (size_t)(out - b->data);
}

void
bytes_shift(struct bytes *b, size_t n)
{
    CHECK(n <= b->len);
    if (n < b->len)
        (void)memmove(b->data, b->data + n, b->len - n);
    b->len -= n;
}

void
bytes_free(struct bytes *b)
{
    free(b->data);
    *b = (struct bytes){0};
}

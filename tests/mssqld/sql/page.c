/* Text in the code page of a collation. */
#include <iconv.h>

#include "common/err.h"
#include "tests/mssqld/sql/collation.h"
#include "tests/mssqld/sql/utf.h"
#include "tests/mssqld/sql/value.h"

static const char *const PAGE_NAMES[] = {"CP1252", "CP1250", "CP1251", "CP1253", "CP1254",
                                         "CP1255", "CP1256", "CP1257", "CP1258", "CP874",
                                         "CP932",  "CP936",  "CP949",  "CP950",  "UTF-8"};
#define N_PAGE_NAMES 15

static bool
is_ascii(const char *s, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if ((unsigned char)s[i] >= 0x80)
            return false;
    return true;
}

size_t
page_size(int page, const char *text, size_t size)
{
    size_t n = 0;

    if (is_ascii(text, size))
        return size;
    for (size_t i = 0; i < size;) {
        int bytes = collation_char_size(page, utf_next(text, size, &i));

        n += bytes > 0 ? (size_t)bytes : 1U;
    }
    return n;
}

const char *
page_encode(int page, const char *text, size_t size, struct arena *a, size_t *out)
{
    char *in;
    char *buf;
    char *ip;
    char *op;
    size_t left = size;
    size_t room = size;
    iconv_t cd;

    *out = size;
    if (is_ascii(text, size) || page >= N_PAGE_NAMES - 1)
        return text;
    in = arena_dup(a, text, size);
    buf = arena_alloc(a, size);
    ip = in;
    op = buf;
    cd = iconv_open(PAGE_NAMES[page], "UTF-8");
    CHECK(cd != (iconv_t)-1);
    while (left > 0 && iconv(cd, &ip, &left, &op, &room) == (size_t)-1) {
        size_t skip = 0;
        uint32_t cp = utf_next(ip, left, &skip);

        ip += skip;
        left -= skip;
        *op++ = cp < 0xA0 && collation_char_size(page, cp) == 1 ? (char)cp : '?';
        room--;
    }
    (void)iconv_close(cd);
    *out = size - room;
    return buf;
}

const char *
page_decode(int page, const char *bytes, size_t size, struct arena *a, size_t *out)
{
    char *in;
    char *buf;
    char *ip;
    char *op;
    size_t left = size;
    size_t room = 3 * size;
    iconv_t cd;

    *out = size;
    if (is_ascii(bytes, size) || page >= N_PAGE_NAMES - 1)
        return bytes;
    in = arena_dup(a, bytes, size);
    buf = arena_alloc(a, room);
    ip = in;
    op = buf;
    cd = iconv_open("UTF-8", PAGE_NAMES[page]);
    CHECK(cd != (iconv_t)-1);
    while (left > 0 && iconv(cd, &ip, &left, &op, &room) == (size_t)-1) {
        /* Bytes without a character keep their number, as Windows does for 1252. */
        size_t n = utf_put(op, (unsigned char)*ip);

        op += n;
        room -= n;
        ip++;
        left--;
    }
    (void)iconv_close(cd);
    *out = 3 * size - room;
    return buf;
}

#include "tests/mssqld/sql/utf.h"

uint32_t
utf_next(const char *s, size_t size, size_t *i)
{
    const unsigned char *p = (const unsigned char *)s + *i;
    size_t left = size - *i;
    uint32_t c = p[0];
    size_t more = c < 0xC2 ? 0U : c < 0xE0 ? 1U : c < 0xF0 ? 2U : c < 0xF5 ? 3U : 0U;

    if (more == 0 || more >= left) {
        *i += 1;
        return c;
    }
    c &= 0x3FU >> more;
    for (size_t k = 1; k <= more; k++) {
        if ((p[k] & 0xC0) != 0x80) {
            *i += 1;
            return p[0];
        }
        c = c << 6 | (p[k] & 0x3FU);
    }
    *i += more + 1;
    return c;
}

size_t
utf_put(char *out, uint32_t cp)
{
    if (cp < 0x80) {
        out[0] = (char)cp;
        return 1;
    }
    if (cp < 0x800) {
        out[0] = (char)(0xC0 | cp >> 6);
        out[1] = (char)(0x80 | (cp & 0x3F));
        return 2;
    }
    if (cp < 0x10000) {
        out[0] = (char)(0xE0 | cp >> 12);
        out[1] = (char)(0x80 | (cp >> 6 & 0x3F));
        out[2] = (char)(0x80 | (cp & 0x3F));
        return 3;
    }
    out[0] = (char)(0xF0 | cp >> 18);
    out[1] = (char)(0x80 | (cp >> 12 & 0x3F));
    out[2] = (char)(0x80 | (cp >> 6 & 0x3F));
    out[3] = (char)(0x80 | (cp & 0x3F));
    return 4;
}

size_t
utf_units(const char *s, size_t size)
{
    size_t n = 0;

    for (size_t i = 0; i < size;) {
        if ((unsigned char)s[i] < 0x80) {
            i++;
            n++;
        } else {
            n += utf_next(s, size, &i) >= 0x10000 ? 2U : 1U;
        }
    }
    return n;
}

size_t
utf_substring(const char *s, size_t size, size_t start, size_t count, char *out)
{
    size_t unit = 0;
    size_t o = 0;
    size_t end = count > SIZE_MAX - start ? SIZE_MAX : start + count;

    for (size_t i = 0; i < size && unit < end;) {
        uint32_t cp = utf_next(s, size, &i);

        if (cp < 0x10000) {
            if (unit >= start)
                o += utf_put(out + o, cp);
            unit++;
            continue;
        }
        if (unit >= start && unit + 1 < end) {
            o += utf_put(out + o, cp);
        } else if (unit >= start) {
            o += utf_put(out + o, 0xD800 + ((cp - 0x10000) >> 10));
        } else if (unit + 1 >= start && unit + 1 < end) {
            o += utf_put(out + o, 0xDC00 + ((cp - 0x10000) & 0x3FF));
        }
        unit += 2;
    }
    return o;
}

static size_t
put_unit(char *out, uint32_t unit)
{
    out[0] = (char)(unit & 0xFF);
    out[1] = (char)(unit >> 8);
    return 2;
}

size_t
utf_to_utf16(const char *s, size_t size, char *out)
{
    size_t o = 0;

    for (size_t i = 0; i < size;) {
        uint32_t cp = utf_next(s, size, &i);

        if (cp < 0x10000) {
            o += put_unit(out + o, cp);
            continue;
        }
        o += put_unit(out + o, 0xD800 + ((cp - 0x10000) >> 10));
        o += put_unit(out + o, 0xDC00 + ((cp - 0x10000) & 0x3FF));
    }
    return o;
}

size_t
utf_from_utf16(const char *units, size_t size, char *out)
{
    const unsigned char *u = (const unsigned char *)units;
    size_t o = 0;

    for (size_t i = 0; i + 1 < size; i += 2) {
        uint32_t cp = (uint32_t)(u[i] | u[i + 1] << 8);

        if (cp >= 0xD800 && cp < 0xDC00 && i + 3 < size) {
            uint32_t low = (uint32_t)(u[i + 2] | u[i + 3] << 8);

            if (low >= 0xDC00 && low < 0xE000) {
                cp = 0x10000 + ((cp - 0xD800) << 10) + (low - 0xDC00);
                i += 2;
            }
        }
        o += utf_put(out + o, cp);
    }
    return o;
}

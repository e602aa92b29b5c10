#include "tests/mssqld/tds/text.h"

#include "tests/mssqld/tds/buf.h"
#include "tests/mssqld/tds/pool.h"

#include <errno.h>
#include <iconv.h>

#define REPLACEMENT 0xFFFDU

/* CP1252 differs from Latin-1 in 0x80..0x9F only; the five gaps keep their C1 control. */
static const uint16_t cp1252_high[32] = {
    0x20AC, 0x0081, 0x201A, 0x0192, 0x201E, 0x2026, 0x2020, 0x2021, 0x02C6, 0x2030, 0x0160,
    0x2039, 0x0152, 0x008D, 0x017D, 0x008F, 0x0090, 0x2018, 0x2019, 0x201C, 0x201D, 0x2022,
    0x2013, 0x2014, 0x02DC, 0x2122, 0x0161, 0x203A, 0x0153, 0x009D, 0x017E, 0x0178};

/* ---- code page of a collation ---- */

struct sort_range {
    uint8_t first;
    uint8_t last;
    uint16_t codepage;
};

/* SQL collations: the sort id names the code page. */
static const struct sort_range sort_ids[] = {
    {30, 35, 437},    {40, 49, 850},    {50, 54, 1252},   {55, 61, 850},    {71, 75, 1252},
    {80, 98, 1250},   {104, 108, 1251}, {112, 124, 1253}, {128, 130, 1254}, {136, 138, 1255},
    {144, 146, 1256}, {152, 160, 1257}, {183, 186, 1252}, {192, 193, 932},  {194, 195, 949},
    {196, 197, 950},  {198, 199, 936},  {200, 200, 932},  {201, 201, 949},  {202, 202, 950},
    {203, 203, 936},  {204, 206, 874},  {210, 217, 1252},
};

struct language {
    uint16_t lcid;
    uint16_t codepage;
};

/* Windows collations: the language names it.  Whatever is not here is western, 1252. */
static const struct language languages[] = {
    {0x0401, 1256}, {0x0402, 1251}, {0x0404, 950},  {0x0405, 1250}, {0x0408, 1253}, {0x040D, 1255},
    {0x040E, 1250}, {0x0411, 932},  {0x0412, 949},  {0x0415, 1250}, {0x0418, 1250}, {0x0419, 1251},
    {0x041A, 1250}, {0x041B, 1250}, {0x041C, 1250}, {0x041E, 874},  {0x041F, 1254}, {0x0420, 1256},
    {0x0422, 1251}, {0x0423, 1251}, {0x0424, 1250}, {0x0425, 1257}, {0x0426, 1257}, {0x0427, 1257},
    {0x0429, 1256}, {0x042A, 1258}, {0x042C, 1254}, {0x042F, 1251}, {0x043F, 1251}, {0x0443, 1254},
    {0x0444, 1251}, {0x0804, 936},  {0x0C04, 950},  {0x081A, 1250}, {0x0C1A, 1251}, {0x1004, 936},
    {0x1404, 950},
};

unsigned
text_codepage(const uint8_t collation[5])
{
    uint32_t word;
    uint8_t sort_id = collation[4];
    uint16_t lcid;

    memcpy(&word, collation, sizeof(word));
    if ((word & (1U << 26)) != 0)
        return TEXT_UTF8;
    if (sort_id != 0) {
        for (size_t i = 0; i < sizeof(sort_ids) / sizeof(sort_ids[0]); i++) {
            if (sort_id >= sort_ids[i].first && sort_id <= sort_ids[i].last)
                return sort_ids[i].codepage;
        }
    }
    lcid = (uint16_t)(word & 0xFFFFU);
    for (size_t i = 0; i < sizeof(languages) / sizeof(languages[0]); i++) {
        if (languages[i].lcid == lcid)
            return languages[i].codepage;
    }
    return TEXT_LATIN1;
}

/* ---- UTF-8 and UTF-16 ---- */

static inline bool
is_tail(uint8_t c)
{
    return (c & 0xC0U) == 0x80U;
}

/*
 * Decodes one code point of WTF-8 at p (at least one byte left); surrogates are let through.
 * Sets *used.  Malformed input gives U+FFFD and uses one byte.
 */
static uint32_t
decode_utf8(const uint8_t *p, const uint8_t *end, size_t *used)
{
    size_t left = (size_t)(end - p);
    uint32_t c = p[0];

    *used = 1;
    if (c < 0x80U)
        return c;
    if (c >= 0xC2U && c < 0xE0U && left >= 2 && is_tail(p[1])) {
        *used = 2;
        return (c & 0x1FU) << 6 | (p[1] & 0x3FU);
    }
    if (c >= 0xE0U && c < 0xF0U && left >= 3 && is_tail(p[1]) && is_tail(p[2])) {
        uint32_t v = (c & 0x0FU) << 12 | (p[1] & 0x3FU) << 6 | (p[2] & 0x3FU);

        if (v >= 0x800U) {
            *used = 3;
            return v;
        }
    }
    if (c >= 0xF0U && c < 0xF5U && left >= 4 && is_tail(p[1]) && is_tail(p[2]) && is_tail(p[3])) {
        uint32_t v =
            (c & 0x07U) << 18 | (p[1] & 0x3FU) << 12 | (p[2] & 0x3FU) << 6 | (p[3] & 0x3FU);

        if (v >= 0x10000U && v < 0x110000U) {
            *used = 4;
            return v;
        }
    }
    return REPLACEMENT;
}

static inline uint8_t *
put_unit(uint8_t *out, uint32_t unit)
{
    uint16_t u = (uint16_t)unit;

    memcpy(out, &u, sizeof(u));
    return out + sizeof(u);
}

void
text_put_utf16(struct buf *b, const char *text, size_t size)
{
    const uint8_t *p = (const uint8_t *)text;
    const uint8_t *end = p + size;
    /* A byte of UTF-8 never gives more than one unit. */
    uint8_t *out = size > SIZE_MAX / 2 ? NULL : buf_room(b, size * 2);
    uint8_t *start = out;

    if (out == NULL)
        return;
    while (p < end) {
        size_t used;
        uint32_t c;

        if (*p < 0x80U) {
            out = put_unit(out, *p++);
            continue;
        }
        c = decode_utf8(p, end, &used);
        p += used;
        if (c >= 0x10000U) {
            out = put_unit(out, 0xD800U + ((c - 0x10000U) >> 10));
            c = 0xDC00U + ((c - 0x10000U) & 0x3FFU);
        }
        out = put_unit(out, c);
    }
    b->size += (size_t)(out - start);
}

size_t
text_put_utf16_max(struct buf *b, const char *text, size_t max_units)
{
    size_t before = b->size;

    text_put_utf16(b, text, strlen(text));
    if (b->failed)
        return 0;
    if (b->size - before > max_units * 2)
        b->size = before + max_units * 2;
    return (b->size - before) / 2;
}

static uint8_t *
put_code_point(uint8_t *out, uint32_t c)
{
    if (c < 0x80U) {
        *out++ = (uint8_t)c;
    } else if (c < 0x800U) {
        *out++ = (uint8_t)(0xC0U | c >> 6);
        *out++ = (uint8_t)(0x80U | (c & 0x3FU));
    } else if (c < 0x10000U) {
        *out++ = (uint8_t)(0xE0U | c >> 12);
        *out++ = (uint8_t)(0x80U | (c >> 6 & 0x3FU));
        *out++ = (uint8_t)(0x80U | (c & 0x3FU));
    } else {
        *out++ = (uint8_t)(0xF0U | c >> 18);
        *out++ = (uint8_t)(0x80U | (c >> 12 & 0x3FU));
        *out++ = (uint8_t)(0x80U | (c >> 6 & 0x3FU));
        *out++ = (uint8_t)(0x80U | (c & 0x3FU));
    }
    return out;
}

static inline uint32_t
unit_at(const uint8_t *utf16, size_t i)
{
    uint16_t u;

    memcpy(&u, utf16 + i * 2, sizeof(u));
    return u;
}

void
text_put_utf8(struct buf *b, const uint8_t *utf16, size_t size)
{
    size_t units = size / 2;
    /* A unit gives at most three bytes, a pair four. */
    uint8_t *out = units > SIZE_MAX / 3 ? NULL : buf_room(b, units * 3);
    uint8_t *start = out;

    if (out == NULL)
        return;
    for (size_t i = 0; i < units; i++) {
        uint32_t c = unit_at(utf16, i);

        if (c >= 0xD800U && c < 0xDC00U && i + 1 < units) {
            uint32_t low = unit_at(utf16, i + 1);

            if (low >= 0xDC00U && low < 0xE000U) {
                c = 0x10000U + ((c - 0xD800U) << 10) + (low - 0xDC00U);
                i++;
            }
        }
        out = put_code_point(out, c);
    }
    b->size += (size_t)(out - start);
}

char *
text_from_utf16(struct pool *a, const uint8_t *utf16, size_t size)
{
    char *text = size / 2 > SIZE_MAX / 3 - 1 ? NULL : pool_alloc(a, size / 2 * 3 + 1);
    struct buf b = {.data = (uint8_t *)text, .cap = size / 2 * 3 + 1};

    /* The room is the worst case, so the buffer never grows out of the pool. */
    if (text != NULL)
        text_put_utf8(&b, utf16, size);
    return text;
}

/* ---- code pages ---- */

static int
cp1252_byte(uint32_t c)
{
    if (c < 0x80U || (c >= 0xA0U && c < 0x100U))
        return (int)c;
    for (int i = 0; i < 32; i++) {
        if (cp1252_high[i] == c)
            return 0x80 + i;
    }
    return '?';
}

static void
put_cp1252(struct buf *b, const char *text, size_t size)
{
    const uint8_t *p = (const uint8_t *)text;
    const uint8_t *end = p + size;
    uint8_t *out = buf_room(b, size);
    uint8_t *start = out;

    if (out == NULL)
        return;
    while (p < end) {
        size_t used = 1;

        *out++ = *p < 0x80U ? *p : (uint8_t)cp1252_byte(decode_utf8(p, end, &used));
        p += used;
    }
    b->size += (size_t)(out - start);
}

static void
from_cp1252(struct buf *b, const uint8_t *data, size_t size)
{
    uint8_t *out = size > SIZE_MAX / 3 ? NULL : buf_room(b, size * 3);
    uint8_t *start = out;

    if (out == NULL)
        return;
    for (size_t i = 0; i < size; i++) {
        bool special = data[i] >= 0x80U && data[i] < 0xA0U;

        out = put_code_point(out, special ? cp1252_high[data[i] - 0x80U] : data[i]);
    }
    b->size += (size_t)(out - start);
}

/* UTF-8 goes out as it is, but a lone surrogate has no UTF-8: U+FFFD has the same length. */
static void
put_strict_utf8(struct buf *b, const char *text, size_t size)
{
    size_t at = b->size;

    buf_put(b, text, size);
    if (b->failed)
        return;
    for (size_t i = at; i + 2 < b->size; i++) {
        if (b->data[i] == 0xEDU && b->data[i + 1] >= 0xA0U) {
            b->data[i] = 0xEFU;
            b->data[i + 1] = 0xBFU;
            b->data[i + 2] = 0xBDU;
        }
    }
}

/* Finds or opens the handles of a code page; NULL when the C library does not know it. */
static iconv_t
codec_handle(struct text_codec *codec, unsigned codepage, bool to)
{
    char name[16];
    int i = 0;

    while (i < codec->n && codec->open[i].codepage != codepage)
        i++;
    if (i == codec->n) {
        if (i == TEXT_CODEPAGES)
            return (iconv_t)-1;
        (void)snprintf(name, sizeof(name), "CP%u", codepage);
        codec->open[i].codepage = codepage;
        codec->open[i].to = iconv_open(name, "UTF-8");
        codec->open[i].from = iconv_open("UTF-8", name);
        codec->n++;
    }
    return to ? codec->open[i].to : codec->open[i].from;
}

/* Converts all of data, putting `bad` for each unit that has no counterpart. */
static void
convert(iconv_t cd, bool from_utf8, struct buf *b, const uint8_t *data, size_t size,
        const char *bad)
{
    char *in = NULL;
    size_t left = size;
    union {
        const uint8_t *in;
        char *out;
    } input = {.in = data}; /* iconv takes char ** but does not write through it */

    in = input.out;
    (void)iconv(cd, NULL, NULL, NULL, NULL);
    while (left > 0) {
        size_t room = left * 3 + 16;
        char *out = (char *)buf_room(b, room);
        char *start = out;
        size_t r;

        if (out == NULL)
            return;
        r = iconv(cd, &in, &left, &out, &room);
        b->size += (size_t)(out - start);
        if (r == (size_t)-1 && errno != E2BIG) {
            size_t used = 1;

            if (from_utf8)
                (void)decode_utf8((const uint8_t *)in, (const uint8_t *)in + left, &used);
            in += used;
            left -= used;
            buf_put(b, bad, strlen(bad));
        }
    }
}

void
text_put_codepage(struct text_codec *codec, unsigned codepage, struct buf *b, const char *text,
                  size_t size)
{
    iconv_t cd;

    if (codepage == TEXT_LATIN1) {
        put_cp1252(b, text, size);
    } else if (codepage == TEXT_UTF8) {
        put_strict_utf8(b, text, size);
    } else {
        cd = codec_handle(codec, codepage, true);
        if (cd == (iconv_t)-1)
            put_cp1252(b, text, size);
        else
            convert(cd, true, b, (const uint8_t *)text, size, "?");
    }
}

void
text_from_codepage(struct text_codec *codec, unsigned codepage, struct buf *b, const uint8_t *data,
                   size_t size)
{
    iconv_t cd;

    if (codepage == TEXT_LATIN1) {
        from_cp1252(b, data, size);
    } else if (codepage == TEXT_UTF8) {
        buf_put(b, data, size);
    } else {
        cd = codec_handle(codec, codepage, false);
        if (cd == (iconv_t)-1)
            from_cp1252(b, data, size);
        else
            convert(cd, false, b, data, size, "\xEF\xBF\xBD");
    }
}

void
text_codec_close(struct text_codec *codec)
{
    for (int i = 0; i < codec->n; i++) {
        if (codec->open[i].to != (void *)-1)
            (void)iconv_close(codec->open[i].to);
        if (codec->open[i].from != (void *)-1)
            (void)iconv_close(codec->open[i].from);
    }
    codec->n = 0;
}

/*
 * tds_vectors - the recorded answers of tests/vectors/tds: loading them and walking their bytes.
 *
 * The walker is written from [MS-TDS] for this purpose and shares nothing with the server: it
 * finds where type infos and values begin and end.  Tests run from the repository root.
 */
#ifndef TDS_VECTORS_H
#define TDS_VECTORS_H

#include <check.h>
#include <jansson.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct bytes {
    uint8_t *data;
    size_t size;
};

static inline json_t *
vector_load(const char *name)
{
    char path[256];
    json_error_t error;
    json_t *json;

    (void)snprintf(path, sizeof(path), "tests/vectors/tds/%s.json", name);
    json = json_load_file(path, 0, &error);
    ck_assert_msg(json != NULL, "%s: %s", path, error.text);
    return json;
}

static inline struct bytes
vector_unhex(const char *hex)
{
    struct bytes b = {.size = strlen(hex) / 2};

    b.data = calloc(b.size + 8, 1);
    ck_assert_ptr_nonnull(b.data);
    for (size_t i = 0; i < b.size; i++) {
        char digits[3] = {hex[2 * i], hex[2 * i + 1], '\0'};
        char *end;

        b.data[i] = (uint8_t)strtoul(digits, &end, 16);
        ck_assert_ptr_eq(end, digits + 2);
    }
    return b;
}

/* Takes the packet headers out; all packets have one type. */
static inline struct bytes
vector_payload(const char *hex)
{
    struct bytes message = vector_unhex(hex);
    struct bytes out = {.data = calloc(message.size + 8, 1)};
    size_t at = 0;

    ck_assert_ptr_nonnull(out.data);
    while (at < message.size) {
        size_t length = (size_t)message.data[at + 2] << 8 | message.data[at + 3];

        ck_assert_uint_ge(length, 8);
        ck_assert_uint_le(at + length, message.size);
        memcpy(out.data + out.size, message.data + at + 8, length - 8);
        out.size += length - 8;
        at += length;
    }
    free(message.data);
    return out;
}

/* ---- walking ---- */

struct walk {
    const uint8_t *at;
    const uint8_t *end;
};

struct walk_column {
    uint8_t token;
    uint32_t max; /* declared size; scale of the time types */
    uint8_t precision;
    uint8_t scale;
    uint8_t collation[5];
    const uint8_t *info; /* TYPE_INFO */
    size_t info_size;
};

static inline const uint8_t *
walk_take(struct walk *w, size_t n)
{
    const uint8_t *p = w->at;

    ck_assert_uint_le(n, (size_t)(w->end - w->at));
    w->at += n;
    return p;
}

static inline uint64_t
walk_int(struct walk *w, size_t n)
{
    uint64_t v = 0;

    memcpy(&v, walk_take(w, n), n);
    return v;
}

static inline void
walk_type(struct walk *w, struct walk_column *c)
{
    *c = (struct walk_column){.info = w->at};
    c->token = (uint8_t)walk_int(w, 1);
    switch (c->token) {
    case 0x26: /* INTN, BITN, FLTN, MONEYN, DATETIMN, GUID */
    case 0x68:
    case 0x6D:
    case 0x6E:
    case 0x6F:
    case 0x24:
        c->max = (uint32_t)walk_int(w, 1);
        break;
    case 0x6A: /* DECIMALN, NUMERICN */
    case 0x6C:
        c->max = (uint32_t)walk_int(w, 1);
        c->precision = (uint8_t)walk_int(w, 1);
        c->scale = (uint8_t)walk_int(w, 1);
        break;
    case 0x28: /* DATE; INT4 of a column that cannot be NULL */
    case 0x38:
        break;
    case 0x29: /* TIME, DATETIME2, DATETIMEOFFSET */
    case 0x2A:
    case 0x2B:
        c->scale = (uint8_t)walk_int(w, 1);
        break;
    case 0xA5: /* VARBINARY, BINARY */
    case 0xAD:
        c->max = (uint32_t)walk_int(w, 2);
        break;
    case 0xA7: /* VARCHAR, CHAR, NVARCHAR, NCHAR */
    case 0xAF:
    case 0xE7:
    case 0xEF:
        c->max = (uint32_t)walk_int(w, 2);
        memcpy(c->collation, walk_take(w, 5), 5);
        break;
    case 0x23: /* TEXT, NTEXT */
    case 0x63:
        c->max = (uint32_t)walk_int(w, 4);
        memcpy(c->collation, walk_take(w, 5), 5);
        break;
    case 0x22: /* IMAGE, SQL_VARIANT */
    case 0x62:
        c->max = (uint32_t)walk_int(w, 4);
        break;
    case 0xF1: /* XML */
        ck_assert_uint_eq(walk_int(w, 1), 0);
        break;
    default:
        ck_abort_msg("type token 0x%02X", c->token);
    }
    c->info_size = (size_t)(w->at - c->info);
}

/* COLMETADATA behind its token; returns the number of columns. */
static inline int
walk_columns(struct walk *w, struct walk_column *columns, int room)
{
    int n = (int)walk_int(w, 2);

    ck_assert_int_le(n, room);
    for (int i = 0; i < n; i++) {
        (void)walk_take(w, 6); /* user type, flags */
        walk_type(w, &columns[i]);
        if (columns[i].token == 0x23 || columns[i].token == 0x63 || columns[i].token == 0x22) {
            for (size_t parts = walk_int(w, 1); parts > 0; parts--)
                (void)walk_take(w, walk_int(w, 2) * 2);
        }
        (void)walk_take(w, walk_int(w, 1) * 2);
    }
    return n;
}

/* One value in ROW form; returns its bytes, counts included. */
static inline struct bytes
walk_value(struct walk *w, const struct walk_column *c)
{
    const uint8_t *start = w->at;
    struct bytes out;
    uint64_t n;

    switch (c->token) {
    case 0x22:
    case 0x23:
    case 0x63:
        if (walk_int(w, 1) == 0)
            break;
        (void)walk_take(w, 16 + 8);
        (void)walk_take(w, walk_int(w, 4));
        break;
    case 0x62:
        (void)walk_take(w, walk_int(w, 4));
        break;
    case 0x38:
        (void)walk_take(w, 4);
        break;
    case 0xA5:
    case 0xA7:
    case 0xAD:
    case 0xAF:
    case 0xE7:
    case 0xEF:
        if (c->max != 0xFFFF) {
            n = walk_int(w, 2);
            if (n != 0xFFFF)
                (void)walk_take(w, n);
            break;
        }
        /* fall through */
    case 0xF1:
        if (walk_int(w, 8) == UINT64_MAX)
            break;
        while ((n = walk_int(w, 4)) != 0)
            (void)walk_take(w, n);
        break;
    default:
        (void)walk_take(w, walk_int(w, 1));
    }
    out.data = malloc((size_t)(w->at - start) + 1);
    out.size = (size_t)(w->at - start);
    ck_assert_ptr_nonnull(out.data);
    ck_assert_ptr_nonnull(start);
    memcpy(out.data, start, out.size);
    return out;
}

#endif

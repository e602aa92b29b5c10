#include "tests/mssqld/tds/hostile.h"

#include "common/err.h"
#include "tests/mssqld/tds/buf.h"
#include "tests/mssqld/tds/link.h"
#include "tests/mssqld/tds/packet.h"
#include "tests/mssqld/tds/proto.h"

#include <string.h>

#define ENDLESS_BYTES (256U << 20) /* of an answer that has no end: enough to be noticed */

static const uint8_t collation[5] = {0x09, 0x04, 0xD0, 0x00, 0x34};

/* ---- pieces ---- */

static void
put_columns(struct buf *b, uint16_t n)
{
    buf_u8(b, TOKEN_COLMETADATA);
    buf_u16(b, n);
}

/* User type and flags, in front of a column's type. */
static void
put_column(struct buf *b, unsigned type)
{
    buf_u32(b, 0);
    buf_u16(b, COLUMN_NULLABLE | COLUMN_UPDATABLE);
    buf_u8(b, type);
}

static void
put_name(struct buf *b)
{
    buf_u8(b, 1);
    buf_u16(b, 'c');
}

static void
put_sized_column(struct buf *b, unsigned type, unsigned size)
{
    put_column(b, type);
    buf_u8(b, size);
    put_name(b);
}

static void
put_text_column(struct buf *b, unsigned type, uint16_t size)
{
    put_column(b, type);
    buf_u16(b, size);
    if (type == TYPE_NVARCHAR || type == TYPE_BIGVARCHAR)
        buf_put(b, collation, sizeof(collation));
    put_name(b);
}

static void
put_done(struct buf *b)
{
    buf_u8(b, TOKEN_DONE);
    buf_u16(b, 0x10);
    buf_u16(b, 0xC1);
    buf_u64(b, 1);
}

static void
put_junk(struct buf *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        buf_u8(b, 0xD1);
}

/* ---- the kinds ---- */

/* 65534 columns are promised; two come. */
static void
columns_missing(struct buf *b)
{
    put_columns(b, 0xFFFE);
    put_sized_column(b, TYPE_INTN, 4);
    put_sized_column(b, TYPE_INTN, 4);
}

/* 65534 columns come, and a row that ends after the first. */
static void
columns_many(struct buf *b)
{
    put_columns(b, 0xFFFE);
    for (unsigned i = 0; i < 0xFFFE; i++)
        put_sized_column(b, TYPE_INTN, 4);
    buf_u8(b, TOKEN_ROW);
    buf_u8(b, 0);
}

/* The description of a column ends inside its name. */
static void
columns_cut(struct buf *b)
{
    put_columns(b, 1);
    put_column(b, TYPE_INTN);
    buf_u8(b, 4);
    buf_u8(b, 200);
    buf_u16(b, 'c');
}

static void
type_unknown(struct buf *b)
{
    put_columns(b, 1);
    put_sized_column(b, 0x99, 4);
    buf_u8(b, TOKEN_ROW);
    put_junk(b, 16);
}

/* A text of 65,520 bytes in a column of 20, in an answer of 50. */
static void
row_beyond(struct buf *b)
{
    put_columns(b, 1);
    put_text_column(b, TYPE_NVARCHAR, 20);
    buf_u8(b, TOKEN_ROW);
    buf_u16(b, 0xFFF0);
    put_junk(b, 20);
}

/* The same, and the bytes are there. */
static void
row_wide(struct buf *b)
{
    put_columns(b, 1);
    put_text_column(b, TYPE_BIGVARBIN, 20);
    buf_u8(b, TOKEN_ROW);
    buf_u16(b, 0xFFF0);
    put_junk(b, 0xFFF0);
    put_done(b);
}

static void
int_wide(struct buf *b)
{
    put_columns(b, 1);
    put_sized_column(b, TYPE_INTN, 4);
    buf_u8(b, TOKEN_ROW);
    buf_u8(b, 200);
    put_junk(b, 200);
    put_done(b);
}

static void
decimal_wide(struct buf *b)
{
    put_columns(b, 1);
    put_column(b, TYPE_DECIMALN);
    buf_u8(b, 255);
    buf_u8(b, 255); /* precision */
    buf_u8(b, 255); /* scale */
    put_name(b);
    buf_u8(b, TOKEN_ROW);
    buf_u8(b, 255);
    put_junk(b, 255);
    put_done(b);
}

static void
datetime_wide(struct buf *b)
{
    put_columns(b, 1);
    put_sized_column(b, TYPE_DATETIME2, 200); /* scale */
    buf_u8(b, TOKEN_ROW);
    buf_u8(b, 200);
    put_junk(b, 200);
    put_done(b);
}

static void
put_plp(struct buf *b, uint64_t total, uint32_t chunk, size_t bytes)
{
    put_columns(b, 1);
    put_text_column(b, TYPE_BIGVARBIN, TDS_LENGTH_MAX);
    buf_u8(b, TOKEN_ROW);
    buf_u64(b, total);
    buf_u32(b, chunk);
    put_junk(b, bytes);
}

/* 4 EiB are announced. */
static void
plp_total(struct buf *b)
{
    put_plp(b, UINT64_C(1) << 62, 16, 16);
    buf_u32(b, 0);
    put_done(b);
}

/* 8 GiB are announced, which an allocator may well give. */
static void
plp_large(struct buf *b)
{
    put_plp(b, UINT64_C(8) << 30, 16, 16);
    buf_u32(b, 0);
    put_done(b);
}

/* A chunk of 4 GiB, of which 16 bytes come. */
static void
plp_chunk(struct buf *b)
{
    put_plp(b, TDS_PLP_UNKNOWN, 0xFFFFFFF0U, 16);
}

/* 8 bytes are announced, 64 KiB come. */
static void
plp_lies(struct buf *b)
{
    put_plp(b, 8, 65536, 65536);
    buf_u32(b, 0);
    put_done(b);
}

/* Nine columns, and the bitmap of one. */
static void
nbcrow_short(struct buf *b)
{
    put_columns(b, 9);
    for (unsigned i = 0; i < 9; i++)
        put_sized_column(b, TYPE_INTN, 4);
    buf_u8(b, TOKEN_NBCROW);
    buf_u8(b, 0xFF);
}

/* A row without a description. */
static void
row_first(struct buf *b)
{
    buf_u8(b, TOKEN_ROW);
    put_junk(b, 64);
    put_done(b);
}

static void
token_unknown(struct buf *b)
{
    buf_u8(b, 0x05);
    buf_u16(b, 0xFFFF);
    put_junk(b, 64);
}

/* An ERROR whose text is longer than the token, and the token longer than the answer. */
static void
error_long(struct buf *b)
{
    buf_u8(b, TOKEN_ERROR);
    buf_u16(b, 0xFFFF);
    buf_u32(b, 50000);
    buf_u8(b, 1);
    buf_u8(b, 16);
    buf_u16(b, 0xFFFF);
    put_junk(b, 40);
}

static void
envchange_long(struct buf *b)
{
    buf_u8(b, TOKEN_ENVCHANGE);
    buf_u16(b, 3);
    buf_u8(b, ENV_DATABASE);
    buf_u8(b, 255);
    put_junk(b, 40);
    put_done(b);
}

/* A packet size of nothing and one of too much, which the client shall now use. */
static void
envchange_size(struct buf *b)
{
    static const char *const sizes[] = {"0", "-1", "4294967295", "99999999999999999999"};

    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        size_t n = strlen(sizes[i]);

        buf_u8(b, TOKEN_ENVCHANGE);
        buf_u16(b, (uint16_t)(3 + 2 * n));
        buf_u8(b, ENV_PACKET_SIZE);
        buf_u8(b, (unsigned)n);
        for (size_t k = 0; k < n; k++)
            buf_u16(b, (uint16_t)sizes[i][k]);
        buf_u8(b, 0);
    }
    put_done(b);
}

/* Nothing at all: a message without a token. */
static void
empty(struct buf *b)
{
    (void)b;
}

static const struct {
    const char *name;
    void (*make)(struct buf *b);
} kinds[] = {
    {"columns-missing", columns_missing},
    {"columns-many", columns_many},
    {"columns-cut", columns_cut},
    {"type-unknown", type_unknown},
    {"row-beyond", row_beyond},
    {"row-wide", row_wide},
    {"row-first", row_first},
    {"int-wide", int_wide},
    {"decimal-wide", decimal_wide},
    {"datetime-wide", datetime_wide},
    {"plp-total", plp_total},
    {"plp-chunk", plp_chunk},
    {"plp-large", plp_large},
    {"plp-lies", plp_lies},
    {"nbcrow-short", nbcrow_short},
    {"token-unknown", token_unknown},
    {"error-long", error_long},
    {"envchange-long", envchange_long},
    {"envchange-size", envchange_size},
    {"empty", empty},
};

/* Those that are no single message: sent by functions of their own below. */
#define ENVCHANGE_ENDLESS "envchange-endless"
#define PACKET_SHORT      "packet-short"

bool
hostile_is_known(const char *kind)
{
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if (strcmp(kinds[i].name, kind) == 0)
            return true;
    return strcmp(kind, ENVCHANGE_ENDLESS) == 0 || strcmp(kind, PACKET_SHORT) == 0;
}

static int
send_endless(struct packet_out *out, struct err *e)
{
    struct buf b = {.data = NULL};
    int rc = 0;

    for (unsigned i = 0; i < 1000; i++) {
        buf_u8(&b, TOKEN_ENVCHANGE);
        buf_u16(&b, 5);
        buf_u8(&b, ENV_LANGUAGE);
        buf_u8(&b, 1);
        buf_u16(&b, 'x');
        buf_u8(&b, 0);
    }
    packet_begin(out, TDS_ANSWER);
    for (size_t sent = 0; rc == 0 && sent < ENDLESS_BYTES; sent += b.size)
        rc = packet_write(out, b.data, b.size, e);
    buf_free(&b);
    return rc == 0 ? packet_finish(out, e) : -1;
}

/* Packets whose headers claim less than a header, and more than comes. */
static int
send_short_packet(struct packet_out *out, struct err *e)
{
    static const uint8_t packets[] = {TDS_ANSWER, 0,    0,    3, 0, 0, 1, 0,   TDS_ANSWER,
                                      1,          0xFF, 0xFF, 0, 0, 2, 0, 0xFD};

    if (link_send(out->link, packets, sizeof(packets), e) != 0)
        return -1;
    return err_set(e, ERR_CONNECT, "ended after packets of a wrong length, as told");
}

int
hostile_send(const char *kind, struct packet_out *out, struct err *e)
{
    struct buf b = {.data = NULL};
    int rc;

    if (strcmp(kind, ENVCHANGE_ENDLESS) == 0)
        return send_endless(out, e);
    if (strcmp(kind, PACKET_SHORT) == 0)
        return send_short_packet(out, e);
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if (strcmp(kinds[i].name, kind) == 0)
            kinds[i].make(&b);
    packet_begin(out, TDS_ANSWER);
    rc = packet_write(out, b.data, b.size, e) == 0 ? packet_finish(out, e) : -1;
    buf_free(&b);
    return rc;
}

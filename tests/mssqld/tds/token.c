#include "tests/mssqld/tds/token.h"

#include "tests/mssqld/tds/buf.h"
#include "tests/mssqld/tds/proto.h"
#include "tests/mssqld/tds/text.h"

#define FEATURE_UTF8 0x0AU
#define FEATURE_END  0xFFU

/* A message text that keeps the token within its u16 length, names included. */
#define MESSAGE_UNITS_MAX 8000U

static size_t
open_length(struct buf *b, uint8_t token)
{
    buf_u8(b, token);
    buf_u16(b, 0);
    return b->size;
}

static void
close_length(struct buf *b, size_t at)
{
    if (!b->failed)
        buf_patch_u16(b, at - 2, (uint16_t)(b->size - at));
}

static void
put_text_u8(struct buf *b, const char *text)
{
    size_t at = b->size;
    size_t units;

    buf_u8(b, 0);
    units = text_put_utf16_max(b, text, UINT8_MAX);
    if (!b->failed)
        b->data[at] = (uint8_t)units;
}

void
token_env_text(struct buf *b, uint8_t type, const char *now, const char *before)
{
    size_t at = open_length(b, TOKEN_ENVCHANGE);

    buf_u8(b, type);
    put_text_u8(b, now);
    put_text_u8(b, before);
    close_length(b, at);
}

void
token_env_bytes(struct buf *b, uint8_t type, const void *now, size_t now_size, const void *before,
                size_t before_size)
{
    size_t at = open_length(b, TOKEN_ENVCHANGE);

    buf_u8(b, type);
    buf_u8(b, (uint8_t)now_size);
    buf_put(b, now, now_size);
    buf_u8(b, (uint8_t)before_size);
    buf_put(b, before, before_size);
    close_length(b, at);
}

void
token_env_routing(struct buf *b, const char *host, uint16_t port)
{
    size_t n = strlen(host);

    buf_u8(b, TOKEN_ENVCHANGE);
    buf_u16(b, (uint16_t)(1 + 2 + 5 + 2 * n + 2));
    buf_u8(b, ENV_ROUTING);
    buf_u16(b, (uint16_t)(5 + 2 * n));
    buf_u8(b, 0); /* TCP */
    buf_u16(b, port);
    buf_u16(b, (uint16_t)n);
    for (size_t i = 0; i < n; i++)
        buf_u16(b, (uint8_t)host[i]);
    buf_u16(b, 0); /* no old value */
}

void
token_sspi(struct buf *b, const void *token, size_t size)
{
    buf_u8(b, TOKEN_SSPI);
    buf_u16(b, (uint16_t)size);
    buf_put(b, token, size);
}

void
token_message(struct buf *b, const struct token_message *m)
{
    size_t at = open_length(b, m->severity > 10 ? TOKEN_ERROR : TOKEN_INFO);
    size_t text_at;

    buf_u32(b, (uint32_t)m->number);
    buf_u8(b, m->state);
    buf_u8(b, m->severity);
    text_at = b->size;
    buf_u16(b, 0);
    buf_patch_u16(b, text_at, (uint16_t)text_put_utf16_max(b, m->text, MESSAGE_UNITS_MAX));
    put_text_u8(b, m->server);
    put_text_u8(b, m->procedure);
    buf_u32(b, (uint32_t)m->line);
    close_length(b, at);
}

void
token_loginack(struct buf *b, uint32_t version)
{
    size_t at = open_length(b, TOKEN_LOGINACK);

    buf_u8(b, 1); /* interface: T-SQL */
    buf_u32(b, __builtin_bswap32(version));
    put_text_u8(b, TDS_PRODUCT_NAME);
    buf_u8(b, TDS_PRODUCT_MAJOR);
    buf_u8(b, TDS_PRODUCT_MINOR);
    buf_u8(b, TDS_PRODUCT_BUILD >> 8);
    buf_u8(b, TDS_PRODUCT_BUILD & 0xFFU);
    close_length(b, at);
}

void
token_feature_ack(struct buf *b)
{
    buf_u8(b, TOKEN_FEATUREEXTACK);
    buf_u8(b, FEATURE_UTF8);
    buf_u32(b, 1);
    buf_u8(b, 1);
    buf_u8(b, FEATURE_END);
}

void
token_done(struct buf *b, uint8_t token, uint16_t status, uint16_t command, uint64_t rows)
{
    buf_u8(b, token);
    buf_u16(b, status);
    buf_u16(b, command);
    buf_u64(b, rows);
}

void
token_return_status(struct buf *b, int32_t status)
{
    buf_u8(b, TOKEN_RETURN_STATUS);
    buf_u32(b, (uint32_t)status);
}

#include "tests/mssqld/tds/login.h"

#include "common/err.h"
#include "tests/mssqld/tds/pool.h"
#include "tests/mssqld/tds/reader.h"
#include "tests/mssqld/tds/text.h"

#define FIXED_SIZE 94U
#define TEXT_MAX   4096U /* characters; SQL Server stops at 128 for names, we only need a bound */

#define FLAGS2_INTEGRATED     0x80U
#define TYPE_READ_ONLY_INTENT 0x20U
#define FLAGS3_EXTENSION      0x10U
#define FEATURE_UTF8          0x0AU
#define FEATURE_END           0xFFU

struct record {
    const uint8_t *data;
    size_t size;
    struct pool *pool;
    struct err *e;
};

/* Reads an offset and a length in characters at r; gives the text they point to. */
static const char *
read_text(const struct record *record, struct reader *r, const char *what, bool is_password)
{
    size_t offset = reader_u16(r);
    size_t length = reader_u16(r);
    const uint8_t *from;
    uint8_t *plain;

    if (length == 0)
        return "";
    if (length > TEXT_MAX || offset + length * 2 > record->size) {
        (void)err_set(record->e, ERR_PROTOCOL,
                      "LOGIN7: %s at %zu with %zu characters lies outside of the %zu bytes of the "
                      "record",
                      what, offset, length, record->size);
        return NULL;
    }
    from = record->data + offset;
    plain = pool_alloc(record->pool, length * 2);
    if (plain == NULL) {
        (void)err_set(record->e, ERR_NOMEM, "no memory for a login");
        return NULL;
    }
    for (size_t i = 0; i < length * 2; i++) {
        uint8_t c = from[i];

        if (is_password) {
            c ^= 0xA5U;
            c = (uint8_t)(c >> 4 | c << 4);
        }
        plain[i] = c;
    }
    return text_from_utf16(record->pool, plain, length * 2);
}

/* The first token of an integrated login: 16 bits of length, or 32 behind everything else. */
static int
read_sspi(const struct record *record, struct reader *r, struct login *out)
{
    size_t offset;
    size_t length;
    uint32_t long_length;
    uint8_t *copy;

    (void)reader_take(r, 6); /* client id */
    offset = reader_u16(r);
    length = reader_u16(r);
    (void)reader_take(r, 8); /* attached file, new password */
    long_length = reader_u32(r);
    if (length == 0xFFFF && long_length != 0)
        length = long_length;
    if (offset + length > record->size)
        return err_set(record->e, ERR_PROTOCOL,
                       "LOGIN7: SSPI token at %zu with %zu bytes lies outside of the %zu bytes of "
                       "the record",
                       offset, length, record->size);
    copy = pool_alloc(record->pool, length + 1);
    if (copy == NULL)
        return err_set(record->e, ERR_NOMEM, "no memory for a login");
    memcpy(copy, record->data + offset, length);
    out->sspi = copy;
    out->sspi_size = length;
    return 0;
}

/* Walks the feature list; offset points to the u32 that points to it. */
static int
read_features(const struct record *record, size_t offset, size_t length, struct login *out)
{
    struct reader r;
    uint32_t list;

    if (length < 4 || offset + length > record->size)
        return err_set(record->e, ERR_PROTOCOL,
                       "LOGIN7: extension at %zu with %zu bytes lies outside of the record", offset,
                       length);
    r = reader_of(record->data + offset, 4);
    list = reader_u32(&r);
    if (list >= record->size)
        return err_set(record->e, ERR_PROTOCOL,
                       "LOGIN7: feature list at %u lies outside of the record of %zu bytes", list,
                       record->size);
    r = reader_of(record->data + list, record->size - list);
    for (;;) {
        uint8_t id = reader_u8(&r);

        if (!r.bad && id == FEATURE_END)
            return 0;
        (void)reader_take(&r, reader_u32(&r));
        if (r.bad)
            return err_set(record->e, ERR_PROTOCOL, "LOGIN7: the feature list has no end");
        if (id == FEATURE_UTF8)
            out->asks_utf8 = true;
    }
}

static int
read_variable_part(const struct record *record, struct reader *r, bool has_extension,
                   struct login *out)
{
    size_t extension;
    size_t extension_size;

    out->host = read_text(record, r, "host name", false);
    out->user = read_text(record, r, "user name", false);
    out->password = read_text(record, r, "password", true);
    out->application = read_text(record, r, "application", false);
    out->server = read_text(record, r, "server name", false);
    extension = reader_u16(r);
    extension_size = reader_u16(r);
    (void)reader_u32(r); /* client library */
    out->language = read_text(record, r, "language", false);
    out->database = read_text(record, r, "database", false);
    if (out->host == NULL || out->user == NULL || out->password == NULL ||
        out->application == NULL || out->server == NULL || out->language == NULL ||
        out->database == NULL || read_sspi(record, r, out) != 0)
        return -1;
    if (has_extension)
        return read_features(record, extension, extension_size, out);
    return 0;
}

int
login_parse(const void *data, size_t size, struct pool *pool, struct login *out, struct err *e)
{
    struct record record = {.data = data, .size = size, .pool = pool, .e = e};
    struct reader r = reader_of(data, size);
    uint32_t length;
    uint8_t flags2;
    uint8_t type_flags;
    uint8_t flags3;

    *out = (struct login){.version = 0};
    if (size < FIXED_SIZE)
        return err_set(e, ERR_PROTOCOL, "LOGIN7 record of %zu bytes, its fixed part has %u", size,
                       FIXED_SIZE);
    length = reader_u32(&r);
    if (length > size || length < FIXED_SIZE)
        return err_set(e, ERR_PROTOCOL, "LOGIN7 record says %u bytes, the message has %zu", length,
                       size);
    record.size = length;
    out->version = reader_u32(&r);
    out->packet_size = reader_u32(&r);
    (void)reader_take(&r, 12); /* client version, process id, connection id */
    (void)reader_u8(&r);       /* option flags 1 */
    flags2 = reader_u8(&r);
    type_flags = reader_u8(&r);
    flags3 = reader_u8(&r);
    (void)reader_take(&r, 8); /* time zone, language id */
    out->integrated = (flags2 & FLAGS2_INTEGRATED) != 0;
    out->read_only_intent = (type_flags & TYPE_READ_ONLY_INTENT) != 0;
    return read_variable_part(&record, &r, (flags3 & FLAGS3_EXTENSION) != 0, out);
}

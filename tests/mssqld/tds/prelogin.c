#include "tests/mssqld/tds/prelogin.h"

#include "common/err.h"
#include "tests/mssqld/tds/buf.h"
#include "tests/mssqld/tds/proto.h"
#include "tests/mssqld/tds/reader.h"

enum option {
    OPTION_VERSION = 0,
    OPTION_ENCRYPTION = 1,
    OPTION_INSTANCE = 2,
    OPTION_THREAD = 3,
    OPTION_MARS = 4,
    OPTION_END = 0xFF,
};

int
prelogin_parse(const void *data, size_t size, enum prelogin_encryption *wish, struct err *e)
{
    const uint8_t *bytes = data;
    struct reader r = reader_of(data, size);

    *wish = ENCRYPT_OFF;
    for (;;) {
        uint8_t option = reader_u8(&r);
        size_t offset;
        size_t length;

        if (r.bad)
            return err_set(e, ERR_PROTOCOL, "PRELOGIN of %zu bytes has no end of options", size);
        if (option == OPTION_END)
            return 0;
        offset = reader_u16_be(&r);
        length = reader_u16_be(&r);
        if (r.bad || offset + length > size) {
            return err_set(e, ERR_PROTOCOL,
                           "PRELOGIN option %u at %zu with %zu bytes ends outside of the %zu bytes "
                           "of the message",
                           option, offset, length, size);
        }
        if (option == OPTION_ENCRYPTION) {
            if (length != 1 || bytes[offset] > ENCRYPT_REQ)
                return err_set(e, ERR_PROTOCOL, "PRELOGIN asks for an unknown encryption");
            *wish = (enum prelogin_encryption)bytes[offset];
        }
    }
}

enum prelogin_encryption
prelogin_answer(enum prelogin_policy policy, enum prelogin_encryption wish)
{
    if (policy == PRELOGIN_NO_CERTIFICATE)
        return ENCRYPT_NOT_SUP;
    if (wish == ENCRYPT_ON || wish == ENCRYPT_REQ)
        return ENCRYPT_ON;
    if (policy == PRELOGIN_FORCED)
        return ENCRYPT_REQ;
    return wish;
}

void
prelogin_put(struct buf *b, enum prelogin_encryption answer)
{
    static const struct {
        uint8_t option;
        uint8_t length;
    } options[] = {
        {OPTION_VERSION, 6}, {OPTION_ENCRYPTION, 1}, {OPTION_INSTANCE, 1},
        {OPTION_THREAD, 0},  {OPTION_MARS, 1},
    };
    size_t n = sizeof(options) / sizeof(options[0]);
    size_t offset = n * 5 + 1;

    for (size_t i = 0; i < n; i++) {
        buf_u8(b, options[i].option);
        buf_u16(b, __builtin_bswap16((uint16_t)offset));
        buf_u16(b, __builtin_bswap16(options[i].length));
        offset += options[i].length;
    }
    buf_u8(b, OPTION_END);
    buf_u8(b, TDS_PRODUCT_MAJOR);
    buf_u8(b, TDS_PRODUCT_MINOR);
    buf_u16(b, __builtin_bswap16(TDS_PRODUCT_BUILD));
    buf_u16(b, 0);
    buf_u8(b, answer);
    buf_u8(b, 0); /* instance name matches */
    buf_u8(b, 0); /* no MARS */
}

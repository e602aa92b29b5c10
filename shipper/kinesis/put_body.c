#include "shipper/kinesis/put_body.h"

#include <openssl/evp.h>

/* What one record needs besides its base64 text; a key byte can become six ("\u001f"). */
#define RECORD_OVERHEAD 64
#define KEY_GROWTH      6

static char *
put(char *at, const char *text, size_t n)
{
    memcpy(at, text, n);
    return at + n;
}

#define PUT(at, literal) put((at), literal, sizeof(literal) - 1)

static char *
put_escaped(char *at, const char *text, size_t n)
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)text[i];

        if (c == '"' || c == '\\') {
            *at++ = '\\';
            *at++ = (char)c;
        } else if (c < 0x20) {
            at = PUT(at, "\\u00");
            *at++ = digits[c >> 4];
            *at++ = digits[c & 15];
        } else {
            *at++ = (char)c;
        }
    }
    return at;
}

int
put_body_write(struct http_buffer *b, const char *stream_arn, const struct target_entry *entries,
               size_t n, bool is_dry_run, struct err *e)
{
    size_t need = strlen(stream_arn) + 2 * RECORD_OVERHEAD;
    char *at;

    for (size_t i = 0; i < n; i++)
        need += RECORD_OVERHEAD + ((size_t)entries[i].data_size + 2) / 3 * 4 +
                (size_t)entries[i].key_size * KEY_GROWTH;
    if (http_buffer_reserve(b, need, e) != 0)
        return -1;
    at = b->data + b->size;
    at = PUT(at, "{\"StreamARN\":\"");
    at = put(at, stream_arn, strlen(stream_arn));
    at = PUT(at, "\",");
    if (is_dry_run)
        at = PUT(at, "\"DryRun\":true,");
    at = PUT(at, "\"Records\":[");
    for (size_t i = 0; i < n; i++) {
        if (i > 0)
            *at++ = ',';
        at = PUT(at, "{\"Data\":\"");
        at += EVP_EncodeBlock((unsigned char *)at, entries[i].data, (int)entries[i].data_size);
        at = PUT(at, "\",\"PartitionKey\":\"");
        at = put_escaped(at, entries[i].key, entries[i].key_size);
        at = PUT(at, "\"}");
    }
    at = PUT(at, "]}");
    b->size = (size_t)(at - b->data);
    CHECK(b->size < b->capacity);
    *at = '\0';
    return 0;
}

#include "tests/kinesisd/http.h"

#include <stdint.h>
#include <string.h>
#include <strings.h>

enum { CHUNK_SIZE_LINE, CHUNK_DATA, CHUNK_DATA_END, CHUNK_TRAILER };

#define CHUNK_LINE_MAX 256

static bool
span_is(const char *text, struct http_span s, const char *word)
{
    return strlen(word) == s.len && strncasecmp(text + s.at, word, s.len) == 0;
}

static bool
is_token_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

/* Digits only, no overflow. */
static int
parse_length(const char *text, struct http_span s, size_t *out)
{
    size_t v = 0;

    if (s.len == 0)
        return -1;
    for (size_t i = 0; i < s.len; i++) {
        char c = text[s.at + i];

        if (c < '0' || c > '9' || v > (SIZE_MAX - 9) / 10)
            return -1;
        v = v * 10 + (size_t)(c - '0');
    }
    *out = v;
    return 0;
}

static int
parse_request_line(const char *text, size_t end, struct http_head *h)
{
    const char *space = memchr(text, ' ', end);
    const char *space2;
    const char *question;
    size_t target;

    if (space == NULL || space == text)
        return -1;
    h->method = (struct http_span){.at = 0, .len = (size_t)(space - text)};
    target = h->method.len + 1;
    space2 = memchr(text + target, ' ', end - target);
    if (space2 == NULL || end - (size_t)(space2 - text) != sizeof(" HTTP/1.1") - 1)
        return -1;
    if (memcmp(space2, " HTTP/1.", 8) != 0 || (space2[8] != '0' && space2[8] != '1'))
        return -1;
    h->keeps_alive = space2[8] == '1';
    h->path = (struct http_span){.at = target, .len = (size_t)(space2 - text) - target};
    question = memchr(text + target, '?', h->path.len);
    h->query = (struct http_span){.at = target + h->path.len, .len = 0};
    if (question != NULL) {
        h->query.at = (size_t)(question - text) + 1;
        h->query.len = (size_t)(space2 - question) - 1;
        h->path.len = (size_t)(question - text) - target;
    }
    return 0;
}

/* What a header means for framing. */
static int
apply_header(const char *text, const struct http_header *f, struct http_head *h)
{
    size_t length;

    if (span_is(text, f->name, "content-length")) {
        if (parse_length(text, f->value, &length) != 0)
            return -1;
        if (h->has_length && length != h->content_length)
            return -1;
        h->has_length = true;
        h->content_length = length;
    } else if (span_is(text, f->name, "transfer-encoding")) {
        if (!span_is(text, f->value, "chunked"))
            return -1;
        h->is_chunked = true;
    } else if (span_is(text, f->name, "connection")) {
        if (span_is(text, f->value, "close"))
            h->keeps_alive = false;
        else if (span_is(text, f->value, "keep-alive"))
            h->keeps_alive = true;
    } else if (span_is(text, f->name, "expect")) {
        h->wants_continue = span_is(text, f->value, "100-continue");
    }
    return 0;
}

static int
parse_header(const char *text, size_t at, size_t end, struct http_head *h)
{
    struct http_header *f;
    size_t colon = at;
    size_t from;

    while (colon < end && is_token_char(text[colon]))
        colon++;
    if (colon == at || colon == end || text[colon] != ':' || h->header_count == HTTP_HEADERS_MAX)
        return -1;
    for (from = colon + 1; from < end && (text[from] == ' ' || text[from] == '\t');)
        from++;
    while (end > from && (text[end - 1] == ' ' || text[end - 1] == '\t'))
        end--;
    f = &h->headers[h->header_count++];
    f->name = (struct http_span){.at = at, .len = colon - at};
    f->value = (struct http_span){.at = from, .len = end - from};
    return apply_header(text, f, h);
}

enum http_result
http_parse_head(const char *text, size_t len, struct http_head *out)
{
    const char *last = memmem(text, len, "\r\n\r\n", 4);
    size_t at = 0;

    if (last == NULL)
        return len > HTTP_HEAD_MAX ? HTTP_BAD : HTTP_MORE;
    out->header_count = 0;
    out->content_length = 0;
    out->is_chunked = out->has_length = out->wants_continue = false;
    out->size = (size_t)(last - text) + 4;
    if (out->size > HTTP_HEAD_MAX)
        return HTTP_BAD;
    while (at < out->size - 2) {
        const char *cr = memmem(text + at, out->size - at, "\r\n", 2);
        size_t end = (size_t)(cr - text);
        int bad = at == 0 ? parse_request_line(text, end, out) : parse_header(text, at, end, out);

        if (bad != 0)
            return HTTP_BAD;
        at = end + 2;
    }
    return out->is_chunked && out->has_length ? HTTP_BAD : HTTP_READY;
}

const struct http_header *
http_find(const struct http_head *h, const char *text, const char *name)
{
    for (size_t i = 0; i < h->header_count; i++) {
        if (span_is(text, h->headers[i].name, name))
            return &h->headers[i];
    }
    return NULL;
}

void
http_dechunk_init(struct http_dechunk *d, size_t head_size)
{
    *d = (struct http_dechunk){.raw = head_size, .out = head_size, .state = CHUNK_SIZE_LINE};
}

static int
chunk_size(const char *line, size_t len, size_t *out)
{
    size_t v = 0;
    size_t i = 0;

    for (; i < len && line[i] != ';' && line[i] != ' '; i++) {
        char c = (char)(line[i] | 0x20);
        unsigned digit = c >= '0' && c <= '9'   ? (unsigned)(c - '0')
                         : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a' + 10)
                                                : 16;

        if (digit > 15 || v > SIZE_MAX / 32)
            return -1;
        v = v * 16 + digit;
    }
    if (i == 0)
        return -1;
    *out = v;
    return 0;
}

/* Size line, line end behind data, and trailer all are lines. */
static enum http_result
take_line(struct http_dechunk *d, const char *text, size_t len)
{
    const char *cr = memmem(text + d->raw, len - d->raw, "\r\n", 2);
    size_t line_len;

    if (cr == NULL)
        return len - d->raw > CHUNK_LINE_MAX ? HTTP_BAD : HTTP_MORE;
    line_len = (size_t)(cr - text) - d->raw;
    if (d->state == CHUNK_TRAILER) {
        d->raw += line_len + 2;
        return line_len == 0 ? HTTP_READY : HTTP_MORE;
    }
    if (d->state == CHUNK_DATA_END) {
        if (line_len != 0)
            return HTTP_BAD;
        d->state = CHUNK_SIZE_LINE;
    } else {
        if (chunk_size(text + d->raw, line_len, &d->left) != 0)
            return HTTP_BAD;
        d->state = d->left == 0 ? CHUNK_TRAILER : CHUNK_DATA;
    }
    d->raw += line_len + 2;
    return HTTP_MORE;
}

enum http_result
http_dechunk(struct http_dechunk *d, char *text, size_t len)
{
    for (;;) {
        size_t before = d->raw;
        enum http_result r = HTTP_MORE;

        if (d->state == CHUNK_DATA) {
            size_t n = len - d->raw < d->left ? len - d->raw : d->left;

            (void)memmove(text + d->out, text + d->raw, n);
            d->out += n;
            d->raw += n;
            d->left -= n;
            if (d->left == 0)
                d->state = CHUNK_DATA_END;
        } else {
            r = take_line(d, text, len);
        }
        if (r != HTTP_MORE || d->raw == before)
            return r;
    }
}

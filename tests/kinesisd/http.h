/*
 * http - just enough HTTP/1.1 for a server: the request head and chunked bodies.
 *
 * Positions are offsets into the connection's buffer, which may move while a body arrives.
 */
#ifndef KINESISD_HTTP_H
#define KINESISD_HTTP_H

#include <stdbool.h>
#include <stddef.h>

#define HTTP_HEADERS_MAX 64
#define HTTP_HEAD_MAX    ((size_t)32 * 1024)

struct http_span {
    size_t at;
    size_t len;
};

struct http_header {
    struct http_span name;
    struct http_span value; /* trimmed */
};

struct http_head {
    struct http_span method;
    struct http_span path;  /* without the query */
    struct http_span query; /* without the '?' */
    struct http_header headers[HTTP_HEADERS_MAX];
    size_t header_count;
    size_t size; /* bytes up to and with the empty line */
    size_t content_length;
    bool is_chunked;
    bool has_length;
    bool wants_continue;
    bool keeps_alive;
};

enum http_result { HTTP_MORE, HTTP_READY, HTTP_BAD };

/* Looks for a whole head at the start of text.  HTTP_BAD: not HTTP/1.x, ambiguous length (both
 * kinds, two different lengths), too many headers, larger than HTTP_HEAD_MAX. */
enum http_result http_parse_head(const char *text, size_t len, struct http_head *out);

/* Case-insensitive look-up of the first header of that name; NULL when absent. */
const struct http_header *http_find(const struct http_head *h, const char *text, const char *name);

/* Undoes chunked coding in place while the body arrives. */
struct http_dechunk {
    size_t raw;  /* next coded byte */
    size_t out;  /* end of the decoded body */
    size_t left; /* data bytes left in the current chunk */
    int state;
};

/* Both offsets start at the end of the head. */
void http_dechunk_init(struct http_dechunk *d, size_t head_size);

/* Decodes what text[raw..len) offers.  HTTP_READY: body ends at d->out, the next request begins at
 * d->raw. */
enum http_result http_dechunk(struct http_dechunk *d, char *text, size_t len);

#endif

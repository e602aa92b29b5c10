/*
 * text - between UTF-8 inside the server and the text encodings of the wire.
 *
 * Inside, text is UTF-8 in which a lone surrogate stands as its three bytes (WTF-8), so any
 * UTF-16 that a client sends comes back unchanged.  Code pages follow from the collation, as
 * SQL Server does it (sort id first, then language, or the UTF-8 flag).
 *
 * Allocation: growth of the target buffer; iconv handles are opened once per code page.
 * Thread use: a codec belongs to one connection; the rest is free of state.
 */
#ifndef MSSQLD_TDS_TEXT_H
#define MSSQLD_TDS_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;
struct pool;

#define TEXT_UTF8   65001U
#define TEXT_LATIN1 1252U

#define TEXT_CODEPAGES 20

/* A zeroed struct is ready for use. */
struct text_codec {
    struct {
        unsigned codepage;
        void *to;   /* iconv_t from UTF-8 */
        void *from; /* iconv_t to UTF-8 */
    } open[TEXT_CODEPAGES];
    int n;
};

void text_codec_close(struct text_codec *codec);

/* Code page of a wire collation; 1252 for languages not known here. */
unsigned text_codepage(const uint8_t collation[5]);

/* Appends text as UTF-16LE.  Bytes that are no UTF-8 become U+FFFD. */
void text_put_utf16(struct buf *b, const char *text, size_t size);

/* Appends at most max_units UTF-16 units of a NUL-terminated text; returns how many. */
size_t text_put_utf16_max(struct buf *b, const char *text, size_t max_units);

/* Appends UTF-16LE (size in bytes, an odd last byte is dropped) as UTF-8. */
void text_put_utf8(struct buf *b, const uint8_t *utf16, size_t size);

/* Appends UTF-8 in a code page; what it cannot express becomes '?', as in SQL Server. */
void text_put_codepage(struct text_codec *codec, unsigned codepage, struct buf *b, const char *text,
                       size_t size);

/* Appends code page bytes as UTF-8; bytes without meaning become U+FFFD. */
void text_from_codepage(struct text_codec *codec, unsigned codepage, struct buf *b,
                        const uint8_t *data, size_t size);

/* UTF-16LE as a NUL-terminated UTF-8 string in the pool; NULL when there is no memory. */
char *text_from_utf16(struct pool *a, const uint8_t *utf16, size_t size);

#endif

/*
 * sql - building T-SQL text: names are always bracket-quoted, literals typed.
 *
 * A statement's text is constant but for its literals, so that the server's plan cache sees few
 * shapes.  The buffer grows; running out of memory is remembered and reported by sql_text().
 *
 * Thread use: the statement belongs to the caller.
 */
#ifndef WEIR_SQLSERVER_SQL_H
#define WEIR_SQLSERVER_SQL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;

struct sql {
    char *text;
    size_t len;
    size_t size;
    bool failed; /* out of memory at some point */
};

void sql_reset(struct sql *q);
void sql_free(struct sql *q);

void sql_add(struct sql *q, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void sql_add_n(struct sql *q, const char *text, size_t len);

/* [name] with every ] doubled. */
void sql_add_name(struct sql *q, const char *name);

/* 0x and upper-case hexadecimal. */
void sql_add_binary(struct sql *q, const uint8_t *bytes, size_t size);

/* N'text' with every ' doubled, for text that is printable ASCII; CONVERT(nvarchar(n), 0x...) of its
   UTF-16LE bytes for any other, so that no character conversion on the way can change it. */
void sql_add_string(struct sql *q, const char *utf8, size_t size);

/* The statement, NUL-terminated.  NULL with ERR_NOMEM. */
const char *sql_text(struct sql *q, struct err *e);

#endif

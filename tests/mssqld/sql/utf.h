/* utf - UTF-8 (lone surrogates as WTF-8) and UTF-16, counted in UTF-16 units. */
#ifndef MSSQLD_UTF_H
#define MSSQLD_UTF_H

#include <stddef.h>
#include <stdint.h>

/* Next code point of s (i < size); advances *i.  Broken bytes come back as themselves. */
uint32_t utf_next(const char *s, size_t size, size_t *i);

/* Writes code point cp; returns bytes written (1..4). */
size_t utf_put(char *out, uint32_t cp);

/* UTF-16 code units of the text. */
size_t utf_units(const char *s, size_t size);

/* Byte range of `count` UTF-16 units from unit `start`; a pair cut in two gives WTF-8 halves. */
size_t utf_substring(const char *s, size_t size, size_t start, size_t count, char *out);

/* Out needs 2 * size bytes, and size / 2 * 3 + 3 bytes; both return bytes written. */
size_t utf_to_utf16(const char *s, size_t size, char *out);
size_t utf_from_utf16(const char *units, size_t size, char *out);

#endif

/*
 * base64 - RFC 4648 standard alphabet, as strict as AWS: padding required, length a multiple of
 * four, unused bits of the last character zero, nothing but the alphabet inside.
 */
#ifndef KINESISD_BASE64_H
#define KINESISD_BASE64_H

#include <stddef.h>

/* Bytes of text for len bytes of data; no terminator. */
#define BASE64_SIZE(len) (((len) + 2) / 3 * 4)

enum base64_problem { BASE64_OK, BASE64_LENGTH, BASE64_CHARACTER, BASE64_LAST_BITS };

/* Fills the decoding tables; call once before base64_run or base64_decode. */
void base64_init(void);

/*
 * Decodes whole groups of four alphabet characters from text while they last and room is below
 * limit; out may be text itself.  Returns the number of characters consumed (a multiple of four);
 * three quarters of it is the number of bytes written.
 */
size_t base64_run(const char *text, size_t len, char *out);

/* Decodes len characters into out (may be the same memory); *out_len and, for BASE64_CHARACTER,
 * *at (index of the offender) are set. */
enum base64_problem
base64_decode(const char *text, size_t len, char *out, size_t *out_len, size_t *at);

/* Writes BASE64_SIZE(len) characters to out and returns that size. */
size_t base64_encode(const void *data, size_t len, char *out);

#endif

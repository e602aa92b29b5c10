/*
 * json - text into the inside of a JSON string, fast where nothing needs an escape.
 *
 * The output is valid JSON and valid UTF-8 whatever comes in: control characters, quotes and
 * backslashes are escaped, unpaired surrogates (three-byte form, as VALUE_TEXT carries them)
 * become \udXXX, bytes that are no UTF-8 become U+FFFD, all else stays as it is.
 */
#ifndef WEIR_ENCODER_JSON_H
#define WEIR_ENCODER_JSON_H

#include <stddef.h>

/* The writer may touch, but not use, as many bytes behind what it returns. */
#define JSON_SLACK 16

/* Room json_put_text() needs for a text of `size` bytes. */
#define JSON_TEXT_BOUND(size) (6 * (size_t)(size) + JSON_SLACK)

/* The same, closer for long texts: looks at the bytes when there are many. */
size_t json_text_bound(const char *text, size_t size);

/* Writes the escaped text, without quotes.  Returns the end. */
char *json_put_text(char *at, const char *text, size_t size);

/*
 * The number of bytes of the UTF-8 character at text (1..4), with unpaired surrogates counted
 * as characters (3); 0 when the bytes are none.
 */
size_t json_character(const unsigned char *text, size_t size);

#endif

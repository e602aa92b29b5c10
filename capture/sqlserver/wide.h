/*
 * wide - UTF-16LE, as SQL Server keeps it, to and from UTF-8, without loss.
 *
 * An unpaired surrogate (LEFT() through an emoji makes one) keeps its value in the three-byte form
 * that UTF-8 forbids; wide_from_utf8() turns it back into the same unit.
 */
#ifndef WEIR_SQLSERVER_WIDE_H
#define WEIR_SQLSERVER_WIDE_H

#include <stddef.h>
#include <stdint.h>

/* Writes at most 3 bytes for every 2 of in.  Returns the length.  An odd last byte is left out. */
size_t wide_to_utf8(const uint8_t *in, size_t size, char *out);

/* Writes at most 2 bytes for every byte of in.  Returns the length.  Bytes that are no UTF-8 become
   U+FFFD. */
size_t wide_from_utf8(const char *in, size_t size, uint8_t *out);

#endif

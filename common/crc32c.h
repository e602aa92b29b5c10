/*
 * crc32c - CRC-32C (Castagnoli, reflected polynomial 0x82F63B78), as in RFC 3720.
 *
 * Uses the processor's instruction where there is one, a table elsewhere.
 * Blocking: never.  Allocation: never.  Thread use: any.
 */
#ifndef WEIR_CRC32C_H
#define WEIR_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* Continues crc (0 to begin with) over size bytes.  crc32c(0, "123456789", 9) is 0xE3069283. */
uint32_t crc32c(uint32_t crc, const void *data, size_t size);

/* The same by table only; the tests hold the two against each other. */
uint32_t crc32c_portable(uint32_t crc, const void *data, size_t size);

#endif

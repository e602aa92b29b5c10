#include "common/crc32c.h"

#include <string.h>

/* One nibble a step: 64 bytes of table stay in one cache line. */
static const uint32_t nibble_table[16] = {
    0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3, 0x61c69362, 0x7198540d,
    0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9, 0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
};

uint32_t
crc32c_portable(uint32_t crc, const void *data, size_t size)
{
    const uint8_t *at = data;

    crc = ~crc;
    for (size_t i = 0; i < size; i++) {
        crc ^= at[i];
        crc = (crc >> 4) ^ nibble_table[crc & 15];
        crc = (crc >> 4) ^ nibble_table[crc & 15];
    }
    return ~crc;
}

#if defined(__x86_64__)

static inline uint64_t
load_word(const uint8_t *at)
{
    uint64_t word;

    memcpy(&word, at, sizeof(word));
    return word;
}

static inline uint32_t
load_half(const uint8_t *at)
{
    uint32_t half;

    memcpy(&half, at, sizeof(half));
    return half;
}

__attribute__((target("sse4.2"))) static inline uint64_t
crc_32_bytes(uint64_t state, const uint8_t *at)
{
    state = __builtin_ia32_crc32di(state, load_word(at));
    state = __builtin_ia32_crc32di(state, load_word(at + 8));
    state = __builtin_ia32_crc32di(state, load_word(at + 16));
    return __builtin_ia32_crc32di(state, load_word(at + 24));
}

__attribute__((target("sse4.2"))) static uint32_t
crc32c_sse42(uint32_t crc, const void *data, size_t size)
{
    const uint8_t *at = data;
    const uint8_t *end = at + size;
    uint64_t state = ~crc;

    for (; end - at >= 128; at += 128) {
        state = crc_32_bytes(state, at);
        state = crc_32_bytes(state, at + 32);
        state = crc_32_bytes(state, at + 64);
        state = crc_32_bytes(state, at + 96);
    }
    for (; end - at >= 32; at += 32)
        state = crc_32_bytes(state, at);
    for (; end - at >= 8; at += 8)
        state = __builtin_ia32_crc32di(state, load_word(at));
    if (end - at >= 4) {
        state = __builtin_ia32_crc32si((uint32_t)state, load_half(at));
        at += 4;
    }
    for (; at < end; at++)
        state = __builtin_ia32_crc32qi((uint32_t)state, *at);
    return ~(uint32_t)state;
}

uint32_t
crc32c(uint32_t crc, const void *data, size_t size)
{
    if (__builtin_cpu_supports("sse4.2"))
        return crc32c_sse42(crc, data, size);
    return crc32c_portable(crc, data, size);
}

#else

uint32_t
crc32c(uint32_t crc, const void *data, size_t size)
{
    return crc32c_portable(crc, data, size);
}

#endif

/*
 * value - one column value, typed, without loss, independent of engine and target.
 *
 * Capture makes values from what a source sends, the event format carries them, the encoder
 * renders them.  "Not available" (a LOB that the log left out) is not NULL and stays apart, and so
 * does a value that was cut: it carries the size it had.
 */
#ifndef WEIR_VALUE_H
#define WEIR_VALUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum value_kind {
    VALUE_NULL,
    VALUE_BOOL,
    VALUE_INT,
    VALUE_UINT, /* above INT64_MAX; smaller ones are VALUE_INT */
    VALUE_FLOAT32,
    VALUE_FLOAT64,
    VALUE_DECIMAL, /* exact digits as text: -?[0-9]+(\.[0-9]+)? with the column's scale */
    VALUE_TEXT,    /* UTF-8; unpaired surrogates as their three-byte form */
    VALUE_BYTES,
    VALUE_DATE,
    VALUE_TIME,
    VALUE_DATETIME,
    VALUE_DATETIMEOFFSET,
    VALUE_UUID,
    /* What a consumer has to be told about stands last: one comparison finds it. */
    VALUE_CUT_TEXT,  /* the first characters of a longer text */
    VALUE_CUT_BYTES, /* the first bytes of longer ones */
    VALUE_UNAVAILABLE,
};

struct value {
    enum value_kind kind;
    union {
        bool boolean;
        int64_t i;
        uint64_t u;
        float f32;
        double f64;
        struct {
            const char *data; /* DECIMAL, TEXT, BYTES, CUT_*; not owned, not NUL-terminated */
            uint32_t size;
            uint32_t whole; /* CUT_*: bytes of the whole value, as the source counts them */
        } bytes;
        int32_t days;    /* DATE: since 1970-01-01, any sign */
        int64_t time_ns; /* TIME: nanoseconds since midnight */
        struct {
            int64_t seconds; /* since 1970-01-01T00:00:00; DATETIMEOFFSET: of UTC */
            uint32_t nanos;
            int16_t offset_min; /* DATETIMEOFFSET: -840..840 */
        } datetime;
        uint8_t uuid[16]; /* in the order in which the text shows the digits */
    };
};

/* Longest text of any kind but DECIMAL, TEXT, BYTES and CUT_*. */
#define VALUE_TEXT_MAX 48

/*
 * The canonical text of a value: what stands between the quotes in JSON, and what partition
 * keys are made of.  scale is the column's number of fraction digits (times), 0..9.
 * FLOAT32/64: the shortest decimal that gives the same bits back.  BYTES: lower-case hex.
 * CUT_*: as TEXT and BYTES.
 * UUID: upper case, as SQL Server prints it.  DATETIME: "YYYY-MM-DDTHH:MM:SS[.f]" without zone;
 * DATETIMEOFFSET: local time and offset, "YYYY-MM-DD HH:MM:SS[.f] +HH:MM".
 * NULL and UNAVAILABLE give an empty text.
 * Writes at most size bytes, no NUL.  Returns the length needed, which may exceed size.
 */
size_t value_text(const struct value *v, unsigned scale, char *buf, size_t size);

/* An upper bound of what value_text() needs. */
size_t value_text_bound(const struct value *v);

#endif

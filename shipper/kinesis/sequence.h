/*
 * sequence - Kinesis sequence numbers in a form that compares.
 *
 * AWS's have 56 decimal digits; 57 fit.  Longer ones are legal by the model and unknown in
 * practice: they read as "no number", which compares with nothing.
 */
#ifndef WEIR_KINESIS_SEQUENCE_H
#define WEIR_KINESIS_SEQUENCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sequence {
    uint64_t word[3]; /* most significant first; zero = none known */
};

/* False, and *out zero, when text is not 1..57 digits. */
bool sequence_parse(const char *text, size_t size, struct sequence *out);

static inline bool
sequence_is_known(const struct sequence *s)
{
    return (s->word[0] | s->word[1] | s->word[2]) != 0;
}

/* <0, 0, >0. */
int sequence_compare(const struct sequence *a, const struct sequence *b);

#endif

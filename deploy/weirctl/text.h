/*
 * text - numbers and names as a person reads them on a terminal 80 columns wide.
 *
 * Every function writes into buf, always terminated, and returns it.  Allocation: never.
 */
#ifndef WEIR_WEIRCTL_TEXT_H
#define WEIR_WEIRCTL_TEXT_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* Large enough for every number here. */
#define TEXT_NUMBER 32

/* "1 234 567", shortened to "12.3M" above 9,999,999. */
const char *text_count(uint64_t n, char *buf, size_t size);

/* At most five characters: "0", "950", "12.3k", "4.1M"; "-" for a negative rate (unknown). */
const char *text_rate(double per_second, char *buf, size_t size);

/* "512", "64Ki", "1.5Mi". */
const char *text_bytes(uint64_t bytes, char *buf, size_t size);

/* At most six characters: "850us", "1.2ms", "40ms", "3.1s", "5m02s", "3h04m", "9d"; "-" below 0. */
const char *text_duration(int64_t ns, char *buf, size_t size);

/* Percent without sign: "0", "61", "100"; "-" when whole is not positive. */
const char *text_percent(double part, double whole, char *buf, size_t size);

/*
 * name in at most width columns, control characters replaced; a longer one keeps its end behind
 * "~", where tables differ.  Padded with blanks to width when pad is set.  buf holds 4 * width + 1.
 */
const char *text_fit(const char *name, size_t width, int pad, char *buf, size_t size);

/* The same, but a longer text keeps its beginning. */
const char *text_cut(const char *text, size_t width, char *buf, size_t size);

/* Writes bytes so that a terminal cannot be driven by them: control bytes as \xNN. */
void text_print_safe(FILE *out, const void *data, size_t size);

#endif

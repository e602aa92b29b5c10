/*
 * clock - the two clocks, and the one text form of time weir prints.
 *
 * Intervals use the monotonic clock, everything that leaves the process uses
 * the real one (UTC, nanoseconds since 1970-01-01).
 */
#ifndef WEIR_CLOCK_H
#define WEIR_CLOCK_H

#include <stddef.h>
#include <stdint.h>

#define NS_PER_S  1000000000LL
#define NS_PER_MS 1000000LL

/* "YYYY-MM-DDTHH:MM:SS.ffffffZ" plus NUL. */
#define CLOCK_ISO_SIZE 28

/* Nanoseconds of CLOCK_MONOTONIC; comparable between processes of one boot. */
int64_t clock_mono_ns(void);

/* Nanoseconds of CLOCK_REALTIME since the epoch, UTC. */
int64_t clock_real_ns(void);

/* Writes real_ns as ISO 8601 with six fraction digits, UTC.  buf holds CLOCK_ISO_SIZE bytes. */
const char *clock_iso(int64_t real_ns, char *buf);

/* Days since 1970-01-01 to civil date and back (proleptic Gregorian, any sign). */
void clock_civil_from_days(int64_t days, int *year, unsigned *month, unsigned *day);
int64_t clock_days_from_civil(int year, unsigned month, unsigned day);

#endif

/* datetime - reading and writing the text forms of SQL Server's date and time types. */
#ifndef MSSQLD_DATETIME_H
#define MSSQLD_DATETIME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TICKS_PER_SECOND 10000000LL
#define TICKS_PER_MINUTE (60 * TICKS_PER_SECOND)
#define TICKS_PER_DAY    (86400 * TICKS_PER_SECOND)
#define DAYS_TO_1900     693595
#define DAYS_TO_1970     719162
#define DAYS_TO_1753     639905
#define DAYS_MAX         3652058 /* 9999-12-31 */

struct moment {
    int32_t days;  /* since 0001-01-01 */
    int64_t ticks; /* 100 ns since midnight, local */
    int16_t offset_min;
    bool has_date;
    bool has_time;
    bool has_zone;
};

enum date_order { DATE_MDY, DATE_DMY, DATE_YMD };

/* Style is CONVERT's; 0 = by the session's order. */
bool
datetime_parse(const char *text, size_t size, enum date_order order, int style, struct moment *out);

/* Ticks rounded to a scale of 0..7; may reach TICKS_PER_DAY. */
int64_t datetime_round(int64_t ticks, int scale);

/* Ticks on the grid of 1/300 s. */
int64_t datetime_grid(int64_t ticks);

/* CONVERT's text of a style.  kind: what the type has. */
enum datetime_kind { DT_DATE, DT_TIME, DT_SMALL, DT_DATETIME, DT_DATETIME2, DT_OFFSET };
/* False for a style that does not exist.  buf holds 64 bytes. */
bool datetime_format(const struct moment *m, enum datetime_kind kind, int scale, int style,
                     char *buf, size_t size);

/*
 * The server's clock and zone, for all sessions of the process: seconds add up (0 = none again);
 * DATETIME_OWN_ZONE is the process's zone.
 */
#define DATETIME_OWN_ZONE 100000
void datetime_shift(int64_t seconds);
void datetime_zone(int minutes);

/* Server clock: UTC now, and the local offset in minutes. */
void datetime_now(struct moment *utc, struct moment *local);

void datetime_civil(int32_t days, int *year, int *month, int *day);
/* Days since 0001-01-01; -1 when no such date. */
int32_t datetime_days(int year, int month, int day);

#endif

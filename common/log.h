/*
 * log - one line an event on stderr: "time level stage event key=value ...".
 *
 * Events are stable identifiers (lower case, words joined by '-'); values with
 * blanks are quoted.  A line that repeats (same call site) is written at most
 * once in ten seconds with the number of suppressed ones.  No secrets and no
 * row data: callers see to that.
 *
 * Blocking: the write to stderr.  Allocation: never.  Thread use: any thread.
 */
#ifndef WEIR_LOG_H
#define WEIR_LOG_H

#include "common/err.h"

#include <stdint.h>

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

/* One per call site; zero-initialised. */
struct log_site {
    int64_t next_ns;
    uint32_t suppressed;
};

/* Sets the stage name printed in every line ("capture", "encoder.0") and the level. */
void log_init(const char *stage, enum log_level level);

/* Parses "error", "warn", "info", "debug".  Returns -1 for anything else. */
int log_level_parse(const char *name, enum log_level *out);

/* fmt gives the key=value part; use %s with log_quote for free text. */
#define log_error(event, ...) log_at_(LOG_ERROR, (event), __VA_ARGS__)
#define log_warn(event, ...)  log_at_(LOG_WARN, (event), __VA_ARGS__)
#define log_info(event, ...)  log_at_(LOG_INFO, (event), __VA_ARGS__)
#define log_debug(event, ...) log_at_(LOG_DEBUG, (event), __VA_ARGS__)

/* Logs e once at the top of a stage: code, place, text, remedy. */
#define log_err(level, event, e)                                                                   \
    do {                                                                                           \
        static struct log_site site_;                                                              \
        log_err_write((level), &site_, (event), (e));                                              \
    } while (0)

#define log_at_(level, event, ...)                                                                 \
    do {                                                                                           \
        static struct log_site site_;                                                              \
        log_write((level), &site_, (event), __VA_ARGS__);                                          \
    } while (0)

void log_write(enum log_level level, struct log_site *site, const char *event, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
void
log_err_write(enum log_level level, struct log_site *site, const char *event, const struct err *e);

/* Copies text into buf as a double-quoted value with control characters escaped.  Returns buf. */
const char *log_quote(const char *text, char *buf, size_t size);

#endif

#include "common/log.h"

#include "common/clock.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LOG_LINE_MAX  4096
#define LOG_REPEAT_NS (10 * NS_PER_S)

static const char *const level_names[] = {"error", "warn", "info", "debug"};

/* Set once at start, before any thread: read-only afterwards. */
static char log_stage[64] = "weir";
static enum log_level log_threshold = LOG_INFO;

void
log_init(const char *stage, enum log_level level)
{
    (void)snprintf(log_stage, sizeof(log_stage), "%s", stage);
    log_threshold = level;
}

int
log_level_parse(const char *name, enum log_level *out)
{
    for (unsigned i = 0; i < sizeof(level_names) / sizeof(level_names[0]); i++) {
        if (strcmp(name, level_names[i]) == 0) {
            *out = (enum log_level)i;
            return 0;
        }
    }
    return -1;
}

/* True when this line may be written now; *suppressed tells how many were not. */
static bool
site_admits(struct log_site *site, enum log_level level, uint32_t *suppressed)
{
    int64_t now_ns = clock_mono_ns();

    /* Informational lines are rare by design; only complaints can come in floods. */
    *suppressed = 0;
    if (level > LOG_WARN)
        return true;
    if (now_ns < __atomic_load_n(&site->next_ns, __ATOMIC_RELAXED)) {
        (void)__atomic_add_fetch(&site->suppressed, 1, __ATOMIC_RELAXED);
        return false;
    }
    __atomic_store_n(&site->next_ns, now_ns + LOG_REPEAT_NS, __ATOMIC_RELAXED);
    *suppressed = __atomic_exchange_n(&site->suppressed, 0, __ATOMIC_RELAXED);
    return true;
}

static void
emit(enum log_level level, const char *event, const char *detail, uint32_t suppressed)
{
    char line[LOG_LINE_MAX];
    char iso[CLOCK_ISO_SIZE];
    char more[48] = "";
    int n;

    if (suppressed > 0)
        (void)snprintf(more, sizeof(more), " suppressed=%u", suppressed);
    n = snprintf(line, sizeof(line) - 1, "%s %s %s %s %s%s", clock_iso(clock_real_ns(), iso),
                 level_names[level], log_stage, event, detail, more);
    if (n < 0)
        return;
    if ((size_t)n > sizeof(line) - 2)
        n = (int)sizeof(line) - 2;
    line[n++] = '\n';
    /* One write a line, so that lines of several processes do not mix. */
    if (write(STDERR_FILENO, line, (size_t)n) < 0)
        return;
}

void
log_write(enum log_level level, struct log_site *site, const char *event, const char *fmt, ...)
{
    char detail[LOG_LINE_MAX - 256];
    uint32_t suppressed;
    va_list ap;

    if (level > log_threshold || !site_admits(site, level, &suppressed))
        return;
    va_start(ap, fmt);
    (void)vsnprintf(detail, sizeof(detail), fmt, ap);
    va_end(ap);
    emit(level, event, detail, suppressed);
}

void
log_err_write(enum log_level level, struct log_site *site, const char *event, const struct err *e)
{
    char detail[LOG_LINE_MAX - 256];
    char text[2 * ERR_TEXT_MAX];
    char hint[2 * ERR_HINT_MAX];
    uint32_t suppressed;

    if (level > log_threshold || !site_admits(site, level, &suppressed))
        return;
    (void)snprintf(detail, sizeof(detail), "code=%s at=%s:%d text=%s%s%s", err_name(e->code),
                   e->file != NULL ? e->file : "?", e->line, log_quote(e->text, text, sizeof(text)),
                   e->hint[0] != '\0' ? " hint=" : "",
                   e->hint[0] != '\0' ? log_quote(e->hint, hint, sizeof(hint)) : "");
    emit(level, event, detail, suppressed);
}

const char *
log_quote(const char *text, char *buf, size_t size)
{
    size_t at = 0;

    CHECK(size >= 8);
    buf[at++] = '"';
    for (; *text != '\0' && at < size - 6; text++) {
        unsigned char c = (unsigned char)*text;

        if (c == '"' || c == '\\') {
            buf[at++] = '\\';
            buf[at++] = (char)c;
        } else if (c < 0x20 || c == 0x7f) {
            (void)snprintf(buf + at, 5, "\\x%02x", c);
            at += 4;
        } else {
            buf[at++] = (char)c;
        }
    }
    buf[at++] = '"';
    buf[at] = '\0';
    return buf;
}

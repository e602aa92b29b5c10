#include "deploy/weirctl/text.h"

#include "common/clock.h"

#include <math.h>
#include <string.h>

const char *
text_count(uint64_t n, char *buf, size_t size)
{
    char digits[TEXT_NUMBER];
    size_t used = 0;
    int length;

    if (n > 9999999) {
        static const char *const units[] = {"M", "G", "T", "P", "E"};
        double v = (double)n / 1e6;
        size_t u = 0;

        for (; v >= 9999.5 && u + 1 < sizeof(units) / sizeof(units[0]); u++)
            v /= 1000;
        (void)snprintf(buf, size, "%.1f%s", v, units[u]);
        return buf;
    }
    length = snprintf(digits, sizeof(digits), "%llu", (unsigned long long)n);
    for (int i = 0; i < length && used + 2 < size; i++) {
        if (i > 0 && (length - i) % 3 == 0)
            buf[used++] = ' ';
        buf[used++] = digits[i];
    }
    buf[used] = '\0';
    return buf;
}

const char *
text_rate(double per_second, char *buf, size_t size)
{
    static const char *const units[] = {"", "k", "M", "G", "T"};
    size_t u = 0;

    if (!(per_second >= 0)) {
        (void)snprintf(buf, size, "-");
        return buf;
    }
    for (; per_second >= 999.95 && u + 1 < sizeof(units) / sizeof(units[0]); u++)
        per_second /= 1000;
    if (u == 0 && (per_second >= 9.95 || per_second == floor(per_second)))
        (void)snprintf(buf, size, "%.0f", per_second);
    else
        (void)snprintf(buf, size, per_second >= 99.95 ? "%.0f%s" : "%.1f%s", per_second, units[u]);
    return buf;
}

const char *
text_bytes(uint64_t bytes, char *buf, size_t size)
{
    static const char *const units[] = {"", "Ki", "Mi", "Gi", "Ti"};
    double v = (double)bytes;
    size_t u = 0;

    for (; v >= 999.5 && u + 1 < sizeof(units) / sizeof(units[0]); u++)
        v /= 1024;
    (void)snprintf(buf, size, v >= 9.95 || v == floor(v) ? "%.0f%s" : "%.1f%s", v, units[u]);
    return buf;
}

const char *
text_duration(int64_t ns, char *buf, size_t size)
{
    double s = (double)ns / (double)NS_PER_S;
    long long whole = (long long)(s + 0.5);

    if (ns < 0)
        (void)snprintf(buf, size, "-");
    else if (ns == 0)
        (void)snprintf(buf, size, "0");
    else if (s < 0.9995e-3)
        (void)snprintf(buf, size, "%.0fus", s * 1e6 < 1 ? 1.0 : s * 1e6);
    else if (s < 0.9995)
        (void)snprintf(buf, size, s < 9.95e-3 ? "%.1fms" : "%.0fms", s * 1e3);
    else if (s < 99.5)
        (void)snprintf(buf, size, s < 9.95 ? "%.1fs" : "%.0fs", s);
    else if (whole < 6000)
        (void)snprintf(buf, size, "%lldm%02llds", whole / 60, whole % 60);
    else if (whole < 360000)
        (void)snprintf(buf, size, "%lldh%02lldm", whole / 3600, whole / 60 % 60);
    else
        (void)snprintf(buf, size, "%lldd", whole / 86400);
    return buf;
}

const char *
text_percent(double part, double whole, char *buf, size_t size)
{
    double p = whole > 0 ? 100 * part / whole : -1;

    if (p < 0)
        (void)snprintf(buf, size, "-");
    else
        (void)snprintf(buf, size, "%.0f", p > 999 ? 999 : p);
    return buf;
}

/* One character a column: right for the names of tables, if not for every script. */
static size_t
columns(const char *text)
{
    size_t n = 0;

    for (; *text != '\0'; text++)
        n += ((unsigned char)*text & 0xC0) != 0x80;
    return n;
}

static const char *
skip_columns(const char *text, size_t n)
{
    while (*text != '\0' && n > 0) {
        text++;
        while (((unsigned char)*text & 0xC0) == 0x80)
            text++;
        n--;
    }
    return text;
}

static size_t
append_safe(char *buf, size_t used, size_t size, const char *text, const char *end)
{
    for (; text < end && used + 1 < size; text++) {
        unsigned char c = (unsigned char)*text;

        buf[used++] = c < 0x20 || c == 0x7F ? '?' : *text;
    }
    buf[used] = '\0';
    return used;
}

const char *
text_fit(const char *name, size_t width, int pad, char *buf, size_t size)
{
    size_t n = columns(name);
    size_t used = 0;

    buf[0] = '\0';
    if (width == 0)
        return buf;
    if (n > width) {
        buf[used++] = '~';
        name = skip_columns(name, n - width + 1);
        n = width;
    }
    used = append_safe(buf, used, size, name, name + strlen(name));
    for (; pad && n < width && used + 1 < size; n++)
        buf[used++] = ' ';
    buf[used] = '\0';
    return buf;
}

const char *
text_cut(const char *text, size_t width, char *buf, size_t size)
{
    size_t n = columns(text);
    const char *end = n > width ? skip_columns(text, width - 1) : text + strlen(text);
    size_t used = append_safe(buf, 0, size, text, end);

    if (n > width && used + 1 < size) {
        buf[used++] = '~';
        buf[used] = '\0';
    }
    return buf;
}

void
text_print_safe(FILE *out, const void *data, size_t size)
{
    const unsigned char *p = data;

    for (size_t i = 0; i < size; i++) {
        if ((p[i] < 0x20 && p[i] != '\n' && p[i] != '\t') || p[i] == 0x7F)
            (void)fprintf(out, "\\x%02x", p[i]);
        else
            (void)fputc(p[i], out);
    }
}

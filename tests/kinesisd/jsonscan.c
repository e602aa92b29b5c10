#include "tests/kinesisd/jsonscan.h"

#include <stdbool.h>
#include <string.h>

int
jsonscan_expect(struct jsonscan *s, char c)
{
    if (jsonscan_peek(s) != c)
        return -1;
    s->at++;
    return 0;
}

static int
hex4(struct jsonscan *s, unsigned *out)
{
    unsigned v = 0;

    if (s->end - s->at < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        char c = *s->at++;

        if (c >= '0' && c <= '9')
            v = v << 4 | (unsigned)(c - '0');
        else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
            v = v << 4 | (unsigned)((c | 0x20) - 'a' + 10);
        else
            return -1;
    }
    *out = v;
    return 0;
}

static char *
put_utf8(char *to, unsigned cp)
{
    if (cp < 0x80) {
        *to++ = (char)cp;
    } else if (cp < 0x800) {
        *to++ = (char)(0xc0 | cp >> 6);
        *to++ = (char)(0x80 | (cp & 63));
    } else if (cp < 0x10000) {
        *to++ = (char)(0xe0 | cp >> 12);
        *to++ = (char)(0x80 | (cp >> 6 & 63));
        *to++ = (char)(0x80 | (cp & 63));
    } else {
        *to++ = (char)(0xf0 | cp >> 18);
        *to++ = (char)(0x80 | (cp >> 12 & 63));
        *to++ = (char)(0x80 | (cp >> 6 & 63));
        *to++ = (char)(0x80 | (cp & 63));
    }
    return to;
}

/* After a backslash: writes what it stands for.  Surrogates must come in pairs. */
static char *
unescape(struct jsonscan *s, char *to, size_t *chars)
{
    static const char letters[] = "\"\\/bfnrt";
    static const char meaning[] = "\"\\/\b\f\n\r\t";
    unsigned cp;
    unsigned low;
    const char *which;

    if (s->at == s->end || *s->at == '\0')
        return NULL;
    which = strchr(letters, *s->at);
    if (which != NULL) {
        s->at++;
        *chars += 1;
        *to = meaning[which - letters];
        return to + 1;
    }
    if (*s->at++ != 'u' || hex4(s, &cp) != 0 || (cp >= 0xdc00 && cp < 0xe000))
        return NULL;
    *chars += 1;
    if (cp >= 0xd800 && cp < 0xdc00) {
        if (s->end - s->at < 2 || s->at[0] != '\\' || s->at[1] != 'u')
            return NULL;
        s->at += 2;
        if (hex4(s, &low) != 0 || low < 0xdc00 || low >= 0xe000)
            return NULL;
        cp = 0x10000 + ((cp - 0xd800) << 10) + (low - 0xdc00);
        *chars += 1;
    }
    return put_utf8(to, cp);
}

/* Copies one multi-byte UTF-8 character; NULL when it is malformed, overlong or a surrogate. */
static char *
copy_utf8(struct jsonscan *s, char *to, size_t *chars)
{
    unsigned char lead = (unsigned char)*s->at;
    unsigned more = lead >= 0xf0 ? 3 : lead >= 0xe0 ? 2 : 1;
    unsigned cp = lead & (0x3fU >> more);

    if (lead < 0xc2 || lead > 0xf4 || s->end - s->at <= (ptrdiff_t)more)
        return NULL;
    for (unsigned i = 1; i <= more; i++) {
        unsigned char c = (unsigned char)s->at[i];

        if ((c & 0xc0) != 0x80)
            return NULL;
        cp = cp << 6 | (c & 63);
    }
    if ((more == 2 && (cp < 0x800 || (cp >= 0xd800 && cp < 0xe000))) ||
        (more == 3 && (cp < 0x10000 || cp > 0x10ffff)))
        return NULL;
    s->at += more + 1;
    *chars += more == 3 ? 2 : 1;
    return put_utf8(to, cp);
}

static bool
is_plain(char c)
{
    unsigned char u = (unsigned char)c;

    return u >= 0x20 && u < 0x80 && u != '"' && u != '\\';
}

/* s->at stands behind the opening quote; the text is unescaped in place. */
int
jsonscan_string(struct jsonscan *s, struct jsonscan_text *out)
{
    char *start = s->at;
    char *to;
    size_t chars = 0;

    /* Plain ASCII needs no copying. */
    while (s->at < s->end && is_plain(*s->at))
        s->at++;
    to = s->at;
    chars = (size_t)(to - start);
    while (s->at < s->end && *s->at != '"') {
        unsigned char c = (unsigned char)*s->at;

        if (c < 0x20)
            return -1;
        if (c == '\\') {
            s->at++;
            to = unescape(s, to, &chars);
        } else if (c >= 0x80) {
            to = copy_utf8(s, to, &chars);
        } else {
            *to++ = *s->at++;
            chars++;
        }
        if (to == NULL)
            return -1;
    }
    if (s->at == s->end)
        return -1;
    s->at++;
    *out = (struct jsonscan_text){.data = start, .len = (size_t)(to - start), .chars = chars};
    return 0;
}

static int
scan_digits(struct jsonscan *s)
{
    char *start = s->at;

    while (s->at < s->end && *s->at >= '0' && *s->at <= '9')
        s->at++;
    return s->at > start ? 0 : -1;
}

static int
scan_number(struct jsonscan *s)
{
    if (*s->at == '-')
        s->at++;
    if (s->at < s->end && *s->at == '0')
        s->at++;
    else if (scan_digits(s) != 0)
        return -1;
    if (s->at < s->end && *s->at == '.') {
        s->at++;
        if (scan_digits(s) != 0)
            return -1;
    }
    if (s->at < s->end && (*s->at == 'e' || *s->at == 'E')) {
        s->at++;
        if (s->at < s->end && (*s->at == '+' || *s->at == '-'))
            s->at++;
        return scan_digits(s);
    }
    return 0;
}

int
jsonscan_word(struct jsonscan *s, const char *word)
{
    size_t len = strlen(word);

    if ((size_t)(s->end - s->at) < len || memcmp(s->at, word, len) != 0)
        return -1;
    s->at += len;
    return 0;
}

/* Behind '{' or '[': everything up to and with the closing one. */
static int
skip_container(struct jsonscan *s, char close, unsigned depth)
{
    struct jsonscan_text name;

    if (depth == JSONSCAN_DEPTH_MAX)
        return -1;
    if (jsonscan_peek(s) == close) {
        s->at++;
        return 0;
    }
    for (;;) {
        if (close == '}' && (jsonscan_expect(s, '"') != 0 || jsonscan_string(s, &name) != 0 ||
                             jsonscan_expect(s, ':') != 0))
            return -1;
        if (jsonscan_skip(s, depth + 1) != 0)
            return -1;
        if (jsonscan_peek(s) == close) {
            s->at++;
            return 0;
        }
        if (jsonscan_expect(s, ',') != 0)
            return -1;
    }
}

int
jsonscan_skip(struct jsonscan *s, unsigned depth)
{
    struct jsonscan_text text;

    switch (jsonscan_peek(s)) {
    case '"':
        s->at++;
        return jsonscan_string(s, &text);
    case '{':
        s->at++;
        return skip_container(s, '}', depth);
    case '[':
        s->at++;
        return skip_container(s, ']', depth);
    case 't':
        return jsonscan_word(s, "true");
    case 'f':
        return jsonscan_word(s, "false");
    case 'n':
        return jsonscan_word(s, "null");
    case '\0':
        return -1;
    default:
        return scan_number(s);
    }
}

/*
 * jsonscan - JSON text taken apart from left to right, in place.
 *
 * Grammar, UTF-8 and escapes are checked in full; strings are unescaped over their own text, so
 * the text is used up.  Every function returns -1 for text that is not JSON; where it stopped is
 * then of no use.
 */
#ifndef KINESISD_JSONSCAN_H
#define KINESISD_JSONSCAN_H

#include <stddef.h>

/* Containers inside each other; deeper ones are refused. */
#define JSONSCAN_DEPTH_MAX 64

struct jsonscan {
    char *at;
    char *end;
};

struct jsonscan_text {
    const char *data; /* NULL = absent; not terminated */
    size_t len;       /* bytes */
    size_t chars;     /* UTF-16 units, which is what AWS counts */
};

static inline void
jsonscan_space(struct jsonscan *s)
{
    while (s->at < s->end && (*s->at == ' ' || *s->at == '\t' || *s->at == '\n' || *s->at == '\r'))
        s->at++;
}

/* The next significant character, 0 at the end. */
static inline char
jsonscan_peek(struct jsonscan *s)
{
    if (s->at<s->end && * s->at> ' ')
        return *s->at;
    jsonscan_space(s);
    return s->at < s->end ? *s->at : '\0';
}

/* Takes c, white space before it skipped. */
int jsonscan_expect(struct jsonscan *s, char c);

/* Takes a string; s->at stands behind its opening quote. */
int jsonscan_string(struct jsonscan *s, struct jsonscan_text *out);

/* Takes the very word (true, false, null). */
int jsonscan_word(struct jsonscan *s, const char *word);

/* Takes any value; depth is the number of containers around it. */
int jsonscan_skip(struct jsonscan *s, unsigned depth);

#endif

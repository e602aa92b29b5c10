/*
 * Matching of table names: the wildcards of DMS and the precedence of the rules.
 */
#include "common/task.h"

#include "common/task_internal.h"

#include <string.h>

/* The next code point of UTF-8 text that is known to be well formed, or a lone byte if not. */
static uint32_t
next_char(const char **text)
{
    const unsigned char *p = (const unsigned char *)*text;
    uint32_t c = p[0];
    int more = 0;

    if (c >= 0xF0)
        more = 3;
    else if (c >= 0xE0)
        more = 2;
    else if (c >= 0xC0)
        more = 1;
    if (more > 0)
        c &= 0x3FU >> more;
    (*text)++;
    for (; more > 0 && (**(const unsigned char *const *)text & 0xC0) == 0x80; more--)
        c = c << 6 | (*(const unsigned char *)(*text)++ & 0x3FU);
    return c;
}

/* Simple case folding of the alphabets case-insensitive collations meet most. */
static uint32_t
fold(uint32_t c)
{
    if ((c >= 'A' && c <= 'Z') || (c >= 0xC0 && c <= 0xDE && c != 0xD7) ||
        (c >= 0x391 && c <= 0x3AB) || (c >= 0x410 && c <= 0x42F))
        return c + 32;
    if (c >= 0x400 && c <= 0x40F)
        return c + 80;
    if ((c >= 0x100 && c <= 0x137) || (c >= 0x14A && c <= 0x177) || (c >= 0x460 && c <= 0x481))
        return c | 1U;
    if ((c >= 0x139 && c <= 0x148) || (c >= 0x179 && c <= 0x17E))
        return c + (c & 1U);
    return c;
}

static uint32_t
take(const char **text, bool fold_case)
{
    uint32_t c = next_char(text);

    return fold_case ? fold(c) : c;
}

/* *pattern stands behind '['; leaves it behind ']'. */
static bool
set_matches(const char **pattern, uint32_t c, bool fold_case)
{
    bool found = false;

    while (**pattern != ']' && **pattern != '\0') {
        uint32_t low = take(pattern, fold_case);
        uint32_t high = low;

        if (**pattern == '-' && (*pattern)[1] != ']' && (*pattern)[1] != '\0') {
            (*pattern)++;
            high = take(pattern, fold_case);
        }
        found = found || (c >= low && c <= high);
    }
    if (**pattern == ']')
        (*pattern)++;
    return found;
}

static bool
one_matches(const char **pattern, uint32_t c, bool fold_case)
{
    if (**pattern == '_') {
        (*pattern)++;
        return true;
    }
    if (**pattern == '[') {
        (*pattern)++;
        return set_matches(pattern, c, fold_case);
    }
    return **pattern != '\0' && take(pattern, fold_case) == c;
}

/* One way back suffices: a later '%' makes the earlier ones irrelevant. */
static bool
pattern_matches(const char *pattern, const char *text, bool fold_case)
{
    const char *star = NULL;
    const char *retry = NULL;

    while (*text != '\0') {
        const char *t = text;
        const char *p = pattern;

        if (*pattern == '%') {
            star = ++pattern;
            retry = text;
            continue;
        }
        if (one_matches(&p, take(&t, fold_case), fold_case)) {
            pattern = p;
            text = t;
            continue;
        }
        if (star == NULL)
            return false;
        (void)next_char(&retry);
        text = retry;
        pattern = star;
    }
    while (*pattern == '%')
        pattern++;
    return *pattern == '\0';
}

static bool
equals(const char *a, const char *b, bool fold_case)
{
    while (*a != '\0' && *b != '\0')
        if (take(&a, fold_case) != take(&b, fold_case))
            return false;
    return *a == *b;
}

const char *
task_pattern_fault(const char *pattern)
{
    for (const char *p = strchr(pattern, '['); p != NULL; p = strchr(p, '[')) {
        const char *close = strchr(p, ']');

        if (close == NULL)
            return "'[' has no ']'";
        if (close == p + 1)
            return "[] names no character";
        p = close + 1;
    }
    return NULL;
}

static bool
rule_matches(const struct selection_rule *r, const char *schema, const char *table, bool fold_case)
{
    if (r->action == SELECTION_EXPLICIT)
        return equals(r->schema_name, schema, fold_case) && equals(r->table_name, table, fold_case);
    return pattern_matches(r->schema_name, schema, fold_case) &&
           pattern_matches(r->table_name, table, fold_case);
}

bool
task_selects(const struct task *t, const char *schema, const char *table, bool fold_case)
{
    bool selected = false;

    for (size_t i = 0; i < t->n_selections; i++) {
        const struct selection_rule *r = &t->selections[i];

        if (!rule_matches(r, schema, table, fold_case))
            continue;
        if (r->action == SELECTION_EXCLUDE)
            return false;
        selected = true;
    }
    return selected;
}

uint32_t
task_load_order(const struct task *t, const char *schema, const char *table, bool fold_case)
{
    uint32_t order = 0;

    for (size_t i = 0; i < t->n_selections; i++) {
        const struct selection_rule *r = &t->selections[i];

        if (r->action != SELECTION_EXCLUDE && r->load_order > order &&
            rule_matches(r, schema, table, fold_case))
            order = r->load_order;
    }
    return order;
}

const struct parallel_load *
task_parallel_load(const struct task *t, const char *schema, const char *table, bool fold_case)
{
    for (size_t i = 0; i < t->n_parallel_loads; i++) {
        const struct parallel_load *p = &t->parallel_loads[i];

        if (equals(p->schema_name, schema, fold_case) && equals(p->table_name, table, fold_case))
            return p;
    }
    return NULL;
}

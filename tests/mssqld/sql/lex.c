#include "tests/mssqld/sql/lex.h"

#include <ctype.h>
#include <strings.h>

#include "tests/mssqld/sql/decimal.h"
#include "tests/mssqld/sql/utf.h"

struct lexer {
    const char *text;
    size_t i;
    int line;
    struct arena *arena;
    struct lexed *out;
    struct sqlerr *e;
    int values_depth; /* parentheses since VALUES; -1 outside */
    bool top;         /* inside TOP ( */
};

static bool
word_start(char c)
{
    return isalpha((unsigned char)c) || c == '_' || c == '#' || (unsigned char)c >= 0x80;
}

static bool
word_part(char c)
{
    return word_start(c) || isdigit((unsigned char)c) || c == '$' || c == '@';
}

/* Skips blanks and comments; -1 when a comment does not end. */
static int
skip(struct lexer *l)
{
    int depth = 0;

    for (;;) {
        const char *p = l->text + l->i;

        if (*p == '\n')
            l->line++;
        if (depth > 0 && *p == '\0')
            return sqlerr_set(l->e, 113, 15, 1, "Missing end comment mark '*/'.");
        if (p[0] == '/' && p[1] == '*') {
            depth++;
            l->i += 2;
        } else if (depth > 0 && p[0] == '*' && p[1] == '/') {
            depth--;
            l->i += 2;
        } else if (depth == 0 && p[0] == '-' && p[1] == '-') {
            while (l->text[l->i] != '\0' && l->text[l->i] != '\n')
                l->i++;
        } else if (depth > 0 || (*p != '\0' && isspace((unsigned char)*p))) {
            l->i++;
        } else if ((unsigned char)p[0] == 0xEF && (unsigned char)p[1] == 0xBB) {
            l->i += 3; /* byte order mark */
        } else {
            return 0;
        }
    }
}

static struct token *
push_token(struct lexer *l, enum token_kind kind, size_t start)
{
    struct lexed *o = l->out;
    struct token *t;

    o->tokens = arena_push(l->arena, o->tokens, o->n_tokens, sizeof *o->tokens);
    t = &o->tokens[o->n_tokens++];
    *t = (struct token){.kind = kind, .line = l->line, .start = start, .end = l->i};
    t->text = "";
    return t;
}

static struct literal *
push_literal(struct lexer *l, struct token *t)
{
    struct lexed *o = l->out;
    struct literal *lit;

    o->literals = arena_push(l->arena, o->literals, o->n_literals, sizeof *o->literals);
    t->literal = o->n_literals;
    lit = &o->literals[o->n_literals++];
    memset(lit, 0, sizeof *lit);
    return lit;
}

/* Copies text up to the closing quote, halving doubled ones. */
static int
quoted(struct lexer *l, char close, const char **text, size_t *size)
{
    size_t start = l->i;
    size_t n = 0;
    char *out;

    for (;; l->i++) {
        if (l->text[l->i] == '\0')
            return sqlerr_set(l->e, 105, 15, 1,
                              "Unclosed quotation mark after the character string '%.100s'.",
                              l->text + start);
        if (l->text[l->i] == '\n')
            l->line++;
        if (l->text[l->i] == close) {
            if (l->text[l->i + 1] != close)
                break;
            l->i++;
        }
    }
    out = arena_alloc(l->arena, l->i - start + 1);
    for (size_t k = start; k < l->i; k++) {
        out[n++] = l->text[k];
        if (l->text[k] == close)
            k++;
    }
    l->i++;
    *text = out;
    *size = n;
    return 0;
}

static bool
is_comparison(int op)
{
    return op == '=' || op == '<' || op == '>' || op == OP2('<', '=') || op == OP2('>', '=') ||
           op == OP2('<', '>') || op == OP2('!', '=');
}

/* True when the next literal is data that no plan looks at. */
static bool
may_lift(const struct lexer *l)
{
    const struct lexed *o = l->out;
    const struct token *prev = o->n_tokens > 0 ? &o->tokens[o->n_tokens - 1] : NULL;

    if (l->values_depth == 1 || l->top)
        return true;
    return prev != NULL && prev->kind == TOKEN_OP && is_comparison(prev->op);
}

/*
 * Equal values of one statement are part of its shape: a tuple comparison written out as nested
 * ORs is recognised by them.
 */
static void
key_equal_before(struct lexer *l, const struct literal *lit)
{
    const struct literal *all = l->out->literals;
    int n = (int)(lit - all);

    for (int i = n - 1; i >= 0 && i >= n - 32; i--) {
        bool same = all[i].lifted && all[i].type.base == lit->type.base;

        if (same && (type_is_text(lit->type.base) || type_is_binary(lit->type.base)))
            same =
                all[i].value.bytes.size == lit->value.bytes.size &&
                memcmp(all[i].value.bytes.data, lit->value.bytes.data, lit->value.bytes.size) == 0;
        else if (same && type_is_decimal(lit->type.base))
            same = all[i].value.dec.magnitude == lit->value.dec.magnitude;
        else if (same && lit->type.base == SQL_INT)
            same = all[i].value.i == lit->value.i;
        else
            same = false;
        if (same) {
            sbuf_fmt(&l->out->key, "=%d ", n - i);
            return;
        }
    }
}

static void
key_literal(struct lexer *l, struct literal *lit, const struct token *t)
{
    struct sbuf *key = &l->out->key;

    lit->lifted = may_lift(l);
    if (!lit->lifted) {
        sbuf_addn(key, l->text + t->start, t->end - t->start);
        sbuf_addn(key, " ", 1);
        return;
    }
    if (type_is_decimal(lit->type.base))
        sbuf_fmt(key, "\1d%u,%u ", lit->type.precision, lit->type.scale);
    else if ((type_is_text(lit->type.base) || type_is_binary(lit->type.base)) &&
             l->values_depth != 1)
        sbuf_fmt(key, "\1%d,%d ", (int)lit->type.base, lit->type.length);
    else
        sbuf_fmt(key, "\1%d ", (int)lit->type.base);
    if (l->values_depth != 1)
        key_equal_before(l, lit);
}

static int
string_literal(struct lexer *l, bool wide)
{
    size_t start = l->i;
    const char *text = "";
    size_t size = 0;
    struct token *t;
    struct literal *lit;
    size_t units;

    l->i += wide ? 2 : 1;
    if (quoted(l, '\'', &text, &size) != 0)
        return -1;
    t = push_token(l, TOKEN_LITERAL, start);
    t->text = text;
    t->size = size;
    lit = push_literal(l, t);
    units = wide ? utf_units(text, size) : size;
    lit->type = type_make(wide ? SQL_NVARCHAR : SQL_VARCHAR);
    lit->type.nullable = false;
    lit->type.length = units == 0                       ? 1
                       : units > (wide ? 4000U : 8000U) ? SQL_LENGTH_MAX
                                                        : (int32_t)units;
    lit->value.bytes.data = text;
    lit->value.bytes.size = size;
    /* key_literal looks at the token before this one */
    l->out->n_tokens--;
    key_literal(l, lit, t);
    l->out->n_tokens++;
    return 0;
}

static int
binary_literal(struct lexer *l)
{
    size_t start = l->i;
    size_t digits;
    unsigned char *p;
    struct token *t;
    struct literal *lit;
    size_t k = 0;

    l->i += 2;
    for (digits = 0; isxdigit((unsigned char)l->text[l->i + digits]);)
        digits++;
    p = arena_alloc(l->arena, digits / 2 + 1);
    for (size_t i = 0; i < digits; i++) {
        char c = l->text[l->i + i];
        unsigned v = (unsigned)(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);

        if (i == 0 && digits % 2 != 0)
            p[k++] = (unsigned char)v; /* odd: a zero nibble goes in front */
        else if ((i + digits) % 2 == 0)
            p[k] = (unsigned char)(v << 4);
        else
            p[k++] |= (unsigned char)v;
    }
    l->i += digits;
    t = push_token(l, TOKEN_LITERAL, start);
    lit = push_literal(l, t);
    lit->type = type_sized(SQL_VARBINARY, k == 0 ? 1 : k > 8000 ? SQL_LENGTH_MAX : (int32_t)k);
    lit->type.nullable = false;
    lit->value.bytes.data = p;
    lit->value.bytes.size = k;
    l->out->n_tokens--;
    key_literal(l, lit, t);
    l->out->n_tokens++;
    return 0;
}

/* $12.5 is money. */
static int
money_value(struct lexer *l, struct literal *lit, const char *s, size_t n)
{
    struct decimal d;

    lit->type = type_make(SQL_MONEY);
    if (!decimal_parse(s, n, &d) || !decimal_rescale(&d, 4) || d.value > INT64_MAX)
        return sqlerr_overflow(l->e, "money");
    lit->value.i = (int64_t)d.value;
    return 0;
}

static int
number_value(struct lexer *l, struct literal *lit, const char *s, size_t n, bool exponent)
{
    struct decimal d;
    int digits;

    if (exponent) {
        lit->type = type_make(SQL_FLOAT);
        lit->value.f = strtod(s, NULL);
        return 0;
    }
    if (!decimal_parse(s, n, &d))
        return sqlerr_set(l->e, 1007, 15, 1,
                          "The number '%s' is out of the range for numeric representation "
                          "(maximum precision 38).",
                          s);
    if (d.scale == 0 && memchr(s, '.', n) == NULL && d.value <= INT32_MAX) {
        lit->type = type_make(SQL_INT);
        lit->value.i = (int64_t)d.value;
        return 0;
    }
    digits = d.value == 0 ? 1 : decimal_digits(d.value);
    if (digits < d.scale)
        digits = d.scale;
    if (d.value == 0 && d.scale > 0)
        digits = d.scale + 1 > 38 ? 38 : d.scale;
    lit->type = type_decimal(digits, d.scale);
    lit->type.base = SQL_NUMERIC;
    lit->value.dec.magnitude = (uint128)d.value;
    return 0;
}

static int
number_literal(struct lexer *l)
{
    size_t start = l->i;
    bool money = l->text[l->i] == '$';
    bool exponent = false;
    struct token *t;
    struct literal *lit;
    int rc;

    l->i += money;
    while (isdigit((unsigned char)l->text[l->i]) || l->text[l->i] == '.')
        l->i++;
    if (!money && (l->text[l->i] == 'e' || l->text[l->i] == 'E')) {
        exponent = true;
        l->i++;
        if (l->text[l->i] == '+' || l->text[l->i] == '-')
            l->i++;
        while (isdigit((unsigned char)l->text[l->i]))
            l->i++;
    }
    t = push_token(l, TOKEN_LITERAL, start);
    t->text = arena_strndup(l->arena, l->text + start, l->i - start);
    t->size = l->i - start;
    lit = push_literal(l, t);
    rc = money ? money_value(l, lit, t->text + 1, t->size - 1)
               : number_value(l, lit, t->text, t->size, exponent);
    lit->type.nullable = false;
    l->out->n_tokens--;
    key_literal(l, lit, t);
    l->out->n_tokens++;
    return rc;
}

static void
word(struct lexer *l, size_t start, enum token_kind kind)
{
    struct token *t;

    while (word_part(l->text[l->i]))
        l->i++;
    t = push_token(l, kind, start);
    t->text = arena_strndup(l->arena, l->text + start, l->i - start);
    t->size = l->i - start;
    sbuf_addn(&l->out->key, t->text, t->size);
    sbuf_addn(&l->out->key, " ", 1);
    if (kind != TOKEN_WORD)
        return;
    if (strcasecmp(t->text, "VALUES") == 0)
        l->values_depth = 0;
    else if (l->values_depth == 0)
        l->values_depth = -1;
}

static void
operator_token(struct lexer *l)
{
    const char *p = l->text + l->i;
    size_t start = l->i;
    const struct lexed *o = l->out;
    bool after_top = o->n_tokens > 0 && o->tokens[o->n_tokens - 1].kind == TOKEN_WORD &&
                     strcasecmp(o->tokens[o->n_tokens - 1].text, "TOP") == 0;
    int op = (unsigned char)p[0];
    struct token *t;

    if ((p[0] == '<' && (p[1] == '=' || p[1] == '>')) || (p[0] == '>' && p[1] == '=') ||
        (p[0] == '!' && (p[1] == '=' || p[1] == '<' || p[1] == '>')) ||
        (p[0] == ':' && p[1] == ':') || (p[1] == '=' && strchr("+-*/%&|^", p[0]) != NULL))
        op = OP2((unsigned char)p[0], (unsigned char)p[1]);
    l->i += op > 255 ? 2 : 1;
    t = push_token(l, TOKEN_OP, start);
    t->text = arena_strndup(l->arena, p, op > 255 ? 2 : 1);
    t->op = op;
    sbuf_addn(&l->out->key, p, op > 255 ? 2 : 1);
    if (op == '(') {
        l->top = after_top;
        if (l->values_depth >= 0)
            l->values_depth++;
    } else if (op == ')') {
        l->top = false;
        if (l->values_depth > 0)
            l->values_depth--;
    } else if (op == ';') {
        l->values_depth = -1;
    }
}

static int
next_token(struct lexer *l)
{
    const char *p = l->text + l->i;
    size_t start = l->i;
    const char *text = "";
    size_t size = 0;
    struct token *t;

    if (p[0] == '\'' || ((p[0] == 'N' || p[0] == 'n') && p[1] == '\''))
        return string_literal(l, p[0] != '\'');
    if (p[0] == '0' && (p[1] == 'x' || p[1] == 'X'))
        return binary_literal(l);
    if (isdigit((unsigned char)p[0]) ||
        ((p[0] == '.' || p[0] == '$') && isdigit((unsigned char)p[1])))
        return number_literal(l);
    if (p[0] == '[' || p[0] == '"') {
        l->i++;
        if (quoted(l, p[0] == '[' ? ']' : '"', &text, &size) != 0)
            return -1;
        t = push_token(l, TOKEN_QUOTED, start);
        t->text = text;
        t->size = size;
        sbuf_addn(&l->out->key, l->text + start, l->i - start);
        return 0;
    }
    if (p[0] == '@' || word_start(p[0])) {
        word(l, start, p[0] == '@' ? TOKEN_VAR : TOKEN_WORD);
        return 0;
    }
    if (strchr("()+-*/%&|^~=<>!,.;:$\\{}", p[0]) == NULL)
        return sqlerr_set(l->e, 102, 15, 1, "Incorrect syntax near '%.1s'.", p);
    operator_token(l);
    return 0;
}

int
lex(const char *text, struct arena *a, struct lexed *out, struct sqlerr *e)
{
    struct lexer l = {.text = text, .line = 1, .arena = a, .out = out, .e = e};

    l.values_depth = -1;
    out->tokens = NULL;
    out->literals = NULL;
    out->n_tokens = 0;
    out->n_literals = 0;
    sbuf_clear(&out->key);
    for (;;) {
        e->line = l.line;
        if (skip(&l) != 0)
            return -1;
        e->line = l.line;
        if (text[l.i] == '\0')
            break;
        if (next_token(&l) != 0)
            return -1;
    }
    (void)push_token(&l, TOKEN_END, l.i);
    return 0;
}

/* The one-shot function costs half of what EVP does for a text of this size, and is deprecated
   only as cryptography, which this is not. */
#define OPENSSL_SUPPRESS_DEPRECATED

#include "encoder/key.h"

#include "common/digits.h"
#include "common/err.h"
#include "encoder/json.h"
#include "encoder/plan.h"

#include <openssl/md5.h>

#define KEY_KEPT_CHARACTERS (KEY_CHARACTERS_MAX - 33)

struct made_key {
    uint8_t hash[16];
    char text[RECORD_KEY_MAX];
};

struct key_maker {
    char *room; /* the key before it is cut; grows to the largest ever seen */
    size_t room_size;
    unsigned n_made; /* since the last key_hash_rows() */
    unsigned n_short;
    struct md5_text short_texts[KEY_BATCH]; /* those not yet hashed */
    struct made_key made[KEY_BATCH];
};

int
key_maker_open(struct key_maker **out, struct err *e)
{
    struct key_maker *m = calloc(1, sizeof(*m));

    if (m == NULL)
        return err_set(e, ERR_NOMEM, "partition keys");
    m->room_size = 4096;
    m->room = malloc(m->room_size);
    if (m->room == NULL) {
        free(m);
        return err_set(e, ERR_NOMEM, "partition keys");
    }
    *out = m;
    return 0;
}

void
key_maker_close(struct key_maker **m)
{
    if (*m != NULL)
        free((*m)->room);
    free(*m);
    *m = NULL;
}

void
key_hash(const void *text, size_t size, uint8_t hash[16])
{
    (void)MD5(text, size, hash);
}

/* Long texts at once, short ones together. */
static void
hash_later(struct key_maker *m, const char *text, uint32_t size, uint8_t hash[16])
{
    if (size <= MD5_SHORT_MAX)
        m->short_texts[m->n_short++] = (struct md5_text){.text = text, .size = size, .hash = hash};
    else
        key_hash(text, size, hash);
}

void
key_hash_rows(struct key_maker *m)
{
    if (m->n_short > 0)
        md5_short(m->short_texts, m->n_short);
    m->n_short = 0;
    m->n_made = 0;
}

uint32_t
key_trimmed(const struct value *v)
{
    uint32_t size = v->bytes.size;

    while (size > 0 && v->bytes.data[size - 1] == ' ')
        size--;
    return size;
}

/* The whole key, uncut.  Returns its size. */
static size_t
join(struct key_maker *m, const struct plan *plan, const struct value *values)
{
    char *at = m->room;
    char *start;

    memcpy(at, plan->text + plan->key_prefix.at, plan->key_prefix.size);
    at += plan->key_prefix.size;
    start = at;
    for (uint16_t i = 0; i < plan->n_key; i++) {
        const struct plan_column *column = &plan->columns[plan->key[i]];
        struct value v = values[plan->key[i]];

        if (i > 0)
            *at++ = '.';
        if (v.kind == VALUE_TEXT && column->is_trimmed)
            v.bytes.size = key_trimmed(&v);
        at += value_text(&v, column->scale, at, (size_t)(m->room + m->room_size - at));
    }
    if (at == start && plan->key_prefix.size == 0) {
        memcpy(at, plan->text + plan->empty_prefix.at, plan->empty_prefix.size);
        at += plan->empty_prefix.size;
    }
    return (size_t)(at - m->room);
}

/* The commonest key of all, which needs no fitting. */
static size_t
put_integer(char *to, const struct plan *plan, int64_t i)
{
    return (size_t)(digits_put_i64(fragment_put(to, plan, plan->key_prefix), i) - to);
}

static int
make_room(struct key_maker *m, const struct plan *plan, const struct value *values, struct err *e)
{
    size_t bound = (size_t)plan->empty_prefix.size + VALUE_TEXT_MAX;
    char *grown;

    for (uint16_t i = 0; i < plan->n_key; i++)
        bound += value_text_bound(&values[plan->key[i]]) + 1;
    if (bound <= m->room_size)
        return 0;
    grown = realloc(m->room, bound);
    if (grown == NULL)
        return err_set(e, ERR_NOMEM, "partition key of %zu bytes", bound);
    m->room = grown;
    m->room_size = bound;
    return 0;
}

bool
key_is_plain(const char *text, size_t size)
{
    uint64_t all = 0;
    uint64_t word;
    size_t i = 0;

    for (; i + 8 <= size; i += 8) {
        memcpy(&word, text + i, 8);
        all |= word;
    }
    for (; i < size; i++)
        all |= (unsigned char)text[i];
    return (all & 0x8080808080808080ULL) == 0;
}

uint32_t
key_fit(const char *text, size_t size, char out[RECORD_KEY_MAX])
{
    static const char hex[] = "0123456789abcdef";
    uint8_t hash[16];
    unsigned characters = 0;
    uint32_t n = 0;
    uint32_t kept = 0;

    for (size_t i = 0; i < size; characters++) {
        const unsigned char *p = (const unsigned char *)text + i;
        size_t step = json_character(p, size - i);
        bool is_valid = step > 0 && !(step == 3 && p[0] == 0xed && p[1] >= 0xa0);

        if (characters == KEY_KEPT_CHARACTERS)
            kept = n;
        if (characters == KEY_CHARACTERS_MAX) {
            key_hash(text, size, hash);
            out[kept++] = '#';
            for (int k = 0; k < 16; k++) {
                out[kept++] = hex[hash[k] >> 4];
                out[kept++] = hex[hash[k] & 15];
            }
            return kept;
        }
        memcpy(out + n, is_valid ? (const char *)p : "\xef\xbf\xbd", is_valid ? step : 3);
        n += (uint32_t)(is_valid ? step : 3);
        i += step > 0 ? step : 1;
    }
    return n;
}

int
key_of_row(struct key_maker *m, const struct plan *plan, const struct value *values,
           struct key *out, struct err *e)
{
    struct made_key *made = &m->made[m->n_made];
    size_t size;

    if (plan->n_key == 0) {
        out->text = plan->text + plan->table_key.text.at;
        out->size = plan->table_key.text.size;
        out->hash = plan->table_key.hash;
        return 0;
    }
    CHECK(m->n_made < KEY_BATCH);
    if (plan->n_key == 1 && values[plan->key[0]].kind == VALUE_INT && plan->has_plain_prefix) {
        size = put_integer(made->text, plan, values[plan->key[0]].i);
    } else {
        if (make_room(m, plan, values, e) != 0)
            return -1;
        size = join(m, plan, values);
        if (size > KEY_CHARACTERS_MAX || !key_is_plain(m->room, size))
            size = key_fit(m->room, size, made->text);
        else
            memcpy(made->text, m->room, size);
    }
    m->n_made++;
    out->text = made->text;
    out->size = (uint32_t)size;
    out->hash = made->hash;
    hash_later(m, made->text, out->size, made->hash);
    return 0;
}

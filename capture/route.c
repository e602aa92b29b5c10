#include "capture/capture_internal.h"
#include "common/err.h"
#include "common/topology.h"

#include <stdlib.h>
#include <string.h>

uint32_t
route_table(const struct capture *c, const char *full_name)
{
    if (c->topo.encoders == 1)
        return 0;
    return topology_encoder_of(full_name, strlen(full_name), c->topo.encoders);
}

static int
make_room(struct capture *c, size_t size, struct err *e)
{
    char *text;

    if (size <= c->key_size)
        return 0;
    text = realloc(c->key_text, size);
    if (text == NULL)
        return err_set(e, ERR_NOMEM, "key of %zu bytes", size);
    c->key_text = text;
    c->key_size = size;
    return 0;
}

/* The key's texts joined by '.', as the partition key is made: rows that share it share a ring. */
static int
key_text(struct capture *c, const struct table_def *d, const struct value *values, size_t *size,
         struct err *e)
{
    size_t n = 0;

    for (uint16_t k = 0; k < d->n_key; k++) {
        const struct column_def *column = &d->columns[d->key[k]];
        struct value v = values[d->key[k]];
        /* Of times; decimals carry their digits, and may have more than 9. */
        unsigned scale = v.kind == VALUE_DECIMAL ? 0 : column->scale;
        size_t bound = value_text_bound(&v) + 1;

        if (make_room(c, n + bound, e) != 0)
            return -1;
        if (k > 0)
            c->key_text[n++] = '.';
        while (v.kind == VALUE_TEXT && column->is_fixed_text && v.bytes.size > 0 &&
               v.bytes.data[v.bytes.size - 1] == ' ')
            v.bytes.size--;
        n += value_text(&v, scale, c->key_text + n, c->key_size - n);
    }
    *size = n;
    return 0;
}

int
route_event(struct capture *c, const struct member *m, const struct event *ev, uint32_t *ring,
            struct err *e)
{
    const struct table_def *d = m->source->def;
    /* An update that changes the key goes where the new key goes. */
    const struct value *values = ev->n_after > 0 ? ev->after : ev->before;
    size_t size = 0;

    if (c->topo.encoders == 1 || d->n_key == 0) {
        *ring = m->home;
        return 0;
    }
    if (key_text(c, d, values, &size, e) != 0)
        return -1;
    *ring = topology_encoder_of(c->key_text, size, c->topo.encoders);
    return 0;
}

#include "shipper/window.h"

#include "common/err.h"
#include "common/fault.h"

struct acks {
    struct unit *oldest;
    struct unit *newest;
    uint64_t release; /* further than released means: to be given by window_advance() */
    uint64_t released;
    bool has_passed;
    struct passed_watermark passed;
};

struct window {
    struct unit *units;
    struct unit *free_list;
    struct acks *channels;
    uint32_t n_channels;
    uint32_t unacked;
    uint64_t copy_bytes;
    uint64_t copy_limit;
    uint64_t generation;
};

int
window_open(const struct window_config *config, struct window **out, struct err *e)
{
    struct window *w = calloc(1, sizeof(*w));

    CHECK(config->records > 0 && config->channels > 0);
    if (w == NULL)
        return err_set(e, ERR_NOMEM, "no memory for the window");
    w->units = calloc(config->records, sizeof(*w->units));
    w->channels = calloc(config->channels, sizeof(*w->channels));
    if (w->units == NULL || w->channels == NULL) {
        window_close(&w);
        return err_set(e, ERR_NOMEM, "no memory for a window of %u records", config->records);
    }
    w->n_channels = config->channels;
    w->copy_limit = config->copy_bytes;
    w->generation = config->generation;
    for (uint32_t i = config->records; i-- > 0;) {
        w->units[i].next = w->free_list;
        w->free_list = &w->units[i];
    }
    *out = w;
    return 0;
}

static void
unit_free(struct window *w, struct unit *u)
{
    w->copy_bytes -= u->copy_size;
    free(u->copy);
    *u = (struct unit){.next = w->free_list};
    w->free_list = u;
}

void
window_close(struct window **pointer)
{
    struct window *w = *pointer;

    if (w == NULL)
        return;
    *pointer = NULL;
    for (uint32_t i = 0; w->channels != NULL && i < w->n_channels; i++) {
        while (w->channels[i].oldest != NULL) {
            struct unit *u = w->channels[i].oldest;

            w->channels[i].oldest = u->next;
            free(u->copy);
        }
    }
    free(w->channels);
    free(w->units);
    free(w);
}

bool
window_has_room(const struct window *w)
{
    return w->free_list != NULL;
}

uint32_t
window_unacked(const struct window *w)
{
    return w->unacked;
}

static void
pass(struct acks *c, const struct position *position, int64_t commit_real_ns)
{
    /* A restarted capture may tell again what it told before: what holds keeps holding. */
    if (c->has_passed && position_compare(position, &c->passed.position) <= 0)
        return;
    c->has_passed = true;
    c->passed = (struct passed_watermark){*position, commit_real_ns};
}

static int
take_watermark(struct window *w, struct acks *c, const struct ring_view *v, struct err *e)
{
    struct watermark m;

    if (v->len != sizeof(m))
        return err_set(e, ERR_CORRUPT, "a watermark of %u bytes, %zu expected", v->len, sizeof(m));
    memcpy(&m, v->data, sizeof(m));
    if (m.kind != WATERMARK || m.format != RECORD_FORMAT || m.generation != w->generation)
        return err_set(e, ERR_CORRUPT,
                       "a watermark of kind %x, format %u, generation %llu; expected %x, %u, %llu",
                       m.kind, m.format, (unsigned long long)m.generation, WATERMARK, RECORD_FORMAT,
                       (unsigned long long)w->generation);
    if (c->newest == NULL) {
        pass(c, &m.position, m.commit_real_ns);
        c->release = v->end;
        return 0;
    }
    c->newest->has_watermark = true;
    c->newest->watermark = m.position;
    c->newest->watermark_real_ns = m.commit_real_ns;
    c->newest->end = v->end;
    return 0;
}

static int
check_record(const struct ring_view *v, const struct record_head *h, struct err *e)
{
    if (v->len < sizeof(*h))
        return err_set(e, ERR_CORRUPT, "a record of %u bytes is shorter than its head", v->len);
    if (h->key_size == 0 || h->key_size > RECORD_KEY_MAX ||
        sizeof(*h) + (uint64_t)h->key_size + h->data_size != v->len)
        return err_set(e, ERR_CORRUPT, "a record of %u bytes says key %u and data %u bytes", v->len,
                       h->key_size, h->data_size);
    return 0;
}

static int
take_record(struct window *w, uint32_t channel, const struct ring_view *v, struct unit **out,
            struct err *e)
{
    const struct record_head *h = v->data;
    bool is_copied = (v->flags & RING_ASSEMBLED) != 0;
    struct acks *c = &w->channels[channel];
    struct unit *u = w->free_list;
    void *copy = NULL;

    if (check_record(v, h, e) != 0)
        return -1;
    if (u == NULL || (is_copied && w->copy_bytes > 0 && w->copy_bytes + v->len > w->copy_limit))
        return WINDOW_FULL;
    if (is_copied) {
        copy = malloc(v->len);
        if (copy == NULL)
            return err_set(e, ERR_NOMEM, "no memory for a record of %u bytes", v->len);
        memcpy(copy, v->data, v->len);
        h = copy;
    }
    w->free_list = u->next;
    *u = (struct unit){.head = h,
                       .key_text = h + 1,
                       .data = (const char *)(h + 1) + h->key_size,
                       .key_size = h->key_size,
                       .data_size = h->data_size,
                       .table_id = v->table_id,
                       .channel = channel,
                       .end = v->end,
                       .copy = copy,
                       .copy_size = is_copied ? v->len : 0};
    w->copy_bytes += u->copy_size;
    w->unacked++;
    if (c->newest != NULL)
        c->newest->next = u;
    else
        c->oldest = u;
    c->newest = u;
    *out = u;
    return 1;
}

int
window_take(struct window *w, uint32_t channel, const struct ring_view *v, struct unit **out,
            struct err *e)
{
    CHECK(channel < w->n_channels);
    if (v->type == RING_DATA)
        return take_record(w, channel, v, out, e);
    if (v->type == RING_CONTROL)
        return take_watermark(w, &w->channels[channel], v, e);
    return err_set(e, ERR_CORRUPT, "a message of type %u, which no record ring holds", v->type);
}

void
window_acknowledge(struct window *w, struct unit *u)
{
    CHECK(!u->is_acked && w->unacked > 0);
    u->is_acked = true;
    w->unacked--;
}

bool
window_advance(struct window *w, uint32_t channel, uint64_t *release)
{
    struct acks *c = &w->channels[channel];

    while (c->oldest != NULL && c->oldest->is_acked) {
        struct unit *u = c->oldest;

        c->release = u->end;
        if (u->has_watermark)
            pass(c, &u->watermark, u->watermark_real_ns);
        c->oldest = u->next;
        if (c->oldest == NULL)
            c->newest = NULL;
        unit_free(w, u);
    }
    /* The mutant that the tests must catch: gives back what is not acknowledged yet. */
    if (FAULT("shipper-release-early") != 0 && c->newest != NULL)
        c->release = c->newest->end;
    if (c->release == c->released)
        return false;
    c->released = c->release;
    *release = c->release;
    return true;
}

bool
window_passed(const struct window *w, struct passed_watermark *out)
{
    for (uint32_t i = 0; i < w->n_channels; i++) {
        const struct acks *c = &w->channels[i];

        if (!c->has_passed)
            return false;
        if (i == 0 || position_compare(&c->passed.position, &out->position) < 0)
            *out = c->passed;
    }
    return true;
}

#include "tests/mssqld/sql/arena.h"

#include <stdarg.h>
#include <stdint.h>

#include "common/err.h"

#define ARENA_BLOCK 16384U
#define ARENA_ALIGN 16U

struct arena_block {
    struct arena_block *next;
    size_t size;
    _Alignas(16) char data[];
};

void *
arena_alloc(struct arena *a, size_t size)
{
    size_t need = (size + ARENA_ALIGN - 1) & ~(size_t)(ARENA_ALIGN - 1);
    void *p;

    if (need == 0)
        need = ARENA_ALIGN;
    if (a->head == NULL || a->left < need) {
        size_t room = need > ARENA_BLOCK ? need : ARENA_BLOCK;
        struct arena_block *b = malloc(sizeof *b + room);

        CHECK(b != NULL);
        b->next = a->head;
        b->size = room;
        a->head = b;
        a->left = room;
    }
    p = a->head->data + (a->head->size - a->left);
    a->left -= need;
    memset(p, 0, need);
    return p;
}

void *
arena_dup(struct arena *a, const void *data, size_t size)
{
    void *p = arena_alloc(a, size + 1);

    if (size > 0)
        memcpy(p, data, size);
    return p;
}

char *
arena_strndup(struct arena *a, const char *text, size_t size)
{
    return arena_dup(a, text, size);
}

char *
arena_strdup(struct arena *a, const char *text)
{
    return arena_dup(a, text, strlen(text));
}

char *
arena_printf(struct arena *a, const char *fmt, ...)
{
    va_list args;
    va_list again;
    int n;
    char *p;

    va_start(args, fmt);
    va_copy(again, args);
    n = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    CHECK(n >= 0);
    p = arena_alloc(a, (size_t)n + 1);
    (void)vsnprintf(p, (size_t)n + 1, fmt, again);
    va_end(again);
    return p;
}

void
arena_reset(struct arena *a)
{
    struct arena_block *b = a->head;

    if (b == NULL)
        return;
    while (b->next != NULL) {
        struct arena_block *next = b->next;

        free(b);
        b = next;
    }
    a->head = b;
    a->left = b->size;
}

void
arena_free(struct arena *a)
{
    while (a->head != NULL) {
        struct arena_block *next = a->head->next;

        free(a->head);
        a->head = next;
    }
    a->left = 0;
}

void *
arena_push(struct arena *a, void *items, int n, size_t size)
{
    size_t count = (size_t)n;

    /* Room doubles at powers of two, so the old array is full exactly there. */
    if (count == 0)
        return arena_alloc(a, 4 * size);
    if (count >= 4 && (count & (count - 1)) == 0) {
        void *bigger = arena_alloc(a, 2 * count * size);

        memcpy(bigger, items, count * size);
        return bigger;
    }
    return items;
}

static void
sbuf_room(struct sbuf *s, size_t more)
{
    size_t need = s->size + more + 1;
    size_t room = s->room == 0 ? 256 : s->room;
    char *p;

    if (need <= s->room)
        return;
    while (room < need)
        room *= 2;
    p = realloc(s->data, room);
    CHECK(p != NULL);
    s->data = p;
    s->room = room;
}

void
sbuf_addn(struct sbuf *s, const void *data, size_t size)
{
    sbuf_room(s, size);
    if (size > 0)
        memcpy(s->data + s->size, data, size);
    s->size += size;
    s->data[s->size] = '\0';
}

void
sbuf_add(struct sbuf *s, const char *text)
{
    sbuf_addn(s, text, strlen(text));
}

void
sbuf_fmt(struct sbuf *s, const char *fmt, ...)
{
    va_list args;
    int n;

    sbuf_room(s, 128);
    for (;;) {
        va_start(args, fmt);
        n = vsnprintf(s->data + s->size, s->room - s->size, fmt, args);
        va_end(args);
        CHECK(n >= 0);
        if ((size_t)n < s->room - s->size)
            break;
        sbuf_room(s, (size_t)n);
    }
    s->size += (size_t)n;
}

void
sbuf_clear(struct sbuf *s)
{
    s->size = 0;
    if (s->data != NULL)
        s->data[0] = '\0';
}

void
sbuf_free(struct sbuf *s)
{
    free(s->data);
    *s = (struct sbuf){0};
}

#include "encoder/plan_text.h"

#include "common/digits.h"
#include "encoder/json.h"

static char *
make_room(struct plan_text *t, size_t size)
{
    if (t->size + size > t->room) {
        size_t room = 2 * (t->size + size) + 1024;
        char *grown = realloc(t->text, room);

        if (grown == NULL) {
            t->is_failed = true;
            return NULL;
        }
        t->text = grown;
        t->room = room;
    }
    return t->text + t->size;
}

void
plan_text_begin(struct plan_text *t)
{
    t->start = t->size;
}

struct fragment
plan_text_end(struct plan_text *t)
{
    return (struct fragment){.at = (uint32_t)t->start, .size = (uint32_t)(t->size - t->start)};
}

void
plan_text_bytes(struct plan_text *t, const void *bytes, size_t size)
{
    char *at = make_room(t, size);

    if (at == NULL || size == 0)
        return;
    memcpy(at, bytes, size);
    t->size += size;
}

void
plan_text_raw(struct plan_text *t, const char *text)
{
    plan_text_bytes(t, text, strlen(text));
}

void
plan_text_string(struct plan_text *t, const char *text)
{
    size_t size = strlen(text);
    char *at = make_room(t, JSON_TEXT_BOUND(size) + 2);

    if (at == NULL)
        return;
    *at = '"';
    at = json_put_text(at + 1, text, size);
    *at++ = '"';
    t->size = (size_t)(at - t->text);
}

void
plan_text_number(struct plan_text *t, uint32_t number)
{
    char digits[VALUE_TEXT_MAX];
    char *end = digits_put_u64(digits, number);

    plan_text_bytes(t, digits, (size_t)(end - digits));
}

static void
new_line(struct plan_text *t)
{
    if (!t->is_formatted)
        return;
    plan_text_raw(t, "\n");
    for (unsigned i = 0; i < t->depth; i++)
        plan_text_raw(t, "\t");
}

void
plan_text_message(struct plan_text *t)
{
    t->depth = 0;
    plan_text_open(t);
}

void
plan_text_open(struct plan_text *t)
{
    plan_text_raw(t, "{");
    t->depth++;
    t->has_member = false;
}

void
plan_text_close(struct plan_text *t)
{
    t->depth--;
    new_line(t);
    plan_text_raw(t, "}");
    t->has_member = true;
}

void
plan_text_member(struct plan_text *t, const char *name)
{
    if (t->has_member)
        plan_text_raw(t, ",");
    t->has_member = true;
    new_line(t);
    plan_text_string(t, name);
    plan_text_raw(t, t->is_formatted ? ":\t" : ":");
}

void
plan_text_message_end(struct plan_text *t)
{
    while (t->depth > 0)
        plan_text_close(t);
    if (!t->is_formatted)
        plan_text_raw(t, "\n");
}

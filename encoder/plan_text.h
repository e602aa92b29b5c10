/*
 * plan_text - builds the text block of a plan, fragment by fragment, in either JSON layout.
 *
 * The multi-line layout is the one DMS prints: a member on its own line, tabs for depth, a tab
 * behind the colon.  Growing can fail; the failure is kept in is_failed and asked once at the
 * end.
 */
#ifndef WEIR_ENCODER_PLAN_TEXT_H
#define WEIR_ENCODER_PLAN_TEXT_H

#include "encoder/plan.h"

struct plan_text {
    char *text;
    size_t size;
    size_t room;
    size_t start; /* of the fragment being built */
    unsigned depth;
    bool is_formatted;
    bool has_member; /* the innermost object has one: the next needs a comma */
    bool is_failed;
};

/* A fragment is what is written between these two. */
void plan_text_begin(struct plan_text *t);
struct fragment plan_text_end(struct plan_text *t);

void plan_text_bytes(struct plan_text *t, const void *bytes, size_t size);
void plan_text_raw(struct plan_text *t, const char *text);
void plan_text_string(struct plan_text *t, const char *text); /* quoted, escaped */
void plan_text_number(struct plan_text *t, uint32_t number);

/* "{" of a whole message, of a member's object; its "}". */
void plan_text_message(struct plan_text *t);
void plan_text_open(struct plan_text *t);
void plan_text_close(struct plan_text *t);

/* Separator, name and colon of a member. */
void plan_text_member(struct plan_text *t, const char *name);

/* Closes the objects that are still open and ends the message as the layout does. */
void plan_text_message_end(struct plan_text *t);

#endif

/*
 * settings - the table behind the task file: every setting with type, range, default and help.
 *
 * Made from common/settings.def; the parser (task.c), the JSON Schema, the reference page and
 * `weirctl settings` all read it.  Constant data: no ownership, no errors.
 */
#ifndef WEIR_SETTINGS_H
#define WEIR_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum setting_type {
    SETTING_BOOL,
    SETTING_NUMBER, /* a whole number between minimum and maximum */
    SETTING_TEXT,   /* minimum and maximum are its length in bytes */
    SETTING_PATH,   /* a file name; a relative one starts at the task file's folder */
    SETTING_WORD,   /* one of words */
    SETTING_SIZE,   /* bytes, as a number or as text with KiB, MiB, GiB */
    SETTING_RING,   /* the same, a power of two */
    SETTING_ARN,    /* of a Kinesis stream */
    SETTING_TIME,   /* UTC, as text or as seconds since 1970; kept as text */
    SETTING_SECRET,
    SETTING_RULES,
    SETTING_ATTRIBUTES, /* "Name=value;Name=value" of the section in words */
    SETTING_ANY,        /* any JSON, never printed */
};

enum setting_status { SETTING_USED, SETTING_NO_MEANING, SETTING_NOT_YET };

/* How the value is kept in struct task. */
enum setting_store {
    STORE_NONE,
    STORE_BOOL,
    STORE_U16,
    STORE_U32, /* and enumerations: the index of the word */
    STORE_U64,
    STORE_STRING,
    STORE_SECRET
};

struct setting {
    const char *section; /* dotted; "" = top */
    const char *name;
    enum setting_type type;
    const char *words; /* "a|b|c" for SETTING_WORD */
    int64_t minimum;
    int64_t maximum;
    const char *preset; /* the default as text; NULL = required */
    enum setting_status status;
    const char *reason;    /* of NO_MEANING and NOT_YET */
    const char *second_of; /* this is the second place of the setting of that name there; or NULL */
    const char *help;
    enum setting_store store;
    size_t offset; /* in struct task */
};

extern const struct setting settings_table[];
extern const size_t settings_count;

/* NULL when the section has no such setting.  Names are case-sensitive, as in DMS. */
const struct setting *settings_find(const char *section, const char *name);

/* True when path is a section (an object that holds settings or sections). */
bool settings_is_section(const char *path);

/* Calls visit for each direct subsection of `section`, in table order. */
void settings_each_section(const char *section,
                           void (*visit)(const char *path, const char *name, void *arg), void *arg);

/* True when the section or one below it has a setting without a default. */
bool settings_section_required(const char *section);

/*
 * The known name nearest to a misspelt one: first among the section's own settings and
 * subsections, then anywhere else.  Returns false when nothing is near.  *where is NULL for the
 * section itself, else the dotted section the name belongs to.
 */
bool settings_suggest(const char *section, const char *name, const char **suggestion,
                      const char **where);

/* Edit distance (insert, delete, replace, swap neighbours) without regard to case. */
size_t settings_distance(const char *a, const char *b);

/* The word number i of "a|b|c" into buf; false past the end. */
bool settings_word(const char *words, size_t i, char *buf, size_t size);

/* "a, b or c" */
const char *settings_words_text(const char *words, char *buf, size_t size);

/* "whole number 1..64", "one of ...", for people. */
const char *settings_type_text(const struct setting *s, char *buf, size_t size);

#endif

/*
 * task_doc - a JSON document that knows the line of each of its values, and collects complaints.
 *
 * jansson parses and keeps no lines; a scanner goes once more over the text, which is valid by
 * then, and remembers a hash of each path with its line.  A path unknown to the map (a member
 * that is missing, a value inside a string holding JSON) has the line of the nearest parent.
 *
 * Internal to the task file's own modules (task*.c).
 */
#ifndef WEIR_TASK_DOC_H
#define WEIR_TASK_DOC_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;

/* Where in the document, innermost first; lives on the stack of the walk. */
struct place {
    const struct place *up; /* NULL: the document */
    const char *key;        /* NULL: an element of an array */
    size_t index;
};

struct doc_line {
    uint64_t hash;
    unsigned line;
};

struct task_doc {
    const char *path; /* for messages */
    json_t *root;
    struct doc_line *lines; /* sorted by hash */
    size_t n_lines;
    size_t room;
    char **complaints;
    size_t n_complaints;
    size_t max_complaints; /* further ones are counted, not kept */
    size_t n_dropped;
    char **warnings;
    size_t n_warnings;
};

#define PLACE_TEXT_MAX 512

/*
 * Reads and parses the file.  ERR_IO and its like when it cannot be read; ERR_CONFIG with line
 * and column when it is not JSON, has a member twice, or is no object.  Must be closed in any case.
 */
int doc_open(struct task_doc *doc, const char *path, size_t max_complaints, struct err *e);

/* The same for text already in memory; path is only for messages. */
int doc_parse(struct task_doc *doc, const char *path, const char *text, size_t size,
              size_t max_complaints, struct err *e);

void doc_close(struct task_doc *doc);

unsigned doc_line(const struct task_doc *doc, const struct place *at);

/* "$.TableMappings.rules[2].rule-id" */
const char *place_text(const struct place *at, char *buf, size_t size);

/* "task.json:31: $.TableMappings.rules[2]" */
void doc_where(const struct task_doc *doc, const struct place *at, char *buf, size_t size);

void doc_complain(struct task_doc *doc, const struct place *at, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void doc_warn(struct task_doc *doc, const struct place *at, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/*
 * The document held by a JSON string, as the AWS API takes settings and mappings: a fresh
 * reference, or NULL after a complaint.
 */
json_t *doc_embedded(struct task_doc *doc, const struct place *at, const json_t *string);

/* "a list", "the text \"abc\"", "the number 5": what was found, for complaints. */
const char *doc_found(const json_t *value, char *buf, size_t size);

/* Copy that is never NULL; memory exhaustion ends the process. */
char *doc_strdup(const char *text);

#endif

/*
 * task_internal - what the files of the task module share: table mappings, secrets, values.
 */
#ifndef WEIR_TASK_INTERNAL_H
#define WEIR_TASK_INTERNAL_H

#include "common/task_doc.h"

#include <limits.h>

struct secret;
struct setting;
struct task;

struct task_loader {
    struct task_doc doc;
    struct task *task;
    char folder[PATH_MAX]; /* of the task file; relative paths start here */
};

/* The member of struct task that holds the setting. */
void *task_field(struct task *t, const struct setting *s);

/* Puts the setting's default in its place. */
void task_value_preset(struct task *t, const struct setting *s);

/* Puts the value in its place, or complains about it, or warns. */
void task_value_apply(struct task_loader *l, const struct setting *s, const json_t *v,
                      const struct place *at);

/* Reads the mapping document (object or string) into t->selections, or complains. */
void
task_rules_parse(struct task_doc *doc, struct task *t, const json_t *value, const struct place *at);

/* Reads parallel-load of a table-settings rule into t->parallel_loads, or complains. */
void task_parallel_parse(struct task_doc *doc, struct task *t, const json_t *object,
                         const char *schema, const char *table, const struct place *at);
void task_parallel_free(struct task *t);

/* Reads a password's description.  Never prints a value. */
void task_secret_parse(struct task_doc *doc, const json_t *value, const struct place *at,
                       const char *folder, struct secret *out);

/* The value of a setting in its second place: as good as in the first. */
void task_second_place(struct task_loader *l, const struct setting *s, const json_t *v,
                       const struct place *at);

/* True when the setting is given in its second place. */
bool task_has_second_place(const struct task_loader *l, const char *section, const char *name);

/* Applies "Name=value;Name=value". */
void task_attributes_parse(struct task_loader *l, const struct setting *s, const json_t *v,
                           const struct place *at);

/* What CdcStartPosition, CdcStartTime and CdcStopPosition mean together: t->start, t->stop. */
void task_bounds_check(struct task_doc *doc, struct task *t, const struct place *root);

/* Complaint text for a pattern with DMS wildcards, or NULL when it is well formed. */
const char *task_pattern_fault(const char *pattern);

/* path as it is when absolute or empty, else inside folder.  Fresh memory. */
char *task_resolve_path(const char *folder, const char *path);

/* Whole numbers that AWS prints with and without quotes.  False when it is neither. */
bool task_number(const json_t *value, long long *out);

#endif

/*
 * task_internal - what the files of the task module share: table mappings, secrets, values.
 */
#ifndef WEIR_TASK_INTERNAL_H
#define WEIR_TASK_INTERNAL_H

#include "common/task_doc.h"

struct secret;
struct task;

/* Reads the mapping document (object or string) into t->selections, or complains. */
void
task_rules_parse(struct task_doc *doc, struct task *t, const json_t *value, const struct place *at);

/* Reads a password's description.  Never prints a value. */
void task_secret_parse(struct task_doc *doc, const json_t *value, const struct place *at,
                       const char *folder, struct secret *out);

/* Complaint text for a pattern with DMS wildcards, or NULL when it is well formed. */
const char *task_pattern_fault(const char *pattern);

/* path as it is when absolute or empty, else inside folder.  Fresh memory. */
char *task_resolve_path(const char *folder, const char *path);

/* Whole numbers that AWS prints with and without quotes.  False when it is neither. */
bool task_number(const json_t *value, long long *out);

#endif

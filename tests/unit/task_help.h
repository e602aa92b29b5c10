/*
 * What the tests of the task file share: a good file, edited copies of it in a directory of their own.
 */
#ifndef WEIR_TESTS_TASK_HELP_H
#define WEIR_TESTS_TASK_HELP_H

#include "common/err.h"
#include "common/task.h"

#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define N(array) ((int)(sizeof(array) / sizeof((array)[0])))

#define MANY 50

/* Line numbers in the tests below count from the first line of this text. */
static const char base[] =
    "{\n"
    "  \"ReplicationTaskIdentifier\": \"invoices\",\n"
    "  \"MigrationType\": \"full-load-and-cdc\",\n"
    "  \"SourceEndpoint\": {\n"
    "    \"EngineName\": \"sqlserver\",\n"
    "    \"ServerName\": \"127.0.0.1\",\n"
    "    \"DatabaseName\": \"democustomer\",\n"
    "    \"Username\": \"weir\",\n"
    "    \"Password\": {\"Env\": \"WEIR_TEST_PASSWORD\"}\n"
    "  },\n"
    "  \"TargetEndpoint\": {\n"
    "    \"EngineName\": \"kinesis\",\n"
    "    \"KinesisSettings\": {\n"
    "      \"StreamArn\": \"arn:aws:kinesis:us-east-1:123456789012:stream/s\"\n"
    "    }\n"
    "  },\n"
    "  \"TableMappings\": {\"rules\": [\n"
    "    {\"rule-type\": \"selection\", \"rule-id\": \"1\", \"rule-name\": \"a\",\n"
    "     \"object-locator\": {\"schema-name\": \"dbo\", \"table-name\": \"%\"},\n"
    "     \"rule-action\": \"include\"}\n"
    "  ]},\n"
    "  \"ReplicationTaskSettings\": {},\n"
    "  \"Weir\": {}\n"
    "}\n";

static char directory[64];

static inline void
setup(void)
{
    (void)snprintf(directory, sizeof(directory), "/tmp/weir-task-test-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(directory));
    ck_assert_int_eq(chdir(directory), 0);
    (void)umask(027);
}

static inline void
teardown(void)
{
    (void)unlink("task.json");
    (void)unlink("password");
    ck_assert_int_eq(chdir("/"), 0);
    ck_assert_int_eq(rmdir(directory), 0);
}

static inline void
write_file(const char *name, const char *text, mode_t mode)
{
    int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(fchmod(fd, mode), 0);
    ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    ck_assert_int_eq(close(fd), 0);
}

/* The base text with its one occurrence of `from` replaced. */
static inline void
write_edited(const char *from, const char *to)
{
    char text[8192];
    const char *at = strstr(base, from);

    ck_assert_msg(at != NULL, "the base text has no %s", from);
    ck_assert_msg(strstr(at + 1, from) == NULL, "the base text has %s twice", from);
    ck_assert_int_lt(
        snprintf(text, sizeof(text), "%.*s%s%s", (int)(at - base), base, to, at + strlen(from)),
        sizeof(text));
    write_file("task.json", text, 0640);
}

static inline struct task *
load_good(void)
{
    struct err e = ERR_INIT;
    struct task *t = NULL;

    ck_assert_msg(task_load("task.json", &t, &e) == 0, "%s", e.text);
    return t;
}

#define SELECTION(id, name, schema, table, action, more)                                           \
    "{\"rule-type\": \"selection\", \"rule-id\": " id ", \"rule-name\": \"" name                   \
    "\", \"object-locator\": {\"schema-name\": \"" schema "\", \"table-name\": \"" table           \
    "\"}, \"rule-action\": \"" action "\"" more "}"

#define BASE_RULE                                                                                  \
    "    {\"rule-type\": \"selection\", \"rule-id\": \"1\", \"rule-name\": \"a\",\n"               \
    "     \"object-locator\": {\"schema-name\": \"dbo\", \"table-name\": \"%\"},\n"                \
    "     \"rule-action\": \"include\"}\n"

#endif

/*
 * Any bytes as a task file: refused with complaints that name a line of the file, or a task whose
 * fields all hold what their settings allow.
 */
#include "common/err.h"
#include "common/settings.h"
#include "common/task.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX 8

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char path[64];

static void
remove_file(void)
{
    (void)unlink(path);
}

static void
must(bool is_so, const char *what)
{
    if (is_so)
        return;
    (void)fprintf(stderr, "%s\n", what);
    abort();
}

static void
write_input(const uint8_t *data, size_t size)
{
    int fd;

    if (path[0] == '\0') {
        (void)snprintf(path, sizeof(path), "/dev/shm/weir-task-fuzz-%d.json", (int)getpid());
        (void)atexit(remove_file);
    }
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    must(fd >= 0 && write(fd, data, size) == (ssize_t)size, "cannot write the input");
    (void)close(fd);
}

static size_t
lines_of(const uint8_t *data, size_t size)
{
    size_t n = 1;

    for (size_t i = 0; i < size; i++)
        n += data[i] == '\n';
    return n;
}

static void
check_complaint(const char *text, size_t lines)
{
    size_t n = strlen(path);

    must(strncmp(text, path, n) == 0 && text[n] == ':', "a complaint does not name the file");
    must(strtoul(text + n + 1, NULL, 10) <= lines + 1, "a complaint names a line beyond the file");
    for (; *text != '\0'; text++)
        must((unsigned char)*text >= 0x20 && *text != 0x7F, "a control character in a complaint");
}

static void
check_task(const struct task *t)
{
    must(t->identifier[0] != '\0' && strchr(t->identifier, '/') == NULL, "identifier");
    must(t->source.port > 0 && t->weir.encoders >= 1 && t->weir.encoders <= 64, "numbers");
    must((t->weir.change_ring_size & (t->weir.change_ring_size - 1)) == 0, "ring size");
    must(t->target.region[0] != '\0' && t->target.stream_name[0] != '\0', "stream");
    must(t->n_selections > 0, "selections");
    (void)task_selects(t, "dbo", "invoices", true);
    (void)task_selects(t, "", "\xFF", false);
    (void)task_load_order(t, "dbo", "invoices", false);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *complaints[MAX];
    struct err e = ERR_INIT;
    struct task *t;
    size_t n;
    int rc;

    write_input(data, size);
    rc = task_check(path, &t, complaints, MAX, &n, &e);
    must((rc == 0) == (t != NULL) && (rc == 0) == (n == 0), "result and complaints disagree");
    for (size_t i = 0; i < n; i++) {
        check_complaint(complaints[i], lines_of(data, size));
        free(complaints[i]);
    }
    if (rc == 0)
        check_task(t);
    task_free(&t);
    return 0;
}

#include "deploy/weirctl/weirctl.h"

#include "common/err.h"
#include "common/task.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

int
weirctl_fail(const char *command, const struct err *e, int status)
{
    (void)fflush(stdout);
    (void)fprintf(stderr, "weirctl %s: %s\n", command, e->text);
    if (e->hint[0] != '\0')
        (void)fprintf(stderr, "  %s\n", e->hint);
    return status;
}

int
weirctl_load(const char *command, const char *path, struct task **out)
{
    struct err e = ERR_INIT;

    if (task_load(path, out, &e) != 0)
        return weirctl_fail(command, &e, WEIRCTL_USAGE);
    return WEIRCTL_OK;
}

int
weirctl_usage(const char *usage)
{
    (void)fprintf(stderr, "usage: weirctl %s\n", usage);
    return WEIRCTL_USAGE;
}

bool
weirctl_number(const char *text, unsigned long minimum, unsigned long maximum, unsigned long *out)
{
    char *end;

    if (!isdigit((unsigned char)text[0]))
        return false;
    errno = 0;
    *out = strtoul(text, &end, 10);
    return errno == 0 && *end == '\0' && *out >= minimum && *out <= maximum;
}

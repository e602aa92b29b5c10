/*
 * weirctl settings - the settings table as text, JSON Schema or reference page.
 */
#include "deploy/weirctl/weirctl.h"

#include "common/task.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define USAGE "settings [--schema | --markdown]"

int
settings_command(int argc, char **argv)
{
    int (*print)(int fd) = task_print_settings;

    if (argc > 2)
        return weirctl_usage(USAGE);
    if (argc == 2 && strcmp(argv[1], "--schema") == 0)
        print = task_print_schema;
    else if (argc == 2 && strcmp(argv[1], "--markdown") == 0)
        print = task_print_markdown;
    else if (argc == 2 && strcmp(argv[1], "--help") == 0) {
        (void)printf("usage: weirctl %s\n\n"
                     "Prints every setting of the task file with its type, range, default and "
                     "meaning.\n"
                     "  --schema     the same as a JSON Schema, for editors\n"
                     "  --markdown   the same as a page\n",
                     USAGE);
        return WEIRCTL_OK;
    } else if (argc == 2)
        return weirctl_usage(USAGE);
    return print(STDOUT_FILENO) == 0 ? WEIRCTL_OK : WEIRCTL_PROBLEMS;
}

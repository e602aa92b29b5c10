#include "common/log.h"
#include "deploy/weirctl/weirctl.h"

#include <stdio.h>
#include <string.h>

#ifndef WEIR_VERSION
#define WEIR_VERSION "unknown"
#endif

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *about;
} commands[] = {
    {"check", check_command, "examine a task file, then its source, its host and its stream"},
    {"status", status_command, "stages, rings, tables, latencies and errors of a task"},
    {"tables", tables_command, "table statistics, with the names DMS gives them"},
    {"tail", tail_command, "read a stream and print its records"},
    {"positions", positions_command, "where a task is, and what its source still has"},
    {"start", start_command, "let a cdc task begin anew at a place of your choice"},
    {"resume", resume_command, "let a task go on that has ended at its CdcStopPosition"},
    {"reload", reload_command, "load everything anew, or single tables while the others go on"},
    {"settings", settings_command, "list every setting of the task file"},
};

#define N_COMMANDS (sizeof(commands) / sizeof(commands[0]))

static void
print_help(FILE *out)
{
    (void)fprintf(out, "usage: weirctl COMMAND ...\n\n");
    for (size_t i = 0; i < N_COMMANDS; i++)
        (void)fprintf(out, "  %-9s %s\n", commands[i].name, commands[i].about);
    (void)fprintf(out, "\n`weirctl COMMAND --help` says more.\n");
}

int
main(int argc, char **argv)
{
    /* The parts of the stages used here log; what concerns the operator is printed by us. */
    log_init("weirctl", LOG_ERROR);
    if (argc < 2) {
        print_help(stderr);
        return WEIRCTL_USAGE;
    }
    for (size_t i = 0; i < N_COMMANDS; i++)
        if (strcmp(argv[1], commands[i].name) == 0)
            return commands[i].run(argc - 1, argv + 1);
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        print_help(stdout);
        return WEIRCTL_OK;
    }
    if (strcmp(argv[1], "--version") == 0) {
        (void)printf("weirctl %s\n", WEIR_VERSION);
        return WEIRCTL_OK;
    }
    (void)fprintf(stderr, "weirctl: there is no command '%s'\n\n", argv[1]);
    print_help(stderr);
    return WEIRCTL_USAGE;
}

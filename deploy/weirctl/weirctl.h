/*
 * weirctl - the operator's tool.  It reads: task files, statistics, rings, checkpoints, streams.
 * It writes nothing but its own output and requests (common/request.h).
 *
 * One file per command; main.c holds the table of commands.
 */
#ifndef WEIR_WEIRCTL_H
#define WEIR_WEIRCTL_H

#include <stdbool.h>

struct err;
struct task;

enum weirctl_exit {
    WEIRCTL_OK = 0,
    WEIRCTL_PROBLEMS = 1, /* check: something is wrong; status: degraded; not done */
    WEIRCTL_USAGE = 2,    /* also status and tables: nothing is there */
    WEIRCTL_LAYOUT = 3    /* files of another release */
};

/* Each parses its own arguments (argv[0] is the command) and returns an exit status. */
int check_command(int argc, char **argv);
int status_command(int argc, char **argv);
int tables_command(int argc, char **argv);
int tail_command(int argc, char **argv);
int settings_command(int argc, char **argv);
int positions_command(int argc, char **argv);
int start_command(int argc, char **argv);
int resume_command(int argc, char **argv);
int reload_command(int argc, char **argv);

/* Prints "weirctl <command>: <message>" with the remedy below.  Returns status. */
int weirctl_fail(const char *command, const struct err *e, int status);

/* Loads a task file or prints why not.  Returns an exit status. */
int weirctl_load(const char *command, const char *path, struct task **out);

/* One line "usage: weirctl ..." on stderr.  Returns WEIRCTL_USAGE. */
int weirctl_usage(const char *usage);

/* Reads a whole number in a range; false when text is anything else. */
bool
weirctl_number(const char *text, unsigned long minimum, unsigned long maximum, unsigned long *out);

#endif

/*
 * request - what an operator asks of a task: one small file each, in <state>/requests/.
 *
 * weirctl writes <id>.json as a whole; capture takes them, oldest first, at its start and between
 * two rounds of the log, carries each one out and renames it to <id>.done; what cannot be carried
 * out becomes <id>.refused, with the reason inside.  A death in between leaves the request there:
 * whoever carries one out does so in steps that can be repeated.  The newest of the finished files
 * stay, for whoever asks what became of a request.
 *
 * Blocking: small files, with fsync.  Thread use: any; one process takes.
 */
#ifndef WEIR_REQUEST_H
#define WEIR_REQUEST_H

#include <stdbool.h>
#include <stddef.h>

struct err;
struct task;

#define REQUEST_ID_SIZE   64
#define REQUEST_FROM_SIZE 128

/* What a person is told to do about what only a load from scratch mends. */
#define REQUEST_RELOAD_HINT                                                                        \
    "load anew: stop the task, ask for it with `weirctl reload TASK`, start it"

/* The same for one table of a task that goes on. */
#define REQUEST_RELOAD_TABLE_HINT "load the table anew: `weirctl reload TASK --table SCHEMA.TABLE`"

enum request_action {
    REQUEST_START,  /* begin anew at a place, without a load */
    REQUEST_RESUME, /* go on behind the stop at which the task ended */
    REQUEST_RELOAD, /* begin anew with a load */
    REQUEST_RELOAD_TABLES
};

struct request_table {
    char *schema;
    char *name;
};

struct request {
    char id[REQUEST_ID_SIZE]; /* the time it was asked and the process; text order is time order */
    enum request_action action;
    char from[REQUEST_FROM_SIZE]; /* REQUEST_START: a start as bounds_start() takes it */
    struct request_table *tables; /* owned */
    size_t n_tables;
};

/* "reload", "start", ... as it stands in the file and in logs. */
const char *request_name(enum request_action action);

/* Reads "schema.table", "[my schema].[my.table]" (with ]] for ]) and appends it.  ERR_USAGE. */
int request_add_table(struct request *r, const char *text, struct err *e);

/* Writes the request and fills in its id.  ERR_ACCESS, ERR_NOSPACE, ERR_IO. */
int request_submit(const struct task *t, struct request *r, struct err *e);

/*
 * The oldest request after the one named `after` ("" = the oldest of all): 1 = in *out, 0 = none.
 * A file that is no request is refused on the way, and logged.  -1: ERR_IO and its like.
 */
int request_next(const struct task *t, const char *after, struct request *out, struct err *e);
void request_free(struct request *r);

/* Ends the request, durably. */
int request_done(const struct task *t, const struct request *r, struct err *e);
int request_refuse(const struct task *t, const struct request *r, const char *why, struct err *e);

enum request_fate { REQUEST_WAITS, REQUEST_IS_DONE, REQUEST_IS_REFUSED };

/* What became of a request; why is filled when it was refused. */
enum request_fate request_fate(const struct task *t, const char *id, char *why, size_t size);

#endif

/*
 * err - one error value, filled where the fault is seen and returned up.
 *
 * A function that can fail takes a struct err and returns -1 (or NULL) after
 * err_set().  Callers add what they know with err_context() and return it
 * further; only a top loop logs.  "Log or return, never both."
 *
 * The code decides what the process does (err_class): retry here, restart
 * (exit 75), wait for the operator (exit 78), or suspend one table.
 *
 * Blocking: never.  Allocation: never.  Thread use: the err belongs to the caller.
 */
#ifndef WEIR_ERR_H
#define WEIR_ERR_H

#include <stdbool.h>
#include <stddef.h>

#define ERR_TEXT_MAX 1024
#define ERR_HINT_MAX 512

enum err_class {
    ERR_CLASS_RETRY,    /* transient: back off and try again in this process */
    ERR_CLASS_RESTART,  /* state of this process is suspect: exit 75, supervisor restarts */
    ERR_CLASS_OPERATOR, /* nothing but a person can mend it: exit 78, stay down */
    ERR_CLASS_TABLE,    /* suspend the table concerned and go on with the others */
};

/* X(code, name in logs, class) - names are stable identifiers, texts are not. */
#define ERR_CODES(X)                                                                               \
    X(ERR_NONE, "none", ERR_CLASS_RETRY)                                                           \
    X(ERR_IO, "io", ERR_CLASS_RESTART)                                                             \
    X(ERR_NOMEM, "no-memory", ERR_CLASS_RESTART)                                                   \
    X(ERR_NOSPACE, "no-space", ERR_CLASS_OPERATOR)                                                 \
    X(ERR_BUSY, "already-running", ERR_CLASS_OPERATOR)                                             \
    X(ERR_NOT_FOUND, "not-found", ERR_CLASS_RETRY)                                                 \
    X(ERR_ACCESS, "access-denied", ERR_CLASS_OPERATOR)                                             \
    X(ERR_LAYOUT, "layout", ERR_CLASS_OPERATOR)                                                    \
    X(ERR_CORRUPT, "corrupt", ERR_CLASS_RESTART)                                                   \
    X(ERR_RETIRED, "retired", ERR_CLASS_RESTART)                                                   \
    X(ERR_CONFIG, "config", ERR_CLASS_OPERATOR)                                                    \
    X(ERR_USAGE, "usage", ERR_CLASS_OPERATOR)                                                      \
    X(ERR_CONNECT, "connect", ERR_CLASS_RETRY)                                                     \
    X(ERR_TIMEOUT, "timeout", ERR_CLASS_RETRY)                                                     \
    X(ERR_TLS, "tls", ERR_CLASS_RETRY)                                                             \
    X(ERR_LOGIN, "login", ERR_CLASS_OPERATOR)                                                      \
    X(ERR_SQL, "sql", ERR_CLASS_RETRY)                                                             \
    X(ERR_CDC_OFF, "cdc-not-enabled", ERR_CLASS_OPERATOR)                                          \
    X(ERR_GAP, "history-gap", ERR_CLASS_OPERATOR)                                                  \
    X(ERR_RANGE, "position-out-of-range", ERR_CLASS_OPERATOR)                                      \
    X(ERR_HISTORY, "history-changed", ERR_CLASS_OPERATOR)                                          \
    X(ERR_DATA, "data", ERR_CLASS_TABLE)                                                           \
    X(ERR_CREDENTIALS, "credentials", ERR_CLASS_RETRY)                                             \
    X(ERR_CLOCK, "clock-skew", ERR_CLASS_RETRY)                                                    \
    X(ERR_THROTTLED, "throttled", ERR_CLASS_RETRY)                                                 \
    X(ERR_STREAM, "stream", ERR_CLASS_RETRY)                                                       \
    X(ERR_SERVICE, "service", ERR_CLASS_RETRY)                                                     \
    X(ERR_PROTOCOL, "protocol", ERR_CLASS_RETRY)                                                   \
    X(ERR_STOPPED, "stopped", ERR_CLASS_RETRY)

enum err_code {
#define X(code, name, class) code,
    ERR_CODES(X)
#undef X
        ERR_CODE_COUNT
};

struct err {
    enum err_code code;
    int sys;          /* errno, HTTP status or server message number; 0 = none */
    int line;         /* where it was first seen; with file, the key for counting */
    const char *file; /* static string, base name */
    char text[ERR_TEXT_MAX];
    char hint[ERR_HINT_MAX]; /* what to do about it; may be empty */
};

#define ERR_INIT                                                                                   \
    {                                                                                              \
        .code = ERR_NONE                                                                           \
    }

/*
 * All four evaluate to -1, so that `return err_set(...)` reads well; as macros, so that a
 * compiler and an analyser see the -1.  e may be NULL.
 */

/* Replaces e's content. */
#define err_set(e, code, ...) ERR_FAILS(err_set_at((e), (code), 0, __FILE__, __LINE__, __VA_ARGS__))

/* The same with an errno, an HTTP status or a server's number; an errno's text is appended. */
#define err_sys(e, code, sys, ...)                                                                 \
    ERR_FAILS(err_set_at((e), (code), (sys), __FILE__, __LINE__, __VA_ARGS__))

/* Puts "<context>: " in front of e's text: what the caller was about. */
#define err_context(e, ...) ERR_FAILS(err_context_at((e), __VA_ARGS__))

/* Sets the remedy shown after the message. */
#define err_hint(e, ...) ERR_FAILS(err_hint_at((e), __VA_ARGS__))

#define ERR_FAILS(call)                                                                            \
    __extension__({                                                                                \
        call;                                                                                      \
        -1;                                                                                        \
    })

void err_set_at(struct err *e, enum err_code code, int sys, const char *file, int line,
                const char *fmt, ...) __attribute__((format(printf, 6, 7)));
void err_context_at(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void err_hint_at(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

void err_clear(struct err *e);

/* Stable name of a code, as it stands in logs and statistics. */
const char *err_name(enum err_code code);

/* What a process must do about the code. */
enum err_class err_class(enum err_code code);

/* Exit status for an error that ends the process: 75 (restart) or 78 (operator). */
int err_exit_status(const struct err *e);

/* Writes "text [name, file:line]; hint" into buf, always terminated.  Returns buf. */
const char *err_format(const struct err *e, char *buf, size_t size);

/*
 * CHECK - a programmer's error, never a fault of input: logs place and condition and aborts.
 * Stays on in release builds.  Input from disk, network or the other side of a ring is
 * answered with ERR_CORRUPT or ERR_PROTOCOL instead.
 */
#define CHECK(cond)                                                                                \
    do {                                                                                           \
        if (__builtin_expect(!(cond), 0))                                                          \
            err_check_failed(#cond, __FILE__, __LINE__);                                           \
    } while (0)

__attribute__((noreturn)) void err_check_failed(const char *cond, const char *file, int line);

#endif

/* credential_process: a command of the operator's that prints credentials. */
#include "common/aws/provider.h"

#include "common/aws/keys.h"
#include "common/clock.h"
#include "common/err.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <openssl/crypto.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define OUTPUT_MAX 65536
#define TIMEOUT_NS (60 * NS_PER_S)
#define SLICE_MS   250

extern char **environ;

/* Starts the command in a process group of its own, its standard error thrown away. */
static int
start(const char *command, int fds[2], pid_t *pid, struct err *e)
{
    char shell[] = "sh";
    char option[] = "-c";
    char *const arguments[] = {shell, option, (char *)(uintptr_t)command, NULL};
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    int rc;

    if (pipe2(fds, O_CLOEXEC) != 0)
        return err_sys(e, ERR_IO, errno, "credential_process");
    (void)posix_spawn_file_actions_init(&actions);
    (void)posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    (void)posix_spawn_file_actions_adddup2(&actions, fds[1], 1);
    (void)posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
    (void)posix_spawnattr_init(&attributes);
    (void)posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
    (void)posix_spawnattr_setpgroup(&attributes, 0);
    rc = posix_spawn(pid, "/bin/sh", &actions, &attributes, arguments, environ);
    (void)posix_spawn_file_actions_destroy(&actions);
    (void)posix_spawnattr_destroy(&attributes);
    (void)close(fds[1]);
    if (rc == 0)
        return 0;
    (void)close(fds[0]);
    return err_sys(e, ERR_IO, rc, "start credential_process");
}

/* Everything it prints, until it closes its output.  Returns the size, -1 on trouble. */
static ssize_t
read_output(int fd, const struct aws_wait *w, char *out, struct err *e)
{
    int64_t until_ns = clock_mono_ns() + TIMEOUT_NS;
    struct pollfd fds[2] = {{.fd = fd, .events = POLLIN}, {.fd = w->stop_fd, .events = POLLIN}};
    size_t size = 0;

    for (;;) {
        ssize_t n;

        (void)poll(fds, 2, SLICE_MS);
        if (w->beat != NULL)
            w->beat(w->beat_arg);
        if ((fds[1].revents & POLLIN) != 0)
            return err_set(e, ERR_STOPPED, "stopped");
        if (clock_mono_ns() > until_ns)
            return err_set(e, ERR_TIMEOUT, "credential_process has not ended after 60 s");
        if ((fds[0].revents & (POLLIN | POLLHUP)) == 0)
            continue;
        n = read(fd, out + size, OUTPUT_MAX - size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? err_sys(e, ERR_IO, errno, "read credential_process") : (ssize_t)size;
        size += (size_t)n;
        if (size == OUTPUT_MAX)
            return err_set(e, ERR_CREDENTIALS, "credential_process prints more than 64 KiB");
    }
}

static int
take(const char *text, const char *from, struct credentials *out, struct err *e)
{
    json_t *o = json_loads(text, 0, NULL);
    json_int_t version = json_integer_value(json_object_get(o, "Version"));

    json_decref(o);
    if (version != 1)
        return err_set(e, ERR_CREDENTIALS,
                       "the output of credential_process (%s) is not JSON of Version 1", from);
    if (keys_from_json(text, "SessionToken", "the output of credential_process", out, e) != 0)
        return -1;
    if (out->expires_real_ns != 0 && out->expires_real_ns <= clock_real_ns())
        return err_set(e, ERR_CREDENTIALS, "credential_process (%s) printed expired credentials",
                       from);
    (void)snprintf(out->source, sizeof(out->source), "credential_process of %.500s", from);
    return 0;
}

int
provider_process(const char *command, const char *from, struct look *look, struct credentials *out,
                 struct err *e)
{
    char *text = calloc(1, OUTPUT_MAX + 1);
    int fds[2];
    int status = 0;
    ssize_t size;
    pid_t pid;
    int rc = -1;

    if (text == NULL)
        return err_set(e, ERR_NOMEM, "credential_process");
    if (start(command, fds, &pid, e) != 0) {
        free(text);
        return -1;
    }
    size = read_output(fds[0], look->wait, text, e);
    (void)close(fds[0]);
    if (size < 0)
        (void)kill(-pid, SIGKILL);
    (void)waitpid(pid, &status, 0);
    if (size >= 0 && (!WIFEXITED(status) || WEXITSTATUS(status) != 0))
        err_set(e, ERR_CREDENTIALS, "credential_process (%s) ended with status %d", from,
                WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
    else if (size >= 0)
        rc = take(text, from, out, e);
    OPENSSL_cleanse(text, OUTPUT_MAX);
    free(text);
    return rc;
}

#include "shipper/letters.h"

#include "common/clock.h"
#include "common/err.h"
#include "common/event.h"
#include "common/fault.h"
#include "common/task.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH_SIZE 4352

static const char *
operation_name(uint16_t operation)
{
    switch (operation) {
    case EVENT_LOAD:
        return "load";
    case EVENT_INSERT:
        return "insert";
    case EVENT_UPDATE:
        return "update";
    case EVENT_DELETE:
        return "delete";
    default:
        return "control";
    }
}

/* Text where it is text, else base64; NULL without memory. */
static json_t *
data_member(const struct unit *u, const char **name)
{
    json_t *text = json_stringn(u->data, u->data_size);
    char *encoded;

    *name = "data";
    if (text != NULL)
        return text;
    *name = "data-base64";
    encoded = malloc((size_t)u->data_size / 3 * 4 + 8);
    if (encoded == NULL)
        return NULL;
    (void)EVP_EncodeBlock((unsigned char *)encoded, u->data, (int)u->data_size);
    text = json_string(encoded);
    free(encoded);
    return text;
}

/* One line with its newline, from malloc; NULL without memory. */
static char *
make_line(const struct letter *l, size_t *size)
{
    const struct unit *u = l->unit;
    char time[CLOCK_ISO_SIZE];
    char position[POSITION_TEXT_SIZE];
    const char *name;
    json_t *data = data_member(u, &name);
    json_t *o;
    char *line = NULL;

    (void)clock_iso(l->real_ns, time);
    (void)position_text(&u->head->position, position);
    o = json_pack("{s:s, s:s, s:s, s:s, s:s, s:o?, s:o}", "time", time, "table", l->table,
                  "operation", operation_name(u->head->operation), "position", position, "reason",
                  l->reason, "partition-key", json_stringn(u->key_text, u->key_size), name, data);
    if (o == NULL)
        return NULL;
    *size = json_dumpb(o, NULL, 0, JSON_COMPACT);
    line = malloc(*size + 1);
    if (line != NULL) {
        (void)json_dumpb(o, line, *size, JSON_COMPACT);
        line[(*size)++] = '\n';
    }
    json_decref(o);
    return line;
}

/* All of it or an error; a line cut short by a full disk is taken back. */
static int
append(int fd, const char *path, const char *line, size_t size, struct err *e)
{
    off_t end = lseek(fd, 0, SEEK_END);
    size_t done = 0;
    char last = '\n';

    /* A host that died in the middle of a line: the next one must not join it. */
    if (end > 0 && (pread(fd, &last, 1, end - 1) != 1 || (last != '\n' && write(fd, "\n", 1) != 1)))
        return err_sys(e, ERR_IO, errno, "append to %s", path);

    while (done < size) {
        ssize_t n = write(fd, line + done, size - done);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            int why = errno;

            if (end >= 0 && ftruncate(fd, end) != 0)
                why = errno;
            return err_sys(e, why == ENOSPC || why == EDQUOT ? ERR_NOSPACE : ERR_IO, why,
                           "append to %s", path);
        }
        done += (size_t)n;
    }
    CRASH_POINT("shipper-letter-written");
    if (fdatasync(fd) != 0)
        return err_sys(e, ERR_IO, errno, "sync %s", path);
    return 0;
}

int
letters_write(const struct task *task, uint32_t shipper, const struct letter *l, struct err *e)
{
    char path[PATH_SIZE];
    size_t size = 0;
    char *line = make_line(l, &size);
    int rc;
    int fd;

    if (line == NULL)
        return err_set(e, ERR_NOMEM, "a dead letter of %u bytes", l->unit->data_size);
    (void)snprintf(path, sizeof(path), "%s/dead-letters.%u.ndjson", task->weir.state_directory,
                   shipper);
    /* Opened each time: whoever moves the file away gets a new one. */
    fd = open(path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC, 0640);
    if (fd < 0) {
        free(line);
        return err_sys(e, errno == EACCES ? ERR_ACCESS : ERR_IO, errno, "open %s", path);
    }
    rc = append(fd, path, line, size, e);
    (void)close(fd);
    free(line);
    return rc;
}

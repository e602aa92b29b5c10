#include "tests/kinesisd/history.h"

#include "common/err.h"
#include "tests/kinesisd/base64.h"
#include "tests/kinesisd/bytes.h"
#include "tests/kinesisd/digest.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

struct history {
    int fd;
    bool with_data;
    struct digest *digest;
    struct bytes pending;
    char path[256];
};

int
history_open(const char *path, bool with_data, struct digest *digest, struct history **out,
             struct err *e)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    struct history *h;

    if (fd < 0)
        return err_sys(e, ERR_IO, errno, "create history file %s", path);
    h = bytes_zalloc(sizeof(*h));
    h->fd = fd;
    h->with_data = with_data;
    h->digest = digest;
    (void)snprintf(h->path, sizeof(h->path), "%s", path);
    *out = h;
    return 0;
}

static void
add_escaped(struct bytes *to, const char *key, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)key[i];

        if (c == '\\')
            bytes_add(to, "\\\\", 2);
        else if (c == '\t')
            bytes_add(to, "\\t", 2);
        else if (c == '\n')
            bytes_add(to, "\\n", 2);
        else if (c < 0x20 || c == 0x7f)
            bytes_printf(to, "\\x%02x", c);
        else
            bytes_add(to, &key[i], 1);
    }
}

void
history_add(struct history *h, const struct history_line *line)
{
    struct bytes *to = &h->pending;
    char length[24];
    int n = snprintf(length, sizeof(length), "\t%zu\t", line->data_len);

    bytes_puts(to, line->stream);
    bytes_add(to, "\t", 1);
    bytes_puts(to, line->shard);
    bytes_add(to, "\t", 1);
    bytes_puts(to, line->sequence);
    bytes_add(to, "\t", 1);
    add_escaped(to, line->key, line->key_len);
    bytes_add(to, length, (size_t)n);
    if (h->with_data) {
        to->len += base64_encode(line->data, line->data_len,
                                 bytes_reserve(to, BASE64_SIZE(line->data_len)));
    } else {
        unsigned char md5[DIGEST_MD5_SIZE];

        digest_md5(h->digest, line->data, line->data_len, md5);
        digest_hex(md5, sizeof(md5), bytes_reserve(to, 2 * sizeof(md5) + 1));
        to->len += 2 * sizeof(md5);
    }
    bytes_add(to, "\n", 1);
}

bool
history_is_dirty(const struct history *h)
{
    return h->pending.len > 0;
}

int
history_flush(struct history *h, struct err *e)
{
    size_t done = 0;

    while (done < h->pending.len) {
        ssize_t n = write(h->fd, h->pending.data + done, h->pending.len - done);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            int saved = errno;

            bytes_shift(&h->pending, done);
            return err_sys(e, ERR_IO, saved, "write history file %s", h->path);
        }
        done += (size_t)n;
    }
    h->pending.len = 0;
    return 0;
}

void
history_close(struct history **h)
{
    if (*h == NULL)
        return;
    (void)close((*h)->fd);
    bytes_free(&(*h)->pending);
    free(*h);
    *h = NULL;
}

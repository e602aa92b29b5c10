/*
 * history - one line per accepted record, in order of acceptance.
 *
 * stream TAB shard TAB sequence TAB key TAB length TAB digest LF, where key has backslash, tab,
 * line end and other control characters escaped (\\ \t \n \xHH) and digest is the MD5 of the data
 * in hex, or the data in base64 when asked for.  Buffered; the caller flushes on a timer.
 * A record that was stored but answered as failed is here too: the file is what the stream holds.
 */
#ifndef KINESISD_HISTORY_H
#define KINESISD_HISTORY_H

#include <stdbool.h>
#include <stddef.h>

struct digest;
struct err;
struct history;

struct history_line {
    const char *stream;
    const char *shard;
    const char *sequence;
    const char *key;
    size_t key_len;
    const char *data;
    size_t data_len;
};

/* Creates or truncates path.  digest is borrowed. */
int history_open(const char *path, bool with_data, struct digest *digest, struct history **out,
                 struct err *e);

void history_add(struct history *h, const struct history_line *line);

/* True when lines wait to be written. */
bool history_is_dirty(const struct history *h);

/* Writes what is buffered; -1 with the reason, the lines stay buffered. */
int history_flush(struct history *h, struct err *e);

/* Does not flush. */
void history_close(struct history **h);

#endif

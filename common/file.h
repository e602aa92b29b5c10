/*
 * file - small files that must survive: read whole, replace atomically.
 */
#ifndef WEIR_FILE_H
#define WEIR_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct err;

/* mkdir -p with mode for the parts that are missing.  ERR_ACCESS, ERR_IO. */
int file_make_directory(const char *path, mode_t mode, struct err *e);

/*
 * Writes path by way of a temporary file beside it: write, fsync, rename, fsync of the
 * directory.  After a crash the file holds the old content or the new, never a mix.
 * ERR_NOSPACE, ERR_ACCESS, ERR_IO.
 */
int file_replace(const char *path, const void *data, size_t size, mode_t mode, struct err *e);

/* Reads a whole file of at most max bytes into fresh memory, NUL-terminated.
   ERR_NOT_FOUND, ERR_ACCESS, ERR_IO, ERR_LAYOUT (larger than max). */
int file_read(const char *path, size_t max, char **out, size_t *size, struct err *e);

/* Takes an exclusive OFD lock on path (made if absent) for the life of the returned
   descriptor.  ERR_BUSY names the holder's pid as written in the file. */
int file_lock(const char *path, int *fd, struct err *e);

/* True while some process holds path's lock. */
bool file_is_locked(const char *path);

#endif

/*
 * profile - AWS's shared files: ~/.aws/credentials and ~/.aws/config.
 *
 * [NAME] in the credentials file, [default] and [profile NAME] in the config file.  Lines that
 * start with # or ; are comments, as is what follows a blank and # or ; on any other line.
 * "key =" without a value opens a block of indented sub-keys, which belong to somebody else.
 * The last of repeated keys counts; keys compare without regard to case.
 */
#ifndef WEIR_AWS_PROFILE_H
#define WEIR_AWS_PROFILE_H

#include <stdbool.h>
#include <stddef.h>

struct err;

enum profile_file { PROFILE_CREDENTIALS, PROFILE_CONFIG };

/* One key asked for; found becomes true and value gets the text, unless it is NULL. */
struct profile_key {
    const char *key;
    char *value;
    size_t size;
    bool found;
};

/*
 * Looks the keys up in one profile of one file.  1 = the profile is there, 0 = it is not,
 * -1 = ERR_NOT_FOUND (no such file), ERR_ACCESS, ERR_IO, or ERR_CREDENTIALS (a value that does
 * not fit its place).  Clears what it read of the file from memory.
 */
int profile_read(const char *path, enum profile_file kind, const char *profile,
                 struct profile_key *keys, size_t n, struct err *e);

#endif

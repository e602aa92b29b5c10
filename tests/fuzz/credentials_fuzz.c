/* uses: aws */
/*
 * Any bytes as ~/.aws/credentials, as ~/.aws/config, and as a provider's JSON: refused, or keys that
 * fit their places.  The first byte chooses; nothing is asked of any service.
 */
#include "common/aws/credentials.h"
#include "common/aws/keys.h"
#include "common/aws/profile.h"
#include "common/err.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
must(bool is_so, const char *what)
{
    if (is_so)
        return;
    (void)fprintf(stderr, "%s\n", what);
    abort();
}

static void
read_profile(enum profile_file kind, const uint8_t *data, size_t size)
{
    char path[64];
    char id[129];
    char secret[257];
    struct profile_key keys[] = {{"aws_access_key_id", id, sizeof(id), false},
                                 {"aws_secret_access_key", secret, sizeof(secret), false},
                                 {"role_arn", NULL, 0, false}};
    struct err e = ERR_INIT;
    int fd = memfd_create("profile", 0);
    int rc;

    if (fd < 0 || write(fd, data, size) != (ssize_t)size)
        abort();
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    rc = profile_read(path, kind, "default", keys, 3, &e);
    must(rc >= 0 || e.code == ERR_CREDENTIALS || e.code == ERR_LAYOUT || e.code == ERR_IO,
         "refused with another code");
    for (int i = 0; i < 2 && rc > 0; i++)
        if (keys[i].found)
            must(strlen(keys[i].value) < keys[i].size, "longer than its place");
    (void)close(fd);
}

static void
read_json(const uint8_t *data, size_t size)
{
    static struct credentials found;
    struct err e = ERR_INIT;
    char *text = calloc(1, size + 1);
    int64_t at;

    memcpy(text, data, size);
    if (keys_from_json(text, "Token", "fuzz", &found, &e) == 0)
        must(strlen(found.access_key_id) < sizeof(found.access_key_id), "longer than its place");
    else
        must(e.code == ERR_CREDENTIALS, "refused with another code");
    if (keys_time(text, &at))
        must(strlen(text) >= strlen("2026-01-01T00:00:00Z"), "a time too short");
    free(text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    if (data[0] % 3 == 2)
        read_json(data + 1, size - 1);
    else
        read_profile(data[0] % 3 == 0 ? PROFILE_CREDENTIALS : PROFILE_CONFIG, data + 1, size - 1);
    return 0;
}

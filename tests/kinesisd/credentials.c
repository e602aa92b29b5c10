#include "tests/kinesisd/credentials.h"

#include "common/err.h"
#include "tests/kinesisd/bytes.h"

#include <errno.h>

#define LINE_MAX_BYTES 4096

void
credentials_free(struct credentials *c)
{
    for (size_t i = 0; i < c->count; i++) {
        free(c->list[i].access);
        free(c->list[i].secret);
        free(c->list[i].token);
    }
    free(c->list);
    *c = (struct credentials){0};
}

static char *
copy(const char *text)
{
    char *own = strdup(text);

    CHECK(own != NULL);
    return own;
}

/* One line of the file; 0 = taken or empty, -1 = malformed. */
static int
load_line(struct credentials *c, char *line)
{
    char *words[4] = {NULL};
    char *save = NULL;
    size_t n = 0;

    for (char *w = strtok_r(line, " \t\r\n", &save); w != NULL;
         w = strtok_r(NULL, " \t\r\n", &save)) {
        if (w[0] == '#' && n == 0)
            return 0;
        if (n == 4)
            return -1;
        words[n++] = w;
    }
    if (n == 0)
        return 0;
    if (n == 1 || (n == 4 && strcmp(words[3], "expired") != 0))
        return -1;
    c->list = bytes_realloc(c->list, (c->count + 1) * sizeof(struct credential));
    c->list[c->count++] = (struct credential){
        .access = copy(words[0]),
        .secret = copy(words[1]),
        .token = n >= 3 && strcmp(words[2], "-") != 0 ? copy(words[2]) : NULL,
        .is_expired = n == 4,
    };
    return 0;
}

int
credentials_load(struct credentials *c, const char *path, struct err *e)
{
    FILE *f = fopen(path, "re");
    char line[LINE_MAX_BYTES];
    int number = 0;

    if (f == NULL)
        return err_sys(e, ERR_CONFIG, errno, "open credentials file %s", path);
    credentials_free(c);
    while (fgets(line, sizeof(line), f) != NULL) {
        number++;
        if (load_line(c, line) != 0) {
            (void)fclose(f);
            return err_set(e, ERR_CONFIG,
                           "%s line %d is not \"ACCESSKEY SECRET [TOKEN [expired]]\"", path,
                           number);
        }
    }
    (void)fclose(f);
    return 0;
}

struct credential *
credentials_find(struct credentials *c, const char *access, size_t len)
{
    for (size_t i = 0; i < c->count; i++) {
        if (strlen(c->list[i].access) == len && memcmp(c->list[i].access, access, len) == 0)
            return &c->list[i];
    }
    return NULL;
}

const unsigned char *
credentials_key(struct credential *who, struct digest *d, const char *day, const char *region)
{
    char first[LINE_MAX_BYTES + 4];
    int n;

    if (strcmp(who->key_day, day) == 0)
        return who->key;
    n = snprintf(first, sizeof(first), "AWS4%s", who->secret);
    CHECK(n > 0 && (size_t)n < sizeof(first));
    digest_hmac(d, first, (size_t)n, day, strlen(day), who->key);
    digest_hmac(d, who->key, sizeof(who->key), region, strlen(region), who->key);
    digest_hmac(d, who->key, sizeof(who->key), "kinesis", 7, who->key);
    digest_hmac(d, who->key, sizeof(who->key), "aws4_request", 12, who->key);
    (void)snprintf(who->key_day, sizeof(who->key_day), "%s", day);
    return who->key;
}

/*
 * login - the LOGIN7 record ([MS-TDS] 2.2.6.4).
 */
#ifndef MSSQLD_TDS_LOGIN_H
#define MSSQLD_TDS_LOGIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pool;
struct err;

struct login {
    uint32_t version; /* TDS version the client speaks */
    uint32_t packet_size;
    const char *host;
    const char *user;
    const char *password; /* never logged */
    const char *application;
    const char *server;
    const char *language;
    const char *database;
    bool integrated;     /* proves who it is by SSPI tokens instead of a password */
    const uint8_t *sspi; /* the first of them */
    size_t sspi_size;
    bool read_only_intent;
    bool asks_utf8; /* UTF8_SUPPORT in the feature list */
};

/* Parses a record; texts lie in the pool.  -1: malformed, the message says where. */
int login_parse(const void *data, size_t size, struct pool *pool, struct login *out, struct err *e);

#endif

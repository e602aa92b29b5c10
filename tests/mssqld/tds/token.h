/*
 * token - the tokens of an answer that are not rows ([MS-TDS] 2.2.7).
 *
 * Each function appends one token.  Texts longer than their count field allows are cut.
 */
#ifndef MSSQLD_TDS_TOKEN_H
#define MSSQLD_TDS_TOKEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;

/* ENVCHANGE of the kinds that carry texts (database, language, packet size). */
void token_env_text(struct buf *b, uint8_t type, const char *now, const char *before);
/* ENVCHANGE of the kinds that carry bytes (collation, transaction, reset). */
void token_env_bytes(struct buf *b, uint8_t type, const void *now, size_t now_size,
                     const void *before, size_t before_size);

/* ENVCHANGE 20: go there instead. */
void token_env_routing(struct buf *b, const char *host, uint16_t port);

/* The server's next token of an integrated login. */
void token_sspi(struct buf *b, const void *token, size_t size);

struct token_message {
    int32_t number;
    uint8_t state;
    uint8_t severity; /* above 10: ERROR, else INFO */
    const char *text;
    const char *server;
    const char *procedure; /* "" = none */
    int32_t line;
};

void token_message(struct buf *b, const struct token_message *m);

/* version: the one the client asked for, as in LOGIN7. */
void token_loginack(struct buf *b, uint32_t version);
/* Answers UTF8_SUPPORT, the only feature known here. */
void token_feature_ack(struct buf *b);
void token_done(struct buf *b, uint8_t token, uint16_t status, uint16_t command, uint64_t rows);
void token_return_status(struct buf *b, int32_t status);

#endif

/*
 * db_error - the first error of a batch, and what its number means for weir.
 */
#ifndef WEIR_SQLSERVER_DB_ERROR_H
#define WEIR_SQLSERVER_DB_ERROR_H

#include <stdbool.h>
#include <stdint.h>

struct err;

struct db_error {
    int32_t server; /* message number of the server; 0 = none */
    int32_t client; /* DB-Library's number; 0 = none */
    int32_t severity;
    char text[400]; /* of the server if it spoke, else of DB-Library */
};

void db_error_clear(struct db_error *d);

/* Keep the first of each kind. */
void db_error_server(struct db_error *d, int32_t number, int severity, const char *text);
void db_error_client(struct db_error *d, int number, const char *text);

bool db_error_is_set(const struct db_error *d);
bool db_error_is_server(const struct db_error *d);
/* DB-Library found nobody at the address, or not in the time it gave itself. */
bool db_error_is_unreachable(const struct db_error *d);
const char *db_error_text(const struct db_error *d);

/* How long to leave the server alone at least after this message: a service that limits its users
   counts each early attempt against them.  0 = it is no such message. */
uint32_t db_error_pause_ms(int number);

/* Fills e: code by the number's meaning, the server's words in the text, a remedy where there is
   one.  e->sys is the server's number.  Returns -1. */
int db_error_report(const struct db_error *d, const char *what, struct err *e);

#endif

/* sqlerr - one error as SQL Server words it: number, severity, state, text. */
#ifndef MSSQLD_SQLERR_H
#define MSSQLD_SQLERR_H

#include <stdbool.h>
#include <stdint.h>

struct sqlerr {
    int32_t number; /* 0 = none */
    uint8_t severity;
    uint8_t state;
    int32_t line;
    const char *procedure; /* NULL = none; borrowed */
    char text[2048];
};

/* Fills e (number must not be 0) and evaluates to -1. */
int sqlerr_set(struct sqlerr *e, int32_t number, uint8_t severity, uint8_t state, const char *fmt,
               ...) __attribute__((format(printf, 5, 6)));

/* True when the error ends the batch and rolls the transaction back, not only the statement. */
bool sqlerr_ends_batch(const struct sqlerr *e);

/* The texts that several places need. */
int sqlerr_conversion(struct sqlerr *e, const char *from, const char *value, const char *to);
int sqlerr_overflow(struct sqlerr *e, const char *to);
int sqlerr_syntax(struct sqlerr *e, const char *near);

#endif

/*
 * identity - which stream a shipper has been writing to: <state>/stream.<generation>.<shipper>.json.
 *
 * A stream that is deleted and made again under its name has lost what its consumers had not read,
 * and says so nowhere.  The first sight of a target is remembered durably; another one later is
 * an error for an operator, also when it was exchanged while no shipper ran.
 */
#ifndef WEIR_SHIPPER_IDENTITY_H
#define WEIR_SHIPPER_IDENTITY_H

#include "shipper/target.h"

struct stage;
struct topology;

/* Remembers state->identity, or compares it with what is remembered; "" is never compared.
   ERR_HISTORY (another one), ERR_LAYOUT (the file is damaged), ERR_IO, ERR_NOSPACE, ERR_ACCESS. */
int identity_check(const struct stage *stage, const struct topology *topology,
                   const struct target_state *state, struct err *e);

#endif

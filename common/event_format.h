/*
 * event_format - what the writer (event.c) and the reader (event_decode.c) of change events have
 * to agree on; for everybody else event.h says it.
 */
#ifndef WEIR_EVENT_FORMAT_H
#define WEIR_EVENT_FORMAT_H

#include "common/event.h"

#define EVENT_MEMBERS 9

/* Extension types of the format. */
enum {
    EXT_UNAVAILABLE = 1,
    EXT_DECIMAL = 2,
    EXT_DATE = 3,
    EXT_TIME = 4,
    EXT_DATETIME = 5,
    EXT_DATETIMEOFFSET = 6,
    EXT_UUID = 7,
};

#endif

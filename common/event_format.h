/*
 * event_format - what the writer (event.c) and the reader (event_decode.c) of change events have
 * to agree on; for everybody else event.h says it.
 */
#ifndef WEIR_EVENT_FORMAT_H
#define WEIR_EVENT_FORMAT_H

#include "common/event.h"

#define EVENT_MEMBERS 9

/* In front of a cut value's bytes: the size of the whole. */
#define EVENT_CUT_HEAD 4

/* Extension types of the format. */
enum {
    EXT_UNAVAILABLE = 1,
    EXT_DECIMAL = 2,
    EXT_DATE = 3,
    EXT_TIME = 4,
    EXT_DATETIME = 5,
    EXT_DATETIMEOFFSET = 6,
    EXT_UUID = 7,
    EXT_CUT_TEXT = 8,
    EXT_CUT_BYTES = 9,
};

#endif

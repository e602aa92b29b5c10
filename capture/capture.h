/*
 * capture - reads a source and fills the change rings: the engine-independent part.
 *
 * Thread use: one thread; one capture a process.
 */
#ifndef WEIR_CAPTURE_CAPTURE_H
#define WEIR_CAPTURE_CAPTURE_H

struct err;
struct stage;

/*
 * Runs until a stop is asked for (0), a full-load task is finished (0), the task has come to its
 * CdcStopPosition and all of it is acknowledged (0), or an error of class
 * RESTART or OPERATOR (-1).  Errors of class RETRY are answered here, with backoff.
 */
int capture_run(struct stage *stage, struct err *e);

#endif

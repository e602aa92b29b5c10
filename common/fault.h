/*
 * fault - crash points and injected failures, present in test builds only (WEIR_FAULTS).
 *
 * CRASH_POINT("name") kills the process with SIGKILL when the environment says
 * WEIR_CRASH=name:count and the point is reached for the count-th time (1 = first);
 * WEIR_CRASH=*:count counts every point.
 * FAULT("name") is the errno to fail with, 0 otherwise: WEIR_FAULT=name:count:errno-number
 * (count 0 = every time).  In release builds both vanish.
 */
#ifndef WEIR_FAULT_H
#define WEIR_FAULT_H

#ifdef WEIR_FAULTS
void fault_crash_point(const char *name);
int fault_check(const char *name);
/* Re-reads the environment; tests that set it after start call this. */
void fault_reload(void);
#define CRASH_POINT(name) fault_crash_point(name)
#define FAULT(name)       fault_check(name)
#else
#define CRASH_POINT(name) ((void)0)
#define FAULT(name)       (0)
#endif

#endif

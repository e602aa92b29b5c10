#include "common/clock.h"
#include "common/fault.h"
#include "common/ring.h"
#include "common/ring_internal.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/*
 * The handshake.  Waiter: waiting word = 1, fence, look at the position again, sleep in the
 * kernel, which compares the position once more.  Other side: store the position, fence, look
 * at the waiting word, wake.  With both fences at least one of the two sees the other's store.
 *
 * A peer killed between its store and its wake owes a wake for ever: hence no sleep is
 * longer than RING_WAIT_SLICE_MS.
 */
#ifdef WEIR_FAULTS
int ring_wait_slice_ms = RING_WAIT_SLICE_MS;
#endif

/* Without futex_waitv a sleeper on several rings looks at all of them this often. */
#define ROUND_MS 1

/* Looks before the first sleep: about the time that a wake-up takes on a busy host. */
#define SPINS 200
#ifdef WEIR_FAULTS
int ring_wait_spins = SPINS;
#else
#define ring_wait_spins SPINS
#endif

static void
cpu_pause(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* The low half of a position: what the kernel compares. */
static uint32_t *
futex_word(_Atomic uint64_t *pos)
{
    return (uint32_t *)(uintptr_t)pos;
}

void
ring_wake_all(_Atomic uint64_t *word)
{
    (void)syscall(SYS_futex, futex_word(word), FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

bool
ring_looked_too_early(const struct ring_end *side)
{
    if (RING_MUTANT != RING_MUTANT_EARLY_LOOK || atomic_load(&side->waiting) != 0)
        return false;
    for (int i = 0; i < 200; i++)
        cpu_pause(); /* a store buffer full of lines that the other core holds */
    return true;
}

void
ring_wake_if_waiting(struct ring_end *side, _Atomic uint64_t *word)
{
    ring_fence(); /* pairs with the waiter's fence in prepare_sleep() */
    if (__builtin_expect(atomic_load_explicit(&side->waiting, memory_order_relaxed) == 0, 1))
        return;
    CRASH_POINT("ring.wake.seen");
    atomic_store_explicit(&side->waiting, 0, memory_order_relaxed);
    CRASH_POINT("ring.wake.cleared");
    ring_wake_all(word);
}

static void
sleep_on_one(_Atomic uint64_t *word, uint64_t seen, int64_t timeout_ns)
{
    struct timespec t = {.tv_sec = timeout_ns / NS_PER_S, .tv_nsec = timeout_ns % NS_PER_S};

    /* Not PRIVATE: the other side is another process. */
    (void)syscall(SYS_futex, futex_word(word), FUTEX_WAIT, (uint32_t)seen, &t, NULL, 0);
}

#ifdef SYS_futex_waitv

/* Whether the kernel has the call and the sandbox lets it through; asked once. */
static atomic_bool waitv_missing;

static bool
sleep_on_several(struct ring *const *rings, int n, int64_t until_ns)
{
    struct futex_waitv waiters[FUTEX_WAITV_MAX];
    struct timespec t = {.tv_sec = until_ns / NS_PER_S, .tv_nsec = until_ns % NS_PER_S};
    int error = FAULT("ring.waitv");

    if (n > FUTEX_WAITV_MAX || atomic_load_explicit(&waitv_missing, memory_order_relaxed))
        return false;
    for (int i = 0; i < n; i++)
        waiters[i] = (struct futex_waitv){
            .val = (uint32_t)rings[i]->peer,
            .uaddr = (uint64_t)(uintptr_t)futex_word(&rings[i]->header->producer.pos),
            .flags = FUTEX_32,
        };
    if (error == 0 && syscall(SYS_futex_waitv, waiters, n, 0, &t, CLOCK_MONOTONIC) < 0)
        error = errno;
    if (error == ENOSYS || error == EPERM) {
        atomic_store_explicit(&waitv_missing, true, memory_order_relaxed);
        return false;
    }
    return true;
}

#else

static bool
sleep_on_several(struct ring *const *rings, int n, int64_t until_ns)
{
    (void)rings;
    (void)n;
    (void)until_ns;
    return false;
}

#endif

static bool
is_closed(const struct ring *r)
{
    return atomic_load_explicit(&r->header->state.word, memory_order_relaxed) != RING_OPEN;
}

/* Data, or a state that ring_next() must report. */
static bool
any_readable(struct ring *const *rings, int n)
{
    for (int i = 0; i < n; i++)
        if (ring_has_data(rings[i]) || is_closed(rings[i]))
            return true;
    return false;
}

static void
set_waiting(struct ring_end *side, uint32_t value)
{
    atomic_store_explicit(&side->waiting, value, memory_order_relaxed);
}

static void
sleep_for_data(struct ring *const *rings, int n, int64_t until_ns, int *turn)
{
    int64_t left = until_ns - clock_mono_ns();

    for (int i = 0; i < n; i++)
        set_waiting(&rings[i]->header->consumer, 1);
    ring_fence(); /* pairs with the publisher's in ring_wake_if_waiting() */
    if (!any_readable(rings, n) && left > 0 && (n == 1 || !sleep_on_several(rings, n, until_ns))) {
        struct ring *r = rings[*turn % n];

        if (n > 1 && left > ROUND_MS * NS_PER_MS)
            left = ROUND_MS * NS_PER_MS;
        sleep_on_one(&r->header->producer.pos, r->peer, left);
        (*turn)++;
    }
    for (int i = 0; i < n; i++)
        set_waiting(&rings[i]->header->consumer, 0);
}

static int64_t
slice_end(int64_t now_ns, int64_t deadline_ns)
{
    int64_t slice = now_ns + ring_wait_slice_ms * NS_PER_MS;

    return slice < deadline_ns ? slice : deadline_ns;
}

bool
ring_wait_data(struct ring *const *rings, int n, int timeout_ms)
{
    int64_t deadline = clock_mono_ns() + timeout_ms * NS_PER_MS;
    int turn = 0;

    CHECK(n > 0);
    for (int i = 0; i < n; i++)
        ring_flush_release(rings[i]); /* about to idle: hold nothing back */
    for (int i = 0; i < ring_wait_spins; i++) {
        if (any_readable(rings, n))
            return true;
        cpu_pause();
    }
    for (;;) {
        int64_t now = clock_mono_ns();

        if (any_readable(rings, n))
            return true;
        if (now >= deadline)
            return false;
        sleep_for_data(rings, n, slice_end(now, deadline), &turn);
    }
}

bool
ring_wait_room(struct ring *r, uint64_t bytes, int timeout_ms)
{
    struct ring_header *h = r->header;
    int64_t deadline = clock_mono_ns() + timeout_ms * NS_PER_MS;
    uint64_t need;

    CHECK(bytes <= ring_max_message(r));
    need = ring_message_need(r, bytes);
    for (int i = 0; i < ring_wait_spins; i++) {
        if (ring_has_room(r, need))
            return true;
        cpu_pause();
    }
    for (;;) {
        int64_t now = clock_mono_ns();

        if (ring_has_room(r, need) || is_closed(r))
            return true;
        if (now >= deadline)
            return false;
        set_waiting(&h->producer, 1);
        ring_fence(); /* pairs with the consumer's in ring_wake_if_waiting() */
        if (!ring_has_room(r, need) && !is_closed(r))
            sleep_on_one(&h->consumer.pos, r->peer, slice_end(now, deadline) - now);
        set_waiting(&h->producer, 0);
    }
}

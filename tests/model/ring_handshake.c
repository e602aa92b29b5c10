/*
 * Model of common/ring_wait.c: one sleeper, one publish.  Never may the sleeper go to sleep
 * while the publisher thinks it awake.  With a fence of either side weakened to acq_rel (or
 * left out) the loss must be reported.
 */
#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#ifndef PUBLISHER_FENCE
#define PUBLISHER_FENCE memory_order_seq_cst
#endif
#ifndef WAITER_FENCE
#define WAITER_FENCE memory_order_seq_cst
#endif

static atomic_int tail;
static atomic_int waiting;
static bool sleeps;
static bool wakes;

static void *
publish(void *arg)
{
    atomic_store_explicit(&tail, 1, memory_order_release);
    atomic_thread_fence(PUBLISHER_FENCE);
    wakes = atomic_load_explicit(&waiting, memory_order_relaxed) != 0;
    return arg;
}

static void *
wait_for_data(void *arg)
{
    atomic_store_explicit(&waiting, 1, memory_order_relaxed);
    atomic_thread_fence(WAITER_FENCE);
    sleeps = atomic_load_explicit(&tail, memory_order_acquire) == 0;
    return arg;
}

int
main(void)
{
    pthread_t publisher;
    pthread_t waiter;

    pthread_create(&publisher, NULL, publish, NULL);
    pthread_create(&waiter, NULL, wait_for_data, NULL);
    pthread_join(publisher, NULL);
    pthread_join(waiter, NULL);
    assert(!sleeps || wakes);
    return 0;
}

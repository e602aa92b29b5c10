/*
 * Model of common/ring_producer.c and ring_consumer.c: three messages through two slots.
 * The payload is plain memory: a missing order shows as a data race or as a wrong value.
 * Any one of the four macros weakened to memory_order_relaxed must be reported.
 */
#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>

#ifndef TAIL_STORE
#define TAIL_STORE memory_order_release
#endif
#ifndef TAIL_LOAD
#define TAIL_LOAD memory_order_acquire
#endif
#ifndef RELEASE_STORE
#define RELEASE_STORE memory_order_release
#endif
#ifndef RELEASE_LOAD
#define RELEASE_LOAD memory_order_acquire
#endif

#define SLOTS    2
#define MESSAGES 3

static int slot[SLOTS];
static atomic_int tail;
static atomic_int release;

static void *
produce(void *arg)
{
    for (int i = 0; i < MESSAGES; i++) {
        while (atomic_load_explicit(&release, RELEASE_LOAD) + SLOTS <= i)
            continue;
        slot[i % SLOTS] = i + 1;
        atomic_store_explicit(&tail, i + 1, TAIL_STORE);
    }
    return arg;
}

static void *
consume(void *arg)
{
    for (int i = 0; i < MESSAGES; i++) {
        while (atomic_load_explicit(&tail, TAIL_LOAD) <= i)
            continue;
        assert(slot[i % SLOTS] == i + 1);
        atomic_store_explicit(&release, i + 1, RELEASE_STORE);
    }
    return arg;
}

int
main(void)
{
    pthread_t producer;
    pthread_t consumer;

    pthread_create(&producer, NULL, produce, NULL);
    pthread_create(&consumer, NULL, consume, NULL);
    pthread_join(producer, NULL);
    pthread_join(consumer, NULL);
    return 0;
}

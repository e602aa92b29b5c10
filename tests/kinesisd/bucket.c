#include "tests/kinesisd/bucket.h"

#include "common/clock.h"

static int64_t
clip(int64_t rate)
{
    return rate < 1 ? 1 : rate > BUCKET_RATE_MAX ? BUCKET_RATE_MAX : rate;
}

void
bucket_init(struct bucket *b, int64_t rate, int64_t now_ns)
{
    b->rate = clip(rate);
    b->level = b->rate * NS_PER_S;
    b->at_ns = now_ns;
}

void
bucket_set_rate(struct bucket *b, int64_t rate)
{
    b->rate = clip(rate);
    if (b->level > b->rate * NS_PER_S)
        b->level = b->rate * NS_PER_S;
}

static void
refill(struct bucket *b, int64_t now_ns)
{
    int64_t capacity = b->rate * NS_PER_S;
    int64_t elapsed_ns = now_ns - b->at_ns;
    int64_t gain;

    if (elapsed_ns <= 0)
        return;
    b->at_ns = now_ns;
    /* A debt can be larger than one second's worth: the gain itself must not be clipped. */
    if (__builtin_mul_overflow(elapsed_ns, b->rate, &gain) || gain > capacity - b->level)
        b->level = capacity;
    else
        b->level += gain;
}

bool
bucket_admits(struct bucket *b, int64_t amount, int64_t now_ns)
{
    refill(b, now_ns);
    if (amount > b->rate)
        amount = b->rate;
    return b->level >= amount * NS_PER_S;
}

void
bucket_take(struct bucket *b, int64_t amount)
{
    b->level -= amount * NS_PER_S;
}

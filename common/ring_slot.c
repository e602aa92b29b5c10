#include "common/crc32c.h"
#include "common/fault.h"
#include "common/ring_internal.h"

static uint64_t
slot_check(const uint64_t *word, uint32_t count)
{
    uint32_t crc = crc32c(0, word, SLOT_CHECK * sizeof(*word));

    return (uint64_t)crc32c(crc, &count, sizeof(count)) << 32 | count;
}

/*
 * The position is taken away first and given last: a death in between leaves a slot that
 * matches no position.  A signal fence is enough for that, because what a killed process
 * leaves is what its program order made; readers that run at the same time rely on the check.
 */
void
ring_slot_store(struct ring_slot *slot, const struct ring_slot_copy *from)
{
    uint64_t word[SLOT_WORDS];

    word[SLOT_POS] = from->pos;
    word[SLOT_SEQ] = from->seq;
    word[SLOT_EPOCH] = from->source.epoch;
    for (int i = 0; i < 4; i++)
        word[SLOT_SOURCE + i] = from->source.words[i];
    word[SLOT_CHECK] = slot_check(word, from->count);

    atomic_store_explicit(&slot->word[SLOT_POS], RING_NOWHERE, memory_order_relaxed);
    atomic_signal_fence(memory_order_release);
    CRASH_POINT("ring.slot.taken");
    for (int i = SLOT_SEQ; i < SLOT_WORDS; i++) {
        atomic_store_explicit(&slot->word[i], word[i], memory_order_relaxed);
        CRASH_POINT("ring.slot.word");
    }
    /* pairs with the acquire load of the position in ring_slot_load() */
    atomic_store_explicit(&slot->word[SLOT_POS], word[SLOT_POS], memory_order_release);
    CRASH_POINT("ring.slot.given");
}

bool
ring_slot_load(struct ring_slot *slot, struct ring_slot_copy *to)
{
    uint64_t word[SLOT_WORDS];

    /* pairs with the release store that ends ring_slot_store() */
    word[SLOT_POS] = atomic_load_explicit(&slot->word[SLOT_POS], memory_order_acquire);
    for (int i = SLOT_SEQ; i < SLOT_WORDS; i++)
        word[i] = atomic_load_explicit(&slot->word[i], memory_order_relaxed);
    if (word[SLOT_POS] == RING_NOWHERE ||
        word[SLOT_CHECK] != slot_check(word, (uint32_t)word[SLOT_CHECK]))
        return false;
    to->pos = word[SLOT_POS];
    to->seq = word[SLOT_SEQ];
    to->count = (uint32_t)word[SLOT_CHECK];
    to->source.epoch = word[SLOT_EPOCH];
    for (int i = 0; i < 4; i++)
        to->source.words[i] = word[SLOT_SOURCE + i];
    return true;
}

int
ring_slot_find(struct ring_header *h, uint64_t pos, struct ring_slot_copy *to)
{
    struct ring_slot_copy slot;
    int found = -1;

    for (int i = 0; i < 2; i++) {
        if (!ring_slot_load(&h->producer_slots[i], &slot) || slot.pos != pos)
            continue;
        /* counts wrap: later is what lies less than half the range ahead */
        if (found < 0 || (int32_t)(slot.count - to->count) > 0) {
            found = i;
            *to = slot;
        }
    }
    return found;
}

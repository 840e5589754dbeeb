/* The limit of the replay: one instruction cache, LRU by move to front, and nothing else.

   words: executions in order, as in a trace: bits 0 to 23 the TB, bit 31 set if it did not run.
   spans: the first and the last line of each TB.  held: sets x ways lines, UINT32_MAX where there is none.
   counts: executions, lines accessed, misses. */

#include <stddef.h>
#include <stdint.h>

void replay(const uint32_t *words, size_t length, const uint32_t *spans, uint32_t *held, uint32_t sets, uint32_t ways,
            uint64_t *counts)
{
    uint64_t executions = 0, lines = 0, misses = 0;

    for (size_t at = 0; at < length; at++) {
        if (words[at] >> 31)
            continue;
        const uint32_t *span = spans + 2 * (size_t)(words[at] & 0xffffff);
        executions++;
        for (uint32_t line = span[0]; line <= span[1]; line++) {
            uint32_t *set = held + (size_t)(line & (sets - 1)) * ways;
            uint32_t way = 0, newest = line;

            lines++;
            while (way < ways) {
                uint32_t older = set[way];
                set[way] = newest;
                if (older == line)
                    break;
                newest = older;
                way++;
            }
            misses += way == ways;
        }
    }
    counts[0] += executions;
    counts[1] += lines;
    counts[2] += misses;
}

/* The same with a data cache and an L2, and the events of one strategy: all caches LRU, written back, allocating on
   writes, with lines of one length.  Frames: the line shifted left by one, and whether it is dirty. */

struct cache {
    uint32_t *frames, sets, ways;
};

enum { STORE, LOAD, CLEAN, INVALIDATE, INVALIDATE_ALL, TRANSLATE };
enum { CODE_MISSES, CODE_MEMORY, OTHER_MISSES, MEMORY_WRITES, COUNTS };

#define NOTHING UINT32_MAX

/* Whether the line was absent; what it replaced is in *taken. */
static int missed(struct cache cache, uint32_t line, uint32_t dirty, uint32_t *taken)
{
    uint32_t *set = cache.frames + (size_t)(line & (cache.sets - 1)) * cache.ways;
    uint32_t newer = line << 1 | dirty;

    for (uint32_t way = 0; way < cache.ways; way++) {
        uint32_t older = set[way];
        set[way] = newer;
        if (older >> 1 == line && older != NOTHING) {
            set[0] |= older & 1;
            return 0;
        }
        newer = older;
    }
    *taken = newer;
    return 1;
}

static uint64_t below(struct cache l2, uint32_t line, uint32_t dirty, uint64_t *counts)
{
    uint32_t taken;

    if (!missed(l2, line, dirty, &taken))
        return 0;
    counts[MEMORY_WRITES] += taken != NOTHING && taken & 1;
    return 1;
}

static void fetch(struct cache *caches, uint32_t first, uint32_t last, int of_tb, uint64_t *counts)
{
    uint32_t taken;

    for (uint32_t line = first; line <= last; line++)
        if (missed(caches[0], line, 0, &taken)) {
            uint64_t memory = below(caches[2], line, 0, counts);
            counts[of_tb ? CODE_MISSES : OTHER_MISSES]++;
            counts[CODE_MEMORY] += of_tb && memory;
        }
}

static void touch(struct cache *caches, uint32_t line, uint32_t dirty, uint64_t *counts)
{
    uint32_t taken;

    if (missed(caches[1], line, dirty, &taken)) {
        counts[OTHER_MISSES]++;
        below(caches[2], line, 0, counts);
        if (taken != NOTHING && taken & 1)
            below(caches[2], taken >> 1, 1, counts);
    }
}

static uint32_t *held(struct cache cache, uint32_t line)
{
    uint32_t *set = cache.frames + (size_t)(line & (cache.sets - 1)) * cache.ways;

    for (uint32_t way = 0; way < cache.ways; way++)
        if (set[way] >> 1 == line && set[way] != NOTHING)
            return set + way;
    return NULL;
}

/* translator: first instruction line, lines, first data line, lines.  carried: position, event, thousandths of a guest
   line, the next one; guest: lines per 1000 executions. */
void replay_all(const uint32_t *words, size_t length, const uint32_t *spans, struct cache *caches, uint32_t line_bits,
                const int64_t *position, const uint8_t *kind, const int64_t *address, const int64_t *count,
                uint64_t events, const uint32_t *translator, uint64_t guest, int64_t *carried, uint64_t *counts)
{
    for (size_t at = 0; at <= length; at++) {
        for (; (uint64_t)carried[1] < events && position[carried[1]] < carried[0] + (int64_t)at; carried[1]++) {
            int64_t event = carried[1];
            uint32_t line = (uint32_t)(address[event] >> line_bits), *found;

            for (int64_t n = 0; n < count[event]; n++, line++)
                switch (kind[event]) {
                case STORE:
                case LOAD:
                    touch(caches, line, kind[event] == STORE, counts);
                    break;
                case CLEAN:
                    if ((found = held(caches[1], line)) && *found & 1) {
                        *found &= ~1u;
                        below(caches[2], line, 1, counts);
                    }
                    break;
                case INVALIDATE:
                    if ((found = held(caches[0], line))) {
                        uint32_t *end = caches[0].frames + ((size_t)(line & (caches[0].sets - 1)) + 1) * caches[0].ways;
                        for (; found + 1 < end; found++)
                            *found = found[1];
                        *found = NOTHING;
                    }
                    break;
                case TRANSLATE:
                    fetch(caches, translator[0], translator[0] + translator[1] - 1, 0, counts);
                    for (uint32_t data = 0; data < translator[3]; data++)
                        touch(caches, translator[2] + data, 0, counts);
                }
        }
        if (at == length || words[at] >> 31)
            continue;
        const uint32_t *span = spans + 2 * (size_t)(words[at] & 0xffffff);
        fetch(caches, span[0], span[1], 1, counts);
        for (carried[2] += (int64_t)guest; carried[2] >= 1000; carried[2] -= 1000)
            touch(caches, (uint32_t)carried[3]++, 0, counts);
    }
    carried[0] += (int64_t)length;
}

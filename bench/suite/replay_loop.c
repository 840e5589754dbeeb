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

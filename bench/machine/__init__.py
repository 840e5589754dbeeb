"""The machine: a state and a step -> the next states.

Pure functions over frozen values; no input, output, clock or chance.

Rule 1. **Stores** go to the storing core's data line, which that core then owns
    dirty; the data side is coherent between cores.  A write-through cache stores
    to the point of unification (PoU) as well.  Where stores do not allocate, one
    that misses goes to the PoU alone, and a load (or the load of a
    read-modify-write) allocates.  A dirty line that another core takes moves
    from cache to cache, or reaches memory too (``dirty_transfer``).
Rule 2. **The environment** may at any time: write back and drop a data line; drop
    an instruction line; fill one; load a data line into a cache whose stores do not allocate
    (the next one hits); fetch a unit ahead, on a host that does; drain the
    oldest store of a store buffer; complete pending maintenance; switch threads
    on a core that several share; move a thread, where the scenario says so.  A
    switch or a move waits for the old core's maintenance and stores, and
    synchronises the new context; where ``switch_cleans_all`` it also cleans and
    invalidates the core's caches.
Rule 3. **An instruction fill** reads the PoU, or the newest data (``fill``).  A store
    that reaches the data side drops its line from the instruction caches of
    nobody, of the other cores, or of all (``snoop``).
Rule 4. **The fetched-ahead queue** of a core is a run of one block's units, from the
    next unit that the core would fetch.  Entering another block, a branch that
    leaves the run, a context synchronisation, a switch and a move empty it; stores and
    invalidations do not.  Hosts that check stores against the pipeline have none.
Rule 5. **Maintenance** (clean, invalidate) is pending until a barrier of the
    same core, which waits for it, and may complete at any moment before, in any
    order; a broadcast invalidation completes core by core.
Rule 6. **The store buffer** is first in, first out.  Loads of its core see it; a store
    reaches the data side, and snoops, when it drains; a clean completes only
    after the older stores to its line.  A barrier, acquiring and releasing a lock, stopping
    threads and letting them go, a switch and a move wait until it is empty; a context
    synchronisation does not, nor does an interrupt to other cores unless the host says so
    (``interrupts``).  On hosts that check the pipeline a fetch waits for the core's own buffered
    stores.  A store to a line that is no state takes no entry.
Rule 7. **An execution** fetches the units of its path in program order; a fetch that
    misses fills the line in the same step.  It is wrong if it fetches a unit with
    a value other than its final one.
Rule 8. **A discarded block** (a tb flush) may not be run before some thread has
    translated it anew, nor is it fetched ahead, since nothing leads to it; the
    buffer is discarded while nobody executes or retranslates in it, and all
    queues are empty then.
Rule 9. **A core whose MMU is off** fetches from the point of coherency (PoC), until a
    protocol turns it on.
Rule 10. **An interrupt** of other cores waits until they take it: a core that has interrupts
    off does not, and if it waits for the sender neither gets on.  Taking it
    synchronises the core's context.  A thread that has **stopped** all others, at polls or wherever
    they are, lets nobody take a step; what they go on with is fetched anew, since they
    return from an exception.

What is left out: clean data lines where stores allocate (a clean line and no line
are the same there), data memory weaker than the store buffer, branch prediction
beyond the queue.

A *clean* data line may be dropped too, which matters only where stores do not
allocate: the next store there misses.

On an architecture the memory follows ``bench/machine/architecture.py`` in place of rules 1 to 6 and 9.

The rooms: ``actions`` (what threads do, one class for each), ``machine`` (threads, locks, switches, moves), ``memory``
(what actions ask of a memory system), ``caches`` and ``allowed`` (the two kinds), ``footprint`` and ``renaming`` (what
a step reads and writes, and what a symmetry makes of it).
"""

from bench.machine.machine import environment_steps, finished, initial, lasting, program_steps, step
from bench.machine.model import Model, rules_of
from bench.machine.state import Event, Kind, State, Transition

__all__ = [
    "Event",
    "Kind",
    "Model",
    "State",
    "Transition",
    "environment_steps",
    "finished",
    "initial",
    "lasting",
    "program_steps",
    "rules_of",
    "step",
]

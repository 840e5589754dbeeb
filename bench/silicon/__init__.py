"""On silicon: machine code made and executed on this machine, to measure what its operations cost."""

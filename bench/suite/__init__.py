"""The speed of the program itself, measured by pytest-benchmark: ``make bench``.

Absolute times mean little; each group holds a peer that does the same work in
the same run, and the ratio is what counts.  Simulated cycles, states and misses
are exact and stand in ``extra_info``, never in the statistics of time.
"""

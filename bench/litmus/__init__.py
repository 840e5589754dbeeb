"""Litmus tests of AArch64 in herd's format, run on the architecture (``bench/architecture``)."""

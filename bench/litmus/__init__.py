"""AArch64 litmus tests in herd's format, run on the architecture model (``bench/architecture``)."""

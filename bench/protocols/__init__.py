"""Patching protocols that are not strategies: threads of operations in a file, checked on the same machine."""

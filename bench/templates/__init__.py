"""Files to start from (``staleline new``)."""

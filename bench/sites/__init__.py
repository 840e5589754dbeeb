"""Sites: places that are patched while they may run, in a file; the scenarios that each of them is tried in."""

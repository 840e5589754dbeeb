"""Strategy x translator x host x scenario -> one finite program per thread."""

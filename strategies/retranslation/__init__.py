"""The fixes of the thread of 2011 and what was shipped since, one file each."""

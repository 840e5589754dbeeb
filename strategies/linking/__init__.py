"""Ways of patching the exit of a block that may be running, a site file for each (``docs/sites.md``)."""

"""Published bugs in patching code, and their fixes, as protocols (``bench/protocols``): a file for each."""

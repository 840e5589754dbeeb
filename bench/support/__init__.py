"""What everything else stands on: errors, files, TOML, compiled kernels."""

"""What is compared: fix strategies as small programs over host operations; ``staleline`` has their public names."""

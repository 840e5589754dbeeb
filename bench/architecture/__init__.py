"""What an architecture allows on any implementation of it, beside the hosts that can be pointed at."""

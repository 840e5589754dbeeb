"""Hosts: the profiles that come with the project, and how they are read."""

from bench.hosts.loader import host_names, load_host
from bench.hosts.profile import Host

__all__ = ["Host", "host_names", "load_host"]

"""Hosts and architectures: the profiles that come with the project, and how they are read."""

from bench.hosts.loader import host_names, load_host, load_target
from bench.hosts.profile import Architecture, Host, Target

__all__ = ["Architecture", "Host", "Target", "host_names", "load_host", "load_target"]

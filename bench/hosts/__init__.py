"""Hosts and architectures: the shipped profiles, and reading them."""

from bench.hosts.loader import host_from, host_names, load_host, load_target
from bench.hosts.profile import Architecture, Host, Target

__all__ = ["Architecture", "Host", "Target", "host_from", "host_names", "load_host", "load_target"]

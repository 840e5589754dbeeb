"""Runs of the machine in words."""

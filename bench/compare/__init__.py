"""Verdicts and costs of every strategy on a host, beside each other and beside an earlier run."""

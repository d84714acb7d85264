"""Partitions counted into cells -> whether a new one differs from earlier ones more than these from each other."""

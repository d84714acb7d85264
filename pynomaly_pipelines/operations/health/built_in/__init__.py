"""Checks of the parts that a deployment always has: each makes a function that `Check` runs."""

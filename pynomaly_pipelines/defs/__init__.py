"""Pipelines: one folder each. Users write here."""

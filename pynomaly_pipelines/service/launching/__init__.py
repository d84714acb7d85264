"""Runs over HTTP: what is asked -> Dagster runs, their states and what they do, by Dagster's own GraphQL API."""

from pynomaly_pipelines.service.launching.parts import Runs, running

__all__ = ["Runs", "running"]

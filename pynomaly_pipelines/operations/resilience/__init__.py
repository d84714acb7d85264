"""What other programs do to us when they fail: circuit breakers, retries within a budget, time-outs, per dependency."""

from pynomaly_pipelines.operations.resilience.breaker import Breaker, BreakerFigures, Change, State
from pynomaly_pipelines.operations.resilience.dependencies import Dependencies, breaker, dependencies, retrying
from pynomaly_pipelines.operations.resilience.faults import is_fault, is_transient
from pynomaly_pipelines.operations.resilience.guarded import guarded
from pynomaly_pipelines.operations.resilience.policies import DEPENDENCIES, BreakerRules, Policies, RetryRules
from pynomaly_pipelines.operations.resilience.retrying import RetryFigures, Retrying

__all__ = [
    "DEPENDENCIES",
    "Breaker",
    "BreakerFigures",
    "BreakerRules",
    "Change",
    "Dependencies",
    "Policies",
    "RetryFigures",
    "RetryRules",
    "Retrying",
    "State",
    "breaker",
    "dependencies",
    "guarded",
    "is_fault",
    "is_transient",
    "retrying",
]

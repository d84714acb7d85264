"""How each part of the product is: checks measured at the time, with a time-out each; one decorator adds another."""

from pynomaly_pipelines.operations.health.checks import Check
from pynomaly_pipelines.operations.health.findings import (
    CheckResult,
    Finding,
    HealthReport,
    Status,
    degraded,
    failed,
    ok,
)
from pynomaly_pipelines.operations.health.process import Health, Phase, health_check, process_health, run

__all__ = [
    "Check",
    "CheckResult",
    "Finding",
    "Health",
    "HealthReport",
    "Phase",
    "Status",
    "degraded",
    "failed",
    "health_check",
    "ok",
    "process_health",
    "run",
]

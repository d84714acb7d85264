"""Every permission there is, and which of them each role has."""

from __future__ import annotations

from enum import StrEnum


class Permission(StrEnum):
    """What a caller may do. Those of `PER_PIPELINE` can be granted for single pipelines."""

    PIPELINES_READ = "pipelines:read"
    SCORES_READ = "scores:read"
    SCORE = "score"
    QUARANTINE_READ = "quarantine:read"
    QUARANTINE_RELEASE = "quarantine:release"
    MODELS_READ = "models:read"
    MODELS_PROMOTE = "models:promote"
    RUNS_READ = "runs:read"
    RUNS_LAUNCH = "runs:launch"
    RUNS_CANCEL = "runs:cancel"
    INCIDENTS_READ = "incidents:read"
    FEEDBACK_WRITE = "feedback:write"
    ACCESS_REQUEST = "access:request"
    ACCESS_DECIDE = "access:decide"
    KEYS_OWN = "keys:own"
    USERS_MANAGE = "users:manage"
    GRANTS_MANAGE = "grants:manage"
    AUDIT_READ = "audit:read"
    HEALTH_DETAILS = "health:details"
    METRICS_READ = "metrics:read"
    DAGSTER_READ = "dagster:read"
    DAGSTER_WRITE = "dagster:write"
    MLFLOW_READ = "mlflow:read"
    MLFLOW_WRITE = "mlflow:write"


class Role(StrEnum):
    """What an account is."""

    VIEWER = "viewer"
    USER = "user"
    ADMIN = "admin"


PER_PIPELINE = frozenset(
    {
        Permission.PIPELINES_READ,
        Permission.SCORES_READ,
        Permission.SCORE,
        Permission.QUARANTINE_READ,
        Permission.QUARANTINE_RELEASE,
        Permission.MODELS_READ,
        Permission.MODELS_PROMOTE,
        Permission.RUNS_READ,
        Permission.RUNS_LAUNCH,
        Permission.RUNS_CANCEL,
        Permission.INCIDENTS_READ,
        Permission.FEEDBACK_WRITE,
    }
)

_VIEWER = frozenset(
    {
        Permission.PIPELINES_READ,
        Permission.SCORES_READ,
        Permission.MODELS_READ,
        Permission.RUNS_READ,
        Permission.INCIDENTS_READ,
        Permission.ACCESS_REQUEST,
        Permission.KEYS_OWN,
        Permission.DAGSTER_READ,
        Permission.MLFLOW_READ,
    }
)
_USER = _VIEWER | {
    Permission.SCORE,
    Permission.QUARANTINE_READ,
    Permission.RUNS_LAUNCH,
    Permission.RUNS_CANCEL,
    Permission.FEEDBACK_WRITE,
    Permission.HEALTH_DETAILS,
}

OF_ROLE = {Role.VIEWER: _VIEWER, Role.USER: _USER, Role.ADMIN: frozenset(Permission)}

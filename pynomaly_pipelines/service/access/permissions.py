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
    RUNS_PRIORITIZE = "runs:prioritize"
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
        Permission.RUNS_PRIORITIZE,
        Permission.RUNS_CANCEL,
        Permission.INCIDENTS_READ,
        Permission.FEEDBACK_WRITE,
    }
)

INSTALLATION = (
    frozenset(Permission)
    - PER_PIPELINE
    - {
        Permission.ACCESS_REQUEST,
        Permission.KEYS_OWN,
        Permission.HEALTH_DETAILS,
    }
)
"""What shows or changes all pipelines at once, and so is not for accounts limited to some: Dagster's pages know nothing
of grants, nor does the audit log."""

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
# Not QUARANTINE_RELEASE, MODELS_PROMOTE and MLFLOW_WRITE: they change what is trusted. Their owners ask for a grant.
_USER = _VIEWER | {
    Permission.SCORE,
    Permission.QUARANTINE_READ,
    Permission.RUNS_LAUNCH,
    Permission.RUNS_CANCEL,
    Permission.FEEDBACK_WRITE,
    Permission.HEALTH_DETAILS,
    Permission.DAGSTER_WRITE,
}

OF_ROLE = {Role.VIEWER: _VIEWER, Role.USER: _USER, Role.ADMIN: frozenset(Permission)}

MEANING: dict[Permission, str] = {
    Permission.PIPELINES_READ: "see pipelines, their partitions and settings",
    Permission.SCORES_READ: "read and export scores",
    Permission.SCORE: "have rows scored",
    Permission.QUARANTINE_READ: "read quarantined rows",
    Permission.QUARANTINE_RELEASE: "let quarantined rows in after all",
    Permission.MODELS_READ: "see model versions and their evaluation",
    Permission.MODELS_PROMOTE: "promote a model, or roll back",
    Permission.RUNS_READ: "see runs and their progress",
    Permission.RUNS_LAUNCH: "launch runs",
    Permission.RUNS_PRIORITIZE: "launch runs that go before those of others",
    Permission.RUNS_CANCEL: "cancel runs",
    Permission.INCIDENTS_READ: "see incidents",
    Permission.FEEDBACK_WRITE: "acknowledge, resolve, snooze, confirm or dismiss incidents",
    Permission.ACCESS_REQUEST: "ask for permissions or a role",
    Permission.ACCESS_DECIDE: "approve or deny what others asked for",
    Permission.KEYS_OWN: "make and revoke API keys of one's own",
    Permission.USERS_MANAGE: "make, change, lock and unlock accounts",
    Permission.GRANTS_MANAGE: "give and revoke grants",
    Permission.AUDIT_READ: "read the audit log",
    Permission.HEALTH_DETAILS: "see the state of each component",
    Permission.METRICS_READ: "read the metrics",
    Permission.DAGSTER_READ: "open Dagster's pages, read only",
    Permission.DAGSTER_WRITE: "launch and change things on Dagster's pages",
    Permission.MLFLOW_READ: "open MLflow's pages, read only",
    Permission.MLFLOW_WRITE: "change things on MLflow's pages",
}

"""What the audit log tells of: one word for each kind of event."""

from __future__ import annotations

from enum import StrEnum


class Action(StrEnum):
    """What was done. The value is stored: a name may change, a value never."""

    LOGIN_SUCCEEDED = "login.succeeded"
    LOGIN_FAILED = "login.failed"
    LOGOUT = "login.ended"
    REFRESH_REUSED = "login.refresh-reused"
    ACCOUNT_LOCKED = "account.locked"
    ACCOUNT_UNLOCKED = "account.unlocked"
    ACCOUNT_CREATED = "account.created"
    ACCOUNT_CHANGED = "account.changed"
    ACCOUNT_DISABLED = "account.disabled"
    ACCOUNT_ENABLED = "account.enabled"
    ACCOUNT_DELETED = "account.deleted"
    ACCOUNT_BOOTSTRAPPED = "account.bootstrapped"
    PASSWORD_CHANGED = "account.password-changed"  # nosec B105  # pragma: allowlist secret
    PASSWORD_RESET = "account.password-reset"  # nosec B105  # pragma: allowlist secret
    ROLE_CHANGED = "account.role-changed"
    TOKENS_REVOKED = "tokens.revoked"
    API_KEY_CREATED = "api-key.created"
    API_KEY_REVOKED = "api-key.revoked"
    SIGNING_KEY_ROTATED = "signing-key.rotated"
    SIGNING_KEY_RETIRED = "signing-key.retired"
    GRANT_GIVEN = "grant.given"
    GRANT_REVOKED = "grant.revoked"
    REQUEST_OPENED = "access-request.opened"
    REQUEST_APPROVED = "access-request.approved"
    REQUEST_DENIED = "access-request.denied"
    REQUEST_CANCELLED = "access-request.cancelled"
    REQUEST_EXPIRED = "access-request.expired"
    MODEL_PROMOTED = "model.promoted"
    MODEL_ROLLED_BACK = "model.rolled-back"
    MODEL_REFUSED = "model.refused"
    RUN_LAUNCHED = "run.launched"
    RUN_CANCELLED = "run.cancelled"
    QUARANTINE_RELEASED = "quarantine.released"
    SCORES_EXPORTED = "scores.exported"
    INCIDENT_CHANGED = "incident.changed"
    FEEDBACK_GIVEN = "feedback.given"
    AUDIT_EXPORTED = "audit.exported"
    SECRETS_ROTATED = "secrets.rotated"

"""A refusal of the token endpoint -> the word that RFC 6749, 5.2, has for it, for clients written to that standard.

It is a further member of the problem (RFC 9457, 3.2). The statuses stay those of the whole API.
"""

from __future__ import annotations

from collections.abc import Iterable

from pynomaly_pipelines.operations.errors import BadRequest, NotAuthenticated, PynomalyError, Unprocessable

TOKEN_PATH = "/v1/auth/token"  # nosec B105 - a path
INVALID_SCOPE = "invalid_scope"


def bad_scope(problem: str, *, rule: str, fix: str) -> BadRequest:
    """The refusal of a scope."""
    error = BadRequest(problem, rule=rule, fix=fix)
    error.__dict__["oauth"] = INVALID_SCOPE
    return error


def word(error: PynomalyError, fields: Iterable[str] = ()) -> str:
    """The word; nothing where the standard has none. `fields` are the parts of the request that break a rule."""
    match error:
        case BadRequest():
            return str(error.__dict__.get("oauth", "invalid_request"))
        case NotAuthenticated():
            return "invalid_grant"
        case Unprocessable():
            return "unsupported_grant_type" if "body.grant_type" in set(fields) else "invalid_request"
        case _:
            return ""

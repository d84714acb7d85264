"""An exception of any library -> whether the dependency itself is at fault, and whether another try may help.

A "not found", a refused permission or bad data is an answer: the dependency works. Exceptions are known by the names of
their classes, so that no library is imported to judge the errors of another.
"""

from __future__ import annotations

import errno

from pynomaly_pipelines.operations.errors import (
    ChampionMoved,
    DependencyUnavailable,
    PynomalyError,
    SourceChanging,
    TableMoved,
    TooManyRequests,
)

FAULTS = frozenset(
    {
        "botocore.exceptions.ConnectTimeoutError",
        "botocore.exceptions.EndpointConnectionError",
        "botocore.exceptions.HTTPClientError",
        "hvac.exceptions.InternalServerError",
        "hvac.exceptions.BadGateway",
        "hvac.exceptions.VaultDown",
        "httpcore.TransportError",
        "httpx.TransportError",
        # The answer broke off.
        "http.client.HTTPException",
        "obstore.exceptions.GenericError",
        "psycopg.OperationalError",
        "redis.exceptions.ConnectionError",
        "redis.exceptions.TimeoutError",
        "requests.exceptions.ConnectionError",
        "requests.exceptions.Timeout",
        "sqlalchemy.exc.InterfaceError",
        "sqlalchemy.exc.OperationalError",
        # All connections are in use and none came free.
        "sqlalchemy.exc.TimeoutError",
        "urllib3.exceptions.HTTPError",
    }
)
# Subclasses of the above that are answers.
ANSWERS = frozenset(
    {
        "redis.exceptions.AuthenticationError",
        "redis.exceptions.AuthorizationError",
        "redis.exceptions.MaxConnectionsError",
        "requests.exceptions.InvalidURL",
        "requests.exceptions.TooManyRedirects",
        "urllib3.exceptions.LocationValueError",
    }
)
NETWORK = frozenset(
    {
        errno.ECONNREFUSED,
        errno.EHOSTUNREACH,
        errno.ENETUNREACH,
        errno.ENETDOWN,
        errno.EHOSTDOWN,
        errno.EIO,
        errno.ESTALE,
    }
)
# Of this machine: room, files, a writer that came first. No other program is to blame, and it passes.
SHORT = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.EBUSY})
LOST_COMMITS = frozenset({"_internal.CommitFailedError", "deltalake.exceptions.CommitFailedError"})
WRAPPERS = ("_internal.", "deltalake.", "mlflow.", "obstore.")
"""Libraries whose errors are those of other languages: only their words tell of a server that is silent."""
WORDS = (
    "Connection refused",
    "connection error",
    "timed out",
    "Max retries exceeded",
    "TEMPORARILY_UNAVAILABLE",
    "database is locked",
    "Server returned non-2xx status code: 5",
)
MLFLOW_FAULTS = frozenset({"INTERNAL_ERROR", "TEMPORARILY_UNAVAILABLE", "CANCELLED", "DEADLINE_EXCEEDED"})
# SQLSTATE: serialization failure, deadlock. https://www.postgresql.org/docs/current/mvcc-serialization-failure-handling.html
LOST_RACES = frozenset({"40001", "40P01"})
SERVER_ERROR, TOO_MANY = 500, 429
LOST = (ChampionMoved, TableMoved)
"""Errors of ours that say another writer came first: the table and the registry answered."""


def is_fault(error: BaseException) -> bool:
    """Whether the error says that the dependency is away, hung or broken, so that a breaker counts it."""
    if isinstance(error, PynomalyError):
        return _is_fault_of_ours(error)
    names = _names(type(error))
    if names & ANSWERS or _lost_a_race(error):
        return False
    status = _status(error)
    if status is not None:
        return status >= SERVER_ERROR
    if "mlflow.exceptions.MlflowException" in names:
        return getattr(error, "error_code", "") in MLFLOW_FAULTS or _in_words(error, names)
    if "sqlite3.OperationalError" in _names_of_driver(error):
        return _sqlite_is_stuck(error)
    return bool(names & FAULTS) or _is_of_the_network(error) or _in_words(error, names)


def is_transient(error: BaseException) -> bool:
    """Whether the same call may succeed a moment later: faults, lost races, and "not so fast"."""
    lost = isinstance(error, LOST) or _lost_a_race(error) or bool(_names(type(error)) & LOST_COMMITS)
    return is_fault(error) or lost or _status(error) == TOO_MANY


def is_short(error: BaseException) -> bool:
    """Whether this machine has run out of something for the moment, or was interrupted."""
    if isinstance(error, BlockingIOError | InterruptedError):
        return True
    wrapped = isinstance(error, OSError) or any(name.startswith(WRAPPERS) for name in _names(type(error)))
    return (isinstance(error, OSError) and error.errno in SHORT) or (wrapped and "No space left" in str(error))


def _in_words(error: BaseException, names: frozenset[str]) -> bool:
    # Delta Lake tells of a server's silence as an OSError without a number.
    wrapped = (isinstance(error, OSError) and error.errno is None) or any(n.startswith(WRAPPERS) for n in names)
    return wrapped and any(word in str(error) for word in WORDS)


def _is_fault_of_ours(error: PynomalyError) -> bool:
    """By its class, or by the library's error that caused it."""
    if isinstance(error, (DependencyUnavailable, SourceChanging, TooManyRequests, *LOST)):
        return False
    return error.retryable or (error.__cause__ not in (None, error) and is_fault(error.__cause__))


def _is_of_the_network(error: BaseException) -> bool:
    if isinstance(error, ConnectionError | TimeoutError):
        return True
    # urllib wraps what the socket said.
    reason = getattr(error, "reason", None)
    if isinstance(reason, Exception):
        return is_fault(reason)
    return isinstance(error, OSError) and (error.errno in NETWORK or type(error).__name__ in ("gaierror", "herror"))


def _names(kind: type) -> frozenset[str]:
    """The names of a class and its parents, also as a package that re-exports them from a private module has them."""
    found: set[str] = set()
    for parent in kind.__mro__:
        found.add(f"{parent.__module__}.{parent.__qualname__}")
        # httpx2 and psycopg2 keep the names of httpx and psycopg.
        found.add(f"{parent.__module__.partition('.')[0].rstrip('2')}.{parent.__qualname__}")
    return frozenset(found)


def _names_of_driver(error: BaseException) -> frozenset[str]:
    return _names(type(getattr(error, "orig", error)))


def _sqlite_is_stuck(error: BaseException) -> bool:
    """SQLite says OperationalError of a missing table as of a locked file."""
    text = str(getattr(error, "orig", error))
    return any(word in text for word in ("locked", "busy", "disk", "unable to open"))


def _lost_a_race(error: BaseException) -> bool:
    driver = getattr(error, "orig", error)
    return getattr(driver, "sqlstate", None) in LOST_RACES


def _status(error: BaseException) -> int | None:
    """The HTTP status an error carries, as requests, httpx, botocore and urllib do."""
    response = getattr(error, "response", None)
    if isinstance(response, dict):
        found = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    elif response is not None:
        found = getattr(response, "status_code", None)
    else:
        found = getattr(error, "code", None) if type(error).__name__ == "HTTPError" else None
    return found if isinstance(found, int) else None

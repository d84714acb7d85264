"""Every error the product raises on purpose.

PynomalyError
├── SpecError              a pipeline's YAML breaks a rule
├── SourceError            the input cannot be read
│   ├── SourceMissing      no such file, or a pattern that matches nothing
│   ├── SourceUnreadable   torn, empty, wrongly encoded or not of its declared format
│   ├── SourceDenied       credentials are missing, wrong, or do not suffice
│   ├── SourceUnreachable  the server gives no answer; worth another try
│   └── SourceChanging     replaced again and again while it was read; worth another try
├── DataError              the input was read, and what is in it breaks a rule
│   ├── SchemaError        columns are missing, unknown or of another type
│   ├── ValidationFailed   a table-level expectation failed
│   └── NotEnoughData      too few rows or points to do what was asked
├── DetectorError          a detector cannot do what was asked
│   ├── UnknownDetector    no detector of that name
│   ├── DetectorRefused    known, but not fit for production; the reason is in the message
│   ├── SignatureError     rows to score do not have the columns or types the model was fitted on
│   └── ScorerFileError    a saved scorer is incomplete, altered or of an unknown format
├── RegistryError          the model registry cannot give or take what was asked
│   ├── NoChampion         a pipeline has no champion yet
│   ├── ArtifactsMissing   what the registry has registered can't be fetched
│   └── ChampionMoved      someone else moved the champion meanwhile; worth another look
├── TableError             the lake cannot give or take what was asked
│   └── TableMoved         another commit came first; nothing was written
├── RequestError           an HTTP request breaks a rule
│   ├── BadRequest         it cannot be read
│   ├── NotAuthenticated   nobody, or nobody known, is asking
│   ├── Forbidden          the caller may not do this
│   ├── NotFound           there is no such thing, or not for this caller
│   ├── MethodNotAllowed   there is such a thing, and it does not take this method
│   ├── NotAcceptable      no form of it that the caller takes
│   ├── ReadTimedOut       head or body did not arrive in time; worth another try
│   ├── Conflict           it does not fit the state of things
│   ├── PreconditionFailed `If-Match` names another state than the one there is
│   ├── TooLarge           body, rows or columns are over a limit
│   ├── HeadersTooLarge    too many headers, or too long ones
│   ├── UnsupportedMedia   a content type or encoding that is not understood
│   ├── Unprocessable      it was read, and what it says breaks a rule
│   └── TooManyRequests    over a rate limit; worth another try later
├── DependencyUnavailable  a part we build on failed again and again and is not asked for a while; worth another try
│   ├── RegistryUnreachable  the registry, or the store of its artifacts, gives no answer
│   └── DagsterUnreachable Dagster's webserver gives no answer
│       └── DagsterUnsettled  it was told to do something, and its answer got lost: it may have been done
├── DagsterError           Dagster cannot do what was asked
│   ├── LocationNotLoaded  its code location is not loaded
│   └── JobUnknown         the code it has loaded does not have that job
├── TookTooLong            an answer was not ready in time; worth another try
├── Unforeseen             a fault of the product itself, or of a library, that nobody thought of
├── AuditBroken            the audit log is not what was written
├── SecretError            a secret cannot be had from the store that PYNOMALY_SECRETS names
│   ├── SecretMissing      the store has no secret of that name, or an empty one
│   ├── SecretDenied       the store refuses to log in or to show it
│   └── SecretsUnreachable the store gives no answer, or is sealed; worth another try
├── RunFailed              a run ended with an error; the message is the first one
├── RunSuperseded          the run was given to another process while this one was away
└── SettingsError          an environment variable or settings file breaks a rule

Whether to try again is a property of the class: bad data is reported, never retried.
"""

from __future__ import annotations

from typing import ClassVar

from pynomaly_pipelines.operations.redaction import redact


class PynomalyError(Exception):
    """Base of the tree. The message is built from what was seen, the rule it breaks and the fix.

    `problem` names the offending value, `rule` says what is expected, `fix` what to do about it, and
    `where` the place (``file:line``, a column, a partition) if there is one.
    """

    code: ClassVar[str] = "error"
    retryable: ClassVar[bool] = False

    def __init__(self, problem: str, *, rule: str = "", fix: str = "", where: str = "") -> None:
        # What was seen may be a driver's or a server's own words.
        self.problem = redact(problem)
        self.rule = redact(rule)
        self.fix = redact(fix)
        self.where = where
        super().__init__(self._message())

    def _message(self) -> str:
        text = f"{self.where}: {self.problem}" if self.where else self.problem
        sentences = [text, self.rule, f"Fix: {self.fix}" if self.fix else ""]
        return " ".join(s if s.endswith((".", "!", "?")) else f"{s}." for s in sentences if s)

    def __reduce__(self) -> tuple[object, ...]:
        # Exceptions cross process boundaries in Dagster's executors; keyword-only arguments need a hand.
        return _rebuild, (type(self), self.problem, self.rule, self.fix, self.where)


def _rebuild(cls: type[PynomalyError], problem: str, rule: str, fix: str, where: str) -> PynomalyError:
    return cls(problem, rule=rule, fix=fix, where=where)


class SpecError(PynomalyError):
    code = "spec-invalid"


class SourceError(PynomalyError):
    code = "source-error"


class SourceMissing(SourceError):
    code = "source-missing"


class SourceUnreadable(SourceError):
    code = "source-unreadable"


class SourceDenied(SourceError):
    code = "source-denied"


class SourceUnreachable(SourceError):
    code = "source-unreachable"
    retryable = True


class SourceChanging(SourceError):
    code = "source-changing"
    retryable = True


class DataError(PynomalyError):
    code = "data-error"


class SchemaError(DataError):
    code = "data-schema"


class ValidationFailed(DataError):
    code = "data-validation-failed"


class NotEnoughData(DataError):
    code = "data-not-enough"


class DetectorError(PynomalyError):
    code = "detector-error"


class UnknownDetector(DetectorError):
    code = "detector-unknown"


class DetectorRefused(DetectorError):
    code = "detector-refused"


class SignatureError(DetectorError):
    code = "detector-signature"


class ScorerFileError(DetectorError):
    code = "detector-file"


class RegistryError(PynomalyError):
    code = "registry-error"


class NoChampion(RegistryError):
    code = "registry-no-champion"


class ArtifactsMissing(RegistryError):
    code = "registry-artifacts-missing"


class ChampionMoved(RegistryError):
    code = "registry-champion-moved"
    retryable = True


class TableError(PynomalyError):
    code = "table-error"


class TableMoved(TableError):
    code = "table-moved"
    retryable = True


class RequestError(PynomalyError):
    code = "request-error"


class BadRequest(RequestError):
    code = "request-bad"


class NotAuthenticated(RequestError):
    code = "request-not-authenticated"


class Forbidden(RequestError):
    code = "request-forbidden"


class NotFound(RequestError):
    code = "request-not-found"


class MethodNotAllowed(RequestError):
    code = "request-method"


class NotAcceptable(RequestError):
    code = "request-not-acceptable"


class ReadTimedOut(RequestError):
    code = "request-timed-out"
    retryable = True


class Conflict(RequestError):
    code = "request-conflict"


class PreconditionFailed(RequestError):
    code = "request-precondition-failed"


class TooLarge(RequestError):
    code = "request-too-large"


class HeadersTooLarge(RequestError):
    code = "request-headers-too-large"


class UnsupportedMedia(RequestError):
    code = "request-unsupported-media"


class Unprocessable(RequestError):
    code = "request-unprocessable"


class TooManyRequests(RequestError):
    code = "request-too-many"
    retryable = True
    retry_after: float = 0.0
    """Seconds until it is worth asking again."""


class DependencyUnavailable(PynomalyError):
    """A breaker is open: the call was not made."""

    code = "dependency-unavailable"
    retryable = True

    def __init__(
        self,
        problem: str,
        *,
        rule: str = "",
        fix: str = "",
        where: str = "",
        dependency: str = "",
        retry_after: float = 0.0,
    ) -> None:
        """`retry_after`: seconds until it is worth asking again."""
        self.dependency = dependency
        self.retry_after = retry_after
        super().__init__(problem, rule=rule, fix=fix, where=where)

    def __reduce__(self) -> tuple[object, ...]:
        message = (self.problem, self.rule, self.fix, self.where)
        return _rebuild_unavailable, (type(self), *message, self.dependency, self.retry_after)


def _rebuild_unavailable(
    cls: type[DependencyUnavailable],
    problem: str,
    rule: str,
    fix: str,
    where: str,
    dependency: str,
    retry_after: float,
) -> DependencyUnavailable:
    return cls(problem, rule=rule, fix=fix, where=where, dependency=dependency, retry_after=retry_after)


class RegistryUnreachable(DependencyUnavailable):
    code = "registry-unreachable"


class DagsterUnreachable(DependencyUnavailable):
    code = "dagster-unreachable"


class DagsterUnsettled(DagsterUnreachable):
    code = "dagster-unsettled"


class DagsterError(PynomalyError):
    code = "dagster-error"


class LocationNotLoaded(DagsterError):
    code = "dagster-location-not-loaded"
    retryable = True


class JobUnknown(DagsterError):
    code = "dagster-job-unknown"


class TookTooLong(PynomalyError):
    code = "took-too-long"
    retryable = True


class Unforeseen(PynomalyError):
    code = "unforeseen"


class AuditBroken(PynomalyError):
    code = "audit-broken"


class SecretError(PynomalyError):
    code = "secret-error"


class SecretMissing(SecretError):
    code = "secret-missing"


class SecretDenied(SecretError):
    code = "secret-denied"


class SecretsUnreachable(SecretError):
    code = "secrets-unreachable"
    retryable = True


class RunFailed(PynomalyError):
    code = "run-failed"


class RunSuperseded(PynomalyError):
    code = "run-superseded"


class SettingsError(PynomalyError):
    code = "settings-invalid"

"""A problem's code -> what it means, and what those who meet it and those who run the service can do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from pynomaly_pipelines.operations import errors
from pynomaly_pipelines.service.problems import status_of


@dataclass(frozen=True)
class Play:
    """What is told of one code."""

    code: str
    status: int
    retry: bool
    """Whether the same request may succeed later."""
    meaning: str
    caller: str
    """What the one who asked can do."""
    operator: str
    """What those who run the service can do."""


_ASK = "Correct what `detail` names; `cause` states the rule."
_NOTHING = "Nothing, unless many callers meet it: then a client or a page tells them wrong."
_LOG = "Find `trace_id` in the logs: the line has the traceback."

# Code -> what the caller, and what the operator does.
_PLAYS: dict[str, tuple[str, str]] = {
    "error": (_ASK, _LOG),
    "spec-invalid": ("Tell those who keep the pipeline's YAML.", "`pynomaly check` names file, line and fix."),
    "source-error": ("Try again later.", "`detail` names the source; open it by hand from the machine that runs."),
    "source-missing": ("Check the partition's key.", "See whether the delivery came, and under which name."),
    "source-unreadable": ("Nothing.", "Have the file delivered again; compare its size and hash with the sender's."),
    "source-denied": ("Nothing.", "Renew the credentials the pipeline names; `pynomaly check` shows which."),
    "source-unreachable": ("Try again later.", "Look at the source's breaker under `GET /health`, then at the server."),
    "source-changing": ("Try again later.", "Have files written under another name and renamed when complete."),
    "data-error": (_ASK, "Look at the partition's validation results."),
    "data-schema": (
        "Send the columns the model was trained on.",
        "`pynomaly contract PIPELINE` shows columns and types.",
    ),
    "data-validation-failed": ("Nothing.", "Look at the expectation that failed; mend the input, or the expectation."),
    "data-not-enough": ("Choose a longer range.", "Ingest more partitions, or lower `training.window`."),
    "detector-error": (_ASK, _LOG),
    "detector-unknown": (_ASK, "Correct the name in the YAML."),
    "detector-refused": (_ASK, "Choose one of the detectors offered."),
    "detector-signature": ("Send the columns and types that `GET /v1/pipelines/{name}` lists.", _NOTHING),
    "detector-file": ("Try again later.", "Roll back to a version whose files are whole; find out who wrote to them."),
    "registry-error": ("Try again later.", "Look at MLflow and its database."),
    "registry-no-champion": (
        "Wait until a model is promoted.",
        "Train, then promote one of `pynomaly models PIPELINE`.",
    ),
    "registry-champion-moved": ("Look at the champion as it is now, then decide again.", _NOTHING),
    "table-moved": ("Try again.", _NOTHING),
    "table-error": ("Try again later.", "Look at the lake's storage and its free space."),
    "request-error": (_ASK, _NOTHING),
    "request-bad": (_ASK, _NOTHING),
    "request-not-authenticated": (
        "Log in again: `POST /v1/auth/token`. A token of before a change of password or role is not taken any more.",
        "Many of them from one address may be an attack: see the audit log.",
    ),
    "request-forbidden": ("Ask for the permission: `POST /v1/access-requests`.", "Decide on open requests."),
    "request-not-found": (
        "Check name and spelling. What you may not see is not there for you either.",
        "Where it should be seen: give a grant for the pipeline.",
    ),
    "request-method": ("Use one of the methods in the `Allow` header.", _NOTHING),
    "request-not-acceptable": ("Ask for one of the media types of the description.", _NOTHING),
    "request-timed-out": ("Send it again, in smaller parts on a slow line.", "`body_timeout_seconds` sets the limit."),
    "request-conflict": ("Read the present state, then decide anew.", _NOTHING),
    "request-precondition-failed": ("Read the state anew; its `ETag` is what `If-Match` takes.", _NOTHING),
    "request-too-large": (
        "Send smaller parts, or have a run read a file.",
        "`body_limit_bytes` sets the limit.",
    ),
    "request-headers-too-large": ("Send fewer and shorter headers.", "`header_limit_bytes` sets the limit."),
    "request-unsupported-media": ("Set `Content-Type` as described; do not compress.", _NOTHING),
    "request-unprocessable": ("Correct each part that `fields` names.", _NOTHING),
    "request-too-many": (
        "Wait as many seconds as `Retry-After` says.",
        "Raise the limit if the caller is right.",
    ),
    "dependency-unavailable": (
        "Wait as many seconds as `Retry-After` says.",
        "`GET /health` names the part; once it answers, one probe closes the breaker by itself.",
    ),
    "took-too-long": (
        "Ask for less at once, or launch a run.",
        "`pynomaly_http_request_seconds` shows the slow route.",
    ),
    "unforeseen": ("Try again; if it stays, hand on the `trace_id`.", _LOG),
    "audit-broken": ("Tell those who run the service.", "`pynomaly audit verify` names the first entry that differs."),
    "secret-error": ("Try again later.", "Look at the store that PYNOMALY_SECRETS names."),
    "secret-missing": ("Tell those who run the service.", "Put the secret that `detail` names into the store."),
    "secret-denied": ("Tell those who run the service.", "Renew the service's login, or its policy in the store."),
    "secrets-unreachable": ("Try again later.", "See whether the store is up, reachable and unsealed."),
    "run-superseded": ("See the run that took its place.", "Nothing: the work goes on there."),
    "dagster-error": ("Try again later.", "Look at Dagster's webserver and its log."),
    "dagster-job-unknown": ("Check the pipeline's name.", "See whether Dagster has loaded the present definitions."),
    "dagster-location-not-loaded": (
        "Try again later.",
        "Open Dagster's page on deployments: it shows why definitions do not load.",
    ),
    "registry-unreachable": (
        "Try again later; scoring goes on with the models that are loaded.",
        "See whether MLflow, or the database that PYNOMALY_REGISTRY names, and the artifact store are up.",
    ),
    "registry-artifacts-missing": (
        "Try again later, or roll back to another version.",
        "Look at the address that `cause` names: put the files back, or train again.",
    ),
    "dagster-unreachable": ("Try again later.", "See whether the webserver runs at PYNOMALY_SERVICE_DAGSTER_URL."),
    "dagster-unsettled": ("Ask again with the same idempotency key.", "Look at Dagster's webserver and its log."),
    "run-failed": ("See the run's events.", "`detail` is the first error; mend its cause and launch the run again."),
    "settings-invalid": ("Nothing.", "Correct the setting that `detail` names and restart."),
}


def plays() -> Iterator[Play]:
    """Every code, in the order of the tree."""
    meanings = dict(re.findall(r"[├└]── (\w+) +(.+)", errors.__doc__ or ""))
    for kind in _tree(errors.PynomalyError):
        caller, operator = _PLAYS.get(kind.code, (_ASK, _LOG))
        meaning = meanings.get(kind.__name__, "something is wrong that has no code of its own")
        yield Play(kind.code, status_of(kind("")), kind.retryable, meaning, caller, operator)


def _tree(kind: type[errors.PynomalyError]) -> Iterator[type[errors.PynomalyError]]:
    yield kind
    for child in kind.__subclasses__():
        if child.__module__ == errors.__name__:
            yield from _tree(child)

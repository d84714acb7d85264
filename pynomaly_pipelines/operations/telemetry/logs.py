"""Events -> log lines: one JSON object each, with the ids of the work that caused them, and nothing secret in them.

What a caller sends can't begin a line of its own or move a terminal's cursor: control characters are escaped.
"""

from __future__ import annotations

import logging
import re
import sys
import traceback
from collections.abc import Callable, Mapping, MutableMapping
from datetime import UTC, datetime
from typing import Any

import msgspec
import structlog

from pynomaly_pipelines.operations.redaction import redact
from pynomaly_pipelines.operations.telemetry.current import current

Event = MutableMapping[str, Any]
LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}
REDACTED = "[redacted]"

_SECRET_NAME = re.compile(r"pass(word|wd|phrase)|secret|token|authorization|api_?key|cookie|credential|private", re.I)
_SECRET_VALUE = re.compile(
    r"eyJ[\w-]{5,}\.[\w.-]+"  # A JSON web token.
    r"|\b(?:Bearer|Basic)\s+[\w.~+/=-]{8,}"
    r"|(?<=://)[^/\s:@\"]*:[^/\s@\"]+(?=@)",  # User and password of a URL.
    re.IGNORECASE,
)
_MAY_BE_SECRET = re.compile(r"eyJ|bearer|basic|://", re.IGNORECASE)
# JSON escapes C0; C1 and DEL steer terminals too, and some readers end a line at U+2028 and U+2029.
_STEERING = re.compile("[\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def configure_logs(level: str = "info", form: str = "json") -> None:
    """All log lines of this process, our own and those of libraries, to standard output in one form."""
    render = _as_text if form == "text" else _as_json
    structlog.configure(
        processors=[_stamped, render],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=structlog.BytesLoggerFactory(sys.stdout.buffer),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(_OfLibraries(render))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(LEVELS[level], logging.INFO))
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access", "httpx", "alembic"):
        library = logging.getLogger(name)
        library.handlers[:], library.propagate = [], True
        # One line for each connection, start and stop is ours to write.
        library.setLevel(max(LEVELS[level], logging.WARNING))


def log() -> Any:
    """The logger: `log().info("model loaded", pipeline="flights")`."""
    return structlog.get_logger()


def access_line(event: Mapping[str, Any]) -> bytes:
    """A line on one request, without the detours of a logger: it is written for each."""
    return _as_json(None, "info", dict(event))


def now() -> str:
    """The time of an event: ISO 8601, UTC, milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _stamped(_logger: Any, method: str, event: Event) -> Event:
    """Time, level and ids, and a traceback as text."""
    stamped: dict[str, Any] = {"time": now(), "level": method, "event": event.pop("event", "")}
    work = current()
    if work is not None:
        stamped |= {"request_id": work.request_id, "trace_id": work.trace_id}
        if work.account:
            stamped["account"] = work.account
        if work.pipeline:
            stamped["pipeline"] = work.pipeline
    error = event.pop("exc_info", None)
    if isinstance(error, BaseException):
        stamped["traceback"] = "".join(traceback.format_exception(error))
    stamped.update(event)
    return stamped


def _as_json(_logger: Any, _method: str, event: Event) -> bytes:
    line = msgspec.json.encode(_without_secrets(event), enc_hook=str)
    if line.isascii() and b"\x7f" not in line:
        return line
    return _STEERING.sub(lambda found: f"\\u{ord(found.group()):04x}", line.decode("utf-8", "replace")).encode()


def _as_text(_logger: Any, method: str, event: Event) -> bytes:
    """A line for people, with the same escapes."""
    shown = dict(_without_secrets(event))
    time, _, name = shown.pop("time", ""), shown.pop("level", ""), shown.pop("event", "")
    trace = shown.pop("traceback", "")
    parts = [f"{key}={_as_json(None, method, {'v': value}).decode()[5:-1]}" for key, value in shown.items()]
    head = " ".join([str(time)[11:19], f"{method:<7}", _one_line(str(name)), *parts])
    return (head + ("\n" + "\n".join(map(_one_line, trace.splitlines())) if trace else "")).encode("utf-8", "replace")


def _one_line(text: str) -> str:
    return "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in text)


def _without_secrets(event: Mapping[str, Any]) -> dict[str, Any]:
    return {name: REDACTED if _SECRET_NAME.search(name) else _clean(value) for name, value in event.items()}


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        value = value.encode("utf-8", "replace").decode() if not value.isascii() else value
        value = redact(value)
        return _SECRET_VALUE.sub(REDACTED, value) if _MAY_BE_SECRET.search(value) else value
    if isinstance(value, Mapping):
        return _without_secrets({str(name): inner for name, inner in value.items()})
    if isinstance(value, list | tuple | set | frozenset):
        return [_clean(inner) for inner in value]
    return value


class _OfLibraries(logging.Formatter):
    """A record of the standard library's logging -> a line in our form."""

    def __init__(self, render: Callable[[Any, str, Event], bytes]) -> None:
        super().__init__()
        self._render = render

    def format(self, record: logging.LogRecord) -> str:
        event: Event = {"event": record.getMessage(), "logger": record.name}
        if record.exc_info and record.exc_info[1] is not None:
            event["exc_info"] = record.exc_info[1]
        level = record.levelname.lower()
        return self._render(None, level, _stamped(None, level, event)).decode()

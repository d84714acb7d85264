"""Secret values this process has seen -> nothing of them in logs, errors, traces and events.

`Secret` registers what it holds, here. The list is the process's on purpose: whoever writes a line can't know from
which store a value in it came.
"""

from __future__ import annotations

import json
import logging
import re
import threading
from collections import OrderedDict
from collections.abc import Iterator, MutableMapping
from typing import Any
from urllib.parse import quote, quote_plus, unquote

HIDDEN = "***"
_SHORTEST = 8
"""A shorter value is no secret, and blotting it out would make texts unreadable: `test`, `admin`, `root`."""
_MOST = 512
"""Values remembered; credentials that rotate would otherwise fill memory. The oldest are long invalid."""
_URL_PASSWORD = re.compile(r"([a-zA-Z][\w+.-]*://[^\s:/?#@]*:)[^\s/@]+@")
_WHOLE_URL = re.compile(r"[a-zA-Z][\w+.-]*://[^\s:/?#@]*:(?P<password>[^\s@]+)@")
"""As SQLAlchemy reads it: a slash may be part of the password."""
_PRIVATE_JWK = frozenset({"d", "p", "q", "dp", "dq", "qi", "k"})  # RFC 7518, 6.2.2, 6.3.2 and 6.4.1
_TELLING = re.compile(r"pass|secret|token|private|api_?key", re.IGNORECASE)

_known: OrderedDict[str, None] = OrderedDict()
_longest_first: tuple[str, ...] = ()
_lock = threading.Lock()


def remember(value: str) -> None:
    """From now on this value, and the passwords and private keys inside it, are blotted out."""
    global _longest_first  # noqa: PLW0603 (readers take the whole tuple, without a lock)
    parts = {part for part in _parts(value) if len(part) >= _SHORTEST}
    if parts <= _known.keys():
        return
    with _lock:
        for part in parts:
            _known[part] = None
            _known.move_to_end(part)
        while len(_known) > _MOST:
            _known.popitem(last=False)
        _longest_first = tuple(sorted(_known, key=len, reverse=True))


def redact(text: str) -> str:
    """The text without any secret value the process knows, and without passwords in URLs."""
    for value in _longest_first:
        if value in text:
            text = text.replace(value, HIDDEN)
    if "://" in text and "@" in text:
        text = _URL_PASSWORD.sub(rf"\g<1>{HIDDEN}@", text)
    return text


def redact_all(value: Any) -> Any:
    """The same for every text inside mappings, lists and tuples; other values as they are."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, dict):
        return {redact_all(key): redact_all(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(redact_all(inner) for inner in value) if type(value) in (list, tuple) else value
    if isinstance(value, BaseException):
        return redact(repr(value))
    return value


def redacted_event(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A structlog processor: put it after those that render exceptions, before the one that writes the line."""
    return {key: redact_all(value) for key, value in event.items()}


class RedactingFilter(logging.Filter):
    """For handlers of `logging`: the message, its arguments and the traceback, without secrets."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Rewrites the record; lets each pass."""
        record.msg, record.args = redact(record.getMessage()), None
        if record.exc_info and not record.exc_text:
            # Formatters take this text instead of rendering the exception themselves.
            record.exc_text = logging.Formatter().formatException(record.exc_info)
        if record.exc_text:
            record.exc_text = redact(record.exc_text)
        return True


def _parts(value: str) -> Iterator[str]:
    """The value, the password of a URL as it is written and as it is meant, and what a JSON document keeps secret."""
    stripped = value.strip()
    yield stripped
    found = _WHOLE_URL.match(stripped)
    if found is not None:
        yield from _written(found["password"])
    if stripped.startswith(("{", "[")):
        try:
            yield from _private(json.loads(stripped))
        except ValueError:
            return
    if "-----BEGIN" in stripped:
        yield from (line for line in stripped.splitlines() if len(line) > 24 and not line.startswith("-----"))
    if "\n" in stripped:
        # As it looks inside JSON and in a repr.
        yield stripped.replace("\n", "\\n")


def _written(password: str) -> Iterator[str]:
    meant = unquote(password)
    yield from (password, meant, quote(meant, safe=""), quote_plus(meant))


def _private(document: Any) -> Iterator[str]:
    if isinstance(document, list):
        for inner in document:
            yield from _private(inner)
    if isinstance(document, dict):
        for key, inner in document.items():
            if isinstance(inner, str) and (key in _PRIVATE_JWK or _TELLING.search(key)):
                yield from _parts(inner)
            else:
                yield from _private(inner)

"""What a stocked service really answered -> the examples of the API's description."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pynomaly_pipelines.service import openapi
from tests.service.every_operation import OPERATIONS, House

FILE = Path(openapi.__file__).with_name("examples.json")
Examples = dict[str, dict[str, dict[str, Any]]]
"""`METHOD path` -> status -> media type -> what was answered."""
TEXTS = ("text/csv", "text/event-stream")
FIRST_LINES = 12
LONGEST_TEXT, LONGEST_LIST = 400, 3

_TOLD_ONCE = {
    "access_token": "<access token>",
    "refresh_token": "<refresh token>",
    "secret": "<shown here only>",
    "code": "<one-time code>",
    "trace_id": "0000000000000000000000000000002a",
}
_MEASURED = {
    *("behind_seconds", "fit_seconds", "seconds", "waited_seconds", "oldest_wait_seconds", "answer_seconds"),
    *("milliseconds", "free_bytes", "ms_per_1000_rows"),
}
_SHOWN_OF_SPEC = ("name", "kind", "time", "partition", "key", "threshold")
_STEADY_PARTS = ("database", "registry", "lake")
_SEALED = {"kid", "x", "y", "n", "digest", "code_version", "schema_hash", "next"}
_MOMENT = re.compile(r"\b20(?:2[6-9]|[3-9]\d)-\d\d-\d\d([T ])\d\d:\d\d:\d\d(?:\.\d+)?(Z|\+00:00)")
_ID = re.compile(
    r"\b(?:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|[0-9a-f]{64}|[0-9a-f]{32}|(?=\w*[a-f])(?=\w*\d)[0-9a-f]{8,16})\b"
)
_WHOLE_ID = re.compile(r"[0-9a-f]{8,16}")
_ROW_ID, A_ROW_ID = re.compile(r"\bWyJ[\w-]{12,}"), "WyJhLmNzdiIsMV0"
"""The second is that of `["a.csv",1]`; long ones look like secrets to a scan."""
_LONG_NUMBER = re.compile(r"\d+\.\d{5,}(?:e-?\d+)?")
_TIMED = re.compile(r"\b\d+(?:\.\d+)?(?= (?:s|ms|MB|GB|µs|seconds)\b)")


def captured(house: House, folder: Path) -> Examples:
    """One answer of each operation and status of success, made independent of moment, place and chance."""
    found: Examples = {}
    for name, prepare in OPERATIONS.items():
        method, path = name.split(" ", 1)
        for ask in prepare(house):
            answer = ask.sent_with(house.client, house.token, method, path)
            assert answer.status_code == ask.status, (name, answer.status_code, answer.text)
            media = answer.headers.get("content-type", "").split(";")[0]
            value = _value(media, answer)
            if name == "GET /v1/pipelines/{name}":
                # The whole of it is on the page on a pipeline's YAML, and grows.
                value = {**value, "spec": {key: value["spec"][key] for key in _SHOWN_OF_SPEC}}
            if name == "GET /health":
                # Others of them are as the machine is.
                value = {**value, "status": "ok", "parts": [p for p in value["parts"] if p["name"] in _STEADY_PARTS]}
            if value is not None:
                steady = _Steady(str(folder))
                found.setdefault(name, {}).setdefault(str(ask.status), {}).setdefault(media, steady.of(value))
    return found


def written(examples: Examples) -> str:
    """As the file holds them."""
    return json.dumps(examples, indent=1, ensure_ascii=False) + "\n"


def _value(media: str, answer: Any) -> Any:
    if not answer.content:
        return None
    if media == "application/json":
        return answer.json()
    if media in TEXTS:
        return "\n".join(answer.text.splitlines()[:FIRST_LINES]) + "\n"
    return None


class _Steady:
    """Values that differ from walk to walk -> the same ones each time."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._ids: dict[str, str] = {}

    def of(self, value: Any, key: str = "") -> Any:
        if isinstance(value, dict):
            if value.get("metric") in _MEASURED:
                return self._metric(value)
            return {name: self.of(inner, name) for name, inner in list(value.items())}
        if isinstance(value, list):
            return [self.of(inner, key) for inner in value[:LONGEST_LIST]]
        if isinstance(value, bool) or value is None:
            return value
        if isinstance(value, str):
            return self._text(value, key)
        if key in _MEASURED:
            return type(value)(1)
        return value if isinstance(value, int) else _four_digits(value)

    def _metric(self, value: dict[str, Any]) -> dict[str, Any]:
        """A line of a comparison has its figures' name beside them."""
        return {name: 1.0 if isinstance(inner, float) else inner for name, inner in value.items()}

    def _text(self, value: str, key: str) -> str:
        if key in _TOLD_ONCE:
            return _TOLD_ONCE[key]
        if key in _SEALED:
            return "…"
        text = value.replace(self._folder, "/srv/watch")
        text = _MOMENT.sub(r"2026-03-02\g<1>08:00:00\g<2>", text)
        text = _LONG_NUMBER.sub(lambda found: f"{float(found[0]):.4g}", text)
        text = _ROW_ID.sub(A_ROW_ID, _TIMED.sub("1", text)).replace("testclient", "127.0.0.1")
        text = (_WHOLE_ID if _WHOLE_ID.fullmatch(text) else _ID).sub(self._id, text)
        return text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]}…"

    def _id(self, found: re.Match[str]) -> str:
        seen = self._ids.setdefault(found[0], f"{len(self._ids) + 1:x}")
        return re.sub(r"[0-9a-f]", "0", found[0])[: -len(seen)] + seen


def _four_digits(value: float) -> float:
    return float(f"{value:.4g}") if math.isfinite(value) else value


def differences(old: Any, new: Any, where: str = "") -> Iterator[str]:
    """Where two captures tell of another shape or meaning; figures may differ by what machines differ."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted({*old, *new}):
            if key not in old or key not in new:
                yield f"{where}.{key}: only in the {'new' if key in new else 'old'}"
            else:
                yield from differences(old[key], new[key], f"{where}.{key}")
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for number, (one, other) in enumerate(zip(old, new, strict=True)):
            yield from differences(one, other, f"{where}.{number}")
    elif isinstance(old, float) and isinstance(new, float | int):
        if not math.isclose(old, new, rel_tol=0.02, abs_tol=1e-6):
            yield f"{where}: {old} != {new}"
    elif old != new:
        yield f"{where}: {old!r} != {new!r}"

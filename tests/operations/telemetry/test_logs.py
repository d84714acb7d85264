"""Events as lines."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from pynomaly_pipelines.operations.telemetry import logs
from pynomaly_pipelines.operations.telemetry.current import Work, at_work


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    yield
    root.handlers[:] = before
    root.setLevel(level)
    structlog.reset_defaults()


def test_a_line_is_one_json_object_with_the_ids_of_the_work(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    logs.configure_logs()
    at_work(Work("t" * 32, "s" * 16, "r", account="ann", pipeline="flights"))
    logs.log().info("model loaded", version=3)
    (line,) = capfdbinary.readouterr().out.splitlines()
    found = json.loads(line)
    assert found.pop("time").endswith("Z")
    assert found == {
        "level": "info", "event": "model loaded", "request_id": "r", "trace_id": "t" * 32,
        "account": "ann", "pipeline": "flights", "version": 3,
    }  # fmt: skip


@pytest.mark.parametrize("text", ["a\nb", "a\r\nb", "\x1b[31m", "\x9b2J", "\x7f", "\u2028", "\u202e", "\ud800", "é漢"])
def test_nothing_a_caller_sends_steers_the_reader(text: str) -> None:
    line = logs.access_line({"path": text})
    shown = line.decode("utf-8")
    assert shown.isprintable()
    if text != "\ud800":
        assert json.loads(line)["path"] == text


@pytest.mark.parametrize(
    "event",
    [
        {"password": "hunter2"},  # pragma: allowlist secret
        {"api_key": "hunter2"},  # pragma: allowlist secret
        {"headers": {"Authorization": "hunter2"}},
        {"event": "sent Bearer hunter2hunter2"},
        {"list": ["eyJhbGciOiJFZERTQSJ9.hunter2.hunter2"]},
        {"event": "no route to postgresql://ann:hunter2@db/x"},  # pragma: allowlist secret
    ],
)
def test_secrets_are_left_out(event: dict[str, object]) -> None:
    assert b"hunter2" not in logs.access_line(event)
    assert b"[redacted]" in logs.access_line(event)


def test_libraries_write_in_the_same_form(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure_logs()
    logging.getLogger("somebody").warning("a line\nof %s", "two")
    found = json.loads(capsys.readouterr().out)
    assert (found["event"], found["logger"], found["level"]) == ("a line\nof two", "somebody", "warning")


def test_lines_for_people(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    logs.configure_logs(form="text")
    logs.log().warning("cut off\x1b[2J", requests=3)
    line = capfdbinary.readouterr().out.decode()
    assert line.endswith("warning cut off\\u001b[2J requests=3\n") or "requests=3" in line
    assert "\x1b" not in line

"""Cases 14, 27, 45 and 46 of the attack list: heads, spellings, slow clients, requests that look like two."""

from __future__ import annotations

import base64
import contextlib
import signal
import socket
import time
from pathlib import Path

import pytest

from tests.serving import Serving, get, problem, read_all, serving, status

pytestmark = [pytest.mark.slow]


@pytest.mark.parametrize("megabytes", [1, 10])
def test_case_14_an_endless_token(served: Serving, megabytes: int) -> None:
    with served.connect() as line:
        # The server answers and stops reading long before the end.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            line.sendall(get("/v1/pipelines", "Authorization: Bearer " + "a" * megabytes * 2**20))
        answer = read_all(line)
    assert status(answer) == 431
    assert problem(answer)["code"] == "request-headers-too-large"


def test_case_14_a_token_with_a_deep_header(served: Serving) -> None:
    deep = base64.urlsafe_b64encode(b'{"alg":' + b"[" * 100_000).rstrip(b"=").decode()
    assert status(served.exchange(get("/v1/pipelines", f"Authorization: Bearer {deep}.e30.AA", close=True))) == 431
    short = base64.urlsafe_b64encode(b'{"alg":' + b"[" * 10_000).rstrip(b"=").decode()
    assert status(served.exchange(get("/v1/pipelines", f"Authorization: Bearer {short}.e30.AA", close=True))) == 401


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/v1/pipelines", 401),
        ("/v1/pipelines/", 404),
        ("/V1/pipelines", 404),
        ("/v1/Pipelines", 404),
        ("//v1/pipelines", 400),
        ("/v1//pipelines", 400),
        ("/v1/./pipelines", 400),
        ("/v1/x/../pipelines", 400),
        ("/health/live/../../v1/pipelines", 400),
        ("/health/live/%2e%2e/%2e%2e/v1/pipelines", 400),
        ("/health/live%2f..%2fv1%2fpipelines", 400),
        ("/v1/pipelines%00", 400),
        ("/v1\\pipelines", 400),
        ("/v1/pipelines%5c", 400),
        ("/v1/pipelines%zz", 400),
        ("/v1/%70ipelines", 401),
        ("/v1/pipelines;a=b", 404),
        ("/v1/pipelines.json", 404),
        ("/v1/pipelines?x=%00", 400),
    ],
)
def test_case_27_no_spelling_is_let_in(served: Serving, path: str, expected: int) -> None:
    answer = served.exchange(get(path, close=True))
    assert status(answer) == expected
    problem(answer)


@pytest.mark.parametrize(
    "header",
    [
        "X-HTTP-Method-Override: DELETE",
        "X-HTTP-Method: DELETE",
        "X-Method-Override: DELETE",
        "X-Original-URL: /health/live",
        "X-Rewrite-URL: /health/live",
        "X-Forwarded-Prefix: /health",
    ],
)
def test_case_27_headers_change_neither_method_nor_path(served: Serving, header: str) -> None:
    assert status(served.exchange(get("/v1/pipelines", header, close=True))) == 401
    assert status(served.exchange(get("/health/live?_method=DELETE", header, close=True))) == 200


@pytest.mark.parametrize("method", ["DELETE", "PUT", "PATCH", "TRACE", "PROPFIND"])
def test_case_27_other_methods(served: Serving, method: str) -> None:
    answer = served.exchange(get("/v1/pipelines", close=True).replace(b"GET", method.encode(), 1))
    assert status(answer) == 405
    assert b"\r\nallow: GET\r\n" in answer.lower().replace(b"allow: get", b"allow: GET")
    assert problem(answer)["code"] == "request-method"


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        pytest.param(
            b"POST /v1/echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"0\r\n\r\n",
            400,
            id="length-and-chunked",
        ),
        pytest.param(
            b"POST /v1/echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
            400,
            id="length-twice",
        ),
        pytest.param(
            b"POST /v1/echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
            400,
            id="two-lengths",
        ),
        pytest.param(
            b"POST /v1/echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n2\n{}\n0\n\n",
            400,
            id="bare-line-feed",
        ),
        pytest.param(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\nHost: evil\r\n\r\n", 400, id="two-hosts"),
        pytest.param(b"GET /health/live HTTP/1.1\r\n\r\n", 400, id="no-host"),
        pytest.param(b"GET /v1/pipelines HTTP/1.1\r\nHost: evil.example\r\n\r\n", 400, id="other-host"),
        pytest.param(b"GET /v1/pipelines HTTP/1.1\r\nHost: localhost:80@evil\r\n\r\n", 400, id="odd-host"),
        pytest.param(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n X: folded\r\n\r\n", 400, id="folded"),
        pytest.param(b"GET /health/live HTTP/1.1\r\nHost : localhost\r\n\r\n", 400, id="space-before-colon"),
        pytest.param(b"GET /health/live HTTP/1.1\r\nHost: local\x00host\r\n\r\n", 400, id="nul"),
        pytest.param(b"GET /health/live HTTP/9.9\r\nHost: localhost\r\n\r\n", 400, id="version"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, id="tls-to-a-plain-port"),
        pytest.param(
            b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n" + b"A: b\r\n" * 5000 + b"\r\n", 431, id="5000-headers"
        ),
        pytest.param(
            b"GET /health/live HTTP/1.1\r\nHost: localhost\r\nA: " + b"b" * 2**20 + b"\r\n\r\n", 431, id="1-MB-header"
        ),
        pytest.param(
            b"GET /health/live?" + b"q" * 2**20 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", 431, id="1-MB-path"
        ),
    ],
)
def test_case_46_requests_that_can_be_read_as_another(served: Serving, sent: bytes, expected: int) -> None:
    with served.connect(8) as line:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            line.sendall(sent)
        answer = _first(line)
    assert status(answer) == expected
    problem(answer)


def _first(line: socket.socket) -> bytes:
    """One answer, read to its end."""
    found = b""
    while not found.endswith(b"}"):
        part = line.recv(65_536)
        if not part:
            break
        found += part
    return found


def test_case_45_slow_clients_are_closed_and_harm_nobody(served: Serving) -> None:
    with contextlib.ExitStack() as stack:
        halves = [stack.enter_context(served.connect(20)) for _ in range(1000)]
        for line in halves:
            line.sendall(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\nX: ")
        bodies = [stack.enter_context(served.connect(20)) for _ in range(100)]
        for line in bodies:
            line.sendall(
                b"POST /v1/echo HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                b"Content-Length: 1000\r\n\r\n{"
            )
        # Honest clients are answered while all of them wait.
        assert all(served.honest() for _ in range(20))
        deadline = time.monotonic() + 20
        answers = [read_all(line) for line in (*halves, *bodies)]
        assert time.monotonic() < deadline
    assert {status(answer) for answer in answers} == {408}


@pytest.mark.parametrize(
    ("first", "drop"),
    [
        pytest.param(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\nX: ", b"a", id="a-header-without-end"),
        pytest.param(get("/health/live"), b"\r\n", id="empty-lines-after-a-request"),
        pytest.param(get("/health/live"), b"G", id="a-method-without-end"),
    ],
)
def test_case_45_a_drop_now_and_then_buys_no_time(served: Serving, first: bytes, drop: bytes) -> None:
    with served.connect(20) as line:
        line.sendall(first)
        started = time.monotonic()
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            while time.monotonic() - started < 15:
                time.sleep(0.3)
                line.sendall(drop)
        assert time.monotonic() - started < 10


def test_case_45_it_stops_in_time_with_slow_clients(tmp_path: Path) -> None:
    with serving(tmp_path, drain_seconds=2) as own, contextlib.ExitStack() as stack:
        for _ in range(200):
            stack.enter_context(own.connect()).sendall(b"GET / HTTP/1.1\r\nHost: loc")
        started = time.monotonic()
        own.process.send_signal(signal.SIGTERM)
        assert own.process.wait(20) == 0
        assert time.monotonic() - started < 10


def test_more_connections_than_allowed_cost_those_who_wait(tmp_path: Path) -> None:
    with serving(tmp_path, connection_limit=50) as own, contextlib.ExitStack() as stack:
        for _ in range(200):
            stack.enter_context(own.connect()).sendall(b"GET / HTTP/1.1\r\n")
        assert all(own.honest() for _ in range(20))

"""Case 47 of the attack list: what is logged, and what answers tell a browser and a stranger."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.serving import Serving, get, problem, serving, status

pytestmark = [pytest.mark.slow]

FORGED = '{"level":"error","event":"forged"}'


def wait_for(found: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5
    while not found() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert found()


def test_case_47_no_line_of_its_own_and_no_terminal_control(served: Serving) -> None:
    served.exchange(get("/v1/%0a" + FORGED.replace('"', "%22") + "%1b[2J%0d", close=True))
    served.exchange(get("/v1/pipelines", f"User-Agent: a{FORGED}\x1b[31m\x7f\x9b2J", close=True))
    served.exchange(get("/v1/pipelines", "X-Request-Id: x\ty", "Traceparent: 00-zz", close=True))
    served.exchange(get("/v1/caf%c3%a9%c2%9b%e2%80%a8%e2%80%ae", close=True))
    wait_for(lambda: any("caf" in line.get("path", "") for line in served.lines()))
    # `lines` reads each line as JSON: one that was torn or forged fails.
    assert all(line["event"] != "forged" for line in served.lines())
    raw = served.log.read_bytes()
    assert not set(raw.decode()) & set("\x1b\x7f\x9b\u2028\u202e\r")


def test_case_47_no_secret_is_logged(served: Serving) -> None:
    token = "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl"  # pragma: allowlist secret
    served.exchange(get(f"/v1/pipelines?token={token}&password=hunter2", f"Authorization: Bearer {token}", close=True))
    served.exchange(get(f"/v1/{token}", f"User-Agent: {token}", "X-API-Key: k-very-private", close=True))
    served.exchange(get("/v1/echo/failing", "Cookie: session=very-private", close=True))
    wait_for(lambda: "failing" in served.said())
    for secret in (token, "hunter2", "very-private"):
        assert secret not in served.said()


def test_case_47_an_unforeseen_fault_is_logged_whole_and_told_without_its_inside(served: Serving) -> None:
    answer = served.exchange(get("/v1/echo/failing", close=True))
    told = problem(answer)
    assert status(answer) == 500
    assert b"the-inside" not in answer
    wait_for(lambda: any(line.get("trace_id") == told["trace_id"] and "traceback" in line for line in served.lines()))
    logged = next(line for line in served.lines() if line.get("trace_id") == told["trace_id"] and "traceback" in line)
    assert "ZeroDivisionError: the-inside-of-the-service" in logged["traceback"]


def test_case_47_security_headers_on_every_answer(served: Serving) -> None:
    for path in ("/v1/pipelines", "/nothing", "/health/live", "/docs", "/v1//x", "/v1/echo/failing"):
        head = served.exchange(get(path, close=True)).partition(b"\r\n\r\n")[0].lower()
        for expected in (
            b"x-content-type-options: nosniff",
            b"x-frame-options: deny",
            b"content-security-policy: default-src 'none'",
            b"referrer-policy: no-referrer",
            b"x-request-id: ",
            b"cache-control: ",
        ):
            assert expected in head, path
        assert b"server:" not in head
        assert b"uvicorn" not in head


def test_case_47_other_origins_are_closed_by_default(served: Serving) -> None:
    answer = served.exchange(get("/health/live", "Origin: https://evil.example", close=True))
    assert b"access-control" not in answer.lower()
    preflight = get(
        "/v1/pipelines", "Origin: https://evil.example", "Access-Control-Request-Method: GET", close=True
    ).replace(b"GET", b"OPTIONS", 1)
    assert b"access-control-allow-origin" not in served.exchange(preflight).lower()


def test_case_47_exposure_and_forwarded_addresses_are_settings(served: Serving, tmp_path: Path) -> None:
    assert status(served.exchange(get("/metrics", close=True))) == 401
    spoofed = served.exchange(get("/nothing-spoofed", "X-Forwarded-For: 203.0.113.9", close=True))
    assert status(spoofed) == 404
    wait_for(lambda: any(line.get("path") == "/nothing-spoofed" for line in served.lines()))
    assert {line["client"] for line in served.lines() if line.get("path") == "/nothing-spoofed"} == {"127.0.0.1"}

    with serving(
        tmp_path,
        docs="false",
        metrics_access="open",
        cors_origins='["https://app.example"]',
        trusted_proxies='["127.0.0.0/8", "10.0.0.0/8"]',
    ) as own:
        for path in ("/docs", "/openapi.json", "/problems/request-bad"):
            assert status(own.exchange(get(path, close=True))) == 404
        own.exchange(get("/first", "X-Forwarded-For: 198.51.100.1, 203.0.113.9, 10.1.2.3", close=True))
        own.exchange(get("/second", "X-Forwarded-For: nonsense, 10.1.2.3", close=True))
        clients = {line["path"]: line["client"] for line in own.lines() if "client" in line}
        assert clients["/first"] == "203.0.113.9"
        assert clients["/second"] == "10.1.2.3"
        figures = own.exchange(get("/metrics", close=True)).decode()
        assert 'pynomaly_http_requests_total{method="GET",route="unmatched",status="404"} 5.0' in figures
        named = own.exchange(get("/health/live", "Origin: https://app.example", close=True)).lower()
        assert b"access-control-allow-origin: https://app.example" in named
        assert b"access-control-allow-credentials" not in named
        assert (
            b"access-control-allow-origin"
            not in own.exchange(get("/health/live", "Origin: https://evil.example", close=True)).lower()
        )

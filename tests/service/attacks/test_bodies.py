"""Cases 31 to 33 of the attack list: bodies that can't be read, are too large, or are something else."""

from __future__ import annotations

import gzip
import json
import socket
import time

import pytest

from tests.serving import Serving, problem, read_all, status

pytestmark = [pytest.mark.slow]

JSON = "Content-Type: application/json"


def post(body: bytes, *headers: str, path: str = "/v1/echo") -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: localhost", f"Content-Length: {len(body)}", "Connection: close", *headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


def test_an_honest_body_is_taken(served: Serving) -> None:
    answer = served.exchange(post(b'{"amount": 1.5, "note": "a\\u00e9"}', JSON))
    assert status(answer) == 200
    assert json.loads(answer.partition(b"\r\n\r\n")[2]) == {"amount": 1.5, "note": "aé", "inside": None}


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b'{"amount": 1, "inside": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", id="deep"),
        pytest.param(b'{"amount": 1, "inside": ' + b"[" * 33 + b"]" * 33 + b"}", id="just-too-deep"),
        pytest.param(b"[" * 500_000, id="deep-and-open"),
        pytest.param(b'{"amount": 1, "amount": 2}', id="a-name-twice"),
        pytest.param(b'{"amount": 1, "inside": [{"a": 1, "a": 1}]}', id="a-name-twice-inside"),
        pytest.param(b'\xef\xbb\xbf{"amount": 1}', id="byte-order-mark"),
        pytest.param(b'{"amount": 1, "note": "\xff\xfe"}', id="not-utf8"),
        pytest.param('{"amount": 1}'.encode("utf-16"), id="utf-16"),
        pytest.param(b'{"amount": 1', id="truncated"),
        pytest.param(b'{"amount": 1} {}', id="two"),
        pytest.param(b'{"amount": 1, "note": "\x00"}', id="control-character"),
    ],
)
def test_case_31_what_can_mean_two_things_or_none(served: Serving, body: bytes) -> None:
    answer = served.exchange(post(body, JSON))
    assert problem(answer)["code"] == "request-bad"
    assert status(answer) == 400


@pytest.mark.parametrize(
    "number", ["NaN", "Infinity", "-Infinity", "1e400", "9" * 5000, '"1.0"', "true", "null", "[1]", "{}"]
)
def test_case_31_numbers_that_are_none(served: Serving, number: str) -> None:
    answer = served.exchange(post(f'{{"amount": {number}}}'.encode(), JSON))
    assert problem(answer)["code"] == "request-unprocessable"
    assert "amount" in problem(answer)["detail"] or "no finite number" in problem(answer)["detail"]


def test_case_31_unknown_fields_and_half_characters(served: Serving) -> None:
    extra = problem(served.exchange(post(b'{"amount": 1, "role": "admin"}', JSON)))
    assert extra["status"] == 422
    assert [field["where"] for field in extra["fields"]] == ["body.role"]
    half = problem(served.exchange(post(b'{"amount": 1, "note": "\\ud800"}', JSON)))
    assert half["status"] == 422


def test_case_32_a_body_that_says_it_is_too_large_is_not_read(served: Serving) -> None:
    with served.connect() as line:
        line.sendall(post(b"", JSON).replace(b"Content-Length: 0", b"Content-Length: 50000000"))
        answer = read_all(line)
    assert problem(answer)["code"] == "request-too-large"
    assert status(answer) == 413


def test_case_32_a_body_without_length_is_stopped_at_the_limit(served: Serving) -> None:
    head = post(b"", JSON).replace(b"Content-Length: 0", b"Transfer-Encoding: chunked").replace(b"close", b"keep-alive")
    part = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
    with served.connect() as line:
        line.sendall(head)
        line.settimeout(0.001)
        sent, answer = 0, b""
        while not answer and sent < 50_000_000:
            sent += _send(line, part)
            try:
                answer = line.recv(65_536)
            except TimeoutError:
                continue
    assert status(answer) == 413
    # What lies in buffers of both sides, but not the 50 MB.
    assert sent < 10_000_000


def _send(line: socket.socket, part: bytes) -> int:
    line.settimeout(5)
    line.sendall(part)
    line.settimeout(0.001)
    return len(part)


@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate", "zstd", "gzip, gzip", "GZIP"])
def test_case_32_what_unpacks_is_not_taken(served: Serving, encoding: str) -> None:
    bomb = gzip.compress(b'{"amount": 1, "note": "' + b"a" * 5_000_000 + b'"}')
    answer = served.exchange(post(bomb, JSON, f"Content-Encoding: {encoding}"))
    assert status(answer) == 415
    assert problem(answer)["code"] == "request-unsupported-media"


@pytest.mark.parametrize(
    "media",
    [
        "text/plain",
        "application/xml",
        "application/json; charset=utf-7",
        "application/json; charset=utf-16",
        "multipart/form-data; boundary=x",
        "application/x-www-form-urlencoded",
        "application/problem+json",
        "json",
        "",
    ],
)
def test_case_33_other_content_types(served: Serving, media: str) -> None:
    answer = served.exchange(post(b'{"amount": 1}', f"Content-Type: {media}"))
    assert status(answer) == 415
    assert problem(answer)["code"] == "request-unsupported-media"


def test_case_33_utf8_may_be_named(served: Serving) -> None:
    for media in ("application/json; charset=utf-8", "application/json;charset=UTF-8", "Application/JSON"):
        assert status(served.exchange(post(b'{"amount": 1}', f"Content-Type: {media}"))) == 200


def test_a_body_that_does_not_come_is_given_up(served: Serving) -> None:
    with served.connect(15) as line:
        started = time.monotonic()
        line.sendall(post(b"", JSON).replace(b"Content-Length: 0", b"Content-Length: 100") + b'{"am')
        answer = read_all(line)
    assert status(answer) == 408
    assert 2.5 < time.monotonic() - started < 15

"""A request's time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from fastapi.testclient import TestClient

from pynomaly_pipelines.service.app import create_app
from pynomaly_pipelines.service.settings import ServiceSettings


def slow_app() -> FastAPI:
    app = create_app(ServiceSettings(request_timeout_seconds=0.2))

    @app.get("/slow")
    async def slow() -> None:
        await asyncio.sleep(30)

    @app.get("/in-a-thread")
    def in_a_thread() -> None:
        time.sleep(1)

    @app.get("/stream")
    async def stream() -> StreamingResponse:
        async def events() -> AsyncIterator[bytes]:
            for _ in range(5):
                await asyncio.sleep(0.1)
                yield b"x"

        return StreamingResponse(events())

    @app.get("/own")
    async def own() -> None:
        raise TimeoutError("of the route's own")

    return app


def test_an_answer_that_does_not_come_is_given_up() -> None:
    client = TestClient(slow_app(), raise_server_exceptions=False)
    for path in ("/slow", "/in-a-thread"):
        answer = client.get(path)
        assert answer.status_code == 503
        assert answer.json()["code"] == "took-too-long"
        assert answer.headers["retry-after"] == "1"


def test_what_has_begun_may_go_on() -> None:
    answer = TestClient(slow_app()).get("/stream")
    assert answer.text == "xxxxx"


def test_a_time_out_of_the_routes_own_is_not_taken_for_ours() -> None:
    answer = TestClient(slow_app(), raise_server_exceptions=False).get("/own")
    # A part behind the route was too slow: told as such, which asks nobody to send less.
    assert answer.status_code == 503
    assert answer.json()["code"] == "dependency-unavailable"

"""A request without a query is answered before the router is asked: as the router's own route answers it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pytest
from fastapi.testclient import TestClient

from pynomaly_pipelines.service.access.permissions import Role
from pynomaly_pipelines.service.auth.authentication import authenticate
from pynomaly_pipelines.service.scoring import direct
from tests.service.scoring_service import app_of
from tests.small_pipelines import Trained

URL = "/v1/pipelines/shop/score"
ROW = {"amount": 12.5, "tax": 2.5, "items": 3, "country": "DE", "gift": False}
JSON = {"content-type": "application/json"}
ARROW = {"content-type": "application/vnd.apache.arrow.stream"}


def stream() -> bytes:
    """The row as an IPC stream."""
    table = pa.Table.from_pylist([ROW])
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as opened:
        opened.write_table(table)
    return bytes(sink.getvalue())


ASKED: dict[str, tuple[str, dict[str, str], bytes]] = {
    "a row": (URL, JSON, json.dumps({"rows": [ROW]}).encode()),
    "many rows": (URL, JSON, json.dumps({"rows": [ROW] * 900}).encode()),
    "Arrow": (URL, ARROW, stream()),
    "answered in Arrow": (URL, JSON | {"accept": ARROW["content-type"]}, json.dumps({"rows": [ROW]}).encode()),
    "an answer in HTML": (URL, JSON | {"accept": "text/html"}, json.dumps({"rows": [ROW]}).encode()),
    "a torn body": (URL, JSON, b'{"rows": [{'),
    "no rows": (URL, JSON, b'{"rows": []}'),
    "a column missing": (URL, JSON, b'{"rows": [{"amount": 1.0}]}'),
    "too many bytes": (URL, JSON, b" " * 200_000),
    "text": (URL, {"content-type": "text/plain"}, b"1,2"),
    "no such pipeline": ("/v1/pipelines/shops/score", JSON, json.dumps({"rows": [ROW]}).encode()),
    "an escaped name": ("/v1/pipelines/sh%6Fp/score", JSON, json.dumps({"rows": [ROW]}).encode()),
}


@pytest.fixture(scope="module", params=[Role.USER, Role.VIEWER, None], ids=str)
def client(
    request: pytest.FixtureRequest, shop: Trained, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TestClient]:
    app = app_of(shop, tmp_path_factory.mktemp("service"), request.param or Role.USER, body_limit_bytes=150_000)
    if request.param is None:
        del app.dependency_overrides[authenticate]
    with TestClient(app, raise_server_exceptions=False) as found:
        yield found


def told(client: TestClient, url: str, headers: dict[str, str], body: bytes) -> tuple[Any, ...]:
    """Status, headers and body, without what differs from request to request."""
    answer = client.post(url, headers=headers, content=body)
    kept = {name: value for name, value in answer.headers.items() if name != "x-request-id"}
    if "ratelimit" in kept:
        kept["ratelimit"] = re.sub(r"[rt]=\d+", "", kept["ratelimit"])
    return answer.status_code, kept, re.sub(rb'"trace_id":"\w+"', b"", answer.content)


@pytest.mark.parametrize("asked", list(ASKED))
def test_both_ways_answer_alike(client: TestClient, asked: str, monkeypatch: pytest.MonkeyPatch) -> None:
    url, headers, body = ASKED[asked]
    taken: list[str] = []
    respond = direct.respond

    async def noted(request: Any, name: str) -> tuple[bytes, str]:
        taken.append(name)
        return await respond(request, name)

    monkeypatch.setattr(direct, "respond", noted)
    one = told(client, url, headers, body)
    came = len(taken)
    assert one == told(client, f"{url}?raw=false", headers, body)
    # Only the first of the two went this way, if it came as far as that.
    assert len(taken) == came
    assert bool(came) is (one[0] not in (401, 403) and asked != "too many bytes")


def test_the_account_is_counted(shop: Trained, tmp_path_factory: pytest.TempPathFactory) -> None:
    app = app_of(shop, tmp_path_factory.mktemp("service"), rate_score="3/3600")
    _, headers, body = ASKED["a row"]
    with TestClient(app, client=("10.1.1.1", 1)) as one:
        other = TestClient(app, client=("10.1.1.2", 1))
        other.portal = one.portal
        assert [one.post(URL, headers=headers, content=body).status_code for _ in range(2)] == [200, 200]
        assert [other.post(URL, headers=headers, content=body).status_code for _ in range(2)] == [200, 429]

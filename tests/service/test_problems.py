"""Errors as problem details."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient

from pynomaly_pipelines.operations import errors
from pynomaly_pipelines.service import playbook
from pynomaly_pipelines.service.app import create_app
from pynomaly_pipelines.service.problems import STATUS, answered, problems


def tree(kind: type[errors.PynomalyError] = errors.PynomalyError) -> Iterator[type[errors.PynomalyError]]:
    yield kind
    for child in kind.__subclasses__():
        if child.__module__ == errors.__name__:
            yield from tree(child)


@pytest.mark.parametrize("kind", sorted(set(tree()), key=lambda kind: kind.code))
def test_every_code_has_an_entry_in_the_playbook_and_a_page(kind: type[errors.PynomalyError]) -> None:
    assert kind.code in playbook._PLAYS
    answer = TestClient(create_app()).get(f"/problems/{kind.code}")
    assert answer.status_code == 200
    assert f"<code>{kind.code}</code>" in answer.text
    assert "<script" not in answer.text


def test_an_unknown_code_has_no_page() -> None:
    answer = TestClient(create_app()).get("/problems/<script>")
    assert answer.status_code == 404
    assert answer.json()["code"] == "request-not-found"


def test_the_members_are_those_of_the_error() -> None:
    error = errors.Conflict("version 3 is the champion", rule="a rollback needs another", fix="name one", where="shop")
    response = answered(error)
    told: dict[str, Any] = json.loads(response.body)
    assert re.fullmatch("[0-9a-f]{32}", told.pop("trace_id"))
    assert told == {
        "type": "/problems/request-conflict",
        "title": "request conflict",
        "status": 409,
        "detail": "shop: version 3 is the champion",
        "code": "request-conflict",
        "cause": "a rollback needs another",
        "fix": "name one",
    }
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["cache-control"] == "no-store"


def test_when_to_come_back_is_told_in_whole_seconds() -> None:
    down = errors.DependencyUnavailable("the registry does not answer", dependency="registry", retry_after=4.2)
    assert answered(down).headers["retry-after"] == "5"
    assert answered(down).status_code == 503
    assert answered(errors.TooManyRequests("120 in a minute")).headers["retry-after"] == "1"
    assert "retry-after" not in answered(errors.NotFound("gone")).headers
    assert answered(errors.NotAuthenticated("who")).headers["www-authenticate"].startswith("Bearer ")


def test_a_trace_is_continued_and_told() -> None:
    client = TestClient(create_app())
    trace = "0af7651916cd43dd" * 2  # pragma: allowlist secret
    headers = {"traceparent": f"00-{trace}-b7ad6b7169203331-01", "x-request-id": "order-7"}
    answer = client.get("/nothing", headers=headers)
    assert answer.json()["trace_id"] == trace
    assert answer.headers["x-request-id"] == "order-7"
    odd = client.get(
        "/nothing", headers={"traceparent": "00-" + "0" * 32 + "-" + "0" * 16 + "-01", "x-request-id": "a b"}
    )
    assert odd.json()["trace_id"] != "0" * 32
    assert odd.headers["x-request-id"] == odd.json()["trace_id"]


def test_what_a_route_declares_has_examples() -> None:
    declared = problems(404, errors.NoChampion, taken=errors.Conflict("'7f1c' was used", rule="once", fix="another"))
    assert set(declared) == {404, 409}
    examples = declared[409]["content"]["application/problem+json"]["examples"]
    assert set(examples) == {"registry-no-champion", "taken"}
    assert examples["taken"]["value"]["detail"] == "'7f1c' was used"


def test_statuses_are_those_of_http_for_errors() -> None:
    assert all(400 <= status < 600 for status in STATUS.values())

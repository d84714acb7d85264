"""429, its headers, and who is counted as whom."""

from __future__ import annotations

from typing import Annotated

import pytest
from fastapi import Depends, FastAPI
from fastapi.testclient import TestClient

from pynomaly_pipelines.service.access.caller import Caller
from pynomaly_pipelines.service.access.permissions import Permission, Role
from pynomaly_pipelines.service.access.requirements import require
from pynomaly_pipelines.service.auth.authentication import authenticate
from pynomaly_pipelines.service.problems import handle_problems
from pynomaly_pipelines.service.rates.limiter import RateLimiter
from pynomaly_pipelines.service.rates.middleware import RateLimits
from pynomaly_pipelines.service.rates.rules import Kind, client_key, kind_of, limits
from pynomaly_pipelines.service.rates.windows import Limit, Windows
from pynomaly_pipelines.service.settings import ServiceSettings


def served(reads: int = 3, who: str = "a1") -> FastAPI:
    app = FastAPI()
    handle_problems(app)

    @app.get("/v1/pipelines")
    async def read(caller: Annotated[Caller, Depends(require(Permission.PIPELINES_READ))]) -> str:
        return caller.name

    @app.post("/v1/auth/token")
    @app.get("/health/live")
    async def other() -> str:
        return "fine"

    app.dependency_overrides[authenticate] = lambda: Caller(who, "mia", Role.VIEWER)
    rules = dict.fromkeys(Kind, Limit(reads, 60)) | {Kind.LOGIN: Limit(2, 60)}
    app.add_middleware(RateLimits, limiter=RateLimiter(rules, Windows(100, lambda: 600.0)))
    return app


def test_over_the_limit_is_429_with_what_to_do() -> None:
    with TestClient(served()) as client:
        answers = [client.get("/v1/pipelines") for _ in range(4)]
    assert [a.status_code for a in answers] == [200, 200, 200, 429]
    assert [a.headers["ratelimit"] for a in answers] == [
        '"read";r=2;t=60', '"read";r=1;t=60', '"read";r=0;t=60', '"read";r=0;t=60',
    ]  # fmt: skip
    assert answers[0].headers["ratelimit-policy"] == '"read";q=3;w=60'
    assert answers[3].headers["retry-after"] == "60"
    assert answers[3].headers["content-type"] == "application/problem+json"
    assert answers[3].json()["code"] == "request-too-many"


def test_an_account_has_one_limit_over_all_its_addresses() -> None:
    app = served()
    codes = []
    for number in range(4):
        with TestClient(app, client=(f"192.0.2.{number}", 1)) as client:
            codes.append(client.get("/v1/pipelines").status_code)
    assert codes == [200, 200, 200, 429]


def test_logins_are_counted_apart_and_probes_never() -> None:
    with TestClient(served()) as client:
        assert [client.post("/v1/auth/token").status_code for _ in range(3)] == [200, 200, 429]
        assert client.get("/v1/pipelines").status_code == 200
        probes = [client.get("/health/live") for _ in range(9)]
    assert {p.status_code for p in probes} == {200}
    assert "ratelimit" not in probes[0].headers


def test_what_a_client_says_of_its_address_changes_nothing() -> None:
    with TestClient(served()) as client:
        codes = [
            client.post(
                "/v1/auth/token",
                headers={"X-Forwarded-For": f"198.51.100.{n}", "Forwarded": f"for=198.51.100.{n}", "X-Real-IP": str(n)},
            ).status_code
            for n in range(4)
        ]
    assert codes == [200, 200, 429, 429]


@pytest.mark.parametrize(
    ("method", "path", "kind"),
    [
        ("POST", "/v1/auth/token", Kind.LOGIN),
        ("POST", "/v1/auth/token/", Kind.LOGIN),
        ("POST", "/login", Kind.LOGIN),
        ("GET", "/login", Kind.READ),
        ("POST", "/v1/auth/refresh", Kind.WRITE),
        ("POST", "/v1/pipelines/flights/score", Kind.SCORE),
        ("GET", "/v1/auth/verify", Kind.PAGES),
        ("DELETE", "/v1/grants/1", Kind.WRITE),
        ("GET", "/health/live", None),
    ],
)
def test_each_request_has_its_class(method: str, path: str, kind: Kind | None) -> None:
    assert kind_of(method, path) is kind


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("not:an:address", "not:an:address"),
    ],
)
def test_addresses_of_one_customer_are_one_client(address: str, key: str) -> None:
    assert client_key(address) == key


def test_limits_are_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYNOMALY_SERVICE_RATE_LOGIN", "5/300")
    assert limits(ServiceSettings())[Kind.LOGIN] == Limit(5, 300)
    monkeypatch.setenv("PYNOMALY_SERVICE_RATE_LOGIN", "many")
    with pytest.raises(ValueError, match="rate_login"):
        ServiceSettings()

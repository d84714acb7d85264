"""For each operation of the API a request that it grants on a stocked home, with all that has to be there before."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from dagster import DagsterInstance

from pynomaly_pipelines.service.auth import codes
from pynomaly_pipelines.service.auth.parts import Auth
from tests.service.installation import PASSWORD
from tests.service.stocked_home import DAYS, HELD_DAY, PIPELINE

ADMIN = "ada"
OTHER_PASSWORD = "eight blue herons whistle"  # pragma: allowlist secret
ORDINARY = {"amount": 41.0, "tax": 8.2, "items": 4, "country": "DE", "gift": False}
FAR_OFF = {"amount": 853.0, "tax": 2.0, "items": 61, "country": "FR", "gift": True}


@dataclass(frozen=True)
class Ask:
    """One request, and the status it is to be answered with."""

    status: int = 200
    places: dict[str, str] = field(default_factory=dict)
    query: dict[str, Any] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    json: Any = None
    form: dict[str, str] | None = None
    token: str | None = None
    """Whose request it is; the administrator's if nothing is said."""

    @property
    def quoted(self) -> dict[str, str]:
        """The places as they stand in an address."""
        return {name: quote(value, safe="") for name, value in self.places.items()}

    def sent_with(self, client: Any, token: str, method: str, path: str) -> Any:
        """The answer to it."""
        headers = {"Authorization": f"Bearer {self.token or token}", **self.headers}
        body = {"json": self.json} if self.json is not None else {"data": self.form} if self.form else {}
        return client.request(method, path.format(**self.quoted), params=self.query or None, headers=headers, **body)


@dataclass
class House:
    """A service on a stocked home with its first administrator, and what its callers do beforehand."""

    client: Any
    auth: Auth
    dagster: DagsterInstance
    people: int = 0

    def __post_init__(self) -> None:
        with self.auth.database.writing() as session:
            code, _ = codes.make(session, None, self.auth.now())
        body = {"code": code, "name": ADMIN, "password": PASSWORD}
        self.bootstrapped = self.client.post("/v1/auth/bootstrap", json=body).status_code
        assert self.bootstrapped == 204
        self.token = self.login(ADMIN)["access_token"]

    def login(self, name: str) -> dict[str, Any]:
        form = {"grant_type": "password", "username": name, "password": PASSWORD}
        answer = self.client.post("/v1/auth/token", data=form)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def did(self, method: str, path: str, body: Any = None, token: str | None = None) -> Any:
        """What was answered to a request that has to succeed."""
        answer = self.tried(method, path, body, token)
        assert answer.status_code < 300, (method, path, answer.text)
        return answer.json() if answer.content else None

    def tried(self, method: str, path: str, body: Any = None, token: str | None = None) -> Any:
        return Ask(json=body, token=token).sent_with(self.client, self.token, method, path)

    def person(self, role: str = "viewer") -> dict[str, Any]:
        """A new account that has not set its password yet, with the code to do so."""
        self.people += 1
        body = {"name": f"person-{self.people}@example.org", "role": role}
        found: dict[str, Any] = self.did("POST", "/v1/users", body)
        return found

    def member(self, role: str = "viewer") -> tuple[dict[str, Any], str]:
        """A new account and its access token."""
        made = self.person(role)
        self.did("POST", "/v1/auth/redeem", {"code": made["code"], "password": PASSWORD})
        return made["user"], self.login(made["user"]["name"])["access_token"]

    def run(self) -> str:
        """A run that waits."""
        launched = self.did("POST", f"{ORDERS}/runs", {"part": "score", "partitions": DAYS[0]})
        return str(launched["runs"][0]["id"])

    def ended_run(self) -> str:
        """The run that scored."""
        return str(self.did("GET", "/v1/runs?state=succeeded&kind=score&limit=1")["runs"][0]["id"])

    def row(self) -> dict[str, str]:
        """The highest score of a day."""
        item = self.did("GET", f"{ORDERS}/scores?partition={DAYS[0]}&limit=1")["items"][0]
        return {"partition": DAYS[0], "row": item["id"]}

    def other_version(self) -> int:
        """One that is not the champion."""
        champion = self.did("GET", f"{ORDERS}/models/champion")["version"]
        versions = [item["version"] for item in self.did("GET", f"{ORDERS}/models")["items"]]
        return int(next(version for version in versions if version != champion))

    def incident(self) -> str:
        """An open one."""
        items = self.did("GET", f"{ORDERS}/incidents")["items"]
        found = str(items[-1]["id"])
        self.tried("POST", f"{ORDERS}/incidents/{found}/state", {"state": "reopened"})
        return found

    def exclusion(self) -> str:
        return str(self.did("POST", f"{ORDERS}/exclusions", LEFT_OUT)["id"])

    def asked_for_access(self) -> tuple[str, str]:
        """The id of a request, and the token of who made it."""
        _, token = self.member()
        made = self.did("POST", "/v1/access-requests", ACCESS, token)
        return made["id"], token


ORDERS = f"/v1/pipelines/{PIPELINE}"
LEFT_OUT = {"start": "2025-01-03T00:00:00Z", "end": "2025-01-03T06:00:00Z", "reason": "the till was being tested"}
ACCESS = {"permissions": ["models:promote"], "pipeline": PIPELINE, "reason": "on call this week", "days": 7}
COMMENT = {"comment": "as agreed in the team"}
NAME = {"name": PIPELINE}
Asks = Callable[[House], "list[Ask]"]


def _always(**what: Any) -> Asks:
    return lambda house: [Ask(**what)]


def _here(**query: Any) -> Asks:
    return lambda house: [Ask(places=NAME, query=query)]


def _own_login(house: House) -> list[Ask]:
    return [Ask(204, token=house.login(ADMIN)["access_token"])]


def _of_a_member(**what: Any) -> Asks:
    return lambda house: [Ask(**what, token=house.member()[1])]


def _account(status: int = 200, **what: Any) -> Asks:
    return lambda house: [Ask(status, {"account": house.member()[0]["id"]}, **what)]


def _decided(**what: Any) -> Asks:
    return lambda house: [Ask(places={"request_id": house.asked_for_access()[0]}, **what)]


def _withdrawn(house: House) -> list[Ask]:
    made, token = house.asked_for_access()
    return [Ask(places={"request_id": made}, token=token)]


def _token(house: House) -> list[Ask]:
    refresh = house.login(ADMIN)["refresh_token"]
    password = {"grant_type": "password", "username": ADMIN, "password": PASSWORD}
    return [Ask(form=password), Ask(form={"grant_type": "refresh_token", "refresh_token": refresh})]


def _new_key() -> dict[str, Any]:
    return {"name": "till 7", "days": 30, "permissions": ["score"], "pipelines": [PIPELINE]}


def _key(house: House) -> list[Ask]:
    return [Ask(204, {"key": house.did("POST", "/v1/api-keys", _new_key())["key"]["id"]})]


def _grant(house: House) -> list[Ask]:
    return [Ask(201, json={**_granted(house), "reason": "owns this model"})]


def _granted(house: House) -> dict[str, Any]:
    return {"account": house.member()[0]["name"], "permission": "models:promote", "pipeline": PIPELINE}


def _taken_back(house: House) -> list[Ask]:
    made = house.did("POST", "/v1/grants", {**_granted(house), "reason": "for a week"})
    return [Ask(204, {"grant_id": made["id"]})]


def _export(house: House) -> list[Ask]:
    return [Ask(places=NAME, query={"format": form, "top": 3}) for form in ("csv", "parquet", "arrow")]


def _held_export(house: House) -> list[Ask]:
    return [Ask(places=NAME, query={"format": form}) for form in ("csv", "parquet", "arrow")]


def _release(house: House) -> list[Ask]:
    wish = {"partitions": [HELD_DAY], "reason": "the shop sent the file again"}
    return [Ask(202, NAME, json=wish), Ask(200, NAME, json={"expectation": "no such rule"})]


def _plot(house: House) -> list[Ask]:
    champion = house.did("GET", f"{ORDERS}/models/champion")["version"]
    plots = house.did("GET", f"{ORDERS}/models/{champion}")["plots"]
    return [Ask(places={**NAME, "version": str(champion), "plot": plots[0]})]


def _version(house: House) -> list[Ask]:
    champion = house.did("GET", f"{ORDERS}/models/champion")["version"]
    return [Ask(places={**NAME, "version": str(champion)})]


def _comparison(house: House) -> list[Ask]:
    return [Ask(places={**NAME, "version": str(house.other_version())})]


def _promotion(house: House) -> list[Ask]:
    wish = {"force": True, "reason": "finds the duplicates"}
    return [Ask(places={**NAME, "version": str(house.other_version())}, json=wish)]


def _rollback(house: House) -> list[Ask]:
    (made,) = _promotion(house)
    house.did("POST", f"{ORDERS}/models/{made.places['version']}/promote", made.json)
    return [Ask(places=NAME, json={"reason": "too many alerts"})]


def _batch(house: House) -> list[Ask]:
    good = {"pipeline": PIPELINE, "part": "score", "partitions": [DAYS[0]]}
    bad = {"pipeline": "odrers", "part": "train"}
    return [Ask(202, json={"launches": [good]}), Ask(207, json={"launches": [good, bad]})]


def _cancel(house: House) -> list[Ask]:
    told = house.run()
    run = house.dagster.get_run_by_id(told)
    assert run is not None
    # As if its process had been told and had not ended yet.
    house.dagster.report_run_canceling(run)
    return [Ask(200, {"id": house.run()}), Ask(202, {"id": told})]


def _incident(method: str = "", **what: Any) -> Asks:
    return lambda house: [Ask(places={**NAME, "incident": house.incident()}, **what)]


OPERATIONS: dict[str, Asks] = {
    "POST /v1/auth/token": _token,
    "POST /v1/auth/revoke": lambda house: [Ask(204, form={"token": house.login(ADMIN)["refresh_token"]})],
    "POST /v1/auth/logout": _own_login,
    "POST /v1/auth/logout-all": _of_a_member(status=204),
    "POST /v1/auth/session": _always(status=204, json={"name": ADMIN, "password": PASSWORD}),
    "DELETE /v1/auth/session": _own_login,
    "POST /v1/auth/redeem": lambda house: [Ask(204, json={"code": house.person()["code"], "password": PASSWORD})],
    "POST /v1/auth/signing-keys/rotate": _always(json={"compromised": False}),
    "GET /v1/auth/verify": _always(status=204, headers={"X-Original-URI": "/dagster/runs"}),
    "GET /v1/users": _always(query={"limit": 2}),
    "POST /v1/users": lambda house: [Ask(201, json={"name": f"new-{house.people}@example.org", "role": "user"})],
    "GET /v1/users/me": _always(),
    "POST /v1/users/me/password": _of_a_member(status=204, json={"current": PASSWORD, "new": OTHER_PASSWORD}),
    "GET /v1/users/{account}": _account(),
    "PATCH /v1/users/{account}": _account(json={"role": "user"}),
    "DELETE /v1/users/{account}": _account(204),
    "POST /v1/users/{account}/unlock": _account(204),
    "POST /v1/users/{account}/reset-password": _account(),
    "GET /v1/api-keys": lambda house: [house.did("POST", "/v1/api-keys", _new_key()) and Ask()],
    "POST /v1/api-keys": _always(status=201, json=_new_key()),
    "DELETE /v1/api-keys/{key}": _key,
    "GET /v1/pipelines": _always(),
    "GET /v1/pipelines/{name}": _here(),
    "GET /v1/pipelines/{name}/score": _here(),
    "POST /v1/pipelines/{name}/score": _always(places=NAME, json={"rows": [ORDINARY, FAR_OFF]}),
    "GET /v1/pipelines/{name}/partitions": _here(limit=2, order="latest"),
    "GET /v1/pipelines/{name}/partitions/{partition}": _always(places={**NAME, "partition": HELD_DAY}),
    "GET /v1/pipelines/{name}/partitions/{partition}/data-docs": _always(places={**NAME, "partition": HELD_DAY}),
    "GET /v1/pipelines/{name}/scores/lineage": _here(partition=DAYS[0], where="id=17"),
    "GET /v1/pipelines/{name}/scores/{partition}/{row}/lineage": lambda house: [Ask(places={**NAME, **house.row()})],
    "GET /v1/pipelines/{name}/scores": _here(anomalies=True, limit=2),
    "GET /v1/pipelines/{name}/scores/export": _export,
    "GET /v1/pipelines/{name}/scores/{partition}/{row}": lambda house: [Ask(places={**NAME, **house.row()})],
    "GET /v1/pipelines/{name}/quarantine": _here(),
    "GET /v1/pipelines/{name}/quarantine/summary": _here(),
    "GET /v1/pipelines/{name}/quarantine/export": _held_export,
    "POST /v1/pipelines/{name}/quarantine/release": _release,
    "GET /v1/pipelines/{name}/drift": _here(top=2),
    "GET /v1/pipelines/{name}/exclusions": lambda house: [house.exclusion() and Ask(places=NAME)],  # type: ignore[list-item]
    "POST /v1/pipelines/{name}/exclusions": _always(status=201, places=NAME, json=LEFT_OUT),
    "DELETE /v1/pipelines/{name}/exclusions/{exclusion}": lambda house: [
        Ask(204, {**NAME, "exclusion": house.exclusion()})
    ],
    "GET /v1/pipelines/{name}/threshold": _here(),
    "POST /v1/pipelines/{name}/threshold/preview": _always(places=NAME, json={"alert_rate": 0.05}),
    "GET /v1/pipelines/{name}/models": _here(),
    "GET /v1/pipelines/{name}/models/champion": _here(),
    "GET /v1/pipelines/{name}/models/champion/history": _here(),
    "GET /v1/pipelines/{name}/models/{version}": _version,
    "GET /v1/pipelines/{name}/models/{version}/comparison": _comparison,
    "GET /v1/pipelines/{name}/models/{version}/plots/{plot}": _plot,
    "GET /v1/pipelines/{name}/incidents": _here(limit=2),
    "GET /v1/pipelines/{name}/incidents/{incident}": _incident(),
    "GET /v1/pipelines/{name}/incidents/{incident}/plot.png": _incident(),
    "POST /v1/pipelines/{name}/incidents/{incident}/state": _incident(
        json={"state": "acknowledged", "note": "looking at it"}
    ),
    "POST /v1/pipelines/{name}/incidents/{incident}/feedback": _incident(
        json={"verdict": "confirmed", "note": "stolen card"}
    ),
    "POST /v1/pipelines/{name}/models/{version}/promote": _promotion,
    "POST /v1/pipelines/{name}/models/rollback": _rollback,
    "POST /v1/pipelines/{name}/runs": _always(
        status=202, places=NAME, json={"part": "score", "partitions": list(DAYS[:2])}
    ),
    "POST /v1/runs": _batch,
    "GET /v1/runs": _always(query={"state": "succeeded", "limit": 2}),
    "GET /v1/runs/{id}": lambda house: [Ask(places={"id": house.ended_run()})],
    "GET /v1/runs/{id}/events": lambda house: [Ask(places={"id": house.ended_run()})],
    "POST /v1/runs/{id}/cancel": _cancel,
    "GET /v1/queue": lambda house: [house.run() and Ask()],  # type: ignore[list-item]
    "GET /v1/grants": lambda house: [
        house.did("POST", "/v1/grants", _grant(house)[0].json) and Ask(query={"limit": 2})
    ],
    "POST /v1/grants": _grant,
    "DELETE /v1/grants/{grant_id}": _taken_back,
    "POST /v1/access-requests": _of_a_member(status=201, json=ACCESS),
    "GET /v1/access-requests": lambda house: [house.asked_for_access() and Ask(query={"limit": 2})],  # type: ignore[list-item]
    "POST /v1/access-requests/{request_id}/approve": _decided(json=COMMENT),
    "POST /v1/access-requests/{request_id}/deny": _decided(json={"comment": "ask the shop's own people"}),
    "POST /v1/access-requests/{request_id}/cancel": _withdrawn,
    "GET /v1/audit": _always(query={"limit": 2, "action": "model.promoted"}),
    "GET /.well-known/jwks.json": _always(),
    "GET /metrics": _always(),
    "GET /health/live": _always(),
    "GET /health/startup": _always(),
    "GET /health/ready": _always(),
    "GET /health": _always(),
}
"""`METHOD path` -> one request for each status of success; `POST /v1/auth/bootstrap` is how a `House` begins."""

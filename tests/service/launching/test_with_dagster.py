"""Runs over HTTP against a real Dagster: launched once, in order of priority, followed, cancelled; webserver away."""

from __future__ import annotations

import json
import signal
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from pynomaly_pipelines.project import Project
from pynomaly_pipelines.service.access.caller import Caller
from pynomaly_pipelines.service.access.permissions import Permission, Role
from pynomaly_pipelines.service.app import create_app
from pynomaly_pipelines.service.auth.authentication import authenticate
from pynomaly_pipelines.service.settings import ServiceSettings
from tests.service.launching.dagster_stack import DagsterStack

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
Clients = Callable[..., TestClient]
RUNS = "/v1/pipelines/orders/runs"


@pytest.fixture(scope="module")
def dagster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DagsterStack]:
    """Without its daemon: what is launched stays in the queue until a test starts it."""
    stack = DagsterStack(tmp_path_factory.mktemp("project"))
    stack.prepare(days=3)
    try:
        stack.start_code()
        stack.start_web()
        yield stack
    finally:
        stack.stop_all()


@pytest.fixture
def client(dagster: DagsterStack, monkeypatch: pytest.MonkeyPatch) -> Iterator[Clients]:
    """`client(Role.USER)`: a process of the service, new each time, on the same database."""
    monkeypatch.setenv("PYNOMALY_PROJECT", str(dagster.folder))
    monkeypatch.setenv("PYNOMALY_BREAKER_DAGSTER_OPEN_SECONDS", "0.5")
    with ExitStack() as stack:

        def make(role: Role = Role.ADMIN, *, account: str = "ann", **more: Any) -> TestClient:
            settings = ServiceSettings(dagster_url=dagster.url, stream_poll_seconds=0.2)
            app = create_app(settings, Project.current())
            app.dependency_overrides[authenticate] = lambda: Caller(account, account, role, **more)
            return stack.enter_context(TestClient(app, base_url="http://localhost", raise_server_exceptions=False))

        yield make


def launch(client: TestClient, day: int, key: str | None = None, **more: Any) -> Any:
    headers = {} if key is None else {"Idempotency-Key": key}
    return client.post(RUNS, json={"part": "ingest", "partitions": f"2025-03-{day:02}", **more}, headers=headers)


def state(client: TestClient, run_id: str) -> str:
    return str(client.get(f"/v1/runs/{run_id}").json()["state"])


def follow(client: TestClient, run_id: str, last: str | None = None) -> list[dict[str, Any]]:
    """The events of a stream until it closes."""
    headers = {} if last is None else {"Last-Event-ID": last}
    text = client.get(f"/v1/runs/{run_id}/events", headers=headers).text
    blocks = [dict(line.split(": ", 1) for line in b.splitlines() if line[0] != ":") for b in text.split("\n\n") if b]
    return [{**b, "data": json.loads(b["data"])} for b in blocks if "event" in b]


def test_one_key_is_one_run(client: Clients) -> None:
    key = uuid.uuid4().hex
    first, other = client(), client()
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda n: launch(first if n % 2 else other, 1, key), range(8)))
    assert {a.status_code for a in answers} == {202}
    assert len({a.text for a in answers}) == 1
    assert sum("idempotency-replayed" not in a.headers for a in answers) == 1
    found = answers[0].json()
    assert first.get(f"/v1/runs?launch={found['launch']}").json()["runs"][0]["id"] == found["runs"][0]["id"]
    # After a restart, too.
    again = launch(client(), 1, key)
    assert (again.json(), again.headers["idempotency-replayed"]) == (found, "true")
    assert again.headers["location"] == f"/v1/runs/{found['runs'][0]['id']}"
    differs = launch(first, 2, key)
    assert (differs.status_code, differs.json()["code"]) == (409, "request-conflict")
    assert launch(client(account="bob"), 2, key).status_code == 202
    cancel_all(first)


def test_an_answer_that_got_lost_launches_nothing_twice(client: Clients, dagster: DagsterStack) -> None:
    from pynomaly_pipelines.operations.errors import DagsterUnsettled
    from pynomaly_pipelines.service.launching.client import DagsterClient

    app, key = client(), uuid.uuid4().hex
    inner, lost = DagsterClient.launch, []

    async def lose(self: DagsterClient, job: str, tags: Any) -> Any:
        lost.append(await inner(self, job, tags))
        raise DagsterUnsettled("the connection broke")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DagsterClient, "launch", lose)
        found = launch(app, 1, key)
    # It looked, and found the run that it had not been told of.
    assert found.status_code == 202
    assert [run["id"] for run in found.json()["runs"]] == [run.id for run in lost]
    cancel_all(app)


def cancel_all(client: TestClient) -> None:
    for run in client.get("/v1/runs?state=queued").json()["runs"]:
        assert client.post(f"/v1/runs/{run['id']}/cancel").status_code == 200


def test_a_waiting_run_is_cancelled_once(client: Clients) -> None:
    app = client()
    run = launch(app, 1).json()["runs"][0]["id"]
    assert state(app, run) == "queued"
    done, again = (app.post(f"/v1/runs/{run}/cancel") for _ in range(2))
    assert (done.status_code, done.json()["state"], done.json()["told"]) == (200, "canceled", "now")
    assert (again.status_code, again.json()["state"], again.json()["told"]) == (200, "canceled", "over")
    assert follow(app, run)[-1]["data"]["state"] == "canceled"


def test_others_runs_are_not_there(client: Clients) -> None:
    run = launch(client(), 1).json()["runs"][0]["id"]
    stranger = client(Role.USER, account="eve", all_pipelines=False, grants={"flights": frozenset(Permission)})
    for method, path in (("GET", ""), ("GET", "/events"), ("POST", "/cancel")):
        answers = [stranger.request(method, f"/v1/runs/{r}{path}") for r in (run, str(uuid.uuid4()))]
        assert [a.status_code for a in answers] == [404, 404]
        assert [a.json()["code"] for a in answers] == ["request-not-found"] * 2
    assert stranger.get("/v1/runs").json()["runs"] == []
    assert launch(stranger, 1).status_code == 404
    viewer = client(Role.VIEWER, account="vic")
    assert viewer.get(f"/v1/runs/{run}").status_code == 200
    assert viewer.post(f"/v1/runs/{run}/cancel").status_code == 403
    cancel_all(client())


def test_the_webserver_away_is_told_and_comes_back(client: Clients, dagster: DagsterStack) -> None:
    app = client()
    dagster.stop("web", signal.SIGKILL)
    try:
        answer = launch(app, 1)
        assert (answer.status_code, answer.json()["code"]) == (503, "dagster-unreachable")
        assert "PYNOMALY_SERVICE_DAGSTER_URL" in answer.json()["fix"]
        assert int(answer.headers["retry-after"]) >= 1
    finally:
        dagster.start_web()
    run = dagster.until(lambda: launch(app, 1).json().get("runs"), "a launch after the outage")
    assert state(app, run[0]["id"]) == "queued"
    cancel_all(app)


def test_high_priority_goes_first_and_all_of_it_is_told(client: Clients, dagster: DagsterStack) -> None:
    app = client()
    asked = [(1, 0), (2, -5), (3, 5)]
    runs = {p: launch(app, day, priority=p).json()["runs"][0]["id"] for day, p in asked}
    assert launch(client(Role.USER, account="u"), 1, priority=1).status_code == 403
    queue = app.get("/v1/queue").json()
    assert queue["depth"] == 3
    assert [(p["priority"], p["runs"]) for p in queue["priorities"]] == [(5, 1), (0, 1), (-5, 1)]
    assert queue["max_concurrent_runs"] == 1
    assert [app.get(f"/v1/runs/{runs[p]}").json()["queue_place"] for p in (5, 0, -5)] == [1, 2, 3]
    dagster.start_daemon()
    told = follow(app, runs[-5])
    details = [app.get(f"/v1/runs/{runs[p]}").json() for p in (5, 0, -5)]
    assert [d["state"] for d in details] == ["succeeded"] * 3
    started = [d["started"] for d in details]
    assert started == sorted(started)
    made = [n["data"] for n in told if n["event"] == "materialization" and n["data"]["asset"] == "orders/validated"]
    assert [(m["partition"], m["figures"]["rows"]) for m in made] == [("2025-03-02", 120)]
    assert told[-1]["event"] == "end"
    # From any place on, what follows is told, once.
    numbered = [n for n in told if "id" in n]
    for cut in range(0, len(numbered) - 1, 4):
        again = follow(app, runs[-5], numbered[cut]["id"])
        rest = [(n["event"], n["data"]) for n in again if "id" in n]
        assert rest == [(n["event"], n["data"]) for n in numbered[cut + 1 :]]
    over = app.get(f"/v1/runs/{runs[-5]}/events", headers={"Last-Event-ID": numbered[-1]["id"]})
    assert over.status_code == 204


def test_a_run_at_work_is_cancelled(client: Clients, dagster: DagsterStack) -> None:
    app = client()
    run = app.post(RUNS, json={"part": "train"}).json()["runs"][0]["id"]
    dagster.until(lambda: state(app, run) == "running", "the training")
    answer = app.post(f"/v1/runs/{run}/cancel")
    assert answer.status_code in (200, 202)
    assert answer.json()["state"] in ("canceling", "canceled")
    dagster.until(lambda: state(app, run) == "canceled", "its end")
    over = app.post(f"/v1/runs/{run}/cancel").json()
    assert (over["state"], over["told"]) == ("canceled", "over")


def test_why_a_run_failed_is_told(client: Clients, dagster: DagsterStack) -> None:
    app = client()
    (dagster.folder / "landing" / "2025-03-09.csv").write_text('at,id\n2025-03-09 01:00:00,1\n"torn')
    run = launch(app, 9).json()["runs"][0]["id"]
    assert follow(app, run)[-1]["data"]["state"] == "failed"
    failure = app.get(f"/v1/runs/{run}").json()["failure"]
    assert failure["step"] in ("orders__raw", "orders__validated")
    assert failure["detail"]
    assert app.post(f"/v1/runs/{run}/cancel").status_code == 409


def test_a_batch_tells_of_each(client: Clients) -> None:
    app = client()
    items = [{"pipeline": "orders", "part": "score", "partitions": "2025-03-01", "priority": -10}]
    items += [{"pipeline": "nope", "part": "train"}, {"pipeline": "orders", "part": "train", "partitions": "x"}]
    key = uuid.uuid4().hex
    answer = app.post("/v1/runs", json={"launches": items}, headers={"Idempotency-Key": key})
    assert answer.status_code == 207
    assert [item["status"] for item in answer.json()["launches"]] == [202, 404, 422]
    assert app.post("/v1/runs", json={"launches": items}, headers={"Idempotency-Key": key}).json() == answer.json()


def test_the_project_has_a_home_of_its_own(dagster: DagsterStack) -> None:
    assert Path(dagster.folder / ".pynomaly" / "accounts.db").exists()

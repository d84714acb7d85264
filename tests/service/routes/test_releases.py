"""The way back out of quarantine, as far as the service goes: what is decided, launched and written down."""

from __future__ import annotations

import pytest
from fastapi.testclient import TestClient

from pynomaly_pipelines.operations.resilience import dependencies
from pynomaly_pipelines.service.access.permissions import Permission, Role
from pynomaly_pipelines.stages.expectations.acceptance import ACCEPTED
from tests.service.audited import entries
from tests.service.dagster_webserver import Launches
from tests.service.routes.test_quarantine import DAYS, HELD, Till, till, zone
from tests.service.stocked import Serving
from tests.stages.landing_zone import Zone

__all__ = ["till", "zone"]
RELEASE = f"{HELD}/release"


@pytest.fixture
def dagster(monkeypatch: pytest.MonkeyPatch) -> Launches:
    monkeypatch.setenv("PYNOMALY_BREAKER_DAGSTER_FAILURES", "1000")
    # Fixtures made before this one may have read the rules already.
    dependencies.cache_clear()
    return Launches()


@pytest.fixture
def client(dagster: Launches, till: Till) -> TestClient:
    client = till(Role.ADMIN)
    dagster.behind(client)
    return client


def test_what_could_not_be_read_is_read_again_the_rest_judged(client: TestClient, dagster: Launches) -> None:
    answer = client.post(RELEASE, json={"reason": "the bound was a typo"})
    assert answer.status_code == 202
    told = answer.json()
    # The first day has a row whose amount is no number, and its file still lies there.
    assert (told["read_again"], told["judged_again"], told["accepted"]) == ([DAYS[0]], [DAYS[1]], 0)
    assert [(job, tags["dagster/partition"]) for job, tags in dagster.jobs] == [
        ("shop_ingest", DAYS[0]),
        ("shop_validate", DAYS[1]),
    ]
    for _, tags in dagster.jobs:
        assert tags["pynomaly/trigger"] == "release"
        assert tags["pynomaly/released_by"] == "the-admin"
        assert tags["pynomaly/reason"] == "the bound was a typo"
    assert answer.headers["location"] == f"/v1/runs?launch={told['launches'][0]['launch']}"
    assert {launch["launch"] for launch in told["launches"]} == {told["launches"][0]["launch"]}


def test_a_file_that_is_gone_is_not_read_again(client: TestClient, dagster: Launches, zone: Zone) -> None:
    (zone.project / "in" / f"{DAYS[0]}.csv").unlink()
    told = client.post(RELEASE, json={}).json()
    assert (told["read_again"], told["judged_again"]) == ([], list(DAYS))
    assert [job for job, _ in dagster.jobs] == ["shop_validate"]


def test_only_what_is_named(client: TestClient, dagster: Launches) -> None:
    told = client.post(RELEASE, json={"expectation": "not a number"}).json()
    assert told["read_again"] + told["judged_again"] == [DAYS[0]]
    told = client.post(RELEASE, json={"partitions": [DAYS[1]]}).json()
    assert told["read_again"] + told["judged_again"] == [DAYS[1]]


def test_rows_are_let_through_by_name_with_a_reason(client: TestClient, dagster: Launches, zone: Zone) -> None:
    kiwi = client.get(HELD, params={"partition": DAYS[1]}).json()["items"][0]["id"]
    assert client.post(RELEASE, json={"accept": [kiwi]}).status_code == 422
    assert not zone.lake.exists("shop", ACCEPTED)
    told = client.post(RELEASE, json={"accept": [kiwi], "reason": "a real order"}).json()
    assert (told["accepted"], told["judged_again"]) == (1, [DAYS[1]])
    row = zone.lake.read("shop", ACCEPTED).to_pylist()[0]
    assert (row["row"], row["_partition"], row["reason"], row["by"]) == (kiwi, DAYS[1], "a real order", "the-admin")
    # The run that was launched does the rest: here by the stage itself.
    zone.validate(DAYS[1])
    assert client.get(f"{HELD}/summary").json()["partitions"] == {DAYS[0]: 3}
    assert entries(client, "quarantine.released") == [
        {
            "by": "the-admin",
            "action": "quarantine.released",
            "subject": "pipeline:shop",
            "partitions": 1,
            "first": DAYS[1],
            "last": DAYS[1],
            "expectation": None,
            "accepted": [kiwi],
            "accepted_rows": 1,
            "reason": "a real order",
        }
    ]
    assert [entry["part"] for entry in entries(client, "run.launched")] == ["validate"]


def test_a_row_without_its_type_is_not_let_through(client: TestClient, dagster: Launches) -> None:
    fig = client.get(HELD, params={"reason": "not a number"}).json()["items"][0]["id"]
    answer = client.post(RELEASE, json={"accept": [fig], "reason": "please"})
    assert (answer.status_code, answer.json()["code"]) == (422, "data-error")
    assert client.post(RELEASE, json={"accept": ["0" * 16], "reason": "who?"}).status_code == 422
    assert client.post(RELEASE, json={"accept": ["*"], "reason": "all"}).status_code == 422
    assert dagster.runs == []
    assert entries(client, "quarantine.released") == []


def test_one_key_is_one_release(client: TestClient, dagster: Launches) -> None:
    kiwi = client.get(HELD, params={"partition": DAYS[1]}).json()["items"][0]["id"]
    asked = {"json": {"accept": [kiwi], "reason": "a real order"}, "headers": {"Idempotency-Key": "release-0001-kiwi"}}
    first, second = client.post(RELEASE, **asked), client.post(RELEASE, **asked)
    assert (first.status_code, second.json()) == (202, first.json())
    assert len(dagster.runs) == len(entries(client, "quarantine.released")) == 1


def test_dagster_away_and_back(client: TestClient, dagster: Launches, zone: Zone) -> None:
    """The decision stays; the same request again launches what was not launched."""
    kiwi = client.get(HELD, params={"partition": DAYS[1]}).json()["items"][0]["id"]
    asked = {"json": {"accept": [kiwi], "reason": "a real order"}, "headers": {"Idempotency-Key": "release-0002-kiwi"}}
    dagster.away = True
    answer = client.post(RELEASE, **asked)
    assert (answer.status_code, answer.json()["code"]) == (503, "dagster-unreachable")
    dagster.away = False
    # Meanwhile a run of somebody else judged the partition: the row is quarantined no more.
    zone.validate(DAYS[1])
    answer = client.post(RELEASE, **asked)
    assert (answer.status_code, answer.json()["judged_again"]) == (202, [DAYS[1]])
    assert [job for job, _ in dagster.jobs] == ["shop_validate"]
    assert zone.lake.read("shop", ACCEPTED).num_rows == 1


def test_nothing_in_quarantine(serving: Serving, dagster: Launches, zone: Zone) -> None:
    client = serving(None, Role.ADMIN)
    dagster.behind(client)
    answer = client.post("/v1/pipelines/meters/quarantine/release", json={})
    assert (answer.status_code, answer.json()["launches"]) == (200, [])
    assert dagster.runs == []


def test_only_who_may(serving: Serving, dagster: Launches, zone: Zone) -> None:
    assert serving(None, Role.USER).post(RELEASE, json={}).status_code == 403
    granted = serving(None, Role.VIEWER, grants={"shop": frozenset({Permission.QUARANTINE_RELEASE})})
    dagster.behind(granted)
    assert granted.post(RELEASE, json={"partitions": [DAYS[1]]}).status_code == 202

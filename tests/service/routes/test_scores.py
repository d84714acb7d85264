"""Stored scores over HTTP: filters, orders, pages, files, single rows."""

from __future__ import annotations

import csv
import io
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fastapi.testclient import TestClient

from pynomaly_pipelines.service.access.permissions import Permission, Role
from tests.service.stocked import Serving
from tests.small_pipelines import Trained

SCORES = "/v1/pipelines/shop/scores"


def walk(client: TestClient, path: str = SCORES, **asked: Any) -> list[dict[str, Any]]:
    """Every row of a list, page by page."""
    found, cursor = [], None
    while True:
        answer = client.get(path, params={**asked, **({"cursor": cursor} if cursor else {})})
        assert answer.status_code == 200, answer.text
        page = answer.json()
        assert len(page["items"]) <= asked.get("limit", 50)
        found += page["items"]
        cursor = page["next"]
        if cursor is None:
            return found


def ids(rows: list[dict[str, Any]]) -> list[int]:
    return [row["row"]["id"] for row in rows]


def test_the_most_anomalous_first_each_row_once(serving: Serving, shop: Trained) -> None:
    found = walk(serving(shop), limit=37)
    expected = shop.scores().sort_values(
        ["score", "_partition", "_source", "_row"], ascending=[False, True, True, True], kind="stable"
    )
    assert ids(found) == expected["id"].tolist()
    assert [row["score"] for row in found] == expected["score"].tolist()


@pytest.mark.parametrize("order", ["oldest", "latest"])
def test_by_partition_rows_as_stored(serving: Serving, shop: Trained, order: str) -> None:
    found = walk(serving(shop), limit=41, order=order)
    stored = shop.scores()
    keys = sorted(stored["_partition"].unique(), reverse=order == "latest")
    assert ids(found) == [i for key in keys for i in stored.loc[stored["_partition"] == key, "id"]]


def expected_rows(stored: pd.DataFrame, asked: dict[str, Any]) -> pd.DataFrame:
    """The filters anew, with pandas."""
    kept = pd.Series(True, index=stored.index)
    if "partition" in asked:
        kept &= stored["_partition"].isin(asked["partition"])
    if "since" in asked:
        kept &= stored["at"] >= pd.Timestamp(asked["since"])
    if "until" in asked:
        kept &= stored["at"] < pd.Timestamp(asked["until"])
    if "score_from" in asked:
        kept &= stored["score"] >= asked["score_from"]
    if asked.get("anomalies"):
        kept &= stored["is_anomaly"]
    if "where" in asked:
        kept &= stored["id"].astype(str).isin([one.removeprefix("id=") for one in asked["where"]])
    if "version" in asked:
        kept &= stored["model_version"] == asked["version"]
    return stored[kept]


FILTERS: list[dict[str, Any]] = [
    {"partition": ["2025-01-02", "2025-01-09"]},
    {"since": "2025-01-03T12:00:00Z", "until": "2025-01-05T00:00:00+01:00"},
    {"score_from": 0.5},
    {"anomalies": True},
    {"where": ["id=17", "id=300", "id=99999"]},
    {"version": 1},
    {"version": 77},
    {"anomalies": True, "since": "2025-01-05T00:00:00Z", "score_from": 0.7},
]


@pytest.mark.parametrize("asked", FILTERS, ids=str)
@pytest.mark.parametrize("order", ["score", "oldest"])
def test_filters(serving: Serving, shop: Trained, asked: dict[str, Any], order: str) -> None:
    found = walk(serving(shop), limit=7, order=order, **asked)
    assert sorted(ids(found)) == sorted(expected_rows(shop.scores(), asked)["id"])


def test_points_without_a_score_come_last_and_as_null(serving: Serving, meters: Trained) -> None:
    found = walk(serving(meters), "/v1/pipelines/meters/scores", limit=400)
    stored = meters.scores()
    missing = int(stored["score"].isna().sum())
    assert missing > 0
    assert [row["score"] for row in found[-missing:]] == [None] * missing
    assert all(row["score"] is not None for row in found[:-missing])
    names = {(row["row"]["at"], row["row"]["series"]) for row in found}
    assert len(found) == len(names) == len(stored)


def test_a_walk_goes_on_in_the_version_it_began_on(serving: Serving, shop_copy: Trained) -> None:
    client = serving(shop_copy)
    for order in ("score", "oldest"):
        before = walk(client, limit=100, order=order)
        first = client.get(SCORES, params={"limit": 100, "order": order}).json()
        stored = shop_copy.lake.read("shop", "scores", partitions=["2025-01-02"])
        shop_copy.lake.replace("shop", "scores", ["2025-01-02"], stored.slice(30))
        rest, cursor = [], first["next"]
        while cursor:
            page = client.get(SCORES, params={"limit": 100, "order": order, "cursor": cursor}).json()
            assert page["table_version"] == first["table_version"]
            rest += page["items"]
            cursor = page["next"]
        assert ids(first["items"] + rest) == ids(before)
        assert client.get(SCORES).json()["table_version"] > first["table_version"]


def test_a_cursor_of_another_question_is_refused(serving: Serving, shop: Trained) -> None:
    client = serving(shop)
    cursor = client.get(SCORES, params={"limit": 5}).json()["next"]
    for asked in ({"order": "oldest"}, {"anomalies": True}, {"where": "id=3"}):
        answer = client.get(SCORES, params={"limit": 5, "cursor": cursor, **asked})
        assert (answer.status_code, answer.json()["code"]) == (400, "request-bad")
    assert client.get(SCORES, params={"limit": 9, "cursor": cursor}).status_code == 200


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"limit": 0}, "limit"),
    ({"limit": 1001}, "limit"),
    ({"score_from": 1.5}, "score_from"),
    ({"score_from": "nan"}, "score_from"),
    ({"since": "2025-01-01T00:00:00"}, "since"),
    ({"order": "best"}, "order"),
    ({"top": 3}, "top"),
    ({"partition": "2025-1-1"}, "'2025-1-1'"),
    ({"where": "amount"}, "where"),
    ({"where": "fraud=1"}, "'fraud'"),
    ({"where": "score=1"}, "'score'"),
    ({"where": "id=seventeen"}, "'seventeen'"),
    ({"where": "at=2025-01-01T00:00:00"}, "2025-01-01T00:00:00"),
]


@pytest.mark.parametrize(("asked", "named"), REFUSED, ids=str)
def test_what_does_not_fit_is_refused_by_name(
    serving: Serving, shop: Trained, asked: dict[str, Any], named: str
) -> None:
    answer = serving(shop).get(SCORES, params=asked)
    assert answer.status_code == 422
    assert named in answer.json()["detail"]
    assert answer.json()["fix"]


def test_files_hold_the_rows_that_pages_do(serving: Serving, shop: Trained) -> None:
    client = serving(shop)
    stored = shop.lake.read("shop", "scores")
    answers = {form: client.get(f"{SCORES}/export", params={"format": form}) for form in ("csv", "parquet", "arrow")}
    assert pq.read_table(io.BytesIO(answers["parquet"].content)).equals(stored)
    assert pa.ipc.open_stream(answers["arrow"].content).read_all().equals(stored)
    rows = list(csv.DictReader(io.StringIO(answers["csv"].text)))
    assert [int(row["id"]) for row in rows] == stored["id"].to_pylist()
    assert [float(row["score"]) for row in rows] == stored["score"].to_pylist()
    assert answers["csv"].headers["content-disposition"] == 'attachment; filename="shop-scores.csv"'


def test_a_file_of_the_top_or_of_nothing(serving: Serving, shop: Trained) -> None:
    client = serving(shop)
    top = pq.read_table(io.BytesIO(client.get(f"{SCORES}/export?format=parquet&top=5").content))
    assert top["id"].to_pylist() == ids(client.get(SCORES, params={"limit": 5}).json()["items"])
    for form in ("csv", "parquet", "arrow"):
        answer = client.get(f"{SCORES}/export", params={"format": form, "where": "id=-5"})
        assert answer.status_code == 200
        if form == "csv":
            assert answer.text.startswith('"at","id","_partition"')
            assert answer.text.count("\n") == 1
        elif form == "parquet":
            assert pq.read_table(io.BytesIO(answer.content)).num_rows == 0
        else:
            assert pa.ipc.open_stream(answer.content).read_all().num_rows == 0


def test_a_row_by_its_id(serving: Serving, shop: Trained, meters: Trained) -> None:
    for trained, path in ((shop, SCORES), (meters, "/v1/pipelines/meters/scores")):
        client = serving(trained)
        for item in client.get(path, params={"limit": 3}).json()["items"]:
            assert client.get(f"{path}/{item['partition']}/{item['id']}").json() == item


def test_a_pipeline_without_scores(serving: Serving) -> None:
    client = serving()
    assert client.get(SCORES).json() == {"items": [], "next": None, "table_version": None}
    assert client.get(f"{SCORES}/export").status_code == 404


def test_who_may_not(serving: Serving, shop: Trained) -> None:
    other = {"meters": frozenset({Permission.SCORES_READ})}
    client = serving(shop, Role.VIEWER, all_pipelines=False, grants=other)
    for path in (
        SCORES,
        f"{SCORES}/export",
        f"{SCORES}/2025-01-01/x",
        "/v1/pipelines/shop",
        "/v1/pipelines/shop/drift",
    ):
        answer = client.get(path)
        assert (answer.status_code, answer.json()["code"]) == (404, "request-not-found")
        assert answer.json()["detail"] == "there is no pipeline 'shop'"

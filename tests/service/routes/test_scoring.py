"""POST /v1/pipelines/{name}/score: the batch's scores, to the last bit, in each form of body and answer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from fastapi.testclient import TestClient

from pynomaly_pipelines.service.access.permissions import Role
from tests.service.scoring_service import app_of, serving
from tests.small_pipelines import Trained

FEATURES = ["amount", "tax", "items", "country", "gift"]
ARROW = "application/vnd.apache.arrow.stream"
URL = "/v1/pipelines/shop/score"


@pytest.fixture(scope="module")
def client(shop: Trained, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    with serving(shop, tmp_path_factory.mktemp("service")) as found:
        yield found


def arrow(table: pa.Table) -> bytes:
    """An IPC stream of the table."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table, max_chunksize=250)
    return bytes(sink.getvalue())


def rows_of(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """As programs send them: Python's numbers, None where missing."""
    records = frame[FEATURES].astype(object).where(frame[FEATURES].notna(), None).to_dict("records")
    return [{str(key): value for key, value in record.items()} for record in records]


def test_rows_get_the_scores_of_the_batch_to_the_last_bit(client: TestClient, shop: Trained) -> None:
    answer = client.post(URL, json={"rows": rows_of(shop.small.rows)}, params={"raw": True})
    assert answer.status_code == 200
    told, stored = answer.json(), shop.scores()
    assert told["score"] == stored["score"].tolist()
    assert told["raw_score"] == stored["raw_score"].tolist()
    assert told["is_anomaly"] == stored["is_anomaly"].tolist()
    champion = shop.registry.champion("shop")
    assert (told["model_version"], told["model_run_id"]) == (champion.number, champion.run_id)
    assert (told["pipeline"], told["threshold"], told["rows"]) == ("shop", champion.threshold, 600)


def test_reasons_are_those_of_the_batch_for_the_rows_it_explains(client: TestClient, shop: Trained) -> None:
    told = client.post(URL, json={"rows": rows_of(shop.small.rows)}).json()
    stored = [None if reasons is None else list(reasons) for reasons in shop.scores()["reasons"]]
    assert told["reasons"] == stored
    assert "raw_score" not in told


def test_one_row_scores_as_among_others_whatever_the_form(client: TestClient, shop: Trained) -> None:
    rows = rows_of(shop.small.rows.iloc[[17, 3, 40]])
    columns = {name: [row[name] for row in rows] for name in reversed(FEATURES)}
    expected = shop.scores()["score"].iloc[[17, 3, 40]].tolist()
    assert client.post(URL, json={"columns": columns}).json()["score"] == expected
    one_by_one = [client.post(URL, json={"rows": [row]}).json()["score"] for row in rows]
    assert one_by_one == [[score] for score in expected]


def test_a_large_body_is_read_row_by_row_to_the_same_scores(client: TestClient, shop: Trained) -> None:
    rows = rows_of(shop.small.rows) * 8
    assert client.post(URL, json={"rows": rows}).json()["score"] == shop.scores()["score"].tolist() * 8


@pytest.mark.parametrize(("explain", "lengths"), [(0, None), (1, 1), (3, 3)])
def test_as_many_reasons_as_asked_for_of_every_row(
    client: TestClient, shop: Trained, explain: int, lengths: Any
) -> None:
    told = client.post(URL, json={"rows": rows_of(shop.small.rows.head(20))}, params={"explain": explain}).json()
    if lengths is None:
        assert "reasons" not in told
    else:
        assert max(len(reasons) for reasons in told["reasons"]) == lengths
        assert all(reasons is not None for reasons in told["reasons"])


def test_arrow_in_and_out_is_the_same_to_the_last_bit(client: TestClient, shop: Trained) -> None:
    table = pa.Table.from_pandas(shop.small.rows[FEATURES[::-1]], preserve_index=False)
    answer = client.post(URL, content=arrow(table), headers={"content-type": ARROW, "accept": ARROW})
    assert (answer.status_code, answer.headers["content-type"]) == (200, ARROW)
    told, stored = pa.ipc.open_stream(answer.content).read_all(), shop.scores()
    assert told["score"].to_pylist() == stored["score"].tolist()
    assert told["is_anomaly"].to_pylist() == stored["is_anomaly"].tolist()
    assert told["reasons"].to_pylist() == [None if r is None else list(r) for r in stored["reasons"]]
    assert told.schema.metadata[b"model_version"] == str(shop.registry.champion("shop").number).encode()
    mixed = client.post(URL, content=arrow(table), headers={"content-type": ARROW}, params={"explain": 0})
    assert mixed.json()["score"] == stored["score"].tolist()


def test_what_a_request_looks_like_can_be_asked_for(client: TestClient, shop: Trained) -> None:
    told = client.get(URL).json()
    assert told["model_version"] == shop.registry.champion("shop").number
    assert told["columns"] == [
        {"name": "amount", "type": "number", "nullable": False},
        {"name": "tax", "type": "number", "nullable": False},
        {"name": "items", "type": "integer", "nullable": False},
        {"name": "country", "type": "string", "nullable": True},
        {"name": "gift", "type": "boolean", "nullable": False},
    ]


def test_minus_zero_is_zero(client: TestClient, shop: Trained) -> None:
    (row,) = rows_of(shop.small.rows.head(1))
    scores = [client.post(URL, json={"rows": [row | {"tax": zero, "items": zero}]}).json() for zero in (0, 0.0, -0.0)]
    assert scores[0]["score"] == scores[1]["score"] == scores[2]["score"]


def test_a_value_beyond_all_measure_is_scored_as_the_farthest_there_is(client: TestClient, shop: Trained) -> None:
    # Finite in float64, infinite in float32: the model cuts it where the batch does.
    (row,) = rows_of(shop.small.rows.head(1))
    told = client.post(URL, json={"rows": [row | {"amount": 1e300}, row | {"amount": 1e308}]}).json()
    scorer = shop.registry.load(shop.registry.champion("shop"))
    frame = pd.DataFrame([row | {"amount": 1e300}, row | {"amount": 1e308}])
    assert told["score"] == scorer.score(frame).tolist()
    assert np.isfinite(told["score"]).all()
    assert told["is_anomaly"] == [True, True]


@pytest.mark.parametrize(
    ("accept", "status"),
    [("application/json", 200), ("*/*", 200), ("text/html, application/*", 200), ("text/html", 406), ("", 406)],
)
def test_the_answer_is_in_a_form_that_was_asked_for(
    client: TestClient, shop: Trained, accept: str, status: int
) -> None:
    answer = client.post(URL, json={"rows": rows_of(shop.small.rows.head(1))}, headers={"accept": accept})
    assert answer.status_code == status


def test_an_unknown_pipeline_is_not_there(client: TestClient) -> None:
    answer = client.post("/v1/pipelines/nothing/score", json={"rows": [{"a": 1}]})
    assert (answer.status_code, answer.json()["code"]) == (404, "request-not-found")


def test_a_viewer_may_not_score(shop: Trained, tmp_path: Any) -> None:
    with TestClient(app_of(shop, tmp_path, Role.VIEWER)) as viewer:
        assert viewer.post(URL, json={"rows": []}).status_code == 403

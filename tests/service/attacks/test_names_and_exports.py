"""Cases 37, 38 and 41 of the attack list: names that are paths or code, and files that spreadsheets would run.

Each also asserts: no 5xx, nothing of the inside told, a problem as RFC 9457 has it, and an honest request answered.
"""

from __future__ import annotations

import csv
import io
import itertools
from pathlib import Path
from urllib.parse import quote

import pyarrow as pa
import pytest
from fastapi.testclient import TestClient

from pynomaly_pipelines.stages.stored.export import as_texts, export
from tests.service.stocked import Serving
from tests.small_pipelines import Trained

NAMES = {
    "parent": "../shop",
    "deep parent": "../../../../etc/passwd",
    "absolute": "/etc/passwd",
    "file url": "file:///etc/passwd",
    "drive": "C:\\Windows\\win.ini",
    "null": "shop\x00.yaml",
    "encoded parent": "%2e%2e%2fshop",
    "sql": "'; DROP TABLE models; --",
    "format": "%s%n",
    "template": "{{7*7}}",
    "right to left": "shop\u202eyad",
    "long": "a" * 300,
    "line break": "shop\r\nX-Injected: 1",
    "dot": ".",
    "upper": "SHOP",
    "space": "shop ",
}
PLACES = {
    "pipeline": "/v1/pipelines/{}",
    "scores of a pipeline": "/v1/pipelines/{}/scores",
    "export of a pipeline": "/v1/pipelines/{}/scores/export",
    "models of a pipeline": "/v1/pipelines/{}/models",
    "quarantine of a pipeline": "/v1/pipelines/{}/quarantine/summary",
    "partition": "/v1/pipelines/shop/partitions/{}",
    "data docs": "/v1/pipelines/shop/partitions/{}/data-docs",
    "partition of a score": "/v1/pipelines/shop/scores/{}/WyJhIiwxXQ",
    "row": "/v1/pipelines/shop/scores/2025-01-01/{}",
    "lineage of a row": "/v1/pipelines/shop/scores/2025-01-01/{}/lineage",
    "plot": "/v1/pipelines/shop/models/1/plots/{}",
    "version": "/v1/pipelines/shop/models/{}",
}
QUERIES = {
    "partition": "/v1/pipelines/shop/scores?partition={}",
    "column": "/v1/pipelines/shop/scores?where={}%3D1",
    "cursor": "/v1/pipelines/shop/scores?cursor={}",
    "drift": "/v1/pipelines/shop/drift?partition={}",
    "export": "/v1/pipelines/shop/scores/export?partition={}&format=parquet",
}


def harmless_refusal(client: TestClient, path: str, tmp_path: Path) -> None:
    answer = client.get(path)
    assert answer.status_code in (400, 404, 422), (path, answer.status_code, answer.text[:300])
    assert answer.headers["content-type"] == "application/problem+json", path
    assert "x-injected" not in answer.headers
    for inside in ("Traceback", 'File "', str(tmp_path), "root:x:", "sqlite"):
        assert inside not in answer.text, (path, answer.text)


def test_names_in_paths_lead_nowhere(serving: Serving, shop: Trained, tmp_path: Path) -> None:
    client = serving(shop)
    for place, name in itertools.product(PLACES.values(), NAMES.values()):
        # A lone dot is taken out of a path by every client, as RFC 3986 has it.
        if name != ".":
            harmless_refusal(client, place.format(quote(name, safe="")), tmp_path)
    assert client.get("/v1/pipelines/shop").status_code == 200


def test_names_in_queries_lead_nowhere(serving: Serving, shop: Trained, tmp_path: Path) -> None:
    client = serving(shop)
    for place, name in itertools.product(QUERIES.values(), NAMES.values()):
        harmless_refusal(client, place.format(quote(name, safe="")), tmp_path)
    assert client.get("/v1/pipelines/shop/scores").status_code == 200


def test_values_in_queries_are_values(serving: Serving, meters: Trained) -> None:
    """What a column is compared with is data: it matches nothing, and does nothing."""
    client = serving(meters)
    # A NUL is refused before any route sees it.
    for name in (name for name in NAMES.values() if "\x00" not in name):
        answer = client.get("/v1/pipelines/meters/scores", params={"where": f"series={name}"})
        assert answer.status_code == 200, (name, answer.text)
        assert answer.json()["items"] == [], name


def test_a_link_out_of_the_pages_is_not_followed_to_another_pipeline(
    serving: Serving, shop: Trained, tmp_path: Path
) -> None:
    secret = tmp_path / "secret.html"
    secret.write_text("do not tell")
    client = serving(shop)
    for key in ("../secret", "..%2F..%2Fsecret", "%2e%2e/secret", str(secret)):
        answer = client.get(f"/v1/pipelines/shop/partitions/{quote(key, safe='')}/data-docs")
        # An encoded slash is refused before any route sees it.
        assert answer.status_code in (400, 404)
        assert "do not tell" not in answer.text


CURSORS = [
    '{"version":0,"partition":"2025-01-01","passed":0,"last":null,"asked":"x"}',
    '{"version":-1,"partition":"2025-01-01","passed":0,"last":null,"asked":"ASKED"}',
    '{"version":99999999999999999999,"partition":"2025-01-01","passed":0,"last":null,"asked":"ASKED"}',
    '{"version":9007199254740992,"partition":"2025-01-01","passed":0,"last":null,"asked":"ASKED"}',
    '{"version":1,"partition":"../..","passed":9007199254740993,"last":null,"asked":"ASKED"}',
    '{"version":1,"partition":"2025-01-01","passed":0,"last":[1e999,"a",1,"b"],"asked":"ASKED"}',
    '{"version":1,"partition":"2025-01-01","passed":0,"last":[0.5,"a",99999999999999999999999,"b"],"asked":"ASKED"}',
    '{"version":1,"partition":"2025-01-01","passed":0,"last":[0.5,"a","b"],"asked":"ASKED"}',
    "[" * 400,
    "null",
]


@pytest.mark.parametrize("text", CURSORS)
def test_cursors_made_by_hand(serving: Serving, shop: Trained, tmp_path: Path, text: str) -> None:
    import base64

    from pynomaly_pipelines.service.rows import asked_for
    from pynomaly_pipelines.stages.stored.question import Question

    whole = text.replace("ASKED", asked_for(Question(), "score"))
    cursor = base64.urlsafe_b64encode(whole.encode()).decode().rstrip("=")
    harmless_refusal(serving(shop), f"/v1/pipelines/shop/scores?cursor={cursor}", tmp_path)


# ------------------------------------------------------------------------------------------------- CSV injection

FORMULAS = [
    "=1+1",
    "=cmd|' /C calc'!A0",
    '=HYPERLINK("http://evil.example","click")',
    "+1+1",
    "-1+cmd|' /C calc'!A0",
    "@SUM(1+1)",
    "\t=1+1",
    "\r=1+1",
    "\n=1+1",
    "  =1+1",
    "\x00=1+1",
    "＝1+1",
    "-",
    "+49 (0)30 123",
]
PLAIN = ["", "shop", "1-2", "a=b", "-12.5", "+3", "-1e-5", ".5", "12", "'quoted", "x;=1+1", "é", "-0"]


def read_csv(table: pa.Table) -> list[dict[str, str]]:
    text = b"".join(export([table], table.schema, "csv")).decode()
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_formulas_are_texts_to_a_spreadsheet() -> None:
    table = pa.table({"note": FORMULAS})
    assert [row["note"] for row in read_csv(table)] == [f"'{text}" for text in FORMULAS]


def test_what_is_no_formula_stays_as_it_is() -> None:
    table = pa.table({"note": PLAIN, "amount": [-1.5] * len(PLAIN), "count": [-7] * len(PLAIN)})
    rows = read_csv(table)
    assert [row["note"] for row in rows] == PLAIN
    assert {(row["amount"], row["count"]) for row in rows} == {("-1.5", "-7")}
    assert as_texts(table)["amount"].equals(table["amount"])


def test_names_of_columns_and_texts_inside_lists_are_tamed_too() -> None:
    table = pa.table({"=evil()": ["a"], "_reasons": [["=1+1", "b"]], "missing": pa.array([None], pa.string())})
    assert read_csv(table) == [{"'=evil()": "a", "_reasons": "'=1+1; b", "missing": ""}]


def test_texts_stand_in_quotes_so_that_no_other_separator_frees_a_formula() -> None:
    table = pa.table({"note": ["x;=1+1", "y\t=2"], "amount": [-1.5, 2.0]})
    text = b"".join(export([table], table.schema, "csv")).decode()
    assert text.splitlines() == ['"note","amount"', '"x;=1+1",-1.5', '"y\t=2",2']


def test_parquet_and_arrow_keep_every_value() -> None:
    table = pa.table({"note": FORMULAS})
    arrow = b"".join(export([table], table.schema, "arrow"))
    assert pa.ipc.open_stream(arrow).read_all().equals(table)

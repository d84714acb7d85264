"""Bodies that a scoring service must not swallow: each refused with its reason, and the next honest request answered.

Compiled code reads rows by offset: what is refused here would be read past the end of memory there.
"""

from __future__ import annotations

import json
import random
import struct
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pytest
from fastapi.testclient import TestClient

from tests.service.scoring_service import serving
from tests.small_pipelines import Trained

ARROW = "application/vnd.apache.arrow.stream"
JSON = "application/json"
URL = "/v1/pipelines/shop/score"
ROW: dict[str, Any] = {"amount": 41.0, "tax": 8.0, "items": 4, "country": "DE", "gift": False}


@pytest.fixture(scope="module")
def client(shop: Trained, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    with serving(shop, tmp_path_factory.mktemp("attacked"), score_rows=1000, rate_score="100000/60") as found:
        yield found


def refused(client: TestClient, body: bytes, status: int, *told: str, media: str = JSON) -> None:
    answer = client.post(URL, content=body, headers={"content-type": media})
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["detail"]
    assert problem["cause"]
    assert problem["fix"]
    assert "Traceback" not in answer.text
    for words in told:
        assert words in problem["detail"]
    assert client.post(URL, json={"rows": [ROW]}).status_code == 200


def body_of(**cells: Any) -> bytes:
    return json.dumps({"rows": [ROW, ROW | cells]}).encode()


def written(cell: str) -> bytes:
    """The amount of the second row, as it is written."""
    return body_of(amount=0.125).replace(b"0.125", cell.encode())


# ------------------------------------------------------------------------------------------ 28, 29: single values


@pytest.mark.parametrize(
    "cell",
    ["NaN", "Infinity", "-Infinity", "1e400", "-1e400", "null", '"1.0"', "true", "9007199254740993", "9" * 5000, "[]",
     "{}", "[1.0]", "-9007199254740993"],
    ids=lambda cell: cell[:20],
)  # fmt: skip
def test_what_is_no_finite_float64_is_named(client: TestClient, cell: str) -> None:
    refused(client, written(cell), 422, "row 1, column 'amount'")


@pytest.mark.parametrize("cell", [".5", "01", "+1", "0x10", "1.", "--1", "nan", "1_000"])
def test_what_is_no_json_number_is_no_json(client: TestClient, cell: str) -> None:
    refused(client, written(cell), 400)


@pytest.mark.parametrize(
    ("cells", "where"),
    [
        ({"items": 4.5}, "column 'items'"),
        ({"items": True}, "column 'items'"),
        ({"items": "4"}, "column 'items'"),
        ({"items": 2**53 + 1}, "column 'items'"),
        ({"gift": 1}, "column 'gift'"),
        ({"gift": "true"}, "column 'gift'"),
        ({"gift": None}, "column 'gift'"),
        ({"country": 3}, "column 'country'"),
        ({"country": ["DE"]}, "column 'country'"),
        ({"country": "\ud800"}, "column 'country'"),
    ],
)
def test_a_cell_of_another_type_is_named(client: TestClient, cells: dict[str, Any], where: str) -> None:
    refused(client, body_of(**cells), 422, "row 1", where)


def test_null_is_taken_where_training_had_gaps_and_nowhere_else(client: TestClient) -> None:
    assert client.post(URL, content=body_of(country=None), headers={"content-type": JSON}).status_code == 200
    refused(client, body_of(tax=None), 422, "row 1, column 'tax': null")


def test_a_wrong_cell_in_a_column_is_named_too(client: TestClient) -> None:
    columns = {name: [cell] * 3 for name, cell in ROW.items()} | {"tax": [1.0, 2.0, "3"]}
    refused(client, json.dumps({"columns": columns}).encode(), 422, "row 2, column 'tax'", '"3"')


# -------------------------------------------------------------------------------------------------- 30: shapes


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"rows": [ROW, {k: v for k, v in ROW.items() if k != "tax"}]}, 'row 1: missing column "tax"'),
        ({"rows": [ROW | {"extra": 1}]}, 'row 0: unknown column "extra"'),
        ({"rows": [ROW | {"Tax": 1}]}, 'row 0: unknown column "Tax"'),
        ({"rows": []}, "no rows"),
        ({"rows": [[]]}, "row 0"),
        ({"rows": [[1.0, 2.0, 3, "DE", False]]}, "row 0"),
        ({"rows": [1.0, 2.0]}, "row 0"),
        ({"rows": [[[1.0]]]}, "row 0"),
        ({"rows": ROW}, "the body is"),
        ({"rows": [ROW], "columns": {}}, "the body is"),
        ({"rows": [ROW], "threshold": 0.1}, "the body is"),
        ({"columns": {name: [cell] for name, cell in ROW.items()} | {"tax": [1.0, 2.0]}}, "'tax' has 2"),
        ({"columns": {name: [] for name in ROW}}, "no rows"),
        ({"columns": {name: [[cell]] for name, cell in ROW.items()}}, "row 0, column 'amount'"),
        ({"columns": {}}, "missing columns"),
        ({"columns": dict(ROW)}, "is no array"),
        ({}, "the body is"),
        ([], "the body is"),
        ([[]], "the body is"),
        ([ROW], "the body is"),
        (None, "the body is"),
        ("rows", "the body is"),
        (3, "the body is"),
    ],
)
def test_another_shape_is_told(client: TestClient, body: Any, told: str) -> None:
    refused(client, json.dumps(body).encode(), 422, told)


# ------------------------------------------------------------------------------------------- 31: what is no JSON


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b'{"rows": [',
        b'{"rows": [{"amount": 1.0',
        b'{"rows":' + b"[" * 100_000,
        b"\xef\xbb\xbf" + body_of(),
        body_of().decode().encode("utf-16"),
        body_of().replace(b"DE", b"\xff\xfe"),
        body_of() + b"{}",
        body_of().replace(b'"amount": 41.0', b'"amount": 41.0, "amount": 42.0', 1),
        body_of().replace(b'"amount": 41.0', b'"amount": 41.0, "\\u0061mount": 42.0', 1),
        b'{"rows": [], "rows": [' + json.dumps(ROW).encode() + b"]}",
    ],
    ids=["nothing", "cut", "cut in a row", "deep", "mark", "UTF-16", "not UTF-8", "two", "key twice", "escaped",
         "rows twice"],
)  # fmt: skip
def test_what_is_no_json_is_a_bad_request(client: TestClient, body: bytes) -> None:
    refused(client, body, 400)


# ------------------------------------------------------------------------------------------------ 33, 34: sizes


@pytest.mark.parametrize(
    "media", ["text/plain", "application/json; charset=utf-7", "application/x-www-form-urlencoded", ""]
)
def test_another_media_type_is_not_read(client: TestClient, media: str) -> None:
    refused(client, body_of(), 415, media=media)


def test_too_many_rows_are_too_many(client: TestClient) -> None:
    refused(client, json.dumps({"rows": [ROW] * 1001}).encode(), 413, "1,001 rows")
    refused(client, json.dumps({"columns": {k: [v] * 5000 for k, v in ROW.items()}}).encode(), 413, "5,000 rows")
    refused(client, b'{"rows":[' + b"{}," * 1_000_000 + b"{}]}", 413)


def test_a_hundred_thousand_columns_are_named_in_short(client: TestClient) -> None:
    wide = ROW | {f"c{place}": 1.0 for place in range(100_000)}
    answer = client.post(URL, json={"rows": [wide]})
    assert answer.status_code == 422
    assert len(answer.content) < 2_000


# ---------------------------------------------------------------------------------------------------- 35: Arrow


def table(**columns: Any) -> pa.Table:
    return pa.table({name: pa.array([cell] * 3) for name, cell in ROW.items()} | columns)


def arrow(of: pa.Table, **options: Any) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, of.schema, options=pa.ipc.IpcWriteOptions(**options)) as stream:
        stream.write_table(of)
    return bytes(sink.getvalue())


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (arrow(table())[:200], "can't be read"),
        (arrow(table())[:-400], "can't be read"),
        (b"ARROW1\0\0" + arrow(table()), "no message begins"),
        (b"PAR1" + b"\0" * 100, "no message begins"),
        (b"", "no schema"),
        (arrow(table(country=pa.array(["DE"] * 3).dictionary_encode())), "dictionaries"),
        (arrow(table(amount=pa.array([[1.0]] * 3))), "column 'amount': type list"),
        (arrow(table(amount=pa.array([{"a": 1.0}] * 3))), "column 'amount': type struct"),
        (arrow(table(amount=pa.array(["1.0"] * 3))), "column 'amount': type string"),
        (arrow(table(items=pa.array([4.0] * 3))), "column 'items': type double"),
        (arrow(table(amount=pa.array([1.0, float("nan"), 2.0]))), "row 1, column 'amount': nan"),
        (arrow(table(amount=pa.array([1.0, None, 2.0]))), "row 1, column 'amount': null"),
        (arrow(table(items=pa.array([1, 2**53 + 1, 2]))), "row 1, column 'items'"),
        (arrow(table(), compression="zstd"), "compressed"),
        (arrow(table(), compression="lz4"), "compressed"),
        (arrow(table().drop_columns(["tax"])), 'missing column "tax"'),
        (arrow(table().append_column("extra", table()["tax"])), 'unknown column "extra"'),
        (arrow(table().slice(0, 0)), "no rows"),
        (arrow(pa.table({f"c{place}": [1.0] for place in range(2_000)})), "2,000 columns"),
    ],
)
def test_another_stream_is_told(client: TestClient, body: bytes, told: str) -> None:
    refused(client, body, 422, told, media=ARROW)


def test_a_stream_that_announces_a_billion_rows_makes_no_memory_for_them(client: TestClient) -> None:
    body = arrow(table())
    # The batch's length is the one int64 of value 3 in its header.
    place = body.index(struct.pack("<q", 3), body.index(b"gift") + 100)
    refused(client, body[:place] + struct.pack("<q", 10**9) + body[place + 8 :], 413, "1,000,000,000 rows", media=ARROW)
    refused(client, body[:place] + struct.pack("<q", 900) + body[place + 8 :], 422, "can't be read", media=ARROW)


def test_no_stream_with_bytes_changed_at_random_does_harm(client: TestClient) -> None:
    rng, body = random.Random(5), arrow(table())
    for _ in range(1_500):
        spoilt = bytearray(body)
        for _ in range(rng.choice([1, 2, 4])):
            spoilt[rng.randrange(len(spoilt))] = rng.choice([0, 127, 128, 255])
        answer = client.post(URL, content=bytes(spoilt), headers={"content-type": ARROW})
        assert answer.status_code in (200, 413, 422), answer.text

"""A text file read in pieces gives the rows it gives when it is read at once, whatever is in it."""

from __future__ import annotations

import io

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pynomaly_pipelines.operations.errors import SourceUnreadable
from pynomaly_pipelines.spec import CsvSource
from pynomaly_pipelines.stages.sources import text_pieces
from pynomaly_pipelines.stages.sources.csv_rows import csv_rows
from pynomaly_pipelines.stages.sources.json_rows import json_rows

CSV = CsvSource(type="csv", path="x")
TYPES = {"a": pa.int64(), "b": pa.string()}
CELL = st.sampled_from(["", "1", "22", "x", '"q"', '"two\nlines"', '"a ""b"""', "é", '"c,d"', " "])
RECORDS = st.lists(st.lists(CELL, min_size=1, max_size=3).map(",".join), min_size=1, max_size=25)
END = st.sampled_from(["\n", "\r\n"])


def read_csv(data: bytes, size: int) -> tuple[list[dict[str, object]], list[str]]:
    """Rows, and the texts of the rejected ones."""
    rows: list[dict[str, object]] = []
    texts: list[str] = []
    pieces = text_pieces.csv_records(io.BytesIO(data), "utf-8", ",", "in/x", size)
    for found in csv_rows(pieces, CSV, TYPES, "in/x"):
        part = found.table.to_pylist()
        rows += part
        texts += found.texts([int(str(row["_row"])) for row in part if row["_rejected"] is not None])
    return rows, texts


@given(RECORDS, END, st.integers(8, 60))
@settings(max_examples=200, deadline=None)
def test_csv_in_pieces_is_csv_at_once(records: list[str], end: str, size: int) -> None:
    data = ("a,b" + end + end.join(records) + end).encode()
    try:
        whole = read_csv(data, len(data) + 1)
    except SourceUnreadable as error:
        with pytest.raises(SourceUnreadable, match=error.problem.split(":")[0].split(" has")[0]):
            read_csv(data, size)
        return
    assert read_csv(data, max(size, 2 * max(map(len, records)))) == whole


def test_records_are_never_cut_in_a_quoted_value() -> None:
    data = b'a,b\n1,"x\ny"\n2,"z\n\nw"\n3,v\n'
    pieces = list(text_pieces.csv_records(io.BytesIO(data), "utf-8", ",", "in/x", 12))
    assert b"".join(pieces) == data
    assert all(piece.count(b'"') % 2 == 0 for piece in pieces)
    assert len(pieces) > 1


def test_a_quote_that_is_never_closed_does_not_fill_the_memory() -> None:
    class Endless(io.RawIOBase):
        given = 0

        def read(self, size: int = -1) -> bytes:
            Endless.given += size
            return b'a,b\n1,"' + b"x\n" * size if Endless.given == size else b"x\n" * (size // 2)

    with pytest.raises(SourceUnreadable, match="a quote that is never closed"):
        list(text_pieces.csv_records(Endless(), "utf-8", ",", "in/x", 1024))
    assert Endless.given < 20 * 1024


def test_characters_are_not_cut_between_pieces() -> None:
    data = "a,b\n1,ää\n2,öö\n".encode("utf-16")
    pieces = list(text_pieces.csv_records(io.BytesIO(data), "utf-16", ",", "in/x", 5))
    assert b"".join(pieces).decode() == "a,b\n1,ää\n2,öö\n"


def test_the_place_of_a_wrong_byte_is_that_in_the_file() -> None:
    data = b"a,b\n" + b"1,x\n" * 10 + b"2,\xff\n"
    with pytest.raises(SourceUnreadable, match="byte 0xff at position 46"):
        list(text_pieces.csv_records(io.BytesIO(data), "utf-8", ",", "in/x", 8))


@pytest.mark.parametrize("size", [10, 40, 1000])
def test_json_lines_in_pieces(size: int) -> None:
    data = b'{"a": 1}\n\n{"a": 2, "b": "x"}\nno\n{"b": "y"}'
    rows = []
    for found in json_rows(text_pieces.lines(io.BytesIO(data), "in/x", size), TYPES, "in/x"):
        rows += [(row["_row"], row["a"], row.get("b")) for row in found.table.to_pylist()]
    assert rows == [(1, 1, None), (3, 2, "x"), (4, None, None), (5, None, "y")]

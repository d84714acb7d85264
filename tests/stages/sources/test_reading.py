"""Whatever bytes a file holds, it is read with all its rows or set aside with a reason."""

from __future__ import annotations

import contextlib
import io

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from pynomaly_pipelines.operations.errors import SourceUnreadable
from pynomaly_pipelines.spec import CsvSource, JsonLinesSource, ParquetSource, Source
from pynomaly_pipelines.stages.sources.conversion import TIME, to_utc
from pynomaly_pipelines.stages.sources.reading import FileRows, read_rows

CSV, JSON_LINES, PARQUET = (
    CsvSource(type="csv", path="x"),
    JsonLinesSource(type="jsonl", path="x"),
    ParquetSource(type="parquet", path="x"),
)
TYPES = {"at": TIME, "item": pa.int64(), "amount": pa.float64()}
PIECES = st.sampled_from(
    ['"', '""', ",", "\n", "\r\n", "\r", "a", "1", "2.5", "-", "inf", "nan", "é", "\0", " ", "{", "}", "[", ":", "null"]
)


def read(data: bytes, source: Source) -> FileRows:
    return read_rows(data, source, TYPES, "America/New_York", where="in/x")


def read_or_set_aside(data: bytes, source: Source) -> None:
    """If it is read, numbers ascend, and each rejected row can be shown as it came."""
    with contextlib.suppress(SourceUnreadable):
        whole(read(data, source))


def whole(rows: FileRows) -> None:
    numbers = rows.table["_row"].to_pylist()
    assert numbers == sorted(set(numbers))
    rejected = rows.table.filter(pc.is_valid(rows.table["_rejected"]))["_row"].to_pylist()
    assert len(rows.texts(rejected)) == len(rejected)
    rows.table.to_pylist()


@given(st.lists(PIECES, max_size=40).map("".join))
@settings(max_examples=300, deadline=None)
def test_any_text_as_csv(text: str) -> None:
    read_or_set_aside(b"at,item,amount\n" + text.encode(), CSV)


@given(st.binary(max_size=60), st.sampled_from([CSV, JSON_LINES, PARQUET]))
@settings(max_examples=200, deadline=None)
def test_any_bytes(data: bytes, source: Source) -> None:
    read_or_set_aside(data, source)


@given(st.integers(0, 10_000), st.integers(1, 255))
@settings(max_examples=150, deadline=None)
def test_a_flipped_byte_in_parquet(position: int, flip: int) -> None:
    buffer = io.BytesIO()
    parquet.write_table(pa.table({"at": ["2025-01-01"] * 9, "item": list(range(9)), "amount": [0.5] * 9}), buffer)
    data = bytearray(buffer.getvalue())
    data[position % len(data)] ^= flip
    read_or_set_aside(bytes(data), PARQUET)


@pytest.mark.parametrize("unit", ["s", "ms", "us"])
def test_dates_that_no_calendar_has(unit: str) -> None:
    days = pa.array([3_000_000, 0, None], pa.date32())
    far = pa.array([2**62 // {"s": 10**6, "ms": 10**3, "us": 1}[unit], 0, None]).cast(pa.timestamp(unit))
    buffer = io.BytesIO()
    parquet.write_table(pa.table({"at": far, "day": days}), buffer, version="2.6")
    rows = read(buffer.getvalue(), PARQUET)
    reasons = rows.table["_rejected"].to_pylist()
    assert reasons[0].count("is outside the years 1 to 9999") == 2
    assert reasons[1:] == [None, None]
    assert rows.table["at"].null_count == rows.table["day"].null_count == 2
    assert len(rows.texts([1])) == 1


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("2025-01-31", "2025-01-31 05:00:00"),
        ("2025-01-31T10:00", "2025-01-31 15:00:00"),
        ("2025-07-31 10:00:00.123456", "2025-07-31 14:00:00.123456"),
        ("2025-01-31T10:00:00Z", "2025-01-31 10:00:00"),
        ("2025-01-31T10:00:00+0530", "2025-01-31 04:30:00"),
        ("20250131T100000Z", "2025-01-31 10:00:00"),
    ],
)
def test_forms_of_a_time(text: str, utc: str) -> None:
    for texts in ([text], ["soon", text], [text, "2025-01-01T00:00:00Z"], [text, "2025-01-01"]):
        moments, problems = to_utc(pa.array(texts), "America/New_York")
        assert str(moments[texts.index(text)].as_py()).removesuffix("+00:00") == utc
        assert list(problems) == ([0] if "soon" in texts else [])


@pytest.mark.parametrize(
    "text", ["31.01.2025", "1/31/2025", "2025", "2025-01", "2025-13-01", "1738300000", "10:00", " "]
)
def test_what_is_no_time(text: str) -> None:
    assert list(to_utc(pa.array([text, "2025-01-01"]), "UTC")[1]) == [0]

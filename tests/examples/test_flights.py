"""`flights`: the package's rows, all of them, on the right day, with their dirt."""

from pathlib import Path

import pandas as pd
import pytest

import pynomaly_pipelines
from pynomaly_pipelines import specfile
from pynomaly_pipelines.examples import nycflights
from pynomaly_pipelines.partitions import Calendar
from pynomaly_pipelines.spec import PipelineSpec


@pytest.fixture(scope="module")
def spec() -> PipelineSpec:
    return specfile.load(Path(pynomaly_pipelines.__file__).parent / "defs", "flights")


@pytest.fixture(scope="module")
def files(project: Path) -> dict[str, pd.DataFrame]:
    return {p.stem: pd.read_csv(p) for p in sorted((project / "landing" / "flights").iterdir())}


@pytest.fixture(scope="module")
def rows(files: dict[str, pd.DataFrame]) -> pd.DataFrame:
    return pd.concat(files, names=["day"]).reset_index("day", names="file_day").reset_index(drop=True)


def test_no_row_is_lost_or_added(rows: pd.DataFrame) -> None:
    assert len(rows) == 336_776
    columns = [c for c in rows if c != "file_day"]
    original = nycflights.table().assign(time_hour=lambda t: t["time_hour"].dt.strftime("%Y-%m-%dT%H:%M:%SZ"))
    both = [t[columns].sort_values(["time_hour", "carrier", "flight"]) for t in (rows, original)]
    pd.testing.assert_frame_equal(*(t.reset_index(drop=True) for t in both))


def test_a_row_lies_in_the_partition_its_time_says(spec: PipelineSpec, rows: pd.DataFrame) -> None:
    times = pd.to_datetime(rows["time_hour"], utc=True)
    assert (Calendar(spec).keys_of(times) == rows["file_day"]).all()


@pytest.mark.parametrize(("day", "hours", "offset"), [("2013-03-10", 23, -4), ("2013-11-03", 25, -5)])
def test_time_hour_follows_daylight_saving(
    spec: PipelineSpec, files: dict[str, pd.DataFrame], day: str, hours: int, offset: int
) -> None:
    partition = Calendar(spec).partition(day)
    assert partition.start is not None
    assert partition.end is not None
    assert (partition.end - partition.start).total_seconds() == hours * 3600
    # No flight is scheduled before 05:00, hence all of them after the clocks have changed at 02:00.
    utc = pd.to_datetime(files[day]["time_hour"]).dt.hour
    assert ((utc + offset) % 24 == files[day]["hour"]).all()


def test_cancelled_and_diverted_flights(rows: pd.DataFrame) -> None:
    assert rows["dep_time"].isna().sum() == 8_255
    assert (rows["arr_delay"].isna() & rows["dep_time"].notna()).sum() == 1_175


def test_the_key_identifies_a_flight(spec: PipelineSpec, rows: pd.DataFrame) -> None:
    assert not rows.duplicated(list(spec.key)).any()
    assert set(spec.features) <= set(rows.columns)


def test_the_quarantine_limit_admits_the_worst_day(spec: PipelineSpec, files: dict[str, pd.DataFrame]) -> None:
    shares = {day: table["dep_time"].isna().mean() for day, table in files.items()}
    worst = max(shares, key=lambda day: shares[day])
    assert worst == "2013-02-09"
    assert 0.57 < shares[worst] < 0.58 < spec.validation.max_quarantined

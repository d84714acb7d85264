"""Files become runs: which partitions, in which stretches, and never twice."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from pynomaly_pipelines.automation.arrivals import build_arrivals, not_begun, partition_tags, requests, stretches
from pynomaly_pipelines.automation.setting_aside import observation, release
from pynomaly_pipelines.partitions import Calendar
from pynomaly_pipelines.pipeline import partitions_def
from pynomaly_pipelines.resources.configurable import LakeResource
from pynomaly_pipelines.resources.tables import Lake
from pynomaly_pipelines.spec import PipelineSpec
from pynomaly_pipelines.stages.ingestion import ingest
from pynomaly_pipelines.stages.sources.landing import pending


def spec_of(**more: Any) -> PipelineSpec:
    return PipelineSpec.model_validate(
        {
            "name": "sales",
            "source": {"type": "csv", "path": "landing/%Y-%m-%d.csv"},
            "time": "at",
            "partition": "daily",
            "start": "2025-03-01",
            **more,
        }
    )


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as found:
        yield found


@pytest.fixture
def drop(tmp_path: Path) -> Callable[[str, str], None]:
    """Drops a file that was finished a minute ago."""

    def write(day: str, text: str = "at,amount\n2025-03-01T10:00:00Z,1\n") -> None:
        path = tmp_path / "landing" / f"{day}.csv"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        then = path.stat().st_mtime - 60
        os.utime(path, (then, then))

    return write


def tick(instance: dg.DagsterInstance, project: Path, cursor: str | None = None) -> dg.SensorResult | dg.SkipReason:
    lake = LakeResource(root=str(project / "lake"), project=str(project))
    with dg.build_sensor_context(instance=instance, cursor=cursor, resources={"lake": lake}) as context:
        found = build_arrivals(spec_of(), live=False)(context)
    assert isinstance(found, dg.SensorResult | dg.SkipReason)
    return found


def test_no_folder_yet_is_said_not_raised(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    found = tick(instance, tmp_path)
    assert isinstance(found, dg.SkipReason)
    assert "landing/%Y-%m-%d.csv" in (found.skip_message or "")


def test_neighbours_share_a_run_and_a_gap_starts_another(
    instance: dg.DagsterInstance, tmp_path: Path, drop: Callable[[str], None]
) -> None:
    for day in ("2025-03-01", "2025-03-02", "2025-03-05"):
        drop(day)
    found = tick(instance, tmp_path)
    assert isinstance(found, dg.SensorResult)
    first, second = found.run_requests or []
    assert first.tags["dagster/asset_partition_range_start"] == "2025-03-01"
    assert first.tags["dagster/asset_partition_range_end"] == "2025-03-02"
    assert second.tags["dagster/partition"] == "2025-03-05"


def test_the_same_files_have_the_same_run_key_and_a_changed_file_another(
    instance: dg.DagsterInstance, tmp_path: Path, drop: Callable[..., None]
) -> None:
    drop("2025-03-01")
    before = [r.run_key for r in _requests(tick(instance, tmp_path))]
    assert [r.run_key for r in _requests(tick(instance, tmp_path))] == before
    drop("2025-03-01", "at,amount\n2025-03-01T10:00:00Z,2\n2025-03-01T11:00:00Z,3\n")
    assert [r.run_key for r in _requests(tick(instance, tmp_path))] != before


def test_scores_are_part_of_the_run_once_there_is_a_champion(
    instance: dg.DagsterInstance, tmp_path: Path, drop: Callable[[str], None]
) -> None:
    drop("2025-03-01")
    nouns = [key.path[-1] for key in _requests(tick(instance, tmp_path))[0].asset_selection or []]
    assert nouns == ["raw", "validated", "quarantine"]
    instance.report_runless_asset_event(dg.AssetMaterialization(["sales", "champion"]))
    nouns = [key.path[-1] for key in _requests(tick(instance, tmp_path))[0].asset_selection or []]
    assert nouns == ["raw", "validated", "quarantine", "scores"]


def test_a_stretch_is_never_longer_than_the_setting() -> None:
    spec = spec_of(automation={"partitions_per_run": 3})
    keys = [f"2025-03-{day:02}" for day in range(1, 9)]
    assert [len(stretch) for stretch in stretches(spec, keys)] == [3, 3, 2]


def test_month_ends_are_neighbours() -> None:
    assert list(stretches(spec_of(), ["2025-03-31", "2025-04-01"])) == [["2025-03-31", "2025-04-01"]]


def test_the_whole_needs_no_partition_tags() -> None:
    assert partition_tags(["all"]) == {}
    spec = spec_of(partition="whole", start=None, source={"type": "csv", "path": "landing/all.csv"})
    (request,) = requests(spec, {"all": "abc"}, [])
    assert not any(tag.startswith("dagster/") for tag in request.tags)


def _requests(found: dg.SensorResult | dg.SkipReason) -> list[dg.RunRequest]:
    assert isinstance(found, dg.SensorResult)
    return list(found.run_requests or [])


def test_partitions_that_have_not_begun_wait(instance: dg.DagsterInstance) -> None:
    now = datetime(2025, 3, 2, 12, tzinfo=UTC)
    assert not_begun(spec_of(), ["2025-03-01", "2025-03-02", "2025-03-03"], now) == ["2025-03-03"]


def test_the_partition_that_is_still_filling_exists() -> None:
    parts = partitions_def(spec_of())
    assert parts is not None
    noon = datetime(2025, 3, 2, 12, tzinfo=UTC)
    keys = parts.get_partition_keys(current_time=noon)
    assert keys == ["2025-03-01", "2025-03-02"]


def test_data_that_has_ended_has_no_partition_after_its_end() -> None:
    parts = partitions_def(spec_of(end="2025-03-04"))
    assert parts is not None
    assert parts.get_partition_keys()[-1] == "2025-03-03"


def test_a_file_put_back_as_it_was_is_ingested_again(tmp_path: Path, drop: Callable[..., None]) -> None:
    lake, spec = Lake(str(tmp_path / "lake")), spec_of()
    first, path = "at,amount\n2025-03-01T10:00:00Z,1\n", tmp_path / "landing" / "2025-03-01.csv"
    part = [Calendar(spec).partition("2025-03-01")]
    drop("2025-03-01", first)
    stamp = path.stat().st_mtime_ns
    once = pending(spec, lake, tmp_path)
    ingest(spec, part, lake, tmp_path)
    drop("2025-03-01", "at,amount\n2025-03-01T10:00:00Z,2\n2025-03-01T11:00:00Z,3\n")
    ingest(spec, part, lake, tmp_path)
    path.write_text(first)
    os.utime(path, ns=(stamp, stamp))
    again = pending(spec, lake, tmp_path)
    assert again.keys() == once.keys()
    assert again != once
    assert pending(spec, lake, tmp_path) == again


def test_tick_by_tick_a_poison_partition_is_left_out_until_its_data_changes_or_it_is_taken_back(
    instance: dg.DagsterInstance, tmp_path: Path, drop: Callable[..., None]
) -> None:
    drop("2025-03-01")
    (asked,) = _requests(tick(instance, tmp_path))
    poison = observation(spec_of(), "2025-03-01", "run-1", "it broke")
    instance.report_runless_asset_event(poison)

    left_out = tick(instance, tmp_path)
    assert isinstance(left_out, dg.SensorResult)
    assert "set aside until its data changes: 2025-03-01" in str(left_out.skip_reason)
    # A neighbour comes: it has a run of its own.
    drop("2025-03-02")
    neighbour = tick(instance, tmp_path, left_out.cursor)
    assert [r.tags["dagster/partition"] for r in _requests(neighbour)] == ["2025-03-02"]
    # Taken back: asked for again, with the same data and another key.
    instance.report_runless_asset_event(release(spec_of(), "2025-03-01", "ada"))
    (both,) = _requests(tick(instance, tmp_path, neighbour.cursor))
    assert both.tags["dagster/asset_partition_range_start"] == "2025-03-01"
    # Set aside again, and then its file is corrected.
    instance.report_runless_asset_event(poison)
    again = tick(instance, tmp_path, neighbour.cursor)
    assert [r.tags["dagster/partition"] for r in _requests(again)] == ["2025-03-02"]
    drop("2025-03-01", "at,amount\n2025-03-01T10:00:00Z,2\n2025-03-01T11:00:00Z,3\n")
    (corrected,) = _requests(tick(instance, tmp_path, again.cursor))
    assert corrected.tags["dagster/asset_partition_range_start"] == "2025-03-01"
    assert len({asked.run_key, both.run_key, corrected.run_key}) == 3

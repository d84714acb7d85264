"""Failed runs: what is launched again, how often, and what is not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from pynomaly_pipelines.automation.reruns import ATTEMPT_TAG, OF_TAG, build_reruns
from pynomaly_pipelines.operations.settings import Settings
from pynomaly_pipelines.pipeline import standalone
from pynomaly_pipelines.spec import PipelineSpec

HEAD = "at,id,amount\n"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PYNOMALY_PROJECT", str(tmp_path))
    (tmp_path / "landing").mkdir()
    return tmp_path


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as found:
        yield found


def spec_of(**more: Any) -> PipelineSpec:
    return PipelineSpec.model_validate(
        {
            "name": "sales",
            "source": {"type": "csv", "path": "landing/%Y-%m-%d.csv"},
            "time": "at",
            "partition": "daily",
            "start": "2025-03-01",
            "automation": {"retries": 0, **more},
        }
    )


def write(project: Path, day: int, rows: int) -> None:
    lines = "".join(f"2025-03-{day:02}T10:00:00Z,{n},{n}.5\n" for n in range(rows))
    (project / "landing" / f"2025-03-{day:02}.csv").write_text(HEAD + lines)


def after_failure(
    instance: dg.DagsterInstance, spec: PipelineSpec, job: str, tags: Mapping[str, str]
) -> list[dg.RunRequest] | dg.SkipReason:
    """What the sensor answers to a failed run of a job."""
    found = standalone(spec, Settings.from_environment()).resolve_job_def(f"{spec.name}_{job}")
    result = found.execute_in_process(instance=instance, tags=dict(tags), raise_on_error=False)
    assert not result.success
    context = dg.build_run_status_sensor_context(
        f"{spec.name}_reruns", result.get_run_failure_event(), instance, result.dagster_run
    ).for_run_failure()
    answer = build_reruns(spec, live=False)(context)
    assert isinstance(answer, list | dg.SkipReason)
    return answer


def test_bad_data_is_reported_not_retried(instance: dg.DagsterInstance, project: Path) -> None:
    (project / "landing" / "2025-03-01.csv").write_bytes(b"")
    answer = after_failure(instance, spec_of(), "ingest", {"dagster/partition": "2025-03-01"})
    assert isinstance(answer, dg.SkipReason)
    assert "not retried" in (answer.skip_message or "")


def test_a_range_is_run_again_without_its_refused_partitions(instance: dg.DagsterInstance, project: Path) -> None:
    for day, rows in ((1, 5), (2, 0), (3, 5), (4, 5)):
        write(project, day, rows)
    span = {"dagster/asset_partition_range_start": "2025-03-01", "dagster/asset_partition_range_end": "2025-03-04"}
    answer = after_failure(instance, spec_of(), "ingest", span)
    assert isinstance(answer, list)
    first, second = answer
    assert first.tags["dagster/partition"] == "2025-03-01"
    assert second.tags["dagster/asset_partition_range_start"] == "2025-03-03"
    assert second.tags["dagster/asset_partition_range_end"] == "2025-03-04"
    assert {key.path[-1] for key in first.asset_selection or []} == {"validated", "quarantine"}


def test_a_single_refused_partition_is_not_run_again(instance: dg.DagsterInstance, project: Path) -> None:
    write(project, 1, 0)
    answer = after_failure(instance, spec_of(), "ingest", {"dagster/partition": "2025-03-01"})
    assert isinstance(answer, dg.SkipReason)


def test_a_fault_of_the_world_is_run_again_once_and_only_what_failed(
    instance: dg.DagsterInstance, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(project, 1, 5)
    # The lake's folder for validated rows is a file: a fault that has nothing to do with the data.
    blocked = project / ".pynomaly" / "lake" / "sales" / "validated"
    blocked.parent.mkdir(parents=True)
    blocked.write_text("in the way")
    tags = {"dagster/partition": "2025-03-01"}
    answer = after_failure(instance, spec_of(), "ingest", tags)
    assert isinstance(answer, list)
    (request,) = answer
    assert {key.path[-1] for key in request.asset_selection or []} == {"validated", "quarantine"}
    assert request.tags["dagster/partition"] == "2025-03-01"
    assert request.tags[OF_TAG] == request.run_key
    again = after_failure(instance, spec_of(), "ingest", {**tags, ATTEMPT_TAG: request.tags[ATTEMPT_TAG]})
    assert isinstance(again, dg.SkipReason)
    assert "failed 2 times" in (again.skip_message or "")


def test_no_reruns_when_the_policy_says_none(instance: dg.DagsterInstance, project: Path) -> None:
    write(project, 1, 5)
    blocked = project / ".pynomaly" / "lake" / "sales" / "validated"
    blocked.parent.mkdir(parents=True)
    blocked.write_text("in the way")
    answer = after_failure(instance, spec_of(reruns=0), "ingest", {"dagster/partition": "2025-03-01"})
    assert isinstance(answer, dg.SkipReason)


def test_a_run_that_dagster_retries_is_left_to_it(instance: dg.DagsterInstance, project: Path) -> None:
    (project / "landing" / "2025-03-01.csv").write_bytes(b"")
    tags = {"dagster/partition": "2025-03-01", "dagster/will_retry": "true"}
    answer = after_failure(instance, spec_of(), "ingest", tags)
    assert isinstance(answer, dg.SkipReason)
    assert "retried by Dagster" in (answer.skip_message or "")

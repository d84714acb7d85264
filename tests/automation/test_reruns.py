"""Failed runs: what is launched again, when, how often, and what is set aside; tick by tick."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from pynomaly_pipelines.automation.failures import ATTEMPT_TAG, OF_TAG, FailedRun
from pynomaly_pipelines.automation.reruns import Cursor, Decision, build_reruns, decide, look_at_failures
from pynomaly_pipelines.automation.setting_aside import release, set_aside
from pynomaly_pipelines.operations.faults import Fault
from pynomaly_pipelines.operations.settings import Settings
from pynomaly_pipelines.pipeline import standalone
from pynomaly_pipelines.spec import PipelineSpec

HEAD = "at,id,amount\n"
NOON = datetime(2025, 3, 20, 12, tzinfo=UTC)
RAW, VALIDATED = dg.AssetKey(["sales", "raw"]), dg.AssetKey(["sales", "validated"])
WEEK = tuple(f"2025-03-{day:02}" for day in range(1, 8))


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


def failed(fault: Fault, *keys: str, attempt: int = 0, refused: tuple[str, ...] = ()) -> FailedRun:
    return FailedRun("run-1", keys, (RAW, VALIDATED), fault, "It broke.", NOON, attempt, refused)


def requested(decision: Decision) -> list[str]:
    """The partitions of each run that is asked for."""
    ranges = []
    for request in decision.requests:
        tags = request.tags
        first = tags.get("dagster/partition", tags.get("dagster/asset_partition_range_start", ""))
        last = tags.get("dagster/asset_partition_range_end", first)
        ranges.append(f"{first[8:]}-{last[8:]}")
    return ranges


# ----------------------------------------------------------------------------------------------------- the policy


@pytest.mark.parametrize("fault", [Fault.TRANSIENT, Fault.LOST])
def test_a_fault_of_the_world_waits_longer_each_time(fault: Fault) -> None:
    spec, waits = spec_of(reruns=4, rerun_delay_seconds=1000), []
    for attempt in range(4):
        found = failed(fault, "2025-03-01", attempt=attempt)
        early = decide(spec, found, NOON)
        assert early.until is not None
        assert not early.requests
        waits.append((early.until - NOON).total_seconds())
        (request,) = decide(spec, found, early.until).requests
        assert request.tags[ATTEMPT_TAG] == str(attempt + 1)
    # Doubled, and an hour at most.
    assert waits == [1000, 2000, 3600, 3600]


def test_a_poison_partition_is_found_and_set_aside_while_the_others_go_through() -> None:
    spec, poison = spec_of(reruns=2, rerun_delay_seconds=1), "2025-03-05"
    queue, ran, aside, good = [failed(Fault.LOST, *WEEK)], 0, [], set()
    while queue:
        current = queue.pop(0)
        decision = decide(spec, current, NOON + timedelta(days=1))
        aside += decision.aside
        for request in decision.requests:
            ran += 1
            keys = [
                k
                for k in WEEK
                if requested(Decision("", [request]))[0][:2] <= k[8:] <= requested(Decision("", [request]))[0][3:]
            ]
            attempt = int(request.tags[ATTEMPT_TAG])
            if poison in keys:
                queue.append(replace(failed(Fault.LOST, *keys, attempt=attempt), run_id=f"run-{ran}"))
            else:
                good |= set(keys)
    assert aside == [poison]
    assert good == set(WEEK) - {poison}
    # Two attempts as a whole, then halves of 7, 4 and 2 partitions.
    assert ran == 2 + 2 + 2 + 2


def test_memory_is_never_tried_at_the_same_size() -> None:
    assert requested(decide(spec_of(), failed(Fault.MEMORY, *WEEK), NOON)) == ["01-03", "04-07"]
    alone = decide(spec_of(), failed(Fault.MEMORY, "2025-03-01"), NOON)
    assert alone.aside == ("2025-03-01",)
    assert "not run again at the same size" in alone.why


def test_a_bug_is_reported_and_only_narrowed_down() -> None:
    assert requested(decide(spec_of(), failed(Fault.BUG, *WEEK[:2]), NOON)) == ["01-01", "02-02"]
    assert decide(spec_of(), failed(Fault.BUG, "2025-03-01"), NOON).aside == ("2025-03-01",)
    training = decide(spec_of(), failed(Fault.BUG), NOON)
    assert not training.requests
    assert training.why == "It broke. A bug is reported, not retried"


def test_a_setting_is_reported_once_for_all() -> None:
    decision = decide(spec_of(), failed(Fault.SETTING, *WEEK), NOON)
    assert (list(decision.requests), decision.aside) == ([], ())


def test_bad_data_leaves_the_others_alone() -> None:
    assert requested(decide(spec_of(), failed(Fault.DATA, *WEEK, refused=("2025-03-03",)), NOON)) == ["01-02", "04-07"]
    alone = decide(spec_of(), failed(Fault.DATA, "2025-03-03"), NOON)
    assert (list(alone.requests), alone.aside) == ([], ())


def test_no_reruns_when_the_policy_says_none() -> None:
    assert decide(spec_of(reruns=0), failed(Fault.TRANSIENT, "2025-03-01"), NOON).aside == ("2025-03-01",)
    assert not decide(spec_of(reruns=0), failed(Fault.TRANSIENT), NOON).requests


# ----------------------------------------------------------------------------------------------- with real runs


def write(project: Path, day: int, rows: int) -> None:
    lines = "".join(f"2025-03-{day:02}T10:00:00Z,{n},{n}.5\n" for n in range(rows))
    (project / "landing" / f"2025-03-{day:02}.csv").write_text(HEAD + lines)


def block(project: Path) -> None:
    """The lake's folder for validated rows is a file: the fault of an operator."""
    blocked = project / ".pynomaly" / "lake" / "sales" / "validated"
    blocked.parent.mkdir(parents=True)
    blocked.write_text("in the way")


def run(instance: dg.DagsterInstance, spec: PipelineSpec, job: str, tags: Mapping[str, str]) -> str:
    found = standalone(spec, Settings.from_environment()).resolve_job_def(f"{spec.name}_{job}")
    result = found.execute_in_process(instance=instance, tags=dict(tags), raise_on_error=False)
    assert not result.success
    return str(result.run_id)


def look(
    instance: dg.DagsterInstance, spec: PipelineSpec, cursor: Cursor | None = None, later: float = 0
) -> tuple[list[dg.RunRequest], str, Cursor]:
    now = datetime.now(UTC) + timedelta(seconds=later)
    found, left = look_at_failures(instance, spec, cursor or Cursor.read(None, now), now)
    return found.requests, "; ".join(found.said), left


def test_an_empty_file_is_reported_not_retried(instance: dg.DagsterInstance, project: Path) -> None:
    (project / "landing" / "2025-03-01.csv").write_bytes(b"")
    run(instance, spec_of(), "ingest", {"dagster/partition": "2025-03-01"})
    requests, said, _ = look(instance, spec_of())
    assert requests == []
    assert "not retried" in said


def test_a_range_is_run_again_without_its_refused_partitions(instance: dg.DagsterInstance, project: Path) -> None:
    for day, rows in ((1, 5), (2, 0), (3, 5), (4, 5)):
        write(project, day, rows)
    span = {"dagster/asset_partition_range_start": "2025-03-01", "dagster/asset_partition_range_end": "2025-03-04"}
    run(instance, spec_of(), "ingest", span)
    requests, _, _ = look(instance, spec_of())
    assert requested(Decision("", requests)) == ["01-01", "03-04"]
    assert {key.path[-1] for key in requests[0].asset_selection or []} == {"validated", "quarantine"}


def test_tick_by_tick_a_fault_of_the_world_is_waited_out(
    instance: dg.DagsterInstance, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(project, 1, 5)
    spec = spec_of(rerun_delay_seconds=60)

    def away(*_: object) -> None:
        raise ConnectionRefusedError(111, "Connection refused")

    monkeypatch.setattr("pynomaly_pipelines.stages.validation.validate", away)
    failed_run = run(instance, spec, "ingest", {"dagster/partition": "2025-03-01"})
    requests, said, cursor = look(instance, spec)
    assert requests == []
    assert "transient: attempt 1 of 3 at" in said
    requests, _, cursor = look(instance, spec, cursor, later=61)
    (request,) = requests
    assert {key.path[-1] for key in request.asset_selection or []} == {"validated", "quarantine"}
    assert request.tags[OF_TAG] == failed_run
    # Settled: it is not asked for again.
    assert look(instance, spec, cursor, later=75)[0] == []


def test_a_partition_set_aside_stays_so_until_a_later_run_or_a_person_takes_it_back(
    instance: dg.DagsterInstance, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(project, 1, 5)

    def broken(*_: object) -> None:
        raise ZeroDivisionError("division by zero")

    with monkeypatch.context() as patch:
        patch.setattr("pynomaly_pipelines.stages.validation.validate", broken)
        run(instance, spec_of(), "ingest", {"dagster/partition": "2025-03-01"})
    found, _ = look_at_failures(instance, spec_of(), Cursor.read(None, datetime.now(UTC)), datetime.now(UTC))
    (event,) = found.observations
    instance.report_runless_asset_event(event)
    (aside,) = set_aside(instance, spec_of())
    assert aside.partition == "2025-03-01"
    assert "ZeroDivisionError: division by zero" in aside.why
    instance.report_runless_asset_event(release(spec_of(), "2025-03-01", "ada"))
    assert set_aside(instance, spec_of()) == []
    instance.report_runless_asset_event(event)
    assert len(set_aside(instance, spec_of())) == 1
    job = standalone(spec_of(), Settings.from_environment()).resolve_job_def("sales_ingest")
    assert job.execute_in_process(instance=instance, tags={"dagster/partition": "2025-03-01"}).success
    assert set_aside(instance, spec_of()) == []


def test_a_table_in_the_way_is_a_setting(instance: dg.DagsterInstance, project: Path) -> None:
    write(project, 1, 5)
    block(project)
    run(instance, spec_of(), "ingest", {"dagster/partition": "2025-03-01"})
    requests, said, _ = look(instance, spec_of())
    assert requests == []
    assert "reported" in said


def test_the_budget_of_a_day_holds(
    instance: dg.DagsterInstance, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(project, 1, 5)
    spec = spec_of(rerun_budget=0, rerun_delay_seconds=1)

    def away(*_: object) -> None:
        raise TimeoutError

    monkeypatch.setattr("pynomaly_pipelines.stages.validation.validate", away)
    run(instance, spec, "ingest", {"dagster/partition": "2025-03-01"})
    requests, said, cursor = look(instance, spec, later=5)
    assert requests == []
    assert "0 runs in 24 hours are the budget" in said
    # Not forgotten: with a larger budget it is run.
    assert len(look(instance, spec_of(rerun_delay_seconds=1), cursor, later=5)[0]) == 1


@pytest.mark.parametrize(
    ("tag", "said"),
    [
        ({"dagster/will_retry": "true"}, "retried by Dagster"),
        ({"pynomaly/trigger": "command"}, "a command ran it"),
    ],
)
def test_runs_that_others_look_after_are_left_to_them(
    instance: dg.DagsterInstance, project: Path, tag: dict[str, str], said: str
) -> None:
    (project / "landing" / "2025-03-01.csv").write_bytes(b"")
    run(instance, spec_of(), "ingest", {"dagster/partition": "2025-03-01", **tag})
    requests, told, _ = look(instance, spec_of())
    assert requests == []
    assert said in told


def test_the_sensor_keeps_its_cursor(instance: dg.DagsterInstance, project: Path) -> None:
    (project / "landing" / "2025-03-01.csv").write_bytes(b"")
    run(instance, spec_of(), "ingest", {"dagster/partition": "2025-03-01"})
    sensor = build_reruns(spec_of(), live=False)
    first = sensor(dg.build_sensor_context(instance))
    assert isinstance(first, dg.SensorResult)
    assert "not retried" in str(first.skip_reason)
    second = sensor(dg.build_sensor_context(instance, cursor=first.cursor))
    assert isinstance(second, dg.SensorResult)
    assert "no run failed" in str(second.skip_reason)

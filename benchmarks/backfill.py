"""What orchestration costs: the 365 days of `flights` through Dagster, and by a plain script over the same stages.

Both run as whole processes, in turn, each in an empty project: ingest, validate, train, evaluate, register and score,
in ranges of 31 days. Prints wall time, CPU time and peak memory, and the ratio of the two.

    python -m benchmarks.backfill [--rounds N] [--days N]
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

PIPELINE = "flights"


@dataclass(frozen=True)
class Cost:
    """What one whole process cost."""

    wall_seconds: float
    cpu_seconds: float
    peak_megabytes: float


def plain(days: int) -> None:
    """The same work by the stages alone."""
    from pynomaly_pipelines.automation.arrivals import stretches
    from pynomaly_pipelines.partitions import Calendar
    from pynomaly_pipelines.project import Project
    from pynomaly_pipelines.resources.registry import Registry
    from pynomaly_pipelines.resources.tables import Lake
    from pynomaly_pipelines.stages.evaluation import evaluate
    from pynomaly_pipelines.stages.ingestion import ingest
    from pynomaly_pipelines.stages.promotion.registration import register
    from pynomaly_pipelines.stages.scoring import score
    from pynomaly_pipelines.stages.sources import landing
    from pynomaly_pipelines.stages.training import train
    from pynomaly_pipelines.stages.validation import validate

    project = Project.current()
    spec, settings = project.pipeline(PIPELINE), project.settings
    calendar = Calendar(spec)
    lake, registry = Lake(settings.lake), Registry(settings.registry, settings.artifacts)
    keys = landing.available(spec, lake, settings.project)[:days]
    ranges = [[calendar.partition(key) for key in stretch] for stretch in stretches(spec, keys)]
    for partitions in ranges:
        ingest(spec, partitions, lake, settings.project)
        validate(spec, partitions, lake)
    train(spec, lake, registry)
    evaluate(spec, lake, registry)
    register(spec, lake, registry)
    for partitions in ranges:
        score(spec, partitions, lake, registry)


def orchestrated(days: int) -> None:
    """The same work as Dagster runs."""
    from pynomaly_pipelines.cli import main

    main(["run", PIPELINE, "--from", "2013-01-01", "--to", _last(days)], standalone_mode=False)


def _last(days: int) -> str:
    from datetime import date, timedelta

    return (date(2013, 1, 1) + timedelta(days=days - 1)).isoformat()


def measured(how: str, days: int) -> Cost:
    """One way in a process of its own, in an empty project."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "PYNOMALY_PROJECT": folder}
        environment.pop("PYNOMALY_HOME", None)
        from pynomaly_pipelines.examples import write

        write(Path(folder), [PIPELINE])
        started = time.perf_counter()
        command = [sys.executable, "-m", "benchmarks.backfill", "--only", how, "--days", str(days)]
        with (Path(folder) / "out.log").open("wb") as out:
            process = subprocess.Popen(command, env=environment, stdout=out, stderr=out)
            _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise SystemExit((Path(folder) / "out.log").read_text())
        wall = time.perf_counter() - started
        return Cost(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def main() -> None:
    """Measure in turn and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--days", type=int, default=365)
    parser.add_argument("--only", choices=["plain", "orchestrated"], help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.only:
        (plain if chosen.only == "plain" else orchestrated)(chosen.days)
        return
    found: dict[str, list[Cost]] = {"orchestrated": [], "plain": []}
    for _ in range(chosen.rounds):
        for how, costs in found.items():
            costs.append(measured(how, chosen.days))
    print(f"{chosen.days} days of flights, median of {chosen.rounds}")
    print(f"{'':<14}{'wall s':>10}{'CPU s':>10}{'peak MB':>10}")
    medians = {how: _median(costs) for how, costs in found.items()}
    for how, cost in medians.items():
        print(f"{how:<14}{cost.wall_seconds:>10.1f}{cost.cpu_seconds:>10.1f}{cost.peak_megabytes:>10.0f}")
    with_, without = medians["orchestrated"], medians["plain"]
    print(
        f"{'ratio':<14}{with_.wall_seconds / without.wall_seconds:>10.2f}"
        f"{with_.cpu_seconds / without.cpu_seconds:>10.2f}{with_.peak_megabytes / without.peak_megabytes:>10.2f}"
    )


def _median(costs: list[Cost]) -> Cost:
    return Cost(
        statistics.median(c.wall_seconds for c in costs),
        statistics.median(c.cpu_seconds for c in costs),
        statistics.median(c.peak_megabytes for c in costs),
    )


if __name__ == "__main__":
    main()

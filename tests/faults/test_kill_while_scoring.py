"""kill -9 in the middle of scoring: a partition has all of its scores or none, and a rerun puts it right."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pynomaly_pipelines.operations.settings import Settings
from pynomaly_pipelines.partitions import Calendar
from pynomaly_pipelines.resources.registry import Registry
from pynomaly_pipelines.resources.tables import Lake
from pynomaly_pipelines.spec import PipelineSpec
from pynomaly_pipelines.stages.evaluation import evaluate
from pynomaly_pipelines.stages.ingestion import ingest
from pynomaly_pipelines.stages.promotion.registration import register
from pynomaly_pipelines.stages.scoring import score
from pynomaly_pipelines.stages.training import train
from pynomaly_pipelines.stages.validation import validate

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

ROWS = 30_000
DAY = "2025-03-01"
KILLS = 6
SCORE = """
import sys
from pynomaly_pipelines.operations.settings import Settings
from pynomaly_pipelines.partitions import Calendar
from pynomaly_pipelines.resources.registry import Registry
from pynomaly_pipelines.resources.tables import Lake
from pynomaly_pipelines.spec import PipelineSpec
from pynomaly_pipelines.stages.scoring import score
import pynomaly_pipelines.detection.records, deltalake, mlflow, pandas

spec = PipelineSpec.model_validate_json(sys.argv[1])
settings = Settings.from_environment()
registry = Registry(settings.registry, settings.artifacts)
registry.champion(spec.name)
print("ready", flush=True)
score(spec, [Calendar(spec).partition(sys.argv[2])], Lake(settings.lake), registry)
print("done", flush=True)
"""


@pytest.fixture
def trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[PipelineSpec, Lake, Registry]:
    monkeypatch.setenv("PYNOMALY_PROJECT", str(tmp_path))
    spec = PipelineSpec.model_validate(
        {
            "name": "orders",
            "source": {"type": "parquet", "path": "%Y-%m-%d.parquet"},
            "time": "at",
            "partition": "daily",
            "start": DAY,
            "key": "id",
            "training": {"detectors": ["HBOS"], "max_rows": 5000},
        }
    )
    rng = np.random.default_rng(0)
    times = pd.Timestamp(DAY, tz="UTC") + pd.to_timedelta(np.arange(ROWS) * 2, unit="s")
    frame = pd.DataFrame({"at": times, "id": np.arange(ROWS), **{f"x{i}": rng.normal(size=ROWS) for i in range(4)}})
    frame.to_parquet(tmp_path / f"{DAY}.parquet")
    settings = Settings.from_environment()
    lake, registry = Lake(settings.lake), Registry(settings.registry, settings.artifacts)
    day = [Calendar(spec).partition(DAY)]
    ingest(spec, day, lake, tmp_path)
    validate(spec, day, lake)
    train(spec, lake, registry)
    evaluate(spec, lake, registry)
    register(spec, lake, registry)
    return spec, lake, registry


@contextmanager
def scoring(spec: PipelineSpec) -> Iterator[subprocess.Popen[str]]:
    """A process that has everything loaded and is about to score."""
    arguments = [sys.executable, "-c", SCORE, spec.model_dump_json(exclude_unset=True), DAY]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process


def test_all_or_nothing(trained: tuple[PipelineSpec, Lake, Registry]) -> None:
    spec, lake, registry = trained
    with scoring(spec) as process:
        started = time.monotonic()
        assert process.wait() == 0
        whole = time.monotonic() - started
    reference = lake.read(spec.name, "scores", columns=["id", "score"]).to_pandas()
    assert reference["id"].is_unique
    assert len(reference) == ROWS

    killed = 0
    for delay in np.linspace(0.02, 0.98 * whole, KILLS):
        lake.replace(spec.name, "scores", [DAY], lake.read(spec.name, "scores").slice(0, 0))
        with scoring(spec) as process:
            time.sleep(delay)
            os.kill(process.pid, signal.SIGKILL)
            killed += process.wait() == -signal.SIGKILL
        left = lake.read(spec.name, "scores", columns=["id", "score"]).to_pandas()
        assert len(left) in (0, ROWS)
        if len(left):
            pd.testing.assert_frame_equal(left, reference)
    assert killed >= KILLS // 2

    score(spec, [Calendar(spec).partition(DAY)], lake, registry)
    again = lake.read(spec.name, "scores", columns=["id", "score"]).to_pandas()
    pd.testing.assert_frame_equal(again, reference)


def test_the_same_partition_twice_is_the_same_rows_once(trained: tuple[PipelineSpec, Lake, Registry]) -> None:
    spec, lake, registry = trained
    day = [Calendar(spec).partition(DAY)]
    score(spec, day, lake, registry)
    first = lake.read(spec.name, "scores").drop_columns(["scored_at"])
    score(spec, day, lake, registry)
    assert lake.read(spec.name, "scores").drop_columns(["scored_at"]).equals(first)

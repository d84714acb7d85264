"""Two small pipelines, their data and their validated tables, for tests that start behind the validation."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from mlflow.tracking._tracking_service.utils import _artifact_repos_cache

from pynomaly_pipelines.partitions import Calendar, Partition
from pynomaly_pipelines.resources.registry import Registry, Version
from pynomaly_pipelines.resources.tables import Lake
from pynomaly_pipelines.spec import PipelineSpec
from pynomaly_pipelines.stages.evaluation import EvaluationReport, evaluate
from pynomaly_pipelines.stages.promotion.registration import RegistrationReport, register
from pynomaly_pipelines.stages.scoring import ScoringReport, score
from pynomaly_pipelines.stages.training import train

DAYS = 10
ROWS = 60
START = pd.Timestamp("2025-01-01", tz="UTC")


@dataclass(frozen=True)
class Small:
    """A spec and the rows of its validated table."""

    spec: PipelineSpec
    rows: pd.DataFrame

    def fill(self, lake: Lake) -> None:
        """Write the rows as the validation would."""
        put(lake, self.spec, self.rows)


@dataclass(frozen=True)
class Trained:
    """A pipeline that went the whole way once."""

    small: Small
    folder: Path
    lake: Lake
    registry: Registry
    versions: tuple[Version, ...]
    evaluation: EvaluationReport
    registration: RegistrationReport
    scoring: ScoringReport

    @property
    def spec(self) -> PipelineSpec:
        return self.small.spec

    def partitions(self, *keys: str) -> list[Partition]:
        """Partitions by key; without keys all that are validated."""
        calendar = Calendar(self.spec)
        return [calendar.partition(key) for key in keys or self.lake.counts(self.spec.name, "validated")]

    def scores(self, *keys: str) -> pd.DataFrame:
        found: pd.DataFrame = self.lake.read(self.spec.name, "scores", partitions=keys or None).to_pandas()
        return found

    def copy(self, folder: Path, new_registry: Callable[[Path], Registry]) -> Trained:
        """The same with tables, a registry and artifacts of its own."""
        for part in ("lake", "registry"):
            shutil.copytree(self.folder / part, folder / part, ignore=shutil.ignore_patterns("cache"))
        relocate(folder / "registry" / "registry.db", str(self.folder), str(folder))
        # MLflow remembers by run where artifacts lie; the copy's runs have the same ids.
        _artifact_repos_cache.clear()
        lake, registry = Lake(str(folder / "lake")), new_registry(folder / "registry")
        return Trained(
            self.small, folder, lake, registry, self.versions, self.evaluation, self.registration, self.scoring
        )


def relocate(database: Path, old: str, new: str) -> None:
    """Let a copied registry look for its artifacts beside itself."""
    places = {
        "experiments": "artifact_location",
        "runs": "artifact_uri",
        "logged_models": "artifact_location",
        "model_versions": "storage_location",
    }
    with contextlib.closing(sqlite3.connect(database)) as connection, connection:
        for table, column in places.items():
            connection.execute(f"UPDATE {table} SET {column} = replace({column}, ?, ?)", (old, new))


def spec(**attributes: Any) -> PipelineSpec:
    defaults: dict[str, Any] = {
        "name": "shop",
        "source": {"type": "csv", "path": "in/%Y-%m-%d.csv"},
        "time": "at",
        "partition": "daily",
        "start": "2025-01-01",
        "key": "id",
        "labels": {"column": "fraud"},
        "training": {"detectors": [{"IForest": {"n_estimators": 25}}, "HBOS"]},
        "threshold": {"alert_rate": 0.02},
    }
    return PipelineSpec.model_validate(defaults | attributes)


def records(days: int = DAYS, **attributes: Any) -> Small:
    """Orders: two dependent amounts, a count, a country with gaps, a flag; one in thirty is fraud, far off."""
    rng = np.random.default_rng(7)
    n = days * ROWS
    fraud = np.arange(n) % 30 == 17
    amount = rng.gamma(4.0, 10.0, n)
    frame = pd.DataFrame(
        {
            "id": np.arange(n),
            "at": START + pd.to_timedelta(np.arange(n) * (86_400 // ROWS), unit="s"),
            "amount": amount,
            "tax": 0.2 * amount + rng.normal(0, 0.3, n) + np.where(fraud, 40.0, 0.0),
            "items": rng.poisson(4, n) + np.where(fraud, 25, 0),
            "country": pd.Series(rng.choice(["DE", "FR", "NL", ""], n, p=[0.5, 0.3, 0.15, 0.05])).replace("", None),
            "gift": rng.random(n) < 0.2,
            "fraud": fraud.astype("int64"),
        }
    )
    return Small(spec(**attributes), frame)


def series(days: int = 28, **attributes: Any) -> Small:
    """Hourly readings of two meters with a daily pattern, one value missing, and a spike on the last day but one."""
    rng = np.random.default_rng(11)
    hours = pd.date_range(START, periods=24 * days, freq="h")
    parts = []
    for number, meter in enumerate(["north", "south"]):
        load = 50 + 20 * np.sin(2 * np.pi * (np.arange(len(hours)) + 6 * number) / 24) + rng.normal(0, 1.5, len(hours))
        parts.append(pd.DataFrame({"at": hours, "meter": meter, "load": load}))
    parts[0].loc[24 * (days - 2) + 5, "load"] = 400.0
    parts[1].loc[100, "load"] = np.nan
    frame = pd.concat(parts).sort_values(["at", "meter"], ignore_index=True)
    defaults: dict[str, Any] = {
        "name": "meters",
        "kind": "series",
        "series": "meter",
        "values": "load",
        "key": (),
        "labels": None,
        "training": {"detectors": ["SeasonalResidual"]},
        "threshold": {"alert_rate": 0.005},
    }
    return Small(spec(**defaults | attributes), frame)


def put(lake: Lake, spec: PipelineSpec, rows: pd.DataFrame, partitions: Sequence[str] = ()) -> None:
    """Replace partitions of `validated` by rows, with the columns the ingestion adds."""
    keys = Calendar(spec).keys_of(rows[spec.time]) if spec.time else pd.Series("all", index=rows.index)
    table = pa.Table.from_pandas(rows, preserve_index=False)
    table = table.append_column("_partition", pa.array(keys.tolist(), pa.string()))
    table = table.append_column("_source", pa.array([f"in/{key}.csv" for key in keys], pa.string()))
    table = table.append_column("_row", pa.array(np.arange(len(rows))))
    lake.replace(spec.name, "validated", sorted({*keys, *partitions}), table)


def trained(small: Small, folder: Path, new_registry: Callable[[Path], Registry]) -> Trained:
    """Fill, train, evaluate, register and score."""
    lake, registry = Lake(str(folder / "lake")), new_registry(folder / "registry")
    small.fill(lake)
    versions = train(small.spec, lake, registry)
    evaluation = evaluate(small.spec, lake, registry)
    registration = register(small.spec, lake, registry)
    calendar = Calendar(small.spec)
    partitions = [calendar.partition(key) for key in lake.counts(small.spec.name, "validated")]
    scoring = score(small.spec, partitions, lake, registry, run_id="run-1")
    return Trained(small, folder, lake, registry, versions, evaluation, registration, scoring)

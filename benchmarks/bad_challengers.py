"""A pipeline with a champion, and challengers with one fault each: what the gate must not let through.

All are real scorers, registered as a training would: some wrap one and spoil its scores (`detection.scorer.KINDS` has
to know these while they are used, `loadable`), others were trained badly. Two are not bad: one better, one the same.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
import pyarrow as pa

from pynomaly_pipelines.detection import scorer as scorers
from pynomaly_pipelines.detection.columns import Column
from pynomaly_pipelines.detection.explanation import Assessment, Scores
from pynomaly_pipelines.detection.records import RecordScorer
from pynomaly_pipelines.resources.registry import CHALLENGER, Registry, TrainedModel, Version
from pynomaly_pipelines.resources.tables import Lake
from pynomaly_pipelines.spec import DetectorChoice, PipelineSpec
from pynomaly_pipelines.stages.promotion.registration import RegistrationReport, register
from pynomaly_pipelines.stages.training import Split, Window, choose_window, example_rows, fit, read_window


@dataclass(frozen=True, eq=False)
class Spoilt(scorers.Scorer):
    """A scorer of records whose scores are changed by `spoil`."""

    inner: RecordScorer

    @property
    def detector(self) -> str:
        return self.kind

    @property
    def parameters(self) -> dict[str, Any]:
        return self.inner.parameters

    @property
    def columns(self) -> tuple[Column, ...]:
        return self.inner.columns

    @property
    def rows_fitted(self) -> int:
        return self.inner.rows_fitted

    def score(self, frame: pd.DataFrame) -> np.ndarray:
        return self.scores(frame).score

    def raw_score(self, frame: pd.DataFrame) -> np.ndarray:
        return self.inner.raw_score(frame)

    def assess(self, frame: pd.DataFrame, top: int = 3) -> Assessment:
        found = self.inner.assess(frame, top)
        return replace(found, score=self.spoil(found.score, frame))

    def scores(self, frame: pd.DataFrame) -> Scores:
        found = self.inner.scores(frame)
        return replace(found, score=self.spoil(found.score, frame))

    def spoil(self, scores: np.ndarray, frame: pd.DataFrame) -> np.ndarray:
        raise NotImplementedError

    def card(self) -> str:
        return f"# {self.kind}\n"

    def state(self) -> tuple[dict[str, Any], dict[str, Any]]:
        return self.inner.state()

    @classmethod
    def from_state(cls, values: dict[str, Any], arrays: dict[str, Any]) -> Self:
        return cls(RecordScorer.from_state(values, arrays))


class Constant(Spoilt):
    kind: ClassVar[str] = "constant"

    def spoil(self, scores: np.ndarray, frame: pd.DataFrame) -> np.ndarray:  # noqa: ARG002
        return np.full(len(scores), 0.3)


class Inverted(Spoilt):
    kind: ClassVar[str] = "inverted"

    def spoil(self, scores: np.ndarray, frame: pd.DataFrame) -> np.ndarray:  # noqa: ARG002
        # Spread so that its alert rate is in order: only the order of rows is wrong.
        return np.asarray((1.0 - scores) ** 3)


class Random(Spoilt):
    kind: ClassVar[str] = "random"

    def spoil(self, scores: np.ndarray, frame: pd.DataFrame) -> np.ndarray:  # noqa: ARG002
        # By the row's own content, so that it repeats itself.
        hashes = pd.util.hash_pandas_object(frame.astype("str"), index=False).to_numpy("uint64")
        return np.asarray(hashes / 2.0**64 * 0.64)


class NotANumber(Spoilt):
    kind: ClassVar[str] = "nan"

    def spoil(self, scores: np.ndarray, frame: pd.DataFrame) -> np.ndarray:  # noqa: ARG002
        return np.where(np.arange(len(scores)) % 7 == 3, np.nan, scores)


class Slow(Spoilt):
    kind: ClassVar[str] = "slow"

    def spoil(self, scores: np.ndarray, frame: pd.DataFrame) -> np.ndarray:
        # 0.3 ms of work a row.
        stop = time.process_time() + 0.0003 * len(frame)
        while time.process_time() < stop:
            pass
        return scores


SPOILT = (Constant, Inverted, Random, NotANumber, Slow)


def loadable() -> dict[str, str]:
    """Entries for `detection.scorer.KINDS`."""
    return {kind.kind: f"{__name__}:{kind.__name__}" for kind in SPOILT}


# ------------------------------------------------------------------------------------------------- the scenario


DAYS, ROWS_A_DAY = 30, 100
START = pd.Timestamp("2025-01-01", tz="UTC")
BUDGET = 0.01


def shop_spec() -> PipelineSpec:
    """Orders a day, with some frauds known."""
    return PipelineSpec.model_validate(
        {
            "name": "shop",
            "source": {"type": "csv", "path": "in/%Y-%m-%d.csv"},
            "time": "at",
            "partition": "daily",
            "start": "2025-01-01",
            "key": "id",
            "labels": {"column": "fraud"},
            "training": {"detectors": ["KNN"]},
            "threshold": {"alert_rate": BUDGET},
            "promotion": {"free_cost_ms": 50},
        }
    )


def orders(seed: int = 5) -> pd.DataFrame:
    """Amount, tax and weight hang together; one order in twenty-five is fraud: its tax does not fit its amount."""
    rng = np.random.default_rng(seed)
    n = DAYS * ROWS_A_DAY
    fraud = rng.random(n) < 0.04
    amount = rng.gamma(6.0, 10.0, n)
    tax = 0.2 * amount + rng.normal(0, 0.4, n) + np.where(fraud, rng.choice([-1, 1], n) * rng.uniform(3, 9, n), 0.0)
    return pd.DataFrame(
        {
            "id": np.arange(n),
            "at": START + pd.to_timedelta(np.arange(n) * (86_400 // ROWS_A_DAY), unit="s"),
            "amount": amount,
            "tax": tax,
            "weight": 0.05 * amount + rng.normal(0, 0.3, n),
            "items": rng.poisson(3, n).astype(float),
            "fraud": fraud.astype("int64"),
        }
    )


@dataclass(frozen=True)
class Challenger:
    """A registered version with a fault, and the rule that must object."""

    name: str
    fault: str
    rule: str
    version: Version


@dataclass(frozen=True)
class Shop:
    """The pipeline with its champion, ready for challengers."""

    spec: PipelineSpec
    lake: Lake
    registry: Registry
    window: Window
    split: Split

    def scorer(self, detector: str = "KNN", frame: pd.DataFrame | None = None) -> RecordScorer:
        """A detector fitted on the window's training rows, or on others."""
        fitted = fit(self.spec, DetectorChoice(name=detector), self.split.train if frame is None else frame)
        assert isinstance(fitted, RecordScorer)
        return fitted

    def enter(self, scorer: scorers.Scorer, threshold: float | None = None) -> Version:
        """Register a scorer as a training would, and make it challenger."""
        used = scorer.score_at_tail(BUDGET) if threshold is None else threshold
        tags = {"detector": scorer.detector, "threshold": repr(float(used)), "window": self.window.to_json()}
        example = example_rows(self.spec, self.split.train)
        version = self.registry.register(self.spec.name, TrainedModel(scorer, example, {}, tags, {}, {}))
        self.registry.point(CHALLENGER, version)
        return self.registry.version(self.spec.name, version.number)

    def face(self, version: Version) -> RegistrationReport:
        """Let a version stand before the gate."""
        self.registry.point(CHALLENGER, version)
        return register(self.spec, self.lake, self.registry)


def open_shop(folder: Path, registry: Registry) -> Shop:
    """The pipeline's validated table, and KNN as its first champion, through the gate."""
    spec, lake, rows = shop_spec(), Lake(str(folder / "lake")), orders()
    days = rows["at"].dt.strftime("%Y-%m-%d")
    table = pa.Table.from_pandas(rows, preserve_index=False).append_column("_partition", pa.array(days.tolist()))
    lake.replace(spec.name, "validated", sorted(set(days)), table)
    window = choose_window(spec, lake)
    shop = Shop(spec, lake, registry, window, read_window(spec, lake, window))
    first = shop.face(shop.enter(shop.scorer()))
    assert first.verdict.promote, str(first.verdict)
    return shop


def bad(shop: Shop) -> list[Challenger]:
    """The challengers that must be refused."""
    good, train = shop.scorer("LOF"), shop.split.train
    rows = train.to_numpy()
    frauds = train[np.asarray(shop.split.train_labels) == 1]
    entries: list[tuple[str, str, str, scorers.Scorer, float | None]] = [
        ("constant", "gives every row the same score", "varying scores", Constant(good), None),
        ("inverted", "ranks the ordinary above the strange", "chance", Inverted(good), None),
        ("random", "scores by a hash of the row", "labels", Random(good), None),
        ("not a number", "gives every seventh row no score", "finite scores", NotANumber(good), None),
        ("slow", "finds everything, for 0.3 ms of work a row", "scoring cost", Slow(good), None),
        ("flags all", "its threshold is 0", "alert rate", good, 0.0),
        ("flags none", "its threshold is out of reach", "any alarm", good, 1.0),
        ("over budget", "its threshold lets one row in five alert", "alert rate", good, good.score_at_tail(0.2)),
        ("shuffled columns", "fitted on rows whose columns changed places", "alert rate",
         shop.scorer("LOF", pd.DataFrame(rows[:, [1, 2, 3, 0]], columns=train.columns)), None),
        ("stale", "fitted when orders were half as large", "alert rate",
         shop.scorer("KNN", train.assign(amount=train["amount"] / 2, tax=train["tax"] / 2)), None),
        ("wrong features", "fitted without the tax", "columns", shop.scorer("LOF", train.drop(columns="tax")), None),
        ("poisoned", "fitted on known frauds, nine to one", "labels",
         shop.scorer("KNN", pd.concat([frauds] * 9 + [train.head(len(frauds))])), None),
        ("no better", "the champion's twin", "labels", shop.scorer("KNN"), None),
        ("worse", "a detector that does not see what hangs together", "labels", shop.scorer("HBOS"), None),
    ]  # fmt: skip
    return [Challenger(n, fault, rule, shop.enter(scorer, t)) for n, fault, rule, scorer, t in entries]

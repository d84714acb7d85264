"""A replay gives what the chain gave when it ran, knows nothing of what comes later, and changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from pynomaly_pipelines.operations.errors import DataError, NotEnoughData
from pynomaly_pipelines.partitions import Calendar
from pynomaly_pipelines.resources.registry import CHALLENGER, CHAMPION, Registry
from pynomaly_pipelines.resources.tables import Lake
from pynomaly_pipelines.stages import exclusions
from pynomaly_pipelines.stages.backtest.replay import Backtest, backtest
from pynomaly_pipelines.stages.evaluation import evaluate
from pynomaly_pipelines.stages.promotion.registration import register
from pynomaly_pipelines.stages.scoring import score
from pynomaly_pipelines.stages.training import train
from tests.small_pipelines import Small, put, records, series

NewRegistry = Callable[[Path], Registry]
NEWER_WINS = {"tolerance": 1.0, "injected_tolerance": 1.0, "min_gain": -1.0, "alert_factor": 100, "max_alert_rate": 1.0}
"""So that champions change: what is replayed here is the chain, not the gate."""
SHOP: dict[str, Any] = {
    "promotion": NEWER_WINS,
    "training": {"detectors": ["HBOS"], "window": 6},
    "threshold": {"budget": {"alerts": 4, "per": "day"}},
    "automation": {"retrain": "0 3 */3 * *"},
    "validation": {"min_rows": 1},
}
METERS: dict[str, Any] = {
    "promotion": NEWER_WINS,
    "threshold": {"budget": {"alerts": 2, "per": "day"}},
    "automation": {"retrain": "0 0 * * 0"},
}
DUE: dict[str, Callable[[datetime], bool]] = {
    "0 3 */3 * *": lambda moment: moment.hour == 3 and moment.day % 3 == 1,
    "0 0 * * 0": lambda moment: moment.hour == 0 and moment.weekday() == 6,
}
ANSWER = ["score", "raw_score", "threshold", "is_anomaly", "model_version"]


class Replayed:
    """A backtest and every row it scored."""

    def __init__(self, small: Small, folder: Path, new_registry: NewRegistry, first: str = "", last: str = "~") -> None:
        self.live = Lake(str(folder / "live"))
        small.fill(self.live)
        scored: list[pd.DataFrame] = []
        store = (Lake(str(folder / "store")), new_registry(folder / "registry"))
        self.found: Backtest = backtest(
            small.spec, self.live, first, last, store, observe=lambda _, rows: scored.append(rows)
        )
        self.rows = pd.concat(scored, ignore_index=True)

    def answers(self, *partitions: str) -> np.ndarray:
        rows = self.rows[self.rows["_partition"].isin(partitions)] if partitions else self.rows
        return rows[ANSWER].to_numpy(dtype=np.float64)


def in_order(small: Small, folder: Path, new_registry: NewRegistry) -> pd.DataFrame:
    """The live chain, each day's data put in when the day has ended, retrained at the times of the cron."""
    spec, lake, registry = small.spec, Lake(str(folder / "lake")), new_registry(folder / "registry")
    calendar, rows = Calendar(spec), small.rows
    keys = calendar.keys_of(rows["at"])
    due = DUE[str(spec.automation.retrain)]
    moment, found = datetime(2025, 1, 1, tzinfo=UTC), []

    def learn() -> None:
        try:
            train(spec, lake, registry)
            evaluate(spec, lake, registry)
        except NotEnoughData:
            return
        register(spec, lake, registry)

    for key in sorted(set(keys)):
        end = calendar.partition(key).end
        assert end is not None
        while moment < end:
            moment += timedelta(hours=1)
            if due(moment) and lake.exists(spec.name, "validated"):
                learn()
        champion = registry.aliased(spec.name, CHAMPION)
        put(lake, spec, rows[keys == key])
        if champion is not None:
            score(spec, [calendar.partition(key)], lake, registry)
            found.append(lake.read(spec.name, "scores", partitions=[key]).to_pandas())
        if registry.aliased(spec.name, CHALLENGER) is None:
            learn()
    return pd.concat(found, ignore_index=True)


@pytest.fixture(scope="module")
def shop_replay(tmp_path_factory: pytest.TempPathFactory, new_registry: NewRegistry) -> Replayed:
    return Replayed(records(12, **SHOP), tmp_path_factory.mktemp("replay"), new_registry)


def test_a_replay_gives_what_the_live_chain_gave(
    shop_replay: Replayed, tmp_path: Path, new_registry: NewRegistry
) -> None:
    live = in_order(records(12, **SHOP), tmp_path, new_registry)
    assert shop_replay.rows[["_partition", "id"]].equals(live[["_partition", "id"]])
    np.testing.assert_array_equal(shop_replay.answers(), live[ANSWER].to_numpy(dtype=np.float64))
    assert live["model_version"].nunique() > 1
    assert live["threshold"].nunique() > 1


def test_a_replay_of_series_gives_what_the_live_chain_gave(tmp_path: Path, new_registry: NewRegistry) -> None:
    small = series(18, **METERS)
    replayed = Replayed(small, tmp_path / "replay", new_registry)
    live = in_order(small, tmp_path / "live", new_registry)
    assert len(live) == len(replayed.rows) > 0
    np.testing.assert_array_equal(replayed.answers(), live[ANSWER].to_numpy(dtype=np.float64))
    assert live["model_version"].nunique() > 1


def test_nothing_later_changes_an_answer_and_twice_is_the_same(
    shop_replay: Replayed, tmp_path: Path, new_registry: NewRegistry
) -> None:
    small = records(12, **SHOP)
    later = small.rows["at"] >= pd.Timestamp("2025-01-09", tz="UTC")
    strange = small.rows.assign(amount=small.rows["amount"].where(~later, 1e6), extra=np.where(later, 1.0, np.nan))
    changed = Replayed(Small(small.spec, strange), tmp_path, new_registry)
    before = [f"2025-01-0{day}" for day in range(1, 9)]
    # Up to the eighth day the two saw the same data: the same answers, bit for bit.
    np.testing.assert_array_equal(shop_replay.answers(*before), changed.answers(*before))
    assert [s for s in shop_replay.found.steps if s.partition in before] == [
        s for s in changed.found.steps if s.partition in before
    ]
    # The test can fail: what came later did change what was said of it.
    assert not np.array_equal(shop_replay.answers("2025-01-09"), changed.answers("2025-01-09"))


def test_a_month_has_the_same_answers_wherever_the_replay_begins(
    shop_replay: Replayed, tmp_path: Path, new_registry: NewRegistry
) -> None:
    part = Replayed(records(12, **SHOP), tmp_path, new_registry, "2025-01-08", "2025-01-10")
    days = ("2025-01-08", "2025-01-09", "2025-01-10")
    assert [step.partition for step in part.found.steps] == list(days)
    np.testing.assert_array_equal(part.answers(), shop_replay.answers(*days))


def test_partitions_before_the_first_champion_have_no_scores(shop_replay: Replayed) -> None:
    # 200 rows are needed and 60 come a day: the first model is made when the fourth day has ended.
    steps = shop_replay.found.steps
    assert [step.version is None for step in steps] == [True] * 4 + [False] * 8
    first, *others = [t for t in shop_replay.found.trainings if t.challenger is not None]
    assert (first.why, first.last, first.moment) == ("the first", "2025-01-04", datetime(2025, 1, 5, tzinfo=UTC))
    assert [(t.moment.day, t.last, t.partitions) for t in others] == [(7, "2025-01-06", 6), (10, "2025-01-09", 6)]
    # The tick of the fourth day came before there was enough to learn from.
    assert [t.verdict[:9] for t in shop_replay.found.trainings if t.challenger is None] == ["no model:"]


def test_a_step_counts_what_is_labelled_and_caught(shop_replay: Replayed) -> None:
    for step in shop_replay.found.steps[4:]:
        day = shop_replay.rows[shop_replay.rows["_partition"] == step.partition]
        truth = records(12).rows.set_index("id")["fraud"].reindex(day["id"]).to_numpy() == 1
        assert (step.rows, step.anomalies) == (60, int(day["is_anomaly"].sum()))
        assert (step.labelled, step.caught) == (int(truth.sum()), int((truth & day["is_anomaly"]).sum()))
        assert step.threshold == day["threshold"].iloc[0]
    assert len(shop_replay.found.flagged()) == shop_replay.rows["is_anomaly"].sum()


def test_the_pipelines_own_tables_are_only_read(shop_replay: Replayed) -> None:
    assert shop_replay.live.version("shop", "validated") == 1
    assert not shop_replay.live.exists("shop", "scores")


def test_late_rows_are_scored_when_they_come(tmp_path: Path, new_registry: NewRegistry) -> None:
    small = records(7, **SHOP, source={"type": "csv", "path": "in/*.csv"})
    lake, registry = Lake(str(tmp_path / "live")), new_registry(tmp_path / "registry")
    small.fill(lake)
    table = lake.read("shop", "validated", partitions=["2025-01-05"]).to_pandas()
    table.loc[:2, "_source"] = "in/2025-01-07.csv"
    lake.replace("shop", "validated", ["2025-01-05"], pa.Table.from_pandas(table, preserve_index=False))
    seen: list[tuple[int, pd.DataFrame]] = []
    found = backtest(
        small.spec,
        lake,
        "",
        "~",
        (Lake(str(tmp_path / "store")), registry),
        observe=lambda moment, rows: seen.append((moment.day, rows)),
    )
    assert [(step.partition, step.rows, step.late) for step in found.steps[4:]] == [
        ("2025-01-05", 57, 0),
        ("2025-01-06", 60, 0),
        ("2025-01-07", 60, 3),
    ]
    day, rows = seen[-1]
    assert day == 8
    assert sorted(rows.loc[rows["_partition"] == "2025-01-05", "id"]) == sorted(table["id"][:3])


def test_known_events_are_caught_or_missed(tmp_path: Path, new_registry: NewRegistry) -> None:
    events = tmp_path / "events.csv"
    # The spike of `series(16)` is on 15 January at 05:00, meter north.
    lines = ["start,end,meter,what", "2025-01-15T05:00Z,2025-01-15T08:00Z,north,spike"]
    lines += ["2025-01-12T10:00Z,2025-01-12T12:00Z,south,nothing", "2025-01-01T01:00Z,2025-01-01T02:00Z,south,early"]
    events.write_text("\n".join([*lines, "2026-01-01,2026-01-02,south,later"]) + "\n", encoding="utf-8")
    small = series(16, **METERS, labels={"events": str(events)})
    replayed = Replayed(small, tmp_path, new_registry)
    spike, nothing, early = replayed.found.events
    assert (spike.what, spike.points, spike.first) == ("north spike", 3, pd.Timestamp("2025-01-15T05:00Z"))
    assert spike.known == datetime(2025, 1, 16, tzinfo=UTC)
    assert (nothing.what, nothing.points, nothing.first) == ("south nothing", 2, None)
    assert (early.points, early.first) == (0, None)
    alerts = replayed.found.alerts()
    assert alerts.loc[alerts["known"], "entity"].tolist() == ["north"]


def test_what_people_left_out_of_training_is_left_out(tmp_path: Path, new_registry: NewRegistry) -> None:
    small = records(6, **SHOP)
    live = Lake(str(tmp_path / "live"))
    small.fill(live)
    day = datetime(2025, 1, 2, tzinfo=UTC)
    exclusions.add(small.spec, live, [exclusions.Exclusion(day, day + timedelta(days=1), reason="outage")])
    store = (Lake(str(tmp_path / "store")), new_registry(tmp_path / "registry"))
    found = backtest(small.spec, live, "", "~", store)
    # A fifth day is needed for 200 rows.
    assert [(t.last, t.partitions) for t in found.trainings if t.challenger is not None] == [("2025-01-05", 4)]


def test_what_can_not_be_replayed_is_told(lake: Lake, registry: Registry) -> None:
    small = records(2)
    small.fill(lake)
    with pytest.raises(DataError, match=r"no validated partition from 2026.* choose from 2025-01-01 to 2025-01-02"):
        backtest(small.spec, lake, "2026-01-01", "2026-02-01", (lake, registry))

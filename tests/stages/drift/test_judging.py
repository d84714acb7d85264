"""Partitions after a training: which drift, which do not, what is stored, and when it lasts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pynomaly_pipelines.operations.errors import RegistryError
from pynomaly_pipelines.partitions import Calendar
from pynomaly_pipelines.resources.registry import Registry, Version
from pynomaly_pipelines.stages import exclusions
from pynomaly_pipelines.stages.drift import history as drift_history
from pynomaly_pipelines.stages.drift.judging import DriftReport, forget, watch
from pynomaly_pipelines.stages.drift.reference import FILE, FOLDER, learn, reference_of
from pynomaly_pipelines.stages.scoring import score
from tests.small_pipelines import START, Small, Trained, put, records, series, trained

TRAINED, DAYS = 24, 30
Later = Callable[[pd.DataFrame], pd.DataFrame | None]


def until(small: Small, day: int) -> Small:
    return Small(small.spec, small.rows[small.rows["at"] < START + pd.Timedelta(days=day)])


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, new_registry: Callable[[Path], Registry]) -> Trained:
    small = records(TRAINED, labels=None, training={"detectors": ["HBOS"]})
    return trained(small, tmp_path_factory.mktemp("drift"), new_registry)


@pytest.fixture
def copy(shop: Trained, tmp_path: Path, new_registry: Callable[[Path], Registry]) -> Trained:
    return shop.copy(tmp_path / "copy", new_registry)


def come(pipeline: Trained, small: Small, change: Later = lambda rows: None) -> DriftReport:
    """Days after the training, changed, scored and judged."""
    first = START + pd.Timedelta(days=pipeline.small.rows["at"].max().day_of_year)
    rows = small.rows[small.rows["at"] >= first].copy()
    changed = change(rows)
    rows = rows if changed is None else changed
    put(pipeline.lake, pipeline.spec, rows)
    keys = sorted(set(Calendar(pipeline.spec).keys_of(rows["at"])))
    parts = pipeline.partitions(*keys)
    score(pipeline.spec, parts, pipeline.lake, pipeline.registry)
    return watch(pipeline.spec, parts, pipeline.lake, pipeline.registry)


def drifted(report: DriftReport) -> set[str]:
    return {verdict.subject.key for finding in report.findings for verdict in finding.drifted}


# ------------------------------------------------------------------------------------------------- reference


def test_the_reference_is_stored_with_the_version_and_needs_no_rows(copy: Trained) -> None:
    champion = copy.registry.champion("shop")
    made = reference_of(copy.spec, copy.lake, copy.registry, champion)
    assert copy.registry.file(champion, f"{FOLDER}/{FILE}").decode() == made.to_json()
    put(copy.lake, copy.spec, copy.small.rows.assign(amount=0.0))
    assert reference_of(copy.spec, copy.lake, copy.registry, champion).to_json() == made.to_json()
    # Learnt again from the window's own version of the table, it is the same.
    assert learn(copy.spec, copy.lake, champion, copy.registry.load(champion)).to_json() == made.to_json()
    assert len(made.keys) == TRAINED
    assert made.fitted.sum() == TRAINED - round(0.2 * TRAINED)


def test_its_counts_are_those_of_the_rows(copy: Trained) -> None:
    made = reference_of(copy.spec, copy.lake, copy.registry, copy.registry.champion("shop"))
    figures = {s.key: f for s, f in zip(made.subjects, made.figures, strict=True)}
    gone = copy.small.rows["country"].isna().to_numpy().reshape(TRAINED, -1).sum(axis=1)
    np.testing.assert_array_equal(figures["quality/country/missing"], np.column_stack([gone, np.full(TRAINED, 60)]))
    assert (figures["features/amount/values"].sum(axis=1) == 60).all()


def test_incidents_are_no_part_of_it(copy: Trained) -> None:
    day = START.to_pydatetime()
    incident = exclusions.Exclusion(day, (START + pd.Timedelta(hours=6)).to_pydatetime())
    exclusions.add(copy.spec, copy.lake, [incident])
    champion = copy.registry.champion("shop")
    window = champion.tags["window"].replace('"exclusions": null', '"exclusions": 1')
    copy.registry.tag(champion, {"window": window})
    champion = copy.registry.champion("shop")
    made = learn(copy.spec, copy.lake, champion, copy.registry.load(champion))
    figures = {s.key: f for s, f in zip(made.subjects, made.figures, strict=True)}
    assert figures["features/amount/values"].sum(axis=1).tolist() == [45, *[60] * (TRAINED - 1)]


class Spoilt(Registry):
    """A registry whose files were written by something else."""

    def file(self, version: Version, path: str) -> bytes:
        return b"{}"


def test_a_spoilt_reference_is_told(shop: Trained) -> None:
    registry = Spoilt(shop.registry.tracking_uri, shop.registry.artifacts)
    with pytest.raises(RegistryError, match=r"drift/reference\.json"):
        reference_of(shop.spec, shop.lake, registry, registry.champion("shop"))


# --------------------------------------------------------------------------------------------------- records


def test_more_of_the_same_does_not_drift(copy: Trained) -> None:
    report = come(copy, records(DAYS))
    assert [finding.why_not for finding in report.findings] == [""] * (DAYS - TRAINED)
    assert drifted(report) == set()
    assert set(report.pictures) == {"features.png", "scores.png", "over_time.png"}
    assert all(len(picture) < 30_000 for picture in report.pictures.values())


def shifted(rows: pd.DataFrame) -> None:
    rows["amount"] *= 2.0


def swapped(rows: pd.DataFrame) -> None:
    rows["country"] = rows["country"].replace({"DE": "NL", "NL": "DE"})


def emptied(rows: pd.DataFrame) -> None:
    rows.loc[np.arange(len(rows)) % 3 == 0, "country"] = None


def renamed(rows: pd.DataFrame) -> None:
    rows["country"] = rows["country"].replace("FR", "France")


def halved(rows: pd.DataFrame) -> pd.DataFrame:
    return rows[np.arange(len(rows)) % 4 == 0]


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (shifted, "features/amount/values"),
        (swapped, "features/country/values"),
        (emptied, "quality/country/missing"),
        (renamed, "quality/country/rare or new values"),
        (halved, "quality/all rows/rows"),
    ],
)
def test_each_change_is_found(change: Later, found: str, copy: Trained) -> None:
    report = come(copy, records(DAYS), change)
    assert found in {verdict.subject.key for verdict in report.latest.drifted}
    others = {"features/tax/values", "features/items/values", "features/gift/values"}
    assert not drifted(report) & others


def test_scores_of_another_version_are_not_compared(copy: Trained) -> None:
    come(copy, records(DAYS))
    stale = copy.lake.read("shop", "scores", partitions=["2025-01-30"]).to_pandas().assign(model_version=99)
    from pynomaly_pipelines.stages.scoring import to_arrow

    schema = copy.lake.schema("shop", "validated")
    copy.lake.replace("shop", "scores", ["2025-01-30"], to_arrow(copy.spec, stale, schema))
    report = watch(copy.spec, copy.partitions("2025-01-30"), copy.lake, copy.registry)
    assert {verdict.subject.kind for verdict in report.latest.verdicts} == {"features", "quality"}


def test_training_partitions_and_earlier_ones_are_not_judged(copy: Trained) -> None:
    report = watch(copy.spec, copy.partitions("2025-01-03"), copy.lake, copy.registry)
    assert report.latest.verdicts == ()
    assert "not later than 2025-01-24" in report.latest.why_not
    assert drift_history.read(copy.spec, copy.lake).empty


def test_too_few_training_partitions_judge_nothing(copy: Trained) -> None:
    strict = copy.spec.model_copy(update={"drift": copy.spec.drift.model_copy(update={"min_partitions": 25})})
    report = watch(strict, copy.partitions("2025-01-24"), copy.lake, copy.registry)
    assert "was trained on 24 partitions; 25 say" in report.latest.why_not


def test_judging_again_replaces(copy: Trained) -> None:
    come(copy, records(DAYS), shifted)
    before = drift_history.read(copy.spec, copy.lake)
    watch(copy.spec, copy.partitions("2025-01-27"), copy.lake, copy.registry)
    pd.testing.assert_frame_equal(drift_history.read(copy.spec, copy.lake), before)


# ---------------------------------------------------------------------------------------------------- series


@pytest.fixture(scope="module")
def meters(tmp_path_factory: pytest.TempPathFactory, new_registry: Callable[[Path], Registry]) -> Trained:
    quiet = series(28)
    quiet.rows.loc[quiet.rows["load"] > 300, "load"] = 50.0
    return trained(quiet, tmp_path_factory.mktemp("drift-meters"), new_registry)


def louder(rows: pd.DataFrame) -> None:
    rows.loc[rows["meter"] == "north", "load"] += 6.0


def nothing(rows: pd.DataFrame) -> pd.DataFrame | None:
    rows.loc[rows["load"] > 300, "load"] = 50.0
    return None


@pytest.mark.parametrize(("change", "found"), [(nothing, False), (louder, True)])
def test_a_series_drifts_by_what_is_unusual_at_that_hour(
    change: Later, found: bool, meters: Trained, tmp_path: Path, new_registry: Callable[[Path], Registry]
) -> None:
    pipeline = meters.copy(tmp_path / "copy", new_registry)
    # Six in the standard deviations of the noise are four; the hours alone differ by forty.
    report = come(pipeline, series(32), lambda rows: nothing(rows) or change(rows))
    features = {v.subject.name for v in report.latest.drifted if v.subject.kind == "features"}
    assert features == ({"north/load"} if found else set())


def test_half_a_day_is_no_drift(meters: Trained, tmp_path: Path, new_registry: Callable[[Path], Registry]) -> None:
    """A partition that fills holds mornings only; what is compared is free of the hour."""
    pipeline = meters.copy(tmp_path / "copy", new_registry)
    small = series(29)
    half = Small(small.spec, small.rows[small.rows["at"] < START + pd.Timedelta(days=28, hours=12)])
    report = come(pipeline, half, nothing)
    assert {v.subject.key for v in report.latest.drifted if v.subject.kind == "features"} == set()


# --------------------------------------------------------------------------------------------------- lasting


def history(alarms: dict[str, str], *, pooled: int = 1, kind: str = "features") -> pd.DataFrame:
    """Column -> one letter a day: x drifts, - does not."""
    return pd.DataFrame(
        [
            {"_partition": f"2025-02-{day:02}", "kind": kind, "subject": name, "what": "values", "pooled": pooled,
             "drifted": letter == "x"}
            for name, letters in alarms.items()
            for day, letter in enumerate(letters, start=1)
        ]
    )  # fmt: skip


@pytest.mark.parametrize(
    ("alarms", "first"),
    [
        ({"a": "--xxx"}, "2025-02-03"),
        ({"a": "xxxx-"}, None),
        ({"a": "xx-xx"}, None),
        ({"a": "---xx", "b": "xxxxx"}, "2025-02-01"),
        # Two that take turns are no drift that lasts.
        ({"a": "x-x-x", "b": "-x-x-"}, None),
    ],
)
def test_the_same_has_to_drift_in_a_row(alarms: dict[str, str], first: str | None, shop: Trained) -> None:
    found = drift_history.episode(shop.spec, history(alarms))
    assert (found.first if found else None) == first


def test_partitions_judged_together_have_to_drift_longer(shop: Trained) -> None:
    assert drift_history.episode(shop.spec, history({"a": "-xxxx"}, pooled=3)) is None
    assert drift_history.episode(shop.spec, history({"a": "xxxxx"}, pooled=3)) is not None


def test_quality_does_not_train_by_default(shop: Trained) -> None:
    assert drift_history.episode(shop.spec, history({"a": "xxxxx"}, kind="quality")) is None


def test_an_episode_in_words(shop: Trained) -> None:
    found = drift_history.episode(shop.spec, history({"a": "-xxx"}))
    assert str(found) == "a (values) drifted in 3 partitions in a row, 2025-02-02 … 2025-02-04"


def test_a_training_for_drift_forgets_what_came_before(copy: Trained) -> None:
    told = forget(copy.spec, copy.lake, "2025-01-20", "amount drifted")
    assert "2025-01-01 … 2025-01-20: amount drifted (drift)" in told
    assert exclusions.read(copy.spec, copy.lake)[0].source == "drift"


@pytest.mark.parametrize(
    ("settings", "since", "told"),
    [
        ({}, "2025-01-22", "only 180 rows came since 2025-01-22"),
        ({"forget": False}, "2025-01-10", "`drift.forget: false`"),
    ],
)
def test_but_only_if_enough_came_since(settings: dict[str, Any], since: str, told: str, copy: Trained) -> None:
    own = copy.spec.model_copy(update={"drift": copy.spec.drift.model_copy(update=settings)})
    assert told in forget(own, copy.lake, since, "amount drifted")
    assert exclusions.read(own, copy.lake) == ()

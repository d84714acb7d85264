"""Verdicts -> labels, what the next model is taught, and a threshold to try; on a pipeline that went the whole way."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from pynomaly_pipelines.resources.registry import Registry
from pynomaly_pipelines.stages import exclusions, training
from pynomaly_pipelines.stages.evaluation import evaluate
from pynomaly_pipelines.stages.incidents.following import follow
from pynomaly_pipelines.stages.incidents.incident import Incident
from pynomaly_pipelines.stages.incidents.labels import read
from pynomaly_pipelines.stages.incidents.states import Action, Standing, State
from pynomaly_pipelines.stages.incidents.suggestions import suggest
from pynomaly_pipelines.stages.incidents.verdicts import judge, rows_of
from tests.small_pipelines import Trained, records, trained
from tests.small_pipelines import series as small_series

NOON = datetime(2025, 1, 1, 12, tzinfo=UTC)


@pytest.fixture
def shop(tmp_path: Path, new_registry: Callable[[Path], Registry]) -> Trained:
    """Orders without any label."""
    return trained(records(labels=None, ignore="fraud", incidents={"gap_hours": 0.01}), tmp_path, new_registry)


def incidents_of(pipeline: Trained) -> tuple[Incident, ...]:
    return follow(pipeline.spec, pipeline.partitions(), pipeline.lake).found


def test_confirmed_rows_become_labels_and_are_not_taught(shop: Trained) -> None:
    incident = incidents_of(shop)[0]
    rows = rows_of(shop.spec, shop.lake, incident)
    assert len(rows) == incident.anomalies
    done = judge(shop.spec, shop.lake, incident, "confirmed", who="ada", note="stolen card")
    assert done.rows == len(rows)
    (exclusion,) = exclusions.read(shop.spec, shop.lake)
    assert (exclusion.source, exclusion.who, exclusion.reason) == ("feedback", "ada", "stolen card")
    assert exclusion.start == incident.start
    assert read(shop.spec, shop.lake)["label"].tolist() == [1.0] * len(rows)


def test_a_dismissal_takes_the_confirmation_back(shop: Trained) -> None:
    incident = incidents_of(shop)[0]
    judge(shop.spec, shop.lake, incident, "confirmed", who="ada")
    done = judge(shop.spec, shop.lake, incident, "dismissed", who="grace")
    assert len(done.learnt_again) == 1
    assert exclusions.read(shop.spec, shop.lake) == ()
    assert set(read(shop.spec, shop.lake)["label"]) == {0.0}


def test_labels_reach_the_evaluation_and_a_window_can_be_read_again(shop: Trained) -> None:
    found = incidents_of(shop)
    window = training.choose_window(shop.spec, shop.lake)
    assert training.read_window(shop.spec, shop.lake, window).holdout_labels is None
    held = [i for i in found if i.partitions[0] in window.holdout]
    judge(shop.spec, shop.lake, held[0], "confirmed", who="ada")
    judge(shop.spec, shop.lake, held[1], "dismissed", who="ada")
    later = training.choose_window(shop.spec, shop.lake)
    split = training.read_window(shop.spec, shop.lake, later)
    assert split.holdout_labels is not None
    assert np.nansum(split.holdout_labels == 1) == held[0].anomalies
    assert np.nansum(split.holdout_labels == 0) == held[1].anomalies
    assert np.isnan(split.holdout_labels).sum() == len(split.holdout) - held[0].anomalies - held[1].anomalies
    # The window of before knows of no verdict, and neither does its copy in a version's tag.
    again = training.Window.from_json(later.to_json(), shop.lake, shop.spec.name)
    assert again == later
    assert training.read_window(shop.spec, shop.lake, window).holdout_labels is None


def test_with_enough_verdicts_a_candidate_learns_from_them(shop: Trained) -> None:
    """The rows are fraud or not by construction: a person who knows says which."""
    truth = shop.small.rows.set_index("id")["fraud"]
    for incident in incidents_of(shop):
        ids = rows_of(shop.spec, shop.lake, incident)["id"]
        verdict = "confirmed" if truth[ids].mean() > 0.5 else "dismissed"
        judge(shop.spec, shop.lake, incident, verdict, who="ada")  # type: ignore[arg-type]
    told: list[str] = []
    versions = training.train(shop.spec, shop.lake, shop.registry, told.append)
    assert len(versions) == len(shop.spec.detectors) + 1
    assert "known anomalies" in told[-1]
    report = evaluate(shop.spec, shop.lake, shop.registry)
    assert report is not None


def test_points_of_a_series_are_labelled_and_only_its_ids_are_left_out(
    tmp_path: Path, new_registry: Callable[[Path], Registry]
) -> None:
    meters = trained(small_series(), tmp_path, new_registry)
    spike = max(incidents_of(meters), key=lambda incident: incident.score)
    assert spike.entity == "north"
    judge(meters.spec, meters.lake, spike, "confirmed", who="ada")
    (exclusion,) = exclusions.read(meters.spec, meters.lake)
    assert exclusion.where == {"meter": ("north",)}
    split = training.read_window(meters.spec, meters.lake, training.choose_window(meters.spec, meters.lake))
    labels = np.concatenate([x for x in (split.train_labels, split.holdout_labels) if x is not None])
    assert (labels == 1).sum() == spike.anomalies


def standing(score: float, verdict: Action | None, quiet: str = "") -> Standing:
    incident = Incident(
        "x", "shop", "", NOON, NOON + timedelta(hours=1), NOON, score, 1, "", (), (), ("2025-01-01",), 1, quiet
    )
    return Standing(incident, State.OPEN, verdict, ())


def test_the_suggested_threshold_keeps_what_was_confirmed() -> None:
    yes, no = Action.CONFIRMED, Action.DISMISSED
    known = [(0.70, no), (0.75, no), (0.80, yes), (0.82, no), (0.90, yes), (0.95, yes)]
    found = suggest([*(standing(score, verdict) for score, verdict in known), standing(0.72, None)])
    assert found is not None
    # Over 0.75 stay 0.80, 0.82, 0.90, 0.95: three right of four, none lost: F1 = 6/7. Over 0.82: 4/5.
    assert found.score == 0.75
    assert str(found) == (
        "a threshold of 0.7500 would have told of 4 of 7 incidents: 3 of 3 confirmed, 1 of 3 dismissed"
    )


@pytest.mark.parametrize(
    "known",
    [
        [],
        [(0.8, Action.CONFIRMED)],
        [(0.8, Action.DISMISSED)],
        [(0.8, Action.CONFIRMED), (0.9, Action.DISMISSED)],
    ],
)
def test_no_threshold_is_suggested_where_none_would_help(known: list[tuple[float, Action]]) -> None:
    assert suggest([standing(score, verdict) for score, verdict in known]) is None

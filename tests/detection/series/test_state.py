"""Points as they come score the same as all at once."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from pynomaly_pipelines.detection import Scorer, SeriesDetector
from pynomaly_pipelines.detection.series import SeriesState
from pynomaly_pipelines.operations.errors import DataError, ScorerFileError

from .conftest import KINDS, START, daily, fitted, household, long_frame, shuffled


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("chunk", [97, 1000])
def test_chunks_score_the_same_bit_for_bit(kind, chunk):
    frame = pd.concat([household(days=14, seed=1), long_frame(daily(14, 7), "unknown")])
    frame = frame.sort_values("timestamp", kind="stable", ignore_index=True)
    state = fitted(kind).start()
    scores = [state.update(frame.iloc[i : i + chunk]) for i in range(0, len(frame), chunk)]
    np.testing.assert_array_equal(np.concatenate(scores), fitted(kind).score(frame))


def test_single_points_score_the_same_bit_for_bit():
    frame = household(days=12, seed=2)
    frame = frame[frame["series"] == "hourly"].sort_values("timestamp")
    state = fitted().start(frame.iloc[:150])
    scores = [state.update(frame.iloc[[i]])[0] for i in range(150, len(frame))]
    np.testing.assert_array_equal(scores, fitted().score(frame)[150:])


def test_what_a_state_holds_is_bounded_and_goes_on_in_another_process(tmp_path):
    frame = household(days=40, seed=3).sort_values("timestamp", kind="stable", ignore_index=True)
    scorer = fitted()
    state = scorer.start(frame.iloc[:-500])
    held = state.history()
    assert held.groupby("series").size().max() == scorer.history_points
    scorer.save(tmp_path / "model")
    state.save(tmp_path / "state")
    there = SeriesState.load(Scorer.load(tmp_path / "model"), tmp_path / "state")
    expected = scorer.score(frame)[-500:]
    mixed, order = shuffled(frame.iloc[-500:])
    np.testing.assert_array_equal(there.update(mixed), expected[order])
    np.testing.assert_array_equal(scorer.start(held).update(mixed), expected[order])
    np.testing.assert_array_equal(state.update(frame.iloc[-500:]), expected)


def test_a_state_is_not_taken_for_a_scorer(tmp_path):
    fitted().save(tmp_path / "model")
    fitted().start(household(days=9)).save(tmp_path / "state")
    fitted().start().save(tmp_path / "empty")
    with pytest.raises(ScorerFileError, match="kind 'series-state'"):
        Scorer.load(tmp_path / "state")
    with pytest.raises(ScorerFileError, match="holds a 'series'"):
        SeriesState.load(fitted(), tmp_path / "model")
    assert SeriesState.load(fitted(), tmp_path / "empty").history().empty


def test_a_late_or_repeated_point_is_refused_and_nothing_is_kept():
    frame = long_frame(daily(6, 1), "wave")
    state = fitted().start(frame.iloc[:200])
    beside = long_frame(np.zeros(1), "walk", start=START + pd.Timedelta(days=9))
    for late in (199, 120):
        with pytest.raises(DataError, match=r"'wave' has a point at .* after one at 2025-01-10T03:30:00\+00:00"):
            state.update(pd.concat([frame.iloc[[late]], beside]))
    np.testing.assert_array_equal(state.update(frame.iloc[200:]), fitted().score(frame)[200:])
    assert "walk" not in set(state.history()["series"])


def test_a_gap_longer_than_the_history_starts_a_series_anew():
    frame = long_frame(daily(20, 1))
    scorer = SeriesDetector().fit(frame)
    gap = pd.Timedelta(days=3)
    assert gap > pd.Timedelta(scorer.models["a"].past, unit="ns")
    later = frame.assign(timestamp=frame["timestamp"] + pd.Timedelta(days=20) + gap)
    scores = scorer.score(pd.concat([frame, later]))[len(frame) :]
    least = scorer.models["a"].least
    assert np.isnan(scores[:least]).all()
    np.testing.assert_array_equal(scores, scorer.score(later))

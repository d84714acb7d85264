"""What a scorer finds, what it forgives, and what it says about it."""

from __future__ import annotations

import re
from collections import Counter

import numpy as np
import pandas as pd
import pytest

from pynomaly_pipelines.detection import SeriesDetector
from pynomaly_pipelines.detection.series import SeriesScorer
from pynomaly_pipelines.detection.series.reasons import REMEMBERED

from .conftest import KINDS, START, daily, fitted, household, long_frame

DAYS = 28
LATER = START + pd.Timedelta(days=200)


def wave_scorer() -> SeriesScorer:
    return SeriesDetector().fit(long_frame(daily(DAYS, 999)))


# ------------------------------------------------------------------------------------------------ masking


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("kind", ["auto", "SeasonalResidual", "LevelShift"])
def test_five_gross_outliers_do_not_hide_a_later_ten_sigma_event(kind, seed):
    generator = np.random.default_rng(seed)
    training = generator.normal(size=2500)
    training[generator.choice(2500, 5, replace=False)] = generator.choice([-1, 1], 5) * 1e4
    later = generator.normal(size=600)
    later[500] = 10.0
    scorer = SeriesDetector(kind).fit(long_frame(training, minutes=5))
    score = scorer.score(long_frame(later, minutes=5))
    assert np.nanargmax(score) == 500
    assert score[500] > scorer.score_at_tail(1e-4)
    # Scaling by minimum and maximum, as Anomstack preprocesses metrics, hides it: the event is 0.05 % of the range.
    span = training.max() - training.min()
    assert 10.0 / span < 0.001


@pytest.mark.parametrize("kind", ["SubKNN", "IForest", "KNN"])
def test_five_gross_outliers_do_not_hide_a_later_burst_from_detectors_of_windows(kind):
    generator = np.random.default_rng(0)
    training = generator.normal(size=2500)
    training[generator.choice(2500, 5, replace=False)] = generator.choice([-1, 1], 5) * 1e4
    later = generator.normal(size=600)
    later[500:524] += 10.0
    scorer = SeriesDetector(kind).fit(long_frame(training, minutes=5))
    score = scorer.score(long_frame(later, minutes=5))
    assert 500 <= np.nanargmax(score) < 524 + scorer.models["a"].window
    assert np.nanmax(score) > scorer.score_at_tail(1e-3)


def test_gross_outliers_are_counted_on_the_card():
    training = np.random.default_rng(0).normal(size=2500)
    training[[100, 900, 1500]] = 1e5
    assert "3 left out as gross outliers" in SeriesDetector().fit(long_frame(training)).card()


def test_ten_and_a_hundred_deviations_differ():
    values = np.random.default_rng(0).normal(size=300)
    scorer = SeriesDetector().fit(long_frame(np.random.default_rng(1).normal(size=2500)))
    scores = []
    for height in (10.0, 100.0, 1e4, 1e8):
        values[250] = height
        scores.append(scorer.score(long_frame(values))[250])
    assert (np.diff(scores) > 0.001).all()


def test_known_incidents_are_not_learnt_as_usual():
    values = daily(DAYS, 0)
    values[600:760] += 30.0
    flag = np.zeros(len(values))
    flag[600:760] = 1
    clean = SeriesDetector().fit(long_frame(daily(DAYS, 0)))
    unaware = SeriesDetector().fit(long_frame(values))
    again = daily(9, 5)
    again[400:] += 15.0
    frame = long_frame(again)
    assert unaware.score(frame)[400] < clean.score(frame)[400]
    for told in (
        SeriesDetector().fit(long_frame(values), labels=np.where(flag == 1, 1.0, np.nan)),
        SeriesDetector().fit(long_frame(values), exclude=flag == 1),
        SeriesDetector().fit(long_frame(values), exclude=pd.Series(flag, dtype="boolean")),
    ):
        assert told.score(frame)[400] > unaware.score(frame)[400]
        assert told.evidence.rows_excluded == 160
        assert told.models["a"].high < 70


# -------------------------------------------------------------------------------------------- calibration


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda seed: np.random.default_rng(seed).normal(size=4000), id="normal"),
        pytest.param(lambda seed: daily(84, seed), id="wave"),
        pytest.param(lambda seed: np.random.default_rng(seed).standard_t(3, 4000), id="heavy tails"),
        pytest.param(lambda seed: np.random.default_rng(seed).poisson(3, 4000).astype(float), id="counts"),
    ],
)
def test_a_score_is_the_share_of_ordinary_points_above_it(make):
    scorer = SeriesDetector().fit(long_frame(make(0)))
    fresh = np.concatenate([scorer.score(long_frame(make(seed)))[100:] for seed in range(1, 7)])
    assert (fresh > scorer.score_at_tail(0.1)).mean() == pytest.approx(0.1, rel=0.5)
    assert (fresh > scorer.score_at_tail(0.01)).mean() == pytest.approx(0.01, rel=0.75)


def test_a_trend_that_goes_on_raises_no_flood_of_alarms():
    slope = 0.01
    scorer = SeriesDetector().fit(long_frame(daily(84, 0) + slope * np.arange(84 * 48)))
    after = long_frame(daily(28, 1) + slope * (84 * 48 + np.arange(28 * 48)), start=START + pd.Timedelta(days=84))
    assert (scorer.score(after)[48:] > scorer.score_at_tail(0.01)).mean() < 0.03


def test_a_new_level_is_news_for_a_day_and_not_for_ever():
    values = daily(14, 1)
    values[48 * 7 :] += 8.0
    scorer = wave_scorer()
    score = scorer.score(long_frame(values))
    alarm = scorer.score_at_tail(0.001)
    assert (score[48 * 7 : 48 * 7 + 12] > alarm).mean() > 0.5
    assert (score[48 * 9 :] > alarm).mean() < 0.02


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_tells_a_strange_day_from_ordinary_ones(kind):
    generator = np.random.default_rng(0)
    values = daily(14, 1)
    values[500:524] = 50 + 25 * generator.choice([-1, 1], 24)
    scorer = SeriesDetector(kind).fit(long_frame(daily(DAYS, 999)))
    score = scorer.score(long_frame(values))
    assert np.max(score[500:524]) > np.nanquantile(score[:500], 0.995)


# ---------------------------------------------------------------------------------------- unknown series


def test_an_unknown_series_is_judged_by_its_own_past():
    values = np.random.default_rng(5).normal(1e6, 50.0, 400)
    values[300] += 1000.0
    frame = long_frame(values, "never seen")
    score = fitted().score(frame)
    assert np.isnan(score[:32]).all()
    assert not np.isnan(score[32:]).any()
    assert np.nanargmax(score) == 300
    sentence = fitted().explain(frame, top=1).sentences()[300]
    low, high = re.fullmatch(
        r"level shift=1\.00\d+e\+06 \(usually (\d+) … (\d+) in its recent past\), 100%", sentence
    ).groups()
    assert int(low) == pytest.approx(1e6 - 2.576 * 50, abs=60)
    assert int(high) == pytest.approx(1e6 + 2.576 * 50, abs=60)


def test_an_unknown_series_looks_back_no_further_than_stated():
    frame = long_frame(np.random.default_rng(6).normal(size=900), "never seen")
    scorer = fitted()
    whole, past = scorer.score(frame), scorer.stranger.history_points
    for i in range(past, 900, 77):
        np.testing.assert_array_equal(scorer.score(frame.iloc[i - past : i + 1])[-1], whole[i])


# --------------------------------------------------------------------------------------- retrospective


def test_looking_back_the_points_before_an_event_remember_it_too():
    values = daily(20, 1)
    values[480] += 40.0
    frame = long_frame(values)
    scorer = wave_scorer()
    causal, back = scorer.score(frame), scorer.score(frame, causal=False)
    assert (back[470:480] > causal[470:480]).all()
    assert back[480] == causal[480]
    assert (back[8:] >= causal[8:]).all()
    mirrored = scorer.score(frame, causal=False)
    np.testing.assert_array_equal(mirrored, back)


# --------------------------------------------------------------------------------------------- reasons


def inject(part: str, seed: int) -> tuple[pd.DataFrame, np.ndarray]:
    """A later period with one anomaly of a known part, and where it shows."""
    generator = np.random.default_rng(seed)
    values = daily(DAYS, seed + 1)
    start = int(generator.integers(500, len(values) - 200))
    keep = np.ones(len(values), dtype=bool)
    if part == "level":
        values[start] += generator.choice([-1, 1]) * 40.0
        shows = slice(start, start + 1)
    elif part == "seasonal pattern":
        start += (36 if seed % 2 else 12) - start % 48  # the wave's foot, its crest
        values[start] = 100.0 - values[start]
        shows = slice(start, start + 1)
    elif part == "shape":
        values[start : start + 16] += np.where(np.arange(16) % 8 < 4, 5.0, -5.0)
        shows = slice(start + 2, start + 18)
    else:
        keep[start : start + 60] = False
        shows = slice(start, start + 1)
    return long_frame(values, start=LATER)[keep].reset_index(drop=True), np.arange(len(values))[shows]


@pytest.mark.parametrize("part", ["level", "seasonal pattern", "shape", "missing points"])
def test_the_injected_part_is_named_first(part):
    scorer, named = wave_scorer(), Counter()
    for seed in range(30):
        frame, shows = inject(part, seed)
        found = scorer.assess(frame)
        worst = shows[np.argmax(found.score[shows])]
        assert found.score[worst] > scorer.score_at_tail(0.003)
        named[found.explanation.columns[worst, 0]] += 1
    assert named[part] >= 27, named


def test_a_new_level_is_told_from_a_new_shape():
    scorer, first, second = wave_scorer(), Counter(), 0
    for seed in range(30):
        values = daily(DAYS, seed + 1)
        values[700:800] += 6.0
        found = scorer.assess(long_frame(values, start=LATER))
        worst = 700 + int(np.argmax(found.score[700:708]))
        first[found.explanation.columns[worst, 0]] += 1
        second += "level shift" in found.explanation.columns[worst, :2]
    assert first["level shift"] >= 20, first
    assert second >= 27


def test_a_flat_line_is_named():
    values = daily(DAYS, 1)
    values[700:790] = values[700]
    found = wave_scorer().explain(long_frame(values), top=7)
    for i in (760, 789):
        parts = dict(zip(found.columns[i], zip(found.values[i], found.usual[i], strict=True), strict=True))
        count, usual = parts["flat"]
        assert count == min(i - 699, 48)
        assert usual.removesuffix(REMEMBERED) == "at most 8 equal values in a row"


def test_a_change_of_spread_is_named_with_its_usual_range():
    quiet = np.random.default_rng(0).normal(0, 1, 2000)
    scorer = SeriesDetector().fit(long_frame(quiet))
    wild = np.random.default_rng(1).normal(0, 1, 600)
    wild[400:440] = 1.9 * np.sign(wild[400:440])  # no value unusual as such, but each a jump
    wild[400:440:2] *= -1
    found = scorer.explain(long_frame(wild), top=7)
    at = list(found.columns[420]).index("spread")
    usual = found.usual[420, at].removesuffix(REMEMBERED).removesuffix(" between points")
    low, high = (float(word) for word in usual.split(" … "))
    mean_jump = 2 / np.sqrt(np.pi)  # of two standard normal values
    assert low < mean_jump < high


@pytest.mark.parametrize("kind", KINDS)
def test_shares_add_up_and_fall(kind):
    frame = household(seed=1)
    found = fitted(kind).assess(frame, top=7)
    share = found.explanation.share
    assert ((share >= 0) & (share <= 1)).all()
    assert (np.diff(share, axis=1) <= 0).all()
    total = share.sum(axis=1)
    np.testing.assert_allclose(total[total > 0], 1.0)
    np.testing.assert_array_equal(found.score, fitted(kind).score(frame))
    np.testing.assert_array_equal(found.raw_score, fitted(kind).raw_score(frame))
    few = fitted(kind).explain(frame, top=2)
    np.testing.assert_array_equal(few.share, share[:, :2])
    assert fitted(kind).assess(frame, top=0).explanation.columns.shape == (len(frame), 0)


def test_the_level_of_a_point_is_explained_by_hand():
    values = daily(DAYS, 1)
    values[700] = 120.0
    found = wave_scorer().explain(long_frame(values), top=1)
    assert found.columns[700, 0] == "level"
    assert found.values[700, 0] == 120.0
    low, high = (float(word) for word in found.usual[700, 0].split(" … "))
    middle = 50 + 10 * np.sin(2 * np.pi * 700 / 48)
    assert low == pytest.approx(middle - 2.6, abs=1.2)  # noise of one, 99 of 100 points
    assert high == pytest.approx(middle + 2.6, abs=1.2)


def test_an_ordinary_point_after_an_event_says_that_it_remembers():
    values = daily(DAYS, 1)
    values[700] = 120.0
    found = wave_scorer().explain(long_frame(values), top=1)
    assert not found.usual[700, 0].endswith(REMEMBERED)
    # the windows of the next points still hold the event: they are of a strange shape themselves
    assert found.columns[712, 0] == "shape"
    assert found.usual[712, 0].endswith(REMEMBERED)


def test_expected_ranges_hold_99_in_100_points():
    fresh = long_frame(daily(DAYS, 4), start=LATER)
    expected = wave_scorer().expected(fresh)
    assert list(expected.columns) == ["lower", "expected", "upper"]
    inside = (fresh["value"] >= expected["lower"]) & (fresh["value"] <= expected["upper"])
    assert inside.mean() == pytest.approx(0.99, abs=0.01)
    pd.testing.assert_frame_equal(wave_scorer().expected(fresh.iloc[::-1]), expected.iloc[::-1])


def test_the_card_says_what_was_learnt():
    card = fitted().card()
    assert "# Model card: auto (series)" in card
    assert "2 none, 2 daily" in card
    assert "| wave | 0 days 00:30:00 | daily |" in card
    assert f"at most {fitted().history_points:,} points and {fitted().history}" in card
    assert "the clock of UTC" in card

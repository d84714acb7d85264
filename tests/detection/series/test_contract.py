"""What every series detector must keep, whatever its kind."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest

from pynomaly_pipelines.detection import Scorer, SeriesDetector
from pynomaly_pipelines.operations.errors import (
    DataError,
    DetectorError,
    DetectorRefused,
    NotEnoughData,
    ScorerFileError,
    SignatureError,
    UnknownDetector,
)

from .conftest import KINDS, daily, fitted, household, long_frame, shuffled

every_kind = pytest.mark.parametrize("kind", KINDS)


@every_kind
def test_scores_lie_in_the_unit_interval_and_only_the_first_points_of_a_series_have_none(kind):
    frame = household(seed=5)
    score, raw = fitted(kind).score(frame), fitted(kind).raw_score(frame)
    assert score.dtype == raw.dtype == np.float64
    np.testing.assert_array_equal(np.isnan(score), np.isnan(raw))
    known = score[~np.isnan(score)]
    assert (known >= 0).all()
    assert (known < 1).all()
    missing = pd.Series(np.isnan(score)).groupby(frame["series"].to_numpy())
    least = {name: model.least for name, model in fitted(kind).models.items()}
    assert missing.sum().to_dict() == least
    assert (missing.apply(lambda none: none.to_numpy()[: none.sum()].all())).all()


@every_kind
def test_the_same_seed_gives_the_same_bits(kind):
    again = SeriesDetector(kind, seed=0).fit(household())
    np.testing.assert_array_equal(again.score(household(seed=1)), fitted(kind).score(household(seed=1)))


@every_kind
def test_training_does_not_depend_on_the_order_of_rows(kind):
    again = SeriesDetector(kind, seed=0).fit(shuffled(household())[0])
    np.testing.assert_array_equal(again.score(household(seed=1)), fitted(kind).score(household(seed=1)))


@every_kind
def test_scores_follow_the_order_of_the_rows(kind):
    frame = household(seed=1)
    mixed, order = shuffled(frame)
    np.testing.assert_array_equal(fitted(kind).score(mixed), fitted(kind).score(frame)[order])


@every_kind
def test_a_series_scores_the_same_bit_for_bit_alone_and_beside_others(kind):
    frame = household(seed=1)
    together = fitted(kind).score(frame)
    for name, rows in frame.groupby("series"):
        np.testing.assert_array_equal(fitted(kind).score(rows), together[frame["series"] == name])


@every_kind
def test_later_points_change_no_score(kind):
    frame = household(days=10, seed=1)
    whole = fitted(kind).score(frame)
    for day in (2, 5, 8):
        early = frame["timestamp"] < frame["timestamp"].min() + pd.Timedelta(days=day)
        np.testing.assert_array_equal(fitted(kind).score(frame[early]), whole[early.to_numpy()])


@every_kind
def test_the_stated_history_is_all_a_score_looks_at(kind):
    frame, scorer = household(seed=1), fitted(kind)
    whole = scorer.score(frame)
    for days in (9, 17.3, 25):
        start = frame["timestamp"].min() + pd.Timedelta(days=days)
        wanted = frame["timestamp"] >= start
        given = frame["timestamp"] >= start - scorer.history
        np.testing.assert_array_equal(scorer.score(frame[given])[wanted[given]], whole[wanted])


def test_the_stated_number_of_points_is_all_a_score_looks_at_even_when_points_are_dense():
    generator = np.random.default_rng(3)
    gaps = generator.exponential(1.0, 4000) * np.where(generator.random(4000) < 0.02, 200, 1)
    values = generator.normal(size=4000)
    values[generator.random(4000) < 0.2] = np.nan
    frame = long_frame(values)
    frame["timestamp"] = frame["timestamp"].iloc[0] + pd.to_timedelta(np.cumsum(gaps).round(6), unit="min")
    scorer = SeriesDetector("auto").fit(frame.iloc[:2000])
    whole, past = scorer.score(frame), scorer.history_points
    for i in range(past, 4000, 131):
        np.testing.assert_array_equal(scorer.score(frame.iloc[i - past : i + 1])[-1], whole[i])
        since = frame["timestamp"] >= frame["timestamp"].iloc[i] - scorer.history
        np.testing.assert_array_equal(scorer.score(frame[since].loc[:i])[-1], whole[i])


@every_kind
def test_threads_share_a_scorer(kind):
    frames = [household(days=9, seed=seed) for seed in range(4)]
    alone = [fitted(kind).score(frame) for frame in frames]
    with ThreadPoolExecutor(4) as pool:
        for ours, theirs in zip(alone, pool.map(fitted(kind).score, frames), strict=True):
            np.testing.assert_array_equal(ours, theirs)


@every_kind
def test_a_saved_scorer_scores_the_same_bit_for_bit(kind, tmp_path):
    scorer, frame = fitted(kind), household(seed=1)
    scorer.save(tmp_path)
    loaded = Scorer.load(tmp_path)
    np.testing.assert_array_equal(loaded.score(frame), scorer.score(frame))
    np.testing.assert_array_equal(loaded.raw_score(frame), scorer.raw_score(frame))
    unknown = frame.assign(series="unknown").iloc[:600]
    np.testing.assert_array_equal(loaded.score(unknown), scorer.score(unknown))
    assert loaded.explain(frame).sentences() == scorer.explain(frame).sentences()
    assert (loaded.detector, loaded.parameters, loaded.rows_fitted) == (kind, {"timezone": "UTC"}, scorer.rows_fitted)
    with np.load(tmp_path / "arrays.npz", allow_pickle=False) as arrays:
        assert all(arrays[name].dtype != object for name in arrays.files)
    assert (loaded.columns, loaded.history, loaded.card()) == (scorer.columns, scorer.history, scorer.card())


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["auto", "IForest"])
def test_a_fresh_process_loads_and_scores_without_pyod_or_scikit_learn(kind, tmp_path):
    fitted(kind).save(tmp_path)
    household(days=9, seed=1).to_parquet(tmp_path / "frame.parquet")
    program = (
        "import sys, json, pandas as pd\n"
        "frame = pd.read_parquet(sys.argv[1] + '/frame.parquet')\n"
        "from pynomaly_pipelines.detection import Scorer\n"
        "scorer = Scorer.load(sys.argv[1])\n"
        "print(json.dumps([scorer.score(frame).tolist()[100:], [m for m in ('pyod', 'sklearn') if m in sys.modules]]))"
    )
    ran = subprocess.run([sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=True)
    scores, imported = json.loads(ran.stdout)
    assert imported == []
    np.testing.assert_array_equal(scores, fitted(kind).score(household(days=9, seed=1))[100:])


def test_an_altered_array_is_refused(tmp_path):
    fitted().save(tmp_path)
    packed = bytearray((tmp_path / "arrays.npz").read_bytes())
    packed[len(packed) // 2] ^= 1
    (tmp_path / "arrays.npz").write_bytes(packed)
    with pytest.raises(ScorerFileError, match="SHA-256"):
        Scorer.load(tmp_path)


@every_kind
def test_a_naive_clock_is_utc_and_other_zones_are_converted(kind):
    frame = household(days=9, seed=1)
    scores = fitted(kind).score(frame)
    naive = frame.assign(timestamp=frame["timestamp"].dt.tz_localize(None))
    tokyo = frame.assign(timestamp=frame["timestamp"].dt.tz_convert("Asia/Tokyo"))
    seconds = frame.assign(timestamp=frame["timestamp"].astype("datetime64[s, UTC]"))
    for same in (naive, tokyo, seconds, frame[["value", "series", "timestamp"]], frame.assign(extra=1)):
        np.testing.assert_array_equal(fitted(kind).score(same), scores)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda f: f.drop(columns="value"), SignatureError, "lacks value"),
        (lambda f: f.assign(value=f["value"].astype(str)), SignatureError, "value has type"),
        (lambda f: f.assign(value=1j), SignatureError, "value has type complex128"),
        (lambda f: f.assign(timestamp=range(len(f))), SignatureError, "timestamp has type int64"),
        (lambda f: f.assign(timestamp=f["timestamp"].where(f.index > 3)), DataError, "4 of .* timestamps are empty"),
        (lambda f: f.assign(series=f["series"].where(f.index > 3)), DataError, "4 of .* series ids are empty"),
        (
            lambda f: f.assign(timestamp=f["timestamp"].astype("datetime64[s, UTC]") + np.timedelta64(10**10, "s")),
            DataError,
            "outside the years 1677 to 2262",
        ),
        (lambda f: pd.concat([f, f.iloc[[7]]]), DataError, r"'wave' has two points at 2025-01-06T03:30:00\+00:00"),
    ],
)
def test_a_frame_that_cannot_be_read_is_refused_by_name(change, error, message):
    frame = household(days=9)
    with pytest.raises(error, match=message):
        fitted().score(change(frame))
    with pytest.raises(error, match=message):
        SeriesDetector().fit(change(frame))


def test_an_empty_frame_has_no_scores():
    none = household(days=9).iloc[:0]
    assert fitted().score(none).shape == (0,)
    assert len(fitted().assess(none).explanation) == 0
    assert fitted().expected(none).shape == (0, 3)


def test_too_short_a_history_says_what_it_needs():
    with pytest.raises(NotEnoughData, match=r"the longest of 1 series, 'a', has 47 .* at least 48"):
        SeriesDetector().fit(long_frame(daily(1, 0)[:47]))
    with pytest.raises(NotEnoughData, match="has 0"):
        SeriesDetector().fit(long_frame(np.full(500, np.nan)))
    with pytest.raises(NotEnoughData, match="the frame has no"):
        SeriesDetector().fit(household().iloc[:0])


def test_unknown_names_and_settings_are_refused():
    with pytest.raises(UnknownDetector, match="Forrest"):
        SeriesDetector("Forrest")
    with pytest.raises(DetectorRefused):
        SeriesDetector("COF")
    with pytest.raises(DetectorError, match="auto has no parameter window"):
        SeriesDetector("auto", window=3)
    with pytest.raises(DetectorError, match="IForest has no parameter trees"):
        SeriesDetector("IForest", trees=3)
    with pytest.raises(DetectorError, match=r"timezone is 'Mars/Olympus'"):
        SeriesDetector(timezone="Mars/Olympus")


def test_flags_of_another_length_or_with_other_values_are_refused():
    frame = household(days=9)
    with pytest.raises(DataError, match="labels has 3 entries"):
        SeriesDetector().fit(frame, labels=[0, 1, 0])
    with pytest.raises(DataError, match=r"exclude has .*\[2\.0\]"):
        SeriesDetector().fit(frame, exclude=np.full(len(frame), 2.0))


@every_kind
@pytest.mark.parametrize(
    "values",
    [
        pytest.param(np.full(600, 3.0), id="constant"),
        pytest.param(np.r_[np.zeros(599), 1.0], id="one change"),
        pytest.param(np.tile([0.0, 1.0], 300), id="two values"),
        pytest.param(np.r_[np.full(300, np.nan), daily(7, 0)[:300]], id="half missing"),
        pytest.param(np.where(np.arange(600) % 50 == 0, np.inf, daily(13, 0)[:600]), id="infinite"),
        pytest.param(daily(13, 0)[:600] * 1e-300, id="tiny"),
        pytest.param(daily(13, 0)[:600] * 1e300, id="huge"),
        pytest.param(daily(1, 0)[:48], id="shortest"),
    ],
)
def test_odd_series_have_finite_scores(kind, values):
    frame = long_frame(values)
    scorer = SeriesDetector(kind).fit(frame)
    strange = frame.assign(value=np.resize([0.0, -np.inf, np.nan, 1e308, np.inf, 5.0], len(frame)))
    for given in (frame, strange):
        score = scorer.score(given)
        assert np.isfinite(score[scorer.models["a"].least :]).all()
        assert (score[scorer.models["a"].least :] < 1).all()
        assert len(scorer.explain(given).sentences()) == len(given)


@every_kind
def test_a_series_at_rest_raises_no_alarm(kind):
    scorer = SeriesDetector(kind).fit(long_frame(np.full(1000, 7.0)))
    assert np.nanmax(scorer.score(long_frame(np.full(500, 7.0)))) < 0.5


def test_one_short_series_does_not_stop_the_others():
    frame = pd.concat([household(), long_frame(daily(1, 0)[:20], "new")])
    scorer = SeriesDetector().fit(frame)
    assert set(scorer.models) == {"wave", "counts", "walk", "hourly"}
    assert "1 series had fewer than 48 points and count as unknown: new." in scorer.card()
    assert scorer.rows_fitted == int(household()["value"].notna().sum())


def test_ids_of_any_type_are_read_as_text():
    frame = household()
    numbers = frame["series"].map({"wave": 1, "counts": 2, "walk": 3, "hourly": 4})
    by_number = SeriesDetector().fit(frame.assign(series=numbers))
    np.testing.assert_array_equal(
        by_number.score(frame.assign(series=numbers.astype(str).astype("category"))), fitted().score(frame)
    )

"""What every detector offered must keep: one suite over all of them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest

from pynomaly_pipelines.detection import Detector, Scorer
from pynomaly_pipelines.operations.errors import NotEnoughData, SignatureError

from .conftest import CASES, DEFAULTS, fitted, mixed, ordinary

every_case = pytest.mark.parametrize("case", CASES)
every_detector = pytest.mark.parametrize("case", DEFAULTS)


def both(case: str, frame: pd.DataFrame, kind: str = "ordinary") -> np.ndarray:
    """Raw scores and scores side by side, float64[n, 2]."""
    scorer = fitted(case, kind)
    return np.column_stack([scorer.raw_score(frame), scorer.score(frame)])


@every_case
def test_scores_are_finite_float64_within_the_unit_interval(case):
    scorer, rows = fitted(case), ordinary(150, 1)
    raw, score = scorer.raw_score(rows), scorer.score(rows)
    assert raw.shape == score.shape == (150,)
    assert raw.dtype == score.dtype == np.float64
    assert np.isfinite(raw).all()
    assert (score >= 0).all()
    assert (score < 1).all()
    assert scorer.score(rows.iloc[:0]).shape == (0,)


@every_detector
def test_the_same_seed_gives_the_same_bits(case):
    name, parameters = CASES[case]
    again = Detector(name, seed=0, **parameters).fit(ordinary(400, 0))
    np.testing.assert_array_equal(again.score(ordinary(100, 1)), fitted(case).score(ordinary(100, 1)))


@every_case
def test_higher_is_more_anomalous(case):
    far = ordinary(50, 2)
    far += np.where(np.arange(50)[:, None] % 2, 12, -12) * far.std().to_numpy()
    usual = fitted(case).raw_score(ordinary(300, 1))
    assert (fitted(case).raw_score(far) > np.quantile(usual, 0.9)).mean() > 0.95
    assert (fitted(case).score(far) > np.quantile(fitted(case).score(ordinary(300, 1)), 0.9)).mean() > 0.95


@every_case
def test_a_row_scores_the_same_bit_for_bit_whatever_is_beside_it(case):
    rows = ordinary(130, 3)
    whole = both(case, rows)
    alone = np.concatenate([both(case, rows.iloc[[i]]) for i in range(0, 130, 13)])
    np.testing.assert_array_equal(alone, whole[::13])
    order = np.random.default_rng(0).permutation(130)
    np.testing.assert_array_equal(both(case, rows.iloc[order]), whole[order])
    for size in (1, 7, 64):
        chunks = [both(case, rows.iloc[i : i + size]) for i in range(0, 130, size)]
        np.testing.assert_array_equal(np.concatenate(chunks), whole)
    drifted = pd.concat([ordinary(2_000, 4) * 50, rows])
    np.testing.assert_array_equal(both(case, drifted)[2_000:], whole)


@every_case
def test_threads_change_nothing(case):
    rows = ordinary(200, 3)
    whole = both(case, rows)
    with ThreadPoolExecutor(4) as pool:
        for scores in pool.map(lambda _: both(case, rows), range(8)):
            np.testing.assert_array_equal(scores, whole)


@every_case
def test_explanations_do_not_depend_on_the_batch_either(case):
    rows = ordinary(40, 3)
    whole = fitted(case).explain(rows, top=4)
    alone = fitted(case).explain(rows.iloc[[17]], top=4)
    np.testing.assert_array_equal(alone.share[0], whole.share[17])
    assert list(alone.columns[0]) == list(whole.columns[17])


@every_case
def test_saved_and_loaded_is_the_same_to_the_last_bit(case, tmp_path):
    scorer, rows = fitted(case, "mixed"), mixed(60, 5)
    scorer.save(tmp_path)
    loaded = Scorer.load(tmp_path)
    np.testing.assert_array_equal(loaded.raw_score(rows), scorer.raw_score(rows))
    before, after = scorer.assess(rows), loaded.assess(rows)
    np.testing.assert_array_equal(after.score, before.score)
    assert after.explanation.sentences() == before.explanation.sentences()
    assert (loaded.detector, loaded.parameters, loaded.columns) == (scorer.detector, scorer.parameters, scorer.columns)
    assert (loaded.rows_fitted, loaded.card()) == (scorer.rows_fitted, scorer.card())


@every_detector
def test_columns_are_found_by_name(case):
    rows = mixed(50, 6)
    scores = both(case, rows, "mixed")
    np.testing.assert_array_equal(both(case, rows[rows.columns[::-1]], "mixed"), scores)
    np.testing.assert_array_equal(both(case, rows.assign(extra="x"), "mixed"), scores)
    with pytest.raises(SignatureError, match=r"missing columns b, carrier.*fitted on a, b, c"):
        fitted(case, "mixed").score(rows.drop(columns=["b", "carrier"]))
    with pytest.raises(SignatureError, match="more than once"):
        fitted(case, "mixed").score(pd.concat([rows, rows[["a"]]], axis=1))


@every_detector
def test_gaps_infinities_new_categories_and_far_dates_score_finite(case):
    rows = mixed(12, 7)
    rows["c"] = rows["c"].astype(float)
    rows.loc[0, ["a", "b", "c", "d", "gaps"]] = np.nan
    rows.loc[1, "a"], rows.loc[2, "a"], rows.loc[3, "b"] = np.inf, -np.inf, 1e300
    rows.loc[4, "carrier"], rows.loc[5, "carrier"] = "never seen", None
    rows["late"] = rows["late"].astype(object)
    rows.loc[6, "late"] = None
    rows["at"] = rows["at"].astype("datetime64[s]")
    rows.loc[7, "at"], rows.loc[8, "at"] = pd.NaT, pd.Timestamp("9999-12-31").as_unit("s")
    assessed = fitted(case, "mixed").assess(rows)
    assert np.isfinite(assessed.raw_score).all()
    assert ((assessed.score >= 0) & (assessed.score < 1)).all()
    assert np.isfinite(assessed.explanation.share).all()
    assert len(assessed.explanation.sentences()) == 12


@every_detector
def test_degenerate_training_frames_give_finite_scores_or_a_named_error(case):
    name, parameters = CASES[case]
    frame = ordinary(120, 8)
    frame["constant"], frame["empty"], frame["twin"] = 7.0, np.nan, frame["a"] * 2
    frame["nothing"] = pd.Series([None] * 120, dtype=object)
    scorer = Detector(name, seed=0, **parameters).fit(frame)
    other = ordinary(20, 9).assign(constant=[7.0, 8.0] * 10, empty=1.0, twin=0.0, nothing="x")
    with pytest.raises(SignatureError, match="nothing"):
        scorer.score(other)
    scores = scorer.score(other.assign(nothing=3.0))
    assert np.isfinite(scores).all()
    assert (scores < 1).all()


@every_detector
@pytest.mark.parametrize("rows", [1, 2, 5, 30])
def test_few_training_rows_give_finite_scores_or_say_how_many_are_needed(case, rows):
    name, parameters = CASES[case]
    detector = Detector(name, seed=0, **parameters)
    least = detector.offer.needs(parameters)
    if rows < least:
        with pytest.raises(NotEnoughData, match=f"^{rows} training rows?.*at least {least}"):
            detector.fit(ordinary(rows, 10))
        return
    scorer = detector.fit(ordinary(rows, 10))
    assert np.isfinite(scorer.raw_score(ordinary(20, 11))).all()
    assert (scorer.score(ordinary(20, 11) * 1000) < 1).all()


@every_case
def test_the_injected_column_is_named_first(case):
    generator = np.random.default_rng(12)
    rows, columns = ordinary(200, 12), generator.integers(0, 4, 200)
    for row, column in enumerate(columns):
        centre, spread = rows.iloc[:, column].mean(), rows.iloc[:, column].std()
        rows.iloc[row, column] = centre + generator.choice([-10, 10]) * spread
    reasons = fitted(case).explain(rows, top=2)
    assert (reasons.columns[:, 0] == rows.columns.to_numpy()[columns]).mean() >= 0.9
    assert (reasons.share.sum(axis=1) <= 1 + 1e-12).all()
    assert (np.diff(reasons.share, axis=1) <= 0).all()


@every_detector
def test_scores_say_how_rare_a_row_is(case):
    """Of fresh ordinary rows, about 10 % and 1 % exceed the scores that stand for 10 % and 1 %."""
    scorer = fitted(case, rows=400)
    scores = scorer.score(ordinary(4_000, 13))
    assert 0.05 < (scores > scorer.score_at_tail(0.1)).mean() < 0.2
    assert (scores > scorer.score_at_tail(0.01)).mean() < 0.04


@every_case
def test_ten_and_a_hundred_and_a_thousand_deviations_differ(case):
    rows = pd.DataFrame([fitted_centre()] * 3)
    rows["c"] = 100.0 + 30.0 * np.array([10.0, 100.0, 1000.0])
    scores = fitted(case).score(rows)
    assert scores[0] < scores[1] < scores[2] < 1.0


def fitted_centre() -> dict[str, float]:
    return ordinary(400, 0).median().to_dict()

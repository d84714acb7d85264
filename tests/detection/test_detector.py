"""Names, settings, labels, weights and budgets of a fit; the card that tells of them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from pynomaly_pipelines.detection import Detector, catalogue
from pynomaly_pipelines.detection.detector import Budget
from pynomaly_pipelines.detection.offered import OFFERS, REFUSED
from pynomaly_pipelines.operations.errors import DetectorError, DetectorRefused, NotEnoughData, UnknownDetector

from .conftest import fitted, mixed, ordinary


@pytest.mark.parametrize("name", REFUSED)
def test_detectors_that_depend_on_the_batch_are_refused_with_the_reason(name):
    with pytest.raises(DetectorRefused, match=rf"'{name}' is refused: .*Fix: use 'auto'"):
        Detector(name)


def test_unknown_names_and_parameters_are_named():
    with pytest.raises(UnknownDetector, match=r"'IFroest'.*Offered are auto, IForest"):
        Detector("IFroest")
    with pytest.raises(DetectorError, match=r"IForest has no parameter trees.*n_estimators"):
        Detector("IForest", trees=5)
    with pytest.raises(DetectorError, match="auto has no parameter k"):
        Detector("auto", k=5)
    with pytest.raises(DetectorError, match=r"KNN could not be fitted on 400 rows × 4 features"):
        Detector("KNN", leaf_size=-1).fit(ordinary(400, 0))
    with pytest.raises(DetectorRefused, match="metric='cosine'"):
        Detector("KNN", metric="cosine", algorithm="brute").fit(ordinary(60, 0))


def test_the_catalogue_tells_of_every_detector():
    told = {entry["name"]: entry for entry in catalogue()}
    assert set(told) == {"auto", *OFFERS, *REFUSED}
    assert told["IForest"]["parameters"]["n_estimators"] == 100
    assert "random_state" not in told["IForest"]["parameters"]
    assert all("batch" in told[name]["reason"] for name in REFUSED)


def test_weight_zero_leaves_rows_out_and_equal_weights_change_nothing():
    rows, fresh = ordinary(300, 0), ordinary(50, 1)
    spoilt = pd.concat([rows, ordinary(100, 2) + 1_000], ignore_index=True)
    kept = np.repeat([2.5, 0.0], [300, 100])
    np.testing.assert_array_equal(
        Detector("HBOS").fit(spoilt, weights=kept).score(fresh), Detector("HBOS").fit(rows).score(fresh)
    )


def test_weights_count_rows_in_proportion():
    rows = pd.DataFrame({"x": np.repeat([0.0, 1.0], 500) + np.random.default_rng(0).normal(0, 0.01, 1_000)})
    scorer = Detector("HBOS", n_bins=3).fit(rows, weights=np.repeat([9.0, 1.0], 500))
    inner = scorer.frozen.scores[1:4]  # without the outer bins
    densities = 2.0**-inner - 0.1  # PyOD adds 0.1 before it takes logarithms
    assert densities[0] / densities[2] == pytest.approx(9, rel=0.1)


def test_labelled_anomalies_do_not_teach_what_is_ordinary():
    rows = pd.concat([ordinary(300, 0), ordinary(60, 2) + 200], ignore_index=True)
    labels = np.repeat([np.nan, 1.0], [300, 60])
    scorer = Detector("HBOS").fit(rows, labels=labels)
    assert (scorer.score(ordinary(40, 3) + 200) > scorer.score_at_tail(0.01)).all()
    assert "60 anomalies" in scorer.card()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"labels": [1.0] * 5}, r"labels of shape \(5,\) for 300 rows"),
        ({"labels": np.full(300, 2.0)}, "other values than 0, 1"),
        ({"weights": np.full(300, -1.0)}, "negative"),
        ({"weights": np.full(300, np.nan)}, "missing"),
    ],
)
def test_labels_and_weights_are_checked(given, message):
    with pytest.raises(DetectorError, match=message):
        Detector("HBOS").fit(ordinary(300, 0), **given)


def test_labels_may_come_as_objects_with_gaps():
    labels = pd.Series([1, None, 0, *[None] * 297], dtype=object)
    scorer = Detector("HBOS").fit(ordinary(300, 0), labels=labels)
    assert scorer.evidence.labelled_anomalies == 1
    assert scorer.evidence.labelled_ordinary == 1


def test_nothing_left_to_train_on_is_named():
    with pytest.raises(NotEnoughData, match="of 300 rows none is left: 300 are labelled anomalies"):
        Detector("HBOS").fit(ordinary(300, 0), labels=np.ones(300))
    with pytest.raises(NotEnoughData, match="no column holds a value"):
        Detector("HBOS").fit(pd.DataFrame({"x": [np.nan, np.nan]}))


@pytest.mark.parametrize("budget", [Budget(bytes=500_000), Budget(seconds=0.01)])
def test_a_small_budget_fits_on_a_sample_and_the_card_says_so(budget):
    rows = ordinary(8_000, 0)
    scorer = Detector("IForest", budget=budget).fit(rows)
    assert scorer.rows_fitted < 8_000
    assert f"Fitted on a random sample of {scorer.rows_fitted:,} of 8,000 rows" in scorer.card()
    assert "rows that the sample left over" in scorer.card()


def test_rows_beyond_the_sample_calibrate():
    scorer = Detector("KNN").fit(ordinary(6_000, 0))
    assert scorer.rows_fitted == 2_048
    fresh = scorer.score(ordinary(5_000, 1))
    assert 0.08 < (fresh > scorer.score_at_tail(0.1)).mean() < 0.12


def test_the_card_tells_data_method_settings_gaps_calibration_and_limits():
    card = fitted("auto", "mixed").card()
    for heading in ("# Model card: auto", "## Data", "## Method", "## Missing, new", "## Calibration", "## Limits"):
        assert heading in card
    assert "| carrier | categorical | AA, UA, DL | 0.0% |" in card
    assert "a feature of its own in: gaps" in card
    assert "Mon" not in card  # every weekday occurs, so none is singled out


def test_sentences_say_value_usual_range_and_share():
    rows = mixed(5, 1)
    rows.loc[2, "c"] = 5_000.0
    sentence = fitted("auto", "mixed").explain(rows, top=2).sentences()[2]
    assert sentence.startswith("c=5000 (usually ")
    assert "%" in sentence


def test_explaining_some_rows_gives_what_explaining_all_gives():
    scorer, rows = fitted("auto", "mixed"), mixed(40, 2)
    np.testing.assert_array_equal(scorer.explain(rows.iloc[[3, 30]]).share, scorer.explain(rows).share[[3, 30]])

"""What the next partition's figure should be: levels, widths and tails by hand or by scipy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from pynomaly_pipelines.detection.drift.design import Design, Prediction, predict


def test_without_levels_it_is_the_prediction_interval_of_a_mean() -> None:
    # No neighbour resembles the next, so nothing is put right: differences alternate.
    y = np.array([1.0, 3.0] * 10)
    found = predict(y, Design.of(np.zeros(20, dtype=np.int64), 0))
    assert found.centre == pytest.approx(2.0)
    assert found.freedom == 19
    assert found.scale == pytest.approx(np.std(y, ddof=1) * np.sqrt(1 + 1 / 20))


def test_a_weekday_has_its_own_level_from_four_of_each() -> None:
    phases = np.arange(28) % 7
    design = Design.of(phases, 5)
    y = np.where(phases >= 5, 10.0, 2.0)
    assert design.rank == 7
    assert predict(y, design).centre == pytest.approx(10.0)
    assert predict(y, Design.of(phases, 1)).centre == pytest.approx(2.0)
    assert Design.of(phases[:27], 5).rank == 1


def test_partitions_the_model_has_seen_have_a_level_that_new_ones_do_not() -> None:
    fitted = np.array([1] * 8 + [0] * 2)
    y = np.where(fitted == 1, 5.0, 7.0) + np.tile([0.1, -0.1], 5)
    assert predict(y, Design.of(np.zeros(10, dtype=np.int64), 0, fitted)).centre == pytest.approx(7.0)


def test_neighbours_that_are_alike_widen_and_weigh_less() -> None:
    rng = np.random.default_rng(1)
    alone = rng.normal(size=200)
    alike = np.zeros(200)
    for i in range(1, 200):
        alike[i] = 0.7 * alike[i - 1] + np.sqrt(1 - 0.49) * alone[i]
    design = Design.of(np.zeros(200, dtype=np.int64), 0)
    assert predict(alone, design).freedom > 150
    # (1 - 0.7) / (1 + 0.7) of 200: about 35 independent ones.
    assert 20 < predict(alike, design).freedom < 70


@pytest.mark.parametrize("seen", [-3.0, 0.5, 4.0])
def test_tails_are_those_of_students_t(seen: float) -> None:
    found = Prediction(1.0, 2.0, 7.0)
    assert found.tail(seen) == pytest.approx(stats.t(7).sf((seen - 1) / 2))
    assert found.two_sided(seen) == pytest.approx(2 * stats.t(7).sf(abs(seen - 1) / 2))


def test_chance_has_a_floor_where_nothing_ever_differed() -> None:
    found = Prediction(0.0, 0.0, 20.0)
    assert found.tail(1e-3) == 0.0
    assert found.tail(0.0) == 1.0
    assert found.tail(0.1, floor=0.1) == pytest.approx(stats.t(20).sf(1.0))

"""The compiled loops against plain NumPy, written from their definitions."""

from __future__ import annotations

import numpy as np
import pytest

from pynomaly_pipelines.detection.series import kernels

STEP = 60


def irregular(n: int, seed: int, missing: float = 0.1) -> tuple[np.ndarray, np.ndarray]:
    """Times with gaps and values with holes."""
    generator = np.random.default_rng(seed)
    steps = generator.choice([STEP // 2, STEP, 2 * STEP, 40 * STEP], n, p=[0.2, 0.6, 0.15, 0.05])
    values = generator.normal(size=n).round(1)
    values[generator.random(n) < missing] = np.nan
    return np.cumsum(steps).astype(np.int64), values


def before(time: np.ndarray, i: int, points: int, span: int) -> slice:
    """The points before `i` that a loop may look at."""
    near = [j for j in range(max(i - points, 0), i) if time[i] - time[j] <= span]
    return slice(near[0] if near else i, i)


def test_recent_usual_is_the_median_and_robust_deviation_of_the_past():
    time, value = irregular(300, 0)
    middle, deviation = kernels.recent_usual(time, value, 0, 20, 30 * STEP, 5)
    for i in range(300):
        past = value[before(time, i, 20, 30 * STEP)]
        past = past[~np.isnan(past)]
        if past.size < 5:
            assert np.isnan(middle[i])
            continue
        away = np.sort(np.abs(past - np.median(past)))
        # the scaled upper median and the value a tenth from the top
        expected = max(1.4826 * away[past.size // 2], away[past.size - 1 - past.size // 10] / 1.645)
        assert middle[i] == np.median(past)
        assert deviation[i] == pytest.approx(expected or away[-1] / 2.576, rel=1e-12)


def test_the_median_keeps_up_with_more_points_than_it_holds():
    value = np.random.default_rng(1).integers(0, 3, 500).astype(float)
    middle, _ = kernels.recent_usual(np.arange(500), value, 0, 7, 1000, 7)
    np.testing.assert_array_equal(middle[7:], [np.median(value[i - 7 : i]) for i in range(7, 500)])


def test_spread_is_the_mean_cut_jump():
    time, jump = irregular(200, 2)
    spread = kernels.spreads(time, jump, 1.5, 0, 8, 10 * STEP)
    for i in range(200):
        window = slice(before(time, i, 7, 10 * STEP).start, i + 1)
        known = np.minimum(np.abs(jump[window][~np.isnan(jump[window])]), 1.5)
        if known.size < 4:
            assert np.isnan(spread[i])
        else:
            assert spread[i] == pytest.approx(known.mean())


def test_jumps_bridge_missing_values_but_not_gaps():
    time = np.array([0, 1, 2, 3, 9, 10])
    value = np.array([1.0, np.nan, 4.0, 5.0, 7.0, 7.5])
    np.testing.assert_array_equal(kernels.jumps(time, value, 3, 2), [np.nan, np.nan, 3.0, 1.0, np.nan, 0.5])
    np.testing.assert_array_equal(kernels.jumps(time, value, 1, 2), [np.nan, np.nan, np.nan, 1.0, np.nan, 0.5])


def test_carried_values_reach_so_far():
    value = np.array([1.0, np.nan, np.nan, np.nan, 2.0, np.nan])
    time = np.arange(6) * 10
    np.testing.assert_array_equal(kernels.carried(time, value, 2, 100), [1, 1, 1, np.nan, 2, 2])
    np.testing.assert_array_equal(kernels.carried(time, value, 9, 10), [1, 1, np.nan, np.nan, 2, 2])


def test_runs_count_equal_values():
    value = np.array([3.0, 3.0, 3.0, 4.0, np.nan, 4.0, 4.0, 4.0])
    np.testing.assert_array_equal(kernels.runs(np.arange(8), value, 0, 9, 99), [1, 2, 3, 1, 0, 1, 2, 3])
    np.testing.assert_array_equal(kernels.runs(np.arange(8), value, 0, 2, 99), [1, 2, 2, 1, 0, 1, 2, 2])
    np.testing.assert_array_equal(kernels.runs(np.arange(8) * 10, value, 0, 9, 10), [1, 2, 2, 1, 0, 1, 2, 2])


def test_waits_are_times_since_a_value():
    time, value = np.array([0, 10, 20, 50, 60]), np.array([1.0, np.nan, 2.0, np.nan, np.nan])
    np.testing.assert_array_equal(kernels.waits(time, value, 0, 9, 35), [35, 10, 20, 30, 10])
    #                       none before ^                                      20 is 40 before, 50 has no value ^


def test_outlines_are_piecewise_means_of_squashed_values():
    value = np.arange(12.0)
    outline = kernels.outlines(np.arange(12), value, np.full(12, 2.0), 3.0, 0, 8, 99, 4)
    assert np.isnan(outline[:7]).all()
    squashed = np.arcsinh((value - 2.0) / 3.0)
    np.testing.assert_allclose(outline[9], squashed[2:10].reshape(4, 2).mean(axis=1), rtol=1e-14)
    value[5] = np.nan
    assert np.isnan(kernels.outlines(np.arange(12), value, np.zeros(12), 1.0, 0, 8, 99, 4)).all()
    assert np.isnan(kernels.outlines(np.arange(12) * 20, np.zeros(12), np.zeros(12), 1.0, 0, 8, 99, 4)).all()


def test_novelty_is_the_mean_distance_to_the_nearest_references_that_do_not_overlap():
    generator = np.random.default_rng(3)
    outline, reference = generator.normal(size=(40, 8)), generator.normal(size=(60, 8))
    time, reference_time = np.arange(40) * 10, np.arange(60) * 7
    found = kernels.novelty(time, outline, np.ascontiguousarray(reference.T), reference_time, 25, 5)
    distance = np.linalg.norm(outline[:, None] - reference[None], axis=2)
    distance[np.abs(time[:, None] - reference_time) <= 25] = np.inf
    np.testing.assert_allclose(found, np.sort(distance, axis=1)[:, :5].mean(axis=1), rtol=1e-12)


def test_novelty_makes_do_with_few_references():
    outline = np.array([[0.0, 0.0], [np.nan, np.nan]])
    reference = np.array([[3.0, 0.0], [4.0, 1.0]])  # the points (3, 4) and (0, 1)
    np.testing.assert_array_equal(
        kernels.novelty(np.array([0, 1]), outline, reference, np.array([90, 91]), 5, 5), [3.0, np.nan]
    )
    assert np.isnan(kernels.novelty(np.array([90, 91]), outline, reference, np.array([90, 91]), 5, 5)).all()


def test_memory_is_the_decayed_sum_of_the_bounded_past():
    time, _ = irregular(100, 4)
    own = np.random.default_rng(4).random((100, 3))
    memory = kernels.remembered(time, own, 0, 6, 8 * STEP, 0.5)
    for i in range(100):
        window = range(i, max(i - 6, -1), -1)
        total = sum(0.5 ** (i - j) * own[j] for j in window if time[i] - time[j] <= 8 * STEP)
        np.testing.assert_allclose(memory[i], total, rtol=1e-12)


def test_surprise_is_the_square_up_to_thirty_and_rises_for_ever():
    z = np.array([np.nan, 0.0, -3.0, 30.0, 30.0 * np.e, 1e20, np.inf])
    surprise = kernels.surprise_of(z)
    np.testing.assert_allclose(surprise[:5], [0.0, 0.0, 9.0, 900.0, 2700.0])
    assert np.isfinite(surprise).all()
    assert (np.diff(surprise[1:]) > 0).all()


def test_enough_past_is_so_many_points_within_so_much_time():
    time = np.array([0, 1, 2, 3, 20, 21, 22])
    np.testing.assert_array_equal(kernels.has_past(time, 2, 5), [False, False, True, True, False, False, True])


@pytest.mark.parametrize("first", [1, 57, 150, 199])
def test_figures_wanted_from_a_point_on_are_those_of_the_whole(first):
    time, value = irregular(200, 5)
    own, origin = np.random.default_rng(5).random((200, 3)), np.zeros(200)
    loops = {
        "recent": lambda k: kernels.recent_usual(time, value, k, 20, 30 * STEP, 5)[1],
        "spreads": lambda k: kernels.spreads(time, value, 1.5, k, 8, 10 * STEP),
        "runs": lambda k: kernels.runs(time, value, k, 8, 10 * STEP),
        "waits": lambda k: kernels.waits(time, value, k, 8, 10 * STEP),
        "outlines": lambda k: kernels.outlines(time, np.nan_to_num(value), origin, 1.0, k, 8, 20 * STEP, 4),
        "remembered": lambda k: kernels.remembered(time, own, k, 6, 8 * STEP, 0.5),
    }
    for name, loop in loops.items():
        np.testing.assert_array_equal(loop(first)[first:], loop(0)[first:], err_msg=name)

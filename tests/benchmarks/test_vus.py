"""VUS-PR by hand and by its definition, point by point."""

from __future__ import annotations

import math

import numpy as np
import pytest

from benchmarks.vus import buffer_of, joined, segments, vus_pr, windows_hit


def test_a_perfect_score_has_all_of_the_volume_without_a_buffer():
    labels = np.array([0, 0, 1, 1, 0, 0, 1, 0])
    assert vus_pr(labels, labels.astype(float), 0) == 1.0


def test_the_worst_score_has_the_share_of_labelled_points():
    labels = np.eye(10)[5]
    assert vus_pr(labels, 1 - labels, 0) == pytest.approx(0.1)


def test_half_of_the_windows_found_halves_the_recall():
    labels = np.array([0, 1, 0, 0, 0, 0, 1, 0, 0, 0])
    score = np.eye(10)[1]
    # one point predicted: recall (1 of 2 points) x (1 of 2 windows), precision 1; then all: recall 1, precision 0.2
    assert vus_pr(labels, score, 0) == pytest.approx(0.25 * 1 + 0.75 * 0.2)


def test_a_point_beside_the_window_counts_by_the_buffer():
    labels, score = np.eye(10)[5], np.eye(10)[4]
    beside = math.sqrt(1 - 1 / 2)  # buffer of 2: one point on either side
    recall = beside / ((1 + 1 + beside) / 2)
    all_hits = 1 + 2 * beside
    two = recall * beside + (1 - recall) * all_hits / 10
    # buffers of 0 and 1 reach no point beside it
    assert vus_pr(labels, score, 2) == pytest.approx((0.1 + 0.1 + two) / 3)


def by_definition(labels: np.ndarray, score: np.ndarray, buffer: int) -> float:
    """The same, written out point by point."""
    n, windows = len(labels), segments(labels)
    chosen = sorted(score, reverse=True)
    thresholds = [chosen[int(i)] for i in np.linspace(0, n - 1, 250)]
    areas = []
    for width in range(buffer + 1):
        soft = [float(label) for label in labels]
        for start, end in windows:
            for k in range(1, width // 2 + 1):
                for place in (start - k, end + k):
                    if 0 <= place < n:
                        soft[place] += math.sqrt(1 - k / width)
        soft = [min(weight, 1.0) for weight in soft]
        groups = joined(windows, width // 2, n)
        area, last = 0.0, 0.0
        for threshold in thresholds:
            predicted = [i for i in range(n) if score[i] >= threshold]
            hits = sum(soft[i] for i in predicted)
            mass = sum(labels) + sum(soft[i] for i in predicted if not labels[i])
            found = sum(any(start <= i <= end for i in predicted) for start, end in groups) / len(groups)
            recall = min(hits / ((sum(labels) + mass) / 2), 1.0) * found
            area += (recall - last) * hits / len(predicted)
            last = recall
        areas.append(area)
    return float(np.mean(areas))


@pytest.mark.parametrize("seed", range(6))
def test_the_volume_is_that_of_the_definition(seed):
    generator = np.random.default_rng(seed)
    n = int(generator.integers(60, 400))
    labels = np.zeros(n)
    for _ in range(int(generator.integers(1, 5))):
        start = int(generator.integers(0, n))
        labels[start : start + int(generator.integers(1, 12))] = 1
    score = (generator.random(n) + labels * generator.random(n)).round(int(generator.integers(1, 4)))
    assert vus_pr(labels, score, 9) == pytest.approx(by_definition(labels, score, 9), rel=1e-12)


def test_no_label_no_volume():
    assert math.isnan(vus_pr(np.zeros(5), np.arange(5.0), 3))


def test_windows_that_meet_with_their_buffers_are_one():
    assert segments(np.array([1, 1, 0, 1, 0, 0, 1])) == [(0, 1), (3, 3), (6, 6)]
    assert joined([(0, 1), (3, 3), (6, 6)], 0, 7) == [(0, 1), (3, 3), (6, 6)]
    assert joined([(0, 1), (3, 3), (6, 6)], 1, 7) == [(0, 4), (5, 6)]
    assert joined([(0, 1), (3, 3), (6, 6)], 2, 7) == [(0, 6)]


def test_the_buffer_is_the_period():
    wave = np.sin(2 * np.pi * np.arange(3000) / 48)
    assert buffer_of(wave + 0.1 * np.random.default_rng(0).normal(size=3000)) in (47, 48, 49)
    assert buffer_of(np.ones(500)) == 125
    assert buffer_of(np.arange(500.0)) == 125


def test_windows_hit_within_the_budget():
    labels = np.array([0, 1, 1, 0, 0, 1, 0, 0, 0, 0])
    score = np.array([0.1, 0.9, 0.9, 0.1, 0.8, 0.7, 0, 0, 0, 0])
    assert windows_hit(labels, score, 0.1) == (1, 2)
    assert windows_hit(labels, score, 0.3) == (1, 2)
    assert windows_hit(labels, score, 0.4) == (2, 2)

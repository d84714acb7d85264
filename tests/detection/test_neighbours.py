"""The rough measure in float32 leaves no trace: neighbours are those that measuring every reference gives."""

from __future__ import annotations

import numpy as np
import pytest

from pynomaly_pipelines.detection.frozen.kernels import neighbours as kernel
from pynomaly_pipelines.detection.frozen.neighbours import TILE, Neighbours

GENERATOR = np.random.default_rng(0)
CLOUD = GENERATOR.normal(size=(600, 9))
REFERENCES = {
    "ordinary": CLOUD,
    "far from zero": 1e9 + CLOUD,
    "tiny": 1e-30 * CLOUD,
    "huge": 1e30 * CLOUD,
    "unlike scales": CLOUD * 10.0 ** np.arange(-8, 10, 2),
    "all but equal": 5.0 + 1e-13 * CLOUD,
    "equal": np.ones((600, 9)),
    "whole numbers": GENERATOR.integers(0, 3, (600, 9)).astype(float),
    "fewer than a tile": CLOUD[:7, :3],
    "one": CLOUD[:1],
}


def measured(rows: np.ndarray, references: np.ndarray, power: int) -> np.ndarray:
    """float64[n, m]: all distances, without any short cut."""
    gaps = np.abs(rows[:, None, :] - references[None])
    return {1: gaps.sum(axis=2), 2: np.sqrt((gaps * gaps).sum(axis=2)), 0: gaps.max(axis=2)}[power]


@pytest.mark.parametrize("power", [0, 1, 2])
@pytest.mark.parametrize("kind", REFERENCES)
def test_neighbours_are_those_that_measuring_all_gives(kind, power):
    references = REFERENCES[kind]
    spread = references.std(axis=0)
    rows = np.vstack(
        [references[:3], references.mean(axis=0) + spread * np.array([[0.1], [3.0], [1e3], [1e9], [1e25]])]
    )
    expected = np.sort(measured(rows, references, power), axis=1)
    for k in {1, min(5, len(references)), min(200, len(references)), len(references)}:
        searched = Neighbours(np.ascontiguousarray(references.T), k, power, "largest")
        distances, indices = searched.search(rows)
        np.testing.assert_allclose(distances, expected[:, :k], rtol=1e-12)
        assert all(len(set(own)) == k for own in indices)
        own = np.take_along_axis(measured(rows, references, power), indices, axis=1)
        np.testing.assert_allclose(own, expected[:, :k], rtol=1e-12)


def test_of_equal_distances_the_first_reference_counts():
    searched = Neighbours(np.zeros((2, 700)), 4, 2, "largest")
    np.testing.assert_array_equal(searched.search(np.ones((3, 2)))[1], [[0, 1, 2, 3]] * 3)


def test_rows_that_are_no_numbers_read_no_foreign_memory():
    searched = Neighbours(np.ascontiguousarray(CLOUD.T), 5, 1, "largest")
    distances, indices = searched.search(np.array([[np.nan] * 9, [np.inf] * 9, [-np.inf] * 9]))
    assert not np.isfinite(distances).any()
    assert ((indices >= 0) & (indices < 600)).all()


def test_both_sides_cut_tiles_alike():
    assert kernel.TILE == TILE

"""Rows down isolation trees -> depths, and what each split takes off them."""

from __future__ import annotations

import numpy as np

from pynomaly_pipelines.detection.arrays import AnyArray, Floats
from pynomaly_pipelines.detection.compiled import compiled


@compiled
def walk(x: AnyArray, features: AnyArray, thresholds: AnyArray, leaves: Floats, levels: int) -> Floats:
    """float64[n]: the sum over trees of the depth at which a row is isolated, in complete heap-ordered trees.

    x: float32[n, d]; features: int32[trees, 2**levels - 1]; thresholds: float32, same shape; leaves:
    float64[trees, 2**levels]. Eight rows go down a tree side by side, or one row down eight trees, to overlap the
    waits for memory.
    """
    rows = x.shape[0]
    trees, inner = features.shape
    out = np.zeros(rows)
    whole = rows - rows % 8
    for i in range(0, whole, 8):
        for t in range(trees):
            a = b = c = d = e = f = g = h = 0
            for _ in range(levels):
                a = 2 * a + 1 + (x[i, features[t, a]] > thresholds[t, a])
                b = 2 * b + 1 + (x[i + 1, features[t, b]] > thresholds[t, b])
                c = 2 * c + 1 + (x[i + 2, features[t, c]] > thresholds[t, c])
                d = 2 * d + 1 + (x[i + 3, features[t, d]] > thresholds[t, d])
                e = 2 * e + 1 + (x[i + 4, features[t, e]] > thresholds[t, e])
                f = 2 * f + 1 + (x[i + 5, features[t, f]] > thresholds[t, f])
                g = 2 * g + 1 + (x[i + 6, features[t, g]] > thresholds[t, g])
                h = 2 * h + 1 + (x[i + 7, features[t, h]] > thresholds[t, h])
            out[i] += leaves[t, a - inner]
            out[i + 1] += leaves[t, b - inner]
            out[i + 2] += leaves[t, c - inner]
            out[i + 3] += leaves[t, d - inner]
            out[i + 4] += leaves[t, e - inner]
            out[i + 5] += leaves[t, f - inner]
            out[i + 6] += leaves[t, g - inner]
            out[i + 7] += leaves[t, h - inner]
    eight = trees - trees % 8
    for i in range(whole, rows):
        for t in range(0, eight, 8):
            a = b = c = d = e = f = g = h = 0
            for _ in range(levels):
                a = 2 * a + 1 + (x[i, features[t, a]] > thresholds[t, a])
                b = 2 * b + 1 + (x[i, features[t + 1, b]] > thresholds[t + 1, b])
                c = 2 * c + 1 + (x[i, features[t + 2, c]] > thresholds[t + 2, c])
                d = 2 * d + 1 + (x[i, features[t + 3, d]] > thresholds[t + 3, d])
                e = 2 * e + 1 + (x[i, features[t + 4, e]] > thresholds[t + 4, e])
                f = 2 * f + 1 + (x[i, features[t + 5, f]] > thresholds[t + 5, f])
                g = 2 * g + 1 + (x[i, features[t + 6, g]] > thresholds[t + 6, g])
                h = 2 * h + 1 + (x[i, features[t + 7, h]] > thresholds[t + 7, h])
            # added one by one, in the order of the trees, as above: the same bits
            out[i] += leaves[t, a - inner]
            out[i] += leaves[t + 1, b - inner]
            out[i] += leaves[t + 2, c - inner]
            out[i] += leaves[t + 3, d - inner]
            out[i] += leaves[t + 4, e - inner]
            out[i] += leaves[t + 5, f - inner]
            out[i] += leaves[t + 6, g - inner]
            out[i] += leaves[t + 7, h - inner]
        for t in range(eight, trees):
            a = 0
            for _ in range(levels):
                a = 2 * a + 1 + (x[i, features[t, a]] > thresholds[t, a])
            out[i] += leaves[t, a - inner]
    return out


@compiled
def walk_sparse(
    x: AnyArray, roots: AnyArray, children: AnyArray, features: AnyArray, thresholds: AnyArray, leaves: Floats
) -> Floats:
    """As `walk`, for trees too deep to pad: children int32[nodes, 2] (-1 = leaf), all trees end to end."""
    out = np.zeros(x.shape[0])
    for i in range(x.shape[0]):
        for root in roots:
            node = root
            while children[node, 0] >= 0:
                side = 1 if x[i, features[node]] > thresholds[node] else 0
                node = children[node, side]
            out[i] += leaves[node]
    return out


@compiled
def walk_heap_drops(x: AnyArray, features: AnyArray, thresholds: AnyArray, expected: Floats, levels: int) -> Floats:
    """As `walk_drops`, in the padded trees of `walk`; expected: float64[trees, 2**(levels + 1) - 1].

    Padding repeats a leaf's depth, so that its steps add nothing. Four trees at a time.
    """
    trees = features.shape[0]
    out = np.zeros(x.shape)
    four = trees - trees % 4
    for i in range(x.shape[0]):
        for t in range(0, four, 4):
            a = b = c = d = 0
            for _ in range(levels):
                p, q, r, s = features[t, a], features[t + 1, b], features[t + 2, c], features[t + 3, d]
                e = 2 * a + 1 + (x[i, p] > thresholds[t, a])
                f = 2 * b + 1 + (x[i, q] > thresholds[t + 1, b])
                g = 2 * c + 1 + (x[i, r] > thresholds[t + 2, c])
                h = 2 * d + 1 + (x[i, s] > thresholds[t + 3, d])
                out[i, p] += expected[t, a] - expected[t, e]
                out[i, q] += expected[t + 1, b] - expected[t + 1, f]
                out[i, r] += expected[t + 2, c] - expected[t + 2, g]
                out[i, s] += expected[t + 3, d] - expected[t + 3, h]
                a, b, c, d = e, f, g, h
        for t in range(four, trees):
            a = 0
            for _ in range(levels):
                p = features[t, a]
                e = 2 * a + 1 + (x[i, p] > thresholds[t, a])
                out[i, p] += expected[t, a] - expected[t, e]
                a = e
    return out


@compiled
def walk_drops(
    x: AnyArray, roots: AnyArray, children: AnyArray, features: AnyArray, thresholds: AnyArray, expected: Floats
) -> Floats:
    """float64[n, d]: by how much each feature's splits shorten a row's expected path, summed over trees.

    expected: float64[nodes], the mean isolation depth of the training rows that reach a node. A split changes it;
    the change belongs to the feature that splits (Saabas 2014). The sum over features is root minus leaf: additive.
    """
    out = np.zeros(x.shape)
    for i in range(x.shape[0]):
        for root in roots:
            node = root
            while children[node, 0] >= 0:
                feature = features[node]
                side = 1 if x[i, feature] > thresholds[node] else 0
                below = children[node, side]
                out[i, feature] += expected[node] - expected[below]
                node = below
    return out


@compiled
def isolation(depths: Floats, denominator: float, offset: float) -> Floats:
    """float64[n]: ``2 ** (-depth / denominator) + offset``; 0.5 for the depth of a forest grown on one row."""
    out = np.empty(depths.size)
    for i in range(depths.size):
        out[i] = (0.5 if denominator == 0.0 else 2.0 ** (-depths[i] / denominator)) + offset
    return out

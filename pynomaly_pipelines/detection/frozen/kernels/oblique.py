"""Rows down trees that cut two columns at once -> depths, and what each cut takes off them."""

from __future__ import annotations

import numpy as np

from pynomaly_pipelines.detection.arrays import AnyArray, Floats
from pynomaly_pipelines.detection.compiled import compiled


@compiled
def walk_oblique(
    x: AnyArray, features: AnyArray, coefficients: AnyArray, thresholds: AnyArray, depths: Floats
) -> Floats:
    """float64[n]: minus the mean depth of a row's leaves; arrays as in `ObliqueForest`, x: float32[n, d].

    Four trees at a time, to overlap the waits for memory; depths are added in the order of the trees.
    """
    trees, inner = thresholds.shape
    out = np.empty(x.shape[0])
    four = trees - trees % 4
    for i in range(x.shape[0]):
        row = x[i]
        total = 0.0
        for t in range(0, four, 4):
            a = b = c = d = 0
            while a < inner:
                e, f = features[t, a], features[t + 1, b]
                g, h = features[t + 2, c], features[t + 3, d]
                p, q = coefficients[t, a], coefficients[t + 1, b]
                r, s = coefficients[t + 2, c], coefficients[t + 3, d]
                a = 2 * a + 1 + (p[0] * row[e[0]] + p[1] * row[e[1]] > thresholds[t, a])
                b = 2 * b + 1 + (q[0] * row[f[0]] + q[1] * row[f[1]] > thresholds[t + 1, b])
                c = 2 * c + 1 + (r[0] * row[g[0]] + r[1] * row[g[1]] > thresholds[t + 2, c])
                d = 2 * d + 1 + (s[0] * row[h[0]] + s[1] * row[h[1]] > thresholds[t + 3, d])
            total += depths[t, a]
            total += depths[t + 1, b]
            total += depths[t + 2, c]
            total += depths[t + 3, d]
        for t in range(four, trees):
            a = 0
            while a < inner:
                e, p = features[t, a], coefficients[t, a]
                a = 2 * a + 1 + (p[0] * row[e[0]] + p[1] * row[e[1]] > thresholds[t, a])
            total += depths[t, a]
        out[i] = -total / trees
    return out


@compiled
def walk_oblique_drops(
    x: AnyArray, features: AnyArray, coefficients: AnyArray, thresholds: AnyArray, depths: Floats
) -> Floats:
    """float64[n, d]: what each column's splits take off the expected depth, at least 0, summed over trees."""
    trees, inner = thresholds.shape
    out = np.zeros(x.shape)
    for i in range(x.shape[0]):
        for t in range(trees):
            node = 0
            while node < inner and thresholds[t, node] < np.inf:
                first, second = features[t, node]
                a, b = coefficients[t, node, 0] * x[i, first], coefficients[t, node, 1] * x[i, second]
                below = 2 * node + 1 + (a + b > thresholds[t, node])
                drop = depths[t, node] - depths[t, below]
                weight = abs(a) + abs(b)
                part = abs(a) / weight if weight > 0.0 else 0.5
                out[i, first] += drop * part
                out[i, second] += drop * (1.0 - part)
                node = below
        for j in range(x.shape[1]):
            out[i, j] = max(out[i, j], 0.0)
    return out

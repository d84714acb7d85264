"""Volume under the range-aware precision-recall surface (VUS-PR) of one scored series.

Paparrizos, Boniol, Palpanas, Tsay, Elmore & Franklin, "Volume Under the Surface: A New Accuracy Evaluation Measure for
Time-Series Anomaly Detection", PVLDB 15(11), 2022; with the choices of the TSB-AD benchmark (Liu & Paparrizos,
NeurIPS 2024): 250 thresholds, buffers of 0 … w points, w from the autocorrelation of the series.

For a buffer of b points, a label fades from 1 at the ends of each labelled window to both sides over b/2 points by
sqrt(1 - distance / b). Predicted points count as hits by this label. Recall is taken of the mean of the labelled
points and the predicted and labelled mass, times the share of windows (with their buffers) that hold any predicted
point; precision is of all predicted points. The volume is the mean over b of the areas under these curves.
"""

from __future__ import annotations

import numpy as np

THRESHOLDS = 250
DEFAULT_BUFFER = 125
LONGEST_PERIOD = 300


def vus_pr(labels: np.ndarray, score: np.ndarray, buffer: int) -> float:
    """VUS-PR of scores float64[n] against labels {0, 1}[n], buffers 0 … `buffer`; NaN without a labelled point."""
    windows = segments(labels)
    if not windows:
        return float("nan")
    # The first threshold that each point reaches; a point is predicted from that threshold on.
    thresholds = np.sort(score)[::-1][np.linspace(0, len(score) - 1, THRESHOLDS).astype(int)]
    reached = np.searchsorted(-thresholds, -score, side="left")
    predicted = _cumulated(reached, np.ones(len(score)))
    inside = np.asarray(labels) > 0
    hits_inside = _cumulated(reached[inside], np.ones(int(inside.sum())))
    areas = []
    for width in range(buffer + 1):
        soft = _soft_labels(inside, windows, width)
        beside = (soft > 0) & ~inside
        hits_beside = _cumulated(reached[beside], soft[beside])
        found = _windows_found(reached, joined(windows, width // 2, len(score)))
        hits = hits_inside + hits_beside
        labelled = inside.sum() + hits_beside  # the labelled windows whole, of the buffers what is predicted
        recall = np.minimum(hits / ((inside.sum() + labelled) / 2), 1.0) * found
        areas.append(float(np.dot(np.diff(recall, prepend=0.0), hits / predicted)))
    return float(np.mean(areas))


def segments(labels: np.ndarray) -> list[tuple[int, int]]:
    """First and last index of each run of ones."""
    change = np.diff(np.concatenate([[0], (np.asarray(labels) > 0).astype(int), [0]]))
    return list(zip(np.flatnonzero(change == 1).tolist(), (np.flatnonzero(change == -1) - 1).tolist(), strict=True))


def joined(windows: list[tuple[int, int]], reach: int, n: int) -> list[tuple[int, int]]:
    """The windows with `reach` points on either side, those that meet taken as one."""
    out = [(max(windows[0][0] - reach, 0), windows[0][1] + reach)]
    for start, end in windows[1:]:
        if out[-1][1] < start - reach:
            out.append((start - reach, end + reach))
        else:
            out[-1] = (out[-1][0], end + reach)
    return [(start, min(end, n - 1)) for start, end in out]


def buffer_of(value: np.ndarray) -> int:
    """The period of a series by its autocorrelation, as TSB-AD takes it for the longest buffer.

    The highest local maximum at lags from 3, up to 300; 125 where there is none or it lies outside.
    """
    x = np.asarray(value, dtype=float)[:20_000]
    x = x - x.mean()
    power = np.abs(np.fft.rfft(x, 2 * len(x))) ** 2
    correlation = np.fft.irfft(power)[: min(len(x), 401)]
    if correlation[0] <= 0:
        return DEFAULT_BUFFER
    tail = (correlation / correlation[0])[3:]
    peaks = np.flatnonzero((tail[1:-1] > tail[:-2]) & (tail[1:-1] > tail[2:])) + 1
    if not peaks.size:
        return DEFAULT_BUFFER
    best = int(peaks[np.argmax(tail[peaks])])
    return best + 3 if 3 <= best <= LONGEST_PERIOD else DEFAULT_BUFFER


def windows_hit(labels: np.ndarray, score: np.ndarray, budget: float) -> tuple[int, int]:
    """How many labelled windows hold one of the highest `budget` share of points, and how many there are.

    Of equal scores the earlier point alerts.
    """
    alerts = np.zeros(len(score), dtype=bool)
    alerts[np.argsort(-score, kind="stable")[: max(round(budget * len(score)), 1)]] = True
    windows = segments(labels)
    return sum(bool(alerts[start : end + 1].any()) for start, end in windows), len(windows)


def _cumulated(reached: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Weight of the points predicted at each threshold, float64[THRESHOLDS]."""
    return np.cumsum(np.bincount(reached, weights=weight, minlength=THRESHOLDS)[:THRESHOLDS])


def _soft_labels(inside: np.ndarray, windows: list[tuple[int, int]], width: int) -> np.ndarray:
    soft = inside.astype(float)
    distance = np.arange(1, width // 2 + 1)
    fading = np.sqrt(1.0 - distance / max(width, 1))
    for start, end in windows:
        for places in (end + distance, start - distance):
            there = (places >= 0) & (places < len(soft))
            soft[places[there]] += fading[there]
    return np.minimum(soft, 1.0)


def _windows_found(reached: np.ndarray, windows: list[tuple[int, int]]) -> np.ndarray:
    """Share of windows with a predicted point at each threshold, float64[THRESHOLDS]."""
    first = np.sort([reached[start : end + 1].min() for start, end in windows])
    return np.searchsorted(first, np.arange(THRESHOLDS), side="right") / len(windows)

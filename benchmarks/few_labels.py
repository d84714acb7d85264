"""What a few labelled anomalies add: the label-free detector beside the blend, by share of anomalies labelled.

    python -m benchmarks.few_labels [--data FOLDER] [--seeds 0,1,2] [--least 140]

Per data set with at least `--least` anomalies and per seed: 70/30 split, a random 1, 5 or 10 % of the training
anomalies labelled (2 at least), every other training row without a label. Figures are those of the other 30 %.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.labelled import DEFAULT, data_sets, figures, intervals, jobs, split
from pynomaly_pipelines.detection.ensemble import Ensemble
from pynomaly_pipelines.detection.semi_supervised import Blend

SHARES = (0.0, 0.01, 0.05, 0.1)


def some_labels(truth: np.ndarray, share: float, seed: int) -> np.ndarray:
    """1 for a random share of the anomalies, NaN for every other row."""
    anomalies = np.flatnonzero(truth == 1)
    count = max(2, round(share * anomalies.size)) if share else 0
    labels = np.full(truth.size, np.nan)
    labels[np.random.default_rng(seed).permutation(anomalies)[:count]] = 1
    return labels


def blended(x: np.ndarray, labelled: np.ndarray, rows: np.ndarray, seed: int) -> np.ndarray:
    """Raw scores of `Detector("auto").fit(x, labels)`, which its calibrated scores rank alike."""
    base = Ensemble.fit(x[~labelled], seed)
    if not labelled.any():
        return base.raw(rows)
    nobody = np.zeros(int((~labelled).sum()), dtype=bool)
    return Blend.fit(base, x[~labelled], nobody, x[labelled], seed).raw(rows)


def measure(folder: Path, seeds: list[int], least: int, without: list[str]) -> pd.DataFrame:
    """One row a data set, seed and share: labels, ROC AUC, average precision."""
    found = []
    for name, seed in jobs([n for n in data_sets(folder) if n not in without], seeds):
        train, test, known, truth = split(folder, name, seed)
        if known.sum() + truth.sum() < least:
            continue
        for share in SHARES:
            labels = some_labels(known, share, seed)
            scores = blended(train.to_numpy(float), labels == 1, test.to_numpy(float), seed)
            found.append((name, seed, share, int(np.nansum(labels)), *figures(truth, scores)))
        print(f"{name} seed {seed}", file=sys.stderr, flush=True)
    return pd.DataFrame(found, columns=["data", "seed", "share", "labels", "auc", "precision"])


def report(found: pd.DataFrame) -> str:
    lines = ["| data set | " + " | ".join(f"{share:.0%}" for share in SHARES) + " |", "| --- " * 5 + "|"]
    auc, precision = (found.pivot_table(index="data", columns="share", values=v) for v in ("auc", "precision"))
    lines += [
        f"| {name} | " + " | ".join(f"{auc[s][name]:.1f} / {precision[s][name]:.1f}" for s in SHARES) + " |"
        for name in auc.index
    ]
    means = " | ".join(f"**{auc[s].mean():.1f} / {precision[s].mean():.1f}**" for s in SHARES)
    lines += [f"| **mean of {len(auc)}** | {means} |", ""]
    for share in SHARES[1:]:
        for label, table in (("ROC AUC", auc), ("AP", precision)):
            gap = (table[share] - table[0.0]).to_numpy()
            low, high = intervals(gap)
            worst = f"{table.index[gap.argmin()]} {gap.min():+.1f}"
            lines.append(f"{share:.0%} {label}: {gap.mean():+.1f} ({low:+.1f} … {high:+.1f}), least {worst}")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DEFAULT)
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--least", type=int, default=140)
    parser.add_argument("--without", default="", help="data sets to leave out, by name")
    chosen = parser.parse_args()
    if not data_sets(chosen.data):
        print(f"Skipped: no NAME.parquet in {chosen.data}; give a folder of labelled data sets with --data.")
        return
    print(
        report(measure(chosen.data, [int(s) for s in chosen.seeds.split(",")], chosen.least, chosen.without.split(",")))
    )


if __name__ == "__main__":
    main()

"""Label-free detection on labelled data sets: ours beside PyOD's detectors and PyOD's own choice.

    python -m benchmarks.quality [--data FOLDER] [--seeds 0,1,2] [--out FILE.csv] [--only auto,IForest]

Per data set and seed: stratified 70/30 split, fit on the 70 % without labels (anomalies are in it), score the 30 %.
Printed: ROC AUC / average precision in % per data set, auto's lowest and highest over the seeds, means, paired
comparisons. `oracle` is the best single detector of those run per data set, which nobody can know without labels.
PyOD's detectors score through their frozen forms, which equal `decision_function` (tests/detection/test_equality.py).
`benchmarks.nested` says how much auto's figures owe to having been chosen here.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.labelled import DEFAULT, data_sets, figures, intervals, jobs, split
from pynomaly_pipelines.detection.arrays import Floats
from pynomaly_pipelines.detection.columns import Encoder
from pynomaly_pipelines.detection.ensemble import Ensemble
from pynomaly_pipelines.detection.members import fit_frozen
from pynomaly_pipelines.detection.offered import OFFERS
from pynomaly_pipelines.operations.errors import PynomalyError

SINGLES = ("IForest", "ECOD", "HBOS", "KNN", "COPOD", "MCD", "PCA", "GMM", "LODA", "INNE", "CBLOF", "LOF", "OCSVM")
METHODS = ("auto", *SINGLES, "ADEngine")


def scores(method: str, train: pd.DataFrame, test: pd.DataFrame, seed: int) -> Floats:
    """Raw scores of the test rows by a method fitted on the training rows; calibration would keep their order."""
    if method == "auto":
        encoder = Encoder.learn(train)
        return Ensemble.fit(encoder.encode(train), seed).raw(encoder.encode(test))
    x, rows = train.to_numpy(dtype=np.float64), test.to_numpy(dtype=np.float64)
    if method == "ADEngine":
        return _ad_engine(x, rows)
    return fit_frozen(OFFERS[method], x, seed, {}).raw(rows)


def _ad_engine(x: Floats, rows: Floats) -> Floats:
    """What PyOD's ADEngine chooses for these rows."""
    from pyod.utils.ad_engine import ADEngine

    engine = ADEngine()
    model = engine.build_detector(engine.plan_detection(engine.profile_data(x)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return np.asarray(model.fit(x).decision_function(rows))


def measure(folder: Path, seeds: list[int], methods: list[str]) -> pd.DataFrame:
    """One row a data set, seed and method: ROC AUC, average precision, seconds; NaN where the method failed."""
    found = []
    for name, seed in jobs(data_sets(folder), seeds):
        train, test, _, truth = split(folder, name, seed)
        for method in methods:
            start = time.perf_counter()
            try:
                auc, precision = figures(truth, scores(method, train, test, seed))
            except (PynomalyError, ValueError) as error:
                print(f"{method} failed on {name}: {error}", file=sys.stderr)
                auc = precision = np.nan
            found.append((name, seed, method, auc, precision, time.perf_counter() - start))
        print(f"{name} seed {seed}", file=sys.stderr, flush=True)
    return pd.DataFrame(found, columns=["data", "seed", "method", "auc", "precision", "seconds"])


def report(found: pd.DataFrame) -> str:
    """Markdown: a line a data set, the means, and auto against each other method."""
    auc, precision = (found.pivot_table(index="data", columns="method", values=v) for v in ("auc", "precision"))
    singles = [m for m in SINGLES if m in auc]
    shown = [m for m in ("auto", "IForest", "ECOD", "HBOS", "KNN", "ADEngine") if m in auc]
    for table in (auc, precision):
        table["oracle"] = table[singles].max(axis=1)
    shown.append("oracle")
    lines = [f"| data set | {' | '.join(shown)} | auto over seeds |", "| --- " * (len(shown) + 2) + "|"]
    ours = found[found.method == "auto"].groupby("data")[["auc", "precision"]].agg(["min", "max"])
    for name in auc.index:
        cells = " | ".join(f"{auc[m][name]:.1f} / {precision[m][name]:.1f}" for m in shown)
        low, high, least, most = ours.loc[name]
        lines += [f"| {name} | {cells} | {low:.1f} … {high:.1f} / {least:.1f} … {most:.1f} |"]
    means = " | ".join(f"**{auc[m].mean():.2f} / {precision[m].mean():.2f}**" for m in shown)
    lines += [f"| **mean of {len(auc)}** | {means} | |", "", *_comparisons(auc, precision, [*singles, "ADEngine"])]
    return "\n".join([*lines, "", *_by_seed(found)])


def _comparisons(auc: pd.DataFrame, precision: pd.DataFrame, others: list[str]) -> list[str]:
    from scipy.stats import wilcoxon

    lines = ["| auto minus | ROC AUC | 95 % interval | p | AP | 95 % interval | p |", "| --- " * 7 + "|"]
    for other in (o for o in others if o in auc):
        cells = []
        for table in (auc, precision):
            gap = (table["auto"] - table[other]).dropna().to_numpy()
            low, high = intervals(gap)
            cells.append(f"{gap.mean():+.2f} | {low:+.2f} … {high:+.2f} | {wilcoxon(gap).pvalue:.4f}")
        lines.append(f"| {other} | {' | '.join(cells)} |")
    return lines


def _by_seed(found: pd.DataFrame) -> list[str]:
    ours = found[found.method == "auto"].groupby("seed")[["auc", "precision"]].mean()
    return [f"auto, seed {seed}: {row.auc:.2f} / {row.precision:.2f}" for seed, row in ours.iterrows()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DEFAULT)
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--only", default=",".join(METHODS))
    parser.add_argument("--out", type=Path)
    chosen = parser.parse_args()
    if not data_sets(chosen.data):
        print(f"Skipped: no NAME.parquet in {chosen.data}; give a folder of labelled data sets with --data.")
        return
    found = measure(chosen.data, [int(s) for s in chosen.seeds.split(",")], chosen.only.split(","))
    if chosen.out:
        found.to_csv(chosen.out, index=False)
    print(report(found))


if __name__ == "__main__":
    main()

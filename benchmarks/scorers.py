"""Frozen scorers against PyOD's own `decision_function`: rows a second, time of one row, loading.

    python -m benchmarks.scorers [--rows 100000] [--columns 20] [--detectors IForest,HBOS,ECOD]

Set OMP_NUM_THREADS=1 for one thread. Ours is timed on the encoded matrix, as PyOD is, and from the frame, as the
stages and the service call it.
"""

from __future__ import annotations

import argparse
import tempfile
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from pynomaly_pipelines.detection import Detector, Scorer
from pynomaly_pipelines.detection.offered import OFFERS, pyod_class

SIZES = (1, 1_000, 20_000)


def seconds(work: Callable[[], object], least: float = 0.3) -> float:
    """Best of three, each repeated for `least` seconds; the first call, which compiles, is not counted.

    Processor time, not wall time: the figures hold on a machine that does other work too.
    """
    work()
    best = float("inf")
    for _ in range(3):
        count, start = 0, time.process_time()
        while (passed := time.process_time() - start) < least:
            work()
            count += 1
        best = min(best, passed / count)
    return best


def rows_of(rows: int, columns: int, seed: int) -> pd.DataFrame:
    values = np.random.default_rng(seed).normal(size=(rows, columns))
    return pd.DataFrame(values, columns=[f"c{j}" for j in range(columns)])


def compare(name: str, train: pd.DataFrame) -> dict[str, Any]:
    """Seconds for each size: PyOD, ours on the matrix, ours from the frame, scoring with reasons."""
    offered = OFFERS[name]
    scorer = Detector(name, seed=0).fit(train)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = pyod_class(offered)(**({offered.seed: 0} if offered.seed else {})).fit(fitted_rows(name, train))
    found: dict[str, Any] = {"name": name}
    for size in SIZES:
        frame = rows_of(size, train.shape[1], 1)
        matrix = frame.to_numpy().copy()
        encoded = scorer.encoder.encode(frame)
        found[f"pyod {size}"] = seconds(lambda x=matrix: model.decision_function(x))
        found[f"ours {size}"] = seconds(lambda x=encoded: scorer.frozen.raw(x))
        found[f"frame {size}"] = seconds(lambda x=frame: scorer.score(x))
    frame = rows_of(1_000, train.shape[1], 1)
    found["assess 1000"] = seconds(lambda: scorer.assess(frame))
    with tempfile.TemporaryDirectory() as folder:
        scorer.save(folder)
        found["load"] = seconds(lambda: Scorer.load(folder))
    return found


def fitted_rows(name: str, train: pd.DataFrame) -> np.ndarray:
    """PyOD gets all rows where it can be fitted on them in reasonable time."""
    slow = {"LOF": 20_000, "OCSVM": 10_000, "KDE": 10_000, "INNE": 20_000, "MCD": 50_000, "GMM": 50_000}
    return train.to_numpy()[: slow.get(name, len(train))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--columns", type=int, default=20)
    parser.add_argument("--detectors", default=",".join(OFFERS))
    chosen = parser.parse_args()
    train = rows_of(chosen.rows, chosen.columns, 0)
    print(f"{chosen.rows:,} × {chosen.columns} training rows, one thread; ratios are PyOD's time over ours\n")
    heads = "detector", "1 row, ours", "PyOD", "ratio", "1000 rows", "20,000 rows", "rows/s"
    print(f"| {' | '.join(heads)} | frame, 1 row | assess ÷ score | load |")
    print("| --- " * 10 + "|")
    for name in chosen.detectors.split(","):
        t = compare(name, train)
        ratio = {size: t[f"pyod {size}"] / t[f"ours {size}"] for size in SIZES}
        print(
            f"| {name} | {t['ours 1'] * 1e6:.1f} µs | {t['pyod 1'] * 1e6:,.0f} µs | {ratio[1]:,.0f}× "
            f"| {ratio[1_000]:.1f}× | {ratio[20_000]:.1f}× | {20_000 / t['ours 20000']:,.0f} "
            f"| {t['frame 1'] * 1e6:,.0f} µs | {t['assess 1000'] / t['frame 1000']:.1f} | {t['load'] * 1e3:.1f} ms |",
            flush=True,
        )


if __name__ == "__main__":
    main()

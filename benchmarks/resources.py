"""Memory and processor time of fitting and scoring a million rows of 20 columns, each in a fresh process.

python -m benchmarks.resources [--rows 1000000] [--columns 20] [--detectors auto,IForest]
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from pynomaly_pipelines.detection import Detector, Scorer

STEPS = ("frame", "fit", "score")
"""What one process does: make the frame only, fit and save, or load and score."""


def frame_of(rows: int, columns: int, seed: int) -> pd.DataFrame:
    values = np.random.default_rng(seed).normal(size=(rows, columns))
    return pd.DataFrame(values, columns=[f"c{j}" for j in range(columns)])


def step(name: str, detector: str, rows: int, columns: int, folder: Path) -> dict[str, float]:
    """Processor seconds of the step and the whole process's peak memory in GiB."""
    frame = frame_of(rows, columns, STEPS.index(name))
    start = time.process_time()
    if name == "fit":
        Detector(detector, seed=0).fit(frame).save(folder)
    if name == "score":
        Scorer.load(folder).score(frame)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return {"seconds": time.process_time() - start, "peak": peak}


def measured(name: str, detector: str, rows: int, columns: int, folder: Path) -> dict[str, float]:
    """`step` in a process of its own."""
    order = [sys.executable, "-m", "benchmarks.resources", "--rows", str(rows), "--columns", str(columns)]
    out = subprocess.run([*order, "--step", name, detector, str(folder)], check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(out.stdout)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--columns", type=int, default=20)
    parser.add_argument("--detectors", default="auto,IForest")
    parser.add_argument("--step", nargs=3, metavar=("STEP", "DETECTOR", "FOLDER"), help="for the processes it starts")
    chosen = parser.parse_args()
    if chosen.step:
        name, detector, folder = chosen.step
        print(json.dumps(step(name, detector, chosen.rows, chosen.columns, Path(folder))))
        return
    print("| detector | step | processor time | peak memory, the frame's included |\n| --- | --- | --- | --- |")
    for detector in chosen.detectors.split(","):
        with tempfile.TemporaryDirectory() as folder:
            for name in STEPS:
                found = measured(name, detector, chosen.rows, chosen.columns, Path(folder))
                print(f"| {detector} | {name} | {found['seconds']:.1f} s | {found['peak']:.2f} GiB |", flush=True)


if __name__ == "__main__":
    main()

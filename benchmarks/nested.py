"""How much auto's figures owe to having been chosen on the data sets they are measured on.

    python -m benchmarks.nested [--data FOLDER] [--seeds 0,1,2]

Recipes that were all candidates for auto are measured as in `benchmarks.quality`. The best on all data sets flatters
itself; so each data set is also given the recipe that is best on the others, which is what a new data set can expect.
"Best" is the greatest sum of ROC AUC and average precision.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.labelled import DEFAULT, data_sets, figures, jobs, split
from pynomaly_pipelines.detection import ensemble
from pynomaly_pipelines.detection.arrays import Floats
from pynomaly_pipelines.detection.calibration import Calibration
from pynomaly_pipelines.detection.columns import Encoder

NEIGHBOURS = {
    "inner": ("inner",),
    "dense": ("dense",),
    "dense, tempered": ("dense, tempered",),
    "inner and dense": ("inner", "dense"),
    "inner and dense, tempered": ("inner", "dense, tempered"),
    "dense, plain and tempered": ("dense", "dense, tempered"),
    "all three": ("inner", "dense", "dense, tempered"),
}
MAHALANOBIS = ("all rows", "inner 0.8", "inner 0.7, tempered")
WEIGHTS = {"neighbours alone": 0.0, "neighbours twice": 0.5, "both alike": 1.0}


def levels(x: Floats, rows: Floats, seed: int) -> dict[str, Floats]:
    """The level of each member that was a candidate, for the test rows."""
    rarity = ensemble.rarity_of(x, seed)
    members = {
        "all rows": ensemble.mahalanobis(x, 0.1),
        "inner 0.8": ensemble.mahalanobis(ensemble.inner(x, rarity, 0.8), 1e-3),
        "inner 0.7, tempered": ensemble.mahalanobis(ensemble.inner(x, rarity, 0.7), 1e-3, tempered=True),
    }
    dense = ensemble.dense(x, rarity, 0.7, seed)
    members["inner"] = ensemble.neighbours(ensemble.inner(x, rarity, 0.5), seed, tempered=True)
    members["dense"] = ensemble.neighbours(dense, seed)
    members["dense, tempered"] = ensemble.neighbours(dense, seed, tempered=True)
    found = {}
    for name, (space, detector) in members.items():
        calibration = Calibration.learn(detector.raw(space.of(x)), ensemble.LEVEL_SHAPE)
        found[name] = calibration.levels_of(detector.raw(space.of(rows)))
    return found


def recipes(found: dict[str, Floats]) -> dict[str, Floats]:
    """The scores of the test rows by each recipe."""
    far = np.mean([found[name] for name in MAHALANOBIS], axis=0)
    return {
        f"{near}, {weight}": np.mean([found[name] for name in names], axis=0) + factor * far
        for near, names in NEIGHBOURS.items()
        for weight, factor in WEIGHTS.items()
    }


def measure(folder: Path, seeds: list[int]) -> pd.DataFrame:
    """One row a data set, seed and recipe: ROC AUC and average precision."""
    found = []
    for name, seed in jobs(data_sets(folder), seeds):
        train, test, _, truth = split(folder, name, seed)
        encoder = Encoder.learn(train)
        scores = recipes(levels(encoder.encode(train), encoder.encode(test), seed))
        found += [(name, recipe, *figures(truth, values)) for recipe, values in scores.items()]
        print(f"{name} seed {seed}", file=sys.stderr, flush=True)
    return pd.DataFrame(found, columns=["data", "recipe", "auc", "precision"])


def report(found: pd.DataFrame) -> str:
    """Markdown: the mean of each recipe, the best, and what each data set gets from the best on the others."""
    tables = [found.pivot_table(index="data", columns="recipe", values=v) for v in ("auc", "precision")]
    worth = sum(tables)
    order = worth.mean().sort_values(ascending=False).index
    rows = [f"| {recipe} | {' / '.join(f'{table[recipe].mean():.2f}' for table in tables)} |" for recipe in order]
    chosen = {name: worth.drop(index=name).mean().idxmax() for name in worth.index}
    nested = [np.mean([table.loc[name, recipe] for name, recipe in chosen.items()]) for table in tables]
    told = [
        "",
        f"recipes chosen: {pd.Series(chosen).value_counts().to_dict()}",
        f"chosen with each data set left out in turn: {nested[0]:.2f} / {nested[1]:.2f}",
    ]
    return "\n".join(["| recipe | ROC AUC / AP |", "| --- | --- |", *rows, *told])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DEFAULT)
    parser.add_argument("--seeds", default="0,1,2")
    chosen = parser.parse_args()
    if not data_sets(chosen.data):
        print(f"Skipped: no NAME.parquet in {chosen.data}; give a folder of labelled data sets with --data.")
        return
    print(report(measure(chosen.data, [int(s) for s in chosen.seeds.split(",")])))


if __name__ == "__main__":
    main()

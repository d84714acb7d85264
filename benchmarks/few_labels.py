"""What a few labelled anomalies add: the label-free detector beside the blend, by share of anomalies labelled.

    python -m benchmarks.few_labels [--data FOLDER] [--seeds 0,1,2] [--least 140] [--keep FILE.csv] [--misled]

Per data set with at least `--least` anomalies and per seed: 70/30 split, a random 1, 5 or 10 % of the training
anomalies labelled (2 at least), every other training row without a label. Figures are those of the other 30 %.
Beside the blend stand extremely randomised trees that take unlabelled rows for ordinary, on the columns and the
label-free levels: alone, and with their log-ranks added to those of the label-free detector.

`--keep` writes each figure down at once, and a later run goes on from there. `--misled` hands the blend as many labels
of rows drawn at random instead, which nobody should do and somebody will.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.labelled import DEFAULT, data_sets, figures, intervals, jobs, split
from pynomaly_pipelines.detection.ensemble import Ensemble
from pynomaly_pipelines.detection.semi_supervised import Blend

SHARES = (0.01, 0.05, 0.1)
FREE, OURS, TREES, EQUAL = "label-free", "blend", "extra trees", "extra trees + label-free"
COLUMNS = ["data", "seed", "share", "method", "labels", "weight", "auc", "precision"]
NOTICED = 0.1
"""Points of average precision below which two figures count as the same."""


def some_labels(truth: np.ndarray, share: float, seed: int) -> np.ndarray:
    """bool[n]: a random share of the anomalies."""
    anomalies = np.flatnonzero(truth == 1)
    chosen = np.random.default_rng(seed).permutation(anomalies)[: max(2, round(share * anomalies.size))]
    return np.isin(np.arange(truth.size), chosen)


def compare(x: np.ndarray, labelled: np.ndarray, rows: np.ndarray, seed: int) -> tuple[float, dict[str, np.ndarray]]:
    """The blend's weight and every method's scores of `rows`; the blend's are those that
    `Detector("auto").fit(x, labels)` calibrates.
    """
    ordinary = np.zeros(int((~labelled).sum()), dtype=bool)
    blend = Blend.fit(lambda rows: Ensemble.fit(rows, seed), x[~labelled], ordinary, x[labelled], seed)
    base = blend.base
    trees = extra_trees(base, x, labelled, rows, seed)
    return blend.weight, {
        OURS: blend.raw(rows),
        TREES: trees,
        EQUAL: log_ranks(trees) + log_ranks(base.raw(rows)),
    }


def extra_trees(base: Ensemble, x: np.ndarray, labelled: np.ndarray, rows: np.ndarray, seed: int) -> np.ndarray:
    from sklearn.ensemble import ExtraTreesClassifier

    forest = ExtraTreesClassifier(n_estimators=300, random_state=seed)
    forest.fit(np.column_stack([x, base.clues(x)]), labelled)
    return forest.predict_proba(np.column_stack([rows, base.clues(rows)]))[:, 1]


def log_ranks(scores: np.ndarray) -> np.ndarray:
    """Minus the logarithm of the share of rows that reach each score, those of equal score sharing a rank."""
    return -np.log1p(-(pd.Series(scores).rank().to_numpy() - 0.5) / scores.size)


def measured(folder: Path, name: str, seed: int, least: int, misled: bool) -> Iterator[tuple]:
    """Rows of `COLUMNS` for one data set and seed; none where it has too few anomalies."""
    train, test, known, truth = split(folder, name, seed)
    if known.sum() + truth.sum() < least:
        return
    x, rows = train.to_numpy(float), test.to_numpy(float)
    yield name, seed, 0.0, FREE, 0, 0.0, *figures(truth, Ensemble.fit(x, seed).raw(rows))
    for share in SHARES:
        labelled = some_labels(known, share, seed)
        if misled:
            labelled = np.random.default_rng(seed).permutation(labelled)
        weight, scores = compare(x, labelled, rows, seed)
        for method, values in scores.items():
            yield name, seed, share, method, int(labelled.sum()), weight, *figures(truth, values)


def measure(chosen: argparse.Namespace) -> pd.DataFrame:
    """Every job's rows, those in the kept file read instead."""
    found = pd.read_csv(chosen.keep) if chosen.keep and chosen.keep.exists() else pd.DataFrame(columns=COLUMNS)
    done = set(zip(found["data"], found["seed"], strict=True))
    names = [name for name in data_sets(chosen.data) if name not in chosen.without.split(",")]
    for name, seed in jobs(names, [int(s) for s in chosen.seeds.split(",")]):
        if (name, seed) in done:
            continue
        new = pd.DataFrame(list(measured(chosen.data, name, seed, chosen.least, chosen.misled)), columns=COLUMNS)
        found = pd.concat([found, new], ignore_index=True) if len(found) else new
        if chosen.keep:
            found.to_csv(chosen.keep, index=False)
        print(f"{name} seed {seed}", file=sys.stderr, flush=True)
    return found


def report(found: pd.DataFrame) -> str:
    """Markdown: the blend per data set, every method's means, gains, and where the blend is worse."""
    return "\n".join([*per_set(found), "", *means(found), "", *gains(found), "", *losses(found)])


def per_set(found: pd.DataFrame) -> list[str]:
    mine = found[found["method"].isin((FREE, OURS))]
    auc, precision = (mine.pivot_table(index="data", columns="share", values=v) for v in ("auc", "precision"))
    header = ["| data set | " + " | ".join(f"{share:.0%}" for share in auc) + " |", "| --- " * (auc.shape[1] + 1) + "|"]
    return header + [
        f"| {name} | " + " | ".join(f"{auc[s][name]:.1f} / {precision[s][name]:.1f}" for s in auc) + " |"
        for name in auc.index
    ]


def means(found: pd.DataFrame) -> list[str]:
    """Means over seeds, then over data sets."""
    sets = found.groupby(["method", "share", "data"])[["auc", "precision"]].mean()
    mean = sets.groupby(["method", "share"]).mean()
    lines = ["| method | " + " | ".join(f"{share:.0%}" for share in SHARES) + " |", "| --- " * 4 + "|"]
    for method in (FREE, OURS, TREES, EQUAL):
        at = [(method, 0.0 if method == FREE else share) for share in SHARES]
        lines.append(f"| {method} | " + " | ".join("{:.1f} / {:.1f}".format(*mean.loc[place]) for place in at) + " |")
    return lines


def paired(found: pd.DataFrame) -> pd.DataFrame:
    """The blend's rows with `auc` and `precision` less the label-free detector's on the same split."""
    free = found[found["method"] == FREE].set_index(["data", "seed"])[["auc", "precision"]]
    ours = found[found["method"] == OURS].join(free, on=["data", "seed"], rsuffix="_free")
    return ours.assign(auc=ours["auc"] - ours["auc_free"], precision=ours["precision"] - ours["precision_free"])


def gains(found: pd.DataFrame) -> list[str]:
    lines = []
    for share, cases in paired(found).groupby("share"):
        for label, column in (("ROC AUC", "auc"), ("AP", "precision")):
            gap = cases.groupby("data")[column].mean()
            low, high = intervals(gap.to_numpy())
            least = f"{gap.idxmin()} {gap.min():+.1f}"
            lines.append(f"- {share:.0%} {label}: {gap.mean():+.1f} ({low:+.1f} … {high:+.1f}), least {least}")
    return lines


def losses(found: pd.DataFrame) -> list[str]:
    """How many splits and how many data sets, seeds averaged, have less average precision than without labels."""
    lines = []
    for share, cases in paired(found).groupby("share"):
        worse = cases[cases["precision"] < -NOTICED]
        sets = cases.groupby("data")["precision"].mean()
        named = ", ".join(f"{c.data} seed {c.seed} {c.precision:+.1f}" for c in worse.itertuples()) or "none"
        lines.append(
            f"- {share:.0%}: less AP on {len(worse)} of {len(cases)} splits ({named}), "
            f"on {int((sets < -NOTICED).sum())} of {len(sets)} data sets; mean weight {cases['weight'].mean():.2f}"
        )
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DEFAULT)
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--least", type=int, default=140)
    parser.add_argument("--without", default="", help="data sets to leave out, by name")
    parser.add_argument("--keep", type=Path, help="figures so far, as CSV")
    parser.add_argument("--misled", action="store_true", help="label rows drawn at random")
    chosen = parser.parse_args()
    if not data_sets(chosen.data):
        print(f"Skipped: no NAME.parquet in {chosen.data}; give a folder of labelled data sets with --data.")
        return
    print(report(measure(chosen)))


if __name__ == "__main__":
    main()

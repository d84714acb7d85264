"""PyOD names -> what is offered, how it is frozen and what it costs; and what is refused, with the reason."""

from __future__ import annotations

import importlib
import inspect
from dataclasses import dataclass
from typing import Any

from pynomaly_pipelines.operations.errors import DetectorRefused, UnknownDetector


@dataclass(frozen=True)
class Offer:
    """A detector that production may use.

    home: PyOD's module and class; frozen: what freezes it; seed: the name of its seed parameter, if it draws.
    least_rows: fewest rows it can be fitted on; counted: a setting it needs one row more than, and its default.
    most_rows: above this many it is fitted on a sample. row_bytes, row_seconds: cost of fitting a row of 20 columns.
    """

    name: str
    home: str
    frozen: str
    method: str
    seed: str | None = None
    least_rows: int = 2
    counted: tuple[str, int] | None = None
    most_rows: int = 100_000
    row_bytes: int = 1_000
    row_seconds: float = 5e-5
    limits: tuple[str, ...] = ()

    def needs(self, parameters: dict[str, Any]) -> int:
        """The fewest rows it can be fitted on with these settings."""
        if self.counted is None:
            return self.least_rows
        name, default = self.counted
        count = parameters.get(name, default)
        return max(self.least_rows, count + 1) if isinstance(count, int) else self.least_rows


OFFERS = {
    offer.name: offer
    for offer in (
        Offer(
            "IForest",
            "iforest:IForest",
            "forest:Forest.freeze",
            "Isolation forest (Liu, Ting & Zhou 2008): rows that few random splits isolate.",
            seed="random_state",
            limits=("Splits follow one column at a time: anomalies in combinations are found late.",),
        ),
        Offer(
            "HBOS",
            "hbos:HBOS",
            "histogram:Histogram.freeze",
            "Histogram-based outlier score (Goldstein & Dengel 2012): the sum over columns of -log2 density.",
            limits=("Columns are taken as independent.",),
        ),
        Offer(
            "ECOD",
            "ecod:ECOD",
            "marginals:Marginals.freeze",
            "Empirical cumulative distributions (Li et al. 2022), frozen: the sum over columns of -log tail "
            "probability among the training rows.",
            limits=("Columns are taken as independent.", "Only the ends of a column's range count as unusual."),
        ),
        Offer(
            "COPOD",
            "copod:COPOD",
            "marginals:Marginals.freeze",
            "Copula-based outlier detection (Li et al. 2020), frozen: the sum over columns of -log tail probability.",
            limits=("Columns are taken as independent.", "Only the ends of a column's range count as unusual."),
        ),
        Offer(
            "KNN",
            "knn:KNN",
            "neighbours:Neighbours.freeze",
            "Distance to the k nearest training rows (Ramaswamy, Rastogi & Shim 2000).",
            counted=("n_neighbors", 5),
            most_rows=2_048,
            limits=("Distances are in the columns' own units: scale them, or use 'auto', which does.",),
        ),
        Offer(
            "MCD",
            "mcd:MCD",
            "gaussian:Mahalanobis.freeze",
            "Squared Mahalanobis distance under the minimum covariance determinant (Rousseeuw & Van Driessen 1999).",
            seed="random_state",
            most_rows=50_000,
            limits=("One elliptical cloud is assumed.",),
        ),
        Offer(
            "LOF",
            "lof:LOF",
            "neighbours:LocalDensity.freeze",
            "Local outlier factor (Breunig et al. 2000) against the training rows.",
            least_rows=3,
            most_rows=2_048,
            limits=("Distances are in the columns' own units.", "Anomalies that form a cluster look ordinary."),
        ),
        Offer(
            "PCA",
            "pca:PCA",
            "components:Axes.freeze",
            "Distances to principal axes weighted by their variance (Shyu et al. 2003, in PyOD's form).",
            seed="random_state",
            limits=("Axes without variance are left out, where PyOD's scores become infinite.",),
        ),
        Offer(
            "GMM",
            "gmm:GMM",
            "gaussian:Mixture.freeze",
            "Minus the log density of a Gaussian mixture.",
            seed="random_state",
            counted=("n_components", 1),
            most_rows=50_000,
        ),
        Offer(
            "LODA",
            "loda:LODA",
            "projections:Projections.freeze",
            "Lightweight online detector (Pevný 2016): histograms of sparse random projections.",
            seed="random_state",
            limits=("Values are projected in their own units.",),
        ),
        Offer(
            "INNE",
            "inne:INNE",
            "spheres:Spheres.freeze",
            "Isolation by nearest neighbours (Bandaragoda et al. 2018): hyperspheres around sampled rows.",
            seed="random_state",
            most_rows=20_000,
            limits=("Distances are in the columns' own units.",),
        ),
        Offer(
            "CBLOF",
            "cblof:CBLOF",
            "clusters:Clusters.freeze",
            "Cluster-based local outlier factor (He, Xu & Deng 2003) on k-means clusters.",
            seed="random_state",
            least_rows=16,
            counted=("n_clusters", 8),
            most_rows=50_000,
            limits=("Distances are in the columns' own units.", "Fails where no cluster is clearly large."),
        ),
        Offer(
            "OCSVM",
            "ocsvm:OCSVM",
            "radial:Radial.freeze",
            "One-class support vector machine with a Gaussian kernel (Schölkopf et al. 2001).",
            most_rows=2_048,
            limits=("Distances are in the columns' own units.",),
        ),
        Offer(
            "KDE",
            "kde:KDE",
            "radial:Radial.freeze_density",
            "Minus the log of a Gaussian kernel density (Parzen 1962).",
            most_rows=2_048,
            limits=("Distances are in the columns' own units.",),
        ),
        Offer(
            "Sampling",
            "sampling:Sampling",
            "neighbours:Neighbours.freeze_sample",
            "Distance to the nearest of a few sampled rows (Sugiyama & Borgwardt 2013).",
            seed="random_state",
            counted=("subset_size", 20),
            limits=(
                "Distances are in the columns' own units.",
                "Which few rows are drawn moves all scores: with ten, twice as many rows may exceed a threshold.",
            ),
        ),
    )
}

REFUSED = {
    "COF": "it recomputes neighbourhoods among the rows to score: a row's score depends on its batch",
    "SOD": "it recomputes neighbourhoods among the rows to score: a row's score depends on its batch",
    "ROD": "it rotates the rows to score about their own median: a row's score depends on its batch",
    "CD": "it refits a regression on the rows to score: a row's score depends on its batch",
}


def offer(name: str) -> Offer:
    """The offer of that PyOD name; DetectorRefused or UnknownDetector for another."""
    if name in OFFERS:
        return OFFERS[name]
    if name in REFUSED:
        raise DetectorRefused(
            f"detector '{name}' is refused: {REFUSED[name]}",
            rule="A row's score depends on that row and the model version alone.",
            fix="use 'auto', or one of " + ", ".join(OFFERS),
        )
    raise UnknownDetector(
        f"detector '{name}'",
        rule=f"Offered are auto, {', '.join(OFFERS)}.",
        fix="use 'auto' where nothing speaks for another",
    )


def pyod_class(offered: Offer) -> Any:
    """PyOD's class; importing it takes seconds."""
    module, name = offered.home.split(":")
    return getattr(importlib.import_module(f"pyod.models.{module}"), name)


def settings(offered: Offer) -> dict[str, Any]:
    """Names and defaults of a detector's PyOD parameters, without its seed."""
    parameters = inspect.signature(pyod_class(offered).__init__).parameters.values()
    return {
        p.name: None if p.default is inspect.Parameter.empty else p.default
        for p in parameters
        if p.name not in ("self", offered.seed) and p.kind is not inspect.Parameter.VAR_KEYWORD
    }


def catalogue() -> list[dict[str, Any]]:
    """Every detector: name, method, parameters with defaults and limits, or the reason it is refused."""
    auto = {"name": "auto", "offered": True, "frozen": True, "method": "see docs/detection.md", "parameters": {}}
    offered = [
        {
            "name": o.name,
            "offered": True,
            "frozen": True,
            "method": o.method,
            "parameters": settings(o),
            "most_rows": o.most_rows,
            "limits": list(o.limits),
        }
        for o in OFFERS.values()
    ]
    refused = [{"name": name, "offered": False, "reason": reason} for name, reason in sorted(REFUSED.items())]
    return [auto, *offered, *refused]

"""A training matrix -> a frozen PyOD detector."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable
from operator import attrgetter
from typing import Any, cast

from pynomaly_pipelines.detection.arrays import Floats
from pynomaly_pipelines.detection.frozen.base import Frozen
from pynomaly_pipelines.detection.offered import Offer, pyod_class, settings
from pynomaly_pipelines.operations.errors import DetectorError


def check_settings(offered: Offer, parameters: dict[str, Any]) -> None:
    """DetectorError for a parameter that PyOD's class does not have."""
    known = settings(offered)
    unknown = [name for name in parameters if name not in known]
    if unknown:
        raise DetectorError(
            f"{offered.name} has no parameter {', '.join(unknown)}",
            rule=f"Its parameters are {', '.join(known)}.",
            fix="correct the name; the seed is given to Detector(seed=…)",
        )


def fit_frozen(offered: Offer, x: Floats, seed: int, parameters: dict[str, Any]) -> Frozen:
    """PyOD's detector fitted on float64[n, d] and frozen."""
    seeded = {offered.seed: seed} if offered.seed else {}
    with warnings.catch_warnings():
        # rank-deficient covariances and constant columns: expected here, and said in the card
        warnings.simplefilter("ignore")
        model = _fitted(offered, x, {**parameters, **seeded})
    return _freezer(offered)(model)


def _freezer(offered: Offer) -> Callable[[Any], Frozen]:
    """The function that `offered.frozen` names, ``module:Class.function``."""
    module, path = offered.frozen.split(":")
    family = importlib.import_module(f"pynomaly_pipelines.detection.frozen.{module}")
    return cast(Callable[[Any], Frozen], attrgetter(path)(family))


def _fitted(offered: Offer, x: Floats, parameters: dict[str, Any]) -> Any:
    try:
        return pyod_class(offered)(**parameters).fit(x)
    except (ValueError, TypeError, ArithmeticError) as error:
        raise DetectorError(
            f"{offered.name} could not be fitted on {x.shape[0]} rows × {x.shape[1]} features: {error}",
            rule="PyOD refused these rows or settings.",
            fix="check the settings against PyOD's documentation, or use 'auto'",
        ) from error

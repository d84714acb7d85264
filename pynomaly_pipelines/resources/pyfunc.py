"""The loader MLflow calls for a pipeline's model: `models:/<pipeline>@champion` -> something with `predict`.

It is our package's code over data from the registry. Nothing in the artifact is executed, and the scorer's files
are checked before use.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd
    from mlflow.models import ModelSignature

    from pynomaly_pipelines.detection import Scorer


class ScorerModel:
    """MLflow's view of a scorer."""

    def __init__(self, scorer: Scorer) -> None:
        self.scorer = scorer

    def predict(self, frame: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:  # noqa: ARG002
        """Score rows: columns `score` in [0, 1] and `raw_score`."""
        import pandas as pd

        found = self.scorer.scores(with_zones(frame))
        return pd.DataFrame({"score": found.score, "raw_score": found.raw_score}, index=frame.index)


def _load_pyfunc(data_path: str) -> ScorerModel:
    from pynomaly_pipelines.detection import Scorer

    return ScorerModel(Scorer.load(data_path))


def signature(example: pd.DataFrame) -> ModelSignature:
    """The columns a model takes and gives, from rows it was trained on."""
    import numpy as np
    import pandas as pd
    from mlflow.models import infer_signature

    answer = pd.DataFrame({"score": np.zeros(1), "raw_score": np.zeros(1)})
    with warnings.catch_warnings():
        # A hint that whole-number columns can't hold missing values; ours are what validation let through.
        warnings.filterwarnings("ignore", "Hint: Inferred schema contains integer column", UserWarning)
        return infer_signature(without_zones(example), answer)


def without_zones(frame: pd.DataFrame) -> pd.DataFrame:
    """Timestamps as naive UTC, the only ones an MLflow signature knows."""
    zoned = frame.select_dtypes("datetimetz").columns
    return frame.assign(**{name: frame[name].dt.tz_convert("UTC").dt.tz_localize(None) for name in zoned})


def with_zones(frame: pd.DataFrame) -> pd.DataFrame:
    """Naive timestamps as the UTC ones that pipelines train on."""
    naive = frame.select_dtypes("datetime").columns
    return frame.assign(**{name: frame[name].dt.tz_localize("UTC") for name in naive})

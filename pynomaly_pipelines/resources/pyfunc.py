"""The loader MLflow calls for a pipeline's model: `models:/<pipeline>@champion` -> something with `predict`.

It is our package's code over data from the registry. Nothing in the artifact is executed, and the scorer's files
are checked before use.
"""

from __future__ import annotations

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

        found = self.scorer.assess(frame, top=0)
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
    return infer_signature(example, answer)

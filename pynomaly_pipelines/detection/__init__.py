"""Frames in, scores out: detectors that are fitted once, frozen into arrays, and score each row by itself.

```python
scorer = Detector("auto", seed=0).fit(frame)
scorer.score(frame)            # float64[n] in [0, 1)
scorer.explain(frame, top=3)   # which columns, their values, what is usual, their shares
scorer.save(folder)
Scorer.load(folder)            # arrays and JSON: runs no code from the folder, imports neither PyOD nor scikit-learn
```
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pynomaly_pipelines.detection.detector import Detector
    from pynomaly_pipelines.detection.explanation import Assessment, Explanation, Scores
    from pynomaly_pipelines.detection.offered import catalogue
    from pynomaly_pipelines.detection.scorer import Scorer
    from pynomaly_pipelines.detection.series import SeriesDetector

__all__ = ["Assessment", "Detector", "Explanation", "Scorer", "Scores", "SeriesDetector", "catalogue"]

_HOMES = {
    "Assessment": "explanation",
    "Detector": "detector",
    "Explanation": "explanation",
    "Scorer": "scorer",
    "Scores": "explanation",
    "SeriesDetector": "series",
    "catalogue": "offered",
}


def __getattr__(name: str) -> Any:
    # Lazy: pipelines import this package when Dagster loads definitions, long before a model is needed.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value

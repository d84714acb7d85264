"""Points of series in, scores out: each point judged by the past of its own series alone.

```python
scorer = SeriesDetector("auto").fit(long_frame)     # columns timestamp, series, value
scorer.score(long_frame)                            # float64[n] in [0, 1); NaN where there is too little past
scorer.explain(long_frame, top=3)                   # level, seasonal pattern, level shift, shape, spread, flat, missing
```
"""

from __future__ import annotations

from pynomaly_pipelines.detection.series.detector import SeriesDetector
from pynomaly_pipelines.detection.series.scorer import SeriesScorer
from pynomaly_pipelines.detection.series.state import SeriesState

__all__ = ["SeriesDetector", "SeriesScorer", "SeriesState"]

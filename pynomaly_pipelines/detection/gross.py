"""Training rows -> those with a value so far out that it can't be ordinary: what must not decide what is usual.

A histogram or a tree that has to span a value of a million sees nothing of what goes on between one and ten.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from pynomaly_pipelines.detection.arrays import Bools
from pynomaly_pipelines.detection.calibration import MOST_GROSS, Calibration
from pynomaly_pipelines.detection.columns import kind_of

FEWEST = 50
"""Values without which a column's tail can't be known."""


def gross_rows(frame: pd.DataFrame) -> Bools:
    """bool[n]: rows beyond the tail of a numeric column, as `Calibration` tells gross scores; none where they are many.

    A tail is fitted to the distances from the median between the upper fifth and the upper fiftieth; gross is a value
    beyond which fewer than a tenth of a row was to be expected. Where more than 0.5 % of the rows are such, that is
    how the column is, and none is gross.
    """
    found = np.zeros(len(frame), dtype=bool)
    for name in frame.columns:
        if kind_of(str(name), frame[name]) == "numeric":
            found |= _far(frame[name])
    return found if found.mean() <= MOST_GROSS else np.zeros(len(frame), dtype=bool)


def _far(column: pd.Series) -> Bools:
    if pd.api.types.is_timedelta64_dtype(column.dtype):
        return np.zeros(len(column), dtype=bool)
    values = pd.to_numeric(column).to_numpy(dtype=np.float64, na_value=np.nan)
    known = np.isfinite(values)
    if known.sum() < FEWEST:
        return np.zeros(len(values), dtype=bool)
    away = np.abs(values - np.median(values[known]))
    return np.asarray(known & (away > Calibration.learn(away[known]).knots[-1]))

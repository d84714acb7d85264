"""What people said of rows -> labels for training and evaluation.

The table `feedback` is only ever added to: one line for each anomalous row of a judged incident. So a version of the
table says what was known at a training, and the training can be repeated.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pynomaly_pipelines.resources.tables import PARTITION, Lake
from pynomaly_pipelines.spec import PipelineSpec
from pynomaly_pipelines.stages.features import ORIGIN, SERIES

if TYPE_CHECKING:
    import pyarrow as pa

NOUN = "feedback"
LABEL = {"confirmed": 1.0, "dismissed": 0.0}
ROW = (PARTITION, "_source", "_row", SERIES)
"""What identifies a row, or a point of one; `series` is empty for records."""
ROW_COLUMNS = ("_source", "_row")


def read(spec: PipelineSpec, lake: Lake, version: int | None = None) -> pd.DataFrame:
    """The rows people judged, the latest verdict on each: what identifies them, and `label`.

    Args:
        version: of the table; by default as it is now.
    """
    if not lake.exists(spec.name, NOUN):
        return pd.DataFrame(columns=[*ROW, "label"])
    log = lake.read(spec.name, NOUN, version=version).to_pandas().sort_values("at", kind="stable")
    latest = log.drop_duplicates(list(ROW), keep="last")
    labelled = latest.assign(label=latest["verdict"].map(LABEL))
    found: pd.DataFrame = labelled.loc[:, [*ROW, "label"]].reset_index(drop=True)
    return found


def table_version(spec: PipelineSpec, lake: Lake) -> int | None:
    """The version of the table of verdicts; None where nobody has judged anything."""
    return lake.version(spec.name, NOUN) if lake.exists(spec.name, NOUN) else None


def with_verdicts(
    table: pa.Table, frame: pd.DataFrame, labels: np.ndarray | None, judged: pd.DataFrame
) -> np.ndarray | None:
    """Labels with people's verdicts over them, float64[n]; None where nobody has said anything.

    Args:
        table: validated rows, with `_source` and `_row`.
        frame: `detector_frame` of them; labels have its length.
        judged: `read`.
    """
    if judged.empty:
        return labels
    rows = table.select([PARTITION, *ROW_COLUMNS]).to_pandas()
    points = ORIGIN in frame.columns
    if points:
        rows = rows.iloc[frame[ORIGIN].to_numpy()].reset_index(drop=True)
    rows[SERIES] = frame[SERIES].to_numpy() if points else ""
    told = rows.merge(judged, how="left", on=list(ROW), validate="many_to_one")["label"].to_numpy("float64")
    before = np.full(len(frame), np.nan) if labels is None else labels
    return np.where(np.isnan(told), before, told)

"""scikit-learn's breast cancer data -> one Parquet file in which malignant is the rare class, with the answers.

All 357 benign samples stay. Of the 212 malignant ones 21 are drawn without replacement, by the frozen legacy generator
of NumPy with seed 0, so that 21 of 378 rows (5.6 %) are anomalies.
"""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING

from pynomaly_pipelines.examples.landing import Arrivals

if TYPE_CHECKING:
    import pandas as pd

FILES = 1
MALIGNANT = 21
SEED = 0


def arrivals() -> Arrivals:
    """`samples.parquet`."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    buffer = BytesIO()
    pq.write_table(pa.Table.from_pandas(samples(), preserve_index=False).replace_schema_metadata(None), buffer)
    yield "samples.parquet", buffer.getvalue()


def samples() -> pd.DataFrame:
    """The thinned data: `sample` (row number in the original), 30 measurements of the nuclei, `malignant` (1 or 0)."""
    import numpy as np
    from sklearn.datasets import load_breast_cancer

    # In the original, target 0 means malignant.
    data = load_breast_cancer(as_frame=True)
    measured: pd.DataFrame = data.data.rename(columns=lambda name: name.replace(" ", "_"))
    table = measured.assign(malignant=1 - data.target).rename_axis("sample").reset_index()
    malignant = np.flatnonzero(table["malignant"])
    # RandomState's stream is frozen across NumPy versions (NEP 19); a Generator's is not.
    kept = np.random.RandomState(SEED).permutation(malignant)[:MALIGNANT]
    benign = np.flatnonzero(table["malignant"] == 0)
    return table.iloc[np.sort(np.concatenate([benign, kept]))].reset_index(drop=True)

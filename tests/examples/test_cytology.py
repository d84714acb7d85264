"""`cytology`: all benign samples, few malignant ones, and always the same."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_breast_cancer


@pytest.fixture(scope="module")
def samples(project: Path) -> pd.DataFrame:
    return pd.read_parquet(project / "landing" / "cytology" / "samples.parquet")


def test_malignant_is_the_rare_class(samples: pd.DataFrame) -> None:
    assert samples["malignant"].value_counts().to_dict() == {0: 357, 1: 21}
    assert samples["malignant"].mean() == pytest.approx(0.0556, abs=0.0001)


def test_rows_are_the_original_ones(samples: pd.DataFrame) -> None:
    original = load_breast_cancer()
    measured = samples.drop(columns=["sample", "malignant"]).to_numpy()
    np.testing.assert_array_equal(measured, original.data[samples["sample"]])
    # Target names are ("malignant", "benign"), in this order.
    np.testing.assert_array_equal(samples["malignant"], 1 - original.target[samples["sample"]])


def test_the_draw_is_fixed(samples: pd.DataFrame) -> None:
    assert samples.loc[samples["malignant"] == 1, "sample"].tolist()[:5] == [5, 12, 41, 78, 127]


def test_column_names_need_no_quotes(samples: pd.DataFrame) -> None:
    assert len(samples.columns) == 32
    assert all(name.isidentifier() for name in samples.columns)
    assert samples["sample"].is_unique

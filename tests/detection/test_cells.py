"""Arrays instead of a frame: the same bits, and nothing of another shape or type reaches compiled code."""

from __future__ import annotations

from typing import cast

import numpy as np
import pandas as pd
import pytest

from pynomaly_pipelines.detection import Detector
from pynomaly_pipelines.detection.records import RecordScorer
from pynomaly_pipelines.operations.errors import SignatureError


def mixed(rows: int = 400) -> pd.DataFrame:
    rng = np.random.default_rng(3)
    frame = pd.DataFrame(
        {
            "amount": rng.normal(10, 3, rows),
            "items": rng.integers(0, 9, rows),
            "gift": rng.random(rows) < 0.3,
            "country": rng.choice(["DE", "FR", "NL"], rows),
            "at": pd.Timestamp("2025-01-01", tz="UTC") + pd.to_timedelta(rng.integers(0, 10**6, rows), unit="s"),
        }
    )
    frame.loc[::17, "amount"] = np.nan
    frame.loc[::13, "country"] = None
    return frame


@pytest.fixture(scope="module", params=["IForest", "auto"])
def scorer(request: pytest.FixtureRequest) -> RecordScorer:
    return cast(RecordScorer, Detector(request.param, seed=1).fit(mixed()))


def test_cells_score_and_explain_to_the_same_bits_as_the_frame(scorer: RecordScorer) -> None:
    rows = mixed(60)
    whole, cells = scorer.assess(rows, top=3), scorer.encoder.cells(rows)
    found = scorer.scores_of_cells(cells)
    np.testing.assert_array_equal(found.score, whole.score)
    np.testing.assert_array_equal(found.raw_score, whole.raw_score)
    np.testing.assert_array_equal(scorer.scores(rows).score, whole.score)
    values = [rows[name].to_numpy(dtype=object) for name in rows.columns]
    reasons = scorer.explain_cells(cells, values, 3)
    assert reasons.columns.tolist() == whole.explanation.columns.tolist()
    np.testing.assert_array_equal(reasons.share, whole.explanation.share)


def test_numbers_alone_take_the_short_way_to_the_same_bits() -> None:
    rng = np.random.default_rng(0)
    rows = pd.DataFrame(rng.normal(size=(300, 4)), columns=list("abcd"))
    scorer = cast(RecordScorer, Detector("IForest", seed=1).fit(rows))
    assert scorer.encoder.plain is not None
    np.testing.assert_array_equal(
        scorer.scores_of_cells(scorer.encoder.cells(rows[::-1])).score, scorer.score(rows[::-1])
    )


@pytest.mark.parametrize(
    "spoil",
    [
        lambda cells: cells[:-1],
        lambda cells: (*cells, cells[0]),
        lambda cells: (cells[0][:-1], *cells[1:]),
        lambda cells: tuple(column[:, None] for column in cells),
        lambda cells: (cells[0].astype(np.float32), *cells[1:]),
        lambda cells: (cells[3], *cells[1:]),
        lambda cells: (np.float64(1.0).reshape(()), *cells[1:]),
    ],
    ids=["too few", "too many", "ragged", "two dimensions", "float32", "texts for numbers", "no dimension"],
)
def test_other_shapes_and_types_are_refused(scorer: RecordScorer, spoil: object) -> None:
    cells = scorer.encoder.cells(mixed(5))
    with pytest.raises(SignatureError, match="arrays of one length"):
        scorer.scores_of_cells(spoil(cells))  # type: ignore[operator]

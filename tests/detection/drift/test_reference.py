"""A reference is counts: it judges without rows, survives its file, and pools small partitions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from pynomaly_pipelines.detection.drift.cells import Cells
from pynomaly_pipelines.detection.drift.reference import Limits, Reference, Subject, build, pool

LIMITS = Limits(alpha=0.01, min_effect=0.1, min_share=0.02, min_ratio=1.5)
RNG = np.random.default_rng(9)
VALUES = RNG.normal(size=(40, 500))
CELLS = Cells.learn([pd.Series(part) for part in VALUES], "x")
SUBJECTS = (
    Subject("features", "x", "values", "distribution", CELLS),
    Subject("quality", "x", "missing", "share"),
    Subject("quality", "all rows", "rows", "count"),
    Subject("scores", "all rows", "alert rate", "share", as_ratio=True, learnt=True),
)


def counted(values: np.ndarray, missing: int = 5, alerts: int = 5) -> dict[str, np.ndarray]:
    cells, _ = CELLS.count(pd.Series(values))
    figures = (cells, np.array([missing, len(values)]), np.array([len(values)]), np.array([alerts, len(values)]))
    return {subject.key: figure for subject, figure in zip(SUBJECTS, figures, strict=True)}


@pytest.fixture(scope="module")
def reference() -> Reference:
    rng = np.random.default_rng(2)
    tallies = {f"{i:02}": counted(v, rng.poisson(5), rng.poisson(5)) for i, v in enumerate(VALUES)}
    return build(SUBJECTS, tallies, dict.fromkeys(tallies, 0), list(tallies)[:32], 0.9, 1)


def drifted(reference: Reference, tally: dict[str, np.ndarray]) -> list[str]:
    return [v.subject.key for v in reference.judge(tally, 0, LIMITS) if v.drifted]


def test_an_ordinary_partition_does_not_drift(reference: Reference) -> None:
    assert drifted(reference, counted(RNG.normal(size=500))) == []


@pytest.mark.parametrize(
    ("tally", "found"),
    [
        (counted(VALUES[0] + 1.0), "features/x/values"),
        (counted(VALUES[0] * 2.0), "features/x/values"),
        (counted(VALUES[0], missing=60), "quality/x/missing"),
        (counted(VALUES[0][:250], missing=2, alerts=2), "quality/all rows/rows"),
        (counted(VALUES[0], alerts=60), "scores/all rows/alert rate"),
    ],
)
def test_each_kind_is_found_and_only_that(tally: dict[str, np.ndarray], found: str, reference: Reference) -> None:
    assert drifted(reference, tally) == [found]


def test_what_is_certain_but_small_does_not_count(reference: Reference) -> None:
    tally = counted(VALUES[0] + 0.25)
    (first, *_) = reference.judge(tally, 0, replace(LIMITS, min_effect=0.0))
    assert first.drifted
    assert 0 < first.effect < 0.1
    assert drifted(reference, tally) == []


def test_the_file_judges_the_same(reference: Reference) -> None:
    again = Reference.from_json(reference.to_json())
    tally = counted(VALUES[0] + 1.0)
    assert again.judge(tally, 0, LIMITS) == reference.judge(tally, 0, LIMITS)


@pytest.mark.parametrize("text", ["[]", '{"format": 0}', "{}"])
def test_another_file_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a drift reference"):
        Reference.from_json(text)


def test_partitions_judged_together_are_held_against_as_many(reference: Reference) -> None:
    small = replace(reference, pooled=4)
    tally = pool([counted(VALUES[i]) for i in range(4)])
    assert tally["quality/all rows/rows"].tolist() == [2_000]
    assert drifted(small, tally) == []
    assert drifted(small, pool([counted(VALUES[i] + 1.0) for i in range(4)])) == ["features/x/values"]


def test_too_few_partitions_say_nothing(reference: Reference) -> None:
    few = replace(reference, figures=tuple(f[:3] for f in reference.figures), keys=reference.keys[:3],
                  phases=reference.phases[:3], fitted=reference.fitted[:3])  # fmt: skip
    assert few.judge(counted(VALUES[0] + 9.0), 0, LIMITS) == []


def test_a_subject_that_was_not_counted_is_left_out(reference: Reference) -> None:
    tally = {key: value for key, value in counted(VALUES[0]).items() if key != "quality/x/missing"}
    assert len(reference.judge(tally, 0, LIMITS)) == 3

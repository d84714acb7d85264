"""Reasons against rows, held beside a plain dictionary of lists."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from pynomaly_pipelines.stages.expectations.reports import Refusal
from pynomaly_pipelines.stages.expectations.verdict import Verdict

KEYS = ["b", "a", "b", "a", "c", "c"]


def verdict() -> Verdict:
    return Verdict(pa.table({"_partition": KEYS}))


@given(st.lists(st.tuples(st.sets(st.integers(0, 5)), st.sampled_from(["x", "y", "z"]), st.booleans()), max_size=6))
def test_every_reason_is_kept_in_the_order_it_came(said: list[tuple[set[int], str, bool]]) -> None:
    judged, expected = verdict(), {row: [] for row in range(6)}  # type: dict[int, list[str]]
    for rows, reason, own in said:
        texts = [f"{reason}{row}" for row in sorted(rows)]
        judged.add(np.array(sorted(rows), dtype=np.int64), texts if own else reason, reason)
        for row, text in zip(sorted(rows), texts, strict=True):
            expected[row].append(text if own else reason)
    bad = [row for row, reasons in expected.items() if reasons]
    assert np.flatnonzero(~judged.valid).tolist() == bad
    assert judged.reasons().to_pylist() == [expected[row] for row in bad]
    counts = {kind: sum(len(rows) for rows, reason, _ in said if reason == kind) for kind in ("x", "y", "z")}
    assert judged.kinds == {kind: count for kind, count in counts.items() if count}


def test_a_refused_partition_is_bad_as_a_whole() -> None:
    judged = verdict()
    judged.add(np.array([0]), "x")
    judged.refuse([Refusal("b", "min_rows is 5", "2 rows", ""), Refusal("b", "rule", "value", "")])
    why = "partition refused: min_rows is 5, 2 rows; rule, value"
    assert judged.reasons().to_pylist() == [["x", why], [why]]
    assert judged.count(judged.valid) == {"b": 0, "a": 2, "c": 2}
    assert judged.kinds == {"partition refused": 2, "x": 1}


def test_what_is_forgiven_leaves_no_reason() -> None:
    judged = verdict()
    judged.add(np.array([0, 1]), "x")
    judged.add(np.array([1, 2]), "y")
    assert np.flatnonzero(judged.only_of({"x"})).tolist() == [0]
    assert np.flatnonzero(judged.only_of({"x", "y"})).tolist() == [0, 1, 2]
    judged.forgive(np.array([0, 1]))
    assert np.flatnonzero(~judged.valid).tolist() == [2]
    assert judged.reasons().to_pylist() == [["y"]]
    assert judged.kinds == {"y": 1}

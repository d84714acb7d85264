"""What a validation costs beside bare Great Expectations and beside plain pandas masks, in processor seconds.

    python benchmarks/validation.py [--rows 1000000] [--repeat 3]

A table of 20 columns and ten expectations (two not-null, two ranges, a set, uniqueness, row count, column set, mean,
type). `validate` is the product's whole stage: it reads `raw`, judges, and writes `validated` and `quarantine`. Bare
Great Expectations gets the frame for nothing and only finds the rows. Every figure is the median of the repetitions.
"""

from __future__ import annotations

import argparse
import logging
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from pynomaly_pipelines.partitions import Calendar
from pynomaly_pipelines.resources.tables import Lake
from pynomaly_pipelines.spec import PipelineSpec
from pynomaly_pipelines.stages.expectations.expecting import Judge, great_expectations
from pynomaly_pipelines.stages.validation import validate

EXPECTATIONS: list[dict[str, Any]] = [
    {"expect_column_values_to_not_be_null": {"column": "f0"}},
    {"expect_column_values_to_not_be_null": {"column": "cat"}},
    {"expect_column_values_to_be_between": {"column": "f1", "min_value": -6, "max_value": 6}},
    {"expect_column_values_to_be_between": {"column": "qty", "min_value": 0, "max_value": 100}},
    {"expect_column_values_to_be_in_set": {"column": "cat", "value_set": ["a", "b", "c", "d"]}},
    {"expect_column_values_to_be_unique": {"column": "id"}},
    {"expect_table_row_count_to_be_between": {"min_value": 1}},
    {"expect_table_columns_to_match_set": {"column_set": ["id", "f0"], "exact_match": False}},
    {"expect_column_mean_to_be_between": {"column": "f2", "min_value": -1, "max_value": 1}},
    {"expect_column_values_to_be_of_type": {"column": "f3", "type_": "float64"}},
]
SPEC = PipelineSpec.model_validate(
    {
        "name": "bench",
        "source": {"type": "csv", "path": "x.csv"},
        "expectations": EXPECTATIONS,
        "validation": {"max_quarantined": 1.0},
    }
)


def frame_of(rows: int, bad: float) -> pd.DataFrame:
    """17 columns of numbers, an id, a category, a count; a share of the rows is far out of range."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({f"f{n}": rng.normal(size=rows) for n in range(17)})
    frame["id"], frame["qty"] = np.arange(rows), rng.integers(0, 100, rows)
    frame["cat"] = pd.Series(rng.choice(["a", "b", "c", "d"], rows), dtype="str")
    frame.loc[rng.random(rows) < bad, "f1"] = 99.0
    return frame


def masks(frame: pd.DataFrame) -> np.ndarray:
    """The rows that break one, by hand: the floor."""
    bad = frame["f0"].isna() | frame["cat"].isna() | ~frame["f1"].between(-6, 6) | ~frame["qty"].between(0, 100)
    bad |= ~frame["cat"].isin(["a", "b", "c", "d"]) | frame["id"].duplicated(keep=False)
    assert len(frame) >= 1
    assert {"id", "f0"} <= set(frame.columns)
    assert -1 <= frame["f2"].mean() <= 1
    assert frame["f3"].dtype == "float64"
    return np.flatnonzero(bad)


def bare(frame: pd.DataFrame) -> int:
    """One validation definition of Great Expectations, integer positions of the rows."""
    gx = great_expectations()
    from great_expectations.expectations.registry import get_expectation_impl

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    suite = context.suites.add(gx.ExpectationSuite("all"))
    for entry in EXPECTATIONS:
        ((name, arguments),) = entry.items()
        suite.add_expectation(get_expectation_impl(name)(**arguments))
    batch = context.data_sources.add_pandas("p").add_dataframe_asset("a").add_batch_definition_whole_dataframe("b")
    definition = context.validation_definitions.add(gx.ValidationDefinition(name="v", data=batch, suite=suite))
    found = definition.run(
        batch_parameters={"dataframe": frame},
        result_format={"result_format": "COMPLETE", "return_unexpected_index_query": False},
    )
    lists = [result.result.get("unexpected_index_list") or [] for result in found.results]
    return len(set().union(*lists))


def judged(raw: pa.Table) -> int:
    """The product's own pass, without tables."""
    judge, everything = Judge(SPEC, raw), np.arange(raw.num_rows)
    found = judge.rows(SPEC.expectations[:6], everything)
    judge.table(SPEC.expectations[6:], everything)
    return len(np.unique(np.concatenate([finding.positions for finding in found])))


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--repeat", type=int, default=3)
    given = parser.parse_args()
    logging.disable(logging.INFO)
    warnings.simplefilter("ignore")
    great_expectations()
    bare(frame_of(1_000, 0.0))
    print("| rows | bad | pandas masks | bare GX | our pass | validate | pass / GX | validate / GX |")
    print("|" + " ---: |" * 8)
    for rows, bad in ((given.rows // 4, 0.001), (given.rows // 2, 0.001), (given.rows, 0.001), (given.rows, 0.5)):
        print(_line(rows, bad, given.repeat), flush=True)


def _line(rows: int, bad: float, repeat: int) -> str:
    frame = frame_of(rows, bad)
    own = {"_partition": ["all"] * rows, "_source": ["x.csv"] * rows, "_row": np.arange(rows)}
    raw = pa.Table.from_pandas(frame.assign(**own), preserve_index=False)
    for name in ("_rejected", "_text"):
        raw = raw.append_column(name, pa.nulls(rows, pa.string()))
    expected = len(masks(frame))
    with tempfile.TemporaryDirectory() as folder:
        lake = Lake(folder)
        lake.replace("bench", "raw", ["all"], raw)
        partitions = [Calendar(SPEC).partition("all")]
        tasks: list[Callable[[], int]] = [
            lambda: len(masks(frame)),
            lambda: bare(frame),
            lambda: judged(raw),
            lambda: validate(SPEC, partitions, lake).quarantined,
        ]
        seconds = [[_cpu(task, expected) for task in tasks] for _ in range(repeat)]
    by_hand, great, ours, whole = (statistics.median(column) for column in zip(*seconds, strict=True))
    return (
        f"| {rows:,} | {bad:.1%} | {by_hand:.2f} | {great:.2f} | {ours:.2f} | {whole:.2f} | "
        f"{ours / great:.2f} | {whole / great:.2f} |"
    )


def _cpu(task: Callable[[], int], expected: int) -> float:
    """Processor seconds of all threads; the task must find as many rows as the masks."""
    started = time.process_time()
    found = task()
    assert found == expected, (found, expected)
    return time.process_time() - started


if __name__ == "__main__":
    main()

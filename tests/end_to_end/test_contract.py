"""An event log as a Dagster graph, aggregated before it is judged; the contract's check shows what changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from pynomaly_pipelines.operations.settings import Settings
from pynomaly_pipelines.pipeline import standalone
from pynomaly_pipelines.spec import PipelineSpec

D1, D2 = "2025-01-01", "2025-01-02"
HEADER = "ts,shop,amount\n"


@pytest.fixture
def definitions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dg.Definitions:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYNOMALY_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PYNOMALY_PROJECT", str(tmp_path))
    attributes: dict[str, Any] = {
        "name": "shop",
        "source": {"type": "csv", "path": "in/%Y-%m-%d.csv"},
        "aggregate": {
            "sql": "select date_trunc('hour', ts) as hour, shop, sum(amount) as revenue from events group by all",
            "time": "ts",
        },
        "kind": "series",
        "time": "hour",
        "partition": "daily",
        "start": D1,
        "series": "shop",
        "values": "revenue",
        "validation": {"max_quarantined": 0.9},
    }
    (tmp_path / "in").mkdir()
    return standalone(PipelineSpec.model_validate(attributes), Settings.from_environment())


def run(definitions: dg.Definitions, day: str) -> dict[tuple[str, str], dg.AssetCheckEvaluation]:
    job = definitions.resolve_job_def("shop_ingest")
    result = job.execute_in_process(partition_key=day, raise_on_error=False)
    return {(e.asset_key.path[-1], e.check_name): e for e in result.get_asset_check_evaluations()}


def test_the_check_tells_column_file_and_fix(definitions: dg.Definitions, tmp_path: Path) -> None:
    (tmp_path / "in" / f"{D1}.csv").write_text(HEADER + f"{D1}T10:05,x,2\n{D1}T10:55,x,3\n")
    first = run(definitions, D1)
    assert first.keys() >= {("raw", "readable"), ("raw", "contract"), ("aggregated", "readable")}
    assert all(evaluation.passed for evaluation in first.values())
    assert first["validated", "expectations"].metadata["rows"].value == 1

    (tmp_path / "in" / f"{D2}.csv").write_text(f"ts,shop,colour\n{D2}T10:05,x,red\n")
    second = run(definitions, D2)
    check = second["raw", "contract"]
    assert not check.passed
    assert check.severity == dg.AssetCheckSeverity.WARN
    shown = str(check.metadata["deviations"].value)
    assert f"| amount | integer | not there | in/{D2}.csv | all rows of the file are in quarantine |" in shown
    assert "contract: {lost_column: accept}" in shown
    assert f"| colour | not there | there | in/{D2}.csv | kept, null in older rows" in shown
    assert "| colour | string | learned |" in str(check.metadata["contract"].value)
    # No event could be trusted: nothing is made of them, and nothing is validated.
    assert second.get(("validated", "accepted")) is None

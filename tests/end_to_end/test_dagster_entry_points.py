"""The same project by every way in that Dagster has: `dg`, `dagster` with workspace.yaml, the scaffolder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent

pytestmark = pytest.mark.slow


def run(*command: str, cwd: Path = ROOT, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYNOMALY_", "DAGSTER_"))}
    # No colours and no wrapping, whatever terminal the tests run in.
    plain = {"NO_COLOR": "1", "COLUMNS": "250", "DAGSTER_TELEMETRY_ENABLED": "false"}
    return subprocess.run(
        [BIN / command[0], *command[1:]],
        cwd=cwd,
        env={**kept, **plain, **environment},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def test_dg_checks_and_lists_every_pipeline() -> None:
    assert "loaded successfully" in run("dg", "check", "defs").stdout
    found = run("dg", "list", "defs", "--json")
    assets = {asset["asset_key"] for asset in json.loads(found.stdout)["assets"]}
    assert {"flights/scores", "airport_delays/champion", "cytology/model"} <= assets


def test_workspace_yaml_loads() -> None:
    found = run("dagster", "definitions", "validate", "-w", "workspace.yaml")
    assert found.returncode == 0, found.stderr
    assert "Validation successful for code location pynomaly_pipelines" in found.stderr + found.stdout


def test_a_misspelt_key_fails_dg_check_with_its_line(own_project: Path) -> None:
    broken = own_project / "watch" / "defs" / "orders" / "defs.yaml"
    broken.write_text(broken.read_text() + "  tresholds: {}\n")
    found = run("dg", "check", "yaml", "watch/defs/orders", cwd=own_project, PYTHONPATH=str(own_project))
    assert found.returncode == 1
    assert "defs.yaml:12" in found.stdout + found.stderr
    assert "tresholds" in found.stdout + found.stderr


def test_the_scaffolder_writes_a_pipeline_that_loads(own_project: Path) -> None:
    kind = "pynomaly_pipelines.components.DetectionPipeline"
    made = run("dg", "scaffold", "defs", kind, "returns", cwd=own_project, PYTHONPATH=str(own_project))
    assert made.returncode == 0, made.stderr
    found = run("pynomaly", "check", cwd=own_project, PYNOMALY_PROJECT=str(own_project))
    assert found.stdout == "2 files, no problems\n", found.stderr

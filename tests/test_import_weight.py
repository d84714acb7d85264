"""What is light stays light: Dagster loads definitions in every process, and a command answers at once."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = {"mlflow", "pyod", "sklearn", "great_expectations", "matplotlib", "numba", "scipy"}


def loaded_by(code: str, folder: Path) -> set[str]:
    """Top-level packages that a fresh process has after running the code."""
    script = f"{code}\nimport json, sys\nprint(json.dumps(sorted({{name.split('.')[0] for name in sys.modules}})))"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script],
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", "PYNOMALY_PROJECT": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.slow
def test_definitions_load_without_the_heavy_libraries(tmp_path: Path) -> None:
    code = "from pynomaly_pipelines.definitions import defs\nassert len(defs().resolve_all_asset_specs()) > 15"
    found = loaded_by(code, tmp_path)
    assert "dagster" in found
    assert found & HEAVY == set()


@pytest.mark.slow
def test_help_loads_no_dagster(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom pynomaly_pipelines.cli import main\n"
        "sys.argv = ['pynomaly', '--help']\ntry:\n    main()\nexcept SystemExit as end:\n    assert end.code == 0"
    )
    assert loaded_by(code, tmp_path) & (HEAVY | {"dagster", "pandas", "pyarrow", "numpy"}) == set()


@pytest.mark.slow
def test_scoring_loads_neither_pyod_nor_sklearn(tmp_path: Path) -> None:
    code = "import pynomaly_pipelines.stages.scoring\nfrom pynomaly_pipelines.detection import Scorer"
    assert loaded_by(code, tmp_path) & {"pyod", "sklearn", "great_expectations", "mlflow", "matplotlib"} == set()

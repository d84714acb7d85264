"""A folder -> a Dagster project of the user's own, to keep pipelines in."""

from __future__ import annotations

import re
from pathlib import Path

from pynomaly_pipelines.operations.errors import SpecError

PYPROJECT = """\
[tool.dg]
directory_type = "project"

[tool.dg.project]
root_module = "{module}"
code_location_name = "pynomaly_pipelines"
registry_modules = ["pynomaly_pipelines.components"]
"""

DEFINITIONS = '''\
"""Dagster's entry point."""

from pathlib import Path

import dagster as dg


@dg.definitions
def defs() -> dg.Definitions:
    return dg.load_from_defs_folder(path_within_project=Path(__file__).parent)
'''

RESOURCES = '''\
"""Where tables and models are, from the environment."""

import dagster as dg

from pynomaly_pipelines.operations.settings import Settings
from pynomaly_pipelines.resources.configurable import resources


@dg.definitions
def shared() -> dg.Definitions:
    return dg.Definitions(resources=resources(Settings.from_environment()), executor=dg.in_process_executor)
'''

WORKSPACE = """\
load_from:
  - python_module: {{module_name: {module}.definitions, location_name: pynomaly_pipelines}}
"""

DAGSTER = """\
# Dagster's own settings for this project: everything below .pynomaly, next to the lake and the registry.
storage:
  sqlite: {base_dir: .pynomaly/dagster}
local_artifact_storage:
  module: dagster._core.storage.root
  class: LocalArtifactStorage
  config: {base_dir: .pynomaly/dagster}
compute_logs:
  module: dagster._core.storage.local_compute_log_manager
  class: LocalComputeLogManager
  config: {base_dir: .pynomaly/dagster/compute_logs}
concurrency:
  runs: {max_concurrent_runs: 2}
  pools: {default_limit: 1}
run_retries:
  # Runs whose worker died are resumed; failed steps have their own retries, and failed runs a sensor per pipeline.
  enabled: true
  max_retries: 2
  retry_on_asset_or_op_failure: false
run_monitoring: {enabled: true, start_timeout_seconds: 300, max_runtime_seconds: 14400}
schedules: {use_threads: true, num_workers: 2}
sensors: {use_threads: true, num_workers: 2}
telemetry: {enabled: false}
nux: {enabled: false}
"""


def scaffold(folder: Path, module: str) -> list[Path]:
    """Write the project's files.

    Returns:
        The files written.

    Raises:
        SpecError: the name can't be a Python module, or one of the files is there already.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]*", module):
        raise SpecError(
            f"{module!r} can't name a project", rule="it is a Python module: a-z, 0-9, _", fix="choose another name"
        )
    files = {
        "pyproject.toml": PYPROJECT.format(module=module),
        "workspace.yaml": WORKSPACE.format(module=module),
        "dagster.yaml": DAGSTER,
        ".gitignore": "/.pynomaly/\n",
        f"{module}/__init__.py": "",
        f"{module}/definitions.py": DEFINITIONS,
        f"{module}/defs/__init__.py": "",
        f"{module}/defs/resources.py": RESOURCES,
    }
    taken = [name for name in files if (folder / name).exists()]
    if taken:
        raise SpecError(
            f"{taken[0]} is there already in {folder}",
            rule="nothing is overwritten",
            fix="start in an empty folder, or add what is missing by hand",
        )
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return [folder / name for name in files]

"""Dagster's entry point; `workspace.yaml` and `[tool.dg]` name it."""

from pathlib import Path

import dagster as dg


@dg.definitions
def defs() -> dg.Definitions:
    """Every pipeline below `defs/`."""
    return dg.load_from_defs_folder(path_within_project=Path(__file__).parent)

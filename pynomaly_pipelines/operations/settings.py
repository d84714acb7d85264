"""Environment variables -> one typed, frozen object: where things lie and how the product is run."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pynomaly_pipelines.operations.errors import SettingsError

LOCAL_URL = "http://127.0.0.1:3000"


@dataclass(frozen=True)
class Settings:
    """Where a deployment keeps its things. Every field is one `PYNOMALY_…` variable."""

    project: Path
    """PYNOMALY_PROJECT: the folder relative source paths start from. Default: the current folder."""
    home: Path
    """PYNOMALY_HOME: tables, registry, Dagster's storage. Default: `.pynomaly` in the project folder."""
    lake: str
    """PYNOMALY_LAKE: folder or URL of the Delta tables. Default: `lake` in the home."""
    registry: str
    """PYNOMALY_REGISTRY: MLflow tracking URI. Default: an SQLite file in the home."""
    artifacts: str
    """PYNOMALY_ARTIFACTS: where MLflow keeps new models. Default: `artifacts` in the home."""
    registry_ui: str
    """PYNOMALY_REGISTRY_UI: address of the MLflow UI, for links."""
    data_docs: Path
    """PYNOMALY_DATA_DOCS: folder of the pages on validations. Default: `data_docs` in the home."""
    data_docs_ui: str
    """PYNOMALY_DATA_DOCS_UI: address that folder is served at, for links. Default: none, links lead to the files."""
    dagster_home: Path | None
    """DAGSTER_HOME: Dagster's own folder. Default: `dagster` in the home."""
    secrets: str
    """PYNOMALY_SECRETS: where secrets come from: `environment`, `files:…`, `vault:…` or `aws:…`, see the page on
    secrets. Default: `environment`."""
    live: bool
    """PYNOMALY_LIVE=1: schedules and sensors start switched on."""
    public_url: str = LOCAL_URL
    """PYNOMALY_PUBLIC_URL: address at which people reach Dagster's UI, for links in notifications. Default:
    `http://127.0.0.1:3000`, with the port that `pynomaly up` took."""
    heartbeat_seconds: float = 15.0
    """PYNOMALY_HEARTBEAT_SECONDS: how often a run at work shows that it is alive. Default: 15. One that was silent for
    six times as long is taken for dead; all processes must agree on it."""

    @classmethod
    def from_environment(cls) -> Settings:
        """Read the variables; nothing is created."""
        env = os.environ
        project = Path(env.get("PYNOMALY_PROJECT", ".")).absolute()
        home = project / env.get("PYNOMALY_HOME", ".pynomaly")
        return cls(
            project=project,
            home=home,
            lake=env.get("PYNOMALY_LAKE", str(home / "lake")),
            registry=env.get("PYNOMALY_REGISTRY", f"sqlite:///{home / 'registry.db'}"),
            artifacts=env.get("PYNOMALY_ARTIFACTS", str(home / "artifacts")),
            registry_ui=env.get("PYNOMALY_REGISTRY_UI", "http://127.0.0.1:5000"),
            data_docs=project / env["PYNOMALY_DATA_DOCS"] if "PYNOMALY_DATA_DOCS" in env else home / "data_docs",
            data_docs_ui=env.get("PYNOMALY_DATA_DOCS_UI", ""),
            dagster_home=Path(env["DAGSTER_HOME"]) if "DAGSTER_HOME" in env else None,
            secrets=env.get("PYNOMALY_SECRETS", "") or "environment",
            live=env.get("PYNOMALY_LIVE", "0") not in ("", "0", "false", "no"),
            public_url=env.get("PYNOMALY_PUBLIC_URL", LOCAL_URL).rstrip("/"),
            heartbeat_seconds=_seconds(env, "PYNOMALY_HEARTBEAT_SECONDS", 15.0),
        )

    def child_environment(self, **more: str) -> dict[str, str]:
        """The environment for a process started by this one."""
        return {**os.environ, **more}


def _seconds(env: Mapping[str, str], name: str, default: float) -> float:
    text = env.get(name, "")
    try:
        found = float(text) if text else default
    except ValueError:
        found = -1.0
    if not 0 < found < math.inf:
        raise SettingsError(
            f"{name} is {text!r}",
            rule="it is a number of seconds above 0",
            fix=f"unset {name}, or set it to {default:g}",
        )
    return found


def environment_value(name: str) -> str:
    """What a variable holds; empty if it is not set. Only the stores of secrets ask, all else goes through them."""
    return os.environ.get(name, "")


def variables(prefix: str) -> dict[str, str]:
    """The environment variables whose names begin so."""
    return {name: value for name, value in os.environ.items() if name.startswith(prefix)}


def quiet_libraries() -> None:
    """Switch off telemetry and progress bars of MLflow and Great Expectations; call it before importing them.

    Both read the environment at import. What the operator has set stays.
    """
    unless_set(
        {
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
            "GX_ANALYTICS_ENABLED": "false",
            "MPLBACKEND": "agg",
        }
    )


def unless_set(variables: Mapping[str, str]) -> None:
    """Give libraries these variables; what the operator has set stays."""
    for name, value in variables.items():
        os.environ.setdefault(name, value)

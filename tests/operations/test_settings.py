"""Settings come from the environment, and from nowhere else in the package."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import pynomaly_pipelines
from pynomaly_pipelines.operations.settings import Settings, quiet_libraries

PACKAGE = Path(pynomaly_pipelines.__file__).parent
NAMES = ("PROJECT", "HOME", "LAKE", "REGISTRY", "ARTIFACTS", "REGISTRY_UI", "LIVE")


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in NAMES:
        monkeypatch.delenv(f"PYNOMALY_{name}", raising=False)
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    monkeypatch.chdir(tmp_path)


def test_everything_lies_in_the_project_by_default(tmp_path: Path) -> None:
    found = Settings.from_environment()
    home = tmp_path / ".pynomaly"
    assert (found.project, found.home) == (tmp_path, home)
    assert (found.lake, found.artifacts) == (str(home / "lake"), str(home / "artifacts"))
    assert found.registry == f"sqlite:///{home}/registry.db"
    assert found.registry_ui == "http://127.0.0.1:5000"
    assert not found.live
    assert found.dagster_home is None
    assert list(tmp_path.iterdir()) == []


def test_each_variable_is_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    given = {
        "PYNOMALY_PROJECT": "shop",
        "PYNOMALY_HOME": "state",
        "PYNOMALY_LAKE": "s3://bucket/lake",
        "PYNOMALY_REGISTRY": "postgresql+psycopg://db/mlflow",
        "PYNOMALY_ARTIFACTS": "s3://bucket/models",
        "PYNOMALY_REGISTRY_UI": "https://mlflow",
        "DAGSTER_HOME": "/dagster",
    }
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    found = Settings.from_environment()
    assert (found.project, found.home) == (tmp_path / "shop", tmp_path / "shop" / "state")
    assert (found.lake, found.registry) == ("s3://bucket/lake", "postgresql+psycopg://db/mlflow")
    assert (found.artifacts, found.registry_ui) == ("s3://bucket/models", "https://mlflow")
    assert found.dagster_home == Path("/dagster")


def test_a_home_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYNOMALY_HOME", "/srv/pynomaly")
    assert Settings.from_environment().lake == "/srv/pynomaly/lake"


@pytest.mark.parametrize(("value", "live"), [("1", True), ("true", True), ("0", False), ("", False), ("no", False)])
def test_live_is_a_switch(value: str, live: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYNOMALY_LIVE", value)
    assert Settings.from_environment().live is live


def test_what_the_operator_set_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "false")
    monkeypatch.setenv("GX_ANALYTICS_ENABLED", "x")
    monkeypatch.delenv("GX_ANALYTICS_ENABLED")
    quiet_libraries()
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "false"
    assert os.environ["GX_ANALYTICS_ENABLED"] == "false"


# ---------------------------------------------------------------------------------------- rules of the house


def reads_environment(source: str) -> list[int]:
    """Lines that use `os.environ`, `os.getenv` or a name imported from `os` for it."""
    words = {"environ", "environb", "getenv", "putenv", "unsetenv"}
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "os":
            found += [node.lineno] if node.attr in words else []
        if isinstance(node, ast.ImportFrom) and node.module == "os":
            found += [node.lineno] if words & {alias.name for alias in node.names} else []
    return found


def prints(source: str) -> list[int]:
    """Lines that call `print`."""
    calls = (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call))
    return [call.lineno for call in calls if isinstance(call.func, ast.Name) and call.func.id == "print"]


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def test_only_settings_touch_the_environment() -> None:
    found = {str(path.relative_to(PACKAGE)): reads_environment(path.read_text(encoding="utf-8")) for path in modules()}
    assert [name for name, lines in found.items() if lines] == ["operations/settings.py"]


def test_nothing_prints() -> None:
    assert {path: prints(path.read_text(encoding="utf-8")) for path in modules()} == {path: [] for path in modules()}


def test_planted_violations_are_caught() -> None:
    assert reads_environment("import os\nos.environ['A']") == [2]
    assert reads_environment("import os\nx = os.getenv('A')") == [2]
    assert reads_environment("from os import environ") == [1]
    assert reads_environment("import os\nos.chdir('.')") == []
    assert prints("def f():\n    print('x')") == [2]

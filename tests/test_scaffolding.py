"""`pynomaly init`: an empty folder becomes a project, and nothing is overwritten."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from pynomaly_pipelines.cli import main
from pynomaly_pipelines.operations.errors import SpecError
from pynomaly_pipelines.project import Project
from pynomaly_pipelines.scaffolding import DAGSTER, scaffold

ROOT = Path(__file__).parents[1]


def test_an_empty_folder_becomes_a_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYNOMALY_PROJECT", raising=False)
    found = CliRunner().invoke(main, ["init", "watch"])
    assert found.exit_code == 0, found.output
    assert tomllib.loads(Path("pyproject.toml").read_text())["tool"]["dg"]["project"]["root_module"] == "watch"
    project = Project.current()
    assert project.defs == tmp_path / "watch" / "defs"
    assert project.own
    assert CliRunner().invoke(main, ["check"]).output == "0 files, no problems\n"


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "dagster.yaml").write_text("mine: true\n")
    with pytest.raises(SpecError, match=r"dagster\.yaml is there already"):
        scaffold(tmp_path, "watch")
    assert [path.name for path in tmp_path.iterdir()] == ["dagster.yaml"]


@pytest.mark.parametrize("name", ["my-watch", "1watch", "../up", "Watch", ""])
def test_a_name_that_is_no_module(name: str, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="can't name a project"):
        scaffold(tmp_path, name)


def test_new_outside_a_project_says_how_to_make_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYNOMALY_PROJECT", raising=False)
    (tmp_path / "a.csv").write_text("x,y\n1,2\n")
    found = CliRunner().invoke(main, ["new", "shop", "--from", "a.csv"])
    assert found.exit_code == 1
    assert "pynomaly init" in found.output


def test_a_new_projects_dagster_settings_are_this_projects() -> None:
    assert yaml.safe_load(DAGSTER) == yaml.safe_load((ROOT / "dagster.yaml").read_text(encoding="utf-8"))


def test_without_a_dagster_yaml_nothing_is_reported_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYNOMALY_PROJECT", str(tmp_path))
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    home = Project.current().dagster_home()
    assert yaml.safe_load((home / "dagster.yaml").read_text())["telemetry"] == {"enabled": False}

"""What others build upon, pinned: a change here is a change for every user and shows in the snapshot's diff.

After a change on purpose: `make test PYTEST_ARGS="tests/contract --snapshot-update"`, and look at the diff.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import dagster as dg
import pytest
from syrupy.assertion import SnapshotAssertion

from pynomaly_pipelines import specfile
from pynomaly_pipelines.cli import main
from pynomaly_pipelines.operations import errors


@pytest.fixture(scope="module")
def definitions(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dg.Definitions]:
    from pynomaly_pipelines.definitions import defs

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYNOMALY_PROJECT", str(tmp_path_factory.mktemp("project")))
        patch.delenv("PYNOMALY_HOME", raising=False)
        patch.delenv("PYNOMALY_LIVE", raising=False)
        yield defs()


def test_assets(definitions: dg.Definitions, snapshot: SnapshotAssertion) -> None:
    specs = definitions.resolve_all_asset_specs()
    assert {spec.key.to_user_string(): _asset(spec) for spec in specs} == snapshot


def test_asset_checks(definitions: dg.Definitions, snapshot: SnapshotAssertion) -> None:
    keys = definitions.resolve_asset_graph().asset_check_keys
    assert sorted(f"{key.asset_key.to_user_string()}: {key.name}" for key in keys) == snapshot


def test_jobs_schedules_and_sensors(definitions: dg.Definitions, snapshot: SnapshotAssertion) -> None:
    repository = definitions.get_repository_def()
    assert {
        "jobs": sorted(job.name for job in repository.get_all_jobs() if not job.name.startswith("__")),
        "schedules": {s.name: f"{s.cron_schedule} {s.execution_timezone}" for s in repository.schedule_defs},
        "sensors": sorted(f"{s.name} ({s.sensor_type.value.lower()})" for s in repository.sensor_defs),
    } == snapshot


def test_schema_of_the_yaml(snapshot: SnapshotAssertion) -> None:
    assert json.dumps(specfile.json_schema(), indent=1) == snapshot


def _commands(group: click.Group, above: str = "") -> Iterator[tuple[str, click.Command]]:
    for name, command in sorted(group.commands.items()):
        yield f"{above}{name}", command
        if isinstance(command, click.Group):
            yield from _commands(command, f"{above}{name} ")


COMMANDS: dict[str, click.Command] = {"": main, **dict(_commands(main))}


@pytest.mark.parametrize("command", COMMANDS)
def test_command_line(command: str, snapshot: SnapshotAssertion) -> None:
    target = COMMANDS[command]
    with click.Context(target, info_name=f"pynomaly {command}".strip(), max_content_width=100) as context:
        context.terminal_width = 100
        assert target.get_help(context) == snapshot


def test_error_codes(snapshot: SnapshotAssertion) -> None:
    # Lines and not a mapping: a scan takes `'SecretDenied': '…'` for a secret.
    assert sorted(f"{name}: {code}" for name, code in _tree(errors.PynomalyError)) == snapshot


def test_the_packages_pipelines_have_no_problems() -> None:
    from pynomaly_pipelines.operations.settings import Settings
    from pynomaly_pipelines.project import Project

    folder = Path(errors.__file__).parents[1] / "defs"
    assert Project(Settings.from_environment(), "pynomaly_pipelines", folder).check() == []


def _asset(spec: dg.AssetSpec) -> dict[str, Any]:
    return {
        "deps": sorted(dep.asset_key.to_user_string() for dep in spec.deps),
        "group": spec.group_name,
        "kinds": sorted(spec.kinds),
        "owners": list(spec.owners),
        "partitioned": spec.partitions_def is not None,
        "automated": spec.automation_condition is not None,
    }


def _tree(cls: type[errors.PynomalyError]) -> Iterator[tuple[str, str]]:
    yield cls.__name__, f"{cls.code}{', retryable' if cls.retryable else ''}"
    for child in cls.__subclasses__():
        if child.__module__ == errors.__name__:
            yield from _tree(child)

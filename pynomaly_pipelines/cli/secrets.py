"""`secrets`: which secrets the store has that PYNOMALY_SECRETS names; never what they are."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from pynomaly_pipelines.cli.terminal import show_table
from pynomaly_pipelines.project import Project

if TYPE_CHECKING:
    from pynomaly_pipelines.operations.secrets import SecretName
    from pynomaly_pipelines.spec import PipelineSpec


@click.group()
def secrets() -> None:
    """Secrets and the store they come from."""


@secrets.command()
@click.argument("names", nargs=-1)
@click.option("--json", "as_json", is_flag=True, help="One JSON document instead of a table.")
def check(names: tuple[str, ...], as_json: bool) -> None:
    """Ask the store for each secret: is it there, where, in which version, until when. Values are never shown.

    Without NAMES: all that the product knows, and those that pipelines name. Ends with 1 if one of NAMES, or one that a
    pipeline names, can't be had, or the store itself refuses.
    """
    from pynomaly_pipelines.operations.errors import SecretMissing
    from pynomaly_pipelines.operations.secrets import SecretName, secret_store
    from pynomaly_pipelines.operations.secrets.names import PRODUCT_SECRETS

    project = Project.current()
    needed = [SecretName.of(name) for name in names] or list(_named_by_pipelines(project))
    optional = [] if names else [SecretName.of(name) for name in PRODUCT_SECRETS]
    with secret_store(project.settings.secrets) as store:
        found = {name: store.status(name) for name in dict.fromkeys([*optional, *needed])}
        origin = store.origin
    absent = [name for name in optional if name not in needed and found[name].missing]
    failed = [name for name, status in found.items() if status.error and name not in absent]
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(status) for status in found.values()], default=str, indent=2))
    else:
        rows = [
            [s.name, s.place, s.version or "-", f"{s.expires:%Y-%m-%d %H:%M:%S}Z" if s.expires else "-",
             "not there (optional)" if n in absent else s.error or "ok"]
            for n, s in found.items()
        ]  # fmt: skip
        show_table(f"secrets from {origin}", ["name", "place", "version", "expires", "state"], rows)
    if failed:
        raise SecretMissing(
            f"{', '.join(name.name for name in failed)} can't be had",
            rule="these secrets are asked for",
            fix="mend what the table says of each",
        )


def _named_by_pipelines(project: Project) -> Iterator[SecretName]:
    from pynomaly_pipelines import specfile
    from pynomaly_pipelines.operations.secrets import SecretName

    for entry in specfile.read_all(project.defs):
        if entry.spec is not None:
            yield from (SecretName.of_variable(variable) for variable in _variables(entry.spec))


def _variables(spec: PipelineSpec) -> Iterator[str]:
    from pynomaly_pipelines.spec.source import SqlSource

    if isinstance(spec.source, SqlSource):
        yield spec.source.url_env
    else:
        yield from spec.source.storage.credentials.values()

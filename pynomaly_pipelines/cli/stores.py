"""What commands open: a project's tables and its registry."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pynomaly_pipelines.project import Project
    from pynomaly_pipelines.resources.registry import Registry
    from pynomaly_pipelines.resources.tables import Lake


def open_lake(project: Project) -> Lake:
    """The tables of the project."""
    from pynomaly_pipelines.resources.tables import Lake

    return Lake(project.settings.lake)


def open_registry(project: Project) -> Registry:
    """The models of the project."""
    from pynomaly_pipelines.operations.secrets import resolved
    from pynomaly_pipelines.resources.registry import Registry

    settings = project.settings
    uri = resolved(settings.registry)
    return Registry(uri, settings.artifacts, settings.registry_ui, settings.home / "cache" / "models")

"""Settings -> lake, registry and Data Docs as Dagster resources; the plain classes beside this file do the work."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import dagster as dg

from pynomaly_pipelines.operations.redaction import redact
from pynomaly_pipelines.operations.secrets import resolved
from pynomaly_pipelines.operations.settings import Settings
from pynomaly_pipelines.resources.docs import DataDocs
from pynomaly_pipelines.resources.registry import Registry
from pynomaly_pipelines.resources.tables import Lake

_OF_THE_PROCESS = "PYNOMALY_REGISTRY"


class LakeResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Where the Delta tables are, and the folder that relative source paths start from."""

    root: str
    project: str
    storage_options: dict[str, str] = {}  # noqa: RUF012 (pydantic copies defaults)

    def open(self, before_commit: Callable[[], None] = lambda: None) -> Lake:
        """The lake; `before_commit` may stop its commits by raising."""
        return Lake(self.root, dict(self.storage_options) or None, before_commit)

    @property
    def project_folder(self) -> Path:
        """The folder relative source paths start from."""
        return Path(self.project)


class RegistryResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The MLflow store, where models go, and the address of its UI for links."""

    tracking_uri: str
    artifacts: str
    ui: str = ""
    cache: str = ""

    def open(self, before_write: Callable[[], None] = lambda: None) -> Registry:
        """The registry; `before_write` may stop registrations and promotions by raising."""
        cache = Path(self.cache) if self.cache else None
        own = Settings.from_environment().registry if self.tracking_uri == _OF_THE_PROCESS else self.tracking_uri
        return Registry(resolved(own), self.artifacts, self.ui, cache, before_write)


class DataDocsResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Where the pages on validations are, and the address they are served at."""

    folder: str
    ui: str = ""

    def open(self) -> DataDocs:
        """The pages."""
        return DataDocs(Path(self.folder), self.ui)


def resources(settings: Settings) -> dict[str, dg.ConfigurableResource]:  # type: ignore[type-arg]
    """The resources a pipeline's assets ask for, by the names they ask with."""
    return {
        "lake": LakeResource(root=settings.lake, project=str(settings.project)),
        "data_docs": DataDocsResource(folder=str(settings.data_docs), ui=settings.data_docs_ui),
        "registry": RegistryResource(
            # Dagster's pages show what a resource is made with.
            tracking_uri=settings.registry if redact(settings.registry) == settings.registry else _OF_THE_PROCESS,
            artifacts=settings.artifacts,
            ui=settings.registry_ui,
            cache=str(settings.home / "cache" / "models"),
        ),
    }
